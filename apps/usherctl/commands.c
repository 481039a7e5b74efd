/* commands.c: the table of commands. One row is the whole truth: help, arguments and dispatch grow from it.
 *
 * Every request of the protocol has its own name as a command; the rows here add the words of people, the order of
 * arguments without names, and what a command sets by itself. */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

#define ROW(words, OPCODE, preset, positional)                                                                         \
    {                                                                                                                  \
        words, NULL, USHER_OPCODE_##OPCODE, preset, positional, NULL, NULL                                             \
    }
#define SAID(words, OPCODE, preset, positional, summary)                                                               \
    {                                                                                                                  \
        words, NULL, USHER_OPCODE_##OPCODE, preset, positional, summary, NULL                                          \
    }
#define WATCH(words, OPCODE, positional, details)                                                                      \
    {                                                                                                                  \
        words, NULL, USHER_OPCODE_##OPCODE, NULL, positional, NULL, details                                            \
    }
#define OWN(words, function, positional, summary, details)                                                             \
    {                                                                                                                  \
        words, function, USHER_OPCODE_NONE, NULL, positional, summary, details                                         \
    }

#define COUNT_DETAILS "  --count N            end after so many pushes; else with Ctrl-C\n"

static const struct ctl_command commands[] = {
    OWN("buy", ctl_buy, "", "play the whole purchase: join, wait, choose, hold, charge, pay, check the ticket",
        "  --user UUID          who buys\n"
        "  --concert N          the concert; else the first that has a date on sale\n"
        "  --date N             the date; else the first that is on sale\n"
        "  --seat N[,N]         these seats; else\n"
        "  --best N             the best N seats; 1 by itself\n"
        "\n"
        "A server that stops meanwhile is waited for, two minutes long: the place in line is kept. It ends when the\n"
        "payment stands in the user's history, or a second later.\n"),
    ROW("join", JOIN, NULL, "?user ?queue_id"),
    ROW("place", PLACE, NULL, ""),
    ROW("leave", LEAVE, NULL, ""),
    ROW("concerts", CONCERTS, NULL, ""),
    ROW("dates", DATES, NULL, "concert_id"),
    ROW("seats", SEATS, NULL, "concert_id date_id"),
    ROW("plan", PLAN, NULL, "concert_id date_id"),
    ROW("reserve", RESERVE, NULL, "concert_id date_id seat"),
    ROW("reserve-best", RESERVE_BEST, "grade=255", "concert_id date_id count"),
    ROW("release", RELEASE, NULL, "reservation"),
    ROW("swap", SWAP, NULL, "concert_id date_id reservation seat"),
    ROW("holds", HOLDS, NULL, "?user"),
    ROW("charge", CHARGE, NULL, "?user ?amount"),
    ROW("balance", BALANCE, NULL, "?user"),
    ROW("pay", PAY, NULL, "reservation"),
    ROW("refund", REFUND, NULL, "payment_id ?reservation"),
    ROW("history", HISTORY, NULL, "?user"),
    ROW("receipt", RECEIPT, NULL, "payment_id"),
    OWN("verify", ctl_verify, "DOCUMENT", "check a ticket or a token offline",
        "  DOCUMENT             the ticket or token in base64, @FILE, or - for the standard input\n"
        "  --service-key HEX    the service's public key, as ping tells it\n"),
    ROW("lookup", LOOKUP, NULL, "request_id ?user"),
    ROW("ledger", LEDGER, NULL, "?user"),
    ROW("events", EVENTS, NULL, "?after_event_no"),
    WATCH("watch place", WATCH_PLACE, "", COUNT_DETAILS),
    WATCH("watch seats", WATCH_SEATS, "concert_id date_id", COUNT_DETAILS),
    WATCH("watch events", WATCH_EVENTS, "?after_event_no",
          COUNT_DETAILS "  --kinds NAME[,NAME]  events of these kinds alone, such as paid,refunded\n"
                        "\n"
                        "With --consumer a consumer of this name is made if there is none, and each page is acknowledged once it is\n"
                        "written out.\n"),
    ROW("consumer list", CONSUMERS, NULL, "?consumer"),
    ROW("consumer put", PUT_CONSUMER, NULL, "consumer ?after_event_no"),
    ROW("consumer acknowledge", ACKNOWLEDGE, NULL, "consumer event_no"),
    ROW("consumer remove", REMOVE_CONSUMER, NULL, "consumer"),
    ROW("info", INFO, NULL, ""),
    ROW("figures", FIGURES, NULL, ""),
    ROW("ping", PING, NULL, ""),
    ROW("block", BLOCK, NULL, "concert_id date_id seat"),
    ROW("unblock", UNBLOCK, NULL, "concert_id date_id seat"),
    ROW("points charge", CHARGE, NULL, "user amount"),
    ROW("points balance", BALANCE, NULL, "user"),
    ROW("queue list", QUEUES, NULL, ""),
    ROW("queue put", PUT_QUEUE, NULL, "queue_id name"),
    SAID("queue open", SET_MODE, "mode=open", "queue_id", "let a queue admit again"),
    SAID("queue pause", SET_MODE, "mode=paused", "queue_id", "stop admission; ranks stay and holds run on (Q9)"),
    SAID("queue freeze", SET_MODE, "mode=frozen", "queue_id",
         "stop admission, new holds and payments, and every clock of the queue (Q9)"),
    SAID("queue policies", POLICIES, "of_queue=yes", "queue_id", "list the policies of a queue"),
    SAID("queue policy", SET_POLICY, "of_queue=yes", "queue_id name value", "set a policy of a queue"),
    SAID("policy list", POLICIES, "of_queue=no", "", "list the policies of the house"),
    SAID("policy set", SET_POLICY, "of_queue=no", "name value", "set a policy of the house"),
    OWN("catalogue check", ctl_catalogue_check, "FILE", "look for mistakes in a catalogue file; asks no server",
        "  FILE                 docs/catalogue.md describes it\n"),
    OWN("catalogue load", ctl_catalogue_load, "FILE",
        "put queues, policies, plans, concerts and dates of a file; again changes nothing",
        "  FILE                 docs/catalogue.md describes it\n"),
    ROW("plan show", PLANS, NULL, "plan_id"),
    OWN("client key", ctl_client_key, "FILE", "make a new key file", "  FILE                 it must not exist yet\n"),
    OWN("client invite", ctl_client_invite, "ROLE NAME", "make a one-time code for a new client and print it, once",
        "  ROLE                 gateway, terminal, admin or observer\n"
        "  NAME                 the client's name\n"
        "  --channel N          the sales channel of a terminal\n"),
    OWN("client enrol", ctl_client_enrol, "CODE FILE", "become a client with a one-time code",
        "  CODE                 64 hex digits\n"
        "  FILE                 the new client's key file; made if it is not there\n"),
    ROW("client list", CLIENTS, NULL, ""),
    ROW("client revoke", REVOKE, NULL, "client_id"),
    OWN("backup", ctl_data, "DATA FILE", "copy a data directory's store to a new file, while usherd runs or not",
        "  DATA                 the data directory, on this machine\n"
        "  FILE                 it must not exist yet\n"),
    OWN("check", ctl_data, "DATA", "read every row of a data directory or a backup and recount everything",
        "  DATA                 the data directory or the backup, on this machine\n"),
    OWN("dump", ctl_data, "DATA FILE", "write a data directory's records and history as lines",
        "  DATA                 the data directory or a backup, on this machine\n"
        "  FILE                 it must not exist yet; - is the standard output\n"),
    OWN("load", ctl_data, "FILE DATA", "make a data directory from a dump",
        "  FILE                 a dump; - is the standard input\n"
        "  DATA                 a directory without a store; made if it is not there\n"),
    OWN("shell", ctl_shell, "", "read commands, a line each, and run them on one connection", NULL),
    OWN("help", ctl_help, "?COMMAND", "list the commands, or what one of them takes", NULL),
    /* The rest under their own names. */
    ROW("put-consumer", PUT_CONSUMER, NULL, "consumer ?after_event_no"),
    ROW("acknowledge", ACKNOWLEDGE, NULL, "consumer event_no"),
    ROW("consumers", CONSUMERS, NULL, "?consumer"),
    ROW("remove-consumer", REMOVE_CONSUMER, NULL, "consumer"),
    ROW("put-queue", PUT_QUEUE, NULL, ""),
    ROW("set-mode", SET_MODE, NULL, ""),
    ROW("queues", QUEUES, NULL, ""),
    ROW("set-policy", SET_POLICY, NULL, ""),
    ROW("policies", POLICIES, NULL, ""),
    ROW("put-plan", PUT_PLAN, NULL, ""),
    ROW("plans", PLANS, NULL, "plan_id"),
    ROW("put-concert", PUT_CONCERT, NULL, ""),
    ROW("put-date", PUT_DATE, NULL, ""),
    ROW("invite", INVITE, NULL, ""),
    ROW("clients", CLIENTS, NULL, ""),
    ROW("revoke", REVOKE, NULL, "client_id"),
};

