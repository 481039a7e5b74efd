/* usherctl_test.c: the command line from outside: what it prints, where, and with which exit code; against a real
 * usherd where a server is needed. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <usher.h>

#include "client-sdk/fake/include/usher_fake.h"
#include "server.h"

#define USER_ANN "0190c0de-0000-7000-8000-00000000000a"
#define USER_BOB "0190c0de-0000-7000-8000-00000000000b"

/* A server with a folder, and what the last command said. */
struct stage {
    struct test_server server;
    char address[32];
    const char *key;
    const char *program;
    int code;
    char out[131072]; /* its standard output */
    char err[16384];  /* its standard error */
};

static struct stage *
stage_open(void)
{
    struct stage *stage = calloc(1, sizeof *stage);

    assert_non_null(stage);
    test_server_open(&stage->server);
    stage->program = USHERCTL_PATH;
    stage->key = stage->server.admin_key;
    strcpy(stage->address, "127.0.0.1:1"); /* where nobody listens */
    return stage;
}

static void
stage_serve(struct stage *stage)
{
    test_server_start(&stage->server, "--quiet", NULL);
    snprintf(stage->address, sizeof stage->address, "127.0.0.1:%u", stage->server.port);
}

static void
stage_close(struct stage *stage)
{
    test_server_close(&stage->server);
    free(stage);
}

static void
read_all(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t length = file != NULL ? fread(text, 1, size - 1, file) : 0;

    text[length] = 0;
    if (file != NULL)
        fclose(file);
}

