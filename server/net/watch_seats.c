/* watch_seats.c: WATCH_SEATS: the free seats of a date and their changes (C2, H1, H8).
 *
 * All who watch one date see the same, but for terminals, whose channel's blocked seats are free for them: so the
 * watchers stand by date and channel, and a change is worked out and encoded once for all of them.
 *
 *     event of a seat --> its block is marked --> at once, or seats_gather_ms after the last push:
 *         ask the core for the marked blocks, compare with what is shown, push the difference to the FOLLOWING,
 *         then a snapshot to the NEWCOMERS, who follow from then on
 *
 * `shown` is what every follower has been told, and `version` belongs to it; so a newcomer waits, until the changes
 * that are gathered have gone out, for its snapshot. A follower whose output is full is STALLED until there is room,
 * and then a newcomer again. */
#include "server/net/watch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BLOCKS 256u /* of one SEATS answer, of one push */
#define PAGES_MOST  4u   /* 65,536 seats */
#define BLOCKS_MOST (PAGES_MOST * PAGE_BLOCKS)

enum date_list { DATE_FOLLOWING, DATE_NEWCOMERS, DATE_STALLED, DATE_LISTS };

struct date_watch {
    struct watch_link by_id;
    struct date_watch *previous, *next; /* all of them */
    struct date_watch *next_at_work;
    bool at_work;
    bool changed; /* some block is marked */
    uint16_t channel;
    uint32_t concert_id, date_id;
    uint32_t seat_count, block_count;
    uint64_t watcher_count;
    struct subscription *list[DATE_LISTS];
    uint64_t not_before_ms; /* the last push of changes, and seats_gather_ms */
    uint64_t version;
    uint64_t page_version[PAGES_MOST];
    uint64_t mark[BLOCKS_MOST / 64]; /* a bit for each block */
    uint64_t *shown;                 /* block_count of them */
};

/* Room for what is pushed to many: bodies whose first field, the subscription, is filled in for each. */
struct seats_scratch {
    usher_seat_changes_push changes;
    usher_seats_push snapshot;
    uint32_t frame_count; /* of the changes or the snapshot that stand encoded here */
    size_t size[PAGES_MOST];
    uint8_t frame[PAGES_MOST][4096];
};

/* --- dates ------------------------------------------------------------------------------------------------ */
static uint64_t
hash_of(uint32_t concert_id, uint32_t date_id)
{
    return watch_hash(concert_id, date_id);
}

static struct date_watch *
find_date(const struct watch *watch, uint32_t concert_id, uint32_t date_id, uint16_t channel)
{
    struct watch_link *link = watch_table_first(&watch->dates, hash_of(concert_id, date_id));

    for (; link != NULL; link = watch_table_next(link)) {
        struct date_watch *date = WATCH_OF(link, struct date_watch, by_id);
        if (date->concert_id == concert_id && date->date_id == date_id && date->channel == channel)
            return date;
    }
    return NULL;
}

static void
put_to_work(struct watch *watch, struct date_watch *date)
{
    if (date->at_work)
        return;
    date->at_work = true;
    date->next_at_work = watch->first_at_work;
    watch->first_at_work = date;
}

static void
mark_all(struct watch *watch, struct date_watch *date)
{
    memset(date->mark, 0xff, sizeof date->mark);
    date->changed = true;
    put_to_work(watch, date);
}

static struct date_watch *
add_date(struct watch *watch, uint32_t concert_id, uint32_t date_id, uint16_t channel)
{
    struct date_watch *date = watch_table_reserve(&watch->dates) ? calloc(1, sizeof *date) : NULL;

    if (date == NULL)
        return NULL;
    date->concert_id = concert_id;
    date->date_id = date_id;
    date->channel = channel;
    date->next = watch->first_date;
    if (date->next != NULL)
        date->next->previous = date;
    watch->first_date = date;
    watch_table_add(&watch->dates, &date->by_id, hash_of(concert_id, date_id));
    mark_all(watch, date);
    return date;
}

