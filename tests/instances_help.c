/* instances_help.c: see instances_help.h. */
#define _GNU_SOURCE 1
#include "tests/instances_help.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

/* --- doors ------------------------------------------------------------------------------------------------------- */
void
house_connect_admin(struct house *house, unsigned door)
{
    assert_true(wire_open(&house->admin[door], house->server[door].port));
    assert_int_equal(wire_login(&house->admin[door], house->server[0].admin_key), USHER_OK);
}

void
house_open_door(struct house *house, unsigned door, uint16_t port)
{
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
    test_server_start(&house->server[door], "--quiet", "--join", "--listen", address, NULL);
    house_connect_admin(house, door);
}

static void
open_doors(struct house *house, unsigned doors, bool one_port)
{
    memset(house, 0, sizeof *house);
    for (unsigned door = 0; door < doors; door++) {
        if (door == 0)
            test_server_open(&house->server[0]);
        else
            test_server_open_beside(&house->server[door], &house->server[0], door);
        house_open_door(house, door, one_port ? house->server[0].port : 0);
    }
}

void
house_open(struct house *house, unsigned doors)
{
    open_doors(house, doors, false);
}

void
house_open_one_port(struct house *house, unsigned doors)
{
    open_doors(house, doors, true);
}

void
house_close(struct house *house)
{
    for (unsigned door = DOORS_MOST; door-- > 0;) {
        if (house->admin[door].input != NULL)
            wire_close(&house->admin[door]);
        test_server_close(&house->server[door]);
    }
}

/* --- asking ------------------------------------------------------------------------------------------------------ */
void
house_must(struct wire *wire, uint16_t opcode, const void *ask, void *reply)
{
    assert_int_equal(wire_ask(wire, opcode, ask, reply), USHER_OK);
}

void
house_set_queue_policy(struct house *house, const char *name, uint64_t value)
{
    usher_set_policy_request ask = {.request_id = wire_id(), .of_queue = USHER_FLAG_YES, .value = value};
    strcpy(ask.name, name);
    house_must(&house->admin[0], USHER_OPCODE_SET_POLICY, &ask, NULL);
}

void
house_put_concert(struct wire *admin, const char *title)
{
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1};
    strcpy(concert.title, title);
    house_must(admin, USHER_OPCODE_PUT_CONCERT, &concert, NULL);
}

void
house_load(struct house *house, unsigned doors, uint32_t seats, int64_t price)
{
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    plan.section[0] =
        (usher_section){.name = "Hall", .first_row = 1, .row_count = 10, .seats_per_row = (uint16_t)(seats / 10)};
    house_must(&house->admin[0], USHER_OPCODE_PUT_PLAN, &plan, NULL);
    house_put_concert(&house->admin[1 % doors],
                      "Several doors"); /* each at another door: what one did the next builds on */
    usher_put_date_request date = {.request_id = wire_id(),
                                   .concert_id = 1,
                                   .date_id = 1,
                                   .plan_id = 1,
                                   .starts_at_ms = house->admin[0].stamp_ms + 86400000,
                                   .price_count = 1,
                                   .price = {price}};
    house_must(&house->admin[doors - 1], USHER_OPCODE_PUT_DATE, &date, NULL);
}

uint32_t
house_enrol_gateway(struct house *house, unsigned inviting, unsigned enrolling)
{
    uint8_t code[32], public_key[32];
    struct wire wire;
    usher_enrol_reply reply;
    usher_invite_request invite = {.request_id = wire_id(), .role = USHER_ROLE_GATEWAY, .name = "gateway"};

    crypto_sign_keypair(public_key, house->gateway_key);
    randombytes_buf(code, sizeof code);
    crypto_generichash(invite.code_hash.bytes, sizeof invite.code_hash.bytes, code, sizeof code, NULL, 0);
    house_must(&house->admin[inviting], USHER_OPCODE_INVITE, &invite, NULL);
    assert_true(wire_open(&wire, house->server[enrolling].port));
    assert_int_equal(wire_hello(&wire, house->gateway_key), USHER_OK);
    assert_int_equal(wire_enrol(&wire, house->gateway_key, code, &reply), USHER_OK);
    wire_close(&wire);
    return reply.client_id;
}

bool
house_connect_gateway(struct house *house, struct wire *wire, uint16_t port)
{
    return wire_open(wire, port) && wire_hello(wire, house->gateway_key) == USHER_OK &&
           wire_authenticate(wire, house->gateway_key, NULL) == USHER_OK;
}

usher_info_reply
house_info(struct house *house, unsigned door, bool digest)
{
    usher_info_request ask = {.digest = digest};
    usher_info_reply reply;
    house_must(&house->admin[door], USHER_OPCODE_INFO, &ask, &reply);
    return reply;
}

uint64_t
house_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- what the events say ------------------------------------------------------------------------------------------ */
static void
take_in(struct tally *tally, const usher_event *event)
{
    uint8_t both[sizeof tally->digest + sizeof *event];

    memcpy(both, tally->digest, sizeof tally->digest);
    memcpy(both + sizeof tally->digest, event, sizeof *event);
    crypto_generichash(tally->digest, sizeof tally->digest, both, sizeof both, NULL, 0);
}

static void
count_event(struct tally *tally, const usher_event *event)
{
    assert_int_equal(event->event_no, tally->events + 1); /* X5: gap-free */
    tally->events = event->event_no;
    take_in(tally, event);
    switch (event->kind) {
    case USHER_EVENT_JOINED:
        assert_int_equal(event->position, ++tally->joined);
        break;
    case USHER_EVENT_ADMITTED: /* T4: exactly in the order in which they joined */
        assert_int_equal(event->position, tally->admitted + 1);
        assert_true(tally->admitted < TALLY_USERS_MOST);
        tally->admitted_at_ms[tally->admitted++] = event->at_ms;
        tally->active++;
        break;
    case USHER_EVENT_CHARGED:
        tally->charged++;
        tally->charges += event->amount;
        break;
    case USHER_EVENT_PAID: /* B1: the token is used by it */
        assert_true(tally->active > 0);
        tally->active--;
        tally->paid++;
        tally->payments += event->amount;
        break;
    case USHER_EVENT_SEAT_SOLD:
        assert_in_range(event->seat_no, 1, TALLY_SEATS_MOST);
        assert_false(tally->seat_sold[event->seat_no]);
        tally->seat_sold[event->seat_no] = true;
        tally->sold++;
        break;
    case USHER_EVENT_RESUMED:
        tally->resumed++;
        break;
    case USHER_EVENT_LAPSED:
    case USHER_EVENT_LEFT:
    case USHER_EVENT_HOLD_EXPIRED:
    case USHER_EVENT_REFUNDED:
        fail_msg("event %llu, of kind %u: nobody should have gone or given back", (unsigned long long)event->event_no,
                 (unsigned)event->kind);
    }
    if (tally->active > tally->active_most)
        tally->active_most = tally->active;
    assert_true(tally->active <= tally->active_max); /* Q3: at every event, so at every commit */
}

void
tally_read(struct wire *admin, struct tally *tally)
{
    usher_events_reply *reply = malloc(sizeof *reply);

    assert_non_null(reply);
    do {
        usher_events_request ask = {.after_event_no = tally->events};
        house_must(admin, USHER_OPCODE_EVENTS, &ask, reply);
        for (uint16_t i = 0; i < reply->event_count; i++)
            count_event(tally, &reply->event[i]);
    } while (reply->event_count > 0);
    free(reply);
}
