/* http_strict_test.c: what is no request is refused with the right status, and the connection closed; whole or byte by
 * byte. The table is refusals.def. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_house.h"
#include "strict.h"
#include "tests/test.h"

static const struct refusal {
    const char *what, *bytes;
    size_t size;
    unsigned status;
    bool is_closed;
} refusals[] = {
#define REFUSAL(what, bytes, status, closed) {what, bytes, sizeof bytes - 1, status, closed},
#include "refusals.def"
};
#define REFUSAL_COUNT (sizeof refusals / sizeof *refusals)

static struct http_house house;
static struct http_answer answer;

/* Send it in pieces of this size, with a turn of the loop behind each. */
static void
send_in_pieces(int client, const char *bytes, size_t size, size_t piece)
{
    for (size_t at = 0; at < size; at += piece) {
        http_house_send(client, bytes + at, size - at < piece ? size - at : piece);
        if (piece < size)
            http_house_turn(&house);
    }
}

static void
expect(const struct refusal *row, size_t piece)
{
    int client = http_house_connect(&house);

    send_in_pieces(client, row->bytes, row->size, piece);
    http_house_read(&house, client, false, &answer);
    if (!answer.is_whole || answer.status != row->status)
        fail_msg("%s, in pieces of %zu: %u, not %u\n%s", row->what, piece, answer.is_whole ? answer.status : 0,
                 row->status, answer.bytes);
    if (answer.status >= 400)
        assert_string_equal(http_answer_header(&answer, "Content-Type"), "application/problem+json");
    assert_string_equal(http_answer_header(&answer, "Connection"), row->is_closed ? "close"
                                                                   : strstr(row->bytes, "HTTP/1.0") != NULL
                                                                       ? "keep-alive"
                                                                       : "");
    if (row->is_closed) {
        if (!http_house_is_closed(&house, client))
            fail_msg("%s, in pieces of %zu: not closed", row->what, piece);
    } else {
        http_house_ask(&house, client, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", &answer);
        assert_int_equal(answer.status, 200);
    }
    close(client);
    http_house_turn(&house);
}

/* F5: what could be read in two ways is refused, and nothing behind it is read. */
static void
each_row_of_the_table_is_answered_so_and_closed_or_not(void **state)
{
    (void)state;
    assert_true(REFUSAL_COUNT > 90);
    http_house_open(&house, NULL);
    for (size_t i = 0; i < REFUSAL_COUNT; i++)
        expect(&refusals[i], refusals[i].size);
    http_house_close(&house);
}

static void
each_row_of_the_table_is_answered_so_byte_by_byte(void **state)
{
    (void)state;
    http_house_open(&house, NULL);
    for (size_t i = 0; i < REFUSAL_COUNT; i++)
        expect(&refusals[i], 1);
    http_house_close(&house);
}

/* A second request behind a refused one is never answered: it may be no request, but the body of the first. */
static void
nothing_behind_a_refused_request_is_read(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_ask(&house, client,
                   "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                   "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n",
                   &answer);
    assert_int_equal(answer.status, 400);
    assert_true(http_house_is_closed(&house, client));
    assert_int_equal(house.access_count, 1);
    close(client);
    http_house_close(&house);
}

/* --- limits at their edge ----------------------------------------------------------------------------------------- */
static void
expect_text(const char *what, char *text, unsigned status)
{
    const struct refusal row = {what, text, strlen(text), status, status >= 400};

    expect(&row, row.size);
    expect(&row, 997);
}

/* A head of this size: a header is as long as it takes. */
static char *
head_of(size_t size)
{
    static char text[2 * STRICT_HEAD_MOST];
    int used = snprintf(text, sizeof text, "GET /echo HTTP/1.1\r\nHost: h\r\nX-Long: ");

    memset(text + used, 'x', size - (size_t)used - 4);
    strcpy(text + size - 4, "\r\n\r\n");
    return text;
}

static char *
fields_of(unsigned count)
{
    static char text[STRICT_HEAD_MOST];
    int used = snprintf(text, sizeof text, "GET /echo HTTP/1.1\r\nHost: h\r\n");

    for (unsigned i = 1; i < count; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "X-%u: %u\r\n", i, i);
    snprintf(text + used, sizeof text - (size_t)used, "\r\n");
    return text;
}

static char *
target_of(size_t size)
{
    static char text[2 * STRICT_HEAD_MOST];
    int used = snprintf(text, sizeof text, "GET /echo?a=");

    memset(text + used, 'x', size);
    snprintf(text + used + size, sizeof text - (size_t)used - size, " HTTP/1.1\r\nHost: h\r\n\r\n");
    return text;
}

static void
a_head_may_have_eight_kibibytes_and_64_headers(void **state)
{
    char query[1024];
    int used = 0;

    (void)state;
    http_house_open(&house, NULL);
    expect_text("8 KiB", head_of(8192), 200);
    expect_text("one byte more", head_of(8193), 431);
    expect_text("64 headers", fields_of(64), 200);
    expect_text("65 headers", fields_of(65), 431);
    expect_text("a target past the end of the head", target_of(8190), 414);
    for (int i = 0; i < 33; i++) {
        used += snprintf(query + used, sizeof query - (size_t)used, "%sp%d", i == 0 ? "GET /echo?" : "&", i);
        if (i >= 31) {
            strcpy(query + used, " HTTP/1.1\r\nHost: h\r\n\r\n");
            expect_text("parameters", query, i == 31 ? 200 : 400);
        }
    }
    http_house_close(&house);
}

/* A body of this size, by its length or in one chunk. */
static void
expect_body(const char *path, size_t size, bool in_chunks, unsigned status)
{
    static char text[2 << 20];
    int used = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: h\r\n", path);
    const struct refusal row = {.what = path, .bytes = text, .status = status, .is_closed = status >= 400};
    struct refusal sent = row;

    used += in_chunks ? snprintf(text + used, 128, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", size)
                      : snprintf(text + used, 128, "Content-Length: %zu\r\n\r\n", size);
    memset(text + used, 'b', size);
    sent.size = (size_t)used + size;
    if (in_chunks) {
        memcpy(text + sent.size, "\r\n0\r\n\r\n", 7);
        sent.size += 7;
    }
    expect(&sent, 32768);
}

static void
a_body_may_be_as_long_as_its_route_takes(void **state)
{
    struct http_limits limits;

    (void)state;
    http_limits_usual(&limits);
    limits.body_max = 1000;
    limits.body_large_max = 100000;
    http_house_open(&house, &limits);
    for (int in_chunks = 0; in_chunks < 2; in_chunks++) {
        expect_body("/echo", 1000, in_chunks != 0, 200);
        expect_body("/echo", 1001, in_chunks != 0, 413);
        expect_body("/large", 100000, in_chunks != 0, 200);
        expect_body("/large", 100001, in_chunks != 0, 413);
    }
    http_house_close(&house);
}

/* One byte a second never makes a request: the time is that of the whole head, and of the whole body. */
static void
a_request_that_comes_too_slowly_is_answered_408(void **state)
{
    static const char *const begun[] = {"G", "GET /echo HTTP/1.1\r\nHost: h\r\n",
                                        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc",
                                        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"};
    struct http_limits limits;

    (void)state;
    http_limits_usual(&limits);
    limits.head_ms = 30;
    limits.body_ms = 30;
    http_house_open(&house, &limits);
    for (size_t i = 0; i < sizeof begun / sizeof *begun; i++) {
        int client = http_house_connect(&house);
        http_house_send(client, begun[i], strlen(begun[i]));
        http_house_read(&house, client, false, &answer);
        assert_true(answer.is_whole);
        assert_int_equal(answer.status, 408);
        assert_true(http_house_is_closed(&house, client));
        close(client);
    }
    http_house_close(&house);
}

static void
a_silent_connection_is_closed_without_a_word(void **state)
{
    struct http_limits limits;
    int client;

    (void)state;
    http_limits_usual(&limits);
    limits.idle_ms = 30;
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    assert_true(http_house_is_closed(&house, client));
    close(client);
    client = http_house_connect(&house);
    http_house_ask(&house, client, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", &answer);
    assert_true(http_house_is_closed(&house, client));
    close(client);
    http_house_close(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_of_the_table_is_answered_so_and_closed_or_not),
        cmocka_unit_test(each_row_of_the_table_is_answered_so_byte_by_byte),
        cmocka_unit_test(nothing_behind_a_refused_request_is_read),
        cmocka_unit_test(a_head_may_have_eight_kibibytes_and_64_headers),
        cmocka_unit_test(a_body_may_be_as_long_as_its_route_takes),
        cmocka_unit_test(a_request_that_comes_too_slowly_is_answered_408),
        cmocka_unit_test(a_silent_connection_is_closed_without_a_word),
    };

    return usher_test_main(argc, argv, tests);
}
