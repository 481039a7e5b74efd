/* audit.c: every invariant by name, recounted from the records (S6, DESIGN section 9).
 *
 * Reads the whole house, so it runs in tests, in the simulation and in usherd check, never on the way of a request.
 * Beside the invariants that line.c and seat.c name:
 *   P1  The sum over all accounts is zero (M2).
 *   P2  A balance is its last entry's running balance, and lies within 0 .. 2^53-1 (M1, M2).
 *   C1  The counts that indexes keep are those of the records.
 *   C2  A user owns as many seats of a date as were sold to it.
 *   C3  A date has the seats of its plan, in blocks without a gap; a note stands beside each blocked seat and no other.
 *   E1, E2  Those of events.c (X5).
 *   D1  The digest that each commit brings up to date is that of the records (so not within a batch). */
#include "server/core/internal.h"

#include <stdio.h>
#include <stdlib.h>

struct audit {
    const struct core *core;
    const struct store *store;
    char *why;
    size_t why_size;
    bool sound;
    uint64_t holds, holds_in_lists, held_seats, notes, blocked_seats;
    uint64_t live_tickets, live_in_lists, links;
    int64_t balances;
    uint64_t *waiting, *active; /* by queue_no */
    struct store_counts house;
    struct store_counts *queue; /* by queue_no */
    struct store_counts *date;  /* by date_no */
    uint64_t *unsold_until_ms;  /* by queue_no */
    uint64_t *sale;             /* one for each sold seat: the key of what its owner owns; sorted */
    uint64_t sale_count, sale_room;
    uint64_t owned_seats;
};

static bool broken(struct audit *audit, const char *name, const char *table, uint64_t key);

#define CHECK(name, condition, table, key)              \
    do {                                                \
        if (!(condition))                               \
            return broken(audit, (name), (table), (key)); \
    } while (0)

static bool
broken(struct audit *audit, const char *name, const char *table, uint64_t key)
{
    if (audit->sound)
        snprintf(audit->why, audit->why_size, "%s does not hold at %s %llu", name, table, (unsigned long long)key);
    audit->sound = false;
    return false;
}

static uint64_t
bits_of(const struct block_record *block)
{
    return block->seat_count >= BLOCK_SEATS ? UINT64_MAX : (UINT64_C(1) << block->seat_count) - 1;
}

static void
count_block(struct store_counts *counts, const struct block_record *block)
{
    counts->seats += block->seat_count;
    counts->held += (uint64_t)__builtin_popcountll(block->held);
    counts->sold += (uint64_t)__builtin_popcountll(block->sold);
    counts->blocked += (uint64_t)__builtin_popcountll(block->blocked & ~block->held & ~block->sold);
    counts->withheld += (uint64_t)__builtin_popcountll(block->blocked & block->held);
}

static bool
note_sale(struct audit *audit, const struct block_record *block, unsigned slot)
{
    struct ended_row ended;
    CHECK("S1 (a sold seat's reservation was paid)",
          store_read_ended(audit->store, block->reservation_id[slot], &ended) && ended.how == ENDED_PAID &&
              ended.date_no == block->date_no,
          "block", block->key);
    if (audit->sale_count == audit->sale_room) {
        audit->sale_room = audit->sale_room * 2 + 64;
        audit->sale = realloc(audit->sale, audit->sale_room * sizeof *audit->sale);
        assert(audit->sale != NULL);
    }
    audit->sale[audit->sale_count++] = OWNED_KEY(ended.user_no, ended.date_no);
    return true;
}

