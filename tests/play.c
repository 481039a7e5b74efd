/* play.c: the lines of a scene; play.h says what they look like. */
#define _GNU_SOURCE /* program_invocation_short_name, vasprintf */
#include "tests/play_stage.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAST_MOST     4000u /* characters of earlier lines that a failure prints */
#define EVENTS_A_LINE 4096u

/* --- failing ----------------------------------------------------------------------------------------------- */
static void
print_lines(const char *lines, const char *marked)
{
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        print_error("%s %.*s\n", lines == marked ? "  -->" : "     ", (int)(length < 900 ? length : 900), lines);
        lines += length + (lines[length] == '\n');
    }
}

void
play_fail(struct play *play, const char *format, ...)
{
    static char text[PLAY_LINE_MOST];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t past = strlen(play->past);
    print_lines(play->past + (past > PAST_MOST ? past - PAST_MOST : 0), NULL);
    print_lines(play->lines, play->line);
    print_error("  why: %.900s\n", text);
    if (play->came[0] != '\0')
        print_error("  came instead: %.900s\n", play->came);
    print_error("  repeat: ctest --output-on-failure -R '^%s\\.%s$'\n", program_invocation_short_name, play->test);
    fail();
    abort(); /* fail() does not come back */
}

/* --- opening and closing ----------------------------------------------------------------------------------- */
static void
house_open(struct house *house)
{
    house->store = store_open_memory();
    assert(house->store != NULL);
    house->core = core_open(house->store);
    assert(house->core != NULL);
}

static void
house_close(struct house *house)
{
    core_close(house->core);
    store_close(house->store);
}

void *
play_keep(struct play *play, size_t size)
{
    void *memory = calloc(1, size);
    assert(memory != NULL);
    assert(play->kept_count < PLAY_KEPT_MOST);
    return play->kept[play->kept_count++] = memory;
}

void
play_let_go(struct play *play)
{
    assert(play->kept_count > 0);
    free(play->kept[--play->kept_count]);
}

int
play_open(void **state)
{
    struct play *play = calloc(1, sizeof *play);
    assert(play != NULL);
    house_open(&play->stage);
    house_open(&play->twin);
    play->people = people_open();
    play->now_ms = PLAY_BASE_MS + 1;
    play->wake = play->audit = true;
    size_t count;
    const usher_message *messages = usher_messages(&count);
    play->reply_size = usher_refusal_layout()->struct_size;
    for (size_t i = 0; i < count; i++)
        if (messages[i].reply->struct_size > play->reply_size)
            play->reply_size = messages[i].reply->struct_size;
    play->reply = calloc(1, play->reply_size);
    play->past = calloc(1, 1);
    assert(play->reply != NULL);
    assert(play->past != NULL);
    *state = play;
    return 0;
}

int
play_close(void **state)
{
    struct play *play = *state;
    if (play != NULL) {
        while (play->kept_count > 0)
            play_let_go(play);
        house_close(&play->stage);
        house_close(&play->twin);
        people_close(play->people);
        free(play->reply);
        free(play->past);
        free(play);
    }
    *state = NULL;
    return 0;
}

struct store *
play_store(void **state)
{
    return ((struct play *)*state)->stage.store;
}

uint64_t
play_reads(void **state, enum store_table table)
{
    return ((struct play *)*state)->reads[table];
}

/* --- a line's answer --------------------------------------------------------------------------------------- */
static void
remember_holds(struct play_person *person, const usher_hold *hold, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++)
        numbers_add(&person->reservations, hold[i].reservation_id);
}

