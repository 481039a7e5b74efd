/* check_books.c: usherd check on money and seats: the ledger from its first entry on, and every payment, refund and
 * ended reservation against entries, blocks and holds (M2, M5, M8, S5). */
#include "server/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/core/internal.h"

#define PROBLEM(table, key, ...) check_problem_at(books->check, STORE_TABLE_##table, (key), __VA_ARGS__)

struct books {
    struct check *check;
    struct store *store;
    struct house_record house;
    /* by user_no */
    int64_t *balance;
    uint64_t *last_entry;
    uint64_t next_no; /* of the table that is being walked */
    int64_t top_ups, sales;
    uint64_t last_at_ms;
    uint64_t payment_entries, refund_entries;
    /* of refunded seats, sorted once all are there */
    uint64_t *refunded;
    size_t refunded_count, refunded_room;
    uint64_t paid_seats, paid_ends, ends;
};

/* Rows of these tables count up from 1 without a gap. */
static bool
is_next(struct books *books, enum store_table table, uint64_t number)
{
    bool good = number == books->next_no;

    if (!good)
        check_problem_at(books->check, table, number, "the row before it should be %" PRIu64, number - 1);
    books->next_no = number + 1;
    return good;
}

static void
check_last(struct books *books, enum store_table table, uint64_t last_no)
{
    if (books->next_no != last_no + 1)
        check_problem_at(books->check, table, last_no, "the house says that this is the last; it is %" PRIu64,
                         books->next_no - 1);
}

/* --- the ledger -------------------------------------------------------------------------------------------- */
static bool
amount_fits(const struct entry_row *entry)
{
    switch (entry->kind) {
    case USHER_ENTRY_CHARGE:
        return entry->amount > 0 && entry->payment_id == 0 && entry->refund_id == 0;
    case USHER_ENTRY_PAYMENT:
        return entry->amount <= 0 && entry->payment_id != 0 && entry->refund_id == 0;
    case USHER_ENTRY_REFUND:
        return entry->amount >= 0 && entry->payment_id != 0 && entry->refund_id != 0;
    }
    return false;
}

static void
visit_entry(void *context, const struct store_row *row)
{
    struct books *books = context;
    struct entry_row entry;
    int64_t *account;

    memcpy(&entry, row->bytes, sizeof entry);
    is_next(books, STORE_TABLE_ENTRY, entry.entry_no);
    if (entry.user_no == 0 || entry.user_no > books->house.last_user_no) {
        PROBLEM(ENTRY, entry.entry_no, "there is no user %u", entry.user_no);
        return;
    }
    if (!amount_fits(&entry))
        PROBLEM(ENTRY, entry.entry_no, "kind, amount and what it is for don't go together");
    account = entry.kind == USHER_ENTRY_CHARGE ? &books->top_ups : &books->sales;
    *account -= entry.amount;
    books->balance[entry.user_no] += entry.amount;
    if (entry.user_balance != books->balance[entry.user_no])
        PROBLEM(ENTRY, entry.entry_no, "user %u has %" PRId64 " after it, the entries make %" PRId64, entry.user_no,
                entry.user_balance, books->balance[entry.user_no]);
    if (entry.house_balance != *account)
        PROBLEM(ENTRY, entry.entry_no, "the house account has %" PRId64 " after it, the entries make %" PRId64,
                entry.house_balance, *account);
    if (entry.previous_of_user != books->last_entry[entry.user_no])
        PROBLEM(ENTRY, entry.entry_no, "its link to the user's entry before it says %" PRIu64 ", that is %" PRIu64,
                entry.previous_of_user, books->last_entry[entry.user_no]);
    if (entry.at_ms < books->last_at_ms || entry.at_ms > books->house.stamp_ms)
        PROBLEM(ENTRY, entry.entry_no, "its moment is out of order (X1)");
    books->last_at_ms = entry.at_ms;
    books->balance[entry.user_no] = entry.user_balance; /* one mistake is told once */
    *account = entry.house_balance;
    books->last_entry[entry.user_no] = entry.entry_no;
    books->payment_entries += entry.kind == USHER_ENTRY_PAYMENT;
    books->refund_entries += entry.kind == USHER_ENTRY_REFUND;
}

