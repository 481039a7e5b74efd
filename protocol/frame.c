/* frame.c: the 32 bytes in front of every body. codec.h has their table.
 *
 * A header field is judged as soon as it has arrived, so that a stream that is not ours is refused after five bytes
 * and not after the 4 GiB that its first four may promise. */
#define XXH_STATIC_LINKING_ONLY /* for the state's size: it stands on the stack */
#include <xxhash.h>

#include <assert.h>
#include <string.h>

#include "bytes.h"
#include "codec.h"

enum {
    FRAME_AT_SIZE = 0,
    FRAME_AT_VERSION = 4,
    FRAME_AT_FLAGS = 5,
    FRAME_AT_OPCODE = 6,
    FRAME_AT_REQUEST_NO = 8,
    FRAME_AT_AUX = 12,
    FRAME_AT_STAMP_MS = 16,
    FRAME_AT_CHECK = 24,
    FRAME_CHECK_COPY_MAX = 1024
};

/* The check runs over what stands before it and what stands behind it. XXH3 is several times faster on one piece of
 * memory than through its state, so common bodies are brought together first. */
static uint64_t
frame_check(const uint8_t *frame, size_t body_size)
{
    const uint8_t *body = frame + USHER_HEADER_SIZE;
    uint8_t together[FRAME_AT_CHECK + FRAME_CHECK_COPY_MAX];
    XXH3_state_t state;

    if (body_size <= FRAME_CHECK_COPY_MAX) {
        memcpy(together, frame, FRAME_AT_CHECK);
        memcpy(together + FRAME_AT_CHECK, body, body_size);
        return XXH3_64bits(together, FRAME_AT_CHECK + body_size);
    }
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, frame, FRAME_AT_CHECK);
    XXH3_64bits_update(&state, body, body_size);
    return XXH3_64bits_digest(&state);
}

static usher_frame_state
frame_broken(usher_result reason, usher_result *why)
{
    *why = reason;
    return USHER_FRAME_BROKEN;
}

usher_frame_state
usher_frame_read(const uint8_t *bytes, size_t size, size_t frame_max, usher_frame *frame, usher_result *why)
{
    memset(frame, 0, sizeof *frame);
    *why = USHER_OK;
    if (size >= FRAME_AT_REQUEST_NO)
        frame->opcode = bytes_get_u16(bytes + FRAME_AT_OPCODE);
    if (size >= FRAME_AT_AUX)
        frame->request_no = bytes_get_u32(bytes + FRAME_AT_REQUEST_NO);

    if (size < FRAME_AT_VERSION)
        return USHER_FRAME_PARTIAL;
    frame->size = bytes_get_u32(bytes + FRAME_AT_SIZE);
    if (frame->size < USHER_HEADER_SIZE || frame->size > frame_max)
        return frame_broken(USHER_FRAME_SIZE, why);
    if (size < FRAME_AT_FLAGS)
        return USHER_FRAME_PARTIAL;
    if (bytes[FRAME_AT_VERSION] != USHER_VERSION_WIRE)
        return frame_broken(USHER_FRAME_VERSION, why);
    if (size < frame->size)
        return USHER_FRAME_PARTIAL;

    frame->flags = bytes[FRAME_AT_FLAGS];
    frame->aux = bytes_get_u32(bytes + FRAME_AT_AUX);
    frame->stamp_ms = bytes_get_u64(bytes + FRAME_AT_STAMP_MS);
    frame->body = bytes + USHER_HEADER_SIZE;
    frame->body_size = frame->size - USHER_HEADER_SIZE;
    if (bytes_get_u64(bytes + FRAME_AT_CHECK) != frame_check(bytes, frame->body_size))
        return frame_broken(USHER_FRAME_CHECK, why);
    return USHER_FRAME_READY;
}

size_t
usher_frame_finish(uint8_t *out, size_t body_size, const usher_frame *frame)
{
    size_t size = USHER_HEADER_SIZE + body_size;

    assert(size <= UINT32_MAX);
    bytes_put_u32(out + FRAME_AT_SIZE, (uint32_t)size);
    out[FRAME_AT_VERSION] = USHER_VERSION_WIRE;
    out[FRAME_AT_FLAGS] = frame->flags;
    bytes_put_u16(out + FRAME_AT_OPCODE, frame->opcode);
    bytes_put_u32(out + FRAME_AT_REQUEST_NO, frame->request_no);
    bytes_put_u32(out + FRAME_AT_AUX, frame->aux);
    bytes_put_u64(out + FRAME_AT_STAMP_MS, frame->stamp_ms);
    bytes_put_u64(out + FRAME_AT_CHECK, frame_check(out, body_size));
    return size;
}