static void
remove_date(struct watch *watch, struct date_watch *date)
{
    struct date_watch **at = &watch->first_at_work;

    while (date->at_work && *at != date)
        at = &(*at)->next_at_work;
    if (date->at_work)
        *at = date->next_at_work;
    watch_table_remove(&watch->dates, &date->by_id);
    if (date->previous != NULL)
        date->previous->next = date->next;
    else
        watch->first_date = date->next;
    if (date->next != NULL)
        date->next->previous = date->previous;
    free(date->shown);
    free(date);
}

static void
leave_list(struct subscription *subscription)
{
    struct seats_watch *seats = &subscription->seats;

    if (seats->previous != NULL)
        seats->previous->seats.next = seats->next;
    else
        seats->date->list[seats->list] = seats->next;
    if (seats->next != NULL)
        seats->next->seats.previous = seats->previous;
    seats->previous = NULL;
    seats->next = NULL;
}

static void
join_list(struct subscription *subscription, enum date_list list)
{
    struct seats_watch *seats = &subscription->seats;

    seats->list = (uint8_t)list;
    seats->next = seats->date->list[list];
    if (seats->next != NULL)
        seats->next->seats.previous = subscription;
    seats->date->list[list] = subscription;
}

static void
move_to(struct subscription *subscription, enum date_list list)
{
    leave_list(subscription);
    join_list(subscription, list);
}

/* --- what has happened ------------------------------------------------------------------------------------ */
void
watch_seats_note(struct watch *watch, uint32_t concert_id, uint32_t date_id, uint32_t seat_no)
{
    struct watch_link *link = watch_table_first(&watch->dates, hash_of(concert_id, date_id));
    uint32_t block = (seat_no - 1) / 64;

    if (block >= BLOCKS_MOST)
        return;
    for (; link != NULL; link = watch_table_next(link)) {
        struct date_watch *date = WATCH_OF(link, struct date_watch, by_id);
        if (date->concert_id != concert_id || date->date_id != date_id)
            continue;
        date->mark[block / 64] |= UINT64_C(1) << block % 64;
        date->changed = true;
        put_to_work(watch, date);
    }
}

void
watch_seats_note_all(struct watch *watch)
{
    for (struct date_watch *date = watch->first_date; date != NULL; date = date->next)
        mark_all(watch, date);
}

/* --- asking ----------------------------------------------------------------------------------------------- */
/* What the core says of the date's blocks from this one on, to anybody of this channel. */
static struct core_answer
ask_seats(struct net *net, const struct date_watch *date, uint32_t first_block)
{
    const struct core_asker asker = {.role = date->channel != 0 ? USHER_ROLE_TERMINAL : USHER_ROLE_ADMIN,
                                     .channel = date->channel};
    const usher_seats_request request = {
        .concert_id = date->concert_id, .date_id = date->date_id, .first_block = first_block};

    return net_ask(net, USHER_OPCODE_SEATS, &asker, &request);
}

/* There is nothing left to watch: all watchers are told. The date goes with the last of them. */
static void
end_all(struct net *net, struct date_watch *date, uint16_t result)
{
    for (uint64_t left = date->watcher_count; left > 0; left--) {
        size_t list = 0;
        while (date->list[list] == NULL)
            list++;
        watch_end(net, date->list[list], result, 0);
    }
}

void
watch_seats_check_shows(struct net *net)
{
    struct date_watch *next;

    for (struct date_watch *date = net->watch->first_date; date != NULL && watch_may_ask(net); date = next) {
        next = date->next;
        const struct core_answer answer = ask_seats(net, date, BLOCKS_MOST); /* no block at all: it costs little */
        if (answer.result != USHER_OK && answer.result != USHER_STORAGE_FAULT)
            end_all(net, date, answer.result);
    }
}

/* --- encoding --------------------------------------------------------------------------------------------- */
static void
encode_frame(struct seats_scratch *scratch, uint16_t opcode, const void *body)
{
    size_t size =
        usher_encode(usher_push_of(opcode)->body, body, scratch->frame[scratch->frame_count], sizeof scratch->frame[0]);

    assert(size != SIZE_MAX);
    scratch->size[scratch->frame_count++] = size;
}