static void
write_all(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A path in the stage's folder; each call has its own buffer of four. */
static const char *
path_in(struct stage *stage, const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", stage->server.folder, name);
    return path;
}

/* Run the stage's program on these words, its standard input being a file or nothing. */
static int
stage_exec(struct stage *stage, const char *const *words, const char *input)
{
    char out[256], err[256];
    pid_t child;
    int status;

    snprintf(out, sizeof out, "%s", path_in(stage, "out"));
    snprintf(err, sizeof err, "%s", path_in(stage, "err"));
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("TZ", "UTC", 1);
        unsetenv("USHER_KEY");
        if (freopen(input != NULL ? input : "/dev/null", "r", stdin) == NULL || freopen(out, "w", stdout) == NULL ||
            freopen(err, "w", stderr) == NULL)
            _exit(126);
        execv(stage->program, (char *const *)(uintptr_t)words);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    read_all(out, stage->out, sizeof stage->out);
    read_all(err, stage->err, sizeof stage->err);
    return WEXITSTATUS(status);
}

/* Run usherctl on words that spaces separate, behind --server and --key. Returns its exit code. */
__attribute__((format(printf, 2, 3))) static int
ctl(struct stage *stage, const char *format, ...)
{
    const char *words[64] = {stage->program, "--server", stage->address, "--key", stage->key};
    char line[4096], *rest = line;
    const char *input = NULL;
    va_list arguments;
    int count = 5;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    while ((words[count] = strsep(&rest, " ")) != NULL) {
        assert_true(count < 62);
        if (*words[count] == '<')
            input = words[count] + 1;
        else
            count++;
    }
    stage->code = stage_exec(stage, words, input);
    return stage->code;
}

/* Fail with everything that the last command said. */
#define assert_said(stage, where, what)                                                                                \
    do {                                                                                                               \
        if (strstr((stage)->where, what) == NULL)                                                                      \
            fail_msg("no \"%s\" in its %s\nexit code %d\nout: %s\nerr: %s", what, #where, (stage)->code, (stage)->out, \
                     (stage)->err);                                                                                    \
    } while (0)
#define assert_code(stage, expected, ...)                                                                              \
    do {                                                                                                               \
        if (ctl(stage, __VA_ARGS__) != (expected))                                                                     \
            fail_msg("exit code %d, not %d\nout: %s\nerr: %s", (stage)->code, expected, (stage)->out, (stage)->err);   \
    } while (0)

static json_t *
said_json(struct stage *stage)
{
    json_error_t error;
    json_t *value = json_loads(stage->out, JSON_REJECT_DUPLICATES, &error);

    if (value == NULL)
        fail_msg("not JSON: %s\n%s", error.text, stage->out);
    return value;
}

/* One queue that admits one user each 200 ms, one hall of 10 seats at 500 points, two dates. */
static const char small_house[] =
    "{ \"format\": \"usher-catalogue-1\",\n"
    "  \"policies\": { \"poll_ms_min\": 20 },\n"
    "  \"queues\": [ { \"id\": 0, \"name\": \"door\", \"policies\": { \"admit_batch\": 1, \"admit_interval_ms\": 200 } "
    "} "
    "],\n"
    "  \"plans\": [ { \"id\": 1, \"sections\": [ { \"name\": \"Hall\", \"rows\": 2, \"seats_per_row\": 5 } ] } ],\n"
    "  \"concerts\": [ { \"id\": 1, \"title\": \"Harbour Quartet\", \"plan\": 1, \"prices\": [500], \"refund_until\": "
    "\"1d\",\n"
    "    \"dates\": [ { \"id\": 1, \"starts_at\": \"+30d 19:30\" }, { \"id\": 2, \"starts_at\": \"+31d 19:30\" } ] } ] "
    "}\n";

static void
load_small_house(struct stage *stage)
{
    write_all(path_in(stage, "house.json"), small_house);
    assert_code(stage, 0, "catalogue load %s", path_in(stage, "house.json"));
}

/* --- without a server --------------------------------------------------------------------------------- */
/* F4: help lists every command, and every command has help of its own. */
static void
every_command_has_its_help(void **state)
{
    struct stage *stage = stage_open();
    char list[131072], *rest = list, *line, usage[64];
    unsigned seen = 0;

    (void)state;
    assert_code(stage, 0, "help");
    assert_said(stage, out, "exit codes:");
    strcpy(list, strstr(stage->out, "commands:\n") + strlen("commands:\n"));
    while ((line = strsep(&rest, "\n")) != NULL && *line != 0) {
        char *end = strstr(line + 2, "  ");
        assert_non_null(end);
        *end = 0;
        assert_code(stage, 0, "help %s", line + 2);
        snprintf(usage, sizeof usage, "usage: usherctl %s", line + 2);
        assert_said(stage, out, usage);
        seen++;
    }
    assert_true(seen > 50);
    assert_code(stage, 0, "reserve --help");
    assert_said(stage, out, "--concert-id");
    stage_close(stage);
}

/* F4: every request that a client can make has a command of its own name. */
static void
every_request_has_a_command(void **state)
{
    struct stage *stage = stage_open();
    size_t count;
    const usher_message *messages = usher_messages(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (messages[i].kind == USHER_MESSAGE_CONNECTION || messages[i].kind == USHER_MESSAGE_INTERNAL ||
            messages[i].kind == USHER_MESSAGE_WATCH || messages[i].opcode == USHER_OPCODE_ENROL)
            continue; /* client enrol */
        assert_code(stage, 0, "help %s", messages[i].name);
        assert_said(stage, out, messages[i].summary);
        for (size_t k = 0; k < messages[i].request->field_count; k++)
            assert_said(stage, out, messages[i].request->fields[k].text);
    }
    stage_close(stage);
}

/* F4: nonsense is told by the name of what is wrong, with exit code 2, before any server is asked. */
static void
nonsense_is_named_before_anything_is_sent(void **state)
{
    static const char *const rows[][2] = {
        {"nonsense", "\"nonsense\""},
        {"queue", "queue needs one of these words behind it: list"},
        {"reserve 1 1", "seat is missing"},
        {"reserve 1 1 x", "seat: \"x\""},
        {"reserve 1 1 5-2", "seat: \"2\""},
        {"reserve 1 1 1-17", "seat"},
        {"reserve 1 4294967296 1", "date_id: \"4294967296\""},
        {"reserve -1 1 1", "concert_id: \"-1\""},
        {"reserve 1 1 1 --colour red", "--colour"},
        {"reserve 1 1 1 --user me", "user: \"me\""},
        {"reserve 1 1 1 --user", "--user needs a value"},
        {"queue pause 1 2", "\"2\" is one argument too many"},
        {"set-mode --mode closed", "mode: \"closed\" is none of open paused frozen"},
        {"charge " USER_ANN " 1.5", "amount: \"1.5\""},
        {"charge " USER_ANN " 9223372036854775808", "amount"},
        {"lookup 12", "request_id: \"12\""},
        {"place --token !!!", "token: \"!!!\""},
        {"place --token-file /nonexistent/token", "/nonexistent/token"},
        {"ping --timeout soon", "--timeout: \"soon\""},
        {"ping --timeout", "--timeout needs a value"},
        {"put-date starts_at=yesterday", "starts_at_ms: \"yesterday\""},
        {"put-plan plan=1 section=name=A,rows=x", "row_count: \"x\""},
        {"queue put 1 an-extremely-long-name-that-no-queue-can-have-because-it-is-over-sixty-three-bytes", "name"},
        {"buy", "--user is missing"},
        {"buy --user ann", "--user: \"ann\""},
        {"buy --user " USER_ANN " --date 1", "--date needs --concert"},
        {"buy --user " USER_ANN " --seat 1 --best 2", "--seat and --best"},
        {"buy --user " USER_ANN " --best 17", "--best: \"17\""},
        {"buy --user " USER_ANN " now", "\"now\""},
        {"catalogue load", "FILE is missing"},
        {"catalogue check /nonexistent/file", "/nonexistent/file"},
        {"client invite king Fred", "role: \"king\""},
        {"client invite gateway", "ROLE and NAME"},
        {"client enrol 1234 /nonexistent/key", "CODE: \"1234\""},
        {"verify", "DOCUMENT is missing"},
        {"verify AAAA", "--service-key"},
        {"help nonsense", "\"nonsense\""},
        {"--server nowhere ping", "--server"},
    };
    struct stage *stage = stage_open();
    usher_secret secret;

    (void)state;
    usher_key_make(&secret);
    assert_int_equal(mkdir(stage->server.data, 0700), 0);
    assert_int_equal(usher_key_save(stage->key, &secret, NULL, 0), USHER_STATUS_ANSWERED);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_code(stage, 2, "%s", rows[i][0]);
        assert_said(stage, err, rows[i][1]);
        assert_string_equal(stage->out, "");
        assert_ptr_equal(strchr(stage->err, '\n'), stage->err + strlen(stage->err) - 1); /* one line */
    }
    stage_close(stage);
}

