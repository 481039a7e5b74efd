/* verify.c: check a ticket or a token offline, as a gate does (M10, Q12): no server, no key file, the public key alone.
 */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define DOCUMENT_TEXT_MOST 2048

/* The document's text: the word itself, or a file's or the standard input's first line. */
static bool
read_document(struct ctl *ctl, const char *word, char text[DOCUMENT_TEXT_MOST])
{
    FILE *file;

    if (*word != '@' && strcmp(word, "-") != 0) {
        snprintf(text, DOCUMENT_TEXT_MOST, "%s", word);
        return true;
    }
    file = *word == '@' ? fopen(word + 1, "re") : stdin;
    if (file == NULL || fgets(text, DOCUMENT_TEXT_MOST, file) == NULL) {
        ctl_fail(ctl, CTL_USAGE, "%s: %s", word, file == NULL ? strerror(errno) : "it is empty");
        if (file != NULL && file != stdin)
            fclose(file);
        return false;
    }
    if (file != stdin)
        fclose(file);
    text[strcspn(text, "\r\n")] = 0;
    return true;
}

void
ctl_show_ticket(const usher_ticket *ticket)
{
    char user[USHER_UUID_TEXT_SIZE], when[32];

    usher_uuid_format(&ticket->user, user);
    printf("ticket of payment %" PRIu64 ": user %s paid %" PRId64 " points at %s for\n", ticket->payment_id, user,
           ticket->amount, ctl_moment_format(ticket->paid_at_ms, when));
    for (uint16_t i = 0; i < ticket->seat_count; i++)
        printf("  concert %" PRIu32 ", date %" PRIu32 ", seat %" PRIu32 "\n", ticket->seat[i].concert_id,
               ticket->seat[i].date_id, ticket->seat[i].seat_no);
}

static void
show_token(const usher_token *token)
{
    char user[USHER_UUID_TEXT_SIZE], issued[32], ends[32];

    usher_uuid_format(&token->user, user);
    printf("token of user %s: queue %" PRIu32 ", place %" PRIu64 ", issued %s, ends %s at the latest\n", user,
           token->queue_id, token->position, ctl_moment_format(token->issued_ms, issued),
           ctl_moment_format(token->ends_ms, ends));
}

static json_t *
ticket_json(const usher_ticket *ticket)
{
    json_t *seats = json_array();
    char user[USHER_UUID_TEXT_SIZE];

    usher_uuid_format(&ticket->user, user);
    for (uint16_t i = 0; i < ticket->seat_count; i++)
        json_array_append_new(seats, json_pack("{s:I, s:I, s:I}", "concert_id", (json_int_t)ticket->seat[i].concert_id,
                                               "date_id", (json_int_t)ticket->seat[i].date_id, "seat_no",
                                               (json_int_t)ticket->seat[i].seat_no));
    return json_pack("{s:s, s:I, s:I, s:I, s:o}", "user", user, "payment_id", (json_int_t)ticket->payment_id, "amount",
                     (json_int_t)ticket->amount, "paid_at_ms", (json_int_t)ticket->paid_at_ms, "seat", seats);
}

static json_t *
token_json(const usher_token *token)
{
    char user[USHER_UUID_TEXT_SIZE];

    usher_uuid_format(&token->user, user);
    return json_pack("{s:s, s:I, s:I, s:I, s:I}", "user", user, "queue_id", (json_int_t)token->queue_id, "position",
                     (json_int_t)token->position, "issued_ms", (json_int_t)token->issued_ms, "ends_ms",
                     (json_int_t)token->ends_ms);
}

enum ctl_code
ctl_verify(struct ctl *ctl, struct ctl_words words)
{
    static const char *const verdicts[] = {"genuine", "malformed", "forged"};
    const char *key_text = ctl_take_option(&words, "service-key");
    char text[DOCUMENT_TEXT_MOST];
    uint8_t bytes[DOCUMENT_TEXT_MOST];
    usher_verdict verdict;
    usher_ticket ticket;
    usher_token token;
    usher_key key;
    size_t size = 0;
    bool is_token;

    if (words.count == 0)
        return ctl_fail(ctl, CTL_USAGE, "DOCUMENT is missing; usherctl help verify tells what it is");
    if (key_text == NULL || !usher_hex_parse(key_text, key.bytes, sizeof key.bytes))
        return ctl_fail(ctl, CTL_USAGE, "--service-key must be the service's public key, 64 hex digits; ping tells it");
    if (!read_document(ctl, words.word[0], text) ||
        ctl_has_leftovers(ctl, (struct ctl_words){words.word + 1, words.count - 1}))
        return CTL_USAGE;
    if (!usher_base64_parse(text, bytes, sizeof bytes, &size))
        size = 0;
    is_token = usher_token_read(bytes, size, &token) != 0;
    verdict =
        is_token ? usher_token_verify(&key, bytes, size, &token) : usher_ticket_verify(&key, bytes, size, &ticket);
    if (ctl->json) {
        json_t *answer = json_pack("{s:s}", "verdict", verdicts[verdict]);
        if (verdict == USHER_VERDICT_GENUINE)
            json_object_set_new(answer, is_token ? "token" : "ticket",
                                is_token ? token_json(&token) : ticket_json(&ticket));
        ctl_print_json(answer);
    } else if (verdict == USHER_VERDICT_GENUINE) {
        printf("genuine: ");
        if (is_token)
            show_token(&token);
        else
            ctl_show_ticket(&ticket);
    }
    if (verdict == USHER_VERDICT_GENUINE)
        return CTL_OK;
    return ctl_fail(ctl, CTL_REFUSED, "%s",
                    verdict == USHER_VERDICT_MALFORMED ? "it is neither a ticket nor a token"
                                                       : "it was not signed with this key, or was changed since");
}
