/* sweep.c: the sweep.
 *
 *     put -> key into `gathering`, and its flag
 *     begin pass: gathering -> pass, sorted, the flags change their roles; pass_start = the last position
 *     each commit: the next records of the pass, as they are now -> their tables (or their rows deleted), flags off
 *     pass ended: meta.cut = pass_start; journal rows up to it are deleted, some with each commit
 *
 * A record that changes again before its turn in the pass has both flags; its turn takes it as it is then and takes
 * gathering's off; the pass's goes when that is on the disk. One that changes after its turn gathers for the next pass.
 *
 * Several instances share one pass: its start and the key up to which it has come stand in the meta row and change in
 * the transaction that writes the rows, so whoever writes carries it on. Each has marks of its own: at least those of
 * all records whose row is older, so a mark may be one too many, never one too few. That another instance's pass has
 * come by a key says that all changes up to pass_start are in its row, and nothing of later ones: they had perhaps no
 * reason to write it, for their marks are fewer. So it takes off the pass's flag alone.
 *
 * The pace follows the journal: a pass begins when `journal_bytes` have been appended since the last one began, and is
 * to end before as many again have come. Records go out in bursts, so that neighbours share their page's write. A burst
 * is at most the larger of slice_records and twice what the batch changed: twice, so that a pass always catches up
 * however fast new records come, and the journal stays bounded. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/disk.h"
#include "server/store/disk_rows.h"
#include "server/store/memory.h"
#include "server/store/sweep.h"

#define SWEEP_BURST 128u

/* --- marks ------------------------------------------------------------------------------------ */
static uint8_t
gathering_flag(const struct sweep *sweep)
{
    return (uint8_t)(sweep->pass_flag ^ TABLE_DIRTY);
}

void
sweep_mark(struct sweep *sweep, struct table *table, uint32_t slot, bool in_pass)
{
    struct sweep_list *list = in_pass ? &sweep->pass[table->kind->number] : &sweep->gathering[table->kind->number];
    uint8_t *flags = table_flags(table, slot), flag = in_pass ? sweep->pass_flag : gathering_flag(sweep);

    if ((*flags & flag) != 0)
        return;
    *flags |= flag;
    list->keys = store_grow(list->keys, &list->room, list->count + 1, sizeof *list->keys);
    list->keys[list->count++] = table_key(table, slot);
    if (in_pass) {
        sweep->pass_count++;
        sweep->unsorted = true;
    } else {
        sweep->gathered_count++;
    }
}

/* Take these flags off a key's record if the key counts in the list of `flag`. */
static void
unmark(struct sweep *sweep, struct table *table, uint64_t key, uint8_t flag, uint8_t off)
{
    uint32_t slot = table_find(table, key);
    uint8_t *flags = slot == TABLE_NO_SLOT ? NULL : table_flags(table, slot);

    if (flags == NULL || (*flags & flag) == 0)
        return;
    if ((*flags & off & gathering_flag(sweep)) != 0)
        sweep->gathered_count--;
    *flags &= (uint8_t)~off;
    if ((*flags & (TABLE_PRESENT | TABLE_TOUCHED | TABLE_DIRTY)) == 0)
        table_give_back(table, slot);
}

bool
sweep_is_clean(const struct sweep *sweep)
{
    return sweep->gathered_count == 0 && !sweep->running;
}

uint64_t
sweep_dirty_count(const struct sweep *sweep)
{
    return sweep->gathered_count + sweep->pass_count - sweep->written_count;
}

void
sweep_close(struct sweep *sweep)
{
    for (unsigned number = 0; number < STORE_RECORD_TABLES; number++) {
        free(sweep->gathering[number].keys);
        free(sweep->pass[number].keys);
    }
}

/* --- passes ----------------------------------------------------------------------------------- */
/* Sort by bytes, the lowest first; a byte that is the same in all keys costs nothing. Keys of one table differ in few
 * bytes, and a comparing sort of some hundred thousand keys would be felt by everybody who waits for the commit. */
