/* audit_test.c: the audit itself: it finds nothing in a sound house, and names each invariant that is broken by hand.
 *
 * A watchman who never cries is worth nothing, so every invariant of line.c, seat.c and audit.c is broken here once. */
#include "tests/test.h"

#include <string.h>

#include "server/core/internal.h"

struct house {
    struct store *store;
    struct core *core;
    uint64_t now_ms;
    uint8_t next_id;
};

static struct core_answer
apply(struct house *house, uint16_t opcode, struct core_asker asker, void *body)
{
    struct core_request request = {.opcode = opcode, .asker = asker, .fingerprint = ++house->next_id, .body = body};
    usher_id id = {{house->next_id}};
    memcpy(body, &id, sizeof id); /* request_id is the first field of every command */
    assert_true(store_begin(house->store));
    core_tick(house->core, house->now_ms);
    struct core_answer answer = core_apply(house->core, &request);
    assert_int_equal(store_commit(house->store, NULL, 0), STORE_DONE);
    assert_int_equal(answer.result, USHER_OK);
    return answer;
}

/* One date of 50 seats; user 1 holds seat 1, has paid for seat 2 and waits in no line; user 2 is active, user 3 waits;
 * seat 9 is blocked. */
static void
open_house(struct house *house)
{
    static const struct core_asker admin = {.role = USHER_ROLE_ADMIN, .client_no = 1};
    *house = (struct house){.store = store_open_memory(), .now_ms = 1000000};
    house->core = core_open(house->store);
    assert_non_null(house->core);
    usher_put_plan_request plan = {.plan_id = 1, .section_count = 1};
    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    apply(house, USHER_OPCODE_PUT_PLAN, admin, &plan);
    usher_put_concert_request concert = {.concert_id = 1, .title = "A concert"};
    apply(house, USHER_OPCODE_PUT_CONCERT, admin, &concert);
    usher_put_date_request date = {.concert_id = 1, .date_id = 1, .plan_id = 1, .starts_at_ms = 9000000, .price_count = 1};
    date.price[0] = 10;
    apply(house, USHER_OPCODE_PUT_DATE, admin, &date);
    usher_block_request block = {.concert_id = 1, .date_id = 1, .reason = "broken", .seat_count = 1, .seat = {9}};
    apply(house, USHER_OPCODE_BLOCK, admin, &block);
    usher_set_policy_request policy = {.of_queue = USHER_FLAG_YES, .name = "admit_batch", .value = 1};
    apply(house, USHER_OPCODE_SET_POLICY, admin, &policy);

    struct core_asker asker = {.role = USHER_ROLE_ADMIN, .client_no = 1, .user = {{1}}};
    usher_charge_request charge = {.user = asker.user, .amount = 100};
    apply(house, USHER_OPCODE_CHARGE, asker, &charge);
    usher_reserve_request reserve = {
        .user = asker.user, .concert_id = 1, .date_id = 1, .seat_count = 2, .seat = {1, 2}};
    apply(house, USHER_OPCODE_RESERVE, asker, &reserve);
    usher_pay_request pay = {.user = asker.user, .reservation_count = 1, .reservation = {2}};
    apply(house, USHER_OPCODE_PAY, asker, &pay);
    for (uint8_t user = 2; user <= 3; user++) {
        asker.user = (usher_uuid){{user}};
        usher_join_request join = {.user = asker.user};
        apply(house, USHER_OPCODE_JOIN, asker, &join);
    }
}

static void
close_house(struct house *house)
{
    core_close(house->core);
    store_close(house->store);
}

/* S6: nothing is found where nothing is wrong. */
static void
a_sound_house_passes_its_audit(void **state)
{
    struct house house;
    char why[160] = "";
    (void)state;

    open_house(&house);
    if (!core_audit(house.core, why, sizeof why))
        fail_msg("%s", why);
    close_house(&house);
}

/* --- one break each: changes records behind the core's back ----------------------------------------------- */
static void
break_seat(struct house *house, uint32_t seat_no, void (*change)(struct block_record *block, uint64_t bit, unsigned slot))
{
    struct block_record block;
    assert_true(store_get_block(house->store, SEAT_BLOCK(1, seat_no), &block));
    change(&block, SEAT_BIT(seat_no), SEAT_SLOT(seat_no));
    store_put_block(house->store, &block);
}

static void
hold_and_sell(struct block_record *block, uint64_t bit, unsigned slot)
{
    (void)slot;
    block->held |= bit;
    block->sold |= bit;
}

static void
forget_reservation(struct block_record *block, uint64_t bit, unsigned slot)
{
    (void)bit;
    block->reservation_id[slot] = 0;
}

static void
free_held(struct block_record *block, uint64_t bit, unsigned slot)
{
    block->held &= ~bit;
    block->reservation_id[slot] = 0;
}

static void
sell_twice(struct block_record *block, uint64_t bit, unsigned slot)
{
    block->sold |= bit;
    block->reservation_id[slot] = 2; /* seat 2's */
}

