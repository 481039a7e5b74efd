/* timer.c: requests in the order of their moments, and the numbers that name them outside.
 *
 * The order is a binary heap; each request knows its place in it. Room in the heap is made when a request is submitted,
 * for all requests that there are: setting a timer later can't fail. */
#include "client-sdk/src/async.h"

/* --- the heap ----------------------------------------------------------------------------------------- */
bool
usher_timer_reserve(struct usher_async *async)
{
    uint32_t wanted = async->calls.count + async->watches.count + 1;
    uint32_t room = async->timer_room > 0 ? 2 * async->timer_room : 16;
    struct usher_request **larger;

    if (wanted <= async->timer_room)
        return true;
    if (room < wanted)
        room = wanted;
    larger = usher_memory_grow(&async->memory, async->timer, async->timer_room * sizeof *larger, room * sizeof *larger);
    if (larger == NULL)
        return false;
    async->timer = larger;
    async->timer_room = room;
    return true;
}

static void
timer_put(struct usher_async *async, uint32_t at, struct usher_request *request)
{
    async->timer[at] = request;
    request->timer_at = at;
}

/* Bring the request that belongs at `at`, or above or below it, to its place. */
static void
timer_settle(struct usher_async *async, uint32_t at, struct usher_request *request)
{
    while (at > 0 && async->timer[(at - 1) / 2]->due_ms > request->due_ms) {
        timer_put(async, at, async->timer[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < async->timer_count && async->timer[child + 1]->due_ms < async->timer[child]->due_ms)
            child++;
        if (child >= async->timer_count || async->timer[child]->due_ms >= request->due_ms)
            break;
        timer_put(async, at, async->timer[child]);
        at = child;
    }
    timer_put(async, at, request);
}

void
usher_timer_clear(struct usher_async *async, struct usher_request *request)
{
    uint32_t at = request->timer_at;
    struct usher_request *last;

    if (at == USHER_NOWHERE)
        return;
    request->timer_at = USHER_NOWHERE;
    last = async->timer[--async->timer_count];
    if (last != request)
        timer_settle(async, at, last);
}

void
usher_timer_set(struct usher_async *async, struct usher_request *request, uint64_t due_ms)
{
    usher_timer_clear(async, request);
    request->due_ms = due_ms;
    if (due_ms == USHER_NEVER_MS)
        return;
    usher_insist(async->timer_count < async->timer_room, "more timers than requests");
    timer_settle(async, async->timer_count++, request);
}

/* --- numbers ------------------------------------------------------------------------------------------ */
/* A number is turn * TABLE_MOST + place in the table: found without a search, and never used again. */
#define TABLE_MOST (1u << 24)

static bool
table_grow(struct usher_async *async, struct usher_table *table)
{
    uint32_t room = table->room > 0 ? 2 * table->room : 16;
    struct usher_request **larger;

    if (room > TABLE_MOST)
        return false;
    larger = usher_memory_grow(&async->memory, table->entry, table->room * sizeof *larger, room * sizeof *larger);
    if (larger == NULL)
        return false;
    for (uint32_t i = table->room; i < room; i++)
        larger[i] = NULL;
    table->entry = larger;
    table->room = room;
    return true;
}

bool
usher_table_add(struct usher_async *async, struct usher_table *table, struct usher_request *request)
{
    /* At least half of it is free, so that a free place is never far. */
    if (2 * (table->count + 1) > table->room && !table_grow(async, table))
        return false;
    while (table->entry[table->next % table->room] != NULL)
        table->next++;
    table->next %= table->room;
    table->entry[table->next] = request;
    table->count++;
    request->number = ++table->turn * TABLE_MOST + table->next++;
    return true;
}

void
usher_table_remove(struct usher_table *table, const struct usher_request *request)
{
    table->entry[request->number % TABLE_MOST] = NULL;
    table->count--;
}

struct usher_request *
usher_table_find(const struct usher_table *table, uint64_t number)
{
    uint64_t at = number % TABLE_MOST;

    if (at >= table->room || table->entry[at] == NULL || table->entry[at]->number != number)
        return NULL;
    return table->entry[at];
}