static void
sort_keys(uint64_t *keys, size_t count)
{
    uint64_t *spare, all = 0, *from = keys, *to;
    bool ascending = true;

    for (size_t at = 1; at < count; at++) {
        all |= keys[at] ^ keys[0];
        ascending = ascending && keys[at - 1] < keys[at];
    }
    if (ascending)
        return;
    to = spare = store_allocate(count, sizeof *spare);
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t start[257] = {0};
        uint64_t *swapped = from;

        if ((all >> shift & 255) == 0)
            continue;
        for (size_t at = 0; at < count; at++)
            start[(from[at] >> shift & 255) + 1]++;
        for (size_t byte = 1; byte < 256; byte++)
            start[byte] += start[byte - 1];
        for (size_t at = 0; at < count; at++)
            to[start[from[at] >> shift & 255]++] = from[at];
        from = to;
        to = swapped;
    }
    if (from != keys)
        memcpy(keys, from, count * sizeof *keys);
    free(spare);
}

static void
sort_pass(struct sweep *sweep)
{
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        sort_keys(sweep->pass[number].keys, sweep->pass[number].count);
    sweep->table = 1;
    sweep->at = 0;
    sweep->written_count = 0;
    sweep->running = true;
    sweep->unsorted = false;
}

/* What has gathered becomes the pass, which is empty. */
static void
pass_from_gathering(struct sweep *sweep)
{
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++) {
        struct sweep_list emptied = sweep->pass[number];

        assert(emptied.count == 0);
        sweep->pass[number] = sweep->gathering[number];
        sweep->gathering[number] = emptied;
        sweep->pass_count += sweep->pass[number].count;
    }
    sweep->pass_flag = gathering_flag(sweep);
    sweep->gathered_count = 0;
    sweep->bytes_then = sweep->bytes_since;
    sweep->bytes_since = 0;
}

bool
sweep_begin_pass(struct sweep *sweep, uint64_t position, bool now)
{
    if (sweep->running || sweep->gathered_count == 0)
        return false;
    if (!now && sweep->bytes_since < sweep->journal_bytes)
        return false;
    pass_from_gathering(sweep);
    sort_pass(sweep);
    sweep->pass_start = position;
    sweep->published = false;
    return true;
}

void
sweep_resume(struct sweep *sweep, uint64_t pass_start)
{
    if (pass_start == 0)
        return;
    sort_pass(sweep);
    sweep->pass_start = pass_start;
    sweep->published = true;
}

/* --- passes of others ------------------------------------------------------------------------- */
static void
pass_end(struct sweep *sweep)
{
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        sweep->pass[number].count = 0;
    sweep->running = sweep->published = sweep->unsorted = false;
    sweep->pass_count = sweep->written_count = 0;
}

/* The sorted pass has written everything up to this table and key. */
static void
pass_go_on(struct sweep *sweep, struct table *tables, unsigned last_table, uint64_t last_key)
{
    while (sweep->table < STORE_RECORD_TABLES && sweep->table <= last_table) {
        const struct sweep_list *list = &sweep->pass[sweep->table];

        if (sweep->at == list->count) {
            if (sweep->table == last_table)
                return;
            sweep->table++;
            sweep->at = 0;
            continue;
        }
        if (sweep->table == last_table && list->keys[sweep->at] > last_key)
            return;
        unmark(sweep, &tables[sweep->table], list->keys[sweep->at++], sweep->pass_flag, sweep->pass_flag);
        sweep->written_count++;
    }
}

/* The running pass never got into the meta row, for its transaction failed: what it has gathers again. */
static void
pass_take_back(struct sweep *sweep, struct table *tables)
{
    assert(sweep->written_count == 0);
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++) {
        const struct sweep_list *pass = &sweep->pass[number];

        for (size_t at = 0; at < pass->count; at++) {
            uint32_t slot = table_find(&tables[number], pass->keys[at]);

            if (slot == TABLE_NO_SLOT || (*table_flags(&tables[number], slot) & sweep->pass_flag) == 0)
                continue;
            sweep_mark(sweep, &tables[number], slot, false);
            *table_flags(&tables[number], slot) &= (uint8_t)~sweep->pass_flag;
        }
    }
    sweep->bytes_since += sweep->bytes_then;
    pass_end(sweep);
}

