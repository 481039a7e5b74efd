/* echo.c: see echo.h. */
#include "bench/peers/echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peers/wires.h"

#define REQUEST_SIZE 32u
#define REPLY_SIZE   64u

struct echo {
    uint16_t port;
    target_answer *answer;
    void *context;
    struct wires *wires;
    uint32_t *partial; /* bytes of a reply that has not come whole, for each connection */
    uint64_t reservations;
};

static void
give(struct echo *echo, uint32_t connection)
{
    struct due due;
    struct outcome outcome = {.kind = OUTCOME_DONE};

    if (!wires_answered(echo->wires, connection, &due))
        return;
    outcome.tag = due.tag;
    outcome.value = ++echo->reservations;
    echo->answer(echo->context, &outcome);
}

static void
take(void *context, uint32_t connection, const char *bytes, size_t size)
{
    struct echo *echo = context;

    (void)bytes;
    size += echo->partial[connection];
    echo->partial[connection] = (uint32_t)(size % REPLY_SIZE);
    for (size_t i = 0; i < size / REPLY_SIZE; i++)
        give(echo, connection);
}

static void
lost(void *context, uint32_t connection)
{
    struct echo *echo = context;
    struct due due;

    while (wires_answered(echo->wires, connection, &due)) {
        const struct outcome outcome = {.tag = due.tag, .kind = OUTCOME_FAULT};
        echo->answer(echo->context, &outcome);
    }
}

static void
disconnect(struct echo *echo)
{
    wires_close(echo->wires);
    free(echo->partial);
    echo->wires = NULL;
    echo->partial = NULL;
}

static bool
echo_connect(void *target, uint32_t connections, uint32_t depth, char *why, size_t why_size)
{
    struct echo *echo = target;
    const struct wires_calls calls = {.take = take, .lost = lost, .context = echo};

    disconnect(echo);
    echo->partial = calloc(connections, sizeof *echo->partial);
    echo->wires = wires_open(echo->port, connections, depth, &calls, why, why_size);
    return echo->partial != NULL && echo->wires != NULL;
}

static bool
echo_submit(void *target, uint32_t connection, const struct task *task, uint64_t tag)
{
    struct echo *echo = target;
    const struct due due = {.tag = tag};
    char *room = wires_room(echo->wires, connection, REQUEST_SIZE);

    if (room == NULL)
        return false;
    memset(room, 0, REQUEST_SIZE);
    room[0] = job_rows[task->job].writes;
    memcpy(room + 8, &tag, sizeof tag);
    wires_put(echo->wires, connection, REQUEST_SIZE, &due);
    return true;
}

static bool
echo_process(void *target, uint64_t wait_ns, char *why, size_t why_size)
{
    struct echo *echo = target;

    return wires_process(echo->wires, wait_ns, why, why_size);
}

static void *
echo_open(const void *where, const struct target_sizes *sizes, target_answer *answer, void *context, char *why,
          size_t why_size)
{
    struct echo *echo = calloc(1, sizeof *echo);

    (void)sizes;
    if (echo == NULL) {
        snprintf(why, why_size, "no memory");
        return NULL;
    }
    echo->port = *(const uint16_t *)where;
    echo->answer = answer;
    echo->context = context;
    return echo;
}

static bool
echo_prepare(void *target, char *why, size_t why_size)
{
    (void)target;
    (void)why;
    (void)why_size;
    return true;
}

static void
echo_close(void *target)
{
    if (target != NULL)
        disconnect(target);
    free(target);
}

static const char *
echo_reason(uint32_t reason)
{
    (void)reason;
    return "LOST";
}

static json_t *
echo_describe(void *target)
{
    (void)target;
    return json_pack("{s:s}", "durable", "one LMDB value for each group, default sync flags");
}

const struct target_kind target_echo = {
    .name = "echo",
    .text = "an echo of 32 bytes in 64, libevent and LMDB alone",
    .open = echo_open,
    .prepare = echo_prepare,
    .connect = echo_connect,
    .submit = echo_submit,
    .process = echo_process,
    .reason = echo_reason,
    .describe = echo_describe,
    .close = echo_close,
};
