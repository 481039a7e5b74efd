/* house.c: see house.h. */
#include "bench/micro/house.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOON  UINT64_C(1750000000000)
#define PRICE 700

_Noreturn void
house_die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

double
house_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

void
house_open(struct house *house, const struct store_options *options)
{
    char why[512];

    if (store_open(options, &house->store, why, sizeof why) != STORE_OK)
        house_die(why);
    house->core = core_open(house->store);
    house->commit = house->core == NULL ? NULL : commit_open(house->store, house->core);
    if (house->commit == NULL)
        house_die("no memory");
}

void
house_close(struct house *house)
{
    commit_close(house->commit);
    core_close(house->core);
    store_close(house->store);
}

usher_id
house_next_id(struct house *house)
{
    usher_id id = {{0x6f}};

    house->requests++;
    memcpy(id.bytes + 8, &house->requests, sizeof house->requests);
    return id;
}

usher_uuid
house_user(uint64_t number)
{
    uint64_t words[2] = {number * UINT64_C(0x9e3779b97f4a7c15), number * UINT64_C(0xd6e8feb86659fd93) + 1};
    usher_uuid user;

    memcpy(user.bytes, words, sizeof user.bytes);
    return user;
}

void
house_run(struct house *house)
{
    uint32_t count = commit_count(house->commit);

    if (commit_run(house->commit, NOON) != STORE_DONE)
        house_die("a batch was not committed");
    for (uint32_t i = 0; i < count; i++)
        if (commit_answer(house->commit, i).result != USHER_OK)
            house_die(usher_result_name(commit_answer(house->commit, i).result));
}

void
house_add(struct house *house, uint16_t opcode, const struct core_asker *asker, const void *body)
{
    if (commit_count(house->commit) == COMMIT_COMMANDS_MOST)
        house_run(house);
    if (!commit_add(house->commit, usher_message_of(opcode), asker, body, 0))
        house_die("no memory");
}

void
house_add_seats(struct house *house, uint32_t dates)
{
    static const struct core_asker admin = {.role = USHER_ROLE_ADMIN, .client_no = 1};
    usher_set_mode_request mode = {.request_id = house_next_id(house), .mode = USHER_QUEUE_PAUSED};
    usher_put_plan_request plan = {.request_id = house_next_id(house), .plan_id = 1, .section_count = 1};
    usher_put_concert_request concert = {.request_id = house_next_id(house), .concert_id = 1, .title = "The rush"};

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 500, .seats_per_row = 100};
    house_add(house, USHER_OPCODE_SET_MODE, &admin, &mode);
    house_add(house, USHER_OPCODE_PUT_PLAN, &admin, &plan);
    house_add(house, USHER_OPCODE_PUT_CONCERT, &admin, &concert);
    for (uint32_t date_id = 1; date_id <= dates; date_id++) {
        usher_put_date_request date = {.request_id = house_next_id(house),
                                       .concert_id = 1,
                                       .date_id = date_id,
                                       .plan_id = 1,
                                       .starts_at_ms = NOON + (30 + date_id) * UINT64_C(86400000),
                                       .price_count = 1,
                                       .price = {PRICE}};

        house_add(house, USHER_OPCODE_PUT_DATE, &admin, &date);
        house_run(house);
    }
}

void
house_add_join(struct house *house, uint64_t number)
{
    const struct core_asker gateway = {.role = USHER_ROLE_GATEWAY, .client_no = 1, .user = house_user(number)};
    const usher_join_request join = {.request_id = house_next_id(house), .user = gateway.user};

    house_add(house, USHER_OPCODE_JOIN, &gateway, &join);
}

void
house_add_reserve(struct house *house, uint64_t number, uint64_t seat, uint32_t dates)
{
    const struct core_asker terminal = {.role = USHER_ROLE_TERMINAL, .client_no = 1, .user = house_user(number)};
    const usher_reserve_request reserve = {.request_id = house_next_id(house),
                                           .user = terminal.user,
                                           .concert_id = 1,
                                           .date_id = (uint32_t)(seat % dates + 1),
                                           .seat_count = 1,
                                           .seat = {(uint32_t)(seat / dates + 1)}};

    if (seat >= (uint64_t)dates * HOUSE_DATE_SEATS)
        house_die("all seats are held");
    house_add(house, USHER_OPCODE_RESERVE, &terminal, &reserve);
}

void
house_add_charge(struct house *house, uint64_t number, int64_t amount)
{
    const struct core_asker terminal = {.role = USHER_ROLE_TERMINAL, .client_no = 1, .user = house_user(number)};
    const usher_charge_request charge = {.request_id = house_next_id(house), .user = terminal.user, .amount = amount};

    house_add(house, USHER_OPCODE_CHARGE, &terminal, &charge);
}
