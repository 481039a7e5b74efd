/* bridge_test.c: usher-http as a program: how it starts and refuses to, what it tells those who run it, what it logs,
 * how it ends. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bridge_process.h"
#include "tests/test.h"

static struct test_server server;
static struct bridge_process bridge;
static char text[65536];

static void
start_server(void)
{
    test_server_open(&server);
    test_server_start(&server, "--quiet", NULL);
}

static void
expect(const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in: %s", part, text);
}

/* It must be refused with this code and one line. */
#define expect_refusal(code, part, ...)                                                                                \
    do {                                                                                                               \
        assert_int_equal(bridge_run(&server, 0, text, sizeof text, __VA_ARGS__, NULL), code);                          \
        expect(part);                                                                                                  \
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);                                                 \
    } while (0)

/* --- start and end -------------------------------------------------------------------------------------------------
 */
static void
what_can_not_be_done_is_refused_in_one_line(void **state)
{
    char exposed[256], taken[32];

    (void)state;
    start_server();
    expect_refusal(64, "'--colour' is not an option", "--colour");
    expect_refusal(64, "'more' is not an option", "--quiet", "more");
    expect_refusal(64, "--listen needs a value", "--listen");
    expect_refusal(64, "--body-max takes a whole number from 0 to 1073741824 (bytes), not '-1'", "--body-max", "-1");
    expect_refusal(64, "not '1073741825'", "--body-max=1073741825");
    expect_refusal(64, "not ''", "--body-max=");
    expect_refusal(64, "--cors names origins", "--cors", "*");
    expect_refusal(64, "--server-key takes the 64 hex digits", "--key", server.admin_key, "--server-key", "12");
    expect_refusal(64, "--server", "--key", server.admin_key, "--server", "nowhere");
    expect_refusal(77, "no.key", "--key", "no.key");
    expect_refusal(77, "it is not a file", "--key", "/dev/null");
    snprintf(exposed, sizeof exposed, "%s/exposed.key", server.folder);
    snprintf(text, sizeof text, "cp %s %s && chmod 644 %s", server.admin_key, exposed, exposed);
    assert_int_equal(system(text), 0);
    expect_refusal(77, exposed, "--key", exposed);
    expect_refusal(68, "'localhost:80' is not a numeric address", "--key", server.admin_key, "--listen",
                   "localhost:80");
    expect_refusal(68, "can't listen on 192.0.2.1:80", "--key", server.admin_key, "--listen", "192.0.2.1:80");
    expect_refusal(68, "--operations must be on loopback", "--key", server.admin_key, "--listen", "127.0.0.1:0",
                   "--operations", "0.0.0.0:0");
    snprintf(taken, sizeof taken, "127.0.0.1:%u", server.port);
    expect_refusal(69, "in use", "--key", server.admin_key, "--listen", taken);
    expect_refusal(70, "can't append to /nowhere/log", "--key", server.admin_key, "--access-log", "/nowhere/log");
    expect_refusal(70, "can't write /nowhere/port", "--key", server.admin_key, "--listen", "127.0.0.1:0",
                   "--operations", "off", "--port-file", "/nowhere/port");
    test_server_close(&server);
}

static void
help_and_version_are_told_and_every_option_has_its_range(void **state)
{
    (void)state;
    start_server();
    assert_int_equal(bridge_run(&server, 0, text, sizeof text, "--help", NULL), 0);
    expect("--listen HOST:PORT\n        where to serve; port 0 lets the system choose; usually 127.0.0.1:7480\n");
    expect("--head-ms N\n");
    expect("ms, 10 to 3600000, usually 10000\n");
    expect("\n  69  a port is in use\n");
    assert_int_equal(bridge_run(&server, 0, text, sizeof text, "--version", NULL), 0);
    expect("usher-http 0.");
    test_server_close(&server);
}

static void
it_takes_as_many_connections_as_the_system_grants_descriptors(void **state)
{
    (void)state;
    start_server();
    assert_int_equal(bridge_run(&server, 64, text, sizeof text, "--key", server.admin_key, NULL), 70);
    expect("the system grants 64 descriptors (ulimit -n), and at least 65 are needed");
    /* The last thing that it does not do ends it, after it has said what it found. */
    assert_int_equal(
        bridge_run(&server, 200, text, sizeof text, "--key", server.admin_key, "--listen", "192.0.2.1:1", NULL), 68);
    expect("event=descriptors granted=200 connections_max=136 wanted=4096");
    test_server_close(&server);
}

/* X7: whoever sends a signal gets an end, and the code 0. */
static void
a_signal_ends_it_with_zero_and_a_second_one_at_once(void **state)
{
    int client;

    (void)state;
    start_server();
    bridge_start(&bridge, &server, NULL);
    assert_int_equal(bridge_stop(&bridge, SIGTERM), 0);
    bridge_start(&bridge, &server, NULL);
    assert_int_equal(bridge_stop(&bridge, SIGINT), 0);
    bridge_log(&bridge, text, sizeof text);
    expect("event=drain signal=2 connections=0");
    expect("event=stopped connections_cut=0");
    /* A request that never becomes whole is in flight until its time is over, or the drain's. */
    bridge_start(&bridge, &server, "--drain-ms", "50", NULL);
    client = bridge_connect(bridge.port);
    assert_int_equal(write(client, "GET /", 5), 5);
    bridge_wait_for(bridge.operations_port, "/livez", 200);
    assert_int_equal(bridge_stop(&bridge, SIGTERM), 0);
    assert_int_equal(read(client, text, 1), 0);
    close(client);
    bridge_log(&bridge, text, sizeof text);
    expect("event=cut connections=1");
    bridge_start(&bridge, &server, "--drain-ms", "600000", NULL);
    client = bridge_connect(bridge.port);
    assert_int_equal(write(client, "GET /", 5), 5);
    bridge_wait_for(bridge.operations_port, "/livez", 200);
    assert_int_equal(kill(bridge.pid, SIGTERM), 0);
    do /* two signals at once may become one */
        bridge_log(&bridge, text, sizeof text);
    while (strstr(text, "event=drain") == NULL);
    assert_int_equal(bridge_stop(&bridge, SIGTERM), 0);
    close(client);
    test_server_close(&server);
}

