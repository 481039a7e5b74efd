/* migrate_test.c: data of older schemas opens for ever. tests/data/schema-1.mdb is a store that usherd of schema 1
 * wrote: a concert with two dates, three sold seats and one of them given back, three holds, blocked seats, charges,
 * waiting users, an invited client; SIGKILL took the server with its last batches in the journal. schema-2.mdb is one
 * of schema 2, likewise: two concert dates, a sold seat, three holds, four blocks, two of them of a channel, one that
 * waits for a hold. schema-3.mdb is one of schema 3: 52 events of which the history has taken in 50, a payment given
 * back, a blocked seat that its terminal sold and one that it holds. schema-4.mdb is one of schema 4, with its
 * schema-4.journal: two queues, three users with places in both, admissions claimed and not, one paid seat, three
 * holds; the last three batches, of one of these users and of one who leaves, stand in the journal's front alone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/core/core.h"
#include "server/store/disk.h"
#include "server/store/migrate.h"
#include "server/store/snapshot.h"
#include "tests/store_help.h"

#define FIXTURE_POSITION 32u

/* --- the fixture ---------------------------------------------------------------------------------------------- */
struct old_data {
    uint8_t *bytes;
    size_t size;
};

static struct old_data
read_file(const char *path)
{
    struct old_data data = {malloc(1 << 20), 0};
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    assert_non_null(data.bytes);
    data.size = fread(data.bytes, 1, 1 << 20, file);
    fclose(file);
    assert_in_range(data.size, 8192, (1 << 20) - 1);
    return data;
}

static struct old_data
read_fixture(void)
{
    return read_file(SCHEMA_1_PATH);
}

static void
put_file(const struct help_folder *folder, const char *name, const struct old_data *data)
{
    char path[400];
    FILE *file;

    mkdir(folder->path, 0700);
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data->bytes, 1, data->size, file), data->size);
    fclose(file);
}

static void
put_data(const struct help_folder *folder, const struct old_data *data)
{
    char path[400];

    put_file(folder, "store.mdb", data);
    snprintf(path, sizeof path, "%s/store.mdb-lock", folder->path);
    remove(path);
}

static int
make_folder(void **state)
{
    struct old_data data = read_fixture();

    *state = calloc(1, sizeof(struct help_folder));
    help_folder_make(*state);
    put_data(*state, &data);
    free(data.bytes);
    return 0;
}

static int
remove_folder(void **state)
{
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    help_folder_remove(*state);
    free(*state);
    return 0;
}

static enum store_status
try_to_open(const struct help_folder *folder, struct store **store, char *why, size_t why_size)
{
    const struct store_options options = {
        .directory = folder->path, .map_bytes = UINT64_C(1) << 30, .unsafe_no_sync = true};

    return store_open(&options, store, why, why_size);
}

/* --- the tests ------------------------------------------------------------------------------------------------ */
/* F2: a store of schema 1 opens; nothing that it knew is lost, what is new has its default, and every invariant holds.
 */
static void
a_store_of_the_first_schema_opens_whole(void **state)
{
    struct store *store = help_open(*state, NULL);
    struct queue_record queue;
    struct house_record house;
    struct core *core;
    char why[256] = "";
    uint64_t digest = store_digest(store);

    for (int opening = 0; opening < 2; opening++) {
        assert_int_equal(store_position(store), FIXTURE_POSITION);
        assert_int_equal(store_figures(store).journal_count, 0);
        assert_int_equal(store_record_count(store, STORE_TABLE_USER), 9);
        assert_int_equal(store_record_count(store, STORE_TABLE_HOLD), 3);
        assert_int_equal(store_record_count(store, STORE_TABLE_NOTE), 2);
        assert_int_equal(store_house_counts(store).sold, 2);
        assert_int_equal(store_waiting_count(store, 1), 3);
        assert_int_equal(store_answer_count(store), 29);
        assert_true(store_get_queue(store, 1, &queue));
        assert_string_equal(queue.name, "Main house");
        assert_int_equal(queue.policy[QUEUE_POLICY_admit_batch], 6);
        assert_int_equal(queue.grace_count, 0);
        assert_true(store_get_house(store, 0, &house));
        assert_int_equal(house.policy[HOUSE_POLICY_restart_grace_ms], 60000);
        assert_int_equal(house.top_ups, -15700);
        assert_int_equal(house.sales, 10000);
        assert_int_equal(store_digest(store), digest);
        core = core_open(store);
        if (!core_audit(core, why, sizeof why))
            fail_msg("%s", why);
        core_close(core);
        store_close(store);
        store = help_open(*state, NULL);
    }
    store_close(store);
}

