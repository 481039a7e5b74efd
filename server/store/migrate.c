/* migrate.c: the schemas that there have been, and how each becomes the next.
 *
 *     1   the first
 *     2   a queue keeps the downtimes that put its deadlines off, the house has the policy restart_grace_ms (X2)
 *     3   a block may be taken, and stands on a sold seat then: a byte of its note that was 0 says so (H8)
 *     4   named consumers of events, a table of their own; the house knows how far the history has come, and has the
 *         policies event_days and event_bytes_max (X5). The newest batches may stand in store.journal, which an older
 *         program would not look for
 *     5   a ticket is packed into 40 bytes: the token's end and the claim's are kept as times from their beginnings,
 *         and a user's next ticket, which hardly any has, stands in a table of its own
 *
 * To change a record: raise STORE_SCHEMA, add a row here with the sizes of the records as they were, and record a store
 * of the old schema in tests/data. What a step knows of an old schema it says in numbers, since the structs of
 * records.h go on changing.
 *
 * A step first folds the journal: its changes are in the old records' form, so they are put into the tables while the
 * old sizes are known, and the journal is emptied. */
#include <stdlib.h>
#include <string.h>

#include "server/store/journal.h"
#include "server/store/memory.h"
#include "server/store/migrate.h"

/* --- from 1 to 2 ------------------------------------------------------------------------------ */
#define QUEUE_SIZE_1 392u
#define QUEUE_SIZE_2 528u /* grace intervals and their count, zero, at the end */
#define HOUSE_SIZE_2 408u
#define GRACE_POLICY 248u /* where restart_grace_ms stands in the house record */
#define GRACE_USUAL  UINT64_C(60000)

static void
make_queue_2(void *new_record, const void *old_record)
{
    memcpy(new_record, old_record, QUEUE_SIZE_1);
}

static void
make_house_2(void *new_record, const void *old_record)
{
    const uint64_t grace_ms = GRACE_USUAL;

    memcpy(new_record, old_record, HOUSE_SIZE_2);
    memcpy((uint8_t *)new_record + GRACE_POLICY, &grace_ms, sizeof grace_ms);
}

static int
run_1(struct disk *disk, MDB_txn *txn)
{
    int error = migrate_records(disk, txn, STORE_TABLE_QUEUE, QUEUE_SIZE_1, QUEUE_SIZE_2, make_queue_2);

    return error != 0 ? error : migrate_records(disk, txn, STORE_TABLE_HOUSE, HOUSE_SIZE_2, HOUSE_SIZE_2, make_house_2);
}

/* --- from 2 to 3 ------------------------------------------------------------------------------ */
/* No row changes: of what was 0 nothing was taken. The schema says that an older program would not know what it means.
 */
static int
run_2(struct disk *disk, MDB_txn *txn)
{
    (void)disk;
    (void)txn;
    return 0;
}

/* --- from 3 to 4 ------------------------------------------------------------------------------ */
#define HOUSE_SIZE_4     424u /* two numbers of events, zero, at the end */
#define EVENT_POLICIES   256u /* where event_days and event_bytes_max stand in the house record */
#define EVENT_DAYS_USUAL UINT64_C(7)
#define EVENT_BYTES_MAX  UINT64_C(4294967296)

static void
make_house_4(void *new_record, const void *old_record)
{
    const uint64_t policies[] = {EVENT_DAYS_USUAL, EVENT_BYTES_MAX};

    memcpy(new_record, old_record, HOUSE_SIZE_2);
    memcpy((uint8_t *)new_record + EVENT_POLICIES, policies, sizeof policies);
}

static int
run_3(struct disk *disk, MDB_txn *txn)
{
    return migrate_records(disk, txn, STORE_TABLE_HOUSE, HOUSE_SIZE_2, HOUSE_SIZE_4, make_house_4);
}

/* --- from 4 to 5 ------------------------------------------------------------------------------ */
#define TICKET_SIZE_4 64u
#define TICKET_SIZE_5 40u
#define MOMENT_BITS   48u
#define CONSUMER_SIZE 72u

struct ticket_4 {
    uint64_t key, user_and_state, joined_at_ms, ends_at_ms, active_since, end_due, claim_due, next_of_user;
};

/* A moment of 48 bits and what stands above it. */
static uint64_t
pack(uint64_t moment, uint64_t above)
{
    return (moment & ((UINT64_C(1) << MOMENT_BITS) - 1)) | above << MOMENT_BITS;
}