static bool
visit_user(void *context, const void *record)
{
    struct books *books = context;
    const struct user_record *user = record;

    if (user->user_no == 0 || user->user_no > books->house.last_user_no) {
        PROBLEM(USER, user->user_no, "the house says that the last user is %" PRIu64, books->house.last_user_no);
        return true;
    }
    if (user->balance != books->balance[user->user_no])
        PROBLEM(USER, user->user_no, "the balance is %" PRId64 ", the ledger makes %" PRId64, user->balance,
                books->balance[user->user_no]);
    if (user->last_entry_no != books->last_entry[user->user_no])
        PROBLEM(USER, user->user_no, "the last entry is %" PRIu64 ", the ledger says %" PRIu64, user->last_entry_no,
                books->last_entry[user->user_no]);
    return true;
}

/* The books of a house whose counters are possible; false if they are not. */
static bool
books_open(struct books *books, struct check *check)
{
    *books = (struct books){.check = check, .store = check->store, .next_no = 1};
    if (!store_get_house(check->store, 0, &books->house)) {
        PROBLEM(HOUSE, 0, "there is no house record");
        return false;
    }
    if (store_record_count(check->store, STORE_TABLE_USER) != books->house.last_user_no) {
        PROBLEM(HOUSE, 0, "the last user is %" PRIu64 ", there are %" PRIu64, books->house.last_user_no,
                store_record_count(check->store, STORE_TABLE_USER));
        return false;
    }
    return true;
}

void
check_ledger(struct check *check)
{
    struct books kept, *books = &kept;

    if (!books_open(books, check))
        return;
    books->balance = calloc(books->house.last_user_no + 1, sizeof *books->balance);
    books->last_entry = calloc(books->house.last_user_no + 1, sizeof *books->last_entry);
    assert(books->balance != NULL);
    assert(books->last_entry != NULL);
    check_each(check, STORE_TABLE_ENTRY, visit_entry, books);
    check_last(books, STORE_TABLE_ENTRY, books->house.last_entry_no);
    store_each(check->store, STORE_TABLE_USER, visit_user, books);
    if (books->house.top_ups != books->top_ups || books->house.sales != books->sales)
        PROBLEM(HOUSE, 0,
                "the house accounts are %" PRId64 " and %" PRId64 ", the ledger makes %" PRId64 " and %" PRId64,
                books->house.top_ups, books->house.sales, books->top_ups, books->sales);
    if (books->payment_entries != books->house.last_payment_id || books->refund_entries != books->house.last_refund_id)
        PROBLEM(HOUSE, 0, "%" PRIu64 " payments and %" PRIu64 " refunds, in the ledger %" PRIu64 " and %" PRIu64,
                books->house.last_payment_id, books->house.last_refund_id, books->payment_entries,
                books->refund_entries);
    if (store_balance_sum(check->store) + books->house.top_ups + books->house.sales != 0)
        PROBLEM(HOUSE, 0, "the sum over all accounts is not zero (M2)");
    free(books->balance);
    free(books->last_entry);
}

/* --- refunds ----------------------------------------------------------------------------------------------- */
static const struct sold_seat *
find_seat(const struct payment_row *payment, uint64_t reservation_id)
{
    for (uint32_t at = 0; at < payment->seat_count; at++)
        if (payment->seat[at].reservation_id == reservation_id)
            return &payment->seat[at];
    return NULL;
}

static void
note_refunded(struct books *books, uint64_t reservation_id)
{
    if (books->refunded_count == books->refunded_room) {
        books->refunded_room = books->refunded_room * 2 + 64;
        books->refunded = realloc(books->refunded, books->refunded_room * sizeof *books->refunded);
        assert(books->refunded != NULL);
    }
    books->refunded[books->refunded_count++] = reservation_id;
}

