/* key.c: key pairs, key files and enrolment codes.
 *
 * A key file is one line, "usher-key-1 " and the 128 hex digits of libsodium's 64-byte secret key. Whoever can read it
 * is the client, so a file that group or others can read is refused rather than trusted. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client-sdk/include/usher.h"

#define KEY_LABEL  "usher-key-1 "
#define KEY_DIGITS 128u
#define KEY_LINE   (sizeof KEY_LABEL - 1 + KEY_DIGITS + 1) /* with its newline */

void
usher_key_make(usher_secret *secret)
{
    usher_key public_key;

    if (sodium_init() < 0)
        sodium_misuse(); /* no random source: there is no key to return */
    crypto_sign_keypair(public_key.bytes, secret->bytes);
}

void
usher_key_public(const usher_secret *secret, usher_key *public_key)
{
    memcpy(public_key->bytes, secret->bytes + sizeof secret->bytes - sizeof public_key->bytes,
           sizeof public_key->bytes);
}

void
usher_secret_wipe(usher_secret *secret)
{
    sodium_memzero(secret, sizeof *secret);
}

void
usher_code_make(usher_key *code, usher_key *code_hash)
{
    if (sodium_init() < 0)
        sodium_misuse();
    randombytes_buf(code->bytes, sizeof code->bytes);
    crypto_generichash(code_hash->bytes, sizeof code_hash->bytes, code->bytes, sizeof code->bytes, NULL, 0);
}

/* --- files -------------------------------------------------------------------------------------------- */
static usher_status
key_trouble(usher_status status, const char *path, const char *reason, char *why, size_t why_size)
{
    if (why != NULL)
        snprintf(why, why_size, "key file %s: %s", path != NULL ? path : "(null)", reason);
    return status;
}

/* Whether the two halves of the key belong together: a file with a flipped digit is not a key. */
static int
key_is_sound(const usher_secret *secret)
{
    usher_key derived;
    usher_secret again;
    int sound;

    crypto_sign_seed_keypair(derived.bytes, again.bytes, secret->bytes);
    sound = sodium_memcmp(again.bytes, secret->bytes, sizeof again.bytes) == 0;
    usher_secret_wipe(&again);
    return sound;
}

static const char *
key_parse(char *line, size_t size, usher_secret *secret)
{
    size_t label = sizeof KEY_LABEL - 1;

    if (size > 0 && line[size - 1] == '\n')
        size--;
    if (size != label + KEY_DIGITS || memcmp(line, KEY_LABEL, label) != 0)
        return "it is not one line of \"usher-key-1 \" and 128 hex digits";
    line[size] = 0;
    if (!usher_hex_parse(line + label, secret->bytes, sizeof secret->bytes))
        return "it is not one line of \"usher-key-1 \" and 128 hex digits";
    return key_is_sound(secret) ? NULL : "its digits are not a key pair";
}

/* Read and judge an open key file. Returns what is wrong with it, or NULL. */
static const char *
key_read(int file, usher_secret *secret)
{
    char line[KEY_LINE + 2];
    struct stat state;
    const char *trouble;
    ssize_t size;

    if (fstat(file, &state) != 0)
        return strerror(errno);
    if (!S_ISREG(state.st_mode))
        return "it is not a file";
    if ((state.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return "others may read it; run chmod 600 on it, or make a new key";
    size = read(file, line, sizeof line - 1);
    trouble = size < 0 ? strerror(errno) : key_parse(line, (size_t)size, secret);
    sodium_memzero(line, sizeof line);
    return trouble;
}

usher_status
usher_key_load(const char *path, usher_secret *secret, char *why, size_t why_size)
{
    const char *trouble;
    int file;

    if (path == NULL || secret == NULL)
        return key_trouble(USHER_STATUS_BAD_ARGUMENT, path, "a pointer is NULL", why, why_size);
    if (sodium_init() < 0)
        return key_trouble(USHER_STATUS_NO_MEMORY, path, "libsodium does not start", why, why_size);
    memset(secret, 0, sizeof *secret);
    file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return key_trouble(USHER_STATUS_KEY_FILE, path, strerror(errno), why, why_size);
    trouble = key_read(file, secret);
    close(file);
    if (trouble == NULL)
        return USHER_STATUS_ANSWERED;
    usher_secret_wipe(secret);
    return key_trouble(USHER_STATUS_KEY_FILE, path, trouble, why, why_size);
}

usher_status
usher_key_save(const char *path, const usher_secret *secret, char *why, size_t why_size)
{
    char line[KEY_LINE + 1] = KEY_LABEL;
    const char *trouble = NULL;
    int file;

    if (path == NULL || secret == NULL)
        return key_trouble(USHER_STATUS_BAD_ARGUMENT, path, "a pointer is NULL", why, why_size);
    file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file < 0)
        return key_trouble(USHER_STATUS_KEY_FILE, path, strerror(errno), why, why_size);
    usher_hex_format(secret->bytes, sizeof secret->bytes, line + sizeof KEY_LABEL - 1);
    line[KEY_LINE - 1] = '\n';
    if (write(file, line, KEY_LINE) != (ssize_t)KEY_LINE || fsync(file) != 0)
        trouble = strerror(errno);
    if (close(file) != 0 && trouble == NULL)
        trouble = strerror(errno);
    sodium_memzero(line, sizeof line);
    if (trouble == NULL)
        return USHER_STATUS_ANSWERED;
    unlink(path);
    return key_trouble(USHER_STATUS_KEY_FILE, path, trouble, why, why_size);
}
