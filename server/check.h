/* check.h: what the parts of usherd check share. check.c walks the tables and runs the parts; check_books.c recounts
 * ledger, payments and reservations; check_events.c events, answers and the consumer's rows. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "server/store/snapshot.h"

/* Shared with the parent, which tells how far a child came that LMDB took down. */
struct check_shared {
    bool opened;
    unsigned part; /* that is being checked */
    char place[96];
    uint64_t rows, problems;
    uint64_t problems_of_part;
    uint64_t position;
};

struct check {
    const char *path;
    struct store *store;
    struct check_shared *shared;
    bool loaded;
};

/* Tell of one mistake: the table, the key as text, and what is wrong with it. A part's first hundred are told. */
__attribute__((format(printf, 4, 5))) void check_problem(struct check *check, const char *table, const char *key,
                                                         const char *format, ...);
/* The same where the key is a number. */
__attribute__((format(printf, 4, 5))) void check_problem_at(struct check *check, enum store_table table, uint64_t key,
                                                            const char *format, ...);
/* Show each good row of a table; a bad one was told of when the tables were walked. */
void check_each(struct check *check, unsigned table, void (*visit)(void *context, const struct store_row *row),
                void *context);

/* The parts that need the records in memory. */
void check_ledger(struct check *check);
void check_payments(struct check *check);
void check_events(struct check *check);
void check_answers(struct check *check);
void check_consumer(struct check *check);

#endif
