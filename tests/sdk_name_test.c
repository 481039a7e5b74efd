/* sdk_name_test.c: host names that can't be resolved. The one used here is none: an empty part stands in it, so the
 * resolver says no without asking anybody. */
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#include "tests/desk.h"

#define NO_NAME "nobody..invalid:7411"
#define REASON  "Name or service not known"

/* A blocking client says which name and why, and that nothing was sent. */
static void
a_name_that_cannot_be_resolved_means_not_sent(void **state)
{
    usher_options options = {.server = NO_NAME, .timeout_ms = 30000, .fail_fast = 1};
    const usher_ping_request ping = {.echo = 1};
    usher_ping_reply pong;
    usher_secret secret;
    usher_client *client;

    (void)state;
    usher_key_make(&secret);
    options.secret = &secret;
    assert_int_equal(usher_client_open(&options, &client), USHER_STATUS_NOT_SENT);
    assert_non_null(strstr(usher_client_error(client), NO_NAME));
    assert_non_null(strstr(usher_client_error(client), REASON));
    usher_client_close(client);

    options.connect_later = 1; /* then the first call says so */
    assert_int_equal(usher_client_open(&options, &client), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_ping(client, &ping, &pong), USHER_STATUS_NOT_SENT);
    assert_non_null(strstr(usher_client_error(client), REASON));
    usher_client_close(client);
}

/* Another address of the list takes over, for blocking and asynchronous clients alike. */
static void
an_address_behind_such_a_name_takes_over(void **state)
{
    struct desk *desk = desk_make(NULL);
    const usher_ping_request ping = {.echo = 7};
    usher_ping_reply pong;
    usher_client *client;
    char list[128];

    (void)state;
    snprintf(list, sizeof list, NO_NAME ",%s", usher_fake_address(desk->fake));
    desk->options.common.server = list;
    assert_int_equal(usher_client_open(&desk->options.common, &client), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_ping(client, &ping, &pong), USHER_STATUS_ANSWERED);
    assert_int_equal(pong.echo, 7);
    usher_client_close(client);

    desk_open(desk);
    assert_int_equal(desk_await(desk, desk_ping(desk, 8, 30000))->status, USHER_STATUS_ANSWERED);
    assert_string_equal(desk->address, usher_fake_address(desk->fake));
    desk_end(desk);
}

/* An asynchronous handle opens all the same and counts the name as an address where nobody answers: it says so, tries
 * again, and a call ends at its deadline as not sent. Looking the name up again finds no more. */
static void
a_handle_counts_such_a_name_as_an_address_where_nobody_answers(void **state)
{
    struct desk *desk = desk_make(NULL);
    const struct desk_call *call;

    (void)state;
    desk->options.common.server = NO_NAME;
    desk_open(desk);
    unsigned ping = desk_ping(desk, 1, 200);
    desk_until_state(desk, USHER_STATE_LOST, 2);
    usher_async_resolve(desk->async);
    call = desk_await(desk, ping);
    assert_int_equal(call->status, USHER_STATUS_NOT_SENT);
    assert_int_equal(call->outcome, USHER_OUTCOME_NOT_SENT);
    assert_non_null(strstr(call->error, REASON));
    assert_int_equal(desk->state[desk->state_count - 1].reason, USHER_STATUS_NOT_SENT);
    desk_end(desk);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_that_cannot_be_resolved_means_not_sent),
        cmocka_unit_test(an_address_behind_such_a_name_takes_over),
        cmocka_unit_test(a_handle_counts_such_a_name_as_an_address_where_nobody_answers),
    };

    return usher_test_main(argc, argv, tests);
}
