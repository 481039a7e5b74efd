/* desk.h: an asynchronous handle at a fake house, and a record of everything that it says, for tests. Whatever goes
 * wrong in here fails the cmocka test that called. */
#ifndef TESTS_DESK_H
#define TESTS_DESK_H

#include <stdbool.h>

#include "client-sdk/fake/include/usher_fake.h"
#include "client-sdk/include/usher.h"

#define DESK_CALLS_MOST  2048
#define DESK_STATES_MOST 256

/* A call, from its submission on. Its index is its context. */
struct desk_call {
    uint64_t call_no;
    unsigned completions;
    usher_status status;
    usher_outcome outcome;
    usher_result result;
    uint32_t attempts;
    bool replayed;
    usher_id request_id;
    int64_t balance; /* CHARGE */
    uint64_t echo;   /* PING */
    char error[160];
};

struct desk_state {
    usher_state state;
    usher_status reason;
};

struct desk {
    usher_fake *fake;
    usher_secret secret;
    usher_async_options options;
    usher_async *async;
    usher_group *group; /* set before it is opened: the handle is in it, and it is driven as a group */
    unsigned call_count, completed;
    bool submitting; /* a callback now would come from inside of a function that must not call it */
    struct desk_call call[DESK_CALLS_MOST];
    unsigned state_count;
    struct desk_state state[DESK_STATES_MOST];
    char address[64]; /* of the last state */
};

/* A house with these faults (NULL: none), and options for it; then the handle. */
struct desk *desk_make(const char *script);
void desk_open(struct desk *desk);
/* Both. */
struct desk *desk_start(const char *script);
/* Close what is open; every call must have had its one completion. */
void desk_end(struct desk *desk);
void desk_script(struct desk *desk, const char *lines);
usher_fake_figures desk_look(struct desk *desk);

/* Submit; the call's index. */
unsigned desk_charge(struct desk *desk, int64_t amount, uint32_t timeout_ms);
unsigned desk_charge_as(struct desk *desk, const usher_charge_request *request, uint32_t timeout_ms);
unsigned desk_ping(struct desk *desk, uint64_t echo, uint32_t timeout_ms);
/* What the callback of these does; for tests that submit by themselves. */
void desk_note(usher_async *async, const usher_completion *completion);

/* Wait for the descriptor and process, once; fails when nothing happens for 30 s. */
void desk_turn(struct desk *desk);
/* Until so many calls are completed; until a call is; until the state was seen so often. */
void desk_until(struct desk *desk, unsigned completed);
const struct desk_call *desk_await(struct desk *desk, unsigned call);
void desk_until_asked(struct desk *desk, uint64_t requests); /* until they have arrived at the house */
void desk_until_state(struct desk *desk, usher_state state, unsigned times);
unsigned desk_states(const struct desk *desk, usher_state state);
uint64_t desk_now_ms(void);

/* Run in a child process and see it end by SIGABRT. */
void desk_must_abort(void (*scene)(void));

#endif