static void
make_ticket_5(void *new_record, const void *old_record)
{
    struct ticket_4 old;

    memcpy(&old, old_record, sizeof old);
    uint64_t user_no = old.user_and_state & UINT32_MAX, state = old.user_and_state >> 32 & UINT8_MAX;
    uint64_t token_ms = old.ends_at_ms - old.joined_at_ms, linked = old.next_of_user != 0;
    uint64_t claim_ms = old.claim_due == 0 ? 0 : old.claim_due - old.active_since;
    const uint64_t new[] = {old.key, user_no | token_ms << 32, pack(old.joined_at_ms, state | linked << 8),
                            pack(old.active_since, claim_ms >> 16), pack(old.end_due, claim_ms & UINT16_MAX)};
    _Static_assert(sizeof new == TICKET_SIZE_5, "all of it");
    memcpy(new_record, new, sizeof new);
}

static int
link_tickets(struct disk *disk, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    struct ticket_4 ticket;
    int error = lmdb_cursor_open(txn, disk->dbi[STORE_TABLE_TICKET], &cursor);

    if (error != 0)
        return error;
    while ((error = lmdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        memcpy(&ticket, value.mv_data, sizeof ticket); /* folding the journal has looked at its size and check */
        const uint64_t link[] = {ticket.key, ticket.next_of_user};
        if (ticket.next_of_user != 0)
            error = disk_put_number(disk, txn, STORE_TABLE_LINK, ticket.key, link, sizeof link, 0);
        if (error != 0)
            break;
    }
    mdb_cursor_close(cursor);
    return error == MDB_NOTFOUND ? 0 : error;
}

static int
run_4(struct disk *disk, MDB_txn *txn)
{
    int error = link_tickets(disk, txn);

    return error != 0 ? error
                      : migrate_records(disk, txn, STORE_TABLE_TICKET, TICKET_SIZE_4, TICKET_SIZE_5, make_ticket_5);
}

/* --- the steps -------------------------------------------------------------------------------- */
static const struct migration steps[] = {
    {1,
     {[STORE_TABLE_HOUSE] = 408,
      [STORE_TABLE_QUEUE] = QUEUE_SIZE_1,
      [STORE_TABLE_CONCERT] = 184,
      [STORE_TABLE_PLAN] = 2072,
      [STORE_TABLE_DATE] = 144,
      [STORE_TABLE_BLOCK] = 560,
      [STORE_TABLE_NOTE] = 64,
      [STORE_TABLE_USER] = 56,
      [STORE_TABLE_TICKET] = 64,
      [STORE_TABLE_HOLD] = 64,
      [STORE_TABLE_OWNED] = 16,
      [STORE_TABLE_CLIENT] = 120},
     run_1},
    {2,
     {[STORE_TABLE_HOUSE] = HOUSE_SIZE_2,
      [STORE_TABLE_QUEUE] = QUEUE_SIZE_2,
      [STORE_TABLE_CONCERT] = 184,
      [STORE_TABLE_PLAN] = 2072,
      [STORE_TABLE_DATE] = 144,
      [STORE_TABLE_BLOCK] = 560,
      [STORE_TABLE_NOTE] = 64,
      [STORE_TABLE_USER] = 56,
      [STORE_TABLE_TICKET] = 64,
      [STORE_TABLE_HOLD] = 64,
      [STORE_TABLE_OWNED] = 16,
      [STORE_TABLE_CLIENT] = 120},
     run_2},
    {3,
     {[STORE_TABLE_HOUSE] = HOUSE_SIZE_2,
      [STORE_TABLE_QUEUE] = QUEUE_SIZE_2,
      [STORE_TABLE_CONCERT] = 184,
      [STORE_TABLE_PLAN] = 2072,
      [STORE_TABLE_DATE] = 144,
      [STORE_TABLE_BLOCK] = 560,
      [STORE_TABLE_NOTE] = 64,
      [STORE_TABLE_USER] = 56,
      [STORE_TABLE_TICKET] = 64,
      [STORE_TABLE_HOLD] = 64,
      [STORE_TABLE_OWNED] = 16,
      [STORE_TABLE_CLIENT] = 120},
     run_3},
    {4,
     {[STORE_TABLE_HOUSE] = HOUSE_SIZE_4,
      [STORE_TABLE_QUEUE] = QUEUE_SIZE_2,
      [STORE_TABLE_CONCERT] = 184,
      [STORE_TABLE_PLAN] = 2072,
      [STORE_TABLE_DATE] = 144,
      [STORE_TABLE_BLOCK] = 560,
      [STORE_TABLE_NOTE] = 64,
      [STORE_TABLE_USER] = 56,
      [STORE_TABLE_TICKET] = TICKET_SIZE_4,
      [STORE_TABLE_HOLD] = 64,
      [STORE_TABLE_OWNED] = 16,
      [STORE_TABLE_CLIENT] = 120,
      [STORE_TABLE_CONSUMER] = CONSUMER_SIZE},
     run_4},
};
_Static_assert(sizeof steps / sizeof *steps == STORE_SCHEMA - 1, "a step for each schema before this one");

/* The records of this schema. When one of these fails, a stored form has changed: see above what that takes. */
#define SIZE_STAYS(type, size) _Static_assert(sizeof(struct type) == (size), "raise STORE_SCHEMA and add a step")
SIZE_STAYS(house_record, HOUSE_SIZE_4);
SIZE_STAYS(queue_record, QUEUE_SIZE_2);
SIZE_STAYS(concert_record, 184);
SIZE_STAYS(plan_record, 2072);
SIZE_STAYS(date_record, 144);
SIZE_STAYS(block_record, 560);
SIZE_STAYS(note_record, 64);
SIZE_STAYS(user_record, 56);
SIZE_STAYS(ticket_record, TICKET_SIZE_5);
SIZE_STAYS(link_record, 16);
SIZE_STAYS(hold_record, 64);
SIZE_STAYS(owned_record, 16);
SIZE_STAYS(client_record, 120);
SIZE_STAYS(consumer_record, CONSUMER_SIZE);
SIZE_STAYS(entry_row, 72);
SIZE_STAYS(payment_row, 560);
SIZE_STAYS(refund_row, 560);
SIZE_STAYS(ended_row, 40);
SIZE_STAYS(event_row, 96);
SIZE_STAYS(answer_row, 2104);
SIZE_STAYS(history_record, 72);
SIZE_STAYS(disk_meta, 64);

const struct migration *
disk_migrations(size_t *count)
{
    *count = sizeof steps / sizeof *steps;
    return steps;
}

/* --- records ---------------------------------------------------------------------------------- */
int
migrate_records(struct disk *disk, MDB_txn *txn, unsigned table, size_t old_size, size_t new_size,
                void (*make)(void *new_record, const void *old_record))
{
    uint8_t *old_record = store_allocate(1, old_size), *new_record = store_allocate(1, new_size);
    uint64_t number = 0;
    int error;

    for (;;) {
        MDB_val key = {sizeof number, &number}, value;
        MDB_cursor *cursor;

        error = lmdb_cursor_open(txn, disk->dbi[table], &cursor);
        if (error != 0)
            break;
        error = lmdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        if (error == 0 && value.mv_size != old_size + DISK_CHECK_SIZE)
            error = MDB_CORRUPTED;
        if (error == 0) {
            memcpy(&number, key.mv_data, sizeof number);
            memcpy(old_record, value.mv_data, old_size);
        }
        mdb_cursor_close(cursor);
        if (error != 0)
            break;
        memset(new_record, 0, new_size);
        make(new_record, old_record);
        error = disk_put_number(disk, txn, table, number, new_record, new_size, 0);
        if (error != 0 || ++number == 0)
            break;
    }
    free(old_record);
    free(new_record);
    return error == MDB_NOTFOUND ? 0 : error;
}

/* --- folding the journal ---------------------------------------------------------------------- */
struct folding {
    struct disk *disk;
    MDB_txn *txn;
    struct table_kind kinds[STORE_RECORD_TABLES];
    struct table tables[STORE_RECORD_TABLES];
    struct migrate_place *place;
};

static int
read_rows(struct folding *folding, unsigned number,
          int (*take)(struct folding *folding, const void *bytes, size_t size))
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int error = lmdb_cursor_open(folding->txn, folding->disk->dbi[number], &cursor);

    if (error != 0)
        return error;
    folding->place->table = number;
    while ((error = lmdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t size;

        if (key.mv_size == sizeof folding->place->key)
            memcpy(&folding->place->key, key.mv_data, sizeof folding->place->key);
        if (key.mv_size != sizeof folding->place->key || !disk_value_good(number, &key, &value, &size))
            error = MDB_CORRUPTED;
        else
            error = take(folding, value.mv_data, size);
        if (error != 0)
            break;
    }
    mdb_cursor_close(cursor);
    return error == MDB_NOTFOUND ? 0 : error;
}

static int
take_record(struct folding *folding, const void *bytes, size_t size)
{
    struct table *table = &folding->tables[folding->place->table];
    uint32_t slot;

    if (size != table->kind->record_size || memcmp(bytes, &folding->place->key, sizeof folding->place->key) != 0)
        return MDB_CORRUPTED;
    slot = table_take(table, folding->place->key)->slot;
    memcpy(table_record(table, slot), bytes, size);
    *table_flags(table, slot) = TABLE_PRESENT;
    table->count++;
    return 0;
}

static void
mark_changed(void *context, struct table *table, uint32_t slot)
{
    (void)context;
    *table_flags(table, slot) |= TABLE_DIRTY;
}

static int
take_batch(struct folding *folding, const void *bytes, size_t size)
{
    if (folding->place->key <= folding->disk->meta.cut)
        return 0;
    return journal_apply(folding->tables, bytes, size, mark_changed, NULL) ? 0 : MDB_CORRUPTED;
}

static int
write_changes(const struct folding *folding, unsigned number)
{
    const struct table *table = &folding->tables[number];
    int error = 0;

    for (uint32_t slot = 0; error == 0 && slot < table->slot_count; slot++) {
        uint8_t flags = *table_flags(table, slot);

        if ((flags & TABLE_DIRTY) == 0)
            continue;
        if ((flags & TABLE_PRESENT) != 0)
            error = disk_put_number(folding->disk, folding->txn, number, table_key(table, slot),
                                    table_record(table, slot), table->kind->record_size, 0);
        else
            error = disk_del_number(folding->disk, folding->txn, number, table_key(table, slot));
        if (error == MDB_NOTFOUND)
            error = 0; /* it came and went within the journal */
    }
    return error;
}

static int
fold(struct folding *folding)
{
    int error = 0;

    for (unsigned number = 1; error == 0 && number < STORE_RECORD_TABLES; number++)
        error = read_rows(folding, number, take_record);
    if (error == 0)
        error = read_rows(folding, DISK_JOURNAL, take_batch);
    for (unsigned number = 1; error == 0 && number < STORE_RECORD_TABLES; number++)
        error = write_changes(folding, number);
    return error != 0 ? error : mdb_drop(folding->txn, folding->disk->dbi[DISK_JOURNAL], 0);
}

static int
fold_journal(struct disk *disk, MDB_txn *txn, const size_t *sizes, struct migrate_place *place)
{
    struct folding *folding = store_allocate(1, sizeof *folding);
    int error;

    folding->disk = disk;
    folding->txn = txn;
    folding->place = place;
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++) {
        folding->kinds[number] = table_kinds[number];
        if (sizes[number] != 0)
            folding->kinds[number].record_size = sizes[number];
        table_open(&folding->tables[number], &folding->kinds[number]);
    }
    error = fold(folding);
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        table_close(&folding->tables[number]);
    free(folding);
    return error;
}

