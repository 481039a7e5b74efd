/* main.c: usherctl: every request of Usher from the command line, for people and for scripts. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_USUAL "data/admin.key"

static const char about[] = "usherctl talks to an Usher server.\n"
                            "\n"
                            "usage: usherctl [OPTIONS] COMMAND [ARGUMENTS]\n"
                            "\n"
                            "  --server HOST:PORT   where the server listens; 127.0.0.1:7411 by itself\n"
                            "  --key FILE           this client's key; $USHER_KEY or data/admin.key by itself\n"
                            "  --timeout MS         how long a call may take; 5000 by itself\n"
                            "  --token TEXT         the user's queue token, as join prints it\n"
                            "  --token-file FILE    a file that holds it; join writes it there\n"
                            "  --json               answers as JSON on the standard output\n"
                            "  --one-page           one page of a list, not all of it\n"
                            "\n"
                            "Options may stand anywhere. With an admin's or a terminal's key most commands take --user "
                            "UUID in place of a token.\n"
                            "\n"
                            "commands:\n";

static const char exit_codes[] =
    "\n"
    "exit codes:\n"
    "  0  done\n"
    "  1  the server refused; the message names its reason\n"
    "  2  the command, an argument, a key or a file can't be right; nothing was sent\n"
    "  3  no server, or no answer to a question; nothing was changed\n"
    "  4  a command was sent and no answer came: it may have been carried out; usherctl lookup tells\n";

/* --- help --------------------------------------------------------------------------------------------- */
static void
list_commands(FILE *to)
{
    size_t count;
    const struct ctl_command *commands = ctl_commands(&count);

    fputs(about, to);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "  %-21s %s\n", commands[i].words, ctl_summary(&commands[i]));
    fputs("\nusherctl help COMMAND tells what one of them takes.\n", to);
    fputs(exit_codes, to);
}

static enum ctl_code
tell_unknown(const struct ctl *ctl, struct ctl_words words)
{
    char seconds[128];

    if (ctl_is_group(words.word[0], seconds, sizeof seconds))
        return ctl_fail(ctl, CTL_USAGE, "%s needs one of these words behind it: %s", words.word[0], seconds);
    return ctl_fail(ctl, CTL_USAGE, "there is no command \"%s\"; usherctl help lists them all", words.word[0]);
}

enum ctl_code
ctl_help(struct ctl *ctl, struct ctl_words words)
{
    const struct ctl_command *command;
    int used;

    if (words.count == 0) {
        list_commands(stdout);
        return CTL_OK;
    }
    command = ctl_find_command(words, &used);
    if (command == NULL)
        return tell_unknown(ctl, words);
    if (command->function == NULL) {
        ctl_request_help(command);
        return CTL_OK;
    }
    printf("usage: usherctl %s%s%s\n\n%s\n", command->words, *command->positional != 0 ? " " : "", command->positional,
           command->summary);
    if (command->details != NULL)
        printf("\n%s", command->details);
    return CTL_OK;
}

/* --- the server --------------------------------------------------------------------------------------- */
enum ctl_code
ctl_fail(const struct ctl *ctl, enum ctl_code code, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "usherctl%s%s: ", ctl->command != NULL ? " " : "", ctl->command != NULL ? ctl->command : "");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return code;
}

/* What a status means to who called usherctl. */
enum ctl_code
ctl_code_of(usher_status status)
{
    static const enum ctl_code codes[] = {
        [USHER_STATUS_ANSWERED] = CTL_REFUSED,     [USHER_STATUS_NOT_SENT] = CTL_UNANSWERED,
        [USHER_STATUS_MAYBE_APPLIED] = CTL_MAYBE,  [USHER_STATUS_NO_ANSWER] = CTL_UNANSWERED,
        [USHER_STATUS_BAD_ARGUMENT] = CTL_USAGE,   [USHER_STATUS_NO_MEMORY] = CTL_UNANSWERED,
        [USHER_STATUS_KEY_FILE] = CTL_USAGE,       [USHER_STATUS_HELLO_REFUSED] = CTL_REFUSED,
        [USHER_STATUS_UNTRUSTED] = CTL_UNANSWERED, [USHER_STATUS_WRONG_SERVER] = CTL_UNANSWERED,
        [USHER_STATUS_WRONG_THREAD] = CTL_USAGE,   [USHER_STATUS_QUEUE_FULL] = CTL_UNANSWERED,
        [USHER_STATUS_CANCELLED] = CTL_UNANSWERED, [USHER_STATUS_CLOSED] = CTL_UNANSWERED,
    };

    return codes[status];
}