/* F4: a server that is not there is told with its address and how to start it; a key that is not there by its name. */
static void
a_missing_server_and_a_missing_key_say_what_to_do(void **state)
{
    struct stage *stage = stage_open();
    usher_secret secret;

    (void)state;
    assert_code(stage, 2, "ping");
    assert_said(stage, err, stage->key);
    assert_said(stage, err, "--key");
    usher_key_make(&secret);
    assert_int_equal(mkdir(stage->server.data, 0700), 0);
    assert_int_equal(usher_key_save(stage->key, &secret, NULL, 0), USHER_STATUS_ANSWERED);
    assert_code(stage, 3, "ping");
    assert_said(stage, err, "no server answers at 127.0.0.1:1: Connection refused; start a server with ./usher run");
    assert_code(stage, 3, "ping --json");
    assert_said(stage, out, "\"status\": \"not_sent\"");
    stage_close(stage);
}

/* X3: a command that was sent and not answered ends with 4 and tells how to learn the truth; a question with 3. */
static void
a_command_without_an_answer_ends_with_4(void **state)
{
    struct stage *stage = stage_open();
    usher_fake *fake = usher_fake_start(&(usher_fake_options){.script = "any: lose reply"}, NULL, 0);
    usher_fake_request charge;
    usher_secret secret;
    char id[USHER_UUID_TEXT_SIZE];

    (void)state;
    assert_non_null(fake);
    usher_key_make(&secret);
    assert_int_equal(mkdir(stage->server.data, 0700), 0);
    assert_int_equal(usher_key_save(stage->key, &secret, NULL, 0), USHER_STATUS_ANSWERED);
    strcpy(stage->address, usher_fake_address(fake));
    assert_code(stage, 4, "charge " USER_ANN " 100 --timeout 300");
    assert_int_equal(usher_fake_wait(fake, 1, 20000), 1);
    assert_int_equal(usher_fake_request_at(fake, 0, &charge), 1);
    usher_id_format(&charge.request_id, id);
    assert_said(stage, err, "may have been carried out");
    assert_said(stage, err, id);
    assert_code(stage, 3, "balance " USER_ANN " --timeout 300");
    usher_fake_stop(fake);
    stage_close(stage);
}

