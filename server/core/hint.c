/* hint.c: what a request will look at, fetched into the processor's cache before it is carried out.
 *
 *     ticket (by queue and position) --> user
 *     without a token: user (by UUID)    --> its first hold, its first ticket, the place of the answer to this request id
 *     date (by concert and date)  \
 *     the user's hold -> its date  `--> block of the seat, what the user owns of the date
 *
 * The core knows what that is, the store where it is. A wrong guess costs a little time and nothing else. */
#include "server/core/internal.h"

static bool
begin_date(const struct message_hints *hints, const uint8_t *body, uint32_t *concert_id, uint32_t *date_id)
{
    if (hints->concert_offset == SIZE_MAX || hints->date_offset == SIZE_MAX)
        return false;
    memcpy(concert_id, body + hints->concert_offset, sizeof *concert_id);
    memcpy(date_id, body + hints->date_offset, sizeof *date_id);
    return true;
}

static void
go(struct core_hint *hint, enum core_hint_way way, struct store_way to)
{
    hint->way[way] = to;
    hint->going |= (uint8_t)(1u << way);
}

void
core_hint_begin(const struct core *core, const struct core_request *request, struct core_hint *hint)
{
    const usher_message *message = usher_message_of(request->opcode);
    size_t count, index = (size_t)(message - usher_messages(&count));
    const struct message_hints *hints = &core->hints[index];
    const uint8_t *body = request->body;
    uint64_t queue_no = 0;
    uint32_t concert_id, date_id;

    hint->going = hint->reached = 0;
    hint->leads = 1u << CORE_HINT_USER | 1u << CORE_HINT_DATE | 1u << CORE_HINT_HOLD;
    hint->user_no = 0;
    hint->seat_no = 0;
    hint->id = NULL;
    if (message->kind == USHER_MESSAGE_COMMAND && hints->id_offset != SIZE_MAX)
        hint->id = (const usher_id *)(body + hints->id_offset);
    if (request->asker.has_token)
        queue_no = store_find_queue(core->store, request->asker.queue_id);
    if (queue_no != 0) {
        go(hint, CORE_HINT_TICKET, store_way_to(STORE_TABLE_TICKET, TICKET_KEY(queue_no, request->asker.position)));
        hint->leads |= 1u << CORE_HINT_TICKET;
    } else if (!is_nobody(&request->asker.user)) {
        go(hint, CORE_HINT_USER, store_way_to_user(core->store, &request->asker.user));
    }
    hint->has_ticket = queue_no != 0;
    hint->has_date = begin_date(hints, body, &concert_id, &date_id);
    if (hint->has_date)
        go(hint, CORE_HINT_DATE, store_way_to_date(core->store, concert_id, date_id));
    if (hints->seat_offset != SIZE_MAX)
        memcpy(&hint->seat_no, body + hints->seat_offset, sizeof hint->seat_no);
}

/* Commands look at all that a user has; queries at what they ask for. */
static void
on_from_user(const struct core *core, struct core_hint *hint, const struct user_record *user)
{
    hint->user_no = user->user_no;
    if (hint->id == NULL)
        return;
    store_fetch_answer(core->store, user->user_no << 1, hint->id);
    if (user->first_hold != 0)
        go(hint, CORE_HINT_HOLD, store_way_to(STORE_TABLE_HOLD, user->first_hold));
    if (user->first_ticket != 0 && !hint->has_ticket)
        go(hint, CORE_HINT_TICKET, store_way_to(STORE_TABLE_TICKET, user->first_ticket));
}

static void
on_to_seat(struct core_hint *hint, uint64_t date_no, uint32_t seat_no)
{
    struct store_way block =
        store_way_to(STORE_TABLE_BLOCK, seat_no == 0 ? BLOCK_KEY(date_no, 0) : SEAT_BLOCK(date_no, seat_no));

    block.head = hint->id == NULL; /* who only asks looks at what is free, and whose is what is not stands behind that */
    go(hint, CORE_HINT_BLOCK, block);
    if (hint->id != NULL && hint->user_no != 0)
        go(hint, CORE_HINT_OWNED, store_way_to(STORE_TABLE_OWNED, OWNED_KEY(hint->user_no, date_no)));
}

/* The last step has led to a record: what it says is where to go from there. */
static void
go_on_from(const struct core *core, struct core_hint *hint, enum core_hint_way way)
{
    const void *record = hint->way[way].record;

    if (way == CORE_HINT_TICKET)
        go(hint, CORE_HINT_USER, store_way_to(STORE_TABLE_USER, ((const struct ticket_record *)record)->user_no));
    if (way == CORE_HINT_USER)
        on_from_user(core, hint, record);
    if (way == CORE_HINT_DATE)
        on_to_seat(hint, ((const struct date_record *)record)->date_no, hint->seat_no);
    if (way == CORE_HINT_HOLD && !hint->has_date) {
        const struct hold_record *hold = record;
        go(hint, CORE_HINT_DATE, store_way_to(STORE_TABLE_DATE, hold->date_no));
        on_to_seat(hint, hold->date_no, hold->seat_no);
        hint->leads &= (uint8_t)~(1u << CORE_HINT_DATE);
    }
}

bool
core_hint_on(const struct core *core, struct core_hint *hint)
{
    unsigned reached = hint->reached;

    hint->reached = 0;
    for (; reached != 0; reached &= reached - 1)
        go_on_from(core, hint, (enum core_hint_way)__builtin_ctz(reached));
    for (unsigned going = hint->going; going != 0; going &= going - 1) {
        unsigned way = (unsigned)__builtin_ctz(going);
        uint8_t bit = (uint8_t)(1u << way);
        if (store_way_on(core->store, &hint->way[way]))
            continue;
        hint->going &= (uint8_t)~bit;
        if (hint->way[way].record != NULL)
            hint->reached |= bit & hint->leads;
    }
    return (hint->going | hint->reached) != 0;
}
