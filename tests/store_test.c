/* store_test.c: records, indexes, history and undo, in the store that is in memory alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/store_help.h"

#define TICKET(queue_no, position) ((uint64_t)(queue_no) << 40 | (position))

static int
open_memory(void **state)
{
    *state = store_open_memory();
    return *state == NULL;
}

static int
close_memory(void **state)
{
    store_close(*state);
    return 0;
}

static void
begin(struct store *store)
{
    assert_true(store_begin(store));
}

static void
commit(struct store *store)
{
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
}

/* T5, R1: a house begins with the numbers of policies.def, and with a queue for concerts that name none. */
static void
a_fresh_store_has_the_default_house_and_queue(void **state)
{
    const struct store *store = *state;
    const struct house_record *house = store_see_house(store, 0);
    const struct queue_record *queue = store_see_queue(store, store_find_queue(store, 0));

    assert_non_null(house);
    assert_int_equal(house->policy[HOUSE_POLICY_hold_ms], 300000);
    assert_int_equal(house->first_event_no, 1);
    assert_non_null(queue);
    assert_string_equal(queue->name, "default");
    assert_int_equal(queue->policy[QUEUE_POLICY_admit_batch], 50);
    assert_int_equal(queue->policy[QUEUE_POLICY_admit_interval_ms], 30000);
    assert_int_equal(house->last_queue_no, queue->queue_no);
    assert_int_equal(store_position(store), 0);
    assert_int_equal(store_first_queue(store), queue->queue_no);
}

