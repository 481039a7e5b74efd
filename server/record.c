/* record.c: recordings, frame by frame. See record.h. */
#include "server/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "server/store/records.h"

#define RECORD_MAGIC   "usherrec"
#define RECORD_VERSION 1u
#define FRAME_MAGIC    0x4d415246u /* "FRAM" */
#define BATCH_MOST     (1u << 30)  /* no batch is nearly as large: a larger size is damage */

struct record_head {
    char magic[8];
    uint32_t version;
    uint32_t schema;
};

struct frame_head {
    uint32_t magic;
    uint32_t size;
    uint64_t position;
    uint64_t records, history;
    uint64_t check; /* over the four above it, then over the batch */
};

_Static_assert(sizeof(struct record_head) == 16, "the head has no padding");
_Static_assert(sizeof(struct frame_head) == 40, "a frame's head has no padding");

static uint64_t
check_of(const struct frame_head *head, const uint8_t *batch)
{
    return XXH3_64bits_withSeed(batch, head->size, XXH3_64bits(head, offsetof(struct frame_head, check)));
}

/* --- reading --------------------------------------------------------------------------------------------- */
static enum record_status
damaged(struct recording *recording, const char *what)
{
    snprintf(recording->why, sizeof recording->why, "%s, byte %" PRIu64 ", after position %" PRIu64 ": %s",
             recording->path, recording->offset, recording->position, what);
    return RECORD_DAMAGED;
}

static enum record_status
fault(struct recording *recording)
{
    snprintf(recording->why, sizeof recording->why, "%s: %s", recording->path, strerror(errno));
    return RECORD_FAULT;
}

enum record_status
recording_open(struct recording *recording, const char *path)
{
    struct record_head head;

    memset(recording, 0, sizeof *recording);
    recording->path = path;
    recording->file = fopen(path, "rbe");
    if (recording->file == NULL)
        return fault(recording);
    if (fread(&head, sizeof head, 1, recording->file) != 1)
        return ferror(recording->file) ? fault(recording) : damaged(recording, "it is too short to be a recording");
    if (memcmp(head.magic, RECORD_MAGIC, sizeof head.magic) != 0)
        return damaged(recording, "it is not a recording of usherd");
    if (head.version != RECORD_VERSION)
        return damaged(recording, "it was written by a newer usherd");
    if (head.schema != STORE_SCHEMA)
        return damaged(recording,
                       "its digests are of another schema of records; replay it with the usherd of its time");
    recording->offset = sizeof head;
    return RECORD_OK;
}

static bool
make_room(struct recording *recording, size_t size)
{
    uint8_t *batch;

    if (size <= recording->room)
        return true;
    batch = realloc(recording->batch, size);
    if (batch == NULL)
        return false;
    recording->batch = batch;
    recording->room = size;
    return true;
}

/* The head was read; the batch, and whether the two are right. */
static enum record_status
read_batch(struct recording *recording, const struct frame_head *head)
{
    char text[96];

    if (head->magic != FRAME_MAGIC || head->size > BATCH_MOST)
        return damaged(recording, "no frame begins here");
    if (!make_room(recording, head->size))
        return fault(recording);
    if (fread(recording->batch, 1, head->size, recording->file) != head->size)
        return ferror(recording->file) ? fault(recording) : damaged(recording, "the frame is cut short");
    if (head->check != check_of(head, recording->batch))
        return damaged(recording, "the frame is damaged: its check does not fit");
    if (head->position != recording->position + 1) {
        snprintf(text, sizeof text, "a gap: the next frame is position %" PRIu64, head->position);
        return damaged(recording, text);
    }
    return RECORD_OK;
}

enum record_status
recording_next(struct recording *recording, struct record_frame *frame)
{
    struct frame_head head;
    size_t read = fread(&head, 1, sizeof head, recording->file);
    enum record_status status;

    if (read == 0 && feof(recording->file))
        return RECORD_END;
    if (read != sizeof head)
        return ferror(recording->file) ? fault(recording) : damaged(recording, "the frame is cut short");
    status = read_batch(recording, &head);
    if (status != RECORD_OK)
        return status;
    recording->offset += sizeof head + head.size;
    recording->position = head.position;
    *frame = (struct record_frame){.position = head.position,
                                   .records = head.records,
                                   .history = head.history,
                                   .batch = recording->batch,
                                   .size = head.size};
    return RECORD_OK;
}

void
recording_close(struct recording *recording)
{
    if (recording->file != NULL)
        fclose(recording->file);
    free(recording->batch);
    memset(recording, 0, sizeof *recording);
}

/* --- writing --------------------------------------------------------------------------------------------- */
/* The position at which a recording ends, if it is whole. */
static bool
find_end(const char *path, uint64_t *position, char *why, size_t why_size)
{
    struct recording recording;
    struct record_frame frame;
    enum record_status status = recording_open(&recording, path);

    while (status == RECORD_OK)
        status = recording_next(&recording, &frame);
    *position = recording.position;
    snprintf(why, why_size, "%s", recording.why);
    recording_close(&recording);
    return status == RECORD_END;
}

static FILE *
refuse(FILE *file, char *why, size_t why_size, const char *path)
{
    snprintf(why, why_size, "%s: %s", path, strerror(errno));
    if (file != NULL)
        fclose(file);
    return NULL;
}

FILE *
record_open(const char *path, uint64_t position, char *why, size_t why_size)
{
    const struct record_head head = {.magic = RECORD_MAGIC, .version = RECORD_VERSION, .schema = STORE_SCHEMA};
    FILE *file = fopen(path, "abe");
    uint64_t end = 0;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        return refuse(file, why, why_size, path);
    if (ftell(file) == 0) {
        if (fwrite(&head, sizeof head, 1, file) != 1 || fflush(file) != 0)
            return refuse(file, why, why_size, path);
    } else if (!find_end(path, &end, why, why_size)) {
        fclose(file);
        return NULL;
    }
    if (end == position)
        return file;
    fclose(file);
    snprintf(why, why_size,
             "%s ends at position %" PRIu64 ", but the data is at %" PRIu64
             "; a recording has every batch: begin another one with a new data directory",
             path, end, position);
    return NULL;
}

bool
record_add(FILE *file, const struct record_frame *frame)
{
    struct frame_head head = {.magic = FRAME_MAGIC,
                              .size = (uint32_t)frame->size,
                              .position = frame->position,
                              .records = frame->records,
                              .history = frame->history};

    head.check = check_of(&head, frame->batch);
    return fwrite(&head, sizeof head, 1, file) == 1 && fwrite(frame->batch, 1, frame->size, file) == frame->size &&
           fflush(file) == 0;
}
