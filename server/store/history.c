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
history_answer_hash(struct history *history, uint64_t scope, const usher_id *request_id)
{
    unsigned place = request_id->bytes[sizeof request_id->bytes - 1] ^ request_id->bytes[7];
    struct history_asked *asked = &history->asked[place % HISTORY_ASKED];

    if (asked->scope == scope && memcmp(&asked->request_id, request_id, sizeof *request_id) == 0)
        return asked->hash;
    asked->scope = scope;
    asked->request_id = *request_id;
    crypto_shorthash((unsigned char *)&asked->hash, (const uint8_t *)asked, offsetof(struct history_asked, hash),
                     history->secret);
    return asked->hash;
}

static uint64_t
hash_of_row(struct history *history, const struct history_row *row)
{
    struct answer_row answer;

    memcpy(&answer, history_row_bytes(history, row), answer_least);
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
/* Keys that count up, nearly always by one. */
static size_t
find_counted(const struct history_table *table, uint64_t key)
{
    size_t low = 0, high = table->count;

    if (high == 0 || key < table->rows[0].key)
        return HISTORY_NO_ROW;
    if (key - table->rows[0].key < high && table->rows[key - table->rows[0].key].key == key)
        return (size_t)(key - table->rows[0].key);
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (table->rows[middle].key == key)
            return middle;
        if (table->rows[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return HISTORY_NO_ROW;
}

/* Few look for the end of a reservation while it is in memory, so they are put into the map by who does. */
static size_t
find_ended(struct history *history, uint64_t key)
{
    const struct history_table *table = &history->table[HISTORY_INDEX_ENDED];
    uint64_t place;

    for (; history->ended_known < table->count; history->ended_known++)
        map_add(&history->ended, store_mix(table->rows[history->ended_known].key),
                table->first + history->ended_known + 1);
    place = map_get(&history->ended, store_mix(key));
    return place == 0 ? HISTORY_NO_ROW : (size_t)(place - 1 - table->first);
}

/* The place of a row that is in memory and not gone. */
static size_t
find_row(struct history *history, unsigned index, uint64_t key)
{
    const struct history_table *table = &history->table[index];
    size_t row = index == HISTORY_INDEX_ENDED ? find_ended(history, key) : find_counted(table, key);

    return row == HISTORY_NO_ROW || table->rows[row].gone ? HISTORY_NO_ROW : row;
}

/* Take back the rows from this one on. */
static void
forget_rows(struct history *history, unsigned index, size_t from)
{
    struct history_table *table = &history->table[index];

    if (index == HISTORY_INDEX_ENDED)
        for (; history->ended_known > from; history->ended_known--)
            map_remove(&history->ended, store_mix(table->rows[history->ended_known - 1].key),
                       table->first + history->ended_known);
    table->count = from;
    table->batch = table->batch < from ? table->batch : from;
}

void
history_append(struct history *history, unsigned index, const void *given)
{
    struct history_table *table = &history->table[index];
    size_t size = history_kinds[index].size(given);
    uint64_t key;

    assert(size <= history_kinds[index].row_size);
    memcpy(&key, given, sizeof key);
    /* All but the ends of reservations count up. */
    assert(index == HISTORY_INDEX_ENDED ? !history->keep || find_ended(history, key) == HISTORY_NO_ROW
                                        : table->count == 0 || key > table->rows[table->count - 1].key);
    kept_add(&history->bytes, history_kinds[index].number, key, given, size);
    table->rows = store_grow(table->rows, &table->room, table->count + 1, sizeof *table->rows);
    table->rows[table->count++] =
        (struct history_row){key, history->bytes_first + history->bytes.size - size, (uint32_t)size, false};
    if (index == HISTORY_INDEX_ANSWER) {
        const struct answer_row *answer = given;

        map_add(&history->answers, history_answer_hash(history, answer->scope, &answer->request_id), key);
    }
}

void
history_drop(struct history *history, unsigned index, uint64_t key, const struct answer_row *answer)
{
    struct history_table *table = &history->table[index];
    struct history_dropped dropped = {.key = key, .row = find_row(history, index, key)};

    assert(map_get(&table->dropped_keys, store_mix(key)) == 0);
    if (dropped.row != HISTORY_NO_ROW)
        table->rows[dropped.row].gone = true;
    if (answer != NULL) {
        dropped.scope = answer->scope;
        dropped.request_id = answer->request_id;
        map_remove(&history->answers, history_answer_hash(history, answer->scope, &answer->request_id), key);
    }
    map_add(&table->dropped_keys, store_mix(key), 1);
    table->dropped = store_grow(table->dropped, &table->dropped_room, table->dropped_count + 1, sizeof *table->dropped);
    table->dropped[table->dropped_count++] = dropped;
}

const uint8_t *
history_see(struct history *history, unsigned index, uint64_t key, size_t *size, bool *dropped)
{
    const struct history_table *table = &history->table[index];
    size_t row;

    *dropped = map_get(&table->dropped_keys, store_mix(key)) != 0;
    row = *dropped ? HISTORY_NO_ROW : find_row(history, index, key);
    if (row == HISTORY_NO_ROW)
        return NULL;
    *size = table->rows[row].size;
    return history_row_bytes(history, &table->rows[row]);
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

/* --- the end of a batch ------------------------------------------------------------------------- */
static void
table_undo(struct history *history, unsigned index)
{
    struct history_table *table = &history->table[index];

    while (table->dropped_count > 0) {
        const struct history_dropped *dropped = &table->dropped[--table->dropped_count];

        map_remove(&table->dropped_keys, store_mix(dropped->key), 1);
        if (dropped->row != HISTORY_NO_ROW)
            table->rows[dropped->row].gone = false;
        if (index == HISTORY_INDEX_ANSWER)
            map_add(&history->answers, history_answer_hash(history, dropped->scope, &dropped->request_id),
                    dropped->key);
    }
    if (index == HISTORY_INDEX_ANSWER)
        for (size_t at = table->count; at-- > table->batch;)
            map_remove(&history->answers, hash_of_row(history, &table->rows[at]), table->rows[at].key);
    forget_rows(history, index, table->batch);
}

void
history_undo(struct history *history)
{
    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        table_undo(history, index);
    history->bytes.size = history->batch;
}

/* Forget the first rows of a table. */
static void
forget_first(struct history *history, unsigned index, size_t count)
{
    struct history_table *table = &history->table[index];

    if (index == HISTORY_INDEX_ENDED) {
        size_t known = count < history->ended_known ? count : history->ended_known;

        for (size_t at = 0; at < known; at++)
            map_remove(&history->ended, store_mix(table->rows[at].key), table->first + at + 1);
        history->ended_known -= known;
    }
    /* What the open batch drops of them has only LMDB left to be in. */
    for (size_t at = 0; at < table->dropped_count; at++) {
        size_t *row = &table->dropped[at].row;

        if (*row != HISTORY_NO_ROW)
            *row = *row < count ? HISTORY_NO_ROW : *row - count;
    }
    table->count -= count;
    table->batch -= count;
    table->first += count;
    if (table->count > 0 && count > 0)
        memmove(table->rows, table->rows + count, table->count * sizeof *table->rows);
}

static void
forget_first_gone(struct history_table *table, size_t count)
{
    for (size_t at = 0; at < count; at++)
        map_remove(&table->dropped_keys, store_mix(table->gone[at]), 1);
    table->gone_count -= count;
    if (table->gone_count > 0 && count > 0)
        memmove(table->gone, table->gone + count, table->gone_count * sizeof *table->gone);
}

void
history_turn(struct history *history)
{
    history->turned = history->batch;
    for (unsigned index = 0; index < HISTORY_TABLES; index++) {
        history->table[index].turned = history->table[index].batch;
        history->table[index].gone_turned = history->table[index].gone_count;
    }
}

void
history_carried(struct history *history, bool all)
{
    size_t bytes;

    if (all)
        history_turn(history);
    bytes = history->turned;
    for (unsigned index = 0; index < HISTORY_TABLES; index++) {
        struct history_table *table = &history->table[index];

        forget_first_gone(table, table->gone_turned);
        if (!history->keep)
            forget_first(history, index, table->turned);
        table->turned = table->gone_turned = 0;
    }
    history->turned = 0;
    if (history->keep || bytes == 0)
        return;
    history->bytes.size -= bytes;
    history->batch -= bytes;
    history->bytes_first += bytes;
    if (history->bytes.size > 0)
        memmove(history->bytes.data, history->bytes.data + bytes, history->bytes.size);
}

static void
table_done(struct history *history, unsigned index)
{
    struct history_table *table = &history->table[index];

    if (index == HISTORY_INDEX_ANSWER && table->count > table->batch)
        history->last_answer_no = table->rows[table->count - 1].key;
    table->gone =
        store_grow(table->gone, &table->gone_room, table->gone_count + table->dropped_count, sizeof *table->gone);
    for (size_t at = 0; at < table->dropped_count; at++)
        table->gone[table->gone_count++] = table->dropped[at].key;
    table->dropped_count = 0;
    table->batch = table->count;
}

void
history_done(struct history *history, bool waits)
{
    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        table_done(history, index);
    history->batch = history->bytes.size;
    if (!waits)
        history_carried(history, true);
}

/* --- opening ---------------------------------------------------------------------------------- */
struct history *
history_open(bool keep)
{
    struct history *history = store_allocate(1, sizeof *history);

    history->keep = keep;
    randombytes_buf(history->secret, sizeof history->secret);
    for (unsigned i = 0; i < HISTORY_ASKED; i++)
        history->asked[i].scope = UINT64_MAX; /* nobody's */
    return history;
}

void
history_close(struct history *history)
{
    for (unsigned index = 0; index < HISTORY_TABLES; index++) {
        struct history_table *table = &history->table[index];

        map_free(&table->dropped_keys);
        free(table->rows);
        free(table->dropped);
        free(table->gone);
    }
    free(history->bytes.data);
    map_free(&history->ended);
    map_free(&history->answers);
    free(history);
}

uint64_t
history_bytes(const struct history *history)
{
    uint64_t bytes = map_bytes(&history->answers) + map_bytes(&history->ended) + history->bytes.room;

    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        bytes += history->table[index].room * sizeof *history->table[index].rows;
    return bytes;
}
