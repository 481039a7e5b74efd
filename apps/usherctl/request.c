/* request.c: one request of the protocol as a command, grown from its row.
 *
 * Arguments are fields: in the order that the command's row gives, or by name: --seat 7, --seat=7 or seat=7. A field of
 * the kind "yes or no" is set by its name alone (--all). The token comes from --token or --token-file. A list that says
 * that more follows is read on, page after page, and shown as one. */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- tokens ------------------------------------------------------------------------------------------- */
/* The file's first line. */
static bool
read_token_file(const struct ctl *ctl, char *text, size_t size)
{
    FILE *file = fopen(ctl->token_file, "re");

    if (file == NULL || fgets(text, (int)size, file) == NULL) {
        ctl_fail(ctl, CTL_USAGE, "token file %s: %s", ctl->token_file, file == NULL ? strerror(errno) : "it is empty");
        if (file != NULL)
            fclose(file);
        return false;
    }
    fclose(file);
    text[strcspn(text, "\r\n")] = 0;
    return true;
}

bool
ctl_take_token(const struct ctl *ctl, const usher_layout *layout, void *request)
{
    const usher_field *field = ctl_find_field(layout, "token", 5);
    char text[1024], why[256];

    if (field == NULL || (ctl->token_text == NULL && ctl->token_file == NULL))
        return true;
    if (ctl->token_text == NULL && !read_token_file(ctl, text, sizeof text))
        return false;
    if (ctl_set_field(layout, request, "token", ctl->token_text != NULL ? ctl->token_text : text, NULL, NULL, why,
                      sizeof why))
        return true;
    ctl_fail(ctl, CTL_USAGE, "%s", why);
    return false;
}

