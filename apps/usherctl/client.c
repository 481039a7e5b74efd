/* client.c: keys, invitations and enrolment. */
#include "ctl.h"

#include <jansson.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
print_public_key(struct ctl *ctl, const char *path, const usher_secret *secret)
{
    usher_key key;
    char text[2 * sizeof key.bytes + 1];

    usher_key_public(secret, &key);
    usher_hex_format(key.bytes, sizeof key.bytes, text);
    if (ctl->json)
        ctl_print_json(json_pack("{s:s, s:s}", "key_file", path, "client_key", text));
    else
        printf("key file %s\npublic key %s\n", path, text);
}

enum ctl_code
ctl_client_key(struct ctl *ctl, struct ctl_words words)
{
    usher_secret secret;
    usher_status status;
    char why[256];

    if (words.count != 1)
        return ctl_fail(ctl, CTL_USAGE, "one FILE is needed");
    usher_key_make(&secret);
    status = usher_key_save(words.word[0], &secret, why, sizeof why);
    if (status == USHER_STATUS_ANSWERED)
        print_public_key(ctl, words.word[0], &secret);
    usher_secret_wipe(&secret);
    return status == USHER_STATUS_ANSWERED ? CTL_OK : ctl_fail(ctl, CTL_USAGE, "%s", why);
}

/* The code is made here and printed once; the server gets its hash alone. */
enum ctl_code
ctl_client_invite(struct ctl *ctl, struct ctl_words words)
{
    const usher_layout *layout = usher_message_of(USHER_OPCODE_INVITE)->request;
    const char *channel = ctl_take_option(&words, "channel");
    usher_invite_request request = {.channel = 0};
    usher_invite_reply reply;
    usher_key code;
    char text[2 * sizeof code.bytes + 1], why[320];
    enum ctl_code outcome;

    if (words.count != 2)
        return ctl_fail(ctl, CTL_USAGE, "ROLE and NAME are needed; usherctl help client invite tells more");
    if (!ctl_set_field(layout, &request, "role", words.word[0], NULL, NULL, why, sizeof why) ||
        !ctl_set_field(layout, &request, "name", words.word[1], NULL, NULL, why, sizeof why) ||
        (channel != NULL && !ctl_set_field(layout, &request, "channel", channel, NULL, NULL, why, sizeof why)))
        return ctl_fail(ctl, CTL_USAGE, "%s", why);
    outcome = ctl_connect(ctl);
    if (outcome != CTL_OK)
        return outcome;
    usher_code_make(&code, &request.code_hash);
    outcome = ctl_call(ctl, USHER_OPCODE_INVITE, &request, &reply);
    if (outcome != CTL_OK)
        return outcome;
    usher_hex_format(code.bytes, sizeof code.bytes, text);
    if (ctl->json)
        ctl_print_json(json_pack("{s:I, s:s}", "client_id", (json_int_t)reply.client_id, "code", text));
    else
        printf("client %" PRIu32 " is invited; its one-time code, which is shown only now:\n%s\n"
               "the newcomer types: usherctl client enrol CODE FILE\n",
               reply.client_id, text);
    return CTL_OK;
}

/* Load the key file, or make it: a second attempt with the same code must come with the same key. */
static bool
load_or_make_key(struct ctl *ctl, const char *path, usher_secret *secret)
{
    char why[256];
    usher_status status;

    if (access(path, F_OK) == 0) {
        status = usher_key_load(path, secret, why, sizeof why);
    } else {
        usher_key_make(secret);
        status = usher_key_save(path, secret, why, sizeof why);
    }
    if (status != USHER_STATUS_ANSWERED)
        ctl_fail(ctl, CTL_USAGE, "%s", why);
    return status == USHER_STATUS_ANSWERED;
}

enum ctl_code
ctl_client_enrol(struct ctl *ctl, struct ctl_words words)
{
    usher_options options = {.server = ctl->server, .timeout_ms = ctl->timeout_ms, .fail_fast = 1};
    usher_client *client;
    usher_secret secret;
    usher_status status;
    usher_key code;

    if (words.count != 2)
        return ctl_fail(ctl, CTL_USAGE, "CODE and FILE are needed; usherctl help client enrol tells more");
    if (!usher_hex_parse(words.word[0], code.bytes, sizeof code.bytes))
        return ctl_fail(ctl, CTL_USAGE, "CODE: \"%s\" is not 64 hex digits", words.word[0]);
    if (!load_or_make_key(ctl, words.word[1], &secret))
        return CTL_USAGE;
    options.secret = &secret;
    status = usher_client_enrol(&options, &code, &client);
    usher_secret_wipe(&secret);
    if (status != USHER_STATUS_ANSWERED) {
        ctl_fail(ctl, CTL_REFUSED, "%s", usher_client_error(client));
        usher_client_close(client);
        return ctl_code_of(status);
    }
    if (ctl->json)
        ctl_print_json(json_pack("{s:I, s:s, s:s}", "client_id", (json_int_t)usher_client_number(client), "name",
                                 usher_client_name(client), "key_file", words.word[1]));
    else
        printf("this is client %" PRIu32 " \"%s\" now; its key is in %s\n", usher_client_number(client),
               usher_client_name(client), words.word[1]);
    usher_client_close(client);
    return CTL_OK;
}