static void
encode_snapshot(struct seats_scratch *scratch, const struct date_watch *date)
{
    usher_seats_push *push = &scratch->snapshot;

    scratch->frame_count = 0;
    for (uint32_t first = 0; first < date->block_count; first += PAGE_BLOCKS) {
        uint32_t left = date->block_count - first;
        push->concert_id = date->concert_id;
        push->date_id = date->date_id;
        push->seat_count = date->seat_count;
        push->block_count = date->block_count;
        push->version = date->version;
        push->first_block = first;
        push->free_block_count = (uint16_t)(left < PAGE_BLOCKS ? left : PAGE_BLOCKS);
        memcpy(push->free_block, date->shown + first, push->free_block_count * sizeof *push->free_block);
        encode_frame(scratch, USHER_PUSH_SEATS, push);
    }
}

/* Push the frames that stand encoded. */
static void
send_frames(struct seats_scratch *scratch, struct subscription *subscription, uint16_t opcode)
{
    for (uint32_t i = 0; i < scratch->frame_count; i++)
        connection_tell_bytes(subscription->connection, opcode, subscription->request_no, scratch->frame[i],
                              scratch->size[i]);
}

/* --- changes ---------------------------------------------------------------------------------------------- */
/* Everybody needs a snapshot. */
static void
begin_anew(struct watch *watch, struct date_watch *date)
{
    mark_all(watch, date);
    while (date->list[DATE_FOLLOWING] != NULL)
        move_to(date->list[DATE_FOLLOWING], DATE_NEWCOMERS);
}

/* Another number of seats: everything shown is void. False without memory. */
static bool
resize(struct watch *watch, struct date_watch *date, uint32_t seat_count)
{
    uint32_t block_count = (seat_count + 63) / 64;
    uint64_t *shown = realloc(date->shown, (block_count == 0 ? 1 : block_count) * sizeof *shown);

    if (shown == NULL)
        return false;
    memset(shown, 0, block_count * sizeof *shown);
    date->shown = shown;
    date->seat_count = seat_count;
    date->block_count = block_count;
    memset(date->page_version, 0, sizeof date->page_version);
    begin_anew(watch, date);
    return true;
}

static uint64_t
version_of(const struct date_watch *date)
{
    uint64_t version = 0;

    for (size_t page = 0; page < PAGES_MOST; page++)
        version += date->page_version[page];
    return version;
}

static bool
page_is_marked(const struct date_watch *date, uint32_t page)
{
    const uint64_t *mark = &date->mark[page * PAGE_BLOCKS / 64];

    return (mark[0] | mark[1] | mark[2] | mark[3]) != 0;
}

/* The changes that are gathered so far as frames; from_version is put in when all of them are known. */
static void
close_changes(struct seats_scratch *scratch, struct date_watch *date, uint64_t from_version)
{
    usher_seat_changes_push *push = &scratch->changes;

    if (push->block_count == 0)
        return;
    push->concert_id = date->concert_id;
    push->date_id = date->date_id;
    push->from_version = from_version;
    push->version = date->version;
    encode_frame(scratch, USHER_PUSH_SEAT_CHANGES, push);
    push->block_count = 0;
}

/* Compare a page of the core's answer with what is shown, and show it. Marks the blocks that differ, and no others. */
static bool
take_page(struct date_watch *date, uint32_t page, const usher_seats_reply *reply)
{
    bool differs = false;

    memset(&date->mark[page * PAGE_BLOCKS / 64], 0, PAGE_BLOCKS / 8);
    date->page_version[page] = reply->version;
    for (uint32_t i = 0; i < reply->free_block_count; i++) {
        uint32_t block = page * PAGE_BLOCKS + i;
        if (date->shown[block] == reply->free_block[i])
            continue;
        date->shown[block] = reply->free_block[i];
        date->mark[block / 64] |= UINT64_C(1) << block % 64;
        differs = true;
    }
    return differs;
}

