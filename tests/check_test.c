/* check_test.c: usherd check finds what is wrong with a data directory, and says where; and says nothing against one
 * that is sound. */
#include "tests/data_help.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/store/disk.h"
#include "server/store/snapshot.h"

static int
open_stage(void **state)
{
    *state = calloc(1, sizeof(struct data_stage));
    assert_non_null(*state);
    data_stage_open(*state);
    return 0;
}

static int
close_stage(void **state)
{
    data_stage_close(*state);
    free(*state);
    return 0;
}

/* --- what is sound -------------------------------------------------------------------------------------------- */
/* S5: data is sound while a usherd serves, after SIGKILL with batches in the journal, and after all is written back. */
static void
sound_data_has_no_problem(void **state)
{
    struct data_stage *stage = *state;

    data_must(stage, 0, ": sound\n", "check", stage->server.data, NULL);
    data_stage_stop(stage, SIGKILL);
    data_must(stage, 0, ": sound\n", "check", stage->server.data, NULL);
    assert_null(strstr(stage->said, "problem"));
    test_server_start(&stage->server, "--quiet", NULL);
    assert_int_equal(test_server_stop(&stage->server, SIGTERM), 0);
    data_must(stage, 0, ": sound\n", "check", stage->server.data, NULL);
    for (unsigned table = 0; table < STORE_DISK_TABLES; table++) {
        char line[64];

        snprintf(line, sizeof line, "table %s ", store_table_name(table) != NULL ? store_table_name(table) : "meta");
        assert_non_null(strstr(stage->said, line));
    }
}

/* What is no store can't be checked, which is another code than a problem. */
static void
what_cannot_be_opened_ends_with_two(void **state)
{
    struct data_stage *stage = *state;

    data_must(stage, 2, "No such file", "check", data_path(stage, "nowhere"), NULL);
    data_write(data_path(stage, "text"), "some text", 9);
    data_must(stage, 2, "text", "check", data_path(stage, "text"), NULL);
    data_must(stage, 64, "usherd check DATA", "check", NULL, NULL);
}

/* --- damage --------------------------------------------------------------------------------------------------- */
/* The last row of a table in a backup, where each row lies once. */
struct target {
    char key[64];
    uint8_t bytes[4096];
    size_t size;
    uint64_t rows;
};

static bool
take_row(void *context, const struct store_row *row)
{
    struct target *target = context;

    assert_null(row->problem);
    assert_true(row->size <= sizeof target->bytes);
    store_row_key(row, target->key);
    memcpy(target->bytes, row->bytes, row->size);
    target->size = row->size;
    target->rows++;
    return true;
}

/* Flip a bit in the middle of the row, and again to take it back. A page that was split keeps the bytes of rows that
 * moved away in its free space, so a row is changed wherever it stands with its check behind it. */
#define PLACES_MOST 16
struct places {
    uint8_t *place[PLACES_MOST];
    size_t count;
};

static struct places
find_row(const struct data_bytes *file, const struct target *target)
{
    struct places places = {.count = 0};
    const uint8_t *last = NULL; /* the key alone may stand before, and in other rows */

    for (size_t at = 0; at + target->size + DISK_CHECK_SIZE <= file->size; at++)
        if (memcmp(file->bytes + at, target->bytes, target->size) == 0)
            last = file->bytes + at;
    assert_non_null(last);
    for (size_t at = 0; at + target->size + DISK_CHECK_SIZE <= file->size; at++)
        if (memcmp(file->bytes + at, last, target->size + DISK_CHECK_SIZE) == 0) {
            assert_true(places.count < PLACES_MOST);
            places.place[places.count++] = file->bytes + at;
        }
    return places;
}

static void
flip(const struct places *places, size_t at)
{
    for (size_t i = 0; i < places->count; i++)
        places->place[i][at] ^= 0x10;
}

static struct target
last_row(const char *path, unsigned table)
{
    struct target target = {.rows = 0};
    struct store *store;
    char why[512];

    if (store_open_snapshot(path, &store, why, sizeof why) != STORE_OK)
        fail_msg("%s", why);
    assert_null(store_walk(store, table, take_row, &target));
    store_close(store);
    return target;
}

/* Write every record back to its table, and leave one batch in the journal. */
static void
settle(const char *path)
{
    const struct store_options options = {.directory = path, .map_bytes = UINT64_C(1) << 30, .no_front = true};
    struct store *store;
    struct user_record user;
    char why[512] = "";

    if (store_open(&options, &store, why, sizeof why) != STORE_OK)
        fail_msg("%s", why);
    while (store_idle(store))
        continue;
    assert_true(store_begin(store));
    assert_true(store_get_user(store, 1, &user));
    store_put_user(store, &user);
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    store_close(store);
}

