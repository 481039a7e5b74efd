/* http_exchange_test.c: requests and their answers: what a handler is given, in what order answers leave, how streams
 * go on, and what happens when a client leaves or the server stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include <cmocka.h>

#include "http_house.h"
#include "tests/test.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static struct http_house house;
static struct http_answer answer;

static void
ask(int client, const char *request, unsigned status)
{
    http_house_ask(&house, client, request, &answer);
    if (answer.status != status)
        fail_msg("%u, not %u: %s", answer.status, status, request);
}

static void
expect_text(const char *text)
{
    if (strstr(answer.bytes, text) == NULL)
        fail_msg("no '%s' in\n%s", text, answer.bytes);
}

static void
expect_body(const char *text)
{
    assert_int_equal(answer.body_size, strlen(text));
    assert_memory_equal(answer.body, text, answer.body_size);
}

/* Read what has come, up to a text. */
static void
read_until(int client, const char *text)
{
    http_house_read_until(&house, client, text, &answer);
    expect_text(text);
}

static bool
one_is_gone(void *context)
{
    (void)context;
    return house.gone == 1;
}

/* --- what a handler is given
 * ------------------------------------------------------------------------------------------ */
static void
a_path_and_a_query_are_decoded_once_and_in_their_parts(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    ask(client, GET("/named/a%2Fb%20c%252e?x=1+2&y=%ec%84%9c&z&w=a=b&%20=+"), 200);
    expect_text("GET /named/a/b c%2e\n?x=1 2\n?y=\xec\x84\x9c\n?z=\n?w=a=b\n? = \npattern /named/{name}\n");
    expect_text("name a/b c%2e\n");
    ask(client, GET("/files/css/a%2fb/x.css"), 200);
    expect_text("rest css/a/b/x.css\n");
    ask(client, GET("/echo?"), 200);
    expect_text("GET /echo\npattern");
    ask(client, GET("/"), 200);
    ask(client, "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", 200);
    expect_text("GET /\npattern /\n");
    ask(client, GET("/named/"), 404);
    ask(client, GET("/echo/"), 404);
    ask(client, GET("/echo/more"), 404);
    ask(client, GET("//echo"), 404);
    ask(client, GET("/ech"), 404);
    ask(client, GET("/files"), 404);
    ask(client, GET("/files/"), 404);
    ask(client, GET("/ECHO"), 404);
    close(client);
    http_house_close(&house);
}

static void
headers_are_found_in_any_case_and_lists_are_joined(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    ask(client, "GET /echo HTTP/1.1\r\nHost: h\r\nx-SAID: \t one \t\r\nX-Other: 1\r\nX-Said: two\r\n\r\n", 200);
    expect_text("said [one, two]\n");
    ask(client, "GET /echo HTTP/1.1\r\nHost: h\r\nX-Said: \t \r\n\r\n", 200);
    expect_text("said []\n");
    close(client);
    http_house_close(&house);
}

static void
a_body_comes_whole_by_its_length_or_in_chunks(void **state)
{
    static const char bytes[] = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\na\0b\r\n";
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_send(client, bytes, sizeof bytes - 1);
    http_house_read(&house, client, false, &answer);
    assert_memory_equal(answer.body + answer.body_size - 7, "5 a\0b\r\n", 7);
    ask(client,
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
        "3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n",
        200);
    expect_text("body 13 abc0123456789");
    close(client);
    http_house_close(&house);
}

/* --- the order of answers
 * ---------------------------------------------------------------------------------------------- */
static void
answers_leave_in_the_order_of_their_requests(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_send(client, GET("/wait/1") GET("/wait/2") GET("/nowhere") GET("/wait/3"),
                    strlen(GET("/wait/1") GET("/wait/2") GET("/nowhere") GET("/wait/3")));
    http_house_turn(&house);
    assert_non_null(house.waiting[3]);
    http_house_let_go(&house, 3);
    http_house_let_go(&house, 2);
    http_house_turn(&house);
    assert_int_equal(recv(client, answer.bytes, 1, 0), -1); /* the first has no answer yet */
    http_house_let_go(&house, 1);
    for (unsigned i = 1; i <= 4; i++) {
        http_house_read(&house, client, false, &answer);
        assert_int_equal(answer.status, i == 3 ? 404 : 200);
        if (i != 3)
            assert_int_equal(answer.body[7], i == 4 ? '3' : (char)('0' + i));
    }
    close(client);
    http_house_close(&house);
}