/* F2, H8: a store of schema 2 opens; its blocks are taken by nobody yet, and channel and reason are what they were. */
static void
a_store_of_the_second_schema_opens_whole(void **state)
{
    struct old_data data = read_file(SCHEMA_2_PATH);
    struct note_record note;
    struct store *store;
    struct core *core;
    char why[256] = "";

    put_data(*state, &data);
    free(data.bytes);
    for (int opening = 0; opening < 2; opening++) {
        store = help_open(*state, NULL);
        assert_int_equal(store_position(store), 31);
        assert_int_equal(store_figures(store).journal_count, 0);
        assert_int_equal(store_record_count(store, STORE_TABLE_USER), 8);
        assert_int_equal(store_record_count(store, STORE_TABLE_HOLD), 3);
        assert_int_equal(store_record_count(store, STORE_TABLE_NOTE), 4);
        assert_int_equal(store_house_counts(store).sold, 1);
        assert_int_equal(store_house_counts(store).blocked, 3);
        assert_int_equal(store_house_counts(store).withheld, 1);
        assert_true(store_get_note(store, (uint64_t)2 << 32 | 19, &note));
        assert_int_equal(note.channel, 3);
        assert_int_equal(note.taken, 0);
        assert_string_equal(note.reason, "box office");
        assert_true(store_get_note(store, (uint64_t)2 << 32 | 2, &note));
        assert_int_equal(note.channel, 0);
        assert_int_equal(note.taken, 0);
        core = core_open(store);
        if (!core_audit(core, why, sizeof why))
            fail_msg("%s", why);
        core_close(core);
        store_close(store);
    }
}

/* F2, X5: a store of schema 3 opens; no event is gone, the policies of events have their defaults, and the history goes
 * on where it was. */
static void
a_store_of_the_third_schema_opens_whole(void **state)
{
    struct old_data data = read_file(SCHEMA_3_PATH);
    struct house_record house;
    struct event_row event;
    struct store *store;
    struct core *core;
    char why[256] = "";

    put_data(*state, &data);
    free(data.bytes);
    for (uint64_t opening = 0; opening < 2; opening++) {
        store = help_open(*state, NULL);
        assert_int_equal(store_position(store), 37);
        assert_int_equal(store_figures(store).journal_count, 0);
        assert_int_equal(store_record_count(store, STORE_TABLE_USER), 9);
        assert_int_equal(store_record_count(store, STORE_TABLE_CLIENT), 3);
        assert_int_equal(store_record_count(store, STORE_TABLE_CONSUMER), 0);
        assert_int_equal(store_house_counts(store).sold, 3);
        assert_true(store_get_house(store, 0, &house));
        assert_int_equal(house.first_event_no, 1);
        assert_int_equal(house.last_event_no, 52);
        assert_int_equal(house.history_event_no, 0);
        assert_int_equal(house.policy[HOUSE_POLICY_seats_per_user], 5);
        assert_int_equal(house.policy[HOUSE_POLICY_event_days], 7);
        assert_int_equal(house.policy[HOUSE_POLICY_event_bytes_max], UINT64_C(4294967296));
        assert_true(store_read_event(store, 1, &event) && store_read_event(store, 52, &event));
        assert_int_equal(store_consumer_cursor(store), 50 + 2 * opening);
        assert_int_equal(store_consumer_step(store, 100), opening == 0 ? STORE_STEP_DONE : STORE_STEP_NOTHING);
        core = core_open(store);
        if (!core_audit(core, why, sizeof why))
            fail_msg("%s", why);
        core_close(core);
        store_close(store);
    }
}

