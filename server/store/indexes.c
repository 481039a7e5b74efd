/* indexes.c: one function a table says what a change of a record means to the indexes; see indexes.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "server/store/indexes.h"
#include "server/store/lease.h"
#include "server/store/memory.h"

#define POSITION_BITS 40u /* of a ticket's key; the queue is above */

_Static_assert(crypto_shorthash_KEYBYTES == 16, "indexes.secret is the key of SipHash");

uint64_t
indexes_hash(const struct indexes *indexes, const void *bytes, size_t size)
{
    uint64_t hash;

    crypto_shorthash((unsigned char *)&hash, bytes, size, indexes->secret);
    return hash;
}

static struct queue_index *
queue_of(struct indexes *indexes, uint64_t queue_no)
{
    if (queue_no >= indexes->queue_count) {
        indexes->queue = store_grow(indexes->queue, &indexes->queue_room, queue_no + 1, sizeof *indexes->queue);
        memset(&indexes->queue[indexes->queue_count], 0,
               (queue_no + 1 - indexes->queue_count) * sizeof *indexes->queue);
        indexes->queue_count = queue_no + 1;
    }
    if (indexes->queue[queue_no] == NULL)
        indexes->queue[queue_no] = store_allocate(1, sizeof **indexes->queue);
    return indexes->queue[queue_no];
}

static struct date_index *
date_of(struct indexes *indexes, uint64_t date_no)
{
    if (date_no >= indexes->date_count) {
        indexes->date = store_grow(indexes->date, &indexes->date_room, date_no + 1, sizeof *indexes->date);
        memset(&indexes->date[indexes->date_count], 0, (date_no + 1 - indexes->date_count) * sizeof *indexes->date);
        indexes->date_count = date_no + 1;
    }
    return &indexes->date[date_no];
}

void
indexes_fetch_date(const struct indexes *indexes, uint64_t date_no)
{
    const char *date = (const char *)&indexes->date[date_no];

    if (date_no >= indexes->date_count)
        return;
    __builtin_prefetch(date, 1);
    __builtin_prefetch(date + sizeof *indexes->date - 1, 1); /* it may lie across two lines */
}

/* --- ids -------------------------------------------------------------------------------------- */
/* An id's map (exact, for store_mix is a bijection) and, if wanted, its order. Number 0 is none. */
static void
change_id(struct map *map, struct ordered *ordered, uint64_t old_id, uint64_t old_number, uint64_t new_id,
          uint64_t new_number)
{
    if (old_number == new_number && old_id == new_id)
        return;
    if (old_number != 0) {
        map_remove(map, store_mix(old_id), old_number);
        if (ordered != NULL)
            ordered_remove(ordered, old_id, old_number);
    }
    if (new_number != 0) {
        map_add(map, store_mix(new_id), new_number);
        if (ordered != NULL)
            ordered_add(ordered, new_id, new_number);
    }
}

static void
change_queue(struct indexes *indexes, const void *before, const void *after)
{
    const struct queue_record *old = before, *new = after;

    change_id(&indexes->queues, &indexes->queues_by_id, old ? old->queue_id : 0, old ? old->queue_no : 0,
              new ? new->queue_id : 0, new ? new->queue_no : 0);
}

static void
change_concert(struct indexes *indexes, const void *before, const void *after)
{
    const struct concert_record *old = before, *new = after;

    change_id(&indexes->concerts, &indexes->concerts_by_id, old ? old->concert_id : 0, old ? old->concert_no : 0,
              new ? new->concert_id : 0, new ? new->concert_no : 0);
}

static void
change_plan(struct indexes *indexes, const void *before, const void *after)
{
    const struct plan_record *old = before, *new = after;

    change_id(&indexes->plans, NULL, old ? old->plan_id : 0, old ? old->plan_no : 0, new ? new->plan_id : 0,
              new ? new->plan_no : 0);
}

/* --- what clients choose: SipHash, candidates are compared ------------------------------------ */
static bool
is_zero(const void *bytes, size_t size)
{
    static const uint8_t zeros[sizeof(usher_key)];

    assert(size <= sizeof zeros);
    return memcmp(bytes, zeros, size) == 0;
}

static void
change_hashed(const struct indexes *indexes, struct map *map, const void *old_bytes, uint64_t old_number,
              const void *new_bytes, uint64_t new_number, size_t size)
{
    if (old_bytes != NULL && is_zero(old_bytes, size))
        old_bytes = NULL;
    if (new_bytes != NULL && is_zero(new_bytes, size))
        new_bytes = NULL;
    if (old_bytes != NULL && new_bytes != NULL && memcmp(old_bytes, new_bytes, size) == 0)
        return;
    if (old_bytes != NULL)
        map_remove(map, indexes_hash(indexes, old_bytes, size), old_number);
    if (new_bytes != NULL)
        map_add(map, indexes_hash(indexes, new_bytes, size), new_number);
}

