/* table.h: finds an entry of fixed size by a key of 16 bytes. Entries are only added. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_key {
    uint64_t half[2];
};

struct table {
    char *entry; /* key, then the caller's bytes */
    uint32_t *slot;
    size_t entry_size, count, room, slot_count;
};

void table_open(struct table *table, size_t value_size);
void table_close(struct table *table);

/* The value under a key, or NULL. Good until the next table_add(). */
void *table_find(const struct table *table, struct table_key key);
/* The same; made, all zeros, when there is none. */
void *table_add(struct table *table, struct table_key key);
/* The at-th value, in the order in which they were added, and its key. */
void *table_at(const struct table *table, size_t at, struct table_key *key);

#endif