/* The entry of a payment or refund says the same as its row. */
static void
check_entry(struct books *books, enum store_table table, uint64_t key, const struct entry_row *expected)
{
    struct entry_row entry;

    if (!store_read_entry(books->store, expected->entry_no, &entry))
        check_problem_at(books->check, table, key, "there is no ledger entry %" PRIu64, expected->entry_no);
    else if (entry.kind != expected->kind || entry.user_no != expected->user_no || entry.amount != expected->amount ||
             entry.payment_id != expected->payment_id || entry.refund_id != expected->refund_id ||
             entry.at_ms != expected->at_ms)
        check_problem_at(books->check, table, key, "ledger entry %" PRIu64 " is of something else", entry.entry_no);
}

static void
visit_refund(void *context, const struct store_row *row)
{
    struct books *books = context;
    struct payment_row payment;
    struct refund_row refund = {0};
    int64_t sum = 0;

    memcpy(&refund, row->bytes, row->size);
    is_next(books, STORE_TABLE_REFUND, refund.refund_id);
    check_entry(books, STORE_TABLE_REFUND, refund.refund_id,
                &(struct entry_row){.entry_no = refund.entry_no,
                                    .at_ms = refund.at_ms,
                                    .user_no = refund.user_no,
                                    .kind = USHER_ENTRY_REFUND,
                                    .amount = refund.amount,
                                    .payment_id = refund.payment_id,
                                    .refund_id = refund.refund_id});
    if (!store_read_payment(books->store, refund.payment_id, &payment) || payment.user_no != refund.user_no) {
        PROBLEM(REFUND, refund.refund_id, "there is no payment %" PRIu64 " of its user", refund.payment_id);
        return;
    }
    for (uint32_t at = 0; at < refund.seat_count; at++) {
        const struct sold_seat *paid = find_seat(&payment, refund.seat[at].reservation_id);

        if (paid == NULL || memcmp(paid, &refund.seat[at], sizeof *paid) != 0)
            PROBLEM(REFUND, refund.refund_id, "reservation %" PRIu64 " is not as it was paid",
                    refund.seat[at].reservation_id);
        note_refunded(books, refund.seat[at].reservation_id);
        sum += refund.seat[at].price;
    }
    if (refund.seat_count == 0 || sum != refund.amount)
        PROBLEM(REFUND, refund.refund_id, "its seats make %" PRId64 ", its amount is %" PRId64, sum, refund.amount);
}