static void
remember(const struct ask *ask, const void *reply)
{
    const usher_join_reply *join = reply;
    const usher_reserve_reply *reserve = reply;
    const usher_reserve_best_reply *best = reply;
    const usher_swap_reply *swap = reply;

    if (ask->user == NULL)
        return;
    if (ask->message->opcode == USHER_OPCODE_JOIN)
        person_got_token(ask->user, join->queue_id, join->position);
    if (ask->message->opcode == USHER_OPCODE_RESERVE)
        remember_holds(ask->user, reserve->hold, reserve->hold_count);
    if (ask->message->opcode == USHER_OPCODE_RESERVE_BEST)
        remember_holds(ask->user, best->hold, best->hold_count);
    if (ask->message->opcode == USHER_OPCODE_SWAP)
        remember_holds(ask->user, swap->hold, swap->hold_count);
    if (ask->message->opcode == USHER_OPCODE_PAY)
        numbers_add(&ask->user->payments, ((const usher_pay_reply *)reply)->payment_id);
    if (ask->message->opcode == USHER_OPCODE_REFUND)
        numbers_add(&ask->user->refunds, ((const usher_refund_reply *)reply)->refund_id);
}

static void
check_answer(struct play *play, const struct line *line, const struct core_answer *answer)
{
    char why[TEXT_WHY_SIZE];
    unsigned result;

    size_t length = (size_t)snprintf(play->came, sizeof play->came, "%s%s ", usher_result_name(answer->result),
                                     answer->replayed ? " replayed" : "");
    text_print(play->people, answer->layout, play->reply, play->came + length, sizeof play->came - length);
    if (!line->has_arrow)
        play_fail(play, "the scene is wrong: a request needs an expected answer");
    if (line->expected_count == 0 || !text_result(line->expected[0], &result))
        play_fail(play, "the scene is wrong: no such result");
    if (result != answer->result)
        play_fail(play, "another result");
    bool replayed = line->expected_count > 1 && strcmp(line->expected[1], "replayed") == 0;
    if (replayed != answer->replayed)
        play_fail(play, "%s", replayed ? "not a first answer given again" : "a first answer given again");
    for (size_t i = replayed ? 2 : 1; i < line->expected_count; i++)
        if (!text_expect(play->people, answer->layout, play->reply, line->expected[i], why))
            play_fail(play, "%s", why);
    play->came[0] = '\0';
}

static void
run_request(struct play *play, const struct line *line)
{
    static uint8_t bytes[PLAY_REPLY_MOST];
    struct ask ask;
    core_trace trace = {0};
    struct core_answer answer;

    ask_make(play, line, &ask);
    if (ask.message->kind == USHER_MESSAGE_QUERY) {
        if (play->batch_open)
            play_fail(play, "the scene is wrong: a query is no part of a batch");
        answer = stage_query(play, &ask, &trace);
    } else {
        answer = stage_apply(play, &ask, !line->joins && !line->stays_open);
    }
    stage_encode(play, &answer, bytes);
    memcpy(play->reply, answer.reply, answer.layout->struct_size);
    if (answer.result == USHER_OK)
        remember(&ask, play->reply);
    if (!line->stays_open)
        stage_close_batch(play);
    stage_leave_trace(play, &trace);
    check_answer(play, line, &answer);
    play_let_go(play);
}

