/* directory.c: the data directory. See directory.h.
 *
 *     store.mdb, store.mdb-lock, store.journal: the store's
 *     service.key, admin.key      key pairs (0600)
 *     usherd.lock                 every usherd that runs shares its lock; holds the pid of the last that started
 *     usherd.instances            who they are; usherd.bell.N: how each is woken (instances.c)
 *     usherd.load                 a store that usherd load has not finished
 *
 * A directory with anything in it but none of these is somebody else's, and nothing is written to it. */
#define _GNU_SOURCE 1
#include "server/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "server/store/folder.h"

static enum directory_status
complain(const char *path, int reason, char *why, size_t why_size)
{
    snprintf(why, why_size, "%s: %s", path, strerror(reason));
    switch (reason) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case ENOENT:
        return DIRECTORY_NO_ACCESS;
    case ENOSPC:
    case EDQUOT:
        return DIRECTORY_NO_ROOM;
    default:
        return DIRECTORY_FAULT;
    }
}

static bool
ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);

    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

static bool
is_ours(const char *name)
{
    return strncmp(name, "usherd.", 7) == 0 || strcmp(name, "store.mdb") == 0 || strcmp(name, "store.mdb-lock") == 0 ||
           strcmp(name, "store.journal") == 0 || ends_with(name, ".key") || ends_with(name, ".key.new");
}

/* Somebody else's directory: it holds something, but no store. */
static enum directory_status
look_inside(const char *path, char *why, size_t why_size)
{
    DIR *directory = opendir(path);
    char stranger[NAME_MAX + 1] = "";
    bool has_store = false;
    const struct dirent *entry;

    if (directory == NULL)
        return complain(path, errno, why, why_size);
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (strcmp(entry->d_name, "store.mdb") == 0)
            has_store = true;
        else if (!is_ours(entry->d_name))
            snprintf(stranger, sizeof stranger, "%s", entry->d_name);
    }
    closedir(directory);
    if (has_store || stranger[0] == '\0')
        return DIRECTORY_OK;
    snprintf(why, why_size, "%s is not a data directory: it holds '%s' and no store; name an empty or a new one", path,
             stranger);
    return DIRECTORY_NOT_ONE;
}

static long
read_pid(int fd)
{
    char text[32] = "";
    ssize_t size = pread(fd, text, sizeof text - 1, 0);

    return size > 0 ? strtol(text, NULL, 10) : 0;
}

/* kind: LOCK_EX or LOCK_SH. */
static enum directory_status
take_lock(const char *path, int kind, int *lock, char *why, size_t why_size)
{
    char lock_path[PATH_MAX];

    snprintf(lock_path, sizeof lock_path, "%s/usherd.lock", path);
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return complain(lock_path, errno, why, why_size);
    if (flock(fd, kind | LOCK_NB) != 0) {
        int reason = errno;
        long pid = read_pid(fd);
        close(fd);
        if (reason != EWOULDBLOCK)
            return complain(lock_path, reason, why, why_size);
        snprintf(why, why_size,
                 kind == LOCK_EX ? "usherd is already running on %s (pid %ld)"
                                 : "something has %s to itself, an older usherd or usherd load (pid %ld); let it end",
                 path, pid);
        return DIRECTORY_RUNNING;
    }
    *lock = fd;
    return DIRECTORY_OK;
}

enum directory_status
directory_sign(const char *path, int lock, char *why, size_t why_size)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%-10ld\n", (long)getpid()); /* as long as any: others write here too */

    return pwrite(lock, text, (size_t)length, 0) == length ? DIRECTORY_OK : complain(path, errno, why, why_size);
}

static enum directory_status
open_with(const char *path, int kind, int *lock, char *why, size_t why_size)
{
    *lock = -1;
    int error = folder_make(path);
    if (error != 0)
        return complain(path, error, why, why_size);
    enum directory_status status = look_inside(path, why, why_size);
    if (status != DIRECTORY_OK)
        return status;
    return take_lock(path, kind, lock, why, why_size);
}

enum directory_status
directory_open(const char *path, int *lock, char *why, size_t why_size)
{
    enum directory_status status = open_with(path, LOCK_EX, lock, why, why_size);

    if (status == DIRECTORY_OK)
        status = directory_sign(path, *lock, why, why_size);
    if (status != DIRECTORY_OK && *lock >= 0)
        close(*lock);
    return status;
}

enum directory_status
directory_share(const char *path, int *lock, char *why, size_t why_size)
{
    return open_with(path, LOCK_SH, lock, why, why_size);
}