static int
compare_numbers(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static void
sort_refunded(struct books *books)
{
    if (books->refunded_count > 0)
        qsort(books->refunded, books->refunded_count, sizeof *books->refunded, compare_numbers);
    for (size_t at = 1; at < books->refunded_count; at++)
        if (books->refunded[at] == books->refunded[at - 1])
            PROBLEM(ENDED, books->refunded[at], "it was refunded twice (M8)");
}

static bool
is_refunded(const struct books *books, uint64_t reservation_id)
{
    return books->refunded_count > 0 && bsearch(&reservation_id, books->refunded, books->refunded_count,
                                                sizeof *books->refunded, compare_numbers) != NULL;
}

/* --- payments ---------------------------------------------------------------------------------------------- */
static void
check_seat(struct books *books, const struct payment_row *payment, const struct sold_seat *seat)
{
    const struct block_record *block = store_see_block(books->store, SEAT_BLOCK(seat->date_no, seat->seat_no));
    const struct date_record *date = store_see_date(books->store, seat->date_no);
    struct ended_row ended;
    bool sold = block != NULL && (block->sold & SEAT_BIT(seat->seat_no)) != 0 &&
                block->reservation_id[SEAT_SLOT(seat->seat_no)] == seat->reservation_id;

    if (date == NULL || block == NULL || date->concert_id != seat->concert_id || date->date_id != seat->date_id)
        PROBLEM(PAYMENT, payment->payment_id, "there is no seat %u of date %u", seat->seat_no, seat->date_no);
    else if (sold == is_refunded(books, seat->reservation_id))
        PROBLEM(PAYMENT, payment->payment_id, "seat %u of date %u is %s", seat->seat_no, seat->date_no,
                sold ? "sold and refunded" : "paid and not sold");
    if (!store_read_ended(books->store, seat->reservation_id, &ended) || ended.how != ENDED_PAID ||
        ended.payment_id != payment->payment_id || ended.user_no != payment->user_no ||
        ended.date_no != seat->date_no || ended.seat_no != seat->seat_no)
        PROBLEM(PAYMENT, payment->payment_id, "reservation %" PRIu64 " did not end so", seat->reservation_id);
}

static void
visit_payment(void *context, const struct store_row *row)
{
    struct books *books = context;
    struct payment_row payment = {0};
    int64_t sum = 0;

    memcpy(&payment, row->bytes, row->size);
    is_next(books, STORE_TABLE_PAYMENT, payment.payment_id);
    check_entry(books, STORE_TABLE_PAYMENT, payment.payment_id,
                &(struct entry_row){.entry_no = payment.entry_no,
                                    .at_ms = payment.at_ms,
                                    .user_no = payment.user_no,
                                    .kind = USHER_ENTRY_PAYMENT,
                                    .amount = -payment.amount,
                                    .payment_id = payment.payment_id});
    for (uint32_t at = 0; at < payment.seat_count; at++) {
        check_seat(books, &payment, &payment.seat[at]);
        sum += payment.seat[at].price;
    }
    if (payment.seat_count == 0 || sum != payment.amount)
        PROBLEM(PAYMENT, payment.payment_id, "its seats make %" PRId64 ", its amount is %" PRId64, sum, payment.amount);
    books->paid_seats += payment.seat_count;
}

static void
visit_ended(void *context, const struct store_row *row)
{
    struct books *books = context;
    struct ended_row ended;

    memcpy(&ended, row->bytes, sizeof ended);
    if (ended.reservation_id == 0 || ended.reservation_id > books->house.last_reservation_id)
        PROBLEM(ENDED, ended.reservation_id, "the last reservation is %" PRIu64, books->house.last_reservation_id);
    if (store_see_hold(books->store, ended.reservation_id) != NULL)
        PROBLEM(ENDED, ended.reservation_id, "it is still held");
    if (ended.how < ENDED_EXPIRED || ended.how > ENDED_PAID || (ended.how == ENDED_PAID) != (ended.payment_id != 0))
        PROBLEM(ENDED, ended.reservation_id, "how it ended and its payment don't go together");
    if (ended.user_no == 0 || ended.user_no > books->house.last_user_no)
        PROBLEM(ENDED, ended.reservation_id, "there is no user %u", ended.user_no);
    books->ends++;
    books->paid_ends += ended.how == ENDED_PAID;
}

void
check_payments(struct check *check)
{
    struct books kept, *books = &kept;
    struct store_counts seats = store_house_counts(check->store);

    if (!books_open(books, check))
        return;
    check_each(check, STORE_TABLE_REFUND, visit_refund, books);
    check_last(books, STORE_TABLE_REFUND, books->house.last_refund_id);
    sort_refunded(books);
    books->next_no = 1;
    check_each(check, STORE_TABLE_PAYMENT, visit_payment, books);
    check_last(books, STORE_TABLE_PAYMENT, books->house.last_payment_id);
    check_each(check, STORE_TABLE_ENDED, visit_ended, books);
    if (books->paid_seats != books->paid_ends)
        PROBLEM(HOUSE, 0, "%" PRIu64 " seats were paid, %" PRIu64 " reservations ended so", books->paid_seats,
                books->paid_ends);
    if (books->paid_seats - books->refunded_count != seats.sold)
        PROBLEM(HOUSE, 0, "%" PRIu64 " seats are sold, the payments and refunds make %" PRIu64, seats.sold,
                books->paid_seats - books->refunded_count);
    if (books->ends + store_record_count(check->store, STORE_TABLE_HOLD) != books->house.last_reservation_id)
        PROBLEM(HOUSE, 0, "%" PRIu64 " reservations were made, %" PRIu64 " are held and %" PRIu64 " ended",
                books->house.last_reservation_id, store_record_count(check->store, STORE_TABLE_HOLD), books->ends);
    free(books->refunded);
}
