/* sdk_test.c: the public interface of libusher against a server in the same process that misbehaves on request. */
#include "test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client-sdk/fake/include/usher_fake.h"
#include "client-sdk/include/usher.h"

/* A client with its server. */
struct shop {
    usher_fake *fake;
    usher_secret secret;
    usher_key client_key; /* its public half: the only key that is let in */
    usher_options options;
    usher_client *client;
};

static struct shop *
shop_make(void)
{
    struct shop *shop = calloc(1, sizeof *shop);
    usher_fake_options house = {.client_name = "shop", .client_id = 7};

    assert_non_null(shop);
    usher_key_make(&shop->secret);
    usher_key_public(&shop->secret, &shop->client_key);
    house.client_key = &shop->client_key;
    shop->fake = usher_fake_start(&house, NULL, 0);
    assert_non_null(shop->fake);
    shop->options.server = usher_fake_address(shop->fake);
    shop->options.secret = &shop->secret;
    shop->options.timeout_ms = 20000; /* a bound for slow machines; no test waits for it */
    return shop;
}

static struct shop *
shop_open(void)
{
    struct shop *shop = shop_make();

    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_ANSWERED);
    return shop;
}

static void
shop_close(struct shop *shop)
{
    usher_client_close(shop->client);
    usher_fake_stop(shop->fake);
    free(shop);
}

/* What happens to the next request that nothing is planned for yet. */
static void
shop_fault(struct shop *shop, const char *actions)
{
    char line[96], why[160];

    snprintf(line, sizeof line, "any*1: %s", actions);
    if (usher_fake_script(shop->fake, line, why, sizeof why) == 0)
        fail_msg("%s: %s", line, why);
}

static usher_fake_figures
shop_look(struct shop *shop)
{
    usher_fake_figures figures;

    usher_fake_look(shop->fake, &figures);
    return figures;
}

static usher_status
shop_charge(struct shop *shop, int64_t amount, usher_charge_reply *reply)
{
    usher_charge_request request = {.user = {{1}}, .amount = amount};

    memset(reply, 0, sizeof *reply);
    return usher_charge(shop->client, &request, reply);
}

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- calls and their answers -------------------------------------------------------------------------- */
/* F4: a client says who it is, and a call brings its reply, stamp and request id. */
static void
a_call_brings_its_reply(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_reply reply;

    (void)state;
    assert_int_equal(usher_client_role(shop->client), USHER_ROLE_GATEWAY);
    assert_int_equal(usher_client_number(shop->client), 7);
    assert_string_equal(usher_client_name(shop->client), "shop");
    assert_string_equal(usher_client_address(shop->client), usher_fake_address(shop->fake));
    assert_memory_equal(usher_client_server_key(shop->client), usher_fake_key(shop->fake), sizeof(usher_key));
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(reply.balance, 100);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_OK);
    assert_int_equal(usher_client_answer(shop->client)->stamp_ms, 1700000000000);
    assert_int_equal(usher_client_answer(shop->client)->attempts, 1);
    assert_int_equal(usher_fake_applied(shop->fake, &usher_client_answer(shop->client)->request_id), 1);
    assert_string_equal(usher_client_error(shop->client), "");
    shop_close(shop);
}

/* M3: the caller's own request id is used as it is; status and result are two things, and a refusal leaves the reply
 * alone. */
