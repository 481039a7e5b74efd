/* http_house.h: a server of the HTTP layer and its clients in one thread: a test sends bytes, lets the loop turn, and
 * reads what came, over sockets of the loopback. Nothing is slept for: the loop turns until what is awaited has come.
 *
 *     struct http_house house;
 *     http_house_open(&house, &limits);
 *     int client = http_house_connect(&house);
 *     http_house_ask(&house, client, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", &answer);
 *     assert_int_equal(answer.status, 200);
 *     http_house_close(&house);            asserts that nothing of any exchange is left
 *
 * Its routes are those of http_house.c: they echo, wait, stream, and fail. */
#ifndef HTTP_HOUSE_H
#define HTTP_HOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"

#define HOUSE_BYTES_MOST (1 << 20)
#define HOUSE_WAITING    64

struct http_house {
    struct event_base *base;
    struct http *http;
    uint16_t port;
    /* Exchanges of /wait/{n}, which wait for http_house_let_go(). */
    struct http_exchange *waiting[HOUSE_WAITING];
    /* The last exchange of /stream. */
    struct http_exchange *stream;
    unsigned gone, drains, rooms;
    bool drained;
    struct http_access last; /* its texts are copied below */
    char last_pattern[64], last_traceparent[64];
    unsigned access_count;
};

/* What a client got. */
struct http_answer {
    unsigned status;
    char head[8192];
    const char *body; /* in bytes */
    size_t body_size;
    size_t size; /* of the whole answer */
    bool is_whole;
    char bytes[HOUSE_BYTES_MOST];
};

/* limits: NULL for the usual ones. */
void http_house_open(struct http_house *house, const struct http_limits *limits);
void http_house_close(struct http_house *house);
int http_house_connect(struct http_house *house);
/* Let the loop turn as long as there is something to do at once. */
void http_house_turn(struct http_house *house);
/* Let it turn until the condition holds; fails the test when 5 s were not enough. */
void http_house_turn_until(struct http_house *house, bool (*holds)(void *context), void *context);
void http_house_send(int client, const void *bytes, size_t size);
/* Read one answer to a request of this method ("HEAD" has no body): by its length, its chunks, or until the end. */
void http_house_read(struct http_house *house, int client, bool is_head, struct http_answer *answer);
/* Send and read. */
void http_house_ask(struct http_house *house, int client, const char *request, struct http_answer *answer);
/* Whether the server ends the connection (a FIN comes, behind nothing more). */
bool http_house_is_closed(struct http_house *house, int client);
/* Read what has come, whatever it is, until the text stands in it. */
void http_house_read_until(struct http_house *house, int client, const char *text, struct http_answer *answer);
/* Answer the exchange that waits under this number. */
void http_house_let_go(struct http_house *house, unsigned number);
/* The value of a header, "" for none; in room of its own. */
const char *http_answer_header(const struct http_answer *answer, const char *name);

#endif