static void
change_user(struct indexes *indexes, const void *before, const void *after)
{
    const struct user_record *old = before, *new = after;

    change_hashed(indexes, &indexes->users, old ? &old->uuid : NULL, old ? old->user_no : 0, new ? &new->uuid : NULL,
                  new ? new->user_no : 0, sizeof(usher_uuid));
    indexes->balance_sum += (new ? new->balance : 0) - (old ? old->balance : 0);
}

static void
change_client(struct indexes *indexes, const void *before, const void *after)
{
    const struct client_record *old = before, *new = after;
    uint64_t old_no = old ? old->client_no : 0, new_no = new ? new->client_no : 0;

    change_hashed(indexes, &indexes->client_keys, old ? &old->client_key : NULL, old_no, new ? &new->client_key : NULL,
                  new_no, sizeof(usher_key));
    change_hashed(indexes, &indexes->client_codes, old ? &old->code_hash : NULL, old_no, new ? &new->code_hash : NULL,
                  new_no, sizeof(usher_key));
}

/* --- seats ------------------------------------------------------------------------------------ */
static void
add_counts(struct store_counts *sum, const struct store_counts *counts, bool minus)
{
    sum->seats += minus ? -counts->seats : counts->seats;
    sum->held += minus ? -counts->held : counts->held;
    sum->sold += minus ? -counts->sold : counts->sold;
    sum->blocked += minus ? -counts->blocked : counts->blocked;
    sum->withheld += minus ? -counts->withheld : counts->withheld;
}

/* A date that has a seat to sell, for the heap of its queue: the later its sale ends, the earlier it comes. */
static struct store_due
unsold_entry(const struct indexes *indexes, const struct date_index *date)
{
    return (struct store_due){UINT64_MAX - date->ends_ms, STORE_TABLE_DATE, (uint64_t)(date - indexes->date)};
}

static bool
has_unsold(const struct date_index *date)
{
    return date->queue_no != 0 && store_has_unsold(&date->counts);
}

struct unsold_context {
    const struct indexes *indexes;
    uint64_t queue_no;
};

static enum due_verdict
judge_unsold(void *given, const struct store_due *entry, struct store_due *instead)
{
    const struct unsold_context *context = given;
    const struct date_index *date = &context->indexes->date[entry->key];

    (void)instead;
    return date->queue_no == context->queue_no && has_unsold(date) &&
                   unsold_entry(context->indexes, date).due == entry->due
               ? DUE_TRUE
               : DUE_STALE;
}

uint64_t
indexes_unsold_until_ms(const struct indexes *indexes, uint64_t queue_no)
{
    struct unsold_context context = {indexes, queue_no};
    struct queue_index *queue = queue_no < indexes->queue_count ? indexes->queue[queue_no] : NULL;
    const struct store_due *last = queue == NULL ? NULL : due_least(&queue->unsold, judge_unsold, NULL, &context);

    return last == NULL ? 0 : UINT64_MAX - last->due;
}

/* The date was as old says and is now as its index says. */
static void
change_unsold(struct indexes *indexes, const struct date_index *old, const struct date_index *date)
{
    bool had = has_unsold(old), has = has_unsold(date);

    if (had)
        queue_of(indexes, old->queue_no)->unsold.live--;
    if (has)
        queue_of(indexes, date->queue_no)->unsold.live++;
    if (has && !(had && old->queue_no == date->queue_no && old->ends_ms == date->ends_ms))
        due_push(&queue_of(indexes, date->queue_no)->unsold, unsold_entry(indexes, date));
}

static uint64_t
sale_ends_ms(const struct date_record *date)
{
    return date->closes_at_ms != 0 ? date->closes_at_ms : date->starts_at_ms;
}

static void
change_date(struct indexes *indexes, const void *before, const void *after)
{
    const struct date_record *old = before, *new = after;
    uint64_t old_queue = old ? old->queue_no : 0, new_queue = new ? new->queue_no : 0;
    struct date_index *date = date_of(indexes, old ? old->date_no : new->date_no), was = *date;

    change_id(&indexes->dates, &indexes->dates_by_id, old ? (uint64_t)old->concert_id << 32 | old->date_id : 0,
              old ? old->date_no : 0, new ? (uint64_t) new->concert_id << 32 | new->date_id : 0,
              new ? new->date_no : 0);
    date->queue_no = new_queue;
    date->ends_ms = new ? sale_ends_ms(new) : 0;
    change_unsold(indexes, &was, date);
    if (old_queue == new_queue)
        return;
    if (old_queue != 0)
        add_counts(&queue_of(indexes, old_queue)->counts, &date->counts, true);
    if (new_queue != 0)
        add_counts(&queue_of(indexes, new_queue)->counts, &date->counts, false);
}