enum ctl_code
ctl_connect(struct ctl *ctl)
{
    usher_options options = {.server = ctl->server, .key_file = ctl->key_file, .timeout_ms = ctl->timeout_ms};
    usher_status status;
    const char *hint = "", *error;

    if (ctl->client != NULL)
        return CTL_OK;
    options.fail_fast = 1;
    status = usher_client_open(&options, &ctl->client);
    if (status == USHER_STATUS_ANSWERED)
        return CTL_OK;
    if (status == USHER_STATUS_NOT_SENT)
        hint = "; start a server with ./usher run or name another one with --server";
    if (status == USHER_STATUS_KEY_FILE)
        hint = "; name another one with --key FILE or $USHER_KEY";
    error = usher_client_error(ctl->client);
    if (strncmp(error, "options.", 8) == 0) /* options of the SDK have the names of ours */
        ctl_fail(ctl, CTL_USAGE, "--%s", error + 8);
    else
        ctl_fail(ctl, CTL_USAGE, "%s%s", error, hint);
    if (ctl->json)
        ctl_print_json(ctl_json_answer(ctl, 0, status));
    usher_client_close(ctl->client);
    ctl->client = NULL;
    return ctl_code_of(status);
}

enum ctl_code
ctl_call_quietly(struct ctl *ctl, uint16_t opcode, const void *request, void *reply)
{
    usher_status status = usher_call(ctl->client, opcode, request, reply);

    if (status == USHER_STATUS_ANSWERED && usher_client_answer(ctl->client)->result == USHER_OK)
        return CTL_OK;
    ctl->last_status = status;
    return ctl_code_of(status);
}

void
ctl_complain(struct ctl *ctl, uint16_t opcode)
{
    const usher_answer *answer = usher_client_answer(ctl->client);
    char id[USHER_UUID_TEXT_SIZE];

    if (ctl->last_status == USHER_STATUS_MAYBE_APPLIED) {
        usher_id_format(&answer->request_id, id);
        ctl_fail(ctl, CTL_MAYBE, "%s: it may have been carried out; usherctl lookup %s tells",
                 usher_client_error(ctl->client), id);
    } else {
        ctl_fail(ctl, CTL_REFUSED, "%s", usher_client_error(ctl->client));
    }
    if (ctl->last_status == USHER_STATUS_ANSWERED)
        ctl_show_refusal(answer->result, &answer->refusal);
    if (ctl->json)
        ctl_print_json(ctl_json_answer(ctl, opcode, ctl->last_status));
}

enum ctl_code
ctl_call(struct ctl *ctl, uint16_t opcode, const void *request, void *reply)
{
    enum ctl_code code = ctl_call_quietly(ctl, opcode, request, reply);

    if (code != CTL_OK)
        ctl_complain(ctl, opcode);
    return code;
}

enum ctl_code
ctl_server_time(struct ctl *ctl, uint64_t *now_ms)
{
    const usher_ping_request request = {.echo = 0};
    usher_ping_reply reply;
    enum ctl_code code = ctl_connect(ctl);

    if (code == CTL_OK)
        code = ctl_call(ctl, USHER_OPCODE_PING, &request, &reply);
    if (code == CTL_OK)
        *now_ms = usher_client_answer(ctl->client)->stamp_ms;
    return code;
}

/* --- words -------------------------------------------------------------------------------------------- */
const char *
ctl_take_option(struct ctl_words *words, const char *name)
{
    size_t length = strlen(name);

    for (int at = 0; at < words->count; at++) {
        char *word = words->word[at];
        char *bare = strncmp(word, "--", 2) == 0 ? word + 2 : word;
        char *value = bare + length + 1;
        int taken = 1;

        if (strncmp(bare, name, length) != 0)
            continue;
        if (bare[length] == 0 && bare != word && at + 1 < words->count) {
            value = words->word[at + 1];
            taken = 2;
        } else if (bare[length] != '=') {
            continue;
        }
        memmove(words->word + at, words->word + at + taken, (size_t)(words->count - at - taken) * sizeof *words->word);
        words->count -= taken;
        return value;
    }
    return NULL;
}

