/* store_index_test.c: the store's building blocks against plain models: map, line, due heap, order, journal values. */
#include <stdlib.h>
#include <string.h>

#include "server/store/due.h"
#include "server/store/digest.h"
#include "server/store/journal.h"
#include "server/store/line.h"
#include "server/store/map.h"
#include "server/store/memory.h"
#include "server/store/memory.h"
#include "server/store/ordered.h"
#include "tests/store_help.h"

#define PLACES 5000u

/* --- map -------------------------------------------------------------------------------------- */
/* S5: a map holds what was added and not removed, several values of one hash too, over growth and removals. */
static void
a_map_holds_what_a_plain_list_holds(void **state)
{
    enum { HASHES = 97, VALUES = 40 };
    bool has[HASHES][VALUES + 1] = {{false}};
    struct help_random random = {21};
    struct map map = {0};
    uint64_t count = 0;

    (void)state;
    for (int step = 0; step < 60000; step++) {
        uint64_t hash = help_below(&random, HASHES), value = 1 + help_below(&random, VALUES);

        if (has[hash][value])
            map_remove(&map, hash % 11 << 60 | hash, value);
        else
            map_add(&map, hash % 11 << 60 | hash, value); /* many share their low bits, so runs get long */
        count += has[hash][value] ? -UINT64_C(1) : 1;
        has[hash][value] = !has[hash][value];
        assert_int_equal(map.count, count);
        if (step % 500 != 0)
            continue;
        for (hash = 0; hash < HASHES; hash++) {
            struct map_search search = {.hash = hash % 11 << 60 | hash};
            unsigned found = 0, expected = 0;

            while ((value = map_next(&map, &search)) != 0) {
                assert_true(has[hash][value]);
                found++;
            }
            for (value = 1; value <= VALUES; value++)
                expected += has[hash][value];
            assert_int_equal(found, expected);
        }
    }
    map_free(&map);
}

static void
add_up(void *context, uint64_t value)
{
    *(uint64_t *)context += value;
}

/* S5: a map of many thousand keys, grown and shrunk, finds each and no other; its bytes stay within what it promises.
 */
static void
a_large_map_finds_every_key(void **state)
{
    enum { KEYS = 150000 };
    struct map map = {0};
    uint64_t sum = 0;

    (void)state;
    for (uint64_t key = 1; key <= KEYS; key++) {
        map_add(&map, store_mix(key), key);
        if (key >= 50000)
            assert_true(map_bytes(&map) <= key * 50);
    }
    for (uint64_t key = 3; key <= KEYS; key += 3)
        map_remove(&map, store_mix(key), key);
    for (uint64_t key = 1; key <= KEYS + 1000; key++)
        assert_int_equal(map_get(&map, store_mix(key)), key % 3 == 0 || key > KEYS ? 0 : key);
    map_each(&map, add_up, &sum);
    assert_int_equal(map.count, KEYS / 3 * 2);
    assert_int_equal(sum, UINT64_C(150000) * 150001 / 2 - 3 * (UINT64_C(50000) * 50001 / 2));
    map_free(&map);
}

/* Large pieces, of malloc's and of huge pages, are zero when they are taken, again after others had them, and apart. */
static void
large_pieces_of_memory_are_zero_and_apart(void **state)
{
    enum { PIECES = 120 };
    static const size_t sizes[] = {4096, 65536, 4096 * 7, 262144, 229376};
    static uint8_t *pieces[PIECES];

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < PIECES; i++) {
            size_t size = sizes[i % 5];

            if (pieces[i] != NULL)
                continue;
            pieces[i] = store_allocate_large(size);
            assert_int_equal((uintptr_t)pieces[i] % STORE_LINE, 0);
            for (size_t at = 0; at < size; at++)
                assert_true(pieces[i][at] == 0);
            memset(pieces[i], (int)i % 255 + 1, size);
        }
        for (unsigned i = 0; i < PIECES; i++) {
            for (size_t at = 0; at < sizes[i % 5]; at += 512)
                assert_int_equal(pieces[i][at], i % 255 + 1);
            if (round < 2 && i % 3 == round)
                continue;
            store_free_large(pieces[i], sizes[i % 5]);
            pieces[i] = NULL;
        }
    }
    store_free_large(NULL, 4096);
}

