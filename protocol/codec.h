/* codec.h: bodies and frames to bytes and back. No sockets, no allocation, no clock. SPEC.md sections 2 to 4. */
#ifndef USHER_CODEC_H
#define USHER_CODEC_H

#include <stdbool.h>

#include "protocol.h"

/* --- bodies ------------------------------------------------------------------------------------------ */
/* Bytes of the fixed part, and of the largest possible body, of this layout. */
size_t usher_fixed_size(const usher_layout *layout);
size_t usher_size_most(const usher_layout *layout);

/* Write the body's bytes to out. Returns how many, or SIZE_MAX when they don't fit into room. The struct must be
 * sound (counts within their most, text ending in NUL): asserted. */
size_t usher_encode(const usher_layout *layout, const void *body, uint8_t *out, size_t room);

/* Read exactly size bytes into *body. Returns USHER_OK, USHER_BODY_SIZE, or USHER_FIELD_INVALID (a count above its
 * most, an enum's byte in no row, text that is not UTF-8 or not padded with NUL). On a failure *field_no is the
 * number of the field at fault, counted from 1 (0: the body as a whole) and *body is undefined. Array elements past a
 * count are left as they were. */
usher_result usher_decode(const usher_layout *layout, const uint8_t *bytes, size_t size, void *body,
                          unsigned *field_no);

/* --- frames ------------------------------------------------------------------------------------------
 *  0  u32 size        of the whole frame, header included
 *  4  u8  version     USHER_VERSION_WIRE
 *  5  u8  flags       USHER_FLAG_...
 *  6  u16 opcode
 *  8  u32 request_no  chosen by the client, echoed in the reply; push: 0
 * 12  u32 aux         request: time budget in ms, 0 for none; reply: the result; push: 0
 * 16  u64 stamp_ms    request: 0; reply and push: the server's time
 * 24  u64 check       XXH3-64 of the bytes 0 to 23 and the body
 * 32  the body */
#define USHER_FLAG_REPLY    0x01u
#define USHER_FLAG_PUSH     0x02u
#define USHER_FLAG_REPLAYED 0x04u /* reply: the first answer to this request id, given again (M3) */

typedef struct usher_frame {
    uint32_t size;
    uint8_t flags;
    uint16_t opcode;
    uint32_t request_no;
    uint32_t aux;
    uint64_t stamp_ms;
    const uint8_t *body; /* points into the bytes that were read */
    size_t body_size;
} usher_frame;

typedef enum usher_frame_state {
    USHER_FRAME_PARTIAL, /* more bytes are needed */
    USHER_FRAME_READY,   /* *frame is filled in; it takes frame->size bytes */
    USHER_FRAME_BROKEN   /* it can never become valid; *why says FRAME_SIZE, FRAME_VERSION or FRAME_CHECK */
} usher_frame_state;

/* Look for one frame at the beginning of bytes. Size and version are judged as soon as they are there. On BROKEN,
 * frame->request_no and opcode hold what the header said as far as it had arrived, else 0. */
usher_frame_state usher_frame_read(const uint8_t *bytes, size_t size, size_t frame_max, usher_frame *frame,
                                   usher_result *why);

/* Write the header, check included, in front of a body of body_size bytes that stands at out + USHER_HEADER_SIZE.
 * Returns the frame's size. frame's size, body and body_size are not read. */
size_t usher_frame_finish(uint8_t *out, size_t body_size, const usher_frame *frame);

#endif
