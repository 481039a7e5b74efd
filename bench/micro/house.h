/* house.h: a house in this process, without a network, for the programs here that measure store and core: opened,
 * filled and asked through the commands that a server takes. */
#ifndef MICRO_HOUSE_H
#define MICRO_HOUSE_H

#include <stdint.h>

#include "server/commit/commit.h"

#define HOUSE_DATE_SEATS 50000u

struct house {
    struct store *store;
    struct core *core;
    struct commit *commit;
    uint64_t requests; /* so far: each has an id of its own */
};

/* Says what went wrong, and ends the program. */
_Noreturn void house_die(const char *what);
double house_now_us(void);

void house_open(struct house *house, const struct store_options *options);
void house_close(struct house *house);

usher_id house_next_id(struct house *house);
/* As scattered as true ones. */
usher_uuid house_user(uint64_t number);

/* Gather a command; a batch that is full is run by itself. */
void house_add(struct house *house, uint16_t opcode, const struct core_asker *asker, const void *body);
/* Commit what is gathered; every answer must be OK. */
void house_run(struct house *house);

/* A queue that admits nobody, and a concert with so many dates of HOUSE_DATE_SEATS. */
void house_add_seats(struct house *house, uint32_t dates);
/* User `number` joins; takes one seat of the dates, the `seat`-th in turn; is charged by a terminal. */
void house_add_join(struct house *house, uint64_t number);
void house_add_reserve(struct house *house, uint64_t number, uint64_t seat, uint32_t dates);
void house_add_charge(struct house *house, uint64_t number, int64_t amount);

#endif