/* --- what it tells
 * ---------------------------------------------------------------------------------------------------- */
static void
readiness_is_whether_a_server_can_be_reached(void **state)
{
    char port[32];

    (void)state;
    start_server();
    bridge_start(&bridge, &server, NULL);
    assert_int_equal(bridge_get(bridge.operations_port, "/livez", text, sizeof text), 200);
    bridge_wait_for(bridge.operations_port, "/readyz", 200);
    bridge_get(bridge.operations_port, "/readyz", text, sizeof text);
    snprintf(port, sizeof port, "127.0.0.1:%u\"}", server.port);
    expect("{\"status\":\"ready\",\"server\":\"");
    expect(port);
    assert_int_equal(test_server_stop(&server, SIGKILL), -SIGKILL);
    bridge_wait_for(bridge.operations_port, "/readyz", 503);
    assert_int_equal(bridge_get(bridge.operations_port, "/livez", text, sizeof text), 200);
    assert_int_equal(bridge_get(bridge.operations_port, "/metrics", text, sizeof text), 200);
    expect("\nusher_http_server_state{state=\"ready\"} 0\n");
    assert_int_equal(bridge_stop(&bridge, SIGTERM), 0);
    test_server_close(&server);
}

static void
the_next_server_of_the_list_takes_over(void **state)
{
    struct test_server other;
    char servers[64];

    (void)state;
    start_server();
    test_server_open_beside(&other, &server, 1);
    test_server_start(&other, "--join", "--quiet", NULL);
    snprintf(servers, sizeof servers, "127.0.0.1:%u,127.0.0.1:%u", server.port, other.port);
    bridge_start(&bridge, &server, "--server", servers, NULL);
    bridge_wait_for(bridge.operations_port, "/readyz", 200);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    snprintf(servers, sizeof servers, "\"server\":\"127.0.0.1:%u\"", other.port);
    do
        bridge_get(bridge.operations_port, "/readyz", text, sizeof text);
    while (strstr(text, servers) == NULL);
    assert_int_equal(bridge_stop(&bridge, SIGTERM), 0);
    test_server_close(&other);
    test_server_close(&server);
}

static void
metrics_are_counted_and_stay_on_their_own_listener(void **state)
{
    (void)state;
    start_server();
    bridge_start(&bridge, &server, NULL);
    bridge_wait_for(bridge.operations_port, "/readyz", 200);
    assert_int_equal(bridge_get(bridge.port, "/metrics", text, sizeof text), 404);
    assert_int_equal(bridge_get(bridge.port, "/livez", text, sizeof text), 404);
    assert_int_equal(bridge_get(bridge.operations_port, "/metrics", text, sizeof text), 200);
    expect("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    expect("\nusher_http_requests_total{route=\"\",method=\"\",status=\"404\"} 2\n");
    expect("\nusher_http_server_state{state=\"ready\"} 1\n");
    expect("\nusher_http_streams 0\n");
    assert_int_equal(bridge_stop(&bridge, SIGTERM), 0);
    test_server_close(&server);
}

/* X8: what people send is not in the log. */
static void
requests_are_logged_without_what_people_send(void **state)
{
    char log[256], moved[256];
    FILE *file;

    (void)state;
    start_server();
    snprintf(log, sizeof log, "%s/access", server.folder);
    snprintf(moved, sizeof moved, "%s/access.1", server.folder);
    bridge_start(&bridge, &server, "--access-log", log, "--quiet", NULL);
    bridge_get(bridge.port, "/secret/path?token=secret", text, sizeof text);
    assert_int_equal(rename(log, moved), 0);
    assert_int_equal(kill(bridge.pid, SIGHUP), 0);
    do
        bridge_get(bridge.operations_port, "/livez", text, sizeof text);
    while (access(log, F_OK) != 0);
    bridge_get(bridge.operations_port, "/livez", text, sizeof text);
    assert_int_equal(bridge_stop(&bridge, SIGTERM), 0);
    file = fopen(moved, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    expect("level=info event=request method=GET route=- status=404 in=");
    assert_null(strstr(text, "secret"));
    assert_null(strstr(text, "127.0.0.1"));
    file = fopen(log, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    expect("route=/livez status=200");
    test_server_close(&server);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_not_be_done_is_refused_in_one_line),
        cmocka_unit_test(help_and_version_are_told_and_every_option_has_its_range),
        cmocka_unit_test(it_takes_as_many_connections_as_the_system_grants_descriptors),
        cmocka_unit_test(a_signal_ends_it_with_zero_and_a_second_one_at_once),
        cmocka_unit_test(readiness_is_whether_a_server_can_be_reached),
        cmocka_unit_test(the_next_server_of_the_list_takes_over),
        cmocka_unit_test(metrics_are_counted_and_stay_on_their_own_listener),
        cmocka_unit_test(requests_are_logged_without_what_people_send),
    };
    return usher_test_main(argc, argv, tests);
}