bool
ctl_save_token(const struct ctl *ctl, const uint8_t *token, size_t size)
{
    char text[1024];
    int file = open(ctl->token_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    size_t length = usher_base64_format(token, size, text, sizeof text - 1);
    bool written;

    text[length++] = '\n';
    written = file >= 0 && write(file, text, length) == (ssize_t)length;
    if (!written)
        ctl_fail(ctl, CTL_USAGE, "token file %s: %s", ctl->token_file, strerror(errno));
    if (file >= 0)
        close(file);
    return written;
}

/* --- arguments ---------------------------------------------------------------------------------------- */
/* A request that is being filled in. */
struct filling {
    struct ctl *ctl;
    const struct ctl_command *command;
    const usher_layout *layout;
    void *request;
    uint64_t given; /* a bit for each field that has been set */
};

static bool
server_time(void *context, uint64_t *now_ms)
{
    return ctl_server_time(context, now_ms) == CTL_OK;
}

static bool
set_field(struct filling *filling, const usher_field *field, const char *text)
{
    char why[320];

    filling->given |= 1ULL << (field - filling->layout->fields);
    if (ctl_set_field(filling->layout, filling->request, field->name, text, server_time, filling->ctl, why, sizeof why))
        return true;
    ctl_fail(filling->ctl, CTL_USAGE, "%s; usherctl help %s lists the arguments", why, filling->command->words);
    return false;
}

/* "of_queue=yes grade=255": what the command sets by itself. */
static bool
set_preset(struct filling *filling)
{
    char copy[64], *rest = copy, *piece;

    snprintf(copy, sizeof copy, "%s", filling->command->preset != NULL ? filling->command->preset : "");
    while ((piece = strsep(&rest, " ")) != NULL && *piece != 0) {
        char *equals = strchr(piece, '=');
        if (!set_field(filling, ctl_find_field(filling->layout, piece, (size_t)(equals - piece)), equals + 1))
            return false;
    }
    return true;
}

/* The field of the next of a row's positional arguments; NULL after the last. */
static const usher_field *
next_positional(const struct filling *filling, const char **rest, bool *needed)
{
    size_t length = strcspn(*rest, " ");
    const char *name = *rest;

    if (length == 0)
        return NULL;
    *rest += length + ((*rest)[length] == ' ' ? 1 : 0);
    *needed = *name != '?';
    return *needed ? ctl_find_field(filling->layout, name, length)
                   : ctl_find_field(filling->layout, name + 1, length - 1);
}

/* A word that names its field: --name VALUE, --name=VALUE, name=VALUE. *taken gets the words that it took; 0 if it is
 * no such word. */
static bool
set_named(struct filling *filling, struct ctl_words words, int at, int *taken)
{
    const char *word = words.word[at];
    bool dashed = strncmp(word, "--", 2) == 0;
    const char *name = dashed ? word + 2 : word;
    const char *equals = strchr(name, '=');
    const usher_field *field =
        ctl_find_field(filling->layout, name, equals != NULL ? (size_t)(equals - name) : strlen(name));

    *taken = 0;
    if (!dashed && (equals == NULL || field == NULL))
        return true;
    *taken = 1;
    if (field == NULL) {
        ctl_fail(filling->ctl, CTL_USAGE, "there is no option %s; usherctl help %s lists the arguments", word,
                 filling->command->words);
        return false;
    }
    if (equals != NULL)
        return set_field(filling, field, equals + 1);
    if (field->enumeration != NULL && strcmp(field->enumeration->name, "flag") == 0)
        return set_field(filling, field, "yes");
    if (at + 1 >= words.count) {
        ctl_fail(filling->ctl, CTL_USAGE, "%s needs a value", word);
        return false;
    }
    *taken = 2;
    return set_field(filling, field, words.word[at + 1]);
}

static bool
set_arguments(struct filling *filling, struct ctl_words words)
{
    const char *rest = filling->command->positional;
    const usher_field *field = NULL, *next;
    bool needed;

    for (int at = 0, taken; at < words.count; at += taken) {
        if (!set_named(filling, words, at, &taken))
            return false;
        if (taken > 0)
            continue;
        taken = 1;
        next = next_positional(filling, &rest, &needed);
        if (next != NULL)
            field = next;
        else if (field != NULL && field->kind < USHER_KIND_BYTES)
            field = NULL; /* a list that stands last takes all further words */
        if (field == NULL) {
            ctl_fail(filling->ctl, CTL_USAGE, "\"%s\" is one argument too many; usherctl help %s lists them",
                     words.word[at], filling->command->words);
            return false;
        }
        if (!set_field(filling, field, words.word[at]))
            return false;
    }
    return true;
}

static bool
has_all_needed(const struct filling *filling)
{
    const char *rest = filling->command->positional;
    const usher_field *field;
    bool needed;

    while ((field = next_positional(filling, &rest, &needed)) != NULL) {
        if (needed && (filling->given & 1ULL << (field - filling->layout->fields)) == 0) {
            ctl_fail(filling->ctl, CTL_USAGE, "%s is missing; usherctl help %s lists the arguments", field->name,
                     filling->command->words);
            return false;
        }
    }
    return true;
}

/* --- pages -------------------------------------------------------------------------------------------- */
/* How a list goes on: the request's field "after_X" or "before_X" is the item's field X. */
struct paging {
    const usher_field *cursor; /* of the request; NULL if the message has no pages */
    const usher_field *more;   /* of the reply */
    const usher_field *list;   /* of the reply */
    const usher_field *key;    /* of the list's items */
};

static struct paging
paging_of(const usher_message *message)
{
    struct paging paging = {.more = ctl_find_field(message->reply, "more", 4)};

    if (paging.more == NULL)
        return paging;
    for (size_t i = 0; i < message->reply->field_count; i++)
        if (message->reply->fields[i].kind == USHER_KIND_ITEMS)
            paging.list = &message->reply->fields[i];
    for (size_t i = 0; i < message->request->field_count && paging.list != NULL; i++) {
        const char *name = message->request->fields[i].name;
        if (strncmp(name, "after_", 6) != 0 && strncmp(name, "before_", 7) != 0)
            continue;
        name = strchr(name, '_') + 1;
        paging.key = ctl_find_field(paging.list->item, name, strlen(name));
        if (paging.key != NULL)
            paging.cursor = &message->request->fields[i];
    }
    return paging;
}

/* Whether the reply says that there is more; then the request is changed to ask for it. */
static bool
turn_page(const struct paging *paging, const usher_message *message, char *request, const char *reply)
{
    const usher_field *first_page = ctl_find_field(message->request, "first_page", 10);
    uint16_t count;

    if (paging->cursor == NULL || reply[paging->more->offset] == 0)
        return false;
    memcpy(&count, reply + paging->list->count_offset, sizeof count);
    if (count == 0)
        return false;
    memcpy(request + paging->cursor->offset,
           reply + paging->list->offset + (count - 1u) * paging->list->item->struct_size + paging->key->offset,
           paging->cursor->kind == USHER_KIND_U64 ? sizeof(uint64_t) : sizeof(uint32_t));
    if (first_page != NULL)
        request[first_page->offset] = USHER_FLAG_NO;
    return true;
}

/* --- showing ------------------------------------------------------------------------------------------ */
/* Put a page's body behind the pages before it. */
static void
gather_page(json_t **whole, const struct paging *paging, const usher_message *message, const void *reply)
{
    json_t *page = ctl_json_body(message->reply, reply);

    if (*whole == NULL) {
        *whole = page;
        return;
    }
    json_array_extend(json_object_get(*whole, paging->list->name), json_object_get(page, paging->list->name));
    json_object_set(*whole, "more", json_object_get(page, "more"));
    json_decref(page);
}

/* A join's token goes to the file that was named for it, whatever else is shown. */
static bool
keep_token(struct ctl *ctl, uint16_t opcode, const void *reply)
{
    const usher_join_reply *joined = reply;

    return opcode != USHER_OPCODE_JOIN || ctl->token_file == NULL ||
           ctl_save_token(ctl, joined->token, joined->token_count);
}

/* Send the request and show what comes back, page after page. */
static enum ctl_code
send_and_show(struct ctl *ctl, const usher_message *message, char *request, char *reply, bool one_page)
{
    struct paging paging = paging_of(message);
    ctl_show *show = ctl_show_of(message->opcode);
    json_t *whole = NULL, *answer;
    enum ctl_code code;

    do {
        code = ctl_call(ctl, message->opcode, request, reply);
        if (code != CTL_OK) {
            json_decref(whole);
            return code;
        }
        if (ctl->json)
            gather_page(&whole, &paging, message, reply);
        else if (show != NULL)
            code = show(ctl, request, reply);
        else
            ctl_show_body(message->reply, reply);
        if (!keep_token(ctl, message->opcode, reply))
            code = CTL_USAGE;
    } while (code == CTL_OK && !one_page && turn_page(&paging, message, request, reply));
    if (whole != NULL) {
        answer = ctl_json_answer(ctl, message->opcode, USHER_STATUS_ANSWERED);
        json_object_set_new(answer, "reply", whole);
        ctl_print_json(answer);
    }
    return code;
}

/* --- subscriptions ------------------------------------------------------------------------------------ */
/* "paid,refunded" as a bit for each kind. */
static bool
take_kinds(const struct filling *filling, char *text, uint64_t *kinds)
{
    const usher_layout *event = usher_push_of(USHER_PUSH_EVENTS)->body->fields[2].item;
    const usher_enum *names = ctl_find_field(event, "kind", 4)->enumeration;
    const char *name;

    *kinds = 0;
    while ((name = strsep(&text, ",")) != NULL) {
        size_t i = 0;

        while (i < names->value_count && strcmp(names->values[i].name, name) != 0)
            i++;
        if (i == names->value_count) {
            ctl_fail(filling->ctl, CTL_USAGE, "--kinds: \"%s\" is no kind of event, such as paid", name);
            return false;
        }
        *kinds |= UINT64_C(1) << names->values[i].value;
    }
    return true;
}

/* The options of a subscription that are no fields of its request, out of the words. */
static bool
take_watch_options(struct filling *filling, struct ctl_words *words, uint64_t *count_most)
{
    bool of_events = filling->command->opcode == USHER_OPCODE_WATCH_EVENTS;
    const char *count = ctl_take_option(words, "count");
    const char *kinds = of_events ? ctl_take_option(words, "kinds") : NULL;
    char copy[512];

    if (count != NULL && !ctl_number_parse(count, 1, UINT64_MAX, count_most)) {
        ctl_fail(filling->ctl, CTL_USAGE, "--count: \"%s\" is not a number from 1", count);
        return false;
    }
    snprintf(copy, sizeof copy, "%s", kinds != NULL ? kinds : "");
    return kinds == NULL || take_kinds(filling, copy, &((usher_watch_events_request *)filling->request)->kinds);
}

enum ctl_code
ctl_request(struct ctl *ctl, const struct ctl_command *command, struct ctl_words words)
{
    const usher_message *message = usher_message_of(command->opcode);
    bool watches = message->kind == USHER_MESSAGE_WATCH;
    char *request = calloc(1, message->request->struct_size);
    char *reply = calloc(1, message->reply->struct_size);
    struct filling filling = {.ctl = ctl, .command = command, .layout = message->request, .request = request};
    uint64_t count_most = 0;
    const usher_field *first_page = ctl_find_field(message->request, "first_page", 10);
    struct paging paging = paging_of(message);
    enum ctl_code code = CTL_USAGE;

    if (request == NULL || reply == NULL)
        abort();
    if (set_preset(&filling) && (!watches || take_watch_options(&filling, &words, &count_most)) &&
        set_arguments(&filling, words) && has_all_needed(&filling) &&
        ctl_take_token(ctl, message->request, request)) {
        bool chose_page =
            paging.cursor != NULL && (filling.given & 1ULL << (paging.cursor - message->request->fields)) != 0;
        if (first_page != NULL && !chose_page)
            request[first_page->offset] = USHER_FLAG_YES;
        code = watches ? ctl_watch(ctl, message, request, count_most) : ctl_connect(ctl);
        if (code == CTL_OK && !watches)
            code = send_and_show(ctl, message, request, reply, ctl->one_page);
    }
    free(request);
    free(reply);
    return code;
}

/* --- help --------------------------------------------------------------------------------------------- */
void
ctl_request_help(const struct ctl_command *command)
{
    const usher_message *message = usher_message_of(command->opcode);
    struct filling filling = {.layout = message->request};
    const char *rest = command->positional;
    const usher_field *field;
    char form[128], name[40];
    bool needed;

    printf("usage: usherctl %s", command->words);
    while ((field = next_positional(&filling, &rest, &needed)) != NULL)
        printf(needed ? " %s" : " [%s]", field->name);
    printf(" [--FIELD VALUE ...]\n\n%s\n\n", message->summary);
    for (size_t i = 0; i < message->request->field_count; i++) {
        field = &message->request->fields[i];
        ctl_field_form(field, form, sizeof form);
        snprintf(name, sizeof name, "--%s", field->name);
        for (char *at = name; *at != 0; at++)
            if (*at == '_')
                *at = '-';
        printf("  %-20s %s (%s)\n", name, field->text, form);
    }
    if (ctl_find_field(message->request, "token", 5) != NULL)
        printf("  %-20s a file that holds the token\n", "--token-file");
    if (command->details != NULL)
        fputs(command->details, stdout);
    if (command->preset != NULL)
        printf("\nsets by itself: %s\n", command->preset);
}
