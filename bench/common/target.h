/* target.h: a system under load: Usher, or one that it is compared with. The generator (drive.h) knows no other way to
 * ask, so every system gets the same tasks over the same number of connections with the same number in flight.
 *
 * A target is a struct target_kind, a row of functions that share a state of their own:
 *
 *     open      know where it is, log in, keep sizes; nothing is asked yet
 *     prepare   put the data there that the sizes ask for, as fast as the system takes it
 *     connect   open that many connections; what was open before is closed. May be called again and again
 *     submit    queue one task on one connection; never blocks, never answers
 *     expect    a user whom one of the next tasks will be about: time to fetch what submit will look at. May be NULL
 *     process   send what was submitted, wait for at most so long until something comes, take what has come and call
 *               `answer` for each. Nothing comes from anywhere else: a target has no thread
 *     describe  what it is, for reports: version, settings that make it durable
 *     close
 *
 * answer() is called from within process() alone, and may submit from there, on any connection. clock.h has the wait on
 * an epoll descriptor to the nanosecond.
 *
 * The people and things of a task are numbers; the target gives them the form that its system wants (a UUID, a key).
 *   user     0 .. users - 1 are admitted (they hold a token where the system has one) and have points for a thousand
 *            seats. Those who stand in line are other people, with numbers of their own: `line` says which of the two a
 *            number means
 *   line     users 0 .. waiting - 1 of the line are waiting. JOIN with line = true takes a place behind them
 *   date, seat   0 .. dates - 1 and 0 .. seats - 1, all of them on sale, free at first
 *   reservation  what the RESERVE that got the seat answered as `value`
 *
 * What each job is, and what must hold when its answer is DONE:
 *   JOIN     line: the user has the next place in line; the answer brings a token that proves it and the rank. Not line:
 *            the user, whose token a payment has used up, is admitted again
 *   RANK     of a user of the line, by token: exactly how many live waiters are ahead
 *   DATES    of an admitted user: the dates of the date's concert that can be reserved, a page of 64
 *   SEATS    of an admitted user: which seats of this date are free
 *   RESERVE  of an admitted user: the seat is this user's for `hold_ms` and nobody else's; HELD and SOLD are refusals
 *   RELEASE  the reservation is over and the seat free; another user's is refused
 *   CHARGE   the balance grows by amount, in a ledger whose entries add up; the request id makes a repetition harmless
 *   BALANCE  is read
 *   PAY      the hold is the user's and not over, points suffice -> points go, a payment record is made, the seat is
 *            sold, the token is used up: all or nothing
 * A job whose `writes` is 1 is answered when it is on the disk. */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum job {
#define BENCH_JOB(NAME, name, writes, text) JOB_##NAME,
#include "bench/common/jobs.def"
    JOB_COUNT
};

struct job_row {
    const char *name; /* "join" */
    const char *text;
    bool writes;
};
extern const struct job_row job_rows[JOB_COUNT];

/* The job of this name; false when there is none. */
bool job_named(const char *name, enum job *job);

struct task {
    enum job job;
    bool line; /* JOIN, RANK: user is one of the line */
    uint32_t user;
    uint32_t date, seat;
    int64_t amount; /* CHARGE */
    uint64_t reservation; /* RELEASE, PAY */
};

enum outcome_kind {
    OUTCOME_DONE,
    OUTCOME_REFUSED, /* the system decided against it: `reason` says why */
    OUTCOME_FAULT    /* no answer, or one that can't be: a lost connection, a time-out, an error of the system */
};

struct outcome {
    uint64_t tag; /* of the submit */
    enum outcome_kind kind;
    uint32_t reason; /* not DONE: a number of the target's own, small enough for a table: below OUTCOME_REASONS */
    uint64_t value;  /* RESERVE: the reservation; JOIN: the place; CHARGE, BALANCE: the balance; PAY: the payment; RANK: the
                      * rank; SEATS: how many are free; DATES: how many */
};
#define OUTCOME_REASONS 256u

typedef void target_answer(void *context, const struct outcome *outcome);

struct target_sizes {
    uint32_t users;   /* admitted, at least 1 */
    uint32_t waiting; /* in line */
    uint32_t dates;   /* at least 1 */
    uint32_t seats;   /* of each date, at least 1 */
    uint32_t hold_ms; /* how long a hold lasts: longer than the bench */
    int64_t price;    /* of each seat */
};

struct target_kind {
    const char *name; /* "usher" */
    const char *text; /* "Usher over usher_async" */
    /* NULL, and why in one line, when it can't be had. `where` is the target's own: an address, a folder, a house. */
    void *(*open)(const void *where, const struct target_sizes *sizes, target_answer *answer, void *context, char *why,
                  size_t why_size);
    bool (*prepare)(void *target, char *why, size_t why_size);
    /* depth: how many tasks will be in flight on one connection at most. */
    bool (*connect)(void *target, uint32_t connections, uint32_t depth, char *why, size_t why_size);
    /* False when the connection takes no more now. */
    bool (*submit)(void *target, uint32_t connection, const struct task *task, uint64_t tag);
    void (*expect)(const void *target, bool line, uint32_t user);
    /* wait_ns: 0 does not wait. False, and why, when it can't go on at all. */
    bool (*process)(void *target, uint64_t wait_ns, char *why, size_t why_size);
    /* The name of a reason: "HELD". */
    const char *(*reason)(uint32_t reason);
    json_t *(*describe)(void *target);
    void (*close)(void *target);
};

extern const struct target_kind target_usher; /* where: a struct house (house.h) */

#endif
