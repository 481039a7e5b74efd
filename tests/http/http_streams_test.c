/* http_streams_test.c: two thousand people wait before one bridge, each on a stream of its own: what that costs, and
 * that each is told. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_house.h"
#include "tests/test.h"

#define STREAMS      2000
#define STREAM_BYTES 6144 /* that one open stream may take of the heap, its connection and its request with it */

static struct http_house house;
static struct http_exchange *stream[STREAMS];
static int client[STREAMS];
static char read_bytes[4096];

/* Sanitizers have a heap of their own, of which the C library knows nothing. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define HEAP_IS_KNOWN 0
#else
#define HEAP_IS_KNOWN 1
#endif

static size_t
heap_bytes(void)
{
    return mallinfo2().uordblks;
}

/* Both ends of each connection are in this process. */
static void
make_room_for_descriptors(void)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * STREAMS + 64) {
        limit.rlim_cur = 2 * STREAMS + 64;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
}

static void
open_stream(int i)
{
    static const char request[] =
        "GET /stream HTTP/1.1\r\nHost: tickets.example\r\nAccept: text/event-stream\r\n"
        "Authorization: Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";

    client[i] = http_house_connect(&house);
    http_house_send(client[i], request, sizeof request - 1);
    house.stream = NULL;
    while (house.stream == NULL)
        http_house_turn(&house);
    stream[i] = house.stream;
    assert_true(recv(client[i], read_bytes, sizeof read_bytes, 0) > 0);
}

/* F5: what a stream costs is bounded, so a machine's memory says how many may wait. */
static void
two_thousand_streams_are_told_and_take_their_bytes_each(void **state)
{
    char event[64];
    size_t before, each;

    (void)state;
    make_room_for_descriptors();
    http_house_open(&house, NULL);
    open_stream(0);
    before = heap_bytes();
    for (int i = 1; i < STREAMS; i++)
        open_stream(i);
    each = (heap_bytes() - before) / (STREAMS - 1);
    print_message("%zu bytes for each stream\n", each);
    if (HEAP_IS_KNOWN) {
        assert_true(each > 500);
        assert_true(each <= STREAM_BYTES);
    }
    for (int i = 0; i < STREAMS; i++) {
        snprintf(event, sizeof event, "{\"rank\":%d}", i);
        assert_true(http_sse_send(stream[i], "place", NULL, event));
    }
    for (int i = 0; i < STREAMS; i++) {
        ssize_t got = recv(client[i], read_bytes, sizeof read_bytes - 1, 0);
        assert_true(got > 0);
        read_bytes[got] = '\0';
        snprintf(event, sizeof event, "data: {\"rank\":%d}\n", i);
        assert_non_null(strstr(read_bytes, event));
    }
    /* Half of them leave, the others are let go. */
    for (int i = 0; i < STREAMS; i += 2)
        close(client[i]);
    while (house.gone < STREAMS / 2)
        http_house_turn(&house);
    for (int i = 0; i < STREAMS; i++)
        http_stream_end(stream[i]);
    for (int i = 1; i < STREAMS; i += 2)
        close(client[i]);
    house.stream = NULL;
    while (http_connection_count(house.http) > 0)
        http_house_turn(&house);
    http_house_close(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_thousand_streams_are_told_and_take_their_bytes_each),
    };
    return usher_test_main(argc, argv, tests);
}