static void
block_without_note(struct block_record *block, uint64_t bit, unsigned slot)
{
    (void)slot;
    block->blocked |= bit;
}

static void
break_both(struct house *house)
{
    break_seat(house, 1, hold_and_sell);
}

static void
break_reservation(struct house *house)
{
    break_seat(house, 2, forget_reservation);
}

static void
break_hold(struct house *house)
{
    break_seat(house, 1, free_held);
}

static void
break_owner(struct house *house)
{
    break_seat(house, 3, sell_twice);
}

static void
break_note(struct house *house)
{
    break_seat(house, 4, block_without_note);
}

static void
break_taken(struct house *house)
{
    struct note_record note;
    assert_true(store_get_note(house->store, NOTE_KEY(1, 9), &note));
    note.taken = 1; /* of a seat that nobody has */
    store_put_note(house->store, &note);
}

static void
break_sold_block(struct house *house)
{
    break_seat(house, 2, block_without_note);
    store_put_note(house->store, &(struct note_record){.key = NOTE_KEY(1, 2), .channel = 3});
}

static void
break_hold_list(struct house *house)
{
    struct user_record user;
    assert_true(store_get_user(house->store, 1, &user));
    user.first_hold = 0;
    store_put_user(house->store, &user);
}

static void
break_ticket_list(struct house *house)
{
    struct user_record user;
    assert_true(store_get_user(house->store, 2, &user));
    user.first_ticket = 0;
    store_put_user(house->store, &user);
}

static void
break_ticket_state(struct house *house)
{
    struct ticket_record ticket;
    assert_true(store_get_ticket(house->store, TICKET_KEY(1, 2), &ticket));
    ticket.state = USHER_PLACE_LEFT; /* but still in its user's list */
    store_put_ticket(house->store, &ticket);
}

static void
break_link(struct house *house)
{
    struct ticket_record ticket;
    assert_true(store_get_ticket(house->store, TICKET_KEY(1, 2), &ticket));
    ticket.linked = 1; /* to nothing */
    store_put_ticket(house->store, &ticket);
}

static void
break_end_of_link(struct house *house)
{
    store_put_link(house->store, &(struct link_record){TICKET_KEY(1, 1 << 20), TICKET_KEY(1, 1)}); /* of no ticket */
}

static void
break_active_time(struct house *house)
{
    struct ticket_record ticket;
    assert_true(store_get_ticket(house->store, TICKET_KEY(1, 1), &ticket));
    ticket.end_due = ticket.active_since - 1;
    store_put_ticket(house->store, &ticket);
}

static void
break_balance(struct house *house)
{
    struct user_record user;
    assert_true(store_get_user(house->store, 1, &user));
    user.balance++;
    store_put_user(house->store, &user);
}

static void
break_sum(struct house *house)
{
    struct house_record record;
    assert_true(store_get_house(house->store, 0, &record));
    record.sales++;
    store_put_house(house->store, &record);
}

static void
break_owned(struct house *house)
{
    struct owned_record owned;
    assert_true(store_get_owned(house->store, OWNED_KEY(1, 1), &owned));
    owned.count++;
    store_put_owned(house->store, &owned);
}

static void
break_date(struct house *house)
{
    struct date_record date;
    assert_true(store_get_date(house->store, 1, &date));
    date.seat_count = 49;
    store_put_date(house->store, &date);
}

static void
break_mode(struct house *house)
{
    struct queue_record queue;
    assert_true(store_get_queue(house->store, 1, &queue));
    queue.mode = USHER_QUEUE_FROZEN;
    store_put_queue(house->store, &queue);
}

/* S6, M2, H2: each invariant, broken once, is named. */
static void
every_broken_invariant_is_named(void **state)
{
    static const struct {
        void (*damage)(struct house *house);
        const char *name;
    } breaks[] = {
        {break_both, "S2"},        {break_reservation, "S3"}, {break_hold, "S1"},        {break_owner, "C2"},
        {break_note, "C3"},        {break_hold_list, "S4"},   {break_ticket_list, "L1"}, {break_ticket_state, "L1"},
        {break_active_time, "L3"}, {break_balance, "P2"},     {break_sum, "P1"},         {break_owned, "C2"},
        {break_date, "C3"},        {break_mode, "L1"},        {break_taken, "S5"},       {break_sold_block, "S5"},
        {break_link, "L1"},        {break_end_of_link, "L1"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        struct house house;
        char why[160] = "";
        open_house(&house);
        assert_true(store_begin(house.store));
        breaks[i].damage(&house);
        if (core_audit(house.core, why, sizeof why) || strncmp(why, breaks[i].name, strlen(breaks[i].name)) != 0)
            fail_msg("break %zu: expected %s, got '%s'", i, breaks[i].name, why);
        store_undo(house.store); /* and the undo makes it sound again */
        if (!core_audit(house.core, why, sizeof why))
            fail_msg("break %zu is not undone: %s", i, why);
        close_house(&house);
    }
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_house_passes_its_audit),
        cmocka_unit_test(every_broken_invariant_is_named),
    };
    return usher_test_main(argc, argv, tests);
}
