/* frames.c: the check of frames of many lengths, and streams of several frames: checks.jsonl, streams.jsonl. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"
#include "tests/vectors/vectors.h"

/* Byte i of a body of this size is (31 i + size) mod 256. */
static void
fill_by_rule(uint8_t *body, size_t size)
{
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)(31 * i + size);
}

void
vectors_write_checks(FILE *out)
{
    /* XXH3 takes other ways above 128, 240 and 1,024 bytes, and for what is left of 64 and of 1,024. */
    static const uint32_t body_sizes[] = {0,   1,    2,    7,    8,    9,    39,   40,   41,    103,
                                          104, 105,  106,  215,  216,  217,  218,  231,  232,   233,
                                          999, 1000, 1001, 1064, 2023, 2024, 2025, 4096, 65503, 65504};
    static uint8_t body[VECTORS_ROOM], frame[VECTORS_ROOM];

    for (size_t i = 0; i < sizeof body_sizes / sizeof *body_sizes; i++) {
        const usher_frame head = {.flags = (uint8_t)(i % 8),
                                  .opcode = (uint16_t)(0x0101 * i),
                                  .request_no = (uint32_t)(i * 2654435761u),
                                  .aux = (uint32_t)(i * i),
                                  .stamp_ms = i * UINT64_C(0x123456789ab)};
        fill_by_rule(body, body_sizes[i]);
        vectors_frame(frame, &head, body, body_sizes[i]);
        fputc('{', out);
        vectors_small(out, true, "body_size", body_sizes[i]);
        vectors_small(out, false, "flags", head.flags);
        vectors_small(out, false, "opcode", head.opcode);
        vectors_small(out, false, "request_no", head.request_no);
        vectors_small(out, false, "aux", head.aux);
        vectors_large(out, false, "stamp_ms", head.stamp_ms);
        vectors_name(out, false, "header");
        vectors_hex(out, frame, USHER_HEADER_SIZE);
        vectors_large(out, false, "check", bytes_get_u64(frame + 24));
        fputs("}\n", out);
    }
}

/* --- streams --------------------------------------------------------------------------------------------- */
struct stream {
    const char *what;
    usher_result then;   /* what the bytes behind the last frame are; OK: the beginning of a frame, or nothing */
    uint8_t frame_count; /* of pieces[] */
    uint8_t tail;        /* how many bytes of a further frame follow */
    uint8_t spoil_at;    /* which of them is flipped, if `then` is not OK */
    usher_frame piece[4];
};

static const struct stream streams[] = {
    {"nothing", USHER_OK, 0, 0, 0, {{0}}},
    {"one request", USHER_OK, 1, 0, 0, {{.opcode = 4, .request_no = 1}}},
    {"three requests in one piece",
     USHER_OK,
     3,
     0,
     0,
     {{.opcode = 4, .request_no = 1}, {.opcode = 4, .request_no = 2}, {.opcode = 4, .request_no = 3}}},
    {"replies in another order, a push between them",
     USHER_OK,
     3,
     0,
     0,
     {{.flags = 1, .opcode = 4, .request_no = 2, .stamp_ms = 10},
      {.flags = 2, .opcode = 0x8001, .stamp_ms = 11},
      {.flags = 5, .opcode = 4, .request_no = 1, .stamp_ms = 12}}},
    {"a frame, then a size that has not wholly come", USHER_OK, 1, 3, 0, {{.opcode = 4, .request_no = 1}}},
    {"a frame, then a header that has not wholly come", USHER_OK, 1, 31, 0, {{.opcode = 4, .request_no = 1}}},
    {"a frame, then one without its last byte", USHER_OK, 1, 39, 0, {{.opcode = 4, .request_no = 1}}},
    {"a frame, then a size that can't be", USHER_FRAME_SIZE, 1, 4, 3, {{.opcode = 4, .request_no = 1}}},
    {"a frame, then a version that can't be", USHER_FRAME_VERSION, 1, 5, 4, {{.opcode = 4, .request_no = 1}}},
    {"a frame, then one with a wrong check", USHER_FRAME_CHECK, 1, 40, 39, {{.opcode = 4, .request_no = 1}}},
};

void
vectors_write_streams(FILE *out)
{
    static uint8_t frame[VECTORS_ROOM], bytes[4 * 40];
    const uint8_t body[8] = {42};

    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        const struct stream *stream = &streams[i];
        size_t size = 0;
        fputc('{', out);
        vectors_name(out, true, "what");
        vectors_text(out, stream->what);
        vectors_name(out, false, "frames");
        for (unsigned k = 0; k < stream->frame_count; k++) {
            size_t taken = vectors_frame(frame, &stream->piece[k], body, sizeof body);
            memcpy(bytes + size, frame, taken);
            size += taken;
            fputc(k == 0 ? '[' : ',', out);
            vectors_hex(out, frame, taken);
        }
        fputs(stream->frame_count == 0 ? "[]" : "]", out);
        vectors_frame(frame, &stream->piece[0], body, sizeof body);
        if (stream->then != USHER_OK)
            frame[stream->spoil_at] ^= 0x80;
        memcpy(bytes + size, frame, stream->tail);
        vectors_name(out, false, "then");
        vectors_text(out, usher_result_name(stream->then));
        vectors_small(out, false, "left", stream->tail);
        vectors_name(out, false, "stream");
        vectors_hex(out, bytes, size + stream->tail);
        fputs("}\n", out);
    }
}