static void
a_refusal_is_an_answer_and_leaves_the_reply_alone(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_request request = {.user = {{1}}, .amount = -5, .request_id = {{9, 9, 9}}};
    usher_charge_reply reply = {.balance = 4711};

    (void)state;
    assert_int_equal(usher_charge(shop->client, &request, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_AMOUNT_INVALID);
    assert_int_equal(usher_client_answer(shop->client)->retryable, 0);
    assert_memory_equal(&usher_client_answer(shop->client)->request_id, &request.request_id, sizeof(usher_id));
    assert_non_null(strstr(usher_client_error(shop->client), "AMOUNT_INVALID: "));
    assert_int_equal(reply.balance, 4711);
    shop_close(shop);
}

/* M3, X3: the reply is lost after the charge was carried out; the SDK asks again under the same id: done once. */
static void
a_lost_reply_is_asked_for_again_and_the_charge_is_made_once(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_reply reply;

    (void)state;
    shop_fault(shop, "apply, cut");
    shop_fault(shop, "apply, cut");
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(reply.balance, 100);
    assert_int_equal(usher_client_answer(shop->client)->replayed, 1);
    assert_int_equal(usher_client_answer(shop->client)->attempts, 3);
    assert_int_equal(shop_look(shop).applied, 1);
    assert_int_equal(shop_look(shop).requests, 3);
    assert_int_equal(shop_look(shop).connections, 3);
    shop_close(shop);
}

/* M3: the request is lost before it was carried out; the same in the caller's eyes. */
static void
a_lost_request_is_sent_again(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_reply reply;

    (void)state;
    shop_fault(shop, "cut");
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(shop->client)->replayed, 0);
    assert_int_equal(shop_look(shop).applied, 1);
    shop_close(shop);
}

/* M3: an answer whose bytes were changed on the way, or that belongs to nothing, is not believed but asked for again.
 */
static void
an_answer_that_cannot_be_trusted_is_asked_for_again(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_reply reply;

    (void)state;
    shop_fault(shop, "garble");
    shop_fault(shop, "renumber");
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(reply.balance, 100);
    assert_int_equal(shop_look(shop).applied, 1);
    assert_int_equal(usher_client_answer(shop->client)->attempts, 3);
    shop_close(shop);
}

/* X3: sent, and no answer until the deadline: maybe applied; the named id tells the truth afterwards. */
static void
a_deadline_after_sending_says_maybe_and_the_id_tells_the_truth(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_request request = {.user = {{1}}, .amount = 100};
    usher_charge_reply reply = {.balance = 4711};
    uint64_t began_ms = now_ms();

    (void)state;
    shop_fault(shop, "lose reply");
    usher_client_set_next_timeout(shop->client, 150);
    assert_int_equal(usher_charge(shop->client, &request, &reply), USHER_STATUS_MAYBE_APPLIED);
    assert_true(now_ms() - began_ms >= 150);
    assert_int_equal(reply.balance, 4711);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_RESULT_NONE);
    assert_int_equal(usher_fake_wait(shop->fake, 1, 20000), 1);
    assert_true(shop_look(shop).last_budget_ms > 0 && shop_look(shop).last_budget_ms <= 150);
    request.request_id = usher_client_answer(shop->client)->request_id;
    assert_int_equal(usher_id_is_zero(&request.request_id), 0);

    assert_int_equal(usher_charge(shop->client, &request, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(shop->client)->replayed, 1);
    assert_int_equal(reply.balance, 100);
    assert_int_equal(shop_look(shop).applied, 1);
    assert_true(shop_look(shop).last_budget_ms > 150); /* the short timeout was for one call */
    shop_close(shop);
}

/* F4: a query that got no answer is not "maybe applied": it changes nothing. */
static void
a_query_without_an_answer_says_so(void **state)
{
    struct shop *shop = shop_open();
    usher_concerts_request request = {.after_concert_id = 0};
    usher_concerts_reply reply;

    (void)state;
    shop_fault(shop, "lose reply");
    usher_client_set_next_timeout(shop->client, 100);
    assert_int_equal(usher_concerts(shop->client, &request, &reply), USHER_STATUS_NO_ANSWER);
    assert_int_equal(usher_concerts(shop->client, &request, &reply), USHER_STATUS_ANSWERED);
    shop_close(shop);
}

/* F4: nobody listens: not sent, at once with fail_fast, else when the deadline has passed. */
static void
a_server_that_is_not_there_means_not_sent(void **state)
{
    struct shop *shop = shop_make();
    char address[32];
    uint64_t began_ms;

    (void)state;
    strcpy(address, usher_fake_address(shop->fake));
    usher_fake_stop(shop->fake);
    shop->options.server = address;
    shop->options.fail_fast = 1;
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_NOT_SENT);
    assert_non_null(strstr(usher_client_error(shop->client), address));
    assert_non_null(strstr(usher_client_error(shop->client), "Connection refused"));
    usher_client_close(shop->client);

    shop->options.fail_fast = 0;
    shop->options.timeout_ms = 120;
    began_ms = now_ms();
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_NOT_SENT);
    assert_true(now_ms() - began_ms >= 100);
    usher_client_close(shop->client);
    free(shop);
}

