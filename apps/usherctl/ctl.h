/* ctl.h: what the parts of usherctl share.
 *
 *   main.c       options, help, which command it is        shell.c      a line after another on one connection
 *   commands.c   the table of commands                     field.c      words to a request's fields, by the rows
 *   request.c    one request grown from its row            show.c       replies to tables and JSON, by the rows
 *   place.c ...  replies that people read often            moment.c     times and durations in words
 *   buy.c        the whole journey                         catalogue*.c check a catalogue file, put it
 *   client.c     keys, invitations, enrolment              verify.c     tickets and tokens, offline
 *   watch.c      subscriptions, until Ctrl-C               watch_show.c what they tell
 *   data.c       backup, check, dump and load, which usherd does */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <usher.h>

/* The process's exit codes. */
enum ctl_code {
    CTL_OK = 0,
    CTL_REFUSED = 1,    /* the server answered, and it is not OK */
    CTL_USAGE = 2,      /* the command, an argument, a key or a file can't be right; nothing was sent */
    CTL_UNANSWERED = 3, /* no server, no trust, no answer: nothing was changed */
    CTL_MAYBE = 4       /* a command was sent and no answer came */
};

struct ctl {
    const char *server; /* NULL for the SDK's default */
    const char *key_file;
    const char *timeout_text;
    uint32_t timeout_ms;
    bool json;
    bool one_page;          /* don't follow a list over its pages */
    const char *token_text; /* base64, or NULL */
    const char *token_file;
    const char *command;      /* its words, for messages: "queue pause" */
    usher_client *client;     /* connected by ctl_connect(), kept by the shell */
    usher_status last_status; /* of the last call that was not OK */
};

/* A command's own words, without options that belong to everything. */
struct ctl_words {
    char **word;
    int count;
};

typedef enum ctl_code ctl_function(struct ctl *ctl, struct ctl_words words);

/* One command: either a function, or a request of the protocol. */
struct ctl_command {
    const char *words;      /* "queue pause" */
    ctl_function *function; /* or NULL, and: */
    uint16_t opcode;
    const char *preset;     /* "mode=paused": fields that the command sets by itself; NULL for none */
    const char *positional; /* names of arguments in order: "queue_id name ?value"; a ? before what may be left out */
    const char *summary;    /* of a function; a request has its row's */
    const char *details;    /* more lines for its help: options beside a request's fields; or NULL */
};

/* commands.c */
const struct ctl_command *ctl_commands(size_t *count);
/* The command that the first words name; *used gets how many they are. NULL and *used = 0 if there is none. */
const struct ctl_command *ctl_find_command(struct ctl_words words, int *used);
const char *ctl_summary(const struct ctl_command *command);
/* Whether a word begins commands of two words ("queue"); text gets the second ones. */
bool ctl_is_group(const char *word, char *text, size_t size);

