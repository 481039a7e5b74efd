/* client.c: who asks, and how much one client may.
 *
 * A client is an IPv4 address or an IPv6 network of 64 bits. Clients on this machine are the house's own (a terminal, a
 * proxy, a test) and are held to no limit of one client, unless limit_loopback says so; whom a believed proxy names is.
 *
 * Requests are counted in windows that begin with a client's first one: what the RateLimit fields say is then exactly
 * what counts. The table has a fixed number of places, found by a keyed hash, so that nobody can choose addresses that
 * meet; a newcomer takes the place that has been quiet for longest of the four it may have. */
#include "inside.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define RATE_SETS    8192 /* of PLACES each: 1 MiB */
#define PLACES       4
#define COUNT_CHAINS 4096
#define PROXIES_MOST 16

struct place {
    struct client_key key;
    uint64_t window_ms; /* when it began; 0: a free place */
    uint64_t taken;
};
struct counted {
    struct counted *next;
    struct client_key key;
    uint64_t connections;
};

struct clients {
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct place *place; /* RATE_SETS * PLACES; NULL: there is no limit on requests */
    struct counted *chain[COUNT_CHAINS];
    struct client_key proxy[PROXIES_MOST];
    size_t proxy_count;
};

static uint64_t
hash(const struct clients *clients, const struct client_key *key)
{
    uint64_t value;

    _Static_assert(sizeof value == crypto_shorthash_BYTES, "a hash is a number");
    crypto_shorthash((unsigned char *)&value, key->byte, sizeof key->byte, clients->hash_key);
    return value;
}