/* S5: what is put is what is got, in every table; a removed record is gone. */
static void
every_table_puts_gets_changes_and_removes(void **state)
{
    struct store *store = *state;

#define STORE_TABLE(number, NAME, name, key_field, text)                                                               \
    {                                                                                                                  \
        struct name##_record record, got;                                                                              \
                                                                                                                       \
        memset(&record, 0, sizeof record);                                                                             \
        record.key_field = 7;                                                                                          \
        begin(store);                                                                                                  \
        assert_null(store_see_##name(store, 7));                                                                       \
        store_put_##name(store, &record);                                                                              \
        commit(store);                                                                                                 \
        ((uint8_t *)&record)[sizeof record - 1] = 1;                                                                   \
        begin(store);                                                                                                  \
        store_put_##name(store, &record);                                                                              \
        assert_true(store_get_##name(store, 7, &got));                                                                 \
        assert_memory_equal(&got, &record, sizeof got);                                                                \
        assert_int_equal(store_record_count(store, number), (number) <= 2 ? 2 : 1);                                    \
        store_remove_##name(store, 7);                                                                                 \
        assert_false(store_get_##name(store, 7, &got));                                                                \
        commit(store);                                                                                                 \
        assert_null(store_see_##name(store, 7));                                                                       \
        assert_int_equal(store_record_count(store, number), (number) <= 2 ? 1 : 0);                                    \
    }
#include "server/store/records.def"
}

/* S5: a batch that is taken back leaves records, indexes, counters and history as they were, whatever it did. */
static void
a_batch_that_is_taken_back_leaves_no_trace(void **state)
{
    struct store *store = *state;
    struct help_random random = {11};

    for (int round = 0; round < 150; round++) {
        uint64_t before;

        help_batch(store, &random, 30);
        before = help_picture(store);
        begin(store);
        help_change(store, &random, 1 + (unsigned)help_below(&random, 120));
        store_undo(store);
        assert_int_equal(help_picture(store), before);
    }
    help_recount(store);
}

/* S5, C4: every index says what a recount over all records says, after each of many random batches. */
static void
the_indexes_say_what_a_recount_says(void **state)
{
    struct store *store = *state;
    struct help_random random = {12};

    for (int round = 0; round < 400; round++) {
        help_batch(store, &random, 1 + (unsigned)help_below(&random, 60));
        help_recount(store);
    }
}

/* S5: a removal and a new record of the same key within one batch, taken back, give the first record again. */
static void
a_record_removed_and_made_anew_can_be_taken_back(void **state)
{
    struct store *store = *state;
    struct user_record user = {.user_no = 5, .uuid = {{1}}, .balance = 10}, got;

    begin(store);
    store_put_user(store, &user);
    commit(store);
    begin(store);
    store_remove_user(store, 5);
    assert_int_equal(store_find_user(store, &user.uuid), 0);
    user.uuid.bytes[0] = 2;
    user.balance = 20;
    store_put_user(store, &user);
    assert_int_equal(store_find_user(store, &user.uuid), 5);
    store_undo(store);
    assert_int_equal(store_find_user(store, &user.uuid), 0);
    assert_true(store_get_user(store, 5, &got));
    assert_int_equal(got.balance, 10);
    assert_int_equal(store_find_user(store, &got.uuid), 5);
}

/* T4, Q1: the rank is the number of waiters before, plus one; who leaves moves the others up. */
static void
the_line_gives_ranks_in_order_of_position(void **state)
{
    struct store *store = *state;
    struct ticket_record ticket = {.state = USHER_PLACE_WAITING, .end_due = 1};

    begin(store);
    for (uint64_t position = 1; position <= 5; position++) {
        ticket.key = TICKET(1, position);
        store_put_ticket(store, &ticket);
    }
    assert_int_equal(store_first_waiting(store, 1), 1);
    assert_int_equal(store_rank(store, 1, 5), 5);
    ticket.key = TICKET(1, 2);
    ticket.state = USHER_PLACE_LEFT;
    store_put_ticket(store, &ticket);
    assert_int_equal(store_rank(store, 1, 5), 4);
    ticket.key = TICKET(1, 1);
    ticket.state = USHER_PLACE_ACTIVE;
    store_put_ticket(store, &ticket);
    assert_int_equal(store_first_waiting(store, 1), 3);
    assert_int_equal(store_rank(store, 1, 3), 1);
    assert_int_equal(store_waiting_count(store, 1), 3);
    assert_int_equal(store_active_count(store, 1), 1);
    assert_int_equal(store_waiting_count(store, 2), 0);
    assert_int_equal(store_first_waiting(store, 2), 0);
    commit(store);
}

/* H1, Q5: due moments come by time, then tickets before holds, then by key; a moved one counts where it is now. */
static void
due_moments_come_in_one_total_order(void **state)
{
    static const struct store_due order[] = {
        {50, STORE_TABLE_TICKET, TICKET(1, 9)}, /* by its claim */
        {70, STORE_TABLE_TICKET, TICKET(1, 3)},
        {70, STORE_TABLE_TICKET, TICKET(1, 4)},
        {70, STORE_TABLE_HOLD, 2},
        {70, STORE_TABLE_HOLD, 8},
        {90, STORE_TABLE_HOLD, 1},
    };
    struct store *store = *state;
    struct store_due due;

    begin(store);
    for (size_t at = 6; at-- > 0;) {
        struct ticket_record ticket = {.key = order[at].key, .state = USHER_PLACE_ACTIVE, .end_due = order[at].due};
        struct hold_record hold = {.reservation_id = order[at].key, .queue_no = 1, .end_due = 5};

        if (order[at].key == TICKET(1, 9)) {
            ticket.end_due = 1000;
            ticket_set_claim_ms(&ticket, 50);
        }
        if (order[at].table == STORE_TABLE_TICKET) {
            store_put_ticket(store, &ticket);
            continue;
        }
        store_put_hold(store, &hold);
        hold.end_due = order[at].due;
        store_put_hold(store, &hold);
    }
    for (size_t at = 0; at < 6; at++) {
        assert_true(store_next_due(store, 1, &due));
        assert_int_equal(due.due, order[at].due);
        assert_int_equal(due.table, order[at].table);
        assert_int_equal(due.key, order[at].key);
        if (due.table == STORE_TABLE_TICKET)
            store_remove_ticket(store, due.key);
        else
            store_remove_hold(store, due.key);
    }
    assert_false(store_next_due(store, 1, &due));
    store_undo(store);
    assert_false(store_next_due(store, 1, &due));
}

static uint64_t
bytes_of_due_moments(const struct store *store)
{
    struct store_memory rows[STORE_MEMORY_MOST];
    size_t count = store_memory(store, rows);

    while (count-- > 0)
        if (strcmp(rows[count].name, "due moments") == 0)
            return rows[count].bytes;
    fail();
    return 0;
}

/* Q6: the leases of a long line, renewed or not, end in their order and take less than a byte of memory each. */
static void
the_leases_of_a_long_line_end_in_order_and_take_hardly_any_memory(void **state)
{
    enum { WAITERS = 20000 };
    struct store *store = *state;
    struct ticket_record ticket = {.state = USHER_PLACE_WAITING};
    struct store_due due;
    uint64_t last = 0, count = 0;

    begin(store);
    for (uint64_t position = 1; position <= WAITERS; position++) {
        ticket.key = TICKET(1, position);
        ticket.end_due = 1000 + position % 7000;
        store_put_ticket(store, &ticket);
    }
    assert_true(bytes_of_due_moments(store) < WAITERS);
    for (uint64_t position = 1; position <= WAITERS; position += 1 + position % 3) {
        assert_true(store_get_ticket(store, TICKET(1, position), &ticket));
        ticket.end_due += position * 37 % 9000;
        store_put_ticket(store, &ticket);
    }
    assert_true(bytes_of_due_moments(store) < WAITERS);
    for (; store_next_due(store, 1, &due); count++) {
        assert_true(due.due >= last);
        last = due.due;
        assert_true(store_get_ticket(store, due.key, &ticket));
        assert_int_equal(ticket.end_due, due.due);
        store_remove_ticket(store, due.key);
    }
    assert_int_equal(count, WAITERS);
    store_undo(store);
    assert_false(store_next_due(store, 1, &due));
}

/* Q10, H7: seats are counted by date, queue and house; a date that moves takes its seats along. */
static void
seats_are_counted_by_date_queue_and_house(void **state)
{
    struct store *store = *state;
    struct date_record date = {.date_no = 3, .concert_id = 1, .date_id = 1, .queue_no = 1};
    struct block_record block = {.key = 3 << 16, .date_no = 3, .seat_count = 50, .held = 3, .sold = 4, .blocked = 9};

    begin(store);
    store_put_date(store, &date);
    store_put_block(store, &block);
    assert_int_equal(store_date_counts(store, 3).seats, 50);
    assert_int_equal(store_date_counts(store, 3).held, 2);
    assert_int_equal(store_queue_counts(store, 1).sold, 1);
    assert_int_equal(store_house_counts(store).blocked, 1); /* the other blocked one is held */
    date.queue_no = 2;
    store_put_date(store, &date);
    assert_int_equal(store_queue_counts(store, 1).seats, 0);
    assert_int_equal(store_queue_counts(store, 2).seats, 50);
    store_remove_block(store, 3 << 16);
    assert_int_equal(store_queue_counts(store, 2).seats, 0);
    assert_int_equal(store_house_counts(store).held, 0);
    commit(store);
}

/* Q10: until when a seat behind a queue can be sold, as dates and their seats come, change, move and go. */
static void
the_last_sale_with_a_seat_left_is_known_by_queue(void **state)
{
    struct store *store = *state;
    struct date_record date = {.concert_id = 1, .queue_no = 1};
    struct block_record block = {.seat_count = 2};

    begin(store);
    assert_int_equal(store_unsold_until_ms(store, 1), 0);
    for (uint32_t i = 1; i <= 200; i++) { /* date i begins at i * 10 and has two seats; the blocks may come first */
        block.key = (uint64_t)i << 16;
        block.date_no = date.date_no = date.date_id = i;
        date.starts_at_ms = i * 10;
        if (i % 2 == 0)
            store_put_block(store, &block);
        store_put_date(store, &date);
        if (i % 2 != 0)
            store_put_block(store, &block);
        assert_int_equal(store_unsold_until_ms(store, 1), i * 10);
    }
    for (uint32_t i = 200; i > 100; i--) { /* sold out, the last one first; a held seat is still unsold */
        block.key = (uint64_t)i << 16;
        block.date_no = i;
        block.sold = 1;
        block.held = 2;
        block.blocked = 0;
        store_put_block(store, &block);
        assert_int_equal(store_unsold_until_ms(store, 1), i * 10);
        block.held = 0;
        block.blocked = 2;
        store_put_block(store, &block);
        assert_int_equal(store_unsold_until_ms(store, 1), (i - 1) * 10);
    }
    commit(store);

    begin(store);
    date.date_no = date.date_id = 100;
    date.starts_at_ms = 5000;
    date.closes_at_ms = 4000; /* a sale that closes before the show ends then */
    store_put_date(store, &date);
    assert_int_equal(store_unsold_until_ms(store, 1), 4000);
    date.queue_no = 2;
    store_put_date(store, &date);
    assert_int_equal(store_unsold_until_ms(store, 1), 990);
    assert_int_equal(store_unsold_until_ms(store, 2), 4000);
    store_remove_block(store, 100 << 16);
    assert_int_equal(store_unsold_until_ms(store, 2), 0);
    block.key = 200 << 16; /* a seat comes back */
    block.date_no = 200;
    block.blocked = 0;
    store_put_block(store, &block);
    assert_int_equal(store_unsold_until_ms(store, 1), 2000);
    store_undo(store);
    assert_int_equal(store_unsold_until_ms(store, 1), 1000);
    assert_int_equal(store_unsold_until_ms(store, 2), 0);
}

/* C1, C3: what is listed comes in ascending order of its id, whatever the order of its making. */
static void
queues_concerts_and_dates_come_in_order_of_their_ids(void **state)
{
    static const uint32_t ids[] = {30, 10, 40, 20};
    struct store *store = *state;
    uint32_t concert = 0, date = 0;

    begin(store);
    for (uint64_t no = 2; no < 6; no++) {
        store_put_queue(store, &(struct queue_record){.queue_no = no, .queue_id = ids[no - 2]});
        store_put_concert(store, &(struct concert_record){.concert_no = no, .concert_id = ids[no - 2]});
        store_put_date(store, &(struct date_record){.date_no = no, .concert_id = 10, .date_id = ids[no - 2]});
    }
    store_put_date(store, &(struct date_record){.date_no = 9, .concert_id = 11, .date_id = 15});
    assert_int_equal(store_next_queue(store, 0), 3);
    assert_int_equal(store_next_queue(store, 40), 0);
    for (uint32_t id = 10; id <= 40; id += 10) {
        concert = store_see_concert(store, store_next_concert(store, concert))->concert_id;
        date = store_see_date(store, store_next_date(store, 10, date))->date_id;
        assert_int_equal(concert, id);
        assert_int_equal(date, id);
    }
    assert_int_equal(store_next_concert(store, concert), 0);
    assert_int_equal(store_next_date(store, 10, date), 0);
    assert_int_equal(store_next_date(store, 11, UINT32_MAX), 0);
    assert_int_equal(store_find_date(store, 11, 15), 9);
    assert_int_equal(store_find_date(store, 10, 15), 0);
    store_undo(store);
    assert_int_equal(store_next_concert(store, 0), 0);
}

/* C4: looking a date up by its ids reads no record, and one block is one read, however many dates there are. */
static void
finding_a_date_reads_no_record(void **state)
{
    struct store *store = *state;
    uint64_t block_reads;

    begin(store);
    for (uint64_t date_no = 1; date_no <= 1000; date_no++) {
        store_put_date(store, &(struct date_record){.date_no = date_no, .concert_id = 1, .date_id = (uint32_t)date_no});
        store_put_block(store, &(struct block_record){.key = date_no << 16, .date_no = (uint32_t)date_no});
    }
    commit(store);
    block_reads = store_read_count(store, STORE_TABLE_BLOCK);
    assert_int_equal(store_find_date(store, 1, 777), 777);
    assert_int_equal(store_read_count(store, STORE_TABLE_DATE), 0);
    assert_non_null(store_see_block(store, 777 << 16));
    assert_int_equal(store_read_count(store, STORE_TABLE_BLOCK), block_reads + 1);
}

static const void *
go_whole(const struct store *store, struct store_way way)
{
    unsigned steps = 1;

    while (store_way_on(store, &way))
        assert_true(++steps < 4);
    return way.record;
}

/* Ways to what is there lead to it, ways to what is not lead nowhere, and neither counts as a read. */
static void
a_way_leads_to_its_record_or_nowhere(void **state)
{
    struct store *store = *state;
    const usher_uuid ann = {{1}}, nobody_known = {{2}};

    assert_null(go_whole(store, store_way_to_user(store, &ann)));
    begin(store);
    store_put_user(store, &(struct user_record){.user_no = 7, .uuid = ann});
    store_put_date(store, &(struct date_record){.date_no = 9, .concert_id = 1, .date_id = 2});
    store_put_block(store, &(struct block_record){.key = 9 << 16, .date_no = 9, .seat_count = 50});
    commit(store);
    uint64_t reads = store_read_count(store, STORE_TABLE_USER), digest = store_digest_recount(store);
    assert_ptr_equal(go_whole(store, store_way_to_user(store, &ann)), store_see_user(store, 7));
    assert_ptr_equal(go_whole(store, store_way_to_date(store, 1, 2)), store_see_date(store, 9));
    assert_ptr_equal(go_whole(store, store_way_to(STORE_TABLE_BLOCK, 9 << 16)), store_see_block(store, 9 << 16));
    assert_null(go_whole(store, store_way_to_user(store, &nobody_known)));
    assert_null(go_whole(store, store_way_to_date(store, 1, 3)));
    assert_null(go_whole(store, store_way_to(STORE_TABLE_BLOCK, 10 << 16)));
    assert_null(go_whole(store, store_way_to(STORE_TABLE_USER, 8)));
    assert_null(go_whole(store, store_way_to(STORE_TABLE_USER, UINT64_MAX)));
    assert_int_equal(store_read_count(store, STORE_TABLE_USER), reads + 1);
    assert_int_equal(store_digest_recount(store), digest);
}

/* F2: clients are found by key and by the hash of their code; a client that is only invited has no key. */
static void
clients_are_found_by_key_and_by_code(void **state)
{
    struct store *store = *state;
    usher_key key = {{5}}, code = {{6}}, none = {{0}};
    struct client_record client = {.client_no = 4, .code_hash = code};

    begin(store);
    store_put_client(store, &client);
    assert_int_equal(store_find_code(store, &code), 4);
    assert_int_equal(store_find_client(store, &none), 0);
    client.client_key = key;
    client.code_hash = none;
    store_put_client(store, &client);
    assert_int_equal(store_find_client(store, &key), 4);
    assert_int_equal(store_find_code(store, &code), 0);
    commit(store);
}

/* M3: an answer is known by its user and id together, and no longer after it has been dropped. */
static void
an_answer_is_found_by_its_scope_and_id(void **state)
{
    struct store *store = *state;
    struct answer_row answer = {.answer_no = 1, .scope = 2, .request_id = {{9}}, .body_size = 3, .body = "abc"}, found;

    begin(store);
    store_append_answer(store, &answer);
    assert_true(store_find_answer(store, 2, &answer.request_id, &found));
    assert_memory_equal(&found, &answer, sizeof found);
    commit(store);
    assert_true(store_find_answer(store, 2, &answer.request_id, &found));
    assert_false(store_find_answer(store, 4, &answer.request_id, &found));
    begin(store);
    store_drop_answer(store, &answer);
    assert_false(store_find_answer(store, 2, &answer.request_id, &found));
    store_undo(store);
    assert_true(store_find_answer(store, 2, &answer.request_id, &found));
    begin(store);
    store_drop_answer(store, &answer);
    commit(store);
    assert_false(store_find_answer(store, 2, &answer.request_id, &found));
    assert_int_equal(store_answer_count(store), 0);
}

/* M2: a row of history can be read in the batch that appends it, and is gone if the batch is taken back. */
static void
history_is_read_in_its_own_batch(void **state)
{
    struct store *store = *state;
    struct payment_row payment = {.payment_id = 3, .seat_count = 2, .seat = {{.price = 5}, {.price = 6}}}, read;
    struct event_row event = {.event_no = 1, .kind = USHER_EVENT_PAID};

    begin(store);
    store_append_payment(store, &payment);
    store_append_event(store, &event);
    assert_true(store_read_payment(store, 3, &read));
    assert_memory_equal(&read, &payment, sizeof read);
    assert_false(store_read_payment(store, 4, &read));
    store_undo(store);
    assert_false(store_read_payment(store, 3, &read));
    begin(store);
    store_append_event(store, &event);
    commit(store);
    begin(store);
    store_drop_event(store, 1);
    assert_false(store_read_event(store, 1, &event));
    commit(store);
    assert_false(store_read_event(store, 1, &event));
}

/* X4: the digest is over the records alone, not over the way in which they came about. */
static void
the_digest_does_not_know_the_order_of_changes(void **state)
{
    struct store *store = *state, *other = store_open_memory();
    struct user_record user = {.user_no = 1};

    assert_int_equal(store_digest_recount(store), store_digest_recount(other));
    begin(store);
    begin(other);
    for (uint64_t no = 1; no <= 100; no++) {
        user.user_no = user.uuid.bytes[0] = (uint8_t)no;
        store_put_user(store, &user);
        user.user_no = user.uuid.bytes[0] = (uint8_t)(101 - no);
        store_put_user(other, &user);
    }
    user.user_no = 200;
    store_put_user(other, &user);
    assert_int_not_equal(store_digest_recount(store), store_digest_recount(other));
    store_remove_user(other, 200);
    commit(store);
    commit(other);
    assert_int_equal(store_digest_recount(store), store_digest_recount(other));
    store_close(other);
}

/* F2: holds come and go for ever; the memory is that of those which are there. */
static void
records_that_come_and_go_need_no_more_memory(void **state)
{
    struct store *store = *state;
    struct hold_record hold = {.queue_no = 1};
    uint64_t memory = 0;

    for (hold.reservation_id = 1; hold.reservation_id <= 60000; hold.reservation_id++) {
        struct store_due due;

        begin(store);
        hold.end_due = hold.reservation_id + 500;
        store_put_hold(store, &hold);
        if (hold.reservation_id > 300)
            store_remove_hold(store, hold.reservation_id - 300);
        commit(store);
        assert_true(store_next_due(store, 1, &due));
        if (hold.reservation_id == 20000)
            memory = store_figures(store).memory_bytes;
    }
    assert_int_equal(store_record_count(store, STORE_TABLE_HOLD), 300);
    assert_true(store_figures(store).memory_bytes <= memory + 4096);
}

/* B2: the consumer in memory alone takes each event in once, and gives a user's rows without splitting an event. */
static void
the_consumer_in_memory_takes_each_event_in_once(void **state)
{
    struct store *store = *state;
    struct payment_row payment = {.payment_id = 1, .user_no = 7, .seat_count = 3};
    struct history_record rows[4];
    bool more;

    begin(store);
    store_append_payment(store, &payment);
    payment.payment_id = 2;
    payment.seat_count = 2;
    store_append_payment(store, &payment);
    for (uint64_t no = 1; no <= 2; no++)
        store_append_event(store, &(struct event_row){.event_no = no, .kind = USHER_EVENT_PAID, .payment_id = no});
    commit(store);
    store_consumer_fail(store, 1);
    assert_int_equal(store_consumer_step(store, 10), STORE_STEP_FAILED);
    assert_int_equal(store_consumer_cursor(store), 0);
    assert_int_equal(store_consumer_step(store, 1), STORE_STEP_DONE);
    assert_int_equal(store_consumer_step(store, 10), STORE_STEP_DONE);
    assert_int_equal(store_consumer_step(store, 10), STORE_STEP_NOTHING);
    assert_int_equal(store_consumer_cursor(store), 2);
    assert_int_equal(store_consumer_rows(store, 7, 0, rows, 4, &more), 3);
    assert_true(more);
    assert_int_equal(rows[2].index, 2);
    assert_int_equal(store_consumer_rows(store, 7, 1, rows, 4, &more), 2);
    assert_false(more);
    assert_int_equal(store_consumer_rows(store, 8, 0, rows, 4, &more), 0);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fresh_store_has_the_default_house_and_queue, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(every_table_puts_gets_changes_and_removes, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(a_batch_that_is_taken_back_leaves_no_trace, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(the_indexes_say_what_a_recount_says, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(a_record_removed_and_made_anew_can_be_taken_back, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(the_line_gives_ranks_in_order_of_position, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(due_moments_come_in_one_total_order, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(the_leases_of_a_long_line_end_in_order_and_take_hardly_any_memory, open_memory,
                                        close_memory),
        cmocka_unit_test_setup_teardown(the_last_sale_with_a_seat_left_is_known_by_queue, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(seats_are_counted_by_date_queue_and_house, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(queues_concerts_and_dates_come_in_order_of_their_ids, open_memory,
                                        close_memory),
        cmocka_unit_test_setup_teardown(finding_a_date_reads_no_record, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(a_way_leads_to_its_record_or_nowhere, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(clients_are_found_by_key_and_by_code, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(an_answer_is_found_by_its_scope_and_id, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(history_is_read_in_its_own_batch, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(the_digest_does_not_know_the_order_of_changes, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(records_that_come_and_go_need_no_more_memory, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(the_consumer_in_memory_takes_each_event_in_once, open_memory, close_memory),
    };

    return usher_test_main(argc, argv, tests);
}