static void
gathering_forget(struct sweep *sweep, struct table *tables)
{
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++) {
        struct sweep_list *list = &sweep->gathering[number];

        for (size_t at = 0; at < list->count; at++)
            unmark(sweep, &tables[number], list->keys[at], gathering_flag(sweep), gathering_flag(sweep));
        list->count = 0;
    }
    assert(sweep->gathered_count == 0);
}

void
sweep_settle(struct sweep *sweep)
{
    if (!sweep->unsorted)
        return;
    for (unsigned number = 1; number <= sweep->table && number < STORE_RECORD_TABLES; number++) {
        struct sweep_list *list = &sweep->pass[number];
        size_t gone = number < sweep->table ? list->count : sweep->at;

        /* A key that was marked behind the place where the pass stands would be lost here; sweep_has_written says
         * that it needs no mark. */
        list->count -= gone;
        if (list->count > 0)
            memmove(list->keys, list->keys + gone, list->count * sizeof *list->keys);
    }
    sweep->pass_count -= sweep->written_count;
    sort_pass(sweep);
}

void
sweep_follow(struct sweep *sweep, struct table *tables, const struct disk_meta *meta, uint64_t position)
{
    if (sweep->running && !sweep->published)
        pass_take_back(sweep, tables);
    if (sweep->running && meta->pass_start != sweep->pass_start) { /* somebody has ended it */
        pass_go_on(sweep, tables, STORE_RECORD_TABLES, 0);
        pass_end(sweep);
    }
    if (!sweep->running && meta->cut >= position) { /* and maybe others after it */
        gathering_forget(sweep, tables);
        sweep->bytes_since = 0;
    }
    if (!sweep->running && meta->pass_start != 0) {
        /* Somebody has begun it. Had it begun before `position`, it would have been seen; so it has all our marks. */
        pass_from_gathering(sweep);
        sort_pass(sweep);
        sweep->pass_start = meta->pass_start;
        sweep->published = true;
    }
    if (sweep->running)
        pass_go_on(sweep, tables, meta->sweep_table, meta->sweep_key);
}

bool
sweep_has_written(const struct disk_meta *meta, uint64_t position, const struct table *table, uint32_t slot)
{
    unsigned number = table->kind->number;

    return position <= meta->cut ||
           (position <= meta->pass_start &&
            (number < meta->sweep_table || (number == meta->sweep_table && table_key(table, slot) <= meta->sweep_key)));
}

/* --- the pace --------------------------------------------------------------------------------- */
uint64_t
sweep_pace(const struct sweep *sweep, uint64_t changed, uint64_t bytes)
{
    uint64_t most = sweep->slice_records > changed * 2 ? sweep->slice_records : changed * 2;
    uint64_t left = sweep->pass_count - sweep->written_count, wanted;

    if (!sweep->running)
        return 0;
    bytes += sweep->bytes_since;
    wanted = bytes >= sweep->journal_bytes
                 ? left
                 : (uint64_t)((double)sweep->pass_count * (double)bytes / (double)sweep->journal_bytes);
    if (bytes < sweep->journal_bytes) {
        wanted = wanted > sweep->written_count ? wanted - sweep->written_count : 0;
        if (wanted < SWEEP_BURST && wanted < left)
            return 0;
    }
    return wanted < most ? wanted : most;
}

