/* batch.c: batches to bytes and back. See batch.h. */
#include "server/commit/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "protocol/codec.h"

#define ROOM_FIRST 65536u

static_assert(sizeof(struct batch_head) == 32, "the head has no padding");
static_assert(sizeof(struct batch_command) == 48, "a command's head has no padding");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored structs are little-endian");

static bool
make_room(struct batch *batch, size_t more)
{
    size_t room = batch->room == 0 ? ROOM_FIRST : batch->room;

    if (batch->room - batch->size >= more)
        return true;
    while (room - batch->size < more)
        room *= 2;
    uint8_t *bytes = realloc(batch->bytes, room);
    if (bytes == NULL)
        return false;
    batch->bytes = bytes;
    batch->room = room;
    return true;
}

bool
batch_begin(struct batch *batch, uint32_t origin)
{
    const struct batch_head head = {.magic = BATCH_MAGIC, .version = BATCH_VERSION, .origin = origin};

    batch->size = 0;
    batch->count = 0;
    if (!make_room(batch, sizeof head))
        return false;
    memcpy(batch->bytes, &head, sizeof head);
    batch->size = sizeof head;
    return true;
}

/* The request in its one form. */
static void
make_form(const struct form *form, const struct core_asker *asker, const usher_layout *layout, const void *body,
          void *made)
{
    static const usher_uuid nobody;

    memcpy(made, body, layout->struct_size);
    if (form->token != NULL)
        *(uint16_t *)((uint8_t *)made + form->token->count_offset) = 0;
    if (form->signature != NULL)
        memset(form_at(made, form->signature), 0, sizeof(usher_signature));
    if (form->user != NULL && memcmp(&asker->user, &nobody, sizeof nobody) != 0)
        memcpy(form_at(made, form->user), &asker->user, sizeof asker->user);
}

bool
batch_add(struct batch *batch, const struct form *form, const usher_message *message, const struct core_asker *asker,
          const void *body, void *scratch)
{
    size_t most = usher_size_most(message->request);
    struct batch_command command = {
        .opcode = message->opcode,
        .role = asker->role,
        .has_token = asker->has_token,
        .channel = asker->channel,
        .client_no = asker->client_no,
        .queue_id = asker->queue_id,
        .position = asker->position,
        .user = asker->user,
    };

    if (!make_room(batch, sizeof command + most))
        return false;
    uint8_t *out = batch->bytes + batch->size;
    make_form(form, asker, message->request, body, scratch);
    size_t body_size = usher_encode(message->request, scratch, out + sizeof command, most);
    assert(body_size != SIZE_MAX);
    command.body_size = (uint32_t)body_size;
    memcpy(out, &command, sizeof command);
    batch->size += sizeof command + body_size;
    batch->count++;
    memcpy(batch->bytes + offsetof(struct batch_head, count), &batch->count, sizeof batch->count);
    return true;
}

void
batch_stamp(struct batch *batch, uint64_t stamp_ms, uint64_t down_since_ms)
{
    assert(batch->size >= sizeof(struct batch_head));
    memcpy(batch->bytes + offsetof(struct batch_head, stamp_ms), &stamp_ms, sizeof stamp_ms);
    memcpy(batch->bytes + offsetof(struct batch_head, down_since_ms), &down_since_ms, sizeof down_since_ms);
}

void
batch_free(struct batch *batch)
{
    free(batch->bytes);
    memset(batch, 0, sizeof *batch);
}

/* The head as version 1 had it. */
struct batch_head_1 {
    uint32_t magic;
    uint32_t version;
    uint64_t stamp_ms;
    uint32_t origin;
    uint32_t count;
};

/* Returns how many bytes the head takes; 0 if it is none of a version that is known. */
static size_t
read_head(struct batch_head *head, const uint8_t *bytes, size_t size)
{
    struct batch_head_1 first;

    if (size < sizeof first)
        return 0;
    memcpy(&first, bytes, sizeof first);
    if (first.magic == BATCH_MAGIC && first.version == 1) {
        *head = (struct batch_head){.stamp_ms = first.stamp_ms, .origin = first.origin, .count = first.count};
        return sizeof first;
    }
    if (first.magic != BATCH_MAGIC || first.version != BATCH_VERSION || size < sizeof *head)
        return 0;
    memcpy(head, bytes, sizeof *head);
    return sizeof *head;
}

bool
batch_open(struct batch_reader *reader, const uint8_t *bytes, size_t size)
{
    struct batch_head head;
    size_t head_size = read_head(&head, bytes, size);

    if (head_size == 0)
        return false;
    *reader = (struct batch_reader){.next = bytes + head_size,
                                    .left = size - head_size,
                                    .count = head.count,
                                    .stamp_ms = head.stamp_ms,
                                    .down_since_ms = head.down_since_ms,
                                    .origin = head.origin};
    return true;
}

/* Over opcode, user and the body in its one form. */
static uint64_t
fingerprint_of(const struct batch_command *command, const uint8_t *body)
{
    uint64_t who = XXH3_64bits_withSeed(&command->user, sizeof command->user, command->opcode);

    return XXH3_64bits_withSeed(body, command->body_size, who);
}

bool
batch_next(struct batch_reader *reader, struct core_request *request, void *scratch)
{
    struct batch_command command;
    unsigned field_no;

    if (reader->count == 0 || reader->left < sizeof command)
        return false;
    memcpy(&command, reader->next, sizeof command);
    const uint8_t *body = reader->next + sizeof command;
    if (reader->left - sizeof command < command.body_size)
        return false;
    const usher_message *message = usher_message_of(command.opcode);
    if (message == NULL || (message->kind != USHER_MESSAGE_COMMAND && message->kind != USHER_MESSAGE_INTERNAL))
        return false;
    if (usher_decode(message->request, body, command.body_size, scratch, &field_no) != USHER_OK)
        return false;
    *request = (struct core_request){
        .opcode = command.opcode,
        .asker = {.role = command.role,
                  .has_token = command.has_token,
                  .channel = command.channel,
                  .client_no = command.client_no,
                  .queue_id = command.queue_id,
                  .position = command.position,
                  .user = command.user},
        .fingerprint = fingerprint_of(&command, body),
        .body = scratch,
    };
    reader->next = body + command.body_size;
    reader->left -= sizeof command + command.body_size;
    reader->count--;
    return true;
}

bool
batch_ended(const struct batch_reader *reader)
{
    return reader->count == 0 && reader->left == 0;
}