/* S5: thousands of values under one hash are slow, not wrong, and make no giant directory. */
static void
a_map_bears_many_values_of_one_hash(void **state)
{
    struct map_search search = {.hash = 77};
    struct map map = {0};
    uint64_t count = 0;

    (void)state;
    for (uint64_t value = 1; value <= 9000; value++)
        map_add(&map, 77, value);
    while (map_next(&map, &search) != 0)
        count++;
    assert_int_equal(count, 9000);
    assert_true(map_bytes(&map) < 9000 * 100);
    for (uint64_t value = 9000; value > 0; value--)
        map_remove(&map, 77, value);
    assert_int_equal(map_get(&map, 77), 0);
    map_free(&map);
}

/* --- line ------------------------------------------------------------------------------------- */
static void
check_line(const struct line *line, const bool *in, uint64_t offset)
{
    uint64_t before = 0, first = 0;

    for (uint64_t place = 1; place <= PLACES; place++) {
        assert_int_equal(line_before(line, offset + place), before);
        if (in[place] && first == 0)
            first = offset + place;
        before += in[place];
    }
    assert_int_equal(line->count, before);
    assert_int_equal(line_first(line), first);
    assert_int_equal(line_before(line, offset + PLACES + 100000), before);
    assert_int_equal(line_before(line, 1), 0);
}

/* T4, Q1: ranks are exact for any 1 to 5,000 places, wherever in the numbers they lie. */
static void
a_line_counts_as_a_plain_list_does(void **state)
{
    static const uint64_t offsets[] = {0, 1019, 123456789, (UINT64_C(1) << 40) - PLACES - 2};
    struct help_random random = {22};

    (void)state;
    for (size_t at = 0; at < 4; at++) {
        bool in[PLACES + 1] = {false};
        struct line line = {0};

        for (int step = 0; step < 40000; step++) {
            uint64_t place = 1 + help_below(&random, 1 + (uint64_t)step % PLACES);

            if (in[place])
                line_remove(&line, offsets[at] + place);
            else
                line_add(&line, offsets[at] + place);
            in[place] = !in[place];
            if (step % 2000 == 1999)
                check_line(&line, in, offsets[at]);
        }
        line_free(&line);
    }
}

/* Q1: a line that people join at the end and leave at the front needs room for those in it, not for all who ever were.
 */
static void
a_line_that_moves_on_stays_small(void **state)
{
    struct line line = {0};

    (void)state;
    for (uint64_t position = 1; position <= 3000000; position++) {
        line_add(&line, position);
        if (position > 3000)
            line_remove(&line, position - 3000);
        if (position % 100003 == 0) {
            assert_int_equal(line_first(&line), position - 2999);
            assert_int_equal(line_before(&line, position), 2999);
        }
    }
    assert_true(line_bytes(&line) < 16384);
    line_add(&line, 5); /* an undone removal long after the window has moved on */
    assert_int_equal(line_first(&line), 5);
    assert_int_equal(line_before(&line, 3000000), 3000);
    line_remove(&line, 5);
    assert_int_equal(line_first(&line), 2997001);
    line_free(&line);
}

/* --- due -------------------------------------------------------------------------------------- */
struct moments {
    uint64_t due[300]; /* 0: none */
};

static enum due_verdict
judge_moment(void *context, const struct store_due *entry, struct store_due *instead)
{
    (void)instead;
    return ((const struct moments *)context)->due[entry->key] == entry->due ? DUE_TRUE : DUE_STALE;
}

/* Take every moment out, least first. */
static void
drain(struct due *due, struct moments *moments)
{
    const struct store_due *least;
    uint64_t last = 0;

    while ((least = due_least(due, judge_moment, NULL, moments)) != NULL) {
        assert_true(least->due >= last);
        last = least->due;
        moments->due[least->key] = 0;
        due->live--;
    }
    assert_int_equal(due->live, 0);
}