/* Issue's bad input: a catalogue with mistakes is told of all of them, each with its line, and nothing is sent. */
static void
every_mistake_of_a_catalogue_is_told_with_its_line(void **state)
{
    static const char bad[] =
        "{\n"
        "  \"format\": \"usher-catalogue-2\",\n"
        "  \"colour\": 1,\n"
        "  \"policies\": { \"hold_ms\": 5,\n"
        "                \"admit_batch\": 4 },\n"
        "  \"queues\": [ { \"id\": 1, \"name\": \"\" },\n"
        "              { \"id\": 1, \"name\": \"again\" } ],\n"
        "  \"plans\": [\n"
        "    { \"id\": 3, \"sections\": [ { \"name\": \"B\", \"rows\": 5, \"seats_per_row\": 10 },\n"
        "      { \"name\": \"B\", \"rows\": 0, \"seats_per_row\": 10, \"first_row\": 3,\n"
        "        \"grade\": 8 } ] } ],\n"
        "  \"concerts\": [\n"
        "    { \"id\": 1, \"title\": \"One\", \"queue\": 7, \"plan\": 3, \"dates\": [\n"
        "      { \"id\": 1, \"starts_at\": \"2027-02-30T10:00Z\", \"prices\": [1] },\n"
        "      { \"id\": 2, \"starts_at\": \"+3d\", \"closes_at\": \"+4d\", \"prices\": [-1] },\n"
        "      { \"id\": 2, \"plan\": 9,\n"
        "        \"starts_at\": true } ] } ]\n"
        "}\n";
    static const char *const mistakes[] = {
        ":2: format: ",
        ":3: colour: there is no such member",
        ":4: policies.hold_ms: 5 is not within 1000 and 86400000",
        ":5: policies.admit_batch: there is no such policy of the house",
        ":6: queues[0].name: it is empty",
        ":7: queues[1]: queue 1 is there already",
        ":10: plans[0].sections[1].rows: 0 is not within",
        ":10: plans[0].sections[1]: row 3 of \"B\" is there already",
        ":11: plans[0].sections[1].grade: 8 is not within",
        ":13: concerts[0].queue: there is no queue 7",
        ":14: concerts[0].dates[0].starts_at: \"2027-02-30T10:00Z\"",
        ":15: concerts[0].dates[1].prices[0]: it must be a whole number",
        ":15: concerts[0].dates[1]: its sale closes after the show has begun",
        ":16: concerts[0].dates[2]: date 2 of this concert is there already",
        ":16: concerts[0].dates[2]: there is no plan 9",
        ":17: concerts[0].dates[2].starts_at: it must be a number or a text",
    };
    struct stage *stage = stage_open();
    const size_t count = sizeof mistakes / sizeof *mistakes;
    size_t lines = 0;
    json_t *told;

    (void)state;
    write_all(path_in(stage, "bad.json"), bad);
    assert_code(stage, 2, "catalogue load %s", path_in(stage, "bad.json")); /* no server is there to be asked */
    for (size_t i = 0; i < count; i++)
        assert_said(stage, err, mistakes[i]);
    for (const char *at = stage->err; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, count + 1);
    assert_said(stage, err, "16 mistakes in ");
    assert_code(stage, 2, "catalogue check %s --json", path_in(stage, "bad.json"));
    told = said_json(stage);
    assert_int_equal(json_array_size(json_object_get(told, "mistakes")), count);
    json_decref(told);

    write_all(path_in(stage, "bad.json"),
              "{ \"format\": \"usher-catalogue-1\",\n \"zone\": \"Z\",\n \"zone\": \"Z\" }");
    assert_code(stage, 2, "catalogue check %s", path_in(stage, "bad.json"));
    assert_said(stage, err, ":3: duplicate object key");
    write_all(path_in(stage, "bad.json"), "{ \"format\": \"usher-catalogue-1\",\n\n oops }");
    assert_code(stage, 2, "catalogue check %s", path_in(stage, "bad.json"));
    assert_said(stage, err, ":3: ");
    stage_close(stage);
}