/* How many bits more there are; a change is of one or two. */
static uint64_t
bits_more(uint64_t before, uint64_t after)
{
    uint64_t more = 0;

    for (uint64_t left = after & ~before; left != 0; left &= left - 1)
        more++;
    for (uint64_t left = before & ~after; left != 0; left &= left - 1)
        more--;
    return more;
}

static void
change_block(struct indexes *indexes, const void *before, const void *after)
{
    static const struct block_record none;
    const struct block_record *old = before != NULL ? before : &none, *new = after != NULL ? after : &none;
    struct date_index *date = date_of(indexes, before != NULL ? old->date_no : new->date_no), was = *date;
    struct store_counts more = {
        .seats = (uint64_t) new->seat_count - old->seat_count,
        .held = bits_more(old->held, new->held),
        .sold = bits_more(old->sold, new->sold),
        .blocked = bits_more(old->blocked & ~(old->held | old->sold), new->blocked & ~(new->held | new->sold)),
        .withheld = bits_more(old->blocked & old->held, new->blocked & new->held),
    };

    add_counts(&date->counts, &more, false);
    add_counts(&indexes->house, &more, false);
    if (date->queue_no != 0)
        add_counts(&queue_of(indexes, date->queue_no)->counts, &more, false);
    change_unsold(indexes, &was, date);
}

/* --- line and due moments --------------------------------------------------------------------- */
uint64_t
indexes_position(uint64_t key)
{
    return key & ((UINT64_C(1) << POSITION_BITS) - 1);
}

static void
change_due(struct queue_index *queue, const struct store_due *old, const struct store_due *new)
{
    if (old != NULL)
        queue->due.live--;
    if (new != NULL)
        queue->due.live++;
    /* One that comes later now is found to do so when its old entry is the least. */
    if (new != NULL && (old == NULL || new->due < old->due))
        due_push(&queue->due, *new);
}

static void
change_waiting(struct queue_index *queue, uint64_t position, bool waits)
{
    uint64_t notes = queue->waiting.note_count;

    if (waits)
        line_add(&queue->waiting, position);
    else
        line_remove(&queue->waiting, position);
    queue->due.live += queue->waiting.note_count - notes; /* some are lost when it moves on */
}

static void
change_ticket(struct indexes *indexes, const void *before, const void *after)
{
    const struct ticket_record *old = before, *new = after;
    uint64_t key = old ? old->key : new->key;
    struct queue_index *queue = queue_of(indexes, key >> POSITION_BITS);
    bool waited = old != NULL && old->state == USHER_PLACE_WAITING;
    bool waits = new != NULL &&new->state == USHER_PLACE_WAITING;
    bool was_due = old != NULL && !waited, is_due = new != NULL &&!waits; /* by an entry of its own */
    struct store_due old_due = {was_due ? ticket_due(old) : 0, STORE_TABLE_TICKET, key};
    struct store_due new_due = {is_due ? ticket_due(new) : 0, STORE_TABLE_TICKET, key};

    if (waited != waits)
        change_waiting(queue, indexes_position(key), waits);
    if (waits)
        lease_note(queue, new);
    if (old != NULL && old->state == USHER_PLACE_ACTIVE)
        queue->active_count--;
    if (new != NULL &&new->state == USHER_PLACE_ACTIVE)
        queue->active_count++;
    if (was_due || is_due)
        change_due(queue, was_due ? &old_due : NULL, is_due ? &new_due : NULL);
}

static void
change_hold(struct indexes *indexes, const void *before, const void *after)
{
    const struct hold_record *old = before, *new = after;
    struct store_due old_due = {old ? old->end_due : 0, STORE_TABLE_HOLD, old ? old->reservation_id : 0};
    struct store_due new_due = {new ? new->end_due : 0, STORE_TABLE_HOLD, new ? new->reservation_id : 0};

    if (old != NULL && new != NULL && old->queue_no == new->queue_no) {
        change_due(queue_of(indexes, old->queue_no), &old_due, &new_due);
        return;
    }
    if (old != NULL)
        change_due(queue_of(indexes, old->queue_no), &old_due, NULL);
    if (new != NULL)
        change_due(queue_of(indexes, new->queue_no), NULL, &new_due);
}

