/* questions.c: the short list of ordered questions that the core asks, answered from the indexes. */
#include <string.h>

#include "server/store/indexes.h"
#include "server/store/internal.h"
#include "server/store/lease.h"

/* --- by id ------------------------------------------------------------------------------------ */
uint64_t
store_find_queue(const struct store *store, uint32_t queue_id)
{
    return map_get(&store->indexes->queues, store_mix(queue_id));
}

uint64_t
store_find_concert(const struct store *store, uint32_t concert_id)
{
    return map_get(&store->indexes->concerts, store_mix(concert_id));
}

uint64_t
store_find_plan(const struct store *store, uint32_t plan_id)
{
    return map_get(&store->indexes->plans, store_mix(plan_id));
}

uint64_t
store_find_date(const struct store *store, uint32_t concert_id, uint32_t date_id)
{
    return map_get(&store->indexes->dates, store_mix((uint64_t)concert_id << 32 | date_id));
}

/* Among the candidates of a hash, the record whose bytes at this offset are these. */
static uint64_t
find_hashed(const struct store *store, const struct map *map, enum store_table table, size_t offset, const void *bytes,
            size_t size)
{
    struct map_search search = {.hash = indexes_hash(store->indexes, bytes, size)};
    uint64_t number;

    while ((number = map_next(map, &search)) != 0) {
        const uint8_t *record = table_see(&store->tables[table], number);

        if (record != NULL && memcmp(record + offset, bytes, size) == 0)
            break;
    }
    return number;
}

int64_t
store_balance_sum(const struct store *store)
{
    return store->indexes->balance_sum;
}

uint64_t
store_find_user(const struct store *store, const usher_uuid *uuid)
{
    return find_hashed(store, &store->indexes->users, STORE_TABLE_USER, offsetof(struct user_record, uuid), uuid,
                       sizeof *uuid);
}

uint64_t
store_find_client(const struct store *store, const usher_key *client_key)
{
    return find_hashed(store, &store->indexes->client_keys, STORE_TABLE_CLIENT,
                       offsetof(struct client_record, client_key), client_key, sizeof *client_key);
}

uint64_t
store_find_code(const struct store *store, const usher_key *code_hash)
{
    return find_hashed(store, &store->indexes->client_codes, STORE_TABLE_CLIENT,
                       offsetof(struct client_record, code_hash), code_hash, sizeof *code_hash);
}

static uint64_t
number_from(const struct ordered *ordered, uint64_t key, uint64_t key_most)
{
    size_t at = ordered_from(ordered, key);

    return at < ordered->count && ordered->items[at].key <= key_most ? ordered->items[at].number : 0;
}

uint64_t
store_first_queue(const struct store *store)
{
    return number_from(&store->indexes->queues_by_id, 0, UINT32_MAX);
}

uint64_t
store_next_queue(const struct store *store, uint32_t after_queue_id)
{
    return number_from(&store->indexes->queues_by_id, (uint64_t)after_queue_id + 1, UINT32_MAX);
}

uint64_t
store_next_concert(const struct store *store, uint32_t after_concert_id)
{
    return number_from(&store->indexes->concerts_by_id, (uint64_t)after_concert_id + 1, UINT32_MAX);
}

uint64_t
store_next_date(const struct store *store, uint32_t concert_id, uint32_t after_date_id)
{
    uint64_t first = (uint64_t)concert_id << 32;

    if (after_date_id == UINT32_MAX)
        return 0;
    return number_from(&store->indexes->dates_by_id, (first | after_date_id) + 1, first | UINT32_MAX);
}

/* --- the line and the due moments ------------------------------------------------------------- */
static struct queue_index *
queue_at(const struct store *store, uint64_t queue_no)
{
    return queue_no < store->indexes->queue_count ? store->indexes->queue[queue_no] : NULL;
}

uint64_t
store_first_waiting(const struct store *store, uint64_t queue_no)
{
    const struct queue_index *queue = queue_at(store, queue_no);

    return queue == NULL ? 0 : line_first(&queue->waiting);
}

uint64_t
store_rank(const struct store *store, uint64_t queue_no, uint64_t position)
{
    const struct queue_index *queue = queue_at(store, queue_no);

    return queue == NULL ? 1 : line_before(&queue->waiting, position) + 1;
}

uint64_t
store_waiting_count(const struct store *store, uint64_t queue_no)
{
    const struct queue_index *queue = queue_at(store, queue_no);

    return queue == NULL ? 0 : queue->waiting.count;
}

uint64_t
store_active_count(const struct store *store, uint64_t queue_no)
{
    const struct queue_index *queue = queue_at(store, queue_no);

    return queue == NULL ? 0 : queue->active_count;
}

struct due_context {
    const struct store *store;
    uint64_t queue_no;
    struct queue_index *queue;
};

/* Does the record still say what this entry says? */
static enum due_verdict
judge_due(void *given, const struct store_due *entry, struct store_due *instead)
{
    const struct due_context *context = given;
    const struct table *table = &context->store->tables[entry->table];

    if (entry->table == STORE_TABLE_TICKET)
        return lease_judge(&(struct lease_context){table, context->queue}, entry, instead);
    const struct hold_record *hold = table_see(table, entry->key);
    if (hold == NULL || hold->queue_no != context->queue_no)
        return DUE_STALE;
    return due_judged(entry, hold->end_due, instead);
}

static void
fetch_due(const void *given, const struct store_due *entry, unsigned step)
{
    const struct due_context *context = given;

    (void)table_fetch(&context->store->tables[entry->table], entry->key, step, TABLE_FETCH_MOST);
}

bool
store_next_due(const struct store *store, uint64_t queue_no, struct store_due *due)
{
    struct due_context context = {store, queue_no, queue_at(store, queue_no)};
    const struct store_due *least =
        context.queue == NULL ? NULL : due_least(&context.queue->due, judge_due, fetch_due, &context);

    if (least == NULL)
        return false;
    *due = *least;
    return true;
}

/* --- seats ------------------------------------------------------------------------------------ */
struct store_counts
store_date_counts(const struct store *store, uint64_t date_no)
{
    return date_no < store->indexes->date_count ? store->indexes->date[date_no].counts : (struct store_counts){0};
}

struct store_counts
store_queue_counts(const struct store *store, uint64_t queue_no)
{
    const struct queue_index *queue = queue_at(store, queue_no);

    return queue == NULL ? (struct store_counts){0} : queue->counts;
}

uint64_t
store_unsold_until_ms(const struct store *store, uint64_t queue_no)
{
    return indexes_unsold_until_ms(store->indexes, queue_no);
}

struct store_counts
store_house_counts(const struct store *store)
{
    return store->indexes->house;
}