const struct ctl_command *
ctl_commands(size_t *count)
{
    *count = sizeof commands / sizeof *commands;
    return commands;
}

/* How many of the words name this command; 0 if they don't. */
static int
matched_words(const struct ctl_command *command, struct ctl_words words)
{
    const char *rest = command->words;
    int used = 0;

    for (;;) {
        size_t length = strcspn(rest, " ");
        const char *word = used < words.count ? words.word[used] : "";

        if (strlen(word) != length)
            return 0;
        for (size_t i = 0; i < length; i++)
            if (word[i] != rest[i] && !(word[i] == '_' && rest[i] == '-'))
                return 0;
        used++;
        if (rest[length] == 0)
            return used;
        rest += length + 1;
    }
}

/* The longest match wins: "plan show" is not "plan" with an argument. */
const struct ctl_command *
ctl_find_command(struct ctl_words words, int *used)
{
    const struct ctl_command *found = NULL;

    *used = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        int matched = matched_words(&commands[i], words);
        if (matched > *used) {
            *used = matched;
            found = &commands[i];
        }
    }
    return found;
}

bool
ctl_is_group(const char *word, char *text, size_t size)
{
    size_t length = strlen(word), used = 0;

    *text = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strncmp(commands[i].words, word, length) == 0 && commands[i].words[length] == ' ' && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     commands[i].words + length + 1);
    return used > 0;
}

const char *
ctl_summary(const struct ctl_command *command)
{
    return command->summary != NULL ? command->summary : usher_message_of(command->opcode)->summary;
}
