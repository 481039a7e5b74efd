/* hint.c: what a request will look at, fetched into the processor's cache before it is carried out.
 *
 *     user (by UUID)    ticket (by queue and position)    date (by concert and date) -> its first block
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

void
core_hint_begin(const struct core *core, const struct core_request *request, struct core_hint *hint)
{
    const usher_message *message = usher_message_of(request->opcode);
    size_t count, index = (size_t)(message - usher_messages(&count));
    const struct message_hints *hints = &core->hints[index];
    uint64_t queue_no = 0;
    uint32_t concert_id, date_id;

    *hint = (struct core_hint){.user = {.table = 0}};
    if (!is_nobody(&request->asker.user))
        hint->user = store_way_to_user(core->store, &request->asker.user);
    if (request->asker.has_token)
        queue_no = store_find_queue(core->store, request->asker.queue_id);
    if (queue_no != 0)
        hint->ticket = store_way_to(STORE_TABLE_TICKET, TICKET_KEY(queue_no, request->asker.position));
    if (begin_date(hints, request->body, &concert_id, &date_id))
        hint->date = store_way_to_date(core->store, concert_id, date_id);
}

bool
core_hint_on(const struct core *core, struct core_hint *hint)
{
    const struct date_record *date = hint->date.record;
    bool more = false;

    if (date != NULL) /* the last step has led to it: its number says where to go from there */
        hint->block = store_way_to(STORE_TABLE_BLOCK, BLOCK_KEY(date->date_no, 0));
    hint->date.record = NULL;
    more |= store_way_on(core->store, &hint->user);
    more |= store_way_on(core->store, &hint->ticket);
    more |= store_way_on(core->store, &hint->date) || hint->date.record != NULL;
    more |= store_way_on(core->store, &hint->block);
    return more;
}