/* X3, F4: the server goes away for good after the request was sent: maybe applied, not "not sent". */
static void
a_server_that_dies_after_sending_means_maybe(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_reply reply;

    (void)state;
    for (unsigned i = 0; i < 16; i++)
        shop_fault(shop, "apply, cut");
    usher_client_set_timeout(shop->client, 60);
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_MAYBE_APPLIED);
    assert_int_equal(shop_look(shop).applied, 1);
    shop_close(shop);
}

/* F4: BUSY is the caller's to see, with its retry_after_ms, unless it asked for patience. */
static void
a_later_answer_is_returned_or_retried_as_the_options_say(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_reply reply;

    (void)state;
    shop_fault(shop, "refuse BUSY 20");
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_BUSY);
    assert_int_equal(usher_client_answer(shop->client)->retryable, 1);
    assert_int_equal(usher_client_answer(shop->client)->refusal.retry_after_ms, 20);
    assert_int_equal(shop_look(shop).applied, 0);
    usher_client_close(shop->client);

    shop->options.retry_later = 1;
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_ANSWERED);
    shop_fault(shop, "refuse BUSY 20");
    shop_fault(shop, "refuse GOING_AWAY, cut");
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_OK);
    assert_int_equal(shop_look(shop).applied, 1);
    shop_close(shop);
}

/* X7: a server that is going away answers so and closes; the next call finds another connection by itself. */
static void
after_going_away_the_next_call_connects_again(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_reply reply;

    (void)state;
    shop_fault(shop, "refuse GOING_AWAY, cut");
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_GOING_AWAY);
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_OK);
    assert_int_equal(shop_look(shop).connections, 2);
    shop_close(shop);
}

/* Two servers that know the same client; the client is connected to the first. */
static void
open_two(struct shop **shop, struct shop **other, char both[80])
{
    *shop = shop_make();
    *other = shop_make();
    snprintf(both, 80, "%s,%s", usher_fake_address((*shop)->fake), usher_fake_address((*other)->fake));
    usher_fake_set_client_key((*other)->fake, &(*shop)->client_key);
    (*shop)->options.server = both;
    (*shop)->options.retry_later = 1;
    assert_int_equal(usher_client_open(&(*shop)->options, &(*shop)->client), USHER_STATUS_ANSWERED);
}

static void
close_two(struct shop *shop, struct shop *other)
{
    shop_close(other);
    shop_close(shop);
}

/* X7: a push of GOING_AWAY before the reply or right behind it: the reply counts, the connection is left though the
 * server keeps it open, and the next call goes to the next address. */
static void
after_the_push_the_next_call_goes_to_the_next_address(void **state)
{
    static const char *const faults[] = {"push going_away", "reply, push going_away"};
    struct shop *shop, *other;
    usher_charge_reply reply;
    char both[80];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open_two(&shop, &other, both);
        shop_fault(shop, faults[i]);
        assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
        assert_int_equal(usher_client_answer(shop->client)->result, USHER_OK);
        assert_int_equal(reply.balance, 100);
        assert_string_equal(usher_client_address(shop->client), usher_fake_address(shop->fake));
        assert_int_equal(shop_charge(shop, 7, &reply), USHER_STATUS_ANSWERED);
        assert_int_equal(reply.balance, 7);
        assert_int_equal(usher_client_answer(shop->client)->attempts, 1);
        assert_string_equal(usher_client_address(shop->client), usher_fake_address(other->fake));
        assert_int_equal(shop_look(shop).applied, 1);
        assert_int_equal(shop_look(shop).requests, 1);
        close_two(shop, other);
    }
}

/* X7, M3: a request that is answered GOING_AWAY was not carried out: it goes to the next address under its own id. */
static void
a_request_that_met_a_stop_is_carried_out_elsewhere(void **state)
{
    struct shop *shop, *other;
    usher_charge_reply reply;
    char both[80];

    (void)state;
    open_two(&shop, &other, both);
    shop_fault(shop, "refuse GOING_AWAY, cut");
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_OK);
    assert_int_equal(usher_client_answer(shop->client)->attempts, 2);
    assert_string_equal(usher_client_address(shop->client), usher_fake_address(other->fake));
    assert_int_equal(shop_look(shop).applied, 0);
    assert_int_equal(shop_look(other).applied, 1);
    assert_int_equal(usher_fake_applied(other->fake, &usher_client_answer(shop->client)->request_id), 1);
    close_two(shop, other);
}

