/* keys.c: key pairs in files. See keys.h. */
#define _GNU_SOURCE 1
#include "server/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#define HEAD      "usher-key-1 "
#define HEAD_SIZE (sizeof HEAD - 1)
#define HEX_SIZE  128
#define LINE_SIZE (HEAD_SIZE + HEX_SIZE + 1)

static enum key_status
status_of(int reason)
{
    if (reason == ENOENT)
        return KEY_MISSING;
    return reason == EACCES || reason == EPERM || reason == EROFS ? KEY_NO_ACCESS : KEY_FAULT;
}

static enum key_status
complain(const char *path, int reason, char *why, size_t why_size)
{
    snprintf(why, why_size, "%s: %s", path, strerror(reason));
    return status_of(reason);
}

/* The two halves must belong together, or what we sign would not be what others verify. */
static bool
parse(const char *line, size_t size, uint8_t secret_key[64])
{
    uint8_t public_key[32], pair[64];
    size_t got = 0;

    if (size < LINE_SIZE - 1 || memcmp(line, HEAD, HEAD_SIZE) != 0)
        return false;
    if (sodium_hex2bin(secret_key, 64, line + HEAD_SIZE, HEX_SIZE, NULL, &got, NULL) != 0 || got != 64)
        return false;
    crypto_sign_seed_keypair(public_key, pair, secret_key);
    bool fits = sodium_memcmp(pair, secret_key, sizeof pair) == 0;
    sodium_memzero(pair, sizeof pair);
    return fits;
}

enum key_status
key_read(const char *directory, const char *name, uint8_t secret_key[64], char *why, size_t why_size)
{
    char path[PATH_MAX];
    char line[LINE_SIZE + 1];
    struct stat about;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return complain(path, errno, why, why_size);
    if (fstat(fd, &about) != 0 || (about.st_mode & 077) != 0) {
        close(fd);
        snprintf(why, why_size, "%s: others than its owner may read it; chmod 600 it, if nobody has", path);
        return KEY_EXPOSED;
    }
    ssize_t size = read(fd, line, sizeof line);
    close(fd);
    bool parsed = size > 0 && parse(line, (size_t)size, secret_key);
    sodium_memzero(line, sizeof line);
    if (parsed)
        return KEY_FOUND;
    snprintf(why, why_size, "%s: not a key file (one line, '%s' and 128 hex digits)", path, HEAD);
    return KEY_MALFORMED;
}

/* Write the whole line to a new file and make it last. False with errno set. */
static bool
write_file(const char *path, const char *line, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return false;
    bool written = write(fd, line, size) == (ssize_t)size && fsync(fd) == 0;
    int reason = errno;
    close(fd);
    errno = reason;
    return written;
}

static bool
sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return false;
    bool synced = fsync(fd) == 0;
    int reason = errno;
    close(fd);
    errno = reason;
    return synced;
}

enum key_status
key_make(const char *directory, const char *name, uint8_t secret_key[64], char *why, size_t why_size)
{
    char path[PATH_MAX], draft[PATH_MAX];
    char line[LINE_SIZE + 1] = HEAD;
    uint8_t public_key[32];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    snprintf(draft, sizeof draft, "%s/%s.new", directory, name);
    crypto_sign_keypair(public_key, secret_key);
    sodium_bin2hex(line + HEAD_SIZE, HEX_SIZE + 1, secret_key, 64);
    line[LINE_SIZE - 1] = '\n';
    unlink(draft); /* of a start that was killed */
    /* A link fails where a rename would overwrite: an existing key is never lost. */
    bool made = write_file(draft, line, LINE_SIZE) && link(draft, path) == 0;
    int reason = errno;
    sodium_memzero(line, sizeof line);
    unlink(draft);
    if (made && !sync_directory(directory)) {
        made = false;
        reason = errno;
    }
    return made ? KEY_FOUND : complain(path, reason, why, why_size);
}
