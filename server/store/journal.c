/* journal.c: after-images in few bytes.
 *
 *     number stamp_ms | number commands_size | commands | change, change ...
 *     change: u8 table + kind * 64 | number key (zigzag of the difference to the table's previous key in this value)
 *             of a removal nothing more; else runs of words:
 *     run:    number count | number skipped | count words, each a number;   a count of 0 ends the change
 *             of a dropped answer, which is the removal of a row of history: number scope | 16 bytes request id
 *
 * Numbers are as in bytes.h. A record is a row of 8-byte words; word 0 is the key and never in a run. NEW begins with
 * zeroes, CHANGED with the record as it is; words that are not named stay. All values are absolute, so putting a
 * value on a record that is already newer, and then the later ones, ends in the same record. */
#include <assert.h>
#include <string.h>

#include "server/store/digest.h"
#include "server/store/journal.h"

enum { CHANGE_CHANGED = 0, CHANGE_NEW = 1, CHANGE_REMOVED = 2 };
#define CHANGE_KIND_UNIT 64u

_Static_assert(STORE_TABLE_END <= CHANGE_KIND_UNIT, "table and kind share a byte");

/* A whole number that may go up and down, small ones in few bytes. */
static uint64_t
zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static uint64_t
zagzig(uint64_t coded)
{
    return coded >> 1 ^ -(coded & 1);
}

static uint64_t
word_at(const uint8_t *record, size_t word)
{
    uint64_t value;

    memcpy(&value, record + word * 8, sizeof value);
    return value;
}

/* before is NULL for zeroes. */
static void
encode_runs(struct bytes *bytes, const uint8_t *before, const uint8_t *after, size_t words)
{
    size_t from = 1, word = 1;

    while (word < words) {
        size_t end = word;

        while (end < words && word_at(after, end) != (before == NULL ? 0 : word_at(before, end)))
            end++;
        if (end == word) {
            word++;
            continue;
        }
        bytes_add_number(bytes, end - word);
        bytes_add_number(bytes, word - from);
        for (; word < end; word++)
            bytes_add_number(bytes, word_at(after, word));
        from = end;
    }
    bytes_add_number(bytes, 0);
}

static void
encode_change(const struct store *store, const struct batch_touch *touched, uint64_t *last_key, struct bytes *bytes)
{
    const struct table *table = &store->tables[touched->table];
    const uint8_t *after = table_record(table, touched->slot);
    const uint8_t *before = touched->had ? store->batch.images + touched->image : NULL;
    bool present = (*table_flags(table, touched->slot) & TABLE_PRESENT) != 0;
    uint64_t key = table_key(table, touched->slot), difference = key - last_key[touched->table];
    unsigned kind = !present ? CHANGE_REMOVED : before == NULL ? CHANGE_NEW : CHANGE_CHANGED;
    uint8_t head = (uint8_t)(touched->table + kind * CHANGE_KIND_UNIT);

    bytes_add(bytes, &head, 1);
    bytes_add_number(bytes, zigzag(difference));
    last_key[touched->table] = key;
    if (present)
        encode_runs(bytes, before, after, table->kind->record_size / 8);
}

/* Other instances have an index of the answers too, and can't read what has gone. */
static void
encode_dropped(const struct history_table *answers, struct bytes *bytes)
{
    const uint8_t head = STORE_TABLE_ANSWER + CHANGE_REMOVED * CHANGE_KIND_UNIT;
    uint64_t last_key = 0;

    for (size_t at = 0; at < answers->dropped_count; at++) {
        const struct history_dropped *dropped = &answers->dropped[at];

        bytes_add(bytes, &head, 1);
        bytes_add_number(bytes, zigzag(dropped->key - last_key));
        bytes_add_number(bytes, dropped->scope);
        bytes_add(bytes, &dropped->request_id, sizeof dropped->request_id);
        last_key = dropped->key;
    }
}