/* F1: a push that this version does not know is passed over. */
static void
an_unknown_push_is_passed_over(void **state)
{
    struct shop *shop = shop_open();
    usher_charge_reply reply;

    (void)state;
    shop_fault(shop, "push unknown");
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(shop_charge(shop, 50, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(reply.balance, 150);
    assert_int_equal(shop_look(shop).connections, 1);
    shop_close(shop);
}

/* F4: several addresses are tried in turn; a dead first one costs nothing but its try. */
static void
another_address_takes_over_from_a_dead_one(void **state)
{
    struct shop *shop = shop_make();
    struct shop *gone = shop_make();
    char both[80];

    (void)state;
    snprintf(both, sizeof both, "%s,%s", usher_fake_address(gone->fake), usher_fake_address(shop->fake));
    usher_fake_stop(gone->fake);
    free(gone);
    shop->options.server = both;
    shop->options.fail_fast = 1;
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_ANSWERED);
    assert_string_equal(usher_client_address(shop->client), usher_fake_address(shop->fake));
    shop_close(shop);
}

/* X7: a connection that was closed between two calls is noticed before the request is sent into it. */
static void
a_connection_that_was_closed_meanwhile_gets_no_request(void **state)
{
    struct shop *shop = shop_make();
    struct shop *other = shop_make();
    usher_charge_reply reply;
    char both[80];

    (void)state;
    snprintf(both, sizeof both, "%s,%s", usher_fake_address(shop->fake), usher_fake_address(other->fake));
    usher_fake_set_client_key(other->fake, &shop->client_key);
    shop->options.server = both;
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_ANSWERED);
    assert_int_equal(shop_charge(shop, 100, &reply), USHER_STATUS_ANSWERED);
    usher_fake_stop(shop->fake);
    assert_int_equal(shop_charge(shop, 50, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(reply.balance, 50);
    assert_int_equal(usher_client_answer(shop->client)->attempts, 1);
    usher_client_close(shop->client);
    free(shop);
    shop_close(other);
}

/* --- the handshake ------------------------------------------------------------------------------------ */
/* F5: a key that is not enrolled is turned away, at once and with the server's reason. */
static void
a_client_that_is_not_enrolled_is_turned_away(void **state)
{
    struct shop *shop = shop_make();

    (void)state;
    shop->client_key.bytes[0] ^= 1;
    usher_fake_set_client_key(shop->fake, &shop->client_key);
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_HELLO_REFUSED);
    assert_int_equal(usher_client_answer(shop->client)->result, USHER_CLIENT_UNKNOWN);
    assert_non_null(strstr(usher_client_error(shop->client), "CLIENT_UNKNOWN"));
    assert_int_equal(shop_look(shop).connections, 1);
    shop_close(shop);
}

/* F2: the pinned key is the only one that is accepted. */
static void
a_server_with_another_key_than_the_pinned_one_is_not_trusted(void **state)
{
    struct shop *shop = shop_make();
    usher_key pin = *usher_fake_key(shop->fake);

    (void)state;
    shop->options.server_key = &pin;
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_ANSWERED);
    usher_client_close(shop->client);
    pin.bytes[0] ^= 1;
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_UNTRUSTED);
    shop_close(shop);
}

static void *
answer_with_nonsense(void *argument)
{
    static const char nonsense[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    int connection = accept(*(int *)argument, NULL, NULL);

    if (send(connection, nonsense, sizeof nonsense - 1, MSG_NOSIGNAL) < 0)
        abort();
    close(connection);
    return NULL;
}

/* F1: something else listens on the port: it is called what it is, and not tried again. */
static void
a_server_that_speaks_something_else_is_named(void **state)
{
    struct shop *shop = shop_make();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    pthread_t thread;
    char text[32];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_with_nonsense, &listener), 0);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
    shop->options.server = text;
    assert_int_equal(usher_client_open(&shop->options, &shop->client), USHER_STATUS_WRONG_SERVER);
    assert_non_null(strstr(usher_client_error(shop->client), text));
    pthread_join(thread, NULL);
    close(listener);
    shop_close(shop);
}

