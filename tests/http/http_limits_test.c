/* http_limits_test.c: what one client may and what all may together; other origins; what is counted and what is logged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_house.h"
#include "tests/test.h"

static struct http_house house;
static struct http_answer answer;
static struct http_limits limits;

static void
ask(int client, const char *request, unsigned status)
{
    http_house_ask(&house, client, request, &answer);
    if (answer.status != status)
        fail_msg("%u, not %u: %s", answer.status, status, request);
}

/* GET of a path with further header lines. */
static void
get(int client, const char *path, const char *headers, unsigned status)
{
    char request[1024];

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", path, headers);
    ask(client, request, status);
}

static void
expect_header(const char *name, const char *value)
{
    assert_string_equal(http_answer_header(&answer, name), value);
}

/* --- connections
 * ---------------------------------------------------------------------------------------------------------- */
static void
one_connection_more_than_may_be_is_told_so_and_closed(void **state)
{
    int client[2], more;

    (void)state;
    http_limits_usual(&limits);
    limits.connections_max = 2;
    http_house_open(&house, &limits);
    client[0] = http_house_connect(&house);
    client[1] = http_house_connect(&house);
    more = http_house_connect(&house);
    http_house_read(&house, more, false, &answer);
    assert_true(answer.is_whole);
    assert_int_equal(answer.status, 503);
    expect_header("Retry-After", "1");
    assert_true(http_house_is_closed(&house, more));
    close(more);
    get(client[1], "/echo", "", 200);
    close(client[0]);
    http_house_turn(&house);
    more = http_house_connect(&house);
    get(more, "/echo", "", 200);
    close(more);
    close(client[1]);
    http_house_close(&house);
}

static void
one_address_has_no_more_than_its_connections(void **state)
{
    int client[3];

    (void)state;
    http_limits_usual(&limits);
    limits.client_connections_max = 2;
    http_house_open(&house, &limits);
    for (int i = 0; i < 3; i++)
        client[i] = http_house_connect(&house);
    get(client[2], "/echo", "", 200); /* this machine is held to no limit of one client */
    for (int i = 0; i < 3; i++)
        close(client[i]);
    http_house_close(&house);
    limits.limit_loopback = true;
    http_house_open(&house, &limits);
    for (int i = 0; i < 3; i++)
        client[i] = http_house_connect(&house);
    http_house_read(&house, client[2], false, &answer);
    assert_int_equal(answer.status, 503);
    assert_true(http_house_is_closed(&house, client[2]));
    close(client[2]);
    close(client[0]);
    http_house_turn(&house);
    client[2] = http_house_connect(&house);
    get(client[2], "/echo", "", 200);
    close(client[1]);
    close(client[2]);
    http_house_close(&house);
}

/* --- rates
 * ---------------------------------------------------------------------------------------------------------------------
 */
static void
a_client_over_its_rate_is_told_when_to_go_on(void **state)
{
    int client;

    (void)state;
    http_limits_usual(&limits);
    limits.rate_max = 3;
    limits.rate_window_s = 3600;
    limits.limit_loopback = true;
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    get(client, "/echo", "", 200);
    expect_header("RateLimit-Policy", "\"address\";q=3;w=3600");
    expect_header("RateLimit", "\"address\";r=2;t=3600");
    get(client, "/nowhere", "", 404);
    get(client, "/free", "", 200);
    expect_header("RateLimit", "");
    get(client, "/echo", "", 200);
    expect_header("RateLimit", "\"address\";r=0;t=3600");
    get(client, "/echo", "", 429);
    expect_header("Retry-After", "3600");
    expect_header("Content-Type", "application/problem+json");
    get(client, "/free", "", 200);
    close(client);
    http_house_close(&house);
}