static bool
visit_block(void *context, const void *record)
{
    struct audit *audit = context;
    const struct block_record *block = record;
    const struct date_record *date = store_see_date(audit->store, block->date_no);

    CHECK("C3 (a block has a date)", date != NULL && block->seat_count >= 1 && block->seat_count <= BLOCK_SEATS,
          "block", block->key);
    CHECK("S2",
          (block->held & block->sold) == 0 && ((block->held | block->sold | block->blocked) & ~bits_of(block)) == 0,
          "block", block->key);
    for (unsigned slot = 0; slot < BLOCK_SEATS; slot++) {
        uint64_t bit = UINT64_C(1) << slot, id = block->reservation_id[slot];
        uint32_t seat_no = (uint32_t)((block->key & 0xffff) * BLOCK_SEATS + slot + 1);
        CHECK("S3", (id != 0) == (((block->held | block->sold) & bit) != 0), "block", block->key);
        if (block->held & bit) {
            const struct hold_record *hold = store_see_hold(audit->store, id);
            CHECK("S1 (a held seat has a hold)",
                  hold != NULL && hold->date_no == block->date_no && hold->seat_no == seat_no, "block", block->key);
        }
        if (block->sold & bit && !note_sale(audit, block, slot))
            return false;
        const struct note_record *note = store_see_note(audit->store, NOTE_KEY(block->date_no, seat_no));
        CHECK("C3 (a note for each blocked seat)", ((block->blocked & bit) != 0) == (note != NULL), "block",
              block->key);
        CHECK("S5 (a taken block stands on a held or sold seat)",
              note == NULL || !note->taken || ((block->held | block->sold) & bit), "block", block->key);
        CHECK("S5 (a sold seat's block is taken)", note == NULL || note->taken || !(block->sold & bit), "block",
              block->key);
    }
    audit->held_seats += (uint64_t)__builtin_popcountll(block->held);
    audit->blocked_seats += (uint64_t)__builtin_popcountll(block->blocked);
    count_block(&audit->house, block);
    count_block(&audit->date[block->date_no], block);
    count_block(&audit->queue[date->queue_no], block);
    return true;
}

static bool
visit_date(void *context, const void *record)
{
    struct audit *audit = context;
    const struct date_record *date = record;
    struct store_counts kept = store_date_counts(audit->store, date->date_no);
    const struct plan_record *plan = store_see_plan(audit->store, date->plan_no);

    CHECK("C1 (date)", memcmp(&kept, &audit->date[date->date_no], sizeof kept) == 0, "date", date->date_no);
    CHECK("C3", plan != NULL && plan->seat_count == date->seat_count && kept.seats == date->seat_count, "date",
          date->date_no);
    uint64_t ends_ms = date->closes_at_ms != 0 ? date->closes_at_ms : date->starts_at_ms;
    if (store_has_unsold(&kept) && ends_ms > audit->unsold_until_ms[date->queue_no])
        audit->unsold_until_ms[date->queue_no] = ends_ms;
    return true;
}

static bool
visit_hold(void *context, const void *record)
{
    struct audit *audit = context;
    const struct hold_record *hold = record;
    const struct block_record *block = store_see_block(audit->store, SEAT_BLOCK(hold->date_no, hold->seat_no));

    audit->holds++;
    CHECK("S1 (a hold has a held seat)",
          block != NULL && (block->held & SEAT_BIT(hold->seat_no)) &&
              block->reservation_id[SEAT_SLOT(hold->seat_no)] == hold->reservation_id,
          "hold", hold->reservation_id);
    if (hold->ticket != 0) {
        const struct ticket_record *ticket = store_see_ticket(audit->store, hold->ticket);
        CHECK("L3 (a hold's ticket is active)", ticket != NULL && ticket->state == USHER_PLACE_ACTIVE, "hold",
              hold->reservation_id);
        CHECK("L3 (no hold ends after its ticket)", hold->end_due <= ticket->end_due, "hold", hold->reservation_id);
        CHECK("S1 (a hold is its ticket's user's)", ticket->user_no == hold->user_no, "hold", hold->reservation_id);
    }
    return true;
}

static bool
visit_ticket(void *context, const void *record)
{
    struct audit *audit = context;
    const struct ticket_record *ticket = record;
    uint64_t queue_no = TICKET_QUEUE_NO(ticket->key);
    const struct queue_record *queue = store_see_queue(audit->store, queue_no);

    CHECK("L1 (a ticket has a queue and a user)",
          queue != NULL && TICKET_POSITION(ticket->key) <= queue->last_position &&
              store_see_user(audit->store, ticket->user_no) != NULL,
          "ticket", ticket->key);
    audit->live_tickets += ticket_is_live(ticket);
    audit->waiting[queue_no] += ticket->state == USHER_PLACE_WAITING;
    audit->active[queue_no] += ticket->state == USHER_PLACE_ACTIVE;
    const struct link_record *link = store_see_link(audit->store, ticket->key);
    CHECK("L1 (an ended ticket is in no list)", ticket_is_live(ticket) || link == NULL, "ticket", ticket->key);
    CHECK("L1 (a ticket knows of its link)", ticket->linked == (link != NULL) && (link == NULL || link->next != 0),
          "ticket", ticket->key);
    audit->links += link != NULL;
    CHECK("L3 (an active ticket ends after it began)",
          ticket->state != USHER_PLACE_ACTIVE || queue_due(queue, ticket->end_due) >= ticket->active_since, "ticket",
          ticket->key);
    return true;
}

