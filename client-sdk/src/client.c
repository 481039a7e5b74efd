/* client.c: a client's life: options in, handle out, accessors, end. */
#include <assert.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client-sdk/src/client.h"

#define CLIENT_SERVER      "127.0.0.1:7411"
#define CLIENT_TIMEOUT_MS  5000
#define CLIENT_RETRY_LEAST 50
#define CLIENT_RETRY_MOST  5000
#define CLIENT_NO_MEMORY   "there is not enough memory for a client"

void
usher_client_fail(struct usher_client *client, usher_status failure, const char *format, ...)
{
    va_list arguments;

    client->failure = failure;
    va_start(arguments, format);
    vsnprintf(client->error, sizeof client->error, format, arguments);
    va_end(arguments);
}

/* --- options ------------------------------------------------------------------------------------------ */
static bool
all_zero(const void *bytes, size_t size)
{
    return sodium_is_zero(bytes, size) != 0;
}

static bool
take_addresses(struct usher_client *client, const char *server)
{
    const char *rest = server != NULL ? server : CLIENT_SERVER;

    while (rest != NULL) {
        const char *comma = strchr(rest, ',');
        size_t size = comma != NULL ? (size_t)(comma - rest) : strlen(rest);

        if (client->address_count == USHER_CLIENT_ADDRESSES_MOST) {
            usher_client_fail(client, USHER_STATUS_BAD_ARGUMENT, "options.server: more than %d addresses",
                              USHER_CLIENT_ADDRESSES_MOST);
            return false;
        }
        if (!usher_net_address(rest, size, &client->address[client->address_count])) {
            usher_client_fail(client, USHER_STATUS_BAD_ARGUMENT, "options.server: \"%.*s\" is not host:port",
                              (int)(size < 256 ? size : 256), rest);
            return false;
        }
        client->address_count++;
        rest = comma != NULL ? comma + 1 : NULL;
    }
    return true;
}

static bool
take_key(struct usher_client *client, const usher_options *options)
{
    char why[USHER_CLIENT_ERROR_SIZE];
    usher_status status;

    if ((options->key_file != NULL) == (options->secret != NULL)) {
        usher_client_fail(client, USHER_STATUS_BAD_ARGUMENT, "options: one of key_file and secret must be set");
        return false;
    }
    if (options->secret != NULL) {
        client->secret = *options->secret;
        return true;
    }
    status = usher_key_load(options->key_file, &client->secret, why, sizeof why);
    if (status != USHER_STATUS_ANSWERED)
        usher_client_fail(client, status, "%s", why);
    return status == USHER_STATUS_ANSWERED;
}

static uint32_t
number_or(uint32_t value, uint32_t usual)
{
    return value != 0 ? value : usual;
}

static bool
take_options(struct usher_client *client, const usher_options *options)
{
    if (!all_zero(options->unused, sizeof options->unused) || !all_zero(options->reserved, sizeof options->reserved)) {
        usher_client_fail(client, USHER_STATUS_BAD_ARGUMENT, "options: unused and reserved must be zero");
        return false;
    }
    client->timeout_ms = number_or(options->timeout_ms, CLIENT_TIMEOUT_MS);
    client->retry_ms_least = number_or(options->retry_ms_least, CLIENT_RETRY_LEAST);
    client->retry_ms_most = number_or(options->retry_ms_most, CLIENT_RETRY_MOST);
    if (client->retry_ms_most < client->retry_ms_least)
        client->retry_ms_most = client->retry_ms_least;
    client->fail_fast = options->fail_fast != 0;
    client->retry_later = options->retry_later != 0;
    client->has_pin = options->server_key != NULL;
    if (client->has_pin)
        client->pin = *options->server_key;
    if (!take_key(client, options))
        return false;
    return take_addresses(client, options->server);
}

/* --- opening ------------------------------------------------------------------------------------------ */
/* The size of the largest request's or reply's struct. */
static size_t
largest_body(void)
{
    size_t count, most = usher_refusal_layout()->struct_size;
    const usher_message *messages = usher_messages(&count);

    for (size_t i = 0; i < count; i++) {
        if (messages[i].request->struct_size > most)
            most = messages[i].request->struct_size;
        if (messages[i].reply->struct_size > most)
            most = messages[i].reply->struct_size;
    }
    return most;
}