/* F5: a one-time code makes a new key a client; when the welcome is lost, the retry finds the enrolment, and if it is
 * told that the code is used up, the key that used it is let in. */
static void
a_code_enrols_a_new_key_even_when_the_welcome_is_lost(void **state)
{
    static const char *const scripts[] = {"enrol#2: apply, cut", "enrol#2: apply, cut; enrol#3: refuse CODE_UNKNOWN"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct shop *shop = shop_make();
        usher_key code, wrong, code_hash;
        usher_charge_reply reply;

        usher_code_make(&code, &code_hash);
        usher_fake_invite(shop->fake, &code_hash);
        assert_int_equal(usher_fake_script(shop->fake, scripts[i], NULL, 0), 1);
        wrong = code;
        wrong.bytes[7] ^= 1;
        usher_key_make(&shop->secret);
        assert_int_equal(usher_client_enrol(&shop->options, &wrong, &shop->client), USHER_STATUS_HELLO_REFUSED);
        assert_int_equal(usher_client_answer(shop->client)->result, USHER_CODE_UNKNOWN);
        usher_client_close(shop->client);

        assert_int_equal(usher_client_enrol(&shop->options, &code, &shop->client), USHER_STATUS_ANSWERED);
        assert_int_equal(usher_client_number(shop->client), 7);
        assert_int_equal(usher_fake_struck(shop->fake, NULL), i + 1);
        shop_fault(shop, "cut"); /* the next connection is an ordinary one */
        assert_int_equal(shop_charge(shop, 1, &reply), USHER_STATUS_ANSWERED);
        assert_int_equal(reply.balance, 1);
        usher_client_close(shop->client);
        usher_key_make(&shop->secret); /* the code has gone to the other key */
        assert_int_equal(usher_client_enrol(&shop->options, &code, &shop->client), USHER_STATUS_HELLO_REFUSED);
        shop_close(shop);
    }
}

