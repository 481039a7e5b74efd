/* history.c: see history.h. A stored row is its struct up to the end of what its counts say. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "server/store/history.h"
#include "server/store/memory.h"

/* --- the kinds -------------------------------------------------------------------------------- */
#define FIXED_SIZE(name)                                                                                               \
    static size_t name##_size(const void *row)                                                                         \
    {                                                                                                                  \
        (void)row;                                                                                                     \
        return sizeof(struct name##_row);                                                                              \
    }
FIXED_SIZE(entry)
FIXED_SIZE(ended)
FIXED_SIZE(event)

/* A count that is too large gives a size that no row has. */
static size_t
payment_size(const void *row)
{
    const struct payment_row *payment = row;

    return payment->seat_count > PAYMENT_SEATS_MOST
               ? SIZE_MAX
               : offsetof(struct payment_row, seat) + payment->seat_count * sizeof(struct sold_seat);
}

static size_t
refund_size(const void *row)
{
    const struct refund_row *refund = row;

    return refund->seat_count > PAYMENT_SEATS_MOST
               ? SIZE_MAX
               : offsetof(struct refund_row, seat) + refund->seat_count * sizeof(struct sold_seat);
}

static size_t
answer_size(const void *row)
{
    const struct answer_row *answer = row;

    return answer->body_size > ANSWER_BODY_MOST ? SIZE_MAX : offsetof(struct answer_row, body) + answer->body_size;
}

#define entry_least   sizeof(struct entry_row)
#define ended_least   sizeof(struct ended_row)
#define event_least   sizeof(struct event_row)
#define payment_least offsetof(struct payment_row, seat)
#define refund_least  offsetof(struct refund_row, seat)
#define answer_least  offsetof(struct answer_row, body)

const struct history_kind history_kinds[HISTORY_TABLES] = {
#define STORE_HISTORY(number, NAME, name, text)                                                                        \
    [HISTORY_INDEX_##NAME] = {#name, (number), sizeof(struct name##_row), name##_size, name##_least},
#include "server/store/history.def"
};

#define STORE_HISTORY(number, NAME, name, text)                                                                        \
    _Static_assert((number)-HISTORY_FIRST == HISTORY_INDEX_##NAME, "history.def counts up without gaps");              \
    _Static_assert(sizeof(struct name##_row) % 8 == 0, "no padding at the end");
#include "server/store/history.def"

/* --- answers ---------------------------------------------------------------------------------- */
uint64_t
history_answer_hash(const struct history *history, uint64_t scope, const usher_id *request_id)
{
    uint8_t bytes[sizeof scope + sizeof *request_id];
    uint64_t hash;

    memcpy(bytes, &scope, sizeof scope);
    memcpy(bytes + sizeof scope, request_id, sizeof *request_id);
    crypto_shorthash((unsigned char *)&hash, bytes, sizeof bytes, history->secret);
    return hash;
}

static uint64_t
hash_of_row(const struct history *history, const struct history_row *row)
{
    struct answer_row answer;

    memcpy(&answer, row->bytes, answer_least);
    return history_answer_hash(history, answer.scope, &answer.request_id);
}

void
history_learn_answer(struct history *history, const struct answer_row *answer)
{
    map_add(&history->answers, history_answer_hash(history, answer->scope, &answer->request_id), answer->answer_no);
    if (answer->answer_no > history->last_answer_no)
        history->last_answer_no = answer->answer_no;
}

void
history_forget_answer(struct history *history, uint64_t answer_no, uint64_t scope, const usher_id *request_id)
{
    struct map_search search = {.hash = history_answer_hash(history, scope, request_id)};
    uint64_t found;

    while ((found = map_next(&history->answers, &search)) != 0)
        if (found == answer_no) {
            map_remove(&history->answers, search.hash, answer_no);
            return;
        }
}

/* --- rows ------------------------------------------------------------------------------------- */
static struct history_row *
row_of(const struct history_table *table, uint64_t key)
{
    return (struct history_row *)(uintptr_t)map_get(&table->rows, store_mix(key));
}

static void
row_add(struct history_table *table, struct history_row *row)
{
    map_add(&table->rows, store_mix(row->key), (uint64_t)(uintptr_t)row);
}

static void
row_take(struct history_table *table, struct history_row *row)
{
    map_remove(&table->rows, store_mix(row->key), (uint64_t)(uintptr_t)row);
}

void
history_append(struct history *history, unsigned index, const void *given)
{
    struct history_table *table = &history->table[index];
    size_t size = history_kinds[index].size(given);
    struct history_row *row;

    assert(size <= history_kinds[index].row_size);
    row = store_take(sizeof *row + size);
    memcpy(&row->key, given, sizeof row->key);
    memcpy(row->bytes, given, size);
    row->size = size;
    row->gone = false;
    /* All but the ends of reservations count up. */
    assert(index == HISTORY_INDEX_ENDED ? row_of(table, row->key) == NULL
                                        : table->appended_count == 0 ||
                                              row->key > table->appended[table->appended_count - 1]->key);
    row_add(table, row);
    table->appended =
        store_grow(table->appended, &table->appended_room, table->appended_count + 1, sizeof *table->appended);
    table->appended[table->appended_count++] = row;
    if (index == HISTORY_INDEX_ANSWER)
        map_add(&history->answers, hash_of_row(history, row), row->key);
}

void
history_drop(struct history *history, unsigned index, uint64_t key, const struct answer_row *answer)
{
    struct history_table *table = &history->table[index];
    struct history_dropped dropped = {.key = key, .row = row_of(table, key)};

    assert(map_get(&table->dropped_keys, store_mix(key)) == 0);
    if (dropped.row != NULL) {
        row_take(table, dropped.row);
        dropped.row->gone = true; /* which tells nothing of one of an earlier batch */
    }
    if (answer != NULL) {
        dropped.scope = answer->scope;
        dropped.request_id = answer->request_id;
        map_remove(&history->answers, history_answer_hash(history, answer->scope, &answer->request_id), key);
    }
    map_add(&table->dropped_keys, store_mix(key), 1);
    table->dropped = store_grow(table->dropped, &table->dropped_room, table->dropped_count + 1, sizeof *table->dropped);
    table->dropped[table->dropped_count++] = dropped;
}

const struct history_row *
history_see(const struct history *history, unsigned index, uint64_t key, bool *dropped)
{
    *dropped = map_get(&history->table[index].dropped_keys, store_mix(key)) != 0;
    return *dropped ? NULL : row_of(&history->table[index], key);
}

bool
history_fill(unsigned index, const void *bytes, size_t size, void *row)
{
    const struct history_kind *kind = &history_kinds[index];

    if (size < kind->size_least || size > kind->row_size)
        return false;
    memcpy(row, bytes, size);
    memset((uint8_t *)row + size, 0, kind->row_size - size);
    return kind->size(row) == size;
}

static void
table_undo(struct history *history, unsigned index)
{
    struct history_table *table = &history->table[index];

    while (table->dropped_count > 0) {
        struct history_dropped *dropped = &table->dropped[--table->dropped_count];

        map_remove(&table->dropped_keys, store_mix(dropped->key), 1);
        if (dropped->row != NULL) {
            row_add(table, dropped->row);
            dropped->row->gone = false;
        }
        if (index == HISTORY_INDEX_ANSWER)
            map_add(&history->answers, history_answer_hash(history, dropped->scope, &dropped->request_id),
                    dropped->key);
    }
    while (table->appended_count > 0) {
        struct history_row *row = table->appended[--table->appended_count];

        if (index == HISTORY_INDEX_ANSWER)
            map_remove(&history->answers, hash_of_row(history, row), row->key);
        row_take(table, row);
        free(row);
    }
}

static void
keys_add(struct history_keys *keys, uint64_t key)
{
    keys->keys = store_grow(keys->keys, &keys->room, keys->count + 1, sizeof *keys->keys);
    keys->keys[keys->count++] = key;
}

static void
forget_row(struct history_table *table, struct history_row *row)
{
    row_take(table, row);
    free(row);
}

static void
table_done(struct history *history, unsigned index, bool waits)
{
    struct history_table *table = &history->table[index];

    if (index == HISTORY_INDEX_ANSWER && table->appended_count > 0)
        history->last_answer_no = table->appended[table->appended_count - 1]->key;
    for (size_t at = 0; !history->keep && at < table->appended_count; at++) {
        struct history_row *row = table->appended[at];

        if (row->gone)
            continue;
        if (waits)
            keys_add(&table->waiting, row->key);
        else
            forget_row(table, row);
    }
    for (size_t at = 0; at < table->dropped_count; at++) {
        if (waits)
            keys_add(&table->gone, table->dropped[at].key);
        else
            map_remove(&table->dropped_keys, store_mix(table->dropped[at].key), 1);
        free(table->dropped[at].row);
    }
    table->dropped_count = table->appended_count = 0;
}

void
history_undo(struct history *history)
{
    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        table_undo(history, index);
}

void
history_done(struct history *history, bool waits)
{
    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        table_done(history, index, waits);
}

/* A row that the open batch has dropped is the batch's. */
void
history_carried(struct history *history)
{
    for (unsigned index = 0; index < HISTORY_TABLES; index++) {
        struct history_table *table = &history->table[index];

        for (size_t at = 0; at < table->waiting.count; at++) {
            struct history_row *row = row_of(table, table->waiting.keys[at]);

            if (row != NULL) /* not dropped since */
                forget_row(table, row);
        }
        for (size_t at = 0; at < table->gone.count; at++)
            map_remove(&table->dropped_keys, store_mix(table->gone.keys[at]), 1);
        table->waiting.count = table->gone.count = 0;
    }
}

/* --- opening ---------------------------------------------------------------------------------- */
struct history *
history_open(bool keep)
{
    struct history *history = store_allocate(1, sizeof *history);

    history->keep = keep;
    randombytes_buf(history->secret, sizeof history->secret);
    return history;
}

static void
free_row(void *context, uint64_t row)
{
    (void)context;
    free((void *)(uintptr_t)row);
}

void
history_close(struct history *history)
{
    history_undo(history);
    for (unsigned index = 0; index < HISTORY_TABLES; index++) {
        struct history_table *table = &history->table[index];

        map_each(&table->rows, free_row, NULL);
        map_free(&table->rows);
        map_free(&table->dropped_keys);
        free(table->appended);
        free(table->dropped);
        free(table->waiting.keys);
        free(table->gone.keys);
    }
    map_free(&history->answers);
    free(history);
}

uint64_t
history_bytes(const struct history *history)
{
    uint64_t bytes = map_bytes(&history->answers);

    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        bytes += map_bytes(&history->table[index].rows);
    return bytes;
}