/* main.c: run one command, options in front of or behind it included; what the shell and main call. */
enum ctl_code ctl_run(struct ctl *ctl, int count, char **words);
/* Connect if that has not been done. On failure says why on stderr. */
enum ctl_code ctl_connect(struct ctl *ctl);
/* Complain on stderr in one line that begins with the command's name. Returns code. */
enum ctl_code ctl_fail(const struct ctl *ctl, enum ctl_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Call the server. On anything but OK say so on stderr (and on stdout as JSON, if that is on). */
enum ctl_code ctl_call(struct ctl *ctl, uint16_t opcode, const void *request, void *reply);
/* The same without a word: for callers that know what to do about it. */
enum ctl_code ctl_call_quietly(struct ctl *ctl, uint16_t opcode, const void *request, void *reply);
/* Print the refusal or failure of the last call, as ctl_call() does. */
void ctl_complain(struct ctl *ctl, uint16_t opcode);
/* What a status other than ANSWERED, or a refusal, means as an exit code. */
enum ctl_code ctl_code_of(usher_status status);
/* The server's time now: by a ping. */
enum ctl_code ctl_server_time(struct ctl *ctl, uint64_t *now_ms);

/* request.c */
enum ctl_code ctl_request(struct ctl *ctl, const struct ctl_command *command, struct ctl_words words);
/* Print what a command takes. */
void ctl_request_help(const struct ctl_command *command);
/* The token of --token or --token-file into the request's token field; true if there is none as well. */
bool ctl_take_token(const struct ctl *ctl, const usher_layout *layout, void *request);
/* Write a token to --token-file, readable by its owner alone. */
bool ctl_save_token(const struct ctl *ctl, const uint8_t *token, size_t size);

/* watch.c: follow what a filled-in request of kind WATCH subscribes to, for so many pushes, 0 for any number. */
enum ctl_code ctl_watch(struct ctl *ctl, const usher_message *message, const void *request, uint64_t count_most);

/* watch_show.c */
struct ctl_watch_show;
struct ctl_watch_show *ctl_watch_show_open(const struct ctl *ctl, const usher_message *message);
void ctl_watch_show_close(struct ctl_watch_show *show);
void ctl_watch_show_start(struct ctl_watch_show *show, const usher_watch_event *event);
void ctl_watch_show_push(struct ctl_watch_show *show, const usher_watch_event *event);
void ctl_watch_show_end(struct ctl_watch_show *show, const usher_watch_event *event);

/* field.c: set the field that is called name (queue_id, queue-id, queue; seat or seats) from its text. why gets one
 * line that names the field. now_ms is called when a time is relative to now. */
bool ctl_set_field(const usher_layout *layout, void *body, const char *name, const char *text,
                   bool (*now_ms)(void *context, uint64_t *now_ms), void *context, char *why, size_t why_size);
const usher_field *ctl_find_field(const usher_layout *layout, const char *name, size_t size);
/* How a field's value is written, for help: "NUMBER", "UUID", "open|paused|frozen". */
void ctl_field_form(const usher_field *field, char *text, size_t size);

/* moment.c: times in words.
 * A moment is "2027-01-31 19:30+09:00" (T, seconds and Z are fine), milliseconds since 1970, or relative to now:
 * "+30d",
 * "-2h", "+45m", "+90s", "+30d 19:30" (that many days on, at this time of day in the zone). */
bool ctl_moment_parse(const char *text, int zone_minutes, uint64_t now_ms, uint64_t *moment_ms);
bool ctl_moment_is_relative(const char *text);
/* "90s", "45m", "2h", "1d" or milliseconds. */
bool ctl_duration_parse(const char *text, uint64_t *duration_ms);
/* "+09:00", "-03:30", "Z". */
bool ctl_zone_parse(const char *text, int *zone_minutes);
/* The moment in the local zone, "2027-01-31 19:30:00"; 0 is "-". text has room for 32 bytes. */
const char *ctl_moment_format(uint64_t moment_ms, char text[32]);
/* "1 h 5 min", "30 s", "450 ms". text has room for 32 bytes. */
const char *ctl_duration_format(uint64_t duration_ms, char text[32]);
/* Whether a field counts milliseconds since 1970, and not a duration. */
bool ctl_is_moment(const char *field_name);

/* show.c */
struct json_t;
struct json_t *ctl_json_body(const usher_layout *layout, const void *body);
/* The members that every JSON answer has; the caller adds "reply". */
struct json_t *ctl_json_answer(const struct ctl *ctl, uint16_t opcode, usher_status status);
void ctl_print_json(struct json_t *value); /* and free it */
/* A body for people: a line a field, a table a list. */
void ctl_show_body(const usher_layout *layout, const void *body);
/* An item for people in one line: its first three fields, and behind them by their names those that are not zero. */
void ctl_show_line(const usher_layout *layout, const void *body);
/* The refusal's numbers, as far as they are set. */
void ctl_show_refusal(usher_result result, const usher_refusal *refusal);
/* How many columns of a terminal a text takes; and print it, filled up with spaces to a width. */
size_t ctl_text_width(const char *text);
void ctl_print_padded(const char *text, size_t width, bool to_the_right);

/* people.c: the replies that people read most. NULL for the others, which ctl_show_body() prints. */
void ctl_show_place(const usher_place_reply *place);
void ctl_show_ticket(const usher_ticket *ticket);
typedef enum ctl_code ctl_show(struct ctl *ctl, const void *request, const void *reply);
ctl_show *ctl_show_of(uint16_t opcode);

/* Commands that are more than one request. */
ctl_function ctl_buy, ctl_catalogue_check, ctl_catalogue_load, ctl_client_key, ctl_client_invite, ctl_client_enrol,
    ctl_verify, ctl_data, ctl_help, ctl_shell;

/* --name VALUE, --name=VALUE or name=VALUE among a function's words; NULL if it is not there. A name that is found is
 * taken out of the words. */
const char *ctl_take_option(struct ctl_words *words, const char *name);
/* Whether words are left that nobody took: complains about the first. */
bool ctl_has_leftovers(const struct ctl *ctl, struct ctl_words words);
/* A whole number in least .. most. */
bool ctl_number_parse(const char *text, uint64_t least, uint64_t most, uint64_t *value);

#endif
