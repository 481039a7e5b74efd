/* table.c: see table.h. Open addressing; slots hold an entry's number plus one. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "bench/common/dice.h"

static void *
grow(void *memory, size_t count, size_t size)
{
    void *grown = realloc(memory, count * size);

    if (grown == NULL)
        abort();
    return grown;
}

void
table_open(struct table *table, size_t value_size)
{
    *table = (struct table){.entry_size = sizeof(struct table_key) + (value_size + 7) / 8 * 8};
}

void
table_close(struct table *table)
{
    free(table->entry);
    free(table->slot);
    *table = (struct table){.entry = NULL};
}

static struct table_key *
key_at(const struct table *table, size_t at)
{
    return (struct table_key *)(void *)(table->entry + at * table->entry_size);
}

/* The slot of the key, or the empty one where it would stand. */
static size_t
slot_of(const struct table *table, struct table_key key)
{
    size_t slot = dice_scramble(key.half[0] ^ dice_scramble(key.half[1])) & (table->slot_count - 1);

    while (table->slot[slot] != 0 && memcmp(key_at(table, table->slot[slot] - 1), &key, sizeof key) != 0)
        slot = (slot + 1) & (table->slot_count - 1);
    return slot;
}

static void
make_room(struct table *table)
{
    if (table->count == table->room) {
        table->room = table->room == 0 ? 1024 : table->room * 2;
        table->entry = grow(table->entry, table->room, table->entry_size);
    }
    if (table->count * 2 < table->slot_count)
        return;
    table->slot_count = table->slot_count == 0 ? 4096 : table->slot_count * 2;
    table->slot = grow(table->slot, table->slot_count, sizeof *table->slot);
    memset(table->slot, 0, table->slot_count * sizeof *table->slot);
    for (size_t at = 0; at < table->count; at++)
        table->slot[slot_of(table, *key_at(table, at))] = (uint32_t)at + 1;
}

void *
table_find(const struct table *table, struct table_key key)
{
    size_t slot = table->slot_count == 0 ? 0 : slot_of(table, key);

    return table->slot_count == 0 || table->slot[slot] == 0 ? NULL : key_at(table, table->slot[slot] - 1) + 1;
}

void *
table_add(struct table *table, struct table_key key)
{
    void *found = table_find(table, key);

    if (found != NULL)
        return found;
    make_room(table);
    *key_at(table, table->count) = key;
    memset(key_at(table, table->count) + 1, 0, table->entry_size - sizeof key);
    table->slot[slot_of(table, key)] = (uint32_t)table->count + 1;
    return key_at(table, table->count++) + 1;
}

void *
table_at(const struct table *table, size_t at, struct table_key *key)
{
    *key = *key_at(table, at);
    return key_at(table, at) + 1;
}