/* S5: one byte that is not what it was, in a row of any table, is reported with that table and key. */
static void
a_flipped_byte_is_reported_with_table_and_key(void **state)
{
    struct data_stage *stage = *state;
    char backup[256], hurt[256];
    struct data_bytes file;

    snprintf(backup, sizeof backup, "%s", data_path(stage, "backup"));
    snprintf(hurt, sizeof hurt, "%s", data_path(stage, "hurt"));
    data_stage_stop(stage, SIGKILL);
    settle(stage->server.data);
    data_must(stage, 0, "up to position", "backup", stage->server.data, backup);
    file = data_read(backup);
    for (unsigned table = 1; table < STORE_DISK_TABLES; table++) {
        struct target target;
        char expected[160];
        struct places places;

        if (store_table_name(table) == NULL)
            continue;
        target = last_row(backup, table);
        if (target.rows == 0)
            fail_msg("table %s is empty, so nothing is shown of it", store_table_name(table));
        places = find_row(&file, &target);
        flip(&places, target.size / 2);
        data_write(hurt, file.bytes, file.size);
        flip(&places, target.size / 2);
        snprintf(expected, sizeof expected, "problem: table %s, key %s: the check does not fit\n",
                 store_table_name(table), target.key);
        data_must(stage, 1, expected, "check", hurt, NULL);
        assert_non_null(strstr(stage->said, ": 1 problem\n"));
    }
    free(file.bytes);
}

/* S5: a file that was cut short never passes, and never takes the check itself down. */
static void
a_truncated_file_never_passes(void **state)
{
    struct data_stage *stage = *state;
    char backup[256], hurt[256];
    struct data_bytes file;

    snprintf(backup, sizeof backup, "%s", data_path(stage, "backup"));
    snprintf(hurt, sizeof hurt, "%s", data_path(stage, "hurt"));
    data_must(stage, 0, "up to position", "backup", stage->server.data, backup);
    file = data_read(backup);
    for (size_t pages = 0; pages < file.size / 4096; pages += 1 + pages / 4) {
        data_write(hurt, file.bytes, pages * 4096);
        int code = data_run(stage, "check", hurt, NULL);

        if (code != 1 && code != 2)
            fail_msg("%zu pages: the check ended with %d: %s", pages, code, stage->said);
    }
    free(file.bytes);
}

/* S5: a page whose own structure is damaged is told of with its table, and the other tables are checked all the same.
 */
static void
a_broken_page_does_not_end_the_check(void **state)
{
    struct data_stage *stage = *state;
    char backup[256], hurt[256];
    struct data_bytes file;
    unsigned reported = 0;

    snprintf(backup, sizeof backup, "%s", data_path(stage, "backup"));
    snprintf(hurt, sizeof hurt, "%s", data_path(stage, "hurt"));
    data_must(stage, 0, "up to position", "backup", stage->server.data, backup);
    file = data_read(backup);
    for (size_t page = 2; page < file.size / 4096; page += 2) {
        uint8_t kept[16];

        memcpy(kept, file.bytes + page * 4096, sizeof kept);
        memset(file.bytes + page * 4096, 0xa5, sizeof kept); /* number, flags and bounds */
        data_write(hurt, file.bytes, file.size);
        memcpy(file.bytes + page * 4096, kept, sizeof kept);
        int code = data_run(stage, "check", hurt, NULL);

        if (code < 0 || code > 2)
            fail_msg("page %zu: the check ended with %d: %s", page, code, stage->said);
        reported += code != 0;
    }
    assert_in_range(reported, 4, file.size);
    free(file.bytes);
}

/* --- mistakes with right checks ------------------------------------------------------------------------------- */
static void
spoil_balance(struct store *store)
{
    struct user_record user;

    assert_true(store_get_user(store, 2, &user));
    user.balance++;
    store_put_user(store, &user);
}

static void
spoil_house_account(struct store *store)
{
    struct house_record house;

    store_get_house(store, 0, &house);
    house.sales--;
    store_put_house(store, &house);
}

static void
spoil_owned(struct store *store)
{
    struct owned_record owned;

    assert_true(store_get_owned(store, (uint64_t)1 << 32 | 1, &owned));
    owned.count++;
    store_put_owned(store, &owned);
}