/* --- with a server ------------------------------------------------------------------------------------ */
/* F4, C3: the sample season is sound, loads, and loading it again changes nothing, not even an event. */
static void
the_sample_season_loads_and_loading_it_again_changes_nothing(void **state)
{
    struct stage *stage = stage_open();
    static const char *const figures[] = {"digest", "position", "catalogue_version", "last_event_no"};
    json_t *before, *after, *told;

    (void)state;
    stage_serve(stage);
    assert_code(stage, 0, "catalogue check %s", SEASON_PATH);
    assert_code(stage, 0, "catalogue load %s", SEASON_PATH);
    assert_said(stage, out, "made plan 3 with 12000 seats");
    assert_code(stage, 0, "info --digest --json");
    before = said_json(stage);
    assert_code(stage, 0, "catalogue load %s --json", SEASON_PATH);
    told = said_json(stage);
    assert_int_equal(json_integer_value(json_object_get(told, "made")), 0);
    assert_int_equal(json_integer_value(json_object_get(told, "changed")), 0);
    assert_true(json_integer_value(json_object_get(told, "unchanged")) > 20);
    assert_code(stage, 0, "info --digest --json");
    after = said_json(stage);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        assert_true(json_equal(json_object_get(json_object_get(before, "reply"), figures[i]),
                               json_object_get(json_object_get(after, "reply"), figures[i])));
    json_decref(before);
    json_decref(after);
    json_decref(told);
    stage_close(stage);
}

/* F4: a changed file puts what differs and nothing else; policies that contradict each other stop the load before it.
 */
static void
a_changed_catalogue_puts_what_differs(void **state)
{
    struct stage *stage = stage_open();
    char changed[sizeof small_house + 64], *at;

    (void)state;
    stage_serve(stage);
    load_small_house(stage);
    strcpy(changed, small_house);
    at = strstr(changed, "[500]");
    memcpy(at, "[700]", 5);
    write_all(path_in(stage, "changed.json"), changed);
    assert_code(stage, 0, "catalogue load %s", path_in(stage, "changed.json"));
    assert_said(stage, out, "0 made, 2 changed");
    assert_code(stage, 0, "plan 1 2 --json");
    assert_said(stage, out, "700");

    at = strstr(changed, "\"admit_batch\": 1");
    memcpy(at, "\"active_ms\":9e9", 15); /* 9e9 is no whole number in JSON */
    write_all(path_in(stage, "changed.json"), changed);
    assert_code(stage, 2, "catalogue load %s", path_in(stage, "changed.json"));
    assert_said(stage, err, ":3: queues[0].policies.active_ms: it must be a whole number");
    memcpy(at, "\"active_ms\":9999999", 19);
    at[19] = '}';
    write_all(path_in(stage, "changed.json"), "{ \"format\": \"usher-catalogue-1\", \"queues\": [\n"
                                              "  { \"id\": 5, \"name\": \"new\", \"policies\": {\n"
                                              "    \"active_ms\": 9999999 } } ] }\n");
    assert_code(stage, 2, "catalogue load %s", path_in(stage, "changed.json"));
    assert_said(stage, err, ":3: queue 5: active_ms 9999999 is above active_total_ms 1800000");
    assert_code(stage, 0, "queue list");
    assert_null(strstr(stage->out, "new"));
    stage_close(stage);
}

/* T1 to T5, C1, C2, R1, P1, B1, M10: buy plays the journey a line per step, waits for its turn, and checks the ticket.
 */
