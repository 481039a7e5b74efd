/* front.c: see front.h. */
#define _GNU_SOURCE 1
#include "server/store/front.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "server/store/folder.h"
#include "server/store/memory.h"

#define FRONT_MAGIC 0x4a525355u /* "USRJ" */

_Static_assert(sizeof(struct front_head) == 32, "a record's head has no padding");

/* --- the file --------------------------------------------------------------------------------- */
static void
take_bytes(struct front *front, size_t size)
{
    size_t middle = size / FRONT_BLOCK / 2 * FRONT_BLOCK;

    front->size = size / FRONT_BLOCK * FRONT_BLOCK;
    front->half[0] = (struct front_half){.limit = middle};
    front->half[1] = (struct front_half){.begin = middle, .end = middle, .limit = front->size};
    front->writing = middle == 0 ? 1 : 0;
    front->bytes = store_allocate_blocks(front->size, FRONT_BLOCK);
}

/* Some file systems know no O_DIRECT; there a write goes through the page cache, and still waits. */
static int
open_synced(const char *path)
{
    int file = open(path, O_RDWR | O_DSYNC | O_DIRECT | O_CLOEXEC);

    return file >= 0 || errno != EINVAL ? file : open(path, O_RDWR | O_DSYNC | O_CLOEXEC);
}

static int
write_all(int file, const uint8_t *bytes, size_t size, off_t offset)
{
    while (size > 0) {
        ssize_t written = pwrite(file, bytes, size, offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        /* What O_DIRECT took in part goes on at a block's beginning. */
        written -= written < (ssize_t)size ? written % FRONT_BLOCK : 0;
        if (written == 0)
            return EIO;
        bytes += written;
        size -= (size_t)written;
        offset += written;
    }
    return 0;
}

int
front_open(struct front *front, const char *path, uint64_t salt)
{
    struct stat status;
    int file = open_synced(path);

    if (file < 0)
        return errno;
    if (fstat(file, &status) != 0 || status.st_size < (off_t)FRONT_BLOCK) {
        close(file);
        return ENOENT;
    }
    *front = (struct front){.file = file, .salt = salt};
    take_bytes(front, (size_t)status.st_size);
    return 0;
}

static int
make_file(const char *path, const uint8_t *zeroes, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), error;

    if (file < 0)
        return errno;
    error = write_all(file, zeroes, size, 0);
    if (error == 0 && ftruncate(file, (off_t)size) != 0)
        error = errno;
    if (error == 0 && fsync(file) != 0)
        error = errno;
    close(file);
    return error != 0 ? error : folder_sync_name(path);
}

int
front_make(struct front *front, const char *path, size_t size, uint64_t salt)
{
    int error;

    *front = (struct front){.file = -1, .salt = salt};
    take_bytes(front, size);
    error = make_file(path, front->bytes, front->size);
    if (error == 0) {
        front->file = open_synced(path);
        error = front->file < 0 ? errno : 0;
    }
    if (error != 0) {
        front_close(front);
        unlink(path);
    }
    return error;
}

void
front_close(struct front *front)
{
    if (front->file >= 0)
        close(front->file);
    free(front->bytes);
    *front = (struct front){.file = -1};
}

bool
front_is_used(const char *path)
{
    uint8_t block[FRONT_BLOCK] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size;

    if (file < 0)
        return false;
    size = pread(file, block, sizeof block, 0);
    close(file);
    while (size > 0 && block[size - 1] == 0)
        size--;
    return size > 0;
}

/* --- records ---------------------------------------------------------------------------------- */
static size_t
blocks_of(size_t payload_size)
{
    return (sizeof(struct front_head) + payload_size + FRONT_BLOCK - 1) / FRONT_BLOCK * FRONT_BLOCK;
}

static uint64_t
check_of(const struct front *front, const struct front_head *head)
{
    uint64_t seed = XXH3_64bits_withSeed(head, offsetof(struct front_head, check), front->salt);

    return XXH3_64bits_withSeed(front_payload(head), head->size, seed);
}

/* The record at this place, if there is a whole one. */
static const struct front_head *
record_at(const struct front *front, size_t at)
{
    const struct front_head *head = (const void *)(front->bytes + at);

    if (at + FRONT_BLOCK > front->size || head->magic != FRONT_MAGIC)
        return NULL;
    if (head->size > front->size - at - sizeof *head || head->check != check_of(front, head))
        return NULL;
    return head;
}

struct front_walk
front_walk_half(const struct front *front, unsigned half)
{
    return (struct front_walk){.half = half, .last = half, .at = front->half[half].begin};
}

struct front_walk
front_walk_all(const struct front *front)
{
    struct front_walk walk = front_walk_half(front, !front->writing);

    walk.last = front->writing;
    return walk;
}