/* Both legs, balance and last entry as they would be, but the chain of the user's entries skips one. */
static void
spoil_link(struct store *store)
{
    struct house_record house;
    struct user_record user;

    store_get_house(store, 0, &house);
    assert_true(store_get_user(store, 1, &user));
    house.top_ups -= 5;
    user.balance += 5;
    store_append_entry(store, &(struct entry_row){.entry_no = ++house.last_entry_no,
                                                  .at_ms = house.stamp_ms,
                                                  .user_no = 1,
                                                  .kind = USHER_ENTRY_CHARGE,
                                                  .amount = 5,
                                                  .user_balance = user.balance,
                                                  .house_balance = house.top_ups});
    user.last_entry_no = house.last_entry_no;
    store_put_user(store, &user);
    store_put_house(store, &house);
}

/* A ledger entry of a payment that is not there. */
static void
spoil_payment(struct store *store)
{
    struct house_record house;

    store_get_house(store, 0, &house);
    house.last_payment_id++;
    store_put_house(store, &house);
}

static void
spoil_event(struct store *store)
{
    store_drop_event(store, 3);
}

static void
spoil_reservations(struct store *store)
{
    struct house_record house;

    store_get_house(store, 0, &house);
    house.last_reservation_id++;
    store_put_house(store, &house);
}

/* A seat that was paid for is free again, and all counts are brought in line with it. */
static void
spoil_sold_seat(struct store *store)
{
    struct owned_record owned;
    struct block_record block;

    assert_true(store_get_block(store, (uint64_t)1 << 16, &block));
    assert_int_equal(block.sold & 1, 1);
    block.sold &= ~UINT64_C(1);
    block.reservation_id[0] = 0;
    store_put_block(store, &block);
    assert_true(store_get_owned(store, (uint64_t)1 << 32 | 1, &owned));
    owned.count--;
    store_put_owned(store, &owned);
}

/* An answer under a request id that has one already. */
static void
spoil_answer(struct store *store)
{
    struct house_record house;
    struct answer_row answer;

    store_get_house(store, 0, &house);
    assert_true(store_read_answer(store, house.last_answer_no, &answer));
    answer.answer_no = ++house.last_answer_no;
    store_append_answer(store, &answer);
    store_put_house(store, &house);
}

/* Open a copy of a backup, as a data directory of this number; path gets 256 bytes. */
static struct store *
open_copy(const struct data_stage *stage, const char *backup, size_t number, char *path)
{
    struct data_bytes file = data_read(backup);
    struct store_options options = {.directory = path, .map_bytes = UINT64_C(1) << 30, .unsafe_no_sync = true};
    struct store *store;
    char name[32], why[512] = "";

    snprintf(name, sizeof name, "copy%zu", number);
    snprintf(path, 256, "%s", data_path(stage, name));
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(name, sizeof name, "copy%zu/store.mdb", number);
    data_write(data_path(stage, name), file.bytes, file.size);
    free(file.bytes);
    if (store_open(&options, &store, why, sizeof why) != STORE_OK)
        fail_msg("%s", why);
    return store;
}

/* S5: a row that someone exchanged for another with a right check is found by the digest that the last batch left. */
static void
an_exchanged_row_is_found_by_the_digest(void **state)
{
    struct data_stage *stage = *state;
    char backup[256], path[256];
    struct user_record user;
    struct store *store;
    MDB_txn *txn;

    snprintf(backup, sizeof backup, "%s", data_path(stage, "backup"));
    data_stage_stop(stage, SIGTERM);
    settle(stage->server.data);
    data_must(stage, 0, "up to position", "backup", stage->server.data, backup);
    store = open_copy(stage, backup, 1, path);
    assert_true(store_get_user(store, 2, &user));
    user.balance += 1000;
    assert_int_equal(lmdb_txn_begin(store->disk->env, 0, &txn), 0);
    assert_int_equal(disk_put_number(store->disk, txn, STORE_TABLE_USER, 2, &user, sizeof user, 0), 0);
    assert_int_equal(lmdb_txn_commit(txn), 0);
    store_close(store);
    data_must(stage, 1, "problem: opening: ", "check", path, NULL);
    assert_non_null(strstr(stage->said, "digest"));
}