void
journal_encode(const struct store *store, const uint8_t *commands, size_t commands_size, struct bytes *bytes)
{
    const struct house_record *house = table_see(&store->tables[STORE_TABLE_HOUSE], 0);
    uint64_t last_key[STORE_RECORD_TABLES] = {0};

    bytes->size = 0;
    bytes_add_number(bytes, house == NULL ? 0 : house->stamp_ms);
    bytes_add_number(bytes, commands_size);
    bytes_add(bytes, commands, commands_size);
    for (size_t at = 0; at < store->batch.touched_count; at++)
        if (store->batch.touched[at].changed)
            encode_change(store, &store->batch.touched[at], last_key, bytes);
    encode_dropped(&store->history->table[HISTORY_INDEX_ANSWER], bytes);
}

static bool
apply_runs(struct reading *reading, uint8_t *record, size_t words)
{
    size_t word = 1;

    for (;;) {
        uint64_t count = reading_number(reading), skipped;

        if (!reading->good || count == 0)
            return reading->good;
        skipped = reading_number(reading);
        if (skipped > words - word || count > words - word - skipped)
            return false;
        word += skipped;
        for (; count > 0; count--, word++) {
            uint64_t value = reading_number(reading);

            memcpy(record + word * 8, &value, sizeof value);
        }
    }
}

static bool
apply_dropped(struct reading *reading, uint64_t answer_no, const struct journal_listener *listener)
{
    uint64_t scope = reading_number(reading);
    usher_id request_id;

    if (!reading->good || reading->left < sizeof request_id)
        return false;
    memcpy(&request_id, reading->data, sizeof request_id);
    reading->data += sizeof request_id;
    reading->left -= sizeof request_id;
    if (listener->dropped != NULL)
        listener->dropped(listener->context, answer_no, scope, &request_id);
    return true;
}

static bool
apply_record(struct table *table, uint64_t key, unsigned kind, struct reading *reading,
             const struct journal_listener *listener)
{
    uint32_t slot = table_find(table, key);
    uint8_t *flags, *record;
    uint64_t before;

    if (slot == TABLE_NO_SLOT)
        slot = table_take(table, key)->slot;
    flags = table_flags(table, slot);
    record = table_record(table, slot);
    before = digest_of_slot(table, slot);
    if (listener->before != NULL)
        listener->before(listener->context, table, slot);
    table->count += (kind != CHANGE_REMOVED) - (uint64_t)((*flags & TABLE_PRESENT) != 0);
    *flags = (uint8_t)((*flags & ~TABLE_PRESENT) | (kind != CHANGE_REMOVED ? TABLE_PRESENT : 0));
    if (kind == CHANGE_NEW)
        memset(record + 8, 0, table->kind->record_size - 8);
    if (kind != CHANGE_REMOVED && !apply_runs(reading, record, table->kind->record_size / 8))
        return false;
    digest_add(table, slot, digest_of_slot(table, slot) - before);
    if (listener->after != NULL)
        listener->after(listener->context, table, slot);
    return reading->good;
}

static bool
apply_change(struct table *tables, struct reading *reading, uint64_t *last_key, const struct journal_listener *listener)
{
    unsigned number = *reading->data % CHANGE_KIND_UNIT, kind = *reading->data / CHANGE_KIND_UNIT;
    uint64_t coded;

    reading->data++;
    reading->left--;
    coded = reading_number(reading);
    if (!reading->good || kind > CHANGE_REMOVED)
        return false;
    last_key[number] += zagzig(coded);
    if (number == STORE_TABLE_ANSWER && kind == CHANGE_REMOVED)
        return apply_dropped(reading, last_key[number], listener);
    return number > 0 && number < STORE_RECORD_TABLES &&
           apply_record(&tables[number], last_key[number], kind, reading, listener);
}

bool
journal_apply(struct table *tables, const uint8_t *value, size_t size, journal_visitor *visit, void *context)
{
    return journal_follow(tables, value, size, &(struct journal_listener){.after = visit, .context = context});
}

bool
journal_follow(struct table *tables, const uint8_t *value, size_t size, const struct journal_listener *listener)
{
    struct reading reading = {value, size, true};
    uint64_t last_key[CHANGE_KIND_UNIT] = {0}, commands_size;

    (void)reading_number(&reading); /* the stamp is the house record's as well */
    commands_size = reading_number(&reading);
    if (!reading.good || commands_size > reading.left)
        return false;
    reading.data += commands_size;
    reading.left -= commands_size;
    while (reading.left > 0)
        if (!apply_change(tables, &reading, last_key, listener))
            return false;
    return true;
}