static void
buy_plays_the_whole_journey(void **state)
{
    struct stage *stage = stage_open();

    (void)state;
    stage_serve(stage);
    load_small_house(stage);
    assert_code(stage, 0, "join " USER_BOB); /* takes the grant of this interval */
    assert_code(stage, 0, "buy --user " USER_ANN " --concert 1 --date 2 --best 2");
    assert_said(stage, out, "concert 1: Harbour Quartet");
    assert_said(stage, out, "joined queue 0 at place 2");
    assert_said(stage, out, "admitted until");
    assert_said(stage, out, "date 2 at ");
    assert_said(stage, out, "holding seat ");
    assert_said(stage, out, "charged 1000 points");
    assert_said(stage, out, "paid 1000 points, 0 are left");
    assert_said(stage, out, "the ticket is genuine");
    assert_code(stage, 0, "buy --user " USER_ANN " --concert 1 --date 2 --seat 9 --json");
    assert_said(stage, out, "\"ticket\": \"genuine\"");
    assert_code(stage, 1, "buy --user " USER_BOB " --concert 1 --date 2 --seat 9");
    assert_said(stage, err, "SOLD: ");
    assert_said(stage, err, "seat 9: the seat has been paid for");
    assert_code(stage, 1, "buy --user " USER_BOB " --concert 3");
    assert_said(stage, err, "there is no concert 3");
    assert_code(stage, 0, "history " USER_ANN);
    assert_code(stage, 0, "seats 1 2 --user " USER_ANN);
    assert_said(stage, out, "7 of 10 seats are free");
    assert_said(stage, out, "500 a seat (grade 0)");
    assert_code(stage, 0, "ledger " USER_ANN);
    assert_said(stage, out, "balance              0");
    stage_close(stage);
}

/* B2: history follows the events, and buy ends when it has: what is asked next shows the payment. One that stands still
 * is not waited for. */
static void
history_shows_the_payments(void **state)
{
    struct stage *stage = stage_open();
    json_t *told;

    (void)state;
    stage_serve(stage);
    load_small_house(stage);
    for (size_t seat = 1; seat <= 3; seat++) {
        assert_code(stage, 0, "buy --user " USER_ANN " --concert 1 --date 1 --seat %u", (unsigned)seat);
        assert_code(stage, 0, "history " USER_ANN " --json");
        told = said_json(stage);
        assert_int_equal(json_array_size(json_object_get(json_object_get(told, "reply"), "row")), seat);
        json_decref(told);
    }
    assert_code(stage, 0, "history " USER_ANN);
    assert_said(stage, out, "payment");
    test_server_stop(&stage->server, SIGTERM);
    test_server_start(&stage->server, "--quiet", "--history", "off", NULL);
    snprintf(stage->address, sizeof stage->address, "127.0.0.1:%u", stage->server.port);
    assert_code(stage, 0, "buy --user " USER_BOB " --concert 1 --date 1 --seat 4");
    assert_said(stage, out, "the history will show it a little later");
    stage_close(stage);
}

/* F5, Q13: a gateway that enrolled with a one-time code buys with its user's token, step by step, from a file. */
static void
a_gateway_buys_with_a_token_file(void **state)
{
    struct stage *stage = stage_open();
    char code[65], key[256], token[256], ticket[2048], *end;
    json_t *told;

    (void)state;
    stage_serve(stage);
    load_small_house(stage);
    assert_code(stage, 0, "client invite gateway shop --json");
    told = said_json(stage);
    strcpy(code, json_string_value(json_object_get(told, "code")));
    json_decref(told);
    strcpy(key, path_in(stage, "shop.key"));
    strcpy(token, path_in(stage, "ann.token"));
    assert_code(stage, 0, "client enrol %s %s", code, key);
    assert_said(stage, out, "\"shop\"");
    assert_code(stage, 0, "client enrol %s %s", code, key); /* the same key again: found, not refused */
    assert_code(stage, 1, "client enrol %s %s", code, path_in(stage, "thief.key"));
    assert_said(stage, err, "CODE_UNKNOWN");

    stage->key = key;
    assert_code(stage, 1, "seats 1 1 --user " USER_ANN);
    assert_said(stage, err, "TOKEN_MISSING");
    assert_code(stage, 1, "queue pause 0");
    assert_said(stage, err, "ROLE_REFUSED");
    assert_code(stage, 0, "join " USER_ANN " --json --token-file %s", token);
    assert_code(stage, 0, "place --token-file %s", token);
    assert_said(stage, out, "admitted");
    assert_code(stage, 0, "dates 1 --token-file %s", token);
    assert_code(stage, 0, "reserve 1 1 4 5 --token-file %s", token);
    assert_code(stage, 0, "charge --amount 1000 --token-file %s", token);
    assert_said(stage, out, "balance              1000");
    assert_code(stage, 0, "pay 1,2 --token-file %s --json", token);
    told = said_json(stage);
    strcpy(ticket, json_string_value(json_object_get(json_object_get(told, "reply"), "receipt")));
    json_decref(told);
    assert_code(stage, 0, "place --token-file %s", token);
    assert_said(stage, out, "ended by its own payment");

    assert_code(stage, 0, "ping");
    end = strstr(stage->out, "service key ") + strlen("service key ");
    memcpy(code, end, 64);
    code[64] = 0;
    assert_code(stage, 0, "verify %s --service-key %s", ticket, code);
    assert_said(stage, out, "concert 1, date 1, seat 5");
    ticket[40] = ticket[40] == 'A' ? 'B' : 'A';
    assert_code(stage, 1, "verify %s --service-key %s", ticket, code);
    assert_said(stage, err, "changed");
    assert_code(stage, 0, "verify @%s --service-key %s --json", token, code);
    assert_said(stage, out, "\"verdict\": \"genuine\"");

    stage->key = stage->server.admin_key;
    assert_code(stage, 0, "client revoke 2");
    stage->key = key;
    assert_code(stage, 1, "ping");
    assert_said(stage, err, "CLIENT_REVOKED");
    stage_close(stage);
}

