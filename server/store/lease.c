/* lease.c: see lease.h. A note is the entry's moment and who of the 64 it names, with all bits turned over, so that the
 * earlier is the greater and none at all is 0. */
#include <assert.h>

#include "server/store/lease.h"

#define NEIGHBOURS_BITS 6u

static uint64_t
make_note(uint64_t due, uint64_t key)
{
    assert(due < UINT64_MAX >> NEIGHBOURS_BITS);
    return ~(due << NEIGHBOURS_BITS | (key & ((1u << NEIGHBOURS_BITS) - 1)));
}

static void
set_note(struct queue_index *queue, uint64_t key, uint64_t note)
{
    uint64_t before = queue->waiting.note_count;

    line_set_note(&queue->waiting, indexes_position(key), note);
    queue->due.live += queue->waiting.note_count - before;
}

void
lease_note(struct queue_index *queue, const struct ticket_record *ticket)
{
    uint64_t due = ticket_due(ticket), note = make_note(due, ticket->key);

    if (note <= line_note(&queue->waiting, indexes_position(ticket->key)))
        return;
    set_note(queue, ticket->key, note);
    due_push(&queue->due, (struct store_due){due, STORE_TABLE_TICKET, ticket->key});
}

/* The end of the first lease of the 64 neighbours to end. False if none of them waits. */
static bool
find_first(const struct lease_context *context, uint64_t key, struct store_due *first)
{
    uint64_t word = line_word(&context->queue->waiting, indexes_position(key));
    bool any = false;

    for (; word != 0; word &= word - 1) {
        uint64_t each = (key >> NEIGHBOURS_BITS << NEIGHBOURS_BITS) + (uint64_t)__builtin_ctzll(word);
        uint64_t due = ticket_due(table_see(context->tickets, each));

        if (!any || due < first->due)
            *first = (struct store_due){due, STORE_TABLE_TICKET, each};
        any = true;
    }
    return any;
}

enum due_verdict
lease_judge(const struct lease_context *context, const struct store_due *entry, struct store_due *instead)
{
    const struct ticket_record *ticket = table_see(context->tickets, entry->key);
    bool told = ticket != NULL && ticket_due(ticket) == entry->due;
    uint64_t note = line_note(&context->queue->waiting, indexes_position(entry->key));

    if (note == 0 || note != make_note(entry->due, entry->key)) /* it does not stand for the 64 */
        return ticket != NULL && ticket->state != USHER_PLACE_WAITING ? due_judged(entry, ticket_due(ticket), instead)
                                                                      : DUE_STALE;
    if (told && ticket->state == USHER_PLACE_WAITING)
        return DUE_TRUE;
    bool any = find_first(context, entry->key, instead);
    set_note(context->queue, entry->key, any ? make_note(instead->due, instead->key) : 0);
    return any ? DUE_LATER : DUE_STALE;
}
