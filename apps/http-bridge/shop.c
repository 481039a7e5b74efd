/* shop.c: see shop.h.
 *
 * The shop's key is compared by its BLAKE2b digest in constant time, so neither its length nor its bytes show in how
 * long a refusal takes. It stands in a file of at least KEY_LEAST characters in one line, which nobody but its owner
 * may read. */
#include "shop.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "assertion.h"
#include "call.h"

#define KEY_LEAST 32
#define KEY_MOST  256

struct shop {
    bool has_key, has_login;
    uint8_t key_digest[crypto_generichash_BYTES];
    struct assertion_book book;
};

/* The one line of a file; false: why says what is wrong with it. */
static bool
read_line(const char *path, bool is_secret, char line[KEY_MOST + 2], char *why, size_t why_size)
{
    struct stat about;
    FILE *file = fopen(path, "r");
    size_t size = 0;

    if (file == NULL || fstat(fileno(file), &about) != 0) {
        snprintf(why, why_size, "can't read %s: %s", path, strerror(errno));
    } else if (is_secret && (about.st_mode & 077) != 0) {
        snprintf(why, why_size, "%s can be read by others: chmod 600 it", path);
    } else {
        size = fread(line, 1, KEY_MOST + 1, file);
        line[size] = 0;
        line[strcspn(line, "\r\n")] = 0;
        if (size == 0 || size > KEY_MOST)
            snprintf(why, why_size, "%s has not one line of at most %d characters", path, KEY_MOST);
        size = size > KEY_MOST ? 0 : size;
    }
    if (file != NULL)
        fclose(file);
    return size > 0;
}

static void
digest_of(const char *key, uint8_t digest[crypto_generichash_BYTES])
{
    crypto_generichash(digest, crypto_generichash_BYTES, (const uint8_t *)key, strlen(key), NULL, 0);
}

static enum bridge_exit
take_key(struct shop *shop, const char *path, char *why, size_t why_size)
{
    char line[KEY_MOST + 2];

    if (*path == 0)
        return BRIDGE_DONE;
    if (!read_line(path, true, line, why, why_size))
        return BRIDGE_ACCESS;
    if (strlen(line) < KEY_LEAST) {
        snprintf(why, why_size, "the key in %s is shorter than %d characters", path, KEY_LEAST);
        return BRIDGE_ACCESS;
    }
    digest_of(line, shop->key_digest);
    sodium_memzero(line, sizeof line);
    shop->has_key = true;
    return BRIDGE_DONE;
}

static enum bridge_exit
take_login(struct shop *shop, const struct options *options, char *why, size_t why_size)
{
    char line[KEY_MOST + 2];

    if (*options->login_key == 0)
        return BRIDGE_DONE;
    if (!read_line(options->login_key, false, line, why, why_size))
        return BRIDGE_ACCESS;
    if (!usher_hex_parse(line, shop->book.login_key.bytes, sizeof shop->book.login_key.bytes)) {
        snprintf(why, why_size, "%s has not the 64 hex digits of the login's Ed25519 public key", options->login_key);
        return BRIDGE_ACCESS;
    }
    if (*options->audience == 0) {
        snprintf(why, why_size, "--login-key needs --audience: the name by which the login means this service");
        return BRIDGE_USAGE;
    }
    shop->book.audience = options->audience;
    shop->has_login = true;
    return BRIDGE_DONE;
}

enum bridge_exit
shop_open(const struct options *options, struct shop **opened, char *why, size_t why_size)
{
    struct shop *shop = *opened = calloc(1, sizeof *shop);
    enum bridge_exit code = BRIDGE_FAULT;

    if (shop == NULL) {
        snprintf(why, why_size, "no memory");
        return code;
    }
    code = take_key(shop, options->shop_key, why, why_size);
    if (code == BRIDGE_DONE)
        code = take_login(shop, options, why, why_size);
    if (code != BRIDGE_DONE || shop->has_key || shop->has_login || address_is_loopback(options->listen))
        return code;
    snprintf(why, why_size,
             "--listen %s is open to others, and anybody could ask for anybody's queue token: name --shop-key, or "
             "--login-key "
             "and --audience",
             options->listen);
    return BRIDGE_USAGE;
}

void
shop_close(struct shop *shop)
{
    if (shop != NULL)
        sodium_memzero(shop, sizeof *shop);
    free(shop);
}

/* --- each request ----------------------------------------------------------------------------------------------------
 */
static unsigned
judge_key(const struct shop *shop, const char *key)
{
    uint8_t digest[crypto_generichash_BYTES];

    digest_of(key, digest);
    return sodium_memcmp(digest, shop->key_digest, sizeof digest) == 0 ? 0 : PROBLEM_SHOP_KEY_WRONG;
}

/* An open bridge answers to this machine's own names alone: a page whose name has been turned to 127.0.0.1 sends its
 * own in Host. */
static bool
is_asked_by_a_local_name(const struct http_exchange *exchange)
{
    const char *host = http_header(exchange, "Host");

    return host != NULL && (address_is_loopback(host) || strcmp(host, "localhost") == 0 ||
                            strncmp(host, "localhost:", 10) == 0 || strcmp(host, "[::1]") == 0);
}

bool
shop_allows(struct call *call)
{
    struct shop *shop = call->bridge->shop;
    const char *key = http_header(call->exchange, "Shop-Key");
    const char *assertion = http_header(call->exchange, "Shop-Assertion");
    unsigned code = PROBLEM_SHOP_KEY_MISSING;

    if (!shop->has_key && !shop->has_login)
        code = is_asked_by_a_local_name(call->exchange) ? 0 : PROBLEM_SHOP_KEY_MISSING;
    else if (shop->has_key && key != NULL)
        code = judge_key(shop, key);
    else if (shop->has_login && assertion != NULL)
        code = assertion_check(&shop->book, assertion, &call->user.uuid, (uint64_t)time(NULL));
    if (code != 0)
        call_refuse(call, (struct problem){.code = code});
    return code == 0;
}