/* What a ticket of the fixture was. */
struct was {
    uint64_t queue_no, position;
    uint32_t user_no;
    uint8_t state;
    uint64_t joined_at_ms, active_since, end_due;
    uint32_t claim_ms;
    uint64_t next;
};

static void
assert_ticket_was(const struct store *store, const struct was *was)
{
    uint64_t key = was->queue_no << 40 | was->position;
    const struct ticket_record *ticket = store_see_ticket(store, key);
    const struct link_record *link = store_see_link(store, key);

    assert_non_null(ticket);
    assert_int_equal(ticket->user_no, was->user_no);
    assert_int_equal(ticket->state, was->state);
    assert_int_equal(ticket->joined_at_ms, was->joined_at_ms);
    assert_int_equal(ticket->token_ms, 86400000);
    assert_int_equal(ticket->active_since, was->active_since);
    assert_int_equal(ticket->end_due, was->end_due);
    assert_int_equal(ticket_claim_ms(ticket), was->claim_ms);
    assert_int_equal(ticket->linked, was->next != 0);
    assert_int_equal(link == NULL ? 0 : link->next, was->next);
}

/* F2: a store of schema 4 opens, and what its newest batches have left in the journal's front comes with it; every
 * ticket is what it was, and leads on to the next one of its user. */
static void
a_store_of_the_fourth_schema_opens_whole(void **state)
{
    static const struct was was[] = {
        {1, 3, 3, USHER_PLACE_ACTIVE, 1795912510748, 1795912510748, 1795913110748, 0, UINT64_C(2) << 40 | 3},
        {1, 5, 7, USHER_PLACE_ACTIVE, 1795912510772, 1795912510772, 1795913110772, 120000, 0},
        {1, 6, 8, USHER_PLACE_ACTIVE, 1795912511252, 1795912511252, 1795913111252, 120000, UINT64_C(2) << 40 | 7},
        {2, 1, 1, USHER_PLACE_USED, 1795912510652, 1795912510652, 1795916110822, 0, 0},
        {2, 2, 2, USHER_PLACE_ACTIVE, 1795912510666, 1795912510666, 1795913110666, 90000, 0},
        {2, 4, 4, USHER_PLACE_WAITING, 1795912510688, 0, 1795912810688, 0, 0},
        {2, 5, 5, USHER_PLACE_LEFT, 1795912510700, 0, 1795916111260, 0, 0},
    };
    const struct help_folder *folder = *state;
    const struct store_options options = {.directory = folder->path, .map_bytes = UINT64_C(1) << 30};
    struct old_data data = read_file(SCHEMA_4_PATH), front = read_file(SCHEMA_4_FRONT_PATH);
    struct store *store;
    struct core *core;
    char why[512] = "";

    put_data(folder, &data);
    put_file(folder, "store.journal", &front);
    free(data.bytes);
    free(front.bytes);
    for (int opening = 0; opening < 2; opening++) {
        if (store_open(&options, &store, why, sizeof why) != STORE_OK)
            fail_msg("%s", why);
        assert_int_equal(store_position(store), 33);
        assert_int_equal(store_record_count(store, STORE_TABLE_TICKET), 13);
        assert_int_equal(store_record_count(store, STORE_TABLE_LINK), 3);
        assert_int_equal(store_waiting_count(store, 2), 3);
        assert_int_equal(store_active_count(store, 1), 5);
        for (size_t at = 0; at < sizeof was / sizeof *was; at++)
            assert_ticket_was(store, &was[at]);
        core = core_open(store);
        if (!core_audit(core, why, sizeof why))
            fail_msg("%s", why);
        core_close(core);
        store_close(store);
    }
}

/* F2: a snapshot changes nothing, so it does not read an older schema and says how it is brought up. */
static void
a_snapshot_of_an_older_schema_says_what_to_do(void **state)
{
    const struct help_folder *folder = *state;
    struct store *store;
    char why[512] = "";

    assert_int_equal(store_open_snapshot(folder->path, &store, why, sizeof why), STORE_NOT_ONE);
    assert_null(store);
    assert_non_null(strstr(why, "schema 1"));
    assert_non_null(strstr(why, "start usherd on it once"));
    store_close(help_open(folder, NULL));
    assert_int_equal(store_open_snapshot(folder->path, &store, why, sizeof why), STORE_OK);
    store_close(store);
}

