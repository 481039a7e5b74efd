/* messages.c: every message and push as frames: messages.jsonl. */
#include <assert.h>
#include <stdlib.h>

#include "tests/vectors/vectors.h"

static const char *const fill_names[] = {"least", "some", "most"};

struct line {
    const char *name; /* "JOIN" */
    const char *part; /* "request" */
    vectors_fill fill;
    const usher_layout *layout;
    usher_frame head;
};

static void
write_line(FILE *out, const struct line *line)
{
    static uint8_t bytes[VECTORS_ROOM], frame[VECTORS_ROOM];
    void *body = vectors_new_body(line->layout, line->fill);
    size_t size = usher_encode(line->layout, body, bytes, sizeof bytes);

    assert(size != SIZE_MAX);
    size = vectors_frame(frame, &line->head, bytes, size);
    fputc('{', out);
    vectors_name(out, true, "name");
    vectors_text(out, line->name);
    vectors_name(out, false, "part");
    vectors_text(out, line->part);
    vectors_name(out, false, "fill");
    vectors_text(out, fill_names[line->fill]);
    vectors_name(out, false, "struct");
    vectors_text(out, line->layout->name);
    vectors_small(out, false, "flags", line->head.flags);
    vectors_small(out, false, "opcode", line->head.opcode);
    vectors_small(out, false, "request_no", line->head.request_no);
    vectors_small(out, false, "aux", line->head.aux);
    vectors_large(out, false, "stamp_ms", line->head.stamp_ms);
    vectors_name(out, false, "fields");
    vectors_body(out, line->layout, body);
    vectors_name(out, false, "frame");
    vectors_hex(out, frame, size);
    fputs("}\n", out);
    free(body);
}

/* A moment that needs more than 32 bits: 2026-09-05 in the afternoon, and the greatest that fits. */
static const uint64_t stamps[] = {1, 1788618123456, UINT64_MAX};

static void
write_request(FILE *out, const usher_message *message, vectors_fill fill)
{
    static const uint32_t request_nos[] = {0, 305419896, UINT32_MAX}, budgets_ms[] = {0, 1500, UINT32_MAX};
    const struct line line = {
        message->constant,
        "request",
        fill,
        message->request,
        {.opcode = message->opcode, .request_no = request_nos[fill], .aux = budgets_ms[fill]},
    };

    write_line(out, &line);
}

static void
write_reply(FILE *out, const usher_message *message, vectors_fill fill)
{
    static const uint32_t request_nos[] = {0, 305419896, UINT32_MAX};
    bool replayed = message->kind == USHER_MESSAGE_COMMAND && fill == VECTORS_MOST;
    const struct line line = {
        message->constant,
        "reply",
        fill,
        message->reply,
        {.flags = (uint8_t)(USHER_FLAG_REPLY | (replayed ? USHER_FLAG_REPLAYED : 0)),
         .opcode = message->opcode,
         .request_no = request_nos[fill],
         .stamp_ms = stamps[fill]},
    };

    write_line(out, &line);
}

static void
write_push(FILE *out, const usher_push *push, vectors_fill fill)
{
    const struct line line = {
        push->constant,
        "push",
        fill,
        push->body,
        {.flags = USHER_FLAG_PUSH, .opcode = push->opcode, .stamp_ms = stamps[fill]},
    };

    write_line(out, &line);
}

/* A refusal's name is its result's. */
static void
write_refusal(FILE *out, unsigned result, vectors_fill fill)
{
    const struct line line = {
        usher_result_name(result),
        "refusal",
        fill,
        usher_refusal_layout(),
        {.flags = USHER_FLAG_REPLY,
         .opcode = USHER_OPCODE_RESERVE,
         .request_no = result,
         .aux = result,
         .stamp_ms = stamps[fill]},
    };

    write_line(out, &line);
}

void
vectors_write_messages(FILE *out)
{
    static const unsigned results[] = {
#define USHER_RESULT(value, name, class, text) value,
#include "protocol/results.def"
    };
    size_t count;
    const usher_message *messages = usher_messages(&count);

    for (size_t i = 0; i < count; i++)
        for (vectors_fill fill = VECTORS_LEAST; fill <= VECTORS_MOST && messages[i].kind != USHER_MESSAGE_INTERNAL;
             fill++) {
            write_request(out, &messages[i], fill);
            write_reply(out, &messages[i], fill);
        }
    const usher_push *pushes = usher_pushes(&count);
    for (size_t i = 0; i < count; i++)
        for (vectors_fill fill = VECTORS_LEAST; fill <= VECTORS_MOST; fill++)
            write_push(out, &pushes[i], fill);
    for (vectors_fill fill = VECTORS_LEAST; fill <= VECTORS_MOST; fill++)
        write_refusal(out, USHER_HELD, fill);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i] != USHER_OK && results[i] != USHER_HELD)
            write_refusal(out, results[i], VECTORS_LEAST);
}
