/* instances_help.h: a house with several doors: usherd processes on one data directory, an admin at each, and what the
 * events say of a sale. Whatever goes wrong in here fails the cmocka test that called. */
#ifndef TESTS_INSTANCES_HELP_H
#define TESTS_INSTANCES_HELP_H

#include "tests/test.h"

#include <stdbool.h>

#include "tests/server.h"
#include "tests/wire.h"

#define DOORS_MOST  4u
#define PATIENCE_MS 20000

struct house {
    struct test_server server[DOORS_MOST];
    struct wire admin[DOORS_MOST];
    uint8_t gateway_key[64];
};

/* Open so many doors, each on a port of its own, or all on the first one's (SO_REUSEPORT). */
void house_open(struct house *house, unsigned doors);
void house_open_one_port(struct house *house, unsigned doors);
/* Kill those that run, and remove the data. */
void house_close(struct house *house);
/* A door that was closed opens again, on a port of its own or on this one; its admin is connected. */
void house_open_door(struct house *house, unsigned door, uint16_t port);
/* The admin at one door. */
void house_connect_admin(struct house *house, unsigned door);

/* Ask; the answer must be OK. */
void house_must(struct wire *wire, uint16_t opcode, const void *ask, void *reply);
void house_set_queue_policy(struct house *house, const char *name, uint64_t value);
void house_put_concert(struct wire *admin, const char *title);
/* One concert with one date of ten rows, each step at another door. */
void house_load(struct house *house, unsigned doors, uint32_t seats, int64_t price);
usher_info_reply house_info(struct house *house, unsigned door, bool digest);

/* Invite a gateway at one door and enrol it at another. Returns its number. */
uint32_t house_enrol_gateway(struct house *house, unsigned inviting, unsigned enrolling);
/* False when it is not let in. */
bool house_connect_gateway(struct house *house, struct wire *wire, uint16_t port);

uint64_t house_now_ms(void); /* the system's monotonic clock */

/* --- what the events say of a sale in which nobody lapses or leaves --------------------------------------------- */
#define TALLY_USERS_MOST 2000u
#define TALLY_SEATS_MOST 256u

struct tally {
    uint64_t active_max; /* what must never be exceeded; set by who reads */
    uint64_t events, joined, admitted, paid, sold, charged, active, active_most, resumed;
    int64_t charges, payments; /* points */
    uint64_t admitted_at_ms[TALLY_USERS_MOST];
    bool seat_sold[TALLY_SEATS_MOST + 1];
    uint8_t digest[32]; /* over every event, in order */
};

/* Read what has come since the last call. After each event: no gap; places are taken and admitted in the order of their
 * positions, one by one; no more are active than may be; no seat is sold twice. */
void tally_read(struct wire *admin, struct tally *tally);

#endif