const struct front_head *
front_next(const struct front *front, struct front_walk *walk)
{
    if (walk->at >= front->half[walk->half].end) {
        if (walk->half == walk->last)
            return NULL;
        *walk = front_walk_half(front, walk->last);
        return front_next(front, walk);
    }
    const struct front_head *head = (const void *)(front->bytes + walk->at);
    walk->at += blocks_of(head->size);
    return head;
}

static int
read_file(struct front *front)
{
    size_t done = 0;

    while (done < front->size) {
        ssize_t more = pread(front->file, front->bytes + done, front->size - done, (off_t)done);

        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            return more < 0 ? errno : EIO;
        done += (size_t)more;
    }
    return 0;
}

/* The chain that begins at the half's beginning; first and last tell the positions of its records. It ends with the
 * half, but for one of before there were halves, which is seen by a record across the middle. */
static void
read_chain(struct front *front, struct front_half *half, uint64_t *first, uint64_t *last)
{
    half->end = half->begin;
    half->count = 0;
    while (half->end != half->limit) {
        const struct front_head *head = record_at(front, half->end);

        if (head == NULL || (half->count > 0 && head->position != *last + 1))
            return;
        if (half->count == 0)
            *first = head->position;
        *last = head->position;
        half->end += blocks_of(head->size);
        half->count++;
    }
}

/* Is there a record that no chain has, and that was never carried over? Something before it is lost then. */
static bool
has_lost_record(const struct front *front, uint64_t last)
{
    for (size_t at = 0; at < front->size; at += FRONT_BLOCK) {
        const struct front_head *head = record_at(front, at);

        if (head != NULL && head->position > last)
            return true;
    }
    return false;
}

int
front_read(struct front *front, uint64_t position)
{
    uint64_t first[2] = {0}, last[2] = {0}, newest = position;
    int error = read_file(front);

    front_clear(front);
    if (error != 0)
        return error;
    for (unsigned half = 0; half < 2; half++) {
        if (half == 0 || front->half[0].end <= front->half[1].begin)
            read_chain(front, &front->half[half], &first[half], &last[half]);
        if (last[half] <= position)
            front_clear_half(front, half);
        else if (last[half] > newest)
            newest = last[half];
    }
    front->writing = last[1] > last[0];
    unsigned older = !front->writing;
    bool gap = front_count(front) > front->half[front->writing].count && last[older] + 1 != first[front->writing];
    return gap || has_lost_record(front, newest) ? EBADMSG : 0;
}

void *
front_room(struct front *front, size_t size)
{
    const struct front_half *half = &front->half[front->writing];

    if (front->file < 0 || size > front->size || blocks_of(size) > half->limit - half->end)
        return NULL;
    return front->bytes + half->end + sizeof(struct front_head);
}

/* A write that failed may be there all the same, whole or in part. Without its first block it is no record. When that
 * can't be struck out either, what the disk has there tells. */
static bool
is_gone(const struct front *front, size_t place, size_t used)
{
    uint8_t *block = front->bytes + place;
    uint8_t *written = store_allocate_blocks(FRONT_BLOCK, FRONT_BLOCK);
    size_t size = used < FRONT_BLOCK ? used : FRONT_BLOCK;
    bool gone;

    memcpy(written, block, size);
    memset(block, 0, FRONT_BLOCK);
    gone = write_all(front->file, block, FRONT_BLOCK, (off_t)place) == 0 ||
           (pread(front->file, block, FRONT_BLOCK, (off_t)place) == FRONT_BLOCK && memcmp(block, written, size) != 0);
    free(written);
    return gone;
}

int
front_append(struct front *front, uint32_t schema, uint64_t position, size_t size, bool *lost)
{
    struct front_half *half = &front->half[front->writing];
    struct front_head *head = (void *)(front->bytes + half->end);
    size_t blocks = blocks_of(size), used = sizeof *head + size;
    int error;

    assert(blocks <= half->limit - half->end);
    *head = (struct front_head){.magic = FRONT_MAGIC, .schema = schema, .position = position, .size = size};
    head->check = check_of(front, head);
    memset((uint8_t *)head + used, 0, blocks - used);
    error = write_all(front->file, (const uint8_t *)head, blocks, (off_t)half->end);
    *lost = error != 0 && !is_gone(front, half->end, used);
    if (error != 0)
        return error;
    half->end += blocks;
    half->count++;
    return 0;
}

void
front_turn(struct front *front)
{
    front->writing = !front->writing;
    assert(front->half[front->writing].count == 0);
}

void
front_clear_half(struct front *front, unsigned half)
{
    front->half[half].end = front->half[half].begin;
    front->half[half].count = 0;
}

void
front_clear(struct front *front)
{
    front_clear_half(front, 0);
    front_clear_half(front, 1);
}
