/* script.h: a seeded script of commands of every kind, for tests that compare what two stores make of it.
 *
 * What is asked follows from the seed and from the records alone, so on equal records it is the same for ever: no
 * clock, no random source, no order of addresses. Requests are filled in by the names of their fields, from the rows of
 * structs.def, so a new command takes part by itself. */
#ifndef TESTS_SCRIPT_H
#define TESTS_SCRIPT_H

#include "server/commit/commit.h"

#define SCRIPT_KINDS_MOST 64

struct script {
    struct store *store;
    struct commit *commit;
    uint64_t random;
    uint64_t now_ms;
    uint64_t asked;   /* commands so far */
    uint64_t invited; /* the one that was the last invitation */
    struct {
        uint16_t opcode;
        uint32_t asked, ok;
    } kind[SCRIPT_KINDS_MOST]; /* one for each command */
    size_t kind_count;
};

void script_begin(struct script *script, struct store *store, struct commit *commit, uint64_t seed);
/* The store was closed and opened again. */
void script_move(struct script *script, struct store *store, struct commit *commit);
/* Gather and run the next batch; the first ones make the house. False if it was not committed. */
bool script_batch(struct script *script);

#endif