/* 1 s is the shortest window: the loop turns until it is over. */
static void
a_rate_begins_anew_with_its_window(void **state)
{
    int client;

    (void)state;
    http_limits_usual(&limits);
    limits.rate_max = 1;
    limits.rate_window_s = 1;
    limits.limit_loopback = true;
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    get(client, "/echo", "", 200);
    get(client, "/echo", "", 429);
    expect_header("Retry-After", "1");
    do
        http_house_ask(&house, client, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", &answer);
    while (answer.status == 429);
    assert_int_equal(answer.status, 200);
    close(client);
    http_house_close(&house);
}

static void
whom_a_believed_proxy_names_is_the_client(void **state)
{
    int client;

    (void)state;
    http_limits_usual(&limits);
    limits.rate_max = 1;
    limits.rate_window_s = 3600;
    limits.proxies = "192.0.2.1,127.0.0.1";
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    get(client, "/echo", "X-Forwarded-For: 203.0.113.7\r\n", 200);
    assert_non_null(strstr(answer.body, "client 203.0.113.7 0\n"));
    get(client, "/echo", "X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n",
        429); /* what stands before is anybody's word */
    get(client, "/echo", "X-Forwarded-For: 203.0.113.7, 203.0.113.8\r\n", 200);
    get(client, "/echo", "X-Forwarded-For: 2001:db8::1\r\n", 200);
    get(client, "/echo", "X-Forwarded-For: 2001:db8::2\r\n", 429); /* the same network of 64 bits */
    get(client, "/echo", "X-Forwarded-For: 2001:db8:0:1::1\r\n", 200);
    get(client, "/echo", "X-Forwarded-For: nobody\r\n", 200); /* then it is the proxy itself, which is this machine */
    assert_non_null(strstr(answer.body, "client 127.0.0.1 1\n"));
    close(client);
    http_house_close(&house);
    limits.proxies = "192.0.2.1";
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    get(client, "/echo", "X-Forwarded-For: 203.0.113.7\r\n", 200);
    assert_non_null(strstr(answer.body, "client 127.0.0.1 1\n"));
    close(client);
    http_house_close(&house);
}

/* --- memory
 * ------------------------------------------------------------------------------------------------------------------------
 */
static void
bodies_beyond_the_memory_of_all_are_refused(void **state)
{
    static const char head[] = "POST /large HTTP/1.1\r\nHost: h\r\nContent-Length: 600000\r\n\r\n";
    int first, second;

    (void)state;
    http_limits_usual(&limits);
    limits.memory_max = 1048576;
    http_house_open(&house, &limits);
    first = http_house_connect(&house);
    http_house_send(first, head, sizeof head - 1);
    http_house_turn(&house);
    second = http_house_connect(&house);
    ask(second, head, 503);
    expect_header("Retry-After", "1");
    assert_true(http_house_is_closed(&house, second));
    close(second);
    close(first);
    http_house_turn(&house);
    second = http_house_connect(&house);
    ask(second, "POST /large HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 200);
    close(second);
    http_house_close(&house);
}

/* --- other origins
 * -------------------------------------------------------------------------------------------------------------------
 */
static void
other_origins_learn_nothing_unless_they_are_listed(void **state)
{
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    get(client, "/echo", "Origin: https://a.example\r\n", 200);
    expect_header("Access-Control-Allow-Origin", "");
    expect_header("Vary", "");
    close(client);
    http_house_close(&house);

    http_limits_usual(&limits);
    limits.cors_origins = "https://a.example,https://b.example";
    http_house_open(&house, &limits);
    client = http_house_connect(&house);
    get(client, "/echo", "Origin: https://b.example\r\n", 200);
    expect_header("Access-Control-Allow-Origin", "https://b.example");
    expect_header("Vary", "Origin");
    get(client, "/echo", "Origin: https://b.example.evil.example\r\n", 200);
    expect_header("Access-Control-Allow-Origin", "");
    expect_header("Vary", "Origin");
    get(client, "/echo", "Origin: https://a.example,https://b.example\r\n", 200);
    expect_header("Access-Control-Allow-Origin", "");
    get(client, "/free", "Origin: https://b.example\r\n", 200); /* a route that answers no other origin */
    expect_header("Access-Control-Allow-Origin", "");
    ask(client,
        "OPTIONS /echo HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
        204);
    expect_header("Access-Control-Allow-Origin", "https://a.example");
    expect_header("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
    expect_header("Access-Control-Max-Age", "600");
    ask(client,
        "OPTIONS /echo HTTP/1.1\r\nHost: h\r\nOrigin: https://c.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
        204);
    expect_header("Access-Control-Allow-Methods", "");
    close(client);
    http_house_close(&house);
}

/* --- traces, logs, counts
 * -------------------------------------------------------------------------------------------------------------- */
static void
a_traceparent_is_passed_on_when_it_is_one(void **state)
{
    static const char *const bad[] = {"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                                      "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                      "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
                                      ""};
    static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    char header[128];
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    snprintf(header, sizeof header, "traceparent: %s\r\n", good);
    get(client, "/echo", header, 200);
    expect_header("traceparent", good);
    assert_string_equal(house.last_traceparent, good);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(header, sizeof header, "traceparent: %s\r\n", bad[i]);
        get(client, "/echo", header, 200);
        expect_header("traceparent", "");
        assert_string_equal(house.last_traceparent, "");
    }
    close(client);
    http_house_close(&house);
}

/* X8: neither the path nor the address of anybody is in what is logged. */
static void
a_request_is_logged_by_its_route_and_not_by_its_path(void **state)
{
    int client, other;
    uint32_t alias;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    get(client, "/named/ann?token=secret", "", 200);
    assert_string_equal(house.last_pattern, "/named/{name}");
    assert_int_equal(house.last.status, 200);
    assert_true(house.last.bytes_out > answer.body_size);
    alias = house.last.client;
    get(client, "/secret", "", 404);
    assert_string_equal(house.last_pattern, "-");
    other = http_house_connect(&house);
    get(other, "/echo", "", 200);
    assert_int_equal(house.last.client, alias);
    close(client);
    close(other);
    http_house_close(&house);
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    get(client, "/echo", "", 200);
    assert_int_not_equal(house.last.client, alias); /* another start, another number */
    close(client);
    http_house_close(&house);
}

static void
requests_are_counted_by_route_and_status(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out;
    int client;

    (void)state;
    http_house_open(&house, NULL);
    client = http_house_connect(&house);
    for (int i = 0; i < 3; i++)
        get(client, "/echo", "", 200);
    get(client, "/named/x", "", 200);
    get(client, "/nowhere", "", 404);
    ask(client, "GET /echo HTTP/1.1\r\n\r\n", 400);
    out = open_memstream(&text, &size);
    http_write_metrics(house.http, out);
    fclose(out);
    assert_non_null(strstr(text, "\nusher_http_requests_total{route=\"/echo\",method=\"GET\",status=\"200\"} 3\n"));
    assert_non_null(
        strstr(text, "\nusher_http_requests_total{route=\"/named/{name}\",method=\"GET\",status=\"200\"} 1\n"));
    assert_non_null(strstr(text, "\nusher_http_requests_total{route=\"\",method=\"\",status=\"404\"} 1\n"));
    assert_non_null(strstr(text, "\nusher_http_requests_total{route=\"\",method=\"\",status=\"400\"} 1\n"));
    assert_non_null(strstr(text, "{route=\"/echo\",method=\"GET\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "\nusher_http_request_seconds_count{route=\"/echo\",method=\"GET\"} 3\n"));
    assert_non_null(strstr(text, "\nusher_http_refused_total 1\n"));
    assert_non_null(strstr(text, "\nusher_http_connections_accepted_total 1\n"));
    assert_non_null(strstr(text, "\nusher_http_memory_bytes 0\n"));
    free(text);
    close(client);
    http_house_close(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_more_than_may_be_is_told_so_and_closed),
        cmocka_unit_test(one_address_has_no_more_than_its_connections),
        cmocka_unit_test(a_client_over_its_rate_is_told_when_to_go_on),
        cmocka_unit_test(a_rate_begins_anew_with_its_window),
        cmocka_unit_test(whom_a_believed_proxy_names_is_the_client),
        cmocka_unit_test(bodies_beyond_the_memory_of_all_are_refused),
        cmocka_unit_test(other_origins_learn_nothing_unless_they_are_listed),
        cmocka_unit_test(a_traceparent_is_passed_on_when_it_is_one),
        cmocka_unit_test(a_request_is_logged_by_its_route_and_not_by_its_path),
        cmocka_unit_test(requests_are_counted_by_route_and_status),
    };
    return usher_test_main(argc, argv, tests);
}