/* --- all of them ------------------------------------------------------------------------------ */
static void (*const changes[STORE_TABLE_END])(struct indexes *indexes, const void *before, const void *after) = {
    [STORE_TABLE_QUEUE] = change_queue,   [STORE_TABLE_CONCERT] = change_concert, [STORE_TABLE_PLAN] = change_plan,
    [STORE_TABLE_DATE] = change_date,     [STORE_TABLE_BLOCK] = change_block,     [STORE_TABLE_USER] = change_user,
    [STORE_TABLE_TICKET] = change_ticket, [STORE_TABLE_HOLD] = change_hold,       [STORE_TABLE_CLIENT] = change_client,
};

void
indexes_change(struct indexes *indexes, unsigned table, const void *before, const void *after)
{
    assert(before != NULL || after != NULL);
    if (changes[table] != NULL)
        changes[table](indexes, before, after);
}

/* As change_user makes it of each, but a million of them at once. */
static void
build_users(struct indexes *indexes)
{
    const struct table *table = &indexes->tables[STORE_TABLE_USER];
    struct map_coming coming = {.map = &indexes->users};

    map_reserve(&indexes->users, table->count);
    for (uint32_t slot = 0; slot < table->slot_count; slot++) {
        const struct user_record *user = (const void *)table_record(table, slot);

        if ((*table_flags(table, slot) & TABLE_PRESENT) == 0)
            continue;
        if (!is_zero(&user->uuid, sizeof user->uuid))
            map_add_soon(&coming, indexes_hash(indexes, &user->uuid, sizeof user->uuid), user->user_no);
        indexes->balance_sum += user->balance;
    }
    map_add_rest(&coming);
}

static void
build_table(struct indexes *indexes, const struct table *table)
{
    if (table->kind->number == STORE_TABLE_USER) {
        build_users(indexes);
        return;
    }
    if (changes[table->kind->number] == NULL)
        return;
    for (uint32_t slot = 0; slot < table->slot_count; slot++)
        if ((*table_flags(table, slot) & TABLE_PRESENT) != 0)
            changes[table->kind->number](indexes, NULL, table_record(table, slot));
}

void
indexes_build(struct indexes *indexes)
{
#define STORE_TABLE(number, NAME, name, key_field, text) build_table(indexes, &indexes->tables[number]);
#include "server/store/records.def"
}

struct indexes *
indexes_open(const struct table *tables)
{
    struct indexes *indexes = store_allocate(1, sizeof *indexes);

    indexes->tables = tables;
    randombytes_buf(indexes->secret, sizeof indexes->secret);
    return indexes;
}

void
indexes_close(struct indexes *indexes)
{
    map_free(&indexes->users);
    map_free(&indexes->queues);
    map_free(&indexes->concerts);
    map_free(&indexes->plans);
    map_free(&indexes->dates);
    map_free(&indexes->client_keys);
    map_free(&indexes->client_codes);
    ordered_free(&indexes->queues_by_id);
    ordered_free(&indexes->concerts_by_id);
    ordered_free(&indexes->dates_by_id);
    for (size_t queue_no = 0; queue_no < indexes->queue_count; queue_no++) {
        if (indexes->queue[queue_no] == NULL)
            continue;
        line_free(&indexes->queue[queue_no]->waiting);
        due_free(&indexes->queue[queue_no]->due);
        due_free(&indexes->queue[queue_no]->unsold);
        free(indexes->queue[queue_no]);
    }
    free(indexes->queue);
    free(indexes->date);
    free(indexes);
}

uint64_t
indexes_bytes(const struct indexes *indexes)
{
    uint64_t bytes = map_bytes(&indexes->users) + map_bytes(&indexes->queues) + map_bytes(&indexes->concerts) +
                     map_bytes(&indexes->plans) + map_bytes(&indexes->dates) + map_bytes(&indexes->client_keys) +
                     map_bytes(&indexes->client_codes);

    bytes += (indexes->queues_by_id.room + indexes->concerts_by_id.room + indexes->dates_by_id.room) *
             sizeof(struct ordered_item);
    bytes += indexes->date_room * sizeof *indexes->date + indexes->queue_room * sizeof *indexes->queue;
    for (size_t queue_no = 0; queue_no < indexes->queue_count; queue_no++)
        if (indexes->queue[queue_no] != NULL)
            bytes += sizeof **indexes->queue + line_bytes(&indexes->queue[queue_no]->waiting) +
                     (indexes->queue[queue_no]->due.capacity + indexes->queue[queue_no]->unsold.capacity) *
                         sizeof(struct store_due);
    return bytes;
}