static struct usher_client *
client_make(void)
{
    struct usher_client *client = calloc(1, sizeof *client);
    size_t most = largest_body();

    if (client == NULL)
        return NULL;
    atomic_flag_clear(&client->busy);
    client->socket = -1;
    client->answer.result = USHER_RESULT_NONE;
    client->input = malloc(USHER_FRAME_MAX);
    client->output = malloc(USHER_FRAME_MAX);
    client->wire = malloc(USHER_FRAME_MAX);
    client->request = calloc(1, most);
    client->checked = calloc(1, most);
    client->reply = calloc(1, most);
    if (client->input != NULL && client->output != NULL && client->wire != NULL && client->request != NULL &&
        client->checked != NULL && client->reply != NULL)
        return client;
    usher_client_close(client);
    return NULL;
}

/* Make a client and, unless it may wait, connect it. */
static usher_status
client_start(const usher_options *options, const usher_key *code, usher_client **opened)
{
    struct usher_client *client = NULL;
    usher_status status;

    if (opened == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    if (sodium_init() >= 0)
        client = client_make();
    *opened = client;
    if (client == NULL)
        return USHER_STATUS_NO_MEMORY;
    if (options == NULL) {
        usher_client_fail(client, USHER_STATUS_BAD_ARGUMENT, "the options are NULL");
        return client->failure;
    }
    if (!take_options(client, options)) {
        client->address_count = 0; /* the mark of a client that is good for nothing */
        return client->failure;
    }
    if (code != NULL) {
        client->code = *code;
        client->enrols = true;
        usher_new_id(&client->enrol_id);
    }
    if (options->connect_later)
        return USHER_STATUS_ANSWERED;
    status = usher_client_run(client, NULL, client->timeout_ms);
    sodium_memzero(&client->code, sizeof client->code);
    if (status == USHER_STATUS_ANSWERED)
        client->answer.result = USHER_OK;
    else
        client->address_count = 0;
    return status;
}

usher_status
usher_client_open(const usher_options *options, usher_client **client)
{
    return client_start(options, NULL, client);
}

usher_status
usher_client_enrol(const usher_options *options, const usher_key *code, usher_client **client)
{
    usher_options at_once;

    if (options == NULL || code == NULL || options->connect_later) {
        usher_status status = client_start(NULL, NULL, client);
        if (status == USHER_STATUS_BAD_ARGUMENT && client != NULL)
            usher_client_fail(*client, status, "enrolling needs options without connect_later, and a code");
        return status;
    }
    at_once = *options;
    return client_start(&at_once, code, client);
}

void
usher_client_close(usher_client *client)
{
    if (client == NULL)
        return;
    usher_link_close(client);
    usher_secret_wipe(&client->secret);
    sodium_memzero(&client->code, sizeof client->code);
    free(client->input);
    free(client->output);
    free(client->wire);
    free(client->request);
    free(client->checked);
    free(client->reply);
    free(client);
}

/* --- accessors ---------------------------------------------------------------------------------------- */
const char *
usher_client_error(const usher_client *client)
{
    return client != NULL ? client->error : CLIENT_NO_MEMORY;
}

const usher_answer *
usher_client_answer(const usher_client *client)
{
    static const usher_answer none = {.result = USHER_RESULT_NONE};

    return client != NULL ? &client->answer : &none;
}

usher_role
usher_client_role(const usher_client *client)
{
    return (usher_role)client->self.role;
}

uint32_t
usher_client_number(const usher_client *client)
{
    return client->self.client_id;
}

const char *
usher_client_name(const usher_client *client)
{
    return client->self.name;
}

const usher_key *
usher_client_server_key(const usher_client *client)
{
    return &client->server_key;
}

const char *
usher_client_address(const usher_client *client)
{
    return client->address[client->address_no].text;
}

void
usher_client_set_timeout(usher_client *client, uint32_t timeout_ms)
{
    client->timeout_ms = number_or(timeout_ms, CLIENT_TIMEOUT_MS);
}

void
usher_client_set_next_timeout(usher_client *client, uint32_t timeout_ms)
{
    client->next_timeout_ms = timeout_ms;
}
