/* instances.c: see instances.h.
 *
 *     usherd.instances   head | slot 1 | slot 2 | ...        mapped by everybody
 *     locks on it        byte 0: a start;  byte n: slot n is somebody's
 *     usherd.bell.N      slot N's doorbell, a datagram socket
 *
 * The locks are of the open file (F_OFD_SETLK), so a thread or a second descriptor can't give them up by mistake. A
 * doorbell is rung by one byte, and not again before it was answered: ten thousand commits wake a sleeper once. A ring
 * that is lost does little harm: the loop looks for itself a few times a second. */
#define _GNU_SOURCE 1
#include "server/instances.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SLOTS   64u
#define MAGIC   "usherin\n"
#define VERSION 1u

struct head {
    char magic[8];
    uint32_t version, slots;
    uint8_t unused[240];
};
struct slot {
    atomic_uint pid; /* 0 unless it serves; written last */
    atomic_uint rung;
    uint64_t clock_ms; /* its server time less the monotonic clock's, modulo 2^64 */
    char address[112];
};
struct file {
    struct head head;
    struct slot slot[SLOTS];
};
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "slots are shared between processes");
_Static_assert(sizeof(struct slot) == 128, "slots lie alike in every build");

struct instances {
    int fd, folder, bell;
    uint32_t number; /* of our slot, from 1 */
    struct file *file;
};

/* --- locks ---------------------------------------------------------------------------------------------- */
static struct flock
lock_of(uint32_t byte)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

static bool
take_lock(int fd, uint32_t byte, bool wait)
{
    struct flock lock = lock_of(byte);

    while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

static void
give_up_lock(int fd, uint32_t byte)
{
    struct flock lock = lock_of(byte);

    lock.l_type = F_UNLCK;
    fcntl(fd, F_OFD_SETLK, &lock);
}

static bool
is_taken_by_another(int fd, uint32_t byte)
{
    struct flock lock = lock_of(byte);

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* --- the others ----------------------------------------------------------------------------------------- */
/* The next one after this slot that is alive and serves; NULL for none. */
static const struct slot *
next_other(const struct instances *instances, uint32_t *number)
{
    while (++*number <= SLOTS) {
        const struct slot *slot = &instances->file->slot[*number - 1];

        if (*number != instances->number && atomic_load(&slot->pid) != 0 && is_taken_by_another(instances->fd, *number))
            return slot;
    }
    return NULL;
}

unsigned
instances_count(const struct instances *instances)
{
    unsigned count = 0;

    for (uint32_t number = 0; next_other(instances, &number) != NULL;)
        count++;
    return count;
}

bool
instances_now_ms(const struct instances *instances, uint64_t monotonic_ms, uint64_t *now_ms)
{
    uint32_t number = 0;
    const struct slot *slot = next_other(instances, &number);

    if (slot != NULL)
        *now_ms = monotonic_ms + slot->clock_ms;
    return slot != NULL;
}

bool
instances_listen_on(const struct instances *instances, const char *address)
{
    const struct slot *slot;

    for (uint32_t number = 0; (slot = next_other(instances, &number)) != NULL;)
        if (strncmp(slot->address, address, sizeof slot->address) == 0)
            return true;
    return false;
}

uint32_t
instances_number(const struct instances *instances)
{
    return instances->number;
}

void
instances_serve(struct instances *instances, const char *address, uint64_t now_ms, uint64_t monotonic_ms)
{
    struct slot *slot = &instances->file->slot[instances->number - 1];

    slot->clock_ms = now_ms - monotonic_ms;
    snprintf(slot->address, sizeof slot->address, "%s", address);
    atomic_store(&slot->rung, 0);
    atomic_store(&slot->pid, (unsigned)getpid());
    give_up_lock(instances->fd, 0);
}

/* --- the doorbell --------------------------------------------------------------------------------------- */
/* Through the folder's descriptor, for a socket's name has room for a short path only. */
static socklen_t
name_bell(const struct instances *instances, uint32_t number, struct sockaddr_un *name)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(name->sun_path, sizeof name->sun_path, "/proc/self/fd/%d/usherd.bell.%u", instances->folder, number);
    return sizeof *name;
}

static bool
hang_bell(struct instances *instances)
{
    struct sockaddr_un name;
    socklen_t size = name_bell(instances, instances->number, &name);

    instances->bell = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (instances->bell < 0)
        return false;
    unlink(name.sun_path); /* of one that was killed; the slot is ours */
    return bind(instances->bell, (struct sockaddr *)&name, size) == 0;
}

void
instances_ring(struct instances *instances)
{
    for (uint32_t number = 1; number <= SLOTS; number++) {
        struct slot *slot = &instances->file->slot[number - 1];
        struct sockaddr_un name;

        if (number == instances->number || atomic_load(&slot->pid) == 0 || atomic_exchange(&slot->rung, 1) != 0)
            continue;
        socklen_t size = name_bell(instances, number, &name);
        (void)sendto(instances->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name, size);
    }
}

int
instances_bell(const struct instances *instances)
{
    return instances->bell;
}

void
instances_answer(struct instances *instances)
{
    char bytes[16];

    /* First the sign, then the bytes: who rings in between leaves a byte too many or is heard by what follows. */
    atomic_store(&instances->file->slot[instances->number - 1].rung, 0);
    while (recv(instances->bell, bytes, sizeof bytes, MSG_DONTWAIT) >= 0)
        continue;
}

/* --- coming and going ----------------------------------------------------------------------------------- */
static enum directory_status
complain(const char *path, int reason, char *why, size_t why_size)
{
    snprintf(why, why_size, "%s: %s", path, strerror(reason));
    if (reason == EACCES || reason == EPERM || reason == EROFS)
        return DIRECTORY_NO_ACCESS;
    return reason == ENOSPC || reason == EDQUOT ? DIRECTORY_NO_ROOM : DIRECTORY_FAULT;
}

/* The file, made whole: a hole in it would be found when the disk is full, by a signal. */
static enum directory_status
open_file(struct instances *instances, const char *path, char *why, size_t why_size)
{
    instances->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (instances->fd < 0 || !take_lock(instances->fd, 0, true))
        return complain(path, errno, why, why_size);
    int error = posix_fallocate(instances->fd, 0, sizeof(struct file));
    if (error != 0)
        return complain(path, error, why, why_size);
    void *map = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, instances->fd, 0);
    if (map == MAP_FAILED)
        return complain(path, errno, why, why_size);
    instances->file = map;
    return DIRECTORY_OK;
}