/* --- other lines ------------------------------------------------------------------------------------------- */
static void run_line(struct play *play, const char *text, size_t length, bool stays_open);
static void run_made(struct play *play, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line that another line stands for. */
static void
run_made(struct play *play, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert(length > 0);
    assert((size_t)length < sizeof text);
    run_line(play, text, (size_t)length, false);
}

/* policy name=value ..., queue 2 policy name=value ... */
static void
run_policies(struct play *play, const struct line *line, size_t from, const char *of_queue, const char *queue_id)
{
    char expected[256] = "OK";

    for (size_t i = 0; i < line->expected_count; i++)
        snprintf(expected + (i > 0 ? strlen(expected) : 0), sizeof expected - (i > 0 ? strlen(expected) : 0), "%s%s",
                 i > 0 ? " " : "", line->expected[i]);
    for (size_t i = from; i < line->word_count; i++) {
        char *value = strchr(line->words[i], '=');
        if (value == NULL)
            play_fail(play, "the scene is wrong: not a policy: %s", line->words[i]);
        *value++ = '\0';
        uint64_t number = strtoull(value, NULL, 10);
        if (strcmp(line->words[i], "opens_at_ms") == 0 && number != 0)
            number += PLAY_BASE_MS;
        run_made(play, "admin set_policy of_queue=%s queue=%s name=%s value=%" PRIu64 " -> %s", of_queue, queue_id,
                 line->words[i], number, expected);
    }
}

static void
run_policy(struct play *play, const struct line *line)
{
    run_policies(play, line, 1, "no", "0");
}

static void
run_queue(struct play *play, const struct line *line)
{
    if (line->word_count < 4 || strcmp(line->words[2], "policy") != 0)
        play_fail(play, "the scene is wrong: queue ID policy name=value");
    run_policies(play, line, 3, "yes", line->words[1]);
}

/* house: one concert with its dates, all of one plan. Whatever is not said is as in this table. */
static const struct option {
    const char *name;
    uint64_t usual;
} house_options[] = {
    {"seats", 50},
    {"row", 10},
    {"dates", 1},
    {"concert", 1},
    {"plan", 1},
    {"queue", 0},
    {"price", 1000},
    {"opens", 0},
    {"closes", 0},
    {"starts", 2592000000},
    {"refund_until", 86400000},
    {"gap", 86400000}, /* from one date's show to the next */
};
enum { SEATS, ROW, DATES, CONCERT, PLAN, QUEUE, PRICE, OPENS, CLOSES, STARTS, REFUND_UNTIL, GAP, OPTION_COUNT };

static void
run_house(struct play *play, const struct line *line)
{
    uint64_t option[OPTION_COUNT];
    char rest[64] = "";

    for (size_t i = 0; i < OPTION_COUNT; i++)
        option[i] = house_options[i].usual;
    for (size_t i = 1; i < line->word_count; i++) {
        size_t length = strcspn(line->words[i], "="), j = 0;
        while (j < OPTION_COUNT &&
               (strncmp(house_options[j].name, line->words[i], length) != 0 || strlen(house_options[j].name) != length))
            j++;
        if (j == OPTION_COUNT || line->words[i][length] != '=')
            play_fail(play, "the scene is wrong: a house has no %s", line->words[i]);
        option[j] = strtoull(line->words[i] + length + 1, NULL, 10);
    }
    if (option[QUEUE] != 0)
        run_made(play, "admin put_queue queue=%" PRIu64 " name='queue %" PRIu64 "' -> OK", option[QUEUE],
                 option[QUEUE]);
    uint64_t rows = option[SEATS] / option[ROW], left = option[SEATS] % option[ROW];
    if (left != 0)
        snprintf(rest, sizeof rest, "%sHall:%" PRIu64 ":1:%" PRIu64 ":0", rows > 0 ? "," : "", rows + 1, left);
    if (rows > 0)
        run_made(play,
                 "admin put_plan plan=%" PRIu64 " section=Hall:1:%" PRIu64 ":%" PRIu64 ":0%s -> OK seat_count=%" PRIu64,
                 option[PLAN], rows, option[ROW], rest, option[SEATS]);
    else
        run_made(play, "admin put_plan plan=%" PRIu64 " section=%s -> OK seat_count=%" PRIu64, option[PLAN], rest,
                 option[SEATS]);
    run_made(play,
             "admin put_concert concert=%" PRIu64 " queue=%" PRIu64 " title='Concert %" PRIu64 "' venue=Hall -> OK",
             option[CONCERT], option[QUEUE], option[CONCERT]);
    for (uint64_t i = 0; i < option[DATES]; i++)
        run_made(play,
                 "admin put_date concert=%" PRIu64 " date=%" PRIu64 " plan=%" PRIu64 " starts_at=%" PRIu64
                 " opens_at=%" PRIu64 " closes_at=%" PRIu64 " refund_until=%" PRIu64 " price=%" PRIu64 " -> OK",
                 option[CONCERT], i + 1, option[PLAN], option[STARTS] + i * option[GAP], option[OPENS], option[CLOSES],
                 option[REFUND_UNTIL], option[PRICE]);
}

static void
run_tick(struct play *play, const struct line *line)
{
    (void)line;
    stage_tick(play);
}

static void
run_switch(struct play *play, const struct line *line)
{
    bool on = line->word_count > 1 && strcmp(line->words[1], "on") == 0;
    if (strcmp(line->words[0], "wake") == 0)
        play->wake = on;
    else
        play->audit = on;
}

/* Read the events since the last line, a page at a time. */
static size_t
read_events(struct play *play, usher_event *events)
{
    size_t count = 0;

    for (;;) {
        usher_events_request body = {.after_event_no = play->events_from + count};
        struct core_request request = {
            .opcode = USHER_OPCODE_EVENTS, .asker = {.role = USHER_ROLE_ADMIN, .client_no = 2}, .body = &body};
        core_trace touch;
        struct core_answer answer = core_query(play->stage.core, &request, play->now_ms, &touch);
        if (answer.result != USHER_OK)
            play_fail(play, "reading the events gave %s", usher_result_name(answer.result));
        const usher_events_reply *reply = answer.reply;
        if (reply->event_count == 0)
            return count;
        for (uint16_t i = 0; i < reply->event_count; i++) {
            if (reply->event[i].event_no != play->events_from + count + 1)
                play_fail(play, "X5: the events' numbers have a gap");
            if (count == EVENTS_A_LINE)
                play_fail(play, "the scene is wrong: too many events for one line");
            events[count++] = reply->event[i];
        }
    }
}

static const usher_layout *
event_layout(void)
{
    return text_field(usher_message_of(USHER_OPCODE_EVENTS)->reply, "event")->item;
}

/* kind, kind*3, or kind:field=value:...; returns how many events it takes. */
static size_t
match_event(struct play *play, char *word, const usher_event *events, size_t left)
{
    char condition[128], why[TEXT_WHY_SIZE], *rest = word;
    char *star = strchr(word, '*');
    size_t times = star != NULL ? (size_t)atoi(star + 1) : 1;

    if (star != NULL)
        *star = '\0';
    const char *kind = strsep(&rest, ":");
    snprintf(condition, sizeof condition, "kind=%s", kind);
    for (size_t i = 0; i < times; i++)
        if (i >= left || !text_expect(play->people, event_layout(), &events[i], condition, why))
            play_fail(play, "another event than %s, or none", kind);
    while (rest != NULL) {
        const char *part = strsep(&rest, ":");
        if (!text_expect(play->people, event_layout(), &events[0], part, why))
            play_fail(play, "of event %s: %s", kind, why);
    }
    return times;
}

static void
run_events(struct play *play, const struct line *line)
{
    static usher_event events[EVENTS_A_LINE];
    char text[1024];
    size_t count = read_events(play, events), at = 0;

    play->came[0] = '\0';
    for (size_t i = 0; i < count && strlen(play->came) + sizeof text < sizeof play->came; i++) {
        text_print(play->people, event_layout(), &events[i], text, sizeof text);
        snprintf(play->came + strlen(play->came), sizeof play->came - strlen(play->came), "\n     %s", text);
    }
    bool none = line->word_count == 2 && strcmp(line->words[1], "none") == 0;
    for (size_t i = 1; !none && i < line->word_count; i++)
        at += match_event(play, line->words[i], events + at, count - at);
    if (at != count)
        play_fail(play, "%zu events more", count - at);
    play->came[0] = '\0';
}

/* As usherd starts: if the clock has gone on since the last stamp, nobody was alive in between. The start is a batch of
 * its own where the server wakes by itself. */
static void
run_down(struct play *play, const struct line *line)
{
    struct house_record house;

    store_get_house(play->stage.store, 0, &house);
    play->now_ms = line->at_ms;
    if (house.stamp_ms != 0 && play->now_ms > house.stamp_ms)
        play->down_since_ms = house.stamp_ms;
    if (play->wake && play->down_since_ms != 0)
        stage_tick(play);
}

static const struct {
    const char *word;
    void (*run)(struct play *play, const struct line *line);
    bool keeps_events; /* it asks about the line before */
} directives[] = {
    {"policy", run_policy, false}, {"queue", run_queue, false}, {"house", run_house, false},  {"tick", run_tick, false},
    {"wake", run_switch, true},    {"audit", run_switch, true}, {"events", run_events, true}, {"down", run_down, true},
};

/* --- lines ------------------------------------------------------------------------------------------------- */
/* Cut at spaces, but not within '...'; the quotes go. */
static char *
next_word(char **rest)
{
    char *from = *rest + strspn(*rest, " "), *to = from;
    bool quoted = false;

    if (*from == '\0')
        return NULL;
    char *word = from;
    for (; *from != '\0' && (quoted || *from != ' '); from++) {
        if (*from == '\'')
            quoted = !quoted;
        else
            *to++ = *from;
    }
    *rest = *from == '\0' ? from : from + 1;
    *to = '\0';
    return word;
}

static void
parse_line(struct play *play, struct line *line)
{
    char *rest = line->text, *word;

    line->at_ms = play->now_ms;
    while ((word = next_word(&rest)) != NULL) {
        if (strcmp(word, "->") == 0)
            line->has_arrow = true;
        else if (strcmp(word, "&") == 0)
            line->joins = true;
        else if (word[0] == '@' && word[1] == '+')
            line->at_ms = play->now_ms + strtoull(word + 2, NULL, 10);
        else if (word[0] == '@')
            line->at_ms = PLAY_BASE_MS + strtoull(word + 1, NULL, 10);
        else if (line->word_count == PLAY_WORDS_MOST || line->expected_count == PLAY_WORDS_MOST)
            play_fail(play, "the scene is wrong: too many words");
        else if (line->has_arrow)
            line->expected[line->expected_count++] = word;
        else
            line->words[line->word_count++] = word;
    }
}

static void
run_line(struct play *play, const char *text, size_t length, bool stays_open)
{
    struct line *line = play_keep(play, sizeof *line);
    if (length >= sizeof line->text)
        play_fail(play, "the scene is wrong: too long a line");
    memcpy(line->text, text, length);
    line->stays_open = stays_open;
    parse_line(play, line);
    play->line_count++;
    size_t i = 0, count = sizeof directives / sizeof *directives;
    while (i < count && line->word_count > 0 && strcmp(directives[i].word, line->words[0]) != 0)
        i++;
    if (line->word_count > 0 && line->words[0][0] != '#') {
        if (line->at_ms < play->now_ms || (line->joins && line->at_ms != play->now_ms))
            play_fail(play, "the scene is wrong: time goes backwards, or on within a batch");
        if (!line->joins && (i == count || !directives[i].keeps_events)) {
            struct house_record house;
            store_get_house(play->stage.store, 0, &house);
            play->events_from = house.last_event_no;
            stage_wake_until(play, line->at_ms);
        }
        if (i < count)
            directives[i].run(play, line);
        else
            run_request(play, line);
        if (!play->batch_open)
            stage_check(play);
    }
    play_let_go(play);
}

void
play_lines(struct play *play, const char *test, const char *lines)
{
    if (play->test == NULL)
        play->test = test; /* later lines may come from a helper of the test */
    play->lines = lines;
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        const char *next = lines + length + (lines[length] == '\n');
        play->line = lines;
        run_line(play, lines, length, next[strspn(next, " ")] == '&');
        lines = next;
    }
    /* Keep the end of what was played, for a later failure. */
    size_t past = strlen(play->past), length = strlen(play->lines);
    size_t cut = past + length > 4 * PAST_MOST ? past : 0;
    char *grown = realloc(play->past, past - cut + length + 1);
    assert(grown != NULL);
    memcpy(grown + past - cut, play->lines, length + 1);
    play->past = grown;
    play->lines = play->line = "";
}

void
play_lines_format(struct play *play, const char *test, const char *format, ...)
{
    va_list arguments;
    char *lines;

    va_start(arguments, format);
    int length = vasprintf(&lines, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    play_lines(play, test, lines);
    free(lines);
}