/* X3: a fault at any call of the step leaves a store that the next opening brings up to the same. */
static void
a_step_is_taken_whole_or_not_at_all(void **state)
{
    struct old_data data = read_fixture();
    struct store *store = help_open(*state, NULL);
    uint64_t digest = store_digest(store), failed = 0, calls;
    char why[512];

    store_close(store);
    put_data(*state, &data);
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    store_close(help_open(*state, NULL));
    calls = lmdb_call_count();
    for (uint64_t nth = 1; nth <= calls; nth++) {
        put_data(*state, &data);
        lmdb_call_fail(nth, 1, EIO, nth % 2 == 0 ? LMDB_COMMIT_DONE : LMDB_COMMIT_NOT_DONE);
        failed += try_to_open(*state, &store, why, sizeof why) != STORE_OK;
        store_close(store);
        lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
        store = help_open(*state, NULL);
        assert_int_equal(store_digest(store), digest);
        assert_int_equal(store_position(store), FIXTURE_POSITION);
        store_close(store);
    }
    assert_in_range(failed, calls / 2, calls);
    free(data.bytes);
}

/* F2: damage in an old store is named by table and key, and nothing of it is brought up. */
static void
damage_in_an_old_store_is_named(void **state)
{
    struct old_data data = read_fixture();
    uint8_t *name = NULL;
    struct store *store;
    char why[512] = "";

    for (size_t at = 0; at + 16 < data.size && name == NULL; at++)
        if (memcmp(data.bytes + at, "A first night", 13) == 0 && data.bytes[at - 24] == 1) /* the record's own */
            name = data.bytes + at;
    assert_non_null(name);
    name[2] = 'F';
    put_data(*state, &data);
    assert_int_equal(try_to_open(*state, &store, why, sizeof why), STORE_DAMAGED);
    if (strstr(why, "table concert, key 1") == NULL)
        fail_msg("%s", why);
    free(data.bytes);
}

/* F2: a store whose schema no step begins at is refused. */
static void
a_schema_that_never_was_is_refused(void **state)
{
    static const struct migration none;
    struct store *store = help_open(*state, NULL);
    struct migrate_place place;

    assert_int_equal(disk_migrate(store->disk, &none, 0, STORE_SCHEMA + 1, &place), MDB_VERSION_MISMATCH);
    assert_int_equal(store->disk->meta.schema, STORE_SCHEMA);
    store_close(store);
}

static int
change_nothing(struct disk *disk, MDB_txn *txn)
{
    (void)disk;
    (void)txn;
    return 0;
}

/* X4: an instance under which another, newer one has raised the schema writes nothing any more and says why. */
static void
an_instance_stops_when_another_raises_the_schema(void **state)
{
    static const struct migration next = {.from = STORE_SCHEMA, .run = change_nothing};
    struct store *store = help_open(*state, NULL);
    struct migrate_place place;
    const char *why = "";

    assert_true(store_begin(store));
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    assert_int_equal(disk_migrate(store->disk, &next, 1, STORE_SCHEMA + 1, &place), 0);
    assert_false(store_begin(store));
    assert_int_equal(store_fault(store, &why), STORE_FAULT);
    assert_non_null(strstr(why, "use the newer program"));
    store_close(store);
    assert_int_equal(try_to_open(*state, &store, (char[512]){0}, 512), STORE_NEWER);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_of_the_first_schema_opens_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_store_of_the_second_schema_opens_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_store_of_the_third_schema_opens_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_store_of_the_fourth_schema_opens_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_snapshot_of_an_older_schema_says_what_to_do, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_step_is_taken_whole_or_not_at_all, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(damage_in_an_old_store_is_named, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_schema_that_never_was_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_instance_stops_when_another_raises_the_schema, make_folder, remove_folder),
    };

    return usher_test_main(argc, argv, tests);
}