/* H1: the least moment is right after any changes, and stale entries never outnumber the true ones for long. */
static void
due_moments_are_those_of_a_plain_list(void **state)
{
    struct help_random random = {23};
    struct moments moments = {{0}};
    struct due due = {0};

    (void)state;
    for (int step = 0; step < 50000; step++) {
        uint64_t key = help_below(&random, 300), moment = help_below(&random, 4) == 0 ? 0 : 1 + help_below(&random, 90);
        const struct store_due *least;
        uint64_t expected = 0;

        due.live += (moment != 0) - (size_t)(moments.due[key] != 0);
        if (moment != 0 && moment != moments.due[key])
            due_push(&due, (struct store_due){moment, STORE_TABLE_HOLD, key});
        moments.due[key] = moment;
        if (step % 3000 == 2999)
            drain(&due, &moments);
        if (step % 7 != 0 || due.live == 0)
            continue;
        for (key = 1; key < 300; key++)
            if (moments.due[key] != 0 && (moments.due[expected] == 0 || moments.due[key] < moments.due[expected]))
                expected = key;
        least = due_least(&due, judge_moment, NULL, &moments);
        assert_non_null(least);
        assert_int_equal(least->due, moments.due[expected]);
        assert_int_equal(least->key, expected);
        assert_true(due.count <= due.live * 2 + 64 + 3);
    }
    due_free(&due);
}

/* --- order ------------------------------------------------------------------------------------ */
/* C1: the next after any key is the least greater one, after insertions and removals in any order. */
static void
an_order_walks_in_ascending_keys(void **state)
{
    struct help_random random = {24};
    bool has[200] = {false};
    struct ordered ordered = {0};

    (void)state;
    for (int step = 0; step < 5000; step++) {
        uint64_t key = help_below(&random, 200);
        size_t at = 0;

        if (has[key])
            ordered_remove(&ordered, key, key + 1000);
        else
            ordered_add(&ordered, key, key + 1000);
        has[key] = !has[key];
        for (key = 0; key < 200; key++) {
            assert_int_equal(ordered_from(&ordered, key), at);
            if (has[key])
                assert_int_equal(ordered.items[at++].number, key + 1000);
        }
        assert_int_equal(ordered.count, at);
    }
    ordered_free(&ordered);
}

/* --- journal values --------------------------------------------------------------------------- */
static void
nothing(void *context, struct table *table, uint32_t slot)
{
    (void)context;
    (void)table;
    (void)slot;
}

/* Encode the batch that is open in this store. */
static struct bytes
encoded(struct store *store, size_t commands_size)
{
    static const uint8_t commands[100];
    struct bytes bytes = {0};

    digest_of_batch(store);
    journal_encode(store, commands, commands_size, &bytes);
    return bytes;
}

/* X3: one seat of a block, its hold, its ticket and its user cost a few dozen bytes each, not whole records. */
static void
a_change_costs_a_few_dozen_bytes(void **state)
{
    struct store *store = store_open_memory();
    struct block_record block = {.key = 9 << 16, .date_no = 9, .seat_count = 50};
    struct ticket_record ticket = {.key = UINT64_C(1) << 40 | 77, .end_due = 1718000000000, .user_no = 4};
    struct bytes bytes;

    (void)state;
    assert_true(store_begin(store));
    store_put_block(store, &block);
    store_put_ticket(store, &ticket);
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    assert_true(store_begin(store));
    block.held |= 1 << 20;
    block.version++;
    block.reservation_id[20] = 1000000;
    store_put_block(store, &block);
    bytes = encoded(store, 0);
    assert_true(bytes.size < 32);
    free(bytes.data);
    ticket.end_due += 330000;
    store_put_ticket(store, &ticket);
    store_put_hold(store, &(struct hold_record){.reservation_id = 1000000,
                                                .user_no = 4,
                                                .date_no = 9,
                                                .seat_no = 21,
                                                .queue_no = 1,
                                                .ticket = ticket.key,
                                                .end_due = 1718000300000,
                                                .price = 120000,
                                                .held_at_ms = 1718000000000});
    bytes = encoded(store, 60);
    assert_true(bytes.size < 200); /* commands of 60 bytes included */
    free(bytes.data);
    store_close(store);
}

/* X3: a record that is put and not changed leaves nothing in the journal, nor does one that comes and goes. */
static void
a_change_that_is_none_costs_nothing(void **state)
{
    struct store *store = store_open_memory();
    struct user_record user = {.user_no = 1, .balance = 5};
    struct bytes bytes;
    size_t empty;

    (void)state;
    assert_true(store_begin(store));
    store_put_user(store, &user);
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    assert_true(store_begin(store));
    bytes = encoded(store, 0);
    empty = bytes.size;
    free(bytes.data);
    user.balance = 6;
    store_put_user(store, &user);
    user.balance = 5;
    store_put_user(store, &user);
    user.user_no = 2;
    store_put_user(store, &user);
    store_remove_user(store, 2);
    bytes = encoded(store, 0);
    assert_int_equal(bytes.size, empty);
    free(bytes.data);
    store_close(store);
}