/* --- arguments ---------------------------------------------------------------------------------------- */
/* F4: an argument that can't be right is refused before anything is sent, and the text names the field. */
static void
a_bad_argument_is_named_and_nothing_is_sent(void **state)
{
    struct shop *shop = shop_open();
    usher_put_queue_request queue;
    usher_put_queue_reply queue_reply;
    usher_set_mode_request mode = {.mode = 77};
    usher_set_mode_reply mode_reply;
    usher_reserve_request reserve = {.seat_count = 17};
    usher_reserve_reply reserve_reply;
    usher_put_plan_request plan = {.section_count = 1};
    usher_put_plan_reply plan_reply;

    (void)state;
    memset(&queue, 'x', sizeof queue);
    assert_int_equal(usher_put_queue(shop->client, &queue, &queue_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(usher_client_error(shop->client), "put_queue_request.name"));
    strcpy(queue.name, "\xff\xfe");
    assert_int_equal(usher_put_queue(shop->client, &queue, &queue_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_set_mode(shop->client, &mode, &mode_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(usher_client_error(shop->client), "set_mode_request.mode"));
    assert_int_equal(usher_reserve(shop->client, &reserve, &reserve_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(usher_client_error(shop->client), "reserve_request.seat"));
    memset(plan.section[0].name, 'x', sizeof plan.section[0].name);
    assert_int_equal(usher_put_plan(shop->client, &plan, &plan_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(usher_client_error(shop->client), "put_plan_request.section"));
    assert_int_equal(usher_reserve(shop->client, NULL, &reserve_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_reserve(shop->client, &reserve, NULL), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_reserve(NULL, &reserve, &reserve_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_call(shop->client, USHER_OPCODE_HELLO, &queue, &queue_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_call(shop->client, USHER_OPCODE_ENROL, &queue, &queue_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_call(shop->client, USHER_OPCODE_TOUCH, &queue, &queue_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_call(shop->client, 0x7777, &queue, &queue_reply), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(shop_look(shop).requests, 0);
    shop_close(shop);
}

/* F4: options that can't be right are refused; the handle is there to say why. */
static void
bad_options_are_named(void **state)
{
    static const char *const servers[] = {"",      "localhost", "localhost:", ":7411", "a:0",       "a:65536",
                                          "a:12x", "::1:7411",  "a:1,",       ",a:1",  "[::1]7411", "a:1,,b:2"};
    usher_secret secret;
    usher_options options = {.secret = NULL};
    usher_client *client;

    (void)state;
    usher_key_make(&secret);
    assert_int_equal(usher_client_open(NULL, &client), USHER_STATUS_BAD_ARGUMENT);
    usher_client_close(client);
    assert_int_equal(usher_client_open(&options, &client), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(usher_client_error(client), "key_file"));
    usher_client_close(client);
    options.secret = &secret;
    options.connect_later = 1;
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        options.server = servers[i];
        assert_int_equal(usher_client_open(&options, &client), USHER_STATUS_BAD_ARGUMENT);
        assert_non_null(strstr(usher_client_error(client), "options.server"));
        usher_client_close(client);
    }
    options.server = NULL;
    options.reserved[5] = 1;
    assert_int_equal(usher_client_open(&options, &client), USHER_STATUS_BAD_ARGUMENT);
    usher_client_close(client);
    options.reserved[5] = 0;
    options.server = "[::1]:7411";
    assert_int_equal(usher_client_open(&options, &client), USHER_STATUS_ANSWERED);
    usher_client_close(client);
    usher_client_close(NULL);
    assert_non_null(strstr(usher_client_error(NULL), "memory"));
}

static void *
call_into_silence(void *argument)
{
    usher_charge_reply reply;

    shop_charge(argument, 1, &reply);
    return NULL;
}

/* F4: two threads in one client at once are a bug that ends the program, not a mystery. */
static void
two_calls_at_once_on_one_client_end_the_program(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        struct shop *shop = shop_open();
        usher_charge_reply reply;
        pthread_t thread;

        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* this end is no reason for a core file */
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        shop_fault(shop, "lose reply");
        pthread_create(&thread, NULL, call_into_silence, shop);
        if (!usher_fake_wait(shop->fake, 1, 30000))
            _exit(2);
        shop_charge(shop, 1, &reply);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_brings_its_reply),
        cmocka_unit_test(a_refusal_is_an_answer_and_leaves_the_reply_alone),
        cmocka_unit_test(a_lost_reply_is_asked_for_again_and_the_charge_is_made_once),
        cmocka_unit_test(a_lost_request_is_sent_again),
        cmocka_unit_test(an_answer_that_cannot_be_trusted_is_asked_for_again),
        cmocka_unit_test(a_deadline_after_sending_says_maybe_and_the_id_tells_the_truth),
        cmocka_unit_test(a_query_without_an_answer_says_so),
        cmocka_unit_test(a_server_that_is_not_there_means_not_sent),
        cmocka_unit_test(a_server_that_dies_after_sending_means_maybe),
        cmocka_unit_test(a_later_answer_is_returned_or_retried_as_the_options_say),
        cmocka_unit_test(after_going_away_the_next_call_connects_again),
        cmocka_unit_test(after_the_push_the_next_call_goes_to_the_next_address),
        cmocka_unit_test(a_request_that_met_a_stop_is_carried_out_elsewhere),
        cmocka_unit_test(an_unknown_push_is_passed_over),
        cmocka_unit_test(another_address_takes_over_from_a_dead_one),
        cmocka_unit_test(a_connection_that_was_closed_meanwhile_gets_no_request),
        cmocka_unit_test(a_client_that_is_not_enrolled_is_turned_away),
        cmocka_unit_test(a_server_with_another_key_than_the_pinned_one_is_not_trusted),
        cmocka_unit_test(a_server_that_speaks_something_else_is_named),
        cmocka_unit_test(a_code_enrols_a_new_key_even_when_the_welcome_is_lost),
        cmocka_unit_test(a_bad_argument_is_named_and_nothing_is_sent),
        cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(two_calls_at_once_on_one_client_end_the_program),
    };

    return usher_test_main(argc, argv, tests);
}
