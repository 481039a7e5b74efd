/* figures.c: what the store holds in memory, table by table and index by index. */
#include <assert.h>
#include <stdio.h>

#include "server/store/disk.h"
#include "server/store/internal.h"

struct listing {
    struct store_memory *rows;
    size_t count;
};

static void
list(struct listing *listing, const char *name, uint64_t count, uint64_t bytes)
{
    struct store_memory *row = &listing->rows[listing->count++];

    assert(listing->count <= STORE_MEMORY_MOST);
    snprintf(row->name, sizeof row->name, "%s", name);
    row->count = count;
    row->bytes = bytes;
}

static void
list_tables(const struct store *store, struct listing *listing)
{
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        list(listing, table_kinds[number].name, store->tables[number].count, table_bytes(&store->tables[number]));
}

static void
list_queues(const struct indexes *indexes, struct listing *listing)
{
    uint64_t waiting = 0, line = 0, due = 0, due_size = 0;

    for (size_t queue_no = 0; queue_no < indexes->queue_count; queue_no++) {
        const struct queue_index *queue = indexes->queue[queue_no];

        if (queue == NULL)
            continue;
        waiting += queue->waiting.count;
        line += sizeof *queue + line_bytes(&queue->waiting);
        due += queue->due.count + queue->unsold.count;
        due_size += (queue->due.capacity + queue->unsold.capacity) * sizeof(struct store_due);
    }
    list(listing, "lines", waiting, line);
    list(listing, "due moments", due, due_size);
}

static void
list_ids(const struct indexes *indexes, struct listing *listing)
{
    const struct map *maps[] = {&indexes->queues, &indexes->concerts, &indexes->plans, &indexes->dates,
                                &indexes->client_keys, &indexes->client_codes};
    const struct ordered *orders[] = {&indexes->queues_by_id, &indexes->concerts_by_id, &indexes->dates_by_id};
    uint64_t count = 0, bytes = 0;

    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        count += maps[i]->count;
        bytes += map_bytes(maps[i]);
    }
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        bytes += orders[i]->room * sizeof(struct ordered_item);
    list(listing, "users by uuid", indexes->users.count, map_bytes(&indexes->users));
    list(listing, "ids and keys", count, bytes);
    list(listing, "seats counted by date", indexes->date_count, indexes->date_room * sizeof *indexes->date);
}

size_t
store_memory(const struct store *store, struct store_memory rows[STORE_MEMORY_MOST])
{
    struct listing listing = {.rows = rows};

    list_tables(store, &listing);
    list_ids(store->indexes, &listing);
    list_queues(store->indexes, &listing);
    list(&listing, "answers by request id", store->history->answers.count, map_bytes(&store->history->answers));
    return listing.count;
}