/* What the marked blocks show now, in frames. */
static void
encode_changes(struct seats_scratch *scratch, struct date_watch *date, uint64_t from_version)
{
    usher_seat_changes_push *push = &scratch->changes;

    scratch->frame_count = 0;
    push->block_count = 0;
    for (uint32_t word = 0; word * 64 < date->block_count; word++) {
        for (uint64_t left = date->mark[word]; left != 0; left &= left - 1) {
            uint32_t block = word * 64 + (uint32_t)__builtin_ctzll(left);
            push->block[push->block_count++] = (usher_block_change){.block = block, .free = date->shown[block]};
            if (push->block_count == PAGE_BLOCKS) {
                close_changes(scratch, date, from_version);
                from_version = date->version;
            }
        }
    }
    close_changes(scratch, date, from_version);
}

static void
tell_followers(struct seats_scratch *scratch, struct date_watch *date)
{
    struct subscription *next;

    for (struct subscription *each = date->list[DATE_FOLLOWING]; each != NULL; each = next) {
        next = each->seats.next;
        if (watch_has_room(each))
            send_frames(scratch, each, USHER_PUSH_SEAT_CHANGES);
        else
            move_to(each, DATE_STALLED);
    }
}

enum update { UPDATE_DONE, UPDATE_LATER, UPDATE_GONE };

/* Bring what is shown up to date, and tell the followers. */
static enum update
update(struct net *net, struct date_watch *date)
{
    uint64_t from_version = date->version;
    bool differs = false;

    if (!watch_may_ask(net))
        return UPDATE_LATER;
    for (uint32_t page = 0; page < PAGES_MOST; page++) {
        if (!page_is_marked(date, page))
            continue;
        const struct core_answer answer = ask_seats(net, date, page * PAGE_BLOCKS);
        const usher_seats_reply *reply = answer.reply;
        if (answer.result == USHER_STORAGE_FAULT) {
            begin_anew(net->watch, date); /* pages that were taken already are told by a snapshot */
            return UPDATE_LATER;
        }
        if (answer.result != USHER_OK) {
            end_all(net, date, answer.result);
            return UPDATE_GONE;
        }
        if (reply->seat_count != date->seat_count) {
            if (!resize(net->watch, date, reply->seat_count))
                return UPDATE_LATER;
            return update(net, date); /* once: nothing changes the number between two queries of a turn */
        }
        differs |= take_page(date, page, reply);
    }
    if (differs) {
        date->version = version_of(date);
        if (date->list[DATE_FOLLOWING] != NULL)
            date->not_before_ms = net->stamp_ms + net->config.limits.seats_gather_ms;
        encode_changes(net->watch->seats, date, from_version);
        tell_followers(net->watch->seats, date);
    }
    memset(date->mark, 0, sizeof date->mark);
    date->changed = false;
    return UPDATE_DONE;
}

static void
welcome_newcomers(struct net *net, struct date_watch *date)
{
    struct seats_scratch *scratch = net->watch->seats;

    if (date->list[DATE_NEWCOMERS] == NULL)
        return;
    if (date->list[DATE_FOLLOWING] == NULL)
        date->version = version_of(date); /* nobody knows another one */
    encode_snapshot(scratch, date);
    while (date->list[DATE_NEWCOMERS] != NULL) {
        struct subscription *newcomer = date->list[DATE_NEWCOMERS];
        if (watch_has_room(newcomer)) {
            send_frames(scratch, newcomer, USHER_PUSH_SEATS);
            move_to(newcomer, DATE_FOLLOWING);
        } else {
            move_to(newcomer, DATE_STALLED);
        }
    }
}

void
watch_seats_run(struct net *net)
{
    struct date_watch *date = net->watch->first_at_work, *next, *later = NULL;

    net->watch->first_at_work = NULL;
    for (; date != NULL; date = next) {
        next = date->next_at_work;
        date->at_work = false;
        enum update outcome = UPDATE_LATER;
        if (!date->changed)
            outcome = UPDATE_DONE;
        else if (net->stamp_ms >= date->not_before_ms)
            outcome = update(net, date);
        if (outcome == UPDATE_GONE)
            continue;
        if (outcome == UPDATE_DONE)
            welcome_newcomers(net, date);
        if (outcome == UPDATE_LATER && net->stamp_ms >= date->not_before_ms)
            date->not_before_ms = net->stamp_ms + WATCH_RETRY_MS;
        if (outcome == UPDATE_LATER && !date->at_work) {
            date->at_work = true;
            date->next_at_work = later;
            later = date;
        }
    }
    while (later != NULL) {
        next = later->next_at_work;
        later->at_work = false;
        put_to_work(net->watch, later);
        later = next;
    }
}