/* --- steps ------------------------------------------------------------------------------------ */
static int
take_step(struct disk *disk, MDB_txn *txn, const struct migration *step, struct disk_meta *meta,
          struct migrate_place *place)
{
    int error = fold_journal(disk, txn, step->size, place);

    if (error == 0)
        error = step->run(disk, txn);
    if (error == 0)
        error = disk_digest_forget(disk, txn);
    meta->schema = step->from + 1;
    meta->cut = meta->position;
    meta->pass_start = meta->sweep_key = 0;
    meta->sweep_table = 0;
    meta->writer = disk->writer;
    meta->writes++;
    return error != 0 ? error : disk_put_number(disk, txn, DISK_META, DISK_META_STORE, meta, sizeof *meta, 0);
}

static const struct migration *
find_step(const struct migration *migrations, size_t count, uint32_t from)
{
    for (size_t at = 0; at < count; at++)
        if (migrations[at].from == from)
            return &migrations[at];
    return NULL;
}

int
disk_migrate(struct disk *disk, const struct migration *migrations, size_t count, uint32_t schema,
             struct migrate_place *place)
{
    while (disk->meta.schema < schema) {
        const struct migration *step = find_step(migrations, count, disk->meta.schema);
        struct disk_meta meta;
        MDB_txn *txn;
        int error;

        *place = (struct migrate_place){DISK_META, DISK_META_STORE};
        if (step == NULL)
            return MDB_VERSION_MISMATCH;
        error = disk_write_begin(disk, &txn);
        if (error != 0)
            return error;
        /* Under the lock: another instance may have taken the step meanwhile. */
        error = disk_get(disk, txn, DISK_META, DISK_META_STORE, &meta, sizeof meta);
        if (error == 0 && meta.schema == step->from) {
            disk->meta = meta;
            error = take_step(disk, txn, step, &meta, place);
        }
        if (error != 0) {
            disk_write_abort(disk, txn);
            return error;
        }
        error = disk_write_commit(disk, txn);
        if (error != 0)
            return error;
        disk->meta = meta;
    }
    return 0;
}