static bool
is_same(const struct client_key *one, const struct client_key *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

/* --- addresses ------------------------------------------------------------------------------------------------------
 */
static const uint8_t four_in_six[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* From the 16 bytes of an address in IPv6 form to the client that it belongs to. */
static void
make_key(const uint8_t address[16], struct client_key *key, bool *is_loopback)
{
    static const uint8_t loopback[16] = {[15] = 1};
    bool is_four = memcmp(address, four_in_six, 12) == 0;

    memset(key, 0, sizeof *key);
    *is_loopback = is_four ? address[12] == 127 : memcmp(address, loopback, 16) == 0;
    memcpy(key->byte, address, is_four || *is_loopback ? 16 : 8);
}

/* A numeric address as text. */
static bool
read_address(const char *text, size_t size, char clean[INET6_ADDRSTRLEN], struct client_key *key, bool *is_loopback)
{
    uint8_t address[16];

    if (size >= INET6_ADDRSTRLEN)
        return false;
    memcpy(clean, text, size);
    clean[size] = '\0';
    memcpy(address, four_in_six, 12);
    if (inet_pton(AF_INET, clean, address + 12) != 1 && inet_pton(AF_INET6, clean, address) != 1)
        return false;
    make_key(address, key, is_loopback);
    return true;
}

void
client_read_peer(const struct sockaddr *address, char text[INET6_ADDRSTRLEN], struct client_key *key, bool *is_loopback)
{
    uint8_t bytes[16];

    memcpy(bytes, four_in_six, 12);
    if (address->sa_family == AF_INET6)
        memcpy(bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    else
        memcpy(bytes + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    if (memcmp(bytes, four_in_six, 12) == 0)
        inet_ntop(AF_INET, bytes + 12, text, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, bytes, text, INET6_ADDRSTRLEN);
    make_key(bytes, key, is_loopback);
}

static bool
is_proxy(const struct clients *clients, const struct client_key *key)
{
    for (size_t i = 0; i < clients->proxy_count; i++) {
        if (is_same(&clients->proxy[i], key))
            return true;
    }
    return false;
}

/* A proxy appends whom it saw; what stands before that is anybody's word. */
void
client_find(struct http_exchange *exchange)
{
    const char *forwarded = http_header(exchange, "x-forwarded-for"), *last;
    struct client_key key;
    bool is_loopback;
    char *text;

    if (forwarded == NULL || !is_proxy(exchange->http->clients, &exchange->client_key))
        return;
    last = strrchr(forwarded, ',');
    last = last == NULL ? forwarded : last + 1;
    last += strspn(last, " \t");
    text = http_memory(exchange, INET6_ADDRSTRLEN);
    if (!read_address(last, strlen(last), text, &key, &is_loopback))
        return;
    exchange->client = text;
    exchange->client_key = key;
    exchange->client_is_loopback = is_loopback;
}

/* --- connections of one client
 * ---------------------------------------------------------------------------------------- */
static struct counted **
find_counted(struct clients *clients, const struct client_key *key)
{
    struct counted **at = &clients->chain[hash(clients, key) % COUNT_CHAINS];

    while (*at != NULL && !is_same(&(*at)->key, key))
        at = &(*at)->next;
    return at;
}

bool
client_enter(struct http *http, struct connection *connection)
{
    struct clients *clients = http->clients;
    struct counted **at;

    if ((connection->peer_is_loopback && !http->limits.limit_loopback) || is_proxy(clients, &connection->peer_key))
        return true;
    at = find_counted(clients, &connection->peer_key);
    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        assert(*at != NULL);
        (*at)->key = connection->peer_key;
    }
    connection->peer_is_counted = true;
    return ++(*at)->connections <= http->limits.client_connections_max;
}

void
client_leave(struct http *http, struct connection *connection)
{
    struct counted **at, *counted;

    if (!connection->peer_is_counted)
        return;
    at = find_counted(http->clients, &connection->peer_key);
    counted = *at;
    assert(counted != NULL);
    if (--counted->connections > 0)
        return;
    *at = counted->next;
    free(counted);
}

/* --- requests of one client
 * -------------------------------------------------------------------------------------------- */
static struct place *
find_place(struct clients *clients, const struct client_key *key)
{
    struct place *set = &clients->place[hash(clients, key) % RATE_SETS * PLACES], *quietest = set;

    for (size_t i = 0; i < PLACES; i++) {
        if (is_same(&set[i].key, key))
            return &set[i];
        if (set[i].window_ms < quietest->window_ms)
            quietest = &set[i];
    }
    *quietest = (struct place){.key = *key};
    return quietest;
}

bool
client_take(struct http_exchange *exchange)
{
    const struct http_limits *limits = &exchange->http->limits;
    uint64_t window_ms = limits->rate_window_s * 1000, now_ms = exchange->began_ms;
    struct place *place;

    if (limits->rate_max == 0 || (exchange->client_is_loopback && !limits->limit_loopback) ||
        (exchange->row != NULL && (exchange->row->route->flags & HTTP_ROUTE_FREE) != 0))
        return true;
    place = find_place(exchange->http->clients, &exchange->client_key);
    if (place->window_ms == 0 || now_ms >= place->window_ms + window_ms) {
        place->window_ms = now_ms;
        place->taken = 0;
    }
    bool is_left = place->taken < limits->rate_max;
    place->taken += is_left ? 1 : 0;
    exchange->rate_known = true;
    exchange->rate_left = limits->rate_max - place->taken;
    exchange->rate_reset_s = (place->window_ms + window_ms - now_ms + 999) / 1000;
    return is_left;
}

uint32_t
client_alias(const struct http_exchange *exchange)
{
    return (uint32_t)hash(exchange->http->clients, &exchange->client_key);
}

/* --- origins
 * -------------------------------------------------------------------------------------------------------------- */
bool
client_origin_is_listed(const struct http *http, const char *origin)
{
    const char *list = http->limits.cors_origins;
    size_t length = strlen(origin);

    while (*list != '\0') {
        size_t size = strcspn(list, ",");
        if (size == length && memcmp(list, origin, size) == 0)
            return true;
        list += size + (list[size] == ',' ? 1 : 0);
    }
    return false;
}

/* --- beginning and end
 * ------------------------------------------------------------------------------------------------------ */
struct clients *
clients_open(const struct http_limits *limits)
{
    struct clients *clients = calloc(1, sizeof *clients);
    const char *list = limits->proxies;
    char text[INET6_ADDRSTRLEN];
    bool is_loopback;

    if (clients == NULL || sodium_init() < 0)
        return clients;
    randombytes_buf(clients->hash_key, sizeof clients->hash_key);
    while (*list != '\0') {
        size_t size = strcspn(list, ",");
        if (clients->proxy_count < PROXIES_MOST &&
            read_address(list, size, text, &clients->proxy[clients->proxy_count], &is_loopback))
            clients->proxy_count++;
        list += size + (list[size] == ',' ? 1 : 0);
    }
    if (limits->rate_max > 0)
        clients->place = calloc((size_t)RATE_SETS * PLACES, sizeof *clients->place);
    return clients;
}

void
clients_close(struct clients *clients)
{
    if (clients == NULL)
        return;
    free(clients->place);
    free(clients);
}
