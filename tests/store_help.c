/* store_help.c: see store_help.h. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "tests/store_help.h"

/* --- folders ---------------------------------------------------------------------------------- */
void
help_folder_make(struct help_folder *folder)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder->parent, sizeof folder->parent, "%.150s/usher-store-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(folder->parent));
    snprintf(folder->path, sizeof folder->path, "%s/data", folder->parent);
}

static void
remove_names(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char name[600];

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && remove(name) != 0)
            remove_names(name);
    }
    if (directory != NULL)
        closedir(directory);
    remove(path);
}

void
help_folder_remove(struct help_folder *folder)
{
    remove_names(folder->parent);
}

struct store *
help_open(const struct help_folder *folder, const struct store_options *given)
{
    struct store_options options = given != NULL ? *given : (struct store_options){0};
    struct store *store;
    char why[512] = "";

    options.directory = folder->path;
    options.map_bytes = options.map_bytes != 0 ? options.map_bytes : UINT64_C(1) << 30;
    options.unsafe_no_sync = true;
    if (store_open(&options, &store, why, sizeof why) != STORE_OK)
        fail_msg("%s", why);
    return store;
}

/* --- random numbers --------------------------------------------------------------------------- */
uint64_t
help_random(struct help_random *random)
{
    uint64_t value = random->state += 0x9e3779b97f4a7c15u;

    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

uint64_t
help_below(struct help_random *random, uint64_t limit)
{
    return help_random(random) % limit;
}

static void
fill(struct help_random *random, void *bytes, size_t size)
{
    for (size_t at = 0; at < size; at++)
        ((uint8_t *)bytes)[at] = (uint8_t)help_random(random);
}

/* --- random records: a small space of keys, so that all of them are made, changed and removed again and again --- */
#define QUEUES 4u
#define DATES  12u
#define USERS  300u

static uint64_t
random_key(struct help_random *random, enum store_table table)
{
    uint64_t first = help_below(random, 1000), second = help_below(random, 1000);

    switch ((int)table) {
    case STORE_TABLE_HOUSE:
        return 0;
    case STORE_TABLE_QUEUE:
        return 1 + first % QUEUES;
    case STORE_TABLE_DATE:
        return 1 + first % DATES;
    case STORE_TABLE_BLOCK:
        return (1 + first % DATES) << 16 | second % 8;
    case STORE_TABLE_NOTE:
    case STORE_TABLE_OWNED:
        return (1 + first % DATES) << 32 | second % 20;
    case STORE_TABLE_TICKET:
    case STORE_TABLE_LINK:
        return (1 + first % QUEUES) << 40 | (1 + second * 7);
    case STORE_TABLE_CONCERT:
    case STORE_TABLE_PLAN:
    case STORE_TABLE_CLIENT:
    case STORE_TABLE_CONSUMER:
        return 1 + first % 9;
    default: /* users and holds */
        return 1 + first % USERS;
    }
}

static void
make_house(struct help_random *random, struct house_record *house)
{
    house->stamp_ms += help_below(random, 1000);
    house->top_ups -= (int64_t)help_below(random, 1000000);
    house->policy[HOUSE_POLICY_ROOM - 1] = help_random(random);
}

static void
make_queue(struct help_random *random, struct queue_record *queue)
{
    queue->queue_id = (uint32_t)(queue->queue_no - 1 + 100 * help_below(random, 3));
    queue->last_position = help_random(random);
    fill(random, queue->name, 8);
}

static void
make_concert(struct help_random *random, struct concert_record *concert)
{
    concert->concert_id = (uint32_t)(concert->concert_no + 100 * help_below(random, 3));
    concert->queue_no = 1 + help_below(random, QUEUES);
}

static void
make_plan(struct help_random *random, struct plan_record *plan)
{
    plan->plan_id = (uint32_t)(plan->plan_no + 100 * help_below(random, 3));
    plan->section[help_below(random, PLAN_SECTIONS_MOST)].first_row = (uint16_t)help_random(random);
}

static void
make_date(struct help_random *random, struct date_record *date)
{
    date->concert_id = (uint32_t)(1 + help_below(random, 3));
    date->date_id = (uint32_t)(date->date_no + 100 * help_below(random, 3));
    date->queue_no = 1 + help_below(random, QUEUES);
    date->price[help_below(random, 8)] = (int64_t)help_random(random);
}

static void
make_block(struct help_random *random, struct block_record *block)
{
    uint64_t bit = UINT64_C(1) << help_below(random, BLOCK_SEATS);

    block->date_no = (uint32_t)(block->key >> 16);
    block->seat_count = (uint32_t)(1 + help_below(random, BLOCK_SEATS));
    block->version++;
    block->held ^= bit;
    block->sold ^= bit << 1;
    block->blocked ^= help_random(random) & help_random(random) & help_random(random);
    block->reservation_id[help_below(random, BLOCK_SEATS)] = help_below(random, 100000);
}

static void
make_note(struct help_random *random, struct note_record *note)
{
    fill(random, note->reason, help_below(random, sizeof note->reason));
}

static void
make_user(struct help_random *random, struct user_record *user)
{
    if (user->balance == 0)
        fill(random, &user->uuid, sizeof user->uuid);
    user->balance = (int64_t)(1 + help_below(random, USHER_POINTS_MAX));
}

static void
make_ticket(struct help_random *random, struct ticket_record *ticket)
{
    static const uint8_t states[] = {USHER_PLACE_WAITING, USHER_PLACE_WAITING, USHER_PLACE_ACTIVE, USHER_PLACE_USED};

    ticket->user_no = (uint32_t)(1 + help_below(random, USERS));
    ticket->state = states[help_below(random, 4)];
    ticket->end_due = 1000 + help_below(random, 500);
    ticket_set_claim_ms(ticket, help_below(random, 3) == 0 ? (uint32_t)(900 + help_below(random, 700)) : 0);
}

static void
make_hold(struct help_random *random, struct hold_record *hold)
{
    hold->queue_no = (uint32_t)(1 + help_below(random, QUEUES));
    hold->end_due = 1000 + help_below(random, 500);
    hold->price = -(int64_t)help_below(random, 100000);
}

static void
make_owned(struct help_random *random, struct owned_record *owned)
{
    owned->count = help_below(random, 5);
}

static void
make_client(struct help_random *random, struct client_record *client)
{
    if (help_below(random, 2) == 0)
        fill(random, &client->client_key, sizeof client->client_key);
    if (help_below(random, 2) == 0)
        memset(&client->code_hash, 0, sizeof client->code_hash);
    else
        fill(random, &client->code_hash, sizeof client->code_hash);
}

static void
make_link(struct help_random *random, struct link_record *link)
{
    link->next = 1 + help_below(random, 1000);
}

static void
make_consumer(struct help_random *random, struct consumer_record *consumer)
{
    consumer->event_no = help_below(random, 100);
    fill(random, consumer->name, sizeof consumer->name - 1);
}

/* Put or remove the record of a random key. The house stays. */
#define STORE_TABLE(number, NAME, name, key_field, text)                                                               \
    static void change_##name(struct store *store, struct help_random *random)                                         \
    {                                                                                                                  \
        uint64_t key = random_key(random, STORE_TABLE_##NAME);                                                         \
        struct name##_record record = {.key_field = key};                                                              \
                                                                                                                       \
        if (store_get_##name(store, key, &record) && key != 0 && help_below(random, 3) == 0) {                         \
            store_remove_##name(store, key);                                                                           \
            return;                                                                                                    \
        }                                                                                                              \
        make_##name(random, &record);                                                                                  \
        store_put_##name(store, &record);                                                                              \
    }
#include "server/store/records.def"

/* --- random history --------------------------------------------------------------------------- */
static void
append_points(struct store *store, struct help_random *random, struct house_record *house)
{
    struct entry_row entry = {.entry_no = ++house->last_entry_no, .amount = (int64_t)help_below(random, 1000)};
    struct payment_row payment = {.payment_id = ++house->last_payment_id, .amount = (int64_t)help_below(random, 1000)};
    struct refund_row refund = {.refund_id = ++house->last_refund_id, .payment_id = house->last_payment_id};

    payment.user_no = refund.user_no = (uint32_t)(1 + help_below(random, 20));
    payment.seat_count = (uint32_t)help_below(random, PAYMENT_SEATS_MOST + 1);
    for (uint32_t seat = 0; seat < payment.seat_count; seat++)
        payment.seat[seat] = (struct sold_seat){.reservation_id = help_below(random, 99999), .price = 7 + seat};
    refund.seat_count = payment.seat_count / 2;
    memcpy(refund.seat, payment.seat, refund.seat_count * sizeof *refund.seat);
    store_append_entry(store, &entry);
    store_append_payment(store, &payment);
    store_append_refund(store, &refund);
    store_append_event(store, &(struct event_row){.event_no = ++house->last_event_no,
                                                  .kind = USHER_EVENT_PAID,
                                                  .payment_id = payment.payment_id});
    store_append_event(store, &(struct event_row){.event_no = ++house->last_event_no, .kind = USHER_EVENT_JOINED});
    store_append_event(store, &(struct event_row){.event_no = ++house->last_event_no,
                                                  .kind = USHER_EVENT_REFUNDED,
                                                  .payment_id = payment.payment_id,
                                                  .refund_id = refund.refund_id});
}

static void
append_answer(struct store *store, struct help_random *random, struct house_record *house)
{
    struct answer_row answer = {.answer_no = ++house->last_answer_no, .scope = help_below(random, 5)};

    fill(random, &answer.request_id, sizeof answer.request_id);
    answer.body_size = (uint16_t)help_below(random, 100);
    fill(random, answer.body, answer.body_size);
    store_append_answer(store, &answer);
}

static void
change_history(struct store *store, struct help_random *random)
{
    struct house_record house;
    struct answer_row answer;
    /* Reservations end in another order than they began. */
    struct ended_row ended = {.how = ENDED_RELEASED};

    store_get_house(store, 0, &house);
    append_points(store, random, &house);
    append_answer(store, random, &house);
    ended.reservation_id = ++house.last_reservation_id ^ 5;
    store_append_ended(store, &ended);
    if (help_below(random, 2) == 0 && house.first_answer_no < house.last_answer_no &&
        store_read_answer(store, house.first_answer_no, &answer)) {
        store_drop_answer(store, &answer);
        house.first_answer_no++;
    }
    store_put_house(store, &house);
}

void
help_change(struct store *store, struct help_random *random, unsigned changes)
{
    static void (*const change[])(struct store *, struct help_random *) = {
#define STORE_TABLE(number, NAME, name, key_field, text) change_##name,
#include "server/store/records.def"
        change_history, change_ticket, change_ticket, change_hold, change_hold, change_user, change_user, change_block,
    };

    while (changes-- > 0)
        change[help_below(random, sizeof change / sizeof *change)](store, random);
}

void
help_batch(struct store *store, struct help_random *random, unsigned changes)
{
    struct help_random of_commands = {random->state + 1}; /* the changes draw as without any commands */
    uint8_t commands[40];
    const char *why;

    fill(&of_commands, commands, sizeof commands);
    if (!store_begin(store)) {
        store_fault(store, &why);
        fail_msg("%s", why);
    }
    help_change(store, random, changes);
    if (store_commit(store, commands, help_below(&of_commands, sizeof commands)) != STORE_DONE) {
        store_fault(store, &why);
        fail_msg("%s", why);
    }
}

/* --- the picture ------------------------------------------------------------------------------ */
static uint64_t
mixed(uint64_t picture, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(bytes, size, picture);
}

static uint64_t
mixed_number(uint64_t picture, uint64_t number)
{
    return mixed(picture, &number, sizeof number);
}

static uint64_t
mixed_due(const struct store *store, uint64_t queue_no, uint64_t picture)
{
    struct store_due due;

    if (!store_next_due(store, queue_no, &due))
        return mixed_number(picture, 0);
    picture = mixed_number(picture, due.due);
    picture = mixed_number(picture, due.table);
    return mixed_number(picture, due.key);
}

static uint64_t
mixed_counts(uint64_t picture, struct store_counts counts)
{
    return mixed(picture, &counts, sizeof counts);
}

static uint64_t
mixed_history(const struct store *store, uint64_t picture)
{
    const struct house_record *house = store_see_house(store, 0);
    struct answer_row found;

#define STORE_HISTORY(number, NAME, name, text)                                                                        \
    for (uint64_t key = 1;                                                                                             \
         key <= (STORE_TABLE_##NAME == STORE_TABLE_ENDED ? house->last_reservation_id + 8 : house->last_event_no);     \
         key++) {                                                                                                      \
        struct name##_row row;                                                                                         \
        if (store_read_##name(store, key, &row))                                                                       \
            picture = mixed(picture, &row, sizeof row);                                                                \
    }
#include "server/store/history.def"
    for (uint64_t answer_no = house->first_answer_no; answer_no <= house->last_answer_no; answer_no++) {
        struct answer_row answer;

        if (!store_read_answer(store, answer_no, &answer))
            continue;
        assert_true(store_find_answer(store, answer.scope, &answer.request_id, &found));
        assert_int_equal(found.answer_no, answer_no);
    }
    return mixed_number(picture, store_answer_count(store));
}

uint64_t
help_picture(const struct store *store)
{
    uint64_t picture = store_digest_recount(store);

    for (enum store_table table = STORE_TABLE_HOUSE; table <= STORE_TABLE_LINK; table++)
        picture = mixed_number(picture, store_record_count(store, table));
    for (uint64_t queue_no = 1; queue_no <= QUEUES; queue_no++) {
        picture = mixed_due(store, queue_no, picture);
        picture = mixed_number(picture, store_first_waiting(store, queue_no));
        picture = mixed_number(picture, store_waiting_count(store, queue_no));
        picture = mixed_number(picture, store_active_count(store, queue_no));
        picture = mixed_counts(picture, store_queue_counts(store, queue_no));
        for (uint64_t position = 1; position < 7000; position += 501)
            picture = mixed_number(picture, store_rank(store, queue_no, position));
    }
    for (uint64_t date_no = 1; date_no <= DATES; date_no++)
        picture = mixed_counts(picture, store_date_counts(store, date_no));
    picture = mixed_counts(picture, store_house_counts(store));
    picture = mixed_number(picture, (uint64_t)store_balance_sum(store));
    for (uint32_t id = 0; id < 320; id++) {
        picture = mixed_number(picture, store_find_queue(store, id));
        picture = mixed_number(picture, store_find_concert(store, id));
        picture = mixed_number(picture, store_find_plan(store, id));
        picture = mixed_number(picture, store_find_date(store, 1 + id % 3, id));
        picture = mixed_number(picture, store_next_queue(store, id));
        picture = mixed_number(picture, store_next_concert(store, id));
        picture = mixed_number(picture, store_next_date(store, 1 + id % 3, id));
    }
    return mixed_history(store, picture);
}

/* --- the recount ------------------------------------------------------------------------------ */
struct recount {
    const struct store *store;
    uint64_t queue_no, date_no;                      /* 0: all */
    uint64_t waiting, active, first_waiting, before; /* before: waiters before position 3,000 */
    bool any_due;
    struct store_due due;
    struct store_counts counts;
};

static void
recount_due(struct recount *recount, uint64_t due, enum store_table table, uint64_t key)
{
    struct store_due *least = &recount->due;
    bool earlier = due != least->due       ? due < least->due
                   : table != least->table ? table < least->table
                                           : key < least->key;

    if (recount->any_due && !earlier)
        return;
    recount->any_due = true;
    *least = (struct store_due){due, table, key};
}

static bool
recount_ticket(void *context, const void *record)
{
    const struct ticket_record *ticket = record;
    struct recount *recount = context;
    uint64_t position = ticket->key & ((UINT64_C(1) << 40) - 1);

    if (ticket->key >> 40 != recount->queue_no)
        return true;
    recount->active += ticket->state == USHER_PLACE_ACTIVE;
    uint64_t claim_due = ticket->active_since + ticket_claim_ms(ticket), end_due = ticket->end_due;
    bool unclaimed = ticket_claim_ms(ticket) != 0;
    recount_due(recount, unclaimed && claim_due < end_due ? claim_due : end_due, STORE_TABLE_TICKET, ticket->key);
    if (ticket->state != USHER_PLACE_WAITING)
        return true;
    recount->waiting++;
    recount->before += position < 3000;
    if (recount->first_waiting == 0 || position < recount->first_waiting)
        recount->first_waiting = position;
    return true;
}

static bool
recount_hold(void *context, const void *record)
{
    const struct hold_record *hold = record;
    struct recount *recount = context;

    if (hold->queue_no == recount->queue_no)
        recount_due(recount, hold->end_due, STORE_TABLE_HOLD, hold->reservation_id);
    return true;
}

static bool
recount_block(void *context, const void *record)
{
    const struct block_record *block = record;
    struct recount *recount = context;
    const struct date_record *date = store_see_date(recount->store, block->date_no);

    if (recount->date_no != 0 && recount->date_no != block->date_no)
        return true;
    if (recount->queue_no != 0 && (date == NULL || date->queue_no != recount->queue_no))
        return true;
    recount->counts.seats += block->seat_count;
    recount->counts.held += (uint64_t)__builtin_popcountll(block->held);
    recount->counts.sold += (uint64_t)__builtin_popcountll(block->sold);
    recount->counts.blocked += (uint64_t)__builtin_popcountll(block->blocked & ~block->held & ~block->sold);
    recount->counts.withheld += (uint64_t)__builtin_popcountll(block->blocked & block->held);
    return true;
}

static void
recount_queue(const struct store *store, uint64_t queue_no)
{
    struct recount recount = {.store = store, .queue_no = queue_no};
    struct store_counts counts = store_queue_counts(store, queue_no);
    struct store_due due;

    store_each(store, STORE_TABLE_TICKET, recount_ticket, &recount);
    store_each(store, STORE_TABLE_HOLD, recount_hold, &recount);
    store_each(store, STORE_TABLE_BLOCK, recount_block, &recount);
    assert_int_equal(store_waiting_count(store, queue_no), recount.waiting);
    assert_int_equal(store_active_count(store, queue_no), recount.active);
    assert_int_equal(store_first_waiting(store, queue_no), recount.first_waiting);
    assert_int_equal(store_rank(store, queue_no, 3000), recount.before + 1);
    assert_int_equal(store_next_due(store, queue_no, &due), recount.any_due);
    if (recount.any_due) {
        assert_int_equal(due.due, recount.due.due);
        assert_int_equal(due.table, recount.due.table);
        assert_int_equal(due.key, recount.due.key);
    }
    assert_memory_equal(&counts, &recount.counts, sizeof counts);
}

static bool
find_user(void *context, const void *record)
{
    assert_int_equal(store_find_user(context, &((const struct user_record *)record)->uuid),
                     ((const struct user_record *)record)->user_no);
    return true;
}

static bool
add_balance(void *context, const void *record)
{
    *(int64_t *)context += ((const struct user_record *)record)->balance;
    return true;
}

static bool
find_client(void *context, const void *record)
{
    static const usher_key none;
    const struct client_record *client = record;
    bool has_key = memcmp(&client->client_key, &none, sizeof none) != 0;
    bool has_code = memcmp(&client->code_hash, &none, sizeof none) != 0;

    if (has_key)
        assert_int_equal(store_find_client(context, &client->client_key), client->client_no);
    if (has_code)
        assert_int_equal(store_find_code(context, &client->code_hash), client->client_no);
    return true;
}

static bool
find_date(void *context, const void *record)
{
    const struct date_record *date = record;

    assert_int_equal(store_find_date(context, date->concert_id, date->date_id), date->date_no);
    return true;
}

void
help_recount(const struct store *store)
{
    struct recount house = {.store = store};
    struct store_counts counts = store_house_counts(store);
    uint64_t walked = 0;
    int64_t balance_sum = 0;

    for (uint64_t queue_no = 1; queue_no <= QUEUES; queue_no++)
        recount_queue(store, queue_no);
    for (uint64_t date_no = 1; date_no <= DATES; date_no++) {
        struct recount date = {.store = store, .date_no = date_no};
        struct store_counts of_date = store_date_counts(store, date_no);

        store_each(store, STORE_TABLE_BLOCK, recount_block, &date);
        assert_memory_equal(&of_date, &date.counts, sizeof of_date);
    }
    store_each(store, STORE_TABLE_BLOCK, recount_block, &house);
    assert_memory_equal(&counts, &house.counts, sizeof counts);
    store_each(store, STORE_TABLE_USER, find_user, (void *)(uintptr_t)store);
    store_each(store, STORE_TABLE_USER, add_balance, &balance_sum);
    assert_int_equal(store_balance_sum(store), balance_sum);
    store_each(store, STORE_TABLE_CLIENT, find_client, (void *)(uintptr_t)store);
    store_each(store, STORE_TABLE_DATE, find_date, (void *)(uintptr_t)store);
    for (uint64_t queue_no = store_first_queue(store); queue_no != 0; walked++)
        queue_no = store_next_queue(store, store_see_queue(store, queue_no)->queue_id);
    assert_int_equal(walked, store_record_count(store, STORE_TABLE_QUEUE));
}