/* X3: the after-images of random batches, put on another copy of the records, make it the same; twice as well. */
static void
after_images_make_the_same_records_and_twice_as_well(void **state)
{
    struct store *store = store_open_memory(), *copy = store_open_memory();
    struct help_random random = {25};

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct bytes bytes;

        assert_true(store_begin(store));
        help_change(store, &random, 40);
        bytes = encoded(store, 33);
        assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
        for (int times = 0; times < 2; times++) {
            assert_true(journal_apply(copy->tables, bytes.data, bytes.size, nothing, NULL));
            assert_int_equal(store_digest_recount(copy), store_digest_recount(store));
        }
        free(bytes.data);
    }
    store_close(store);
    store_close(copy);
}

/* S5: bytes that are no journal value are refused wherever they are cut or changed; nothing is read past their end. */
static void
broken_journal_values_are_refused_or_harmless(void **state)
{
    struct store *store = store_open_memory(), *copy = store_open_memory();
    struct help_random random = {26};
    struct bytes bytes;
    unsigned refused = 0;

    (void)state;
    assert_true(store_begin(store));
    help_change(store, &random, 60);
    bytes = encoded(store, 10);
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *cut = store_allocate(size + 1, 1); /* of just this size, for the sanitizer to guard */
        uint8_t *exact = realloc(cut, size > 0 ? size : 1);

        memcpy(exact, bytes.data, size);
        refused += !journal_apply(copy->tables, exact, size, nothing, NULL);
        if (size > 0) {
            exact[help_below(&random, size)] ^= (uint8_t)(1 + help_below(&random, 255));
            (void)journal_apply(copy->tables, exact, size, nothing, NULL);
        }
        free(exact);
    }
    assert_true(refused > bytes.size * 9 / 10); /* a cut between two changes can't be seen here; the check sees it */
    free(bytes.data);
    store_close(store);
    store_close(copy);
}

/* S5: a row of history whose counts and size don't fit together is none. */
static void
history_rows_of_a_wrong_size_are_none(void **state)
{
    struct payment_row payment = {.payment_id = 1, .seat_count = 2}, read;
    size_t size = offsetof(struct payment_row, seat) + 2 * sizeof(struct sold_seat);

    (void)state;
    assert_true(history_fill(HISTORY_INDEX_PAYMENT, &payment, size, &read));
    assert_memory_equal(&read, &payment, sizeof read);
    assert_false(history_fill(HISTORY_INDEX_PAYMENT, &payment, size - 1, &read));
    assert_false(history_fill(HISTORY_INDEX_PAYMENT, &payment, size + sizeof(struct sold_seat), &read));
    assert_false(history_fill(HISTORY_INDEX_PAYMENT, &payment, 8, &read));
    payment.seat_count = PAYMENT_SEATS_MOST + 1;
    assert_false(history_fill(HISTORY_INDEX_PAYMENT, &payment, sizeof payment, &read));
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_holds_what_a_plain_list_holds),
        cmocka_unit_test(a_large_map_finds_every_key),
        cmocka_unit_test(large_pieces_of_memory_are_zero_and_apart),
        cmocka_unit_test(a_map_bears_many_values_of_one_hash),
        cmocka_unit_test(a_line_counts_as_a_plain_list_does),
        cmocka_unit_test(a_line_that_moves_on_stays_small),
        cmocka_unit_test(due_moments_are_those_of_a_plain_list),
        cmocka_unit_test(an_order_walks_in_ascending_keys),
        cmocka_unit_test(a_change_costs_a_few_dozen_bytes),
        cmocka_unit_test(a_change_that_is_none_costs_nothing),
        cmocka_unit_test(after_images_make_the_same_records_and_twice_as_well),
        cmocka_unit_test(broken_journal_values_are_refused_or_harmless),
        cmocka_unit_test(history_rows_of_a_wrong_size_are_none),
    };

    return usher_test_main(argc, argv, tests);
}