/* --- a slice ---------------------------------------------------------------------------------- */
static void
collect_record(struct store *store, unsigned number, uint64_t key, struct bytes *rows)
{
    struct sweep *sweep = &store->disk->sweep;
    const struct table *table = &store->tables[number];
    uint32_t slot = table_find(table, key);
    uint8_t *flags = slot == TABLE_NO_SLOT ? NULL : table_flags(table, slot);

    if (flags == NULL || (*flags & sweep->pass_flag) == 0)
        return;
    if ((*flags & gathering_flag(sweep)) != 0)
        sweep->gathered_count--;
    *flags &= (uint8_t)~gathering_flag(sweep);
    if ((*flags & TABLE_PRESENT) != 0)
        kept_add(rows, number, key, table_record(table, slot), table->kind->record_size);
    else
        kept_add_gone(rows, number, key);
}

/* Step over tables without any more keys; false at the end of the pass. */
static bool
slice_has_next(const struct sweep *sweep, struct sweep_slice *slice)
{
    while (slice->table < STORE_RECORD_TABLES && slice->at == sweep->pass[slice->table].count) {
        slice->table++;
        slice->at = 0;
    }
    return slice->table < STORE_RECORD_TABLES;
}

/* Delete journal rows up to meta's cut, some at a time. */
int
sweep_cut(struct disk *disk, MDB_txn *txn, const struct disk_meta *meta, uint64_t most)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int error = lmdb_cursor_open(txn, disk->dbi[DISK_JOURNAL], &cursor);

    if (error != 0)
        return error;
    for (uint64_t count = 0; error == 0 && count < most; count++) {
        uint64_t position;

        error = lmdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (error != 0)
            break;
        memcpy(&position, key.mv_data, sizeof position);
        if (position > meta->cut)
            break;
        error = lmdb_cursor_del(cursor);
    }
    mdb_cursor_close(cursor);
    return error == MDB_NOTFOUND ? 0 : error;
}

void
sweep_collect(struct store *store, struct disk_meta *meta, uint64_t most, struct bytes *rows, struct sweep_slice *slice)
{
    struct sweep *sweep = &store->disk->sweep;

    *slice = (struct sweep_slice){.table = sweep->table, .at = sweep->at};
    rows->size = 0;
    if (!sweep->running)
        return;
    if (!sweep->published)
        meta->sweep_table = 0;
    meta->pass_start = sweep->pass_start;
    while (slice->count < most && slice_has_next(sweep, slice)) {
        uint64_t key = sweep->pass[slice->table].keys[slice->at];

        collect_record(store, slice->table, key, rows);
        meta->sweep_table = slice->table;
        meta->sweep_key = key;
        slice->at++;
        slice->count++;
    }
    if (!slice_has_next(sweep, slice)) {
        meta->cut = meta->pass_start;
        meta->pass_start = 0;
    }
}

/* Nobody kept which of them had changed after the pass began as well: all have, to be on the safe side. */
void
sweep_undone(struct store *store, const struct sweep_slice *slice)
{
    struct sweep *sweep = &store->disk->sweep;
    unsigned number = sweep->table;

    if (slice->count == 0)
        return;
    for (size_t at = sweep->at; number != slice->table || at != slice->at;) {
        if (at == sweep->pass[number].count) {
            number++;
            at = 0;
            continue;
        }
        uint32_t slot = table_find(&store->tables[number], sweep->pass[number].keys[at++]);
        if (slot != TABLE_NO_SLOT && (*table_flags(&store->tables[number], slot) & sweep->pass_flag) != 0)
            sweep_mark(sweep, &store->tables[number], slot, false);
    }
}

void
sweep_done(struct store *store, const struct sweep_slice *slice)
{
    struct sweep *sweep = &store->disk->sweep;

    if (!sweep->running)
        return;
    sweep->published = true;
    while (sweep->table != slice->table || sweep->at != slice->at) {
        if (sweep->at == sweep->pass[sweep->table].count) {
            sweep->table++;
            sweep->at = 0;
            continue;
        }
        unmark(sweep, &store->tables[sweep->table], sweep->pass[sweep->table].keys[sweep->at++], sweep->pass_flag,
               sweep->pass_flag);
        sweep->written_count++;
    }
    if (sweep->table == STORE_RECORD_TABLES)
        pass_end(sweep);
}
