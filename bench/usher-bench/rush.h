/* rush.h: what a rush and its buyers share. rush.c has connections, time and figures; buyer.c what a buyer does. */
#ifndef BENCH_RUSH_H
#define BENCH_RUSH_H

#include "bench/common/target_usher.h"
#include "bench/usher-bench/bench.h"

enum step {
#define BENCH_STEP(NAME, name, OPCODE) STEP_##NAME,
#include "bench/usher-bench/steps.def"
    STEP_COUNT
};

/* How a buyer's way ended. */
enum fate {
    FATE_UNDECIDED,
    FATE_BOUGHT,
    FATE_TURNED_AWAY, /* sold out before it was admitted */
    FATE_WENT,        /* had no patience */
    FATE_NOTHING,     /* admitted, and found nothing to buy */
    FATE_LAPSED,      /* was too slow */
    FATE_LOST,        /* could not go on: a fault */
    FATE_COUNT
};

#define NOWHERE       UINT32_MAX
#define SEATS_AT_MOST 2u

struct rush;

struct buyer {
    struct rush *rush;
    usher_uuid user;
    uint32_t lane;    /* its connection */
    uint32_t heap_at; /* where it stands among those who wait for a moment; or NOWHERE */
    uint64_t due_ns, sent_ns;
    uint64_t leave_ns; /* patience ends then, while it waits; UINT64_MAX: never */
    enum step step;
    uint8_t fate, tries, wanted;
    bool asked;     /* an answer is due */
    bool repeats;   /* the command is asked again under its id */
    bool watched;   /* a subscription to its place is open */
    uint64_t watch_no;
    usher_id request_id;
    uint64_t number; /* of the first answer, for the repetition */
    uint32_t date_id, seat[SEATS_AT_MOST];
    uint64_t reservation[SEATS_AT_MOST];
    int64_t price;
    uint16_t token_count;
    uint8_t *token;
};

struct lane {
    usher_async *async;
};

struct rush {
    struct sitting sitting;
    const struct options *options;
    struct dice dice;
    usher_group *group; /* of all lanes */
    struct lane *lane;
    uint32_t lane_count;
    struct buyer *buyer, **heap;
    uint32_t buyer_count, heap_count, arrived, gone;
    struct schedule schedule;
    uint64_t begin_ns, next_arrival_ns, storm_ns, now_ns;
    bool storming; /* connections are being cut by ourselves */
    struct drive_figures *figures; /* of each step */
    uint64_t fate[FATE_COUNT];
    uint64_t seats_bought, repeated, resent, admitted;
    struct histogram admission; /* from the join's answer to knowing that one is active */
    char trouble[256];          /* "": none */
};

/* --- rush.c, for buyers --- */
/* It does this step at that moment. */
void rush_schedule(struct rush *rush, struct buyer *buyer, enum step step, uint64_t due_ns);
void rush_unschedule(struct rush *rush, struct buyer *buyer);

/* --- buyer.c --- */
/* Somebody new comes. */
void buyer_arrives(struct rush *rush, struct buyer *buyer, uint32_t number, uint64_t due_ns);
/* Its moment has come: ask. */
void buyer_acts(struct buyer *buyer);
extern const char *const step_names[STEP_COUNT];

#endif