/* X3: lookup finds the answer that a request id got, in words and in JSON. */
static void
lookup_finds_what_became_of_a_request(void **state)
{
    const char *id = "0190c0de-0000-7000-8000-0000000000ff";
    struct stage *stage = stage_open();

    (void)state;
    stage_serve(stage);
    assert_code(stage, 0, "points charge " USER_ANN " 750 --request-id %s", id);
    assert_code(stage, 0, "points charge " USER_ANN " 750 --request-id %s --json", id);
    assert_said(stage, out, "\"replayed\": true");
    assert_code(stage, 1, "points charge " USER_ANN " 751 --request-id %s", id);
    assert_said(stage, err, "MISMATCH");
    assert_code(stage, 0, "lookup %s " USER_ANN, id);
    assert_said(stage, out, "charge at ");
    assert_said(stage, out, "balance              750");
    assert_code(stage, 1, "lookup %s " USER_BOB, id);
    assert_said(stage, err, "REQUEST_NOT_FOUND");
    assert_code(stage, 0, "points balance " USER_ANN);
    assert_said(stage, out, "750");
    stage_close(stage);
}

/* Q9, H8, M8: the organiser's verbs, and refusals with what stands in the way. */
static void
the_organiser_pauses_blocks_and_refunds(void **state)
{
    struct stage *stage = stage_open();

    (void)state;
    stage_serve(stage);
    load_small_house(stage);
    assert_code(stage, 0, "queue freeze 0");
    assert_code(stage, 1, "reserve 1 1 1 --user " USER_ANN);
    assert_said(stage, err, "FROZEN");
    assert_code(stage, 0, "queue open 0");
    assert_code(stage, 0, "queue policy 0 admit_batch 7");
    assert_said(stage, out, "before               1");
    assert_code(stage, 0, "queue policies 0");
    assert_code(stage, 1, "policy set hold_ms 5");
    assert_said(stage, err, "the bound is 1000");
    assert_code(stage, 0, "block 1 1 1-3 --reason lighting");
    assert_code(stage, 1, "buy --user " USER_ANN " --concert 1 --date 1 --seat 2");
    assert_said(stage, err, "BLOCKED");
    assert_code(stage, 0, "unblock 1 1 2");
    assert_code(stage, 0, "buy --user " USER_ANN " --concert 1 --date 1 --seat 2");
    assert_code(stage, 0, "refund 1 --user " USER_ANN);
    assert_said(stage, out, "amount               500");
    assert_code(stage, 0, "events");
    assert_said(stage, out, "seat_blocked");
    assert_code(stage, 0, "events 3 --limit 1 --json");
    assert_said(stage, out, "\"event_no\": 4");
    stage_close(stage);
}