uint64_t
watch_seats_next_ms(const struct watch *watch)
{
    uint64_t next_ms = UINT64_MAX;

    for (const struct date_watch *date = watch->first_at_work; date != NULL; date = date->next_at_work)
        next_ms = date->not_before_ms < next_ms ? date->not_before_ms : next_ms;
    return next_ms;
}

/* --- the kind --------------------------------------------------------------------------------------------- */
static uint16_t
channel_of(const struct core_asker *asker)
{
    return asker->role == USHER_ROLE_TERMINAL ? asker->channel : 0;
}

static usher_result
ask(struct net *net, struct watch_opening *opening)
{
    const usher_watch_seats_request *body = opening->body;
    const usher_seats_request request = {.concert_id = body->concert_id, .date_id = body->date_id};
    const struct core_answer answer = net_ask(net, USHER_OPCODE_SEATS, &opening->pending->asker, &request);

    if (answer.result != USHER_OK) {
        opening->refusal = *(const usher_refusal *)answer.reply;
        return answer.result;
    }
    opening->reply.seats.seat_count = ((const usher_seats_reply *)answer.reply)->seat_count;
    opening->reply.seats.block_count = (opening->reply.seats.seat_count + 63) / 64;
    return USHER_OK;
}

static bool
begin(struct net *net, struct subscription *made, const struct watch_opening *opening)
{
    const usher_watch_seats_request *body = opening->body;
    struct watch *watch = net->watch;
    uint16_t channel = channel_of(&made->asker);
    struct date_watch *date = find_date(watch, body->concert_id, body->date_id, channel);

    if (date == NULL)
        date = add_date(watch, body->concert_id, body->date_id, channel);
    if (date == NULL)
        return false;
    date->watcher_count++;
    made->seats.date = date;
    join_list(made, DATE_NEWCOMERS);
    put_to_work(watch, date);
    return true;
}

/* Its place has changed: is the token still active? The admission was claimed when the subscription was opened; this is
 * no call of the user's (Q5). */
static void
look(struct net *net, struct subscription *subscription)
{
    const struct date_watch *date = subscription->seats.date;
    const usher_seats_request request = {
        .concert_id = date->concert_id, .date_id = date->date_id, .first_block = BLOCKS_MOST};
    uint32_t trace_count = net->trace_count;
    const struct core_answer answer = net_ask(net, USHER_OPCODE_SEATS, &subscription->asker, &request);

    net->trace_count = trace_count;
    if (answer.result == USHER_STORAGE_FAULT) {
        watch_enlist(net->watch, subscription, WATCH_URGENT);
        net->watch->retry_ms = net->stamp_ms + WATCH_RETRY_MS;
    } else if (answer.result != USHER_OK) {
        watch_end(net, subscription, answer.result, ((const usher_refusal *)answer.reply)->detail);
    }
}

static void
resume(struct net *net, struct subscription *subscription)
{
    if (subscription->seats.list != DATE_STALLED)
        return;
    move_to(subscription, DATE_NEWCOMERS);
    put_to_work(net->watch, subscription->seats.date);
}

static void
end(struct net *net, struct subscription *subscription)
{
    struct date_watch *date = subscription->seats.date;

    leave_list(subscription);
    date->watcher_count--;
    if (date->watcher_count == 0)
        remove_date(net->watch, date);
}

const struct watch_kind watch_seats_kind = {
    .opcode = USHER_OPCODE_WATCH_SEATS, .ask = ask, .begin = begin, .look = look, .resume = resume, .end = end};

bool
watch_seats_open(struct watch *watch)
{
    watch->seats = calloc(1, sizeof *watch->seats);
    return watch->seats != NULL;
}

void
watch_seats_close(struct watch *watch)
{
    free(watch->seats);
    watch_table_free(&watch->dates);
}