static void
no_more_than_pipeline_max_requests_are_looked_at(void **state)
{
    struct http_limits limits;
    int client;

    (void)state;
    http_limits_usual(&limits);
    limits.pipeline_max = 2;
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    http_house_send(client, GET("/wait/1") GET("/wait/2") GET("/wait/3"), strlen(GET("/wait/1")) * 3);
    http_house_turn(&house);
    assert_non_null(house.waiting[2]);
    assert_null(house.waiting[3]);
    http_house_let_go(&house, 2);
    http_house_turn(&house);
    assert_null(house.waiting[3]); /* its answer still waits for that of the first */
    http_house_let_go(&house, 1);
    http_house_turn(&house);
    assert_non_null(house.waiting[3]);
    http_house_let_go(&house, 3);
    read_until(client, "waited 3");
    close(client);
    http_house_close(&house);
}

static void
a_large_answer_comes_whole_to_who_reads_late(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_send(client, GET("/large?size=524288") GET("/echo"), strlen(GET("/large?size=524288") GET("/echo")));
    http_house_turn(&house);
    read_until(client, "pattern /echo");
    assert_true(answer.size > 524288);
    close(client);
    http_house_close(&house);
}

/* --- methods
 * -------------------------------------------------------------------------------------------------------------- */
static void
head_is_answered_like_get_but_for_the_body(void **state)
{
    char length[32];
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    ask(client, GET("/nothing/200"), 200);
    snprintf(length, sizeof length, "%s", http_answer_header(&answer, "Content-Length"));
    ask(client, "HEAD /nothing/200 HTTP/1.1\r\nHost: h\r\n\r\n", 200);
    assert_string_equal(http_answer_header(&answer, "Content-Length"), length);
    ask(client, "HEAD /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 404);
    ask(client, "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n", 200); /* and no stream is opened */
    assert_null(house.stream);
    ask(client, GET("/echo"), 200); /* no byte of a body stood between */
    close(client);
    http_house_close(&house);
}

static void
an_answer_of_204_or_304_has_no_body(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    ask(client, GET("/nothing/204"), 204);
    assert_string_equal(http_answer_header(&answer, "Content-Length"), "");
    ask(client, GET("/nothing/304"), 304);
    assert_string_equal(http_answer_header(&answer, "ETag"), "\"7\"");
    ask(client, GET("/nothing/200"), 200);
    expect_body("never sent");
    close(client);
    http_house_close(&house);
}

static void
other_methods_learn_which_the_path_has(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    ask(client, "PUT /named/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n.", 405);
    assert_string_equal(http_answer_header(&answer, "Allow"), "GET, HEAD, DELETE, OPTIONS");
    ask(client, "OPTIONS /echo HTTP/1.1\r\nHost: h\r\n\r\n", 204);
    assert_string_equal(http_answer_header(&answer, "Allow"), "GET, HEAD, POST, OPTIONS");
    ask(client, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 204);
    assert_string_equal(http_answer_header(&answer, "Allow"), "GET, HEAD, POST, DELETE, OPTIONS");
    ask(client, "OPTIONS /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 404);
    close(client);
    http_house_close(&house);
}

/* --- 100-continue
 * ----------------------------------------------------------------------------------------------------------- */
static void
a_body_that_waits_to_be_asked_for_is_asked_for_in_its_turn(void **state)
{
    static const char first[] = GET("/wait/1");
    static const char head[] = "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_send(client, first, sizeof first - 1);
    http_house_send(client, head, sizeof head - 1);
    http_house_turn(&house);
    assert_int_equal(recv(client, answer.bytes, 1, 0), -1); /* the first request has no answer yet */
    http_house_let_go(&house, 1);
    read_until(client, "HTTP/1.1 100 Continue\r\n\r\n");
    expect_text("waited 1HTTP/1.1 100");
    ask(client, "abc", 200);
    expect_text("body 3 abc");
    ask(client, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 200);
    ask(client, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n", 413);
    assert_true(http_house_is_closed(&house, client));
    close(client);
    http_house_close(&house);
}

/* --- a client that leaves
 * ---------------------------------------------------------------------------------------------------- */
static void
a_handler_may_answer_a_client_that_has_left(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_send(client, GET("/wait/1"), strlen(GET("/wait/1")));
    http_house_turn(&house);
    assert_false(http_is_gone(house.waiting[1]));
    setsockopt(client, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(client); /* with a reset */
    http_house_turn_until(&house, one_is_gone, NULL);
    assert_true(http_is_gone(house.waiting[1]));
    assert_string_equal(http_parameter(house.waiting[1], "n"), "1");
    assert_string_equal(http_client(house.waiting[1]), "");
    http_house_let_go(&house, 1);
    assert_int_equal(house.last.status, 499);
    http_house_close(&house);
}

/* `nc` closes its side when it has sent all; it still wants the answer. */
static void
a_client_that_has_closed_its_side_gets_its_answers(void **state)
{
    static const char bytes[] = GET("/wait/1")
        GET("/echo") "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"; /* which never becomes whole */
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_send(client, bytes, sizeof bytes - 1);
    shutdown(client, SHUT_WR);
    http_house_turn(&house);
    http_house_let_go(&house, 1);
    read_until(client, "pattern /echo");
    expect_text("waited 1");
    assert_true(http_house_is_closed(&house, client));
    assert_int_equal(house.gone, 0);
    assert_int_equal(house.access_count, 3); /* the third as one that left: 499 */
    close(client);
    http_house_close(&house);
}

static void
a_client_that_reads_nothing_is_cut_off(void **state)
{
    struct http_limits limits;
    static const int small = 4096;
    int client;

    (void)state;
    http_limits_usual(&limits);
    limits.write_ms = 50;
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 16; i++)
        http_house_send(client, GET("/large?size=524288"), strlen(GET("/large?size=524288")));
    http_house_send(client, GET("/wait/1"), strlen(GET("/wait/1")));
    while (http_connection_count(house.http) > 0)
        event_base_loop(house.base, EVLOOP_ONCE);
    assert_null(house.waiting[1]); /* who has so much to read is asked for no more */
    close(client);
    http_house_close(&house);
}

/* --- streams
 * ---------------------------------------------------------------------------------------------------------------------
 */
static void
a_stream_sends_events_as_they_come_and_the_connection_goes_on(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_send(client, GET("/stream") GET("/echo"), strlen(GET("/stream") GET("/echo")));
    read_until(client, "\r\n\r\n");
    expect_text("Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n");
    assert_true(http_sse_send(house.stream, "place", "7", "{\"rank\":1}"));
    read_until(client, "\n\n\r\n");
    assert_string_equal(answer.bytes, "25\r\nevent: place\nid: 7\ndata: {\"rank\":1}\n\n\r\n");
    assert_true(http_sse_send(house.stream, NULL, NULL, "two\nlines"));
    read_until(client, "\n\n\r\n");
    assert_string_equal(answer.bytes, "17\r\ndata: two\ndata: lines\n\n\r\n");
    http_stream_end(house.stream);
    house.stream = NULL;
    read_until(client, "pattern /echo"); /* the request behind the stream has waited for its end */
    assert_memory_equal(answer.bytes, "0\r\n\r\nHTTP/1.1 200 OK", 20);
    close(client);
    http_house_close(&house);
}

static void
a_stream_in_http_1_0_ends_with_its_connection(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    http_house_send(client, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 48);
    read_until(client, "\r\n\r\n");
    expect_text("Connection: close\r\n");
    assert_true(http_stream_write(house.stream, "plain", 5));
    http_stream_end(house.stream);
    house.stream = NULL;
    read_until(client, "plain");
    assert_true(http_house_is_closed(&house, client));
    close(client);
    http_house_close(&house);
}

static void
note_room(struct http_exchange *exchange, void *context)
{
    (void)exchange;
    (void)context;
    house.rooms++;
}

/* A reader that is too slow costs no more than stream_unsent_max, and the handler learns when it may go on. */
static void
a_stream_keeps_no_more_than_its_bound_for_a_slow_reader(void **state)
{
    static char piece[1000];
    struct http_limits limits;
    int client, writes = 0;

    (void)state;
    memset(piece, '.', sizeof piece);
    http_limits_usual(&limits);
    limits.stream_unsent_max = 16384;
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    http_house_send(client, GET("/stream"), strlen(GET("/stream")));
    read_until(client, "\r\n\r\n");
    assert_int_equal(http_stream_room(house.stream), 16384);
    assert_false(http_stream_write(house.stream, answer.bytes, 16385));
    while (http_stream_write(house.stream, piece, sizeof piece)) {
        http_house_turn(&house);
        writes++;
        assert_true(writes < 100000);
    }
    assert_true(http_stream_room(house.stream) < sizeof piece);
    http_on_room(house.stream, note_room, NULL);
    http_house_turn(&house);
    assert_int_equal(house.rooms, 0);
    while (house.rooms == 0) {
        if (recv(client, answer.bytes, sizeof answer.bytes, 0) < 0)
            event_base_loop(house.base, EVLOOP_NONBLOCK);
    }
    assert_true(http_stream_room(house.stream) >= 8192);
    http_on_room(house.stream, note_room, NULL); /* there is room already */
    http_house_turn(&house);
    assert_int_equal(house.rooms, 2);
    close(client);
    http_house_turn_until(&house, one_is_gone, NULL);
    assert_false(http_stream_write(house.stream, "x", 1));
    assert_int_equal(http_stream_room(house.stream), 0);
    http_house_close(&house);
}

static void
a_silent_stream_gets_comments_and_hears_that_its_client_left(void **state)
{
    struct http_limits limits;
    int client;

    (void)state;
    http_limits_usual(&limits);
    limits.stream_comment_ms = 20;
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    http_house_send(client, GET("/stream"), strlen(GET("/stream")));
    read_until(client, "3\r\n:\n\n\r\n3\r\n:\n\n\r\n");
    shutdown(client, SHUT_WR); /* a stream whose client sends its end has none */
    http_house_turn_until(&house, one_is_gone, NULL);
    close(client);
    http_house_close(&house);
}

static void
one_stream_more_than_may_be_is_told_so(void **state)
{
    struct http_limits limits;
    int client, other;

    (void)state;
    http_limits_usual(&limits);
    limits.streams_max = 1;
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    http_house_send(client, GET("/stream"), strlen(GET("/stream")));
    read_until(client, "\r\n\r\n");
    other = http_house_connect(&house);
    ask(other, GET("/stream"), 503);
    assert_string_equal(http_answer_header(&answer, "Retry-After"), "5");
    ask(other, GET("/echo"), 200);
    http_stream_end(house.stream);
    house.stream = NULL;
    http_house_send(other, GET("/stream"), strlen(GET("/stream")));
    read_until(other, "text/event-stream");
    close(client);
    close(other);
    http_house_close(&house);
}

/* --- the server stops
 * ---------------------------------------------------------------------------------------------------------------- */
static void
note_drained(void *context)
{
    (void)context;
    house.drained = true;
}

static bool
is_drained(void *context)
{
    (void)context;
    return house.drained;
}

/* F5: who was being served is served; nobody else is. */
static void
a_drain_answers_what_is_in_flight_and_closes_the_rest(void **state)
{
    int idle, waiting, streaming, begun;

    (void)state;
    http_house_open(&house, NULL);
    idle = http_house_connect(&house);
    waiting = http_house_connect(&house);
    streaming = http_house_connect(&house);
    begun = http_house_connect(&house);
    http_house_send(waiting, GET("/wait/1") GET("/wait/2"), strlen(GET("/wait/1")) * 2);
    http_house_send(streaming, GET("/stream"), strlen(GET("/stream")));
    read_until(streaming, "\r\n\r\n");
    http_house_send(begun, "GET /ec", 7);
    http_house_turn(&house);
    http_drain(house.http, note_drained, NULL);
    assert_true(http_is_draining(house.http));
    assert_true(http_house_is_closed(&house, idle));
    assert_int_equal(house.drains, 3); /* both that wait, and the stream */
    http_house_let_go(&house, 2);
    http_house_let_go(&house, 1);
    http_house_read(&house, waiting, false, &answer);
    assert_string_equal(http_answer_header(&answer, "Connection"), "");
    http_house_read(&house, waiting, false, &answer);
    assert_string_equal(http_answer_header(&answer, "Connection"), "close");
    assert_true(http_house_is_closed(&house, waiting));
    ask(begun, "ho HTTP/1.1\r\nHost: h\r\n\r\n", 200);
    assert_string_equal(http_answer_header(&answer, "Connection"), "close");
    assert_false(house.drained);
    http_stream_end(house.stream);
    house.stream = NULL;
    assert_true(http_house_is_closed(&house, begun));
    http_house_turn_until(&house, is_drained, NULL);
    close(idle);
    close(waiting);
    close(streaming);
    close(begun);
    http_house_close(&house);
}

static void
note_timer(void *context)
{
    ++*(unsigned *)context;
}

static bool
is_one(void *context)
{
    return *(unsigned *)context == 1;
}

static void
a_timer_calls_once_and_a_cancelled_one_never(void **state)
{
    unsigned called = 0, never = 0;
    struct http_timer *cancelled;

    (void)state;
    http_house_open(&house, NULL);
    cancelled = http_timer_after(house.http, 0, note_timer, &never);
    http_timer_cancel(cancelled);
    http_timer_cancel(NULL);
    http_timer_after(house.http, 1, note_timer, &called);
    http_house_turn_until(&house, is_one, &called);
    assert_int_equal(never, 0);
    http_house_close(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_and_a_query_are_decoded_once_and_in_their_parts),
        cmocka_unit_test(headers_are_found_in_any_case_and_lists_are_joined),
        cmocka_unit_test(a_body_comes_whole_by_its_length_or_in_chunks),
        cmocka_unit_test(answers_leave_in_the_order_of_their_requests),
        cmocka_unit_test(no_more_than_pipeline_max_requests_are_looked_at),
        cmocka_unit_test(a_large_answer_comes_whole_to_who_reads_late),
        cmocka_unit_test(head_is_answered_like_get_but_for_the_body),
        cmocka_unit_test(an_answer_of_204_or_304_has_no_body),
        cmocka_unit_test(other_methods_learn_which_the_path_has),
        cmocka_unit_test(a_body_that_waits_to_be_asked_for_is_asked_for_in_its_turn),
        cmocka_unit_test(a_handler_may_answer_a_client_that_has_left),
        cmocka_unit_test(a_client_that_has_closed_its_side_gets_its_answers),
        cmocka_unit_test(a_client_that_reads_nothing_is_cut_off),
        cmocka_unit_test(a_stream_sends_events_as_they_come_and_the_connection_goes_on),
        cmocka_unit_test(a_stream_in_http_1_0_ends_with_its_connection),
        cmocka_unit_test(a_stream_keeps_no_more_than_its_bound_for_a_slow_reader),
        cmocka_unit_test(a_silent_stream_gets_comments_and_hears_that_its_client_left),
        cmocka_unit_test(one_stream_more_than_may_be_is_told_so),
        cmocka_unit_test(a_drain_answers_what_is_in_flight_and_closes_the_rest),
        cmocka_unit_test(a_timer_calls_once_and_a_cancelled_one_never),
    };
    return usher_test_main(argc, argv, tests);
}