/* F4: lists of several pages are shown as one, or a page at a time. */
static void
a_long_list_is_read_page_after_page(void **state)
{
    struct stage *stage = stage_open();
    char text[32768] = "{ \"format\": \"usher-catalogue-1\", \"concerts\": [\n";
    json_t *told;

    (void)state;
    for (unsigned i = 1; i <= 150; i++)
        sprintf(text + strlen(text), "{ \"id\": %u, \"title\": \"Evening %u\", \"dates\": [] }%s\n", i, i,
                i < 150 ? "," : "] }");
    stage_serve(stage);
    write_all(path_in(stage, "long.json"), text);
    assert_code(stage, 0, "catalogue load %s", path_in(stage, "long.json"));
    assert_code(stage, 0, "concerts --json");
    told = said_json(stage);
    assert_int_equal(json_array_size(json_object_get(json_object_get(told, "reply"), "concert")), 150);
    json_decref(told);
    assert_code(stage, 0, "concerts --json --one-page");
    told = said_json(stage);
    assert_int_equal(json_array_size(json_object_get(json_object_get(told, "reply"), "concert")), 64);
    json_decref(told);
    assert_code(stage, 0, "concerts --after 148");
    assert_said(stage, out, "Evening 150");
    assert_null(strstr(stage->out, "Evening 148"));
    stage_close(stage);
}

/* F4: the shell runs a line after another on one connection and goes on after a mistake. */
static void
the_shell_runs_a_line_after_another(void **state)
{
    struct stage *stage = stage_open();

    (void)state;
    stage_serve(stage);
    write_all(path_in(stage, "lines"), "# a comment\n\nqueue put 3 \"Two words\"\nnonsense\nshell\n"
                                       "put-queue queue=4 name='un ended\nqueue list\nping\n");
    assert_code(stage, 0, "shell <%s", path_in(stage, "lines"));
    assert_said(stage, out, "Two words");
    assert_said(stage, err, "\"nonsense\"");
    assert_said(stage, err, "this is the shell already");
    assert_said(stage, err, "a quote has no end");
    assert_said(stage, out, "answers; this is client 1");
    write_all(path_in(stage, "lines"), "ping\nnonsense\n");
    assert_code(stage, 2, "shell <%s", path_in(stage, "lines"));
    write_all(path_in(stage, "lines"), "nonsense\nexit\nping\n");
    assert_code(stage, 0, "shell <%s", path_in(stage, "lines"));
    assert_null(strstr(stage->out, "answers"));
    stage_close(stage);
}

/* F4: the example that integrators begin with buys a ticket. */
static void
the_example_buys_a_ticket(void **state)
{
    struct stage *stage = stage_open();
    const char *words[] = {BUY_TICKET_PATH, stage->address, stage->server.admin_key, NULL};

    (void)state;
    stage_serve(stage);
    load_small_house(stage);
    stage->program = BUY_TICKET_PATH;
    stage->code = stage_exec(stage, words, NULL);
    assert_int_equal(stage->code, 0);
    assert_said(stage, out, "seat ");
    assert_said(stage, out, "ticket of payment 1: concert 1, date 1, seat ");
    stage->code = stage_exec(stage, words, NULL); /* another user, who waits for the next interval */
    assert_int_equal(stage->code, 0);
    assert_said(stage, out, "ticket of payment 2: ");
    words[1] = NULL;
    assert_int_equal(stage_exec(stage, words, NULL), 2);
    stage_close(stage);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_has_its_help),
        cmocka_unit_test(every_request_has_a_command),
        cmocka_unit_test(nonsense_is_named_before_anything_is_sent),
        cmocka_unit_test(a_missing_server_and_a_missing_key_say_what_to_do),
        cmocka_unit_test(a_command_without_an_answer_ends_with_4),
        cmocka_unit_test(every_mistake_of_a_catalogue_is_told_with_its_line),
        cmocka_unit_test(the_sample_season_loads_and_loading_it_again_changes_nothing),
        cmocka_unit_test(a_changed_catalogue_puts_what_differs),
        cmocka_unit_test(buy_plays_the_whole_journey),
        cmocka_unit_test(history_shows_the_payments),
        cmocka_unit_test(a_gateway_buys_with_a_token_file),
        cmocka_unit_test(lookup_finds_what_became_of_a_request),
        cmocka_unit_test(the_organiser_pauses_blocks_and_refunds),
        cmocka_unit_test(a_long_list_is_read_page_after_page),
        cmocka_unit_test(the_shell_runs_a_line_after_another),
        cmocka_unit_test(the_example_buys_a_ticket),
    };

    return usher_test_main(argc, argv, tests);
}