bool
ctl_has_leftovers(const struct ctl *ctl, struct ctl_words words)
{
    if (words.count == 0)
        return false;
    ctl_fail(ctl, CTL_USAGE, "\"%s\" is not understood here; usherctl help %s lists the arguments", words.word[0],
             ctl->command);
    return true;
}

/* Options that belong to every command. False when one is without its value. */
static bool
take_common_options(struct ctl *ctl, struct ctl_words *words)
{
    uint64_t timeout_ms;
    int kept = 0;

    for (int at = 0; at < words->count; at++) {
        char *word = words->word[at];
        const struct {
            const char *name;
            const char **text;
            bool *flag;
        } * option, options[] = {{"--server", &ctl->server, NULL},         {"--key", &ctl->key_file, NULL},
                                 {"--timeout", &ctl->timeout_text, NULL},  {"--token", &ctl->token_text, NULL},
                                 {"--token-file", &ctl->token_file, NULL}, {"--json", NULL, &ctl->json},
                                 {"--one-page", NULL, &ctl->one_page},     {NULL, NULL, NULL}};

        for (option = options; option->name != NULL; option++) {
            size_t length = strlen(option->name);
            if (strncmp(word, option->name, length) == 0 &&
                (word[length] == 0 || (option->text && word[length] == '=')))
                break;
        }
        if (option->name == NULL) {
            words->word[kept++] = word;
        } else if (option->flag != NULL) {
            *option->flag = true;
        } else if (word[strlen(option->name)] == '=') {
            *option->text = word + strlen(option->name) + 1;
        } else if (at + 1 < words->count) {
            *option->text = words->word[++at];
        } else {
            ctl_fail(ctl, CTL_USAGE, "%s needs a value", word);
            return false;
        }
    }
    words->count = kept;
    if (ctl->timeout_text != NULL && !ctl_number_parse(ctl->timeout_text, 1, UINT32_MAX, &timeout_ms)) {
        ctl_fail(ctl, CTL_USAGE, "--timeout: \"%s\" is not a number of milliseconds", ctl->timeout_text);
        return false;
    }
    if (ctl->timeout_text != NULL)
        ctl->timeout_ms = (uint32_t)timeout_ms;
    return true;
}

enum ctl_code
ctl_run(struct ctl *ctl, int count, char **word)
{
    struct ctl_words words = {word, count};
    const struct ctl_command *command;
    int used;

    ctl->command = NULL;
    if (!take_common_options(ctl, &words))
        return CTL_USAGE;
    if (words.count == 0 || strcmp(words.word[0], "--help") == 0 || strcmp(words.word[0], "-h") == 0) {
        list_commands(words.count == 0 ? stderr : stdout);
        return words.count == 0 ? CTL_USAGE : CTL_OK;
    }
    command = ctl_find_command(words, &used);
    if (command == NULL)
        return tell_unknown(ctl, words);
    for (int i = used; i < words.count; i++)
        if (strcmp(words.word[i], "--help") == 0)
            return ctl_help(ctl, (struct ctl_words){words.word, used});
    ctl->command = command->words;
    words.word += used;
    words.count -= used;
    return command->function != NULL ? command->function(ctl, words) : ctl_request(ctl, command, words);
}

int
main(int argc, char **argv)
{
    const char *key_file = getenv("USHER_KEY");
    struct ctl ctl = {.key_file = key_file != NULL ? key_file : KEY_FILE_USUAL};
    enum ctl_code code = ctl_run(&ctl, argc - 1, argv + 1);

    usher_client_close(ctl.client);
    if (fflush(stdout) != 0 && code == CTL_OK) {
        fprintf(stderr, "usherctl: the standard output: %s\n", strerror(errno));
        return CTL_USAGE;
    }
    return (int)code;
}
