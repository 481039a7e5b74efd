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
    front->size = size / FRONT_BLOCK * FRONT_BLOCK;
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

const struct front_head *
front_next(const struct front *front, size_t *at)
{
    const struct front_head *head = (const void *)(front->bytes + *at);

    if (*at >= front->end)
        return NULL;
    *at += blocks_of(head->size);
    return head;
}

/* Is there a record behind the chain that was never carried over? The chain has lost one then. */
static bool
has_lost_record(const struct front *front, uint64_t last)
{
    for (size_t at = front->end; at < front->size; at += FRONT_BLOCK) {
        const struct front_head *head = record_at(front, at);

        if (head != NULL && head->position > last)
            return true;
    }
    return false;
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

int
front_read(struct front *front, uint64_t position)
{
    uint64_t last = position;
    int error = read_file(front);

    front->end = front->count = 0;
    if (error != 0)
        return error;
    for (;;) {
        const struct front_head *head = record_at(front, front->end);

        if (head == NULL || (front->count > 0 && head->position != last + 1))
            break;
        last = head->position;
        front->end += blocks_of(head->size);
        front->count++;
    }
    if (has_lost_record(front, last > position ? last : position))
        return EBADMSG;
    if (front->count == 0 || last <= position)
        front_clear(front);
    return 0;
}

void *
front_room(struct front *front, size_t size)
{
    if (front->file < 0 || size > front->size || blocks_of(size) > front->size - front->end)
        return NULL;
    return front->bytes + front->end + sizeof(struct front_head);
}

/* A write that failed may be there all the same, whole or in part. Without its first block it is no record. When that
 * can't be struck out either, what the disk has there tells. */
static bool
is_gone(struct front *front, size_t used)
{
    uint8_t *block = front->bytes + front->end;
    uint8_t *written = store_allocate_blocks(FRONT_BLOCK, FRONT_BLOCK);
    size_t size = used < FRONT_BLOCK ? used : FRONT_BLOCK;
    bool gone;

    memcpy(written, block, size);
    memset(block, 0, FRONT_BLOCK);
    gone =
        write_all(front->file, block, FRONT_BLOCK, (off_t)front->end) == 0 ||
        (pread(front->file, block, FRONT_BLOCK, (off_t)front->end) == FRONT_BLOCK && memcmp(block, written, size) != 0);
    free(written);
    return gone;
}

int
front_append(struct front *front, uint32_t schema, uint64_t position, size_t size, bool *lost)
{
    struct front_head *head = (void *)(front->bytes + front->end);
    size_t blocks = blocks_of(size), used = sizeof *head + size;
    int error;

    assert(front_room(front, size) != NULL);
    *head = (struct front_head){.magic = FRONT_MAGIC, .schema = schema, .position = position, .size = size};
    head->check = check_of(front, head);
    memset((uint8_t *)head + used, 0, blocks - used);
    error = write_all(front->file, (const uint8_t *)head, blocks, (off_t)front->end);
    *lost = error != 0 && !is_gone(front, used);
    if (error != 0)
        return error;
    front->end += blocks;
    front->count++;
    return 0;
}

void
front_clear(struct front *front)
{
    front->end = front->count = 0;
}