static bool
visit_user(void *context, const void *record)
{
    struct audit *audit = context;
    const struct user_record *user = record;
    uint64_t hold_count = 0, before = 0, ticket_count = 0;
    struct entry_row entry;

    for (uint64_t id = user->first_hold; id != 0; hold_count++) {
        const struct hold_record *hold = store_see_hold(audit->store, id);
        CHECK("S4", hold != NULL && hold->user_no == user->user_no && id > before && hold_count < PAYMENT_SEATS_MOST,
              "user", user->user_no);
        before = id;
        id = hold->next_of_user;
    }
    audit->holds_in_lists += hold_count;
    for (uint64_t key = user->first_ticket; key != 0; ticket_count++) {
        const struct ticket_record *ticket = store_see_ticket(audit->store, key);
        CHECK("L1 (a user's list has its live tickets)",
              ticket != NULL && ticket->user_no == user->user_no && ticket_is_live(ticket) &&
                  ticket_count < CORE_QUEUES_MOST,
              "user", user->user_no);
        for (uint64_t other = ticket_next(audit->store, ticket); other != 0;) {
            CHECK("L1 (one live ticket a queue)", TICKET_QUEUE_NO(other) != TICKET_QUEUE_NO(key), "user",
                  user->user_no);
            other = ticket_next(audit->store, store_see_ticket(audit->store, other));
        }
        key = ticket_next(audit->store, ticket);
    }
    audit->live_in_lists += ticket_count;
    audit->balances += user->balance;
    bool has_entry = user->last_entry_no != 0 && store_read_entry(audit->store, user->last_entry_no, &entry);
    CHECK("P2", user->balance >= 0 && user->balance <= USHER_POINTS_MAX, "user", user->user_no);
    CHECK("P2", has_entry ? entry.user_no == user->user_no && entry.user_balance == user->balance : user->balance == 0,
          "user", user->user_no);
    return true;
}

static bool
visit_owned(void *context, const void *record)
{
    struct audit *audit = context;
    const struct owned_record *owned = record;
    uint64_t low = 0, high = audit->sale_count, count = 0;

    while (low < high) { /* the first sale of this key */
        uint64_t middle = low + (high - low) / 2;
        if (audit->sale[middle] < owned->key)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + count < audit->sale_count && audit->sale[low + count] == owned->key)
        count++;
    CHECK("C2", owned->count > 0 && count == owned->count, "owned", owned->key);
    audit->owned_seats += owned->count;
    return true;
}

static bool
visit_queue(void *context, const void *record)
{
    struct audit *audit = context;
    const struct queue_record *queue = record;
    uint64_t no = queue->queue_no;
    struct store_counts kept = store_queue_counts(audit->store, no);
    uint64_t first = store_first_waiting(audit->store, no);

    CHECK("C1 (queue's seats)", memcmp(&kept, &audit->queue[no], sizeof kept) == 0, "queue", no);
    CHECK("C1 (until when the queue sells)",
          store_unsold_until_ms(audit->store, no) == audit->unsold_until_ms[no], "queue", no);
    CHECK("C1 (waiting)", store_waiting_count(audit->store, no) == audit->waiting[no], "queue", no);
    CHECK("C1 (active)", store_active_count(audit->store, no) == audit->active[no], "queue", no);
    CHECK("C1 (first waiting)", (first != 0) == (audit->waiting[no] != 0), "queue", no);
    CHECK("L1 (rank begins at 1)", first == 0 || store_rank(audit->store, no, first) == 1, "queue", no);
    CHECK("L1 (a freeze has a beginning)", (queue->mode == USHER_QUEUE_FROZEN) == (queue->frozen_at_ms != 0), "queue",
          no);
    return true;
}