/* The same in the history, where no record stands against it: only the digest knows. */
static void
exchange_an_answer(struct store *store, MDB_txn *txn)
{
    struct house_record house;
    struct answer_row answer;

    store_get_house(store, 0, &house);
    assert_true(store_read_answer(store, house.last_answer_no, &answer));
    answer.fingerprint ^= 1;
    assert_int_equal(disk_put_number(store->disk, txn, STORE_TABLE_ANSWER, answer.answer_no, &answer,
                                     offsetof(struct answer_row, body) + answer.body_size, 0),
                     0);
}

/* An answer that was forgotten before its time. */
static void
drop_an_answer(struct store *store, MDB_txn *txn)
{
    assert_int_equal(disk_del_number(store->disk, txn, STORE_TABLE_ANSWER, 2), 0);
}

/* The rows are what they were, and the digest is another. */
static void
exchange_the_digest(struct store *store, MDB_txn *txn)
{
    struct disk_digest digest;

    assert_int_equal(disk_get(store->disk, txn, DISK_META, DISK_META_DIGEST, &digest, sizeof digest), 0);
    digest.history ^= 1;
    assert_int_equal(disk_put_number(store->disk, txn, DISK_META, DISK_META_DIGEST, &digest, sizeof digest, 0), 0);
}

/* S5, X4: history that someone changed behind the digest's back is found, by the digest that the last commit left. */
static void
an_exchanged_row_of_history_is_found_by_the_digest(void **state)
{
    static void (*const plants[])(struct store * store, MDB_txn * txn) = {exchange_an_answer, drop_an_answer,
                                                                          exchange_the_digest};
    struct data_stage *stage = *state;
    char backup[256], path[256];

    snprintf(backup, sizeof backup, "%s", data_path(stage, "backup"));
    data_stage_stop(stage, SIGTERM);
    settle(stage->server.data);
    data_must(stage, 0, "up to position", "backup", stage->server.data, backup);
    data_must(stage, 0, "part  digest ", "check", backup, NULL);
    for (size_t at = 0; at < sizeof plants / sizeof *plants; at++) {
        struct store *store = open_copy(stage, backup, at, path);
        MDB_txn *txn;

        assert_int_equal(lmdb_txn_begin(store->disk->env, 0, &txn), 0);
        plants[at](store, txn);
        assert_int_equal(lmdb_txn_commit(txn), 0);
        store_close(store);
        data_must(stage, 1, "problem: table meta, key 3: the digest over the history is ", "check", path, NULL);
        assert_non_null(strstr(stage->said, ": 1 problem\n"));
    }
}

/* S5, M2, M5, M8, X5: a mistake in the books is found though every check is right, by the part whose matter it is. */
static void
a_mistake_with_a_right_check_is_found(void **state)
{
    static const struct {
        void (*spoil)(struct store *store);
        const char *expected;
    } rows[] = {
        {spoil_balance, "problem: audit: "},
        {spoil_balance, "problem: table user, key 2: the balance is "},
        {spoil_house_account, "problem: table house, key 0: the house accounts are "},
        {spoil_owned, "problem: audit: C2 does not hold at owned 4294967297"},
        {spoil_link, "its link to the user's entry before it says 0, that is "},
        {spoil_payment, "problem: table payment, key 4: the house says that this is the last; it is 3"},
        {spoil_event, "event 3 should be here: there is a gap"},
        {spoil_reservations, "reservations were made"},
        {spoil_sold_seat, "problem: table payment, key 1: seat 1 of date 1 is paid and not sold"},
        {spoil_answer, "another answer has the same request id"},
    };
    struct data_stage *stage = *state;
    char backup[256];

    snprintf(backup, sizeof backup, "%s", data_path(stage, "backup"));
    data_stage_stop(stage, SIGTERM);
    data_must(stage, 0, "up to position", "backup", stage->server.data, backup);
    for (size_t at = 0; at < sizeof rows / sizeof *rows; at++) {
        char path[256];
        struct store *store = open_copy(stage, backup, at, path);

        assert_true(store_begin(store));
        rows[at].spoil(store);
        assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
        store_close(store);
        data_must(stage, 1, rows[at].expected, "check", path, NULL);
    }
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_data_has_no_problem, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened_ends_with_two, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_flipped_byte_is_reported_with_table_and_key, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_truncated_file_never_passes, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_broken_page_does_not_end_the_check, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(an_exchanged_row_is_found_by_the_digest, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(an_exchanged_row_of_history_is_found_by_the_digest, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_mistake_with_a_right_check_is_found, open_stage, close_stage),
    };

    return usher_test_main(argc, argv, tests);
}
