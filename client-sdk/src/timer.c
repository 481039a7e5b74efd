/* timer.c: requests in the order of their moments, and the numbers that name them outside. */
#include <stddef.h>

#include "client-sdk/src/async.h"

/* --- moments ------------------------------------------------------------------------------------------ */
bool
usher_timer_reserve(struct usher_async *async)
{
    return usher_dues_reserve(&async->timer, &async->memory, async->calls.count + async->watches.count + 1);
}

void
usher_timer_clear(struct usher_async *async, struct usher_request *request)
{
    usher_due_clear(&async->timer, &request->due);
}

void
usher_timer_set(struct usher_async *async, struct usher_request *request, uint64_t due_ms)
{
    usher_due_set(&async->timer, &request->due, due_ms);
}

struct usher_request *
usher_timer_past(const struct usher_async *async, uint64_t now_ms)
{
    if (usher_dues_first_ms(&async->timer) > now_ms)
        return NULL;
    return (struct usher_request *)((char *)async->timer.entry[0] - offsetof(struct usher_request, due));
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
