/* watch_table.c: finding things by what they are known by: chains in a table whose size is a power of two. The links
 * are members of the things themselves, so that adding one takes no memory but the table's own. */
#include "server/net/watch.h"

#include <assert.h>
#include <stdlib.h>

#define ROOM_FIRST 64u

uint64_t
watch_hash(uint64_t one, uint64_t other)
{
    uint64_t hash = (one ^ other << 32 ^ other >> 32) * UINT64_C(0x9e3779b97f4a7c15);

    hash = (hash ^ hash >> 29 ^ other) * UINT64_C(0xbf58476d1ce4e5b9);
    return hash ^ hash >> 32;
}

bool
watch_table_reserve(struct watch_table *table)
{
    size_t room = table->room == 0 ? ROOM_FIRST : table->room * 2;

    if (table->count < table->room)
        return true;
    struct watch_link **bucket = calloc(room, sizeof *bucket);
    if (bucket == NULL)
        return false;
    for (size_t i = 0; i < table->room; i++) {
        for (struct watch_link *link = table->bucket[i], *next; link != NULL; link = next) {
            next = link->next;
            link->next = bucket[link->hash & (room - 1)];
            bucket[link->hash & (room - 1)] = link;
        }
    }
    free(table->bucket);
    table->bucket = bucket;
    table->room = room;
    return true;
}

void
watch_table_add(struct watch_table *table, struct watch_link *link, uint64_t hash)
{
    assert(table->count < table->room);
    struct watch_link **head = &table->bucket[hash & (table->room - 1)];
    link->hash = hash;
    link->next = *head;
    *head = link;
    table->count++;
}

void
watch_table_remove(struct watch_table *table, struct watch_link *link)
{
    struct watch_link **at = &table->bucket[link->hash & (table->room - 1)];

    while (*at != link) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    table->count--;
}

static struct watch_link *
with_hash(struct watch_link *link, uint64_t hash)
{
    while (link != NULL && link->hash != hash)
        link = link->next;
    return link;
}

struct watch_link *
watch_table_first(const struct watch_table *table, uint64_t hash)
{
    return table->room == 0 ? NULL : with_hash(table->bucket[hash & (table->room - 1)], hash);
}

struct watch_link *
watch_table_next(const struct watch_link *link)
{
    return with_hash(link->next, link->hash);
}

void
watch_table_free(struct watch_table *table)
{
    free(table->bucket);
    *table = (struct watch_table){0};
}