static bool
anybody(const struct instances *instances)
{
    for (uint32_t number = 1; number <= SLOTS; number++)
        if (is_taken_by_another(instances->fd, number))
            return true;
    return false;
}

static enum directory_status
look_around(struct instances *instances, const char *data, bool join, char *why, size_t why_size)
{
    struct head *head = &instances->file->head;
    const struct head ours = {.magic = MAGIC, .version = VERSION, .slots = SLOTS};
    uint32_t number = 0;

    if (!anybody(instances)) {
        memset(instances->file, 0, sizeof *instances->file);
        *head = ours;
    }
    if (memcmp(head, &ours, sizeof ours) != 0) {
        snprintf(why, why_size, "another version of usherd serves on %s; stop it, then start this one", data);
        return DIRECTORY_RUNNING;
    }
    const struct slot *other = next_other(instances, &number);
    if (other != NULL && !join) {
        snprintf(why, why_size, "usherd is already running on %s (pid %u); --join runs one more beside it", data,
                 atomic_load(&other->pid));
        return DIRECTORY_RUNNING;
    }
    return DIRECTORY_OK;
}

static enum directory_status
take_slot(struct instances *instances, const char *data, char *why, size_t why_size)
{
    for (uint32_t number = 1; number <= SLOTS && instances->number == 0; number++) {
        if (!take_lock(instances->fd, number, false))
            continue;
        instances->number = number;
        atomic_store(&instances->file->slot[number - 1].pid, 0);
    }
    if (instances->number == 0) {
        snprintf(why, why_size, "%u instances of usherd run on %s already, which is the most", SLOTS, data);
        return DIRECTORY_RUNNING;
    }
    return hang_bell(instances) ? DIRECTORY_OK : complain(data, errno, why, why_size);
}

enum directory_status
instances_open(const char *data, bool join, struct instances **opened, char *why, size_t why_size)
{
    struct instances *instances = calloc(1, sizeof *instances);
    enum directory_status status;
    char path[PATH_MAX];

    *opened = NULL;
    if (instances == NULL)
        return complain(data, ENOMEM, why, why_size);
    instances->bell = instances->fd = -1;
    snprintf(path, sizeof path, "%s/usherd.instances", data);
    instances->folder = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    status = instances->folder < 0 ? complain(data, errno, why, why_size) : open_file(instances, path, why, why_size);
    if (status == DIRECTORY_OK)
        status = look_around(instances, data, join, why, why_size);
    if (status == DIRECTORY_OK)
        status = take_slot(instances, data, why, why_size);
    if (status != DIRECTORY_OK) {
        instances_close(instances);
        return status;
    }
    *opened = instances;
    return DIRECTORY_OK;
}

void
instances_close(struct instances *instances)
{
    struct sockaddr_un name;

    if (instances == NULL)
        return;
    if (instances->number != 0) {
        atomic_store(&instances->file->slot[instances->number - 1].pid, 0);
        name_bell(instances, instances->number, &name);
        unlink(name.sun_path);
    }
    if (instances->file != NULL)
        munmap(instances->file, sizeof *instances->file);
    if (instances->bell >= 0)
        close(instances->bell);
    if (instances->folder >= 0)
        close(instances->folder);
    if (instances->fd >= 0)
        close(instances->fd); /* and with it the locks */
    free(instances);
}
