/* way.c: fetches what will be looked at soon into the processor's cache (store.h, ways).
 *
 *     users, dates: hash -> number        the index's place, then the number in it
 *     number -> slot -> record            table_fetch, a step a call
 *
 * A large house does not fit into the cache: each arrow is some 100 ns of waiting for memory when it is taken by itself.
 * Of a hash with several numbers the first is followed; that it is another's costs only the time. */
#include "server/store/internal.h"
#include "server/store/memory.h"

#define BLOCK_KEY_BITS 16u /* of a block's key, for its index; the date is above */

static const struct map *
map_of(const struct store *store, unsigned table)
{
    return table == STORE_TABLE_USER ? &store->indexes->users : &store->indexes->dates;
}

struct store_way
store_way_to(enum store_table table, uint64_t key)
{
    return (struct store_way){.table = (uint8_t)table, .key = key};
}

struct store_way
store_way_to_user(const struct store *store, const usher_uuid *uuid)
{
    return (struct store_way){
        .table = STORE_TABLE_USER, .hashed = true, .key = indexes_hash(store->indexes, uuid, sizeof *uuid)};
}

struct store_way
store_way_to_date(const struct store *store, uint32_t concert_id, uint32_t date_id)
{
    (void)store; /* its hash needs no secret */
    return (struct store_way){
        .table = STORE_TABLE_DATE, .hashed = true, .key = store_mix((uint64_t)concert_id << 32 | date_id)};
}

bool
store_way_on(const struct store *store, struct store_way *way)
{
    if (way->hashed && way->step++ == 0) {
        map_fetch(map_of(store, way->table), way->key);
        return true;
    }
    if (way->hashed) { /* from the hash to the number, and on */
        way->key = map_get(map_of(store, way->table), way->key);
        way->hashed = false;
        way->step = 0;
        if (way->key == 0)
            return false;
    }
    if (way->table == STORE_TABLE_BLOCK && way->step == 0)
        indexes_fetch_date(store->indexes, way->key >> BLOCK_KEY_BITS);
    size_t most = way->head ? STORE_LINE : TABLE_FETCH_MOST;
    way->record = table_fetch(&store->tables[way->table], way->key, way->step++, most);
    return way->record == NULL && way->step < TABLE_STEPS;
}

void
store_fetch_answer(const struct store *store, uint64_t scope, const usher_id *request_id)
{
    map_fetch(&store->history->answers, history_answer_hash(store->history, scope, request_id));
}