static bool
visit_consumer(void *context, const void *record)
{
    struct audit *audit = context;
    const struct consumer_record *consumer = record;
    struct house_record house;

    store_get_house(audit->store, 0, &house);
    CHECK("E2", consumer->consumer_no >= 1 && consumer->consumer_no <= CORE_CONSUMERS_MOST, "consumer",
          consumer->consumer_no);
    CHECK("E2", consumer->name[0] != '\0' && consumer->event_no <= house.last_event_no, "consumer",
          consumer->consumer_no);
    for (uint64_t no = 1; no < consumer->consumer_no; no++) {
        const struct consumer_record *other = store_see_consumer(audit->store, no);
        CHECK("E2", other == NULL || strcmp(other->name, consumer->name) != 0, "consumer", consumer->consumer_no);
    }
    return true;
}

static bool
check_events(struct audit *audit, const struct house_record *house)
{
    CHECK("E1", house->first_event_no >= 1 && house->first_event_no - 1 <= house->history_event_no, "house", 0);
    CHECK("E1", house->history_event_no <= house->last_event_no, "house", 0);
    CHECK("E1", house->tick_event_no <= house->last_event_no, "house", 0);
    return true;
}

static bool
check_house(struct audit *audit, const struct house_record *house)
{
    struct store_counts kept = store_house_counts(audit->store);

    CHECK("C1 (house)", memcmp(&kept, &audit->house, sizeof kept) == 0, "house", 0);
    CHECK("S1 (as many holds as held seats)", audit->holds == audit->held_seats, "house", 0);
    CHECK("S4 (each hold in one list)", audit->holds == audit->holds_in_lists, "house", 0);
    CHECK("L1 (each live ticket in one list)", audit->live_tickets == audit->live_in_lists, "house", 0);
    CHECK("L1 (each link is a ticket's)", store_record_count(audit->store, STORE_TABLE_LINK) == audit->links, "house",
          0);
    CHECK("C1 (balances)", audit->balances == store_balance_sum(audit->store), "house", 0);
    CHECK("P1", audit->balances + house->top_ups + house->sales == 0, "house", 0);
    CHECK("C2 (each sold seat has an owner)", audit->owned_seats == audit->sale_count, "house", 0);
    CHECK("C3 (as many notes as blocked seats)",
          store_record_count(audit->store, STORE_TABLE_NOTE) == audit->blocked_seats, "house", 0);
    return true;
}

static int
compare_keys(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

bool
core_audit(const struct core *core, char *why, size_t why_size)
{
    struct audit audit = {.core = core, .store = core->store, .why = why, .why_size = why_size, .sound = true};
    struct house_record house;

    store_get_house(core->store, 0, &house);
    audit.waiting = calloc(house.last_queue_no + 1, sizeof *audit.waiting);
    audit.active = calloc(house.last_queue_no + 1, sizeof *audit.active);
    audit.queue = calloc(house.last_queue_no + 1, sizeof *audit.queue);
    audit.date = calloc(house.last_date_no + 1, sizeof *audit.date);
    audit.unsold_until_ms = calloc(house.last_queue_no + 1, sizeof *audit.unsold_until_ms);
    assert(audit.waiting && audit.active && audit.queue && audit.date && audit.unsold_until_ms);
    store_each(core->store, STORE_TABLE_BLOCK, visit_block, &audit);
    if (audit.sale_count > 0)
        qsort(audit.sale, audit.sale_count, sizeof *audit.sale, compare_keys);
    store_each(core->store, STORE_TABLE_DATE, visit_date, &audit);
    store_each(core->store, STORE_TABLE_HOLD, visit_hold, &audit);
    store_each(core->store, STORE_TABLE_TICKET, visit_ticket, &audit);
    store_each(core->store, STORE_TABLE_USER, visit_user, &audit);
    store_each(core->store, STORE_TABLE_OWNED, visit_owned, &audit);
    store_each(core->store, STORE_TABLE_QUEUE, visit_queue, &audit);
    store_each(core->store, STORE_TABLE_CONSUMER, visit_consumer, &audit);
    if (audit.sound && check_events(&audit, &house))
        check_house(&audit, &house);
    if (audit.sound && store_digest(core->store) != store_digest_recount(core->store))
        broken(&audit, "D1 (the running digest is that of the records)", "house", 0);
    free(audit.waiting);
    free(audit.active);
    free(audit.queue);
    free(audit.date);
    free(audit.unsold_until_ms);
    free(audit.sale);
    return audit.sound;
}
