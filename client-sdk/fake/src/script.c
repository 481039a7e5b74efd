/* script.c: reads the script of faults.
 *
 *     line     = selector [which] [times] ":" deeds
 *     selector = names | "push" names | "connect" | "after" N "bytes" ["read"] | "seed" N
 *     which    = "#" N ["-" [N]]            times = "*" N
 *     deeds    = fault                      or, of the dice,
 *                "random" ["faults"] "p=" P ["of" fault {"|" fault}]
 *     fault    = action {"," action}
 *
 * Each line becomes a rule. A line that contradicts itself is refused, for a fault that silently does nothing would
 * make a test that can't fail. */
#include "client-sdk/fake/src/script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/protocol.h"

#define R FAKE_AT_REQUEST
#define P FAKE_AT_PUSH
#define C FAKE_AT_CONNECT
#define B (FAKE_AT_SENT | FAKE_AT_READ)

enum need { NO, MAY, MUST };

static const struct action_row {
    const char *name;
    unsigned where;
    enum need need;
    uint32_t usual, most;
} action_rows[FAKE_ACTION_COUNT] = {
#define FAKE_ACTION(NAME, name, where, need, usual, most) [FAKE_##NAME] = {name, where, need, usual, most},
#include "client-sdk/fake/src/actions.def"
};

/* Actions that can't stand in one fault: the first with each of the others. */
static const struct {
    enum fake_action action;
    uint32_t others;
    const char *why;
} contradictions[] = {
    {FAKE_DROP, ~FAKE_BIT(FAKE_DROP) & ~FAKE_BIT(FAKE_PUSH), "what is dropped can't be given anything else to do"},
    {FAKE_LOSE_REPLY, FAKE_SHAPES | FAKE_BIT(FAKE_REPLY) | FAKE_BIT(FAKE_REFUSE), "a lost reply can't be shaped"},
    {FAKE_REFUSE, FAKE_BIT(FAKE_APPLY) | FAKE_BIT(FAKE_LATE) | FAKE_BIT(FAKE_FORGE), "what is refused is not applied"},
    {FAKE_CUT, FAKE_BIT(FAKE_RESET), "a connection ends once"},
    {FAKE_REORDER, FAKE_BIT(FAKE_DELAY), "it waits for another answer or for a time, not for both"},
};

/* What the dice choose from unless the line says it. */
static const char usual_faults[] =
    "delay 5 | late 5 | drop | lose reply | cut | reset | apply, cut | apply, reset | apply, reply, cut | cut 1 | "
    "cut 40 | duplicate | reorder 5 | trickle | garble | garbage | renumber | version | refuse BUSY 2 | "
    "refuse GOING_AWAY, cut | push going_away";

#define HANDSHAKE_SURVIVES                                                                                             \
    (FAKE_BIT(FAKE_APPLY) | FAKE_BIT(FAKE_REPLY) | FAKE_BIT(FAKE_DROP) | FAKE_BIT(FAKE_LOSE_REPLY) |                   \
     FAKE_BIT(FAKE_CUT) | FAKE_BIT(FAKE_RESET) | FAKE_BIT(FAKE_DELAY) | FAKE_BIT(FAKE_TRICKLE))

/* --- words ------------------------------------------------------------------------------------------------ */
struct reader {
    const char *at, *end; /* what is left of the line */
    const char *begin;    /* the line, for columns */
    unsigned line;
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static bool
fail(struct reader *reader, const char *format, ...)
{
    va_list arguments;
    int size;

    if (reader->why == NULL || reader->why_size == 0)
        return false;
    size = snprintf(reader->why, reader->why_size, "line %u, column %u: ", reader->line,
                    (unsigned)(reader->at - reader->begin) + 1);
    if (size < 0 || (size_t)size >= reader->why_size)
        return false;
    va_start(arguments, format);
    vsnprintf(reader->why + size, reader->why_size - (size_t)size, format, arguments);
    va_end(arguments);
    return false;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool
is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void
skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && is_blank(*reader->at))
        reader->at++;
}

/* Take this sign if it is next. */
static bool
take_sign(struct reader *reader, char sign)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != sign)
        return false;
    reader->at++;
    return true;
}

/* The length of the word that is next; 0: none is. */
static size_t
word_length(struct reader *reader)
{
    size_t length = 0;

    skip_blanks(reader);
    while (reader->at + length < reader->end && is_word(reader->at[length]))
        length++;
    return length;
}

static bool
word_is(struct reader *reader, const char *text)
{
    size_t length = word_length(reader);

    return length == strlen(text) && memcmp(reader->at, text, length) == 0;
}

/* Take these words, one blank between two of them in text, if they are next. */
static bool
take_words(struct reader *reader, const char *text)
{
    struct reader ahead = *reader;

    for (;;) {
        size_t length = strcspn(text, " ");
        if (word_length(&ahead) != length || memcmp(ahead.at, text, length) != 0)
            return false;
        ahead.at += length;
        text += length;
        if (*text == 0)
            break;
        text++;
    }
    *reader = ahead;
    return true;
}

static bool
number_is_next(struct reader *reader)
{
    skip_blanks(reader);
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static bool
take_number(struct reader *reader, uint64_t least, uint64_t most, uint64_t *number)
{
    const char *at;

    if (!number_is_next(reader))
        return fail(reader, "a number is missing");
    *number = 0;
    for (at = reader->at; at < reader->end && *at >= '0' && *at <= '9'; at++) {
        if (*number > (UINT64_MAX - 9) / 10)
            return fail(reader, "the number is too large");
        *number = *number * 10 + (uint64_t)(*at - '0');
    }
    if (at < reader->end && is_word(*at))
        return fail(reader, "this is not a number");
    if (*number < least || *number > most)
        return fail(reader, "the number must be from %llu to %llu", (unsigned long long)least,
                    (unsigned long long)most);
    reader->at = at;
    return true;
}

/* --- selectors --------------------------------------------------------------------------------------------- */
static uint16_t
message_named(const char *name, size_t length)
{
    size_t count;
    const usher_message *messages = usher_messages(&count);

    for (size_t i = 0; i < count; i++)
        if (messages[i].kind != USHER_MESSAGE_INTERNAL && strlen(messages[i].name) == length &&
            memcmp(messages[i].name, name, length) == 0)
            return messages[i].opcode;
    return 0;
}

static uint16_t
push_named(const char *name, size_t length)
{
    size_t count;
    const usher_push *pushes = usher_pushes(&count);

    for (size_t i = 0; i < count; i++)
        if (strlen(pushes[i].name) == length && memcmp(pushes[i].name, name, length) == 0)
            return pushes[i].opcode;
    return 0;
}

static bool
read_names(struct reader *reader, struct fake_rule *rule)
{
    if (take_words(reader, "any")) {
        rule->any = true;
        return true;
    }
    do {
        size_t length = word_length(reader);
        uint16_t opcode =
            rule->where == FAKE_AT_PUSH ? push_named(reader->at, length) : message_named(reader->at, length);
        if (length == 0)
            return fail(reader, "the name of a %s is missing", rule->where == FAKE_AT_PUSH ? "push" : "request");
        if (opcode == 0)
            return fail(reader, "there is no %s \"%.*s\"", rule->where == FAKE_AT_PUSH ? "push" : "request",
                        (int)length, reader->at);
        if (rule->opcode_count == FAKE_NAMES_MOST)
            return fail(reader, "a selector names at most %d", FAKE_NAMES_MOST);
        rule->opcode[rule->opcode_count++] = opcode;
        reader->at += length;
    } while (take_sign(reader, ','));
    return true;
}

static bool
read_selector(struct reader *reader, struct fake_rule *rule)
{
    rule->where = FAKE_AT_REQUEST;
    if (take_words(reader, "seed")) {
        rule->dice = true;
        return take_number(reader, 0, UINT64_MAX, &rule->lots);
    }
    if (take_words(reader, "connect")) {
        rule->where = FAKE_AT_CONNECT;
        return true;
    }
    if (take_words(reader, "after")) {
        if (!take_number(reader, 1, UINT64_MAX, &rule->bytes))
            return false;
        if (!take_words(reader, "bytes") && !take_words(reader, "byte"))
            return fail(reader, "the word \"bytes\" is missing");
        rule->where = take_words(reader, "read") ? FAKE_AT_READ : FAKE_AT_SENT;
        return true;
    }
    if (take_words(reader, "push"))
        rule->where = FAKE_AT_PUSH;
    return read_names(reader, rule);
}

/* "#2-4" and "*1". */
static bool
read_which(struct reader *reader, struct fake_rule *rule)
{
    rule->first = 1;
    rule->last = rule->times = UINT64_MAX;
    if (take_sign(reader, '#')) {
        if (!take_number(reader, 1, UINT64_MAX - 1, &rule->first))
            return false;
        rule->last = rule->first;
        if (take_sign(reader, '-')) {
            rule->last = UINT64_MAX;
            if (number_is_next(reader) && !take_number(reader, rule->first, UINT64_MAX - 1, &rule->last))
                return false;
        }
    }
    if (take_sign(reader, '*') && !take_number(reader, 1, UINT64_MAX - 1, &rule->times))
        return false;
    return true;
}

/* --- actions ----------------------------------------------------------------------------------------------- */
static bool
read_result(struct reader *reader, struct fake_fault *fault)
{
    static const struct {
        const char *name;
        uint16_t value;
    } rows[] = {
#define USHER_RESULT(value, name, class, text) {#name, value},
#include "protocol/results.def"
    };
    uint64_t retry_ms;
    size_t length;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value != USHER_OK && take_words(reader, rows[i].name)) {
            fault->result = rows[i].value;
            if (!number_is_next(reader))
                return true;
            if (!take_number(reader, 0, action_rows[FAKE_REFUSE].most, &retry_ms))
                return false;
            fault->number[FAKE_REFUSE] = (uint32_t)retry_ms;
            return true;
        }
    length = word_length(reader); /* it skips blanks, so not among the arguments */
    return fail(reader, "there is no result \"%.*s\" to refuse with", (int)length, reader->at);
}

static bool
read_push(struct reader *reader, struct fake_fault *fault)
{
    size_t length = word_length(reader);

    fault->push_behind = (fault->actions & FAKE_BIT(FAKE_REPLY)) != 0;
    fault->push = word_is(reader, "unknown") ? 0xfeff : push_named(reader->at, length);
    if (fault->push == 0)
        return fail(reader, "there is no push \"%.*s\"", (int)length, reader->at);
    reader->at += length;
    return true;
}

static bool
read_action(struct reader *reader, const struct fake_rule *rule, struct fake_fault *fault)
{
    size_t length;

    skip_blanks(reader); /* so that a complaint points at the word */
    for (unsigned i = 0; i < FAKE_ACTION_COUNT; i++) {
        const struct action_row *row = &action_rows[i];
        struct reader before = *reader;
        uint64_t number = row->usual;

        if (!take_words(reader, row->name))
            continue;
        if ((row->where & (unsigned)rule->where) == 0)
            return fail(&before, "\"%s\" can't happen to this", row->name);
        if ((fault->actions & FAKE_BIT(i)) != 0)
            return fail(&before, "\"%s\" stands here twice", row->name);
        if (i == FAKE_REFUSE && !read_result(reader, fault))
            return false;
        if (i == FAKE_PUSH && !read_push(reader, fault))
            return false;
        if (row->need == MUST || (row->need == MAY && number_is_next(reader)))
            if (!take_number(reader, 1, row->most, &number))
                return false;
        fault->actions |= FAKE_BIT(i);
        if (row->need != NO)
            fault->number[i] = (uint32_t)number;
        return true;
    }
    length = word_length(reader); /* it skips blanks, so not among the arguments */
    return fail(reader, "there is no action \"%.*s\"", (int)length, reader->at);
}

/* What only makes sense together is there together. */
static bool
check_fault(struct reader *reader, const struct fake_rule *rule, const struct fake_fault *fault)
{
    static const uint16_t signed_replies[] = {USHER_OPCODE_HELLO, USHER_OPCODE_JOIN, USHER_OPCODE_PAY,
                                              USHER_OPCODE_RECEIPT};

    for (size_t i = 0; i < sizeof contradictions / sizeof *contradictions; i++)
        if (fake_does(fault, contradictions[i].action) && (fault->actions & contradictions[i].others) != 0)
            return fail(reader, "\"%s\": %s", action_rows[contradictions[i].action].name, contradictions[i].why);
    if (fault->number[FAKE_CUT] > 0 && (fake_does(fault, FAKE_LOSE_REPLY) || rule->where > FAKE_AT_PUSH))
        return fail(reader, "\"cut\": there is no answer to be cut off");
    if (!fake_does(fault, FAKE_FORGE))
        return true;
    for (unsigned i = 0; i < rule->opcode_count || rule->any || rule->dice; i++) {
        bool is_signed = false;
        for (size_t k = 0; k < sizeof signed_replies / sizeof *signed_replies; k++)
            is_signed = is_signed || (i < rule->opcode_count && rule->opcode[i] == signed_replies[k]);
        if (!is_signed)
            return fail(reader, "\"forge\": only hello, join, pay and receipt are answered with a signature");
    }
    return true;
}

static bool
read_fault(struct reader *reader, struct fake_rule *rule)
{
    struct fake_fault fault = {.actions = 0};
    struct fake_fault *faults;

    do {
        if (!read_action(reader, rule, &fault))
            return false;
    } while (take_sign(reader, ','));
    if (!check_fault(reader, rule, &fault))
        return false;
    faults = realloc(rule->fault, (rule->fault_count + 1) * sizeof *faults);
    if (faults == NULL)
        abort();
    rule->fault = faults;
    rule->fault[rule->fault_count++] = fault;
    return true;
}

static bool
read_faults(struct reader *reader, struct fake_rule *rule)
{
    do {
        if (!read_fault(reader, rule))
            return false;
    } while (take_sign(reader, '|'));
    return true;
}

/* "random faults p=0.05 of drop | cut" */
static bool
read_dice(struct reader *reader, struct fake_rule *rule)
{
    struct reader usual = {.at = usual_faults, .end = usual_faults + sizeof usual_faults - 1, .begin = usual_faults};
    uint64_t whole, tenth = (uint64_t)1 << 32;

    skip_blanks(reader);
    if (!take_words(reader, "random"))
        return fail(reader, "dice are \"random faults p=...\"");
    take_words(reader, "faults");
    if (!take_words(reader, "p") || !take_sign(reader, '='))
        return fail(reader, "the probability \"p=...\" is missing");
    if (!take_number(reader, 0, 1, &whole))
        return false;
    rule->chance = whole << 32;
    if (reader->at < reader->end && *reader->at == '.')
        for (reader->at++; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
            rule->chance += tenth * (uint64_t)(*reader->at - '0') / 10;
            tenth /= 10;
        }
    if (rule->chance == 0 || rule->chance > (uint64_t)1 << 32)
        return fail(reader, "a probability is above 0 and at most 1");
    return take_words(reader, "of") ? read_faults(reader, rule) : read_faults(&usual, rule);
}

/* --- lines ------------------------------------------------------------------------------------------------- */
/* Keep the selector as it was written, for usher_fake_struck(). */
static bool
keep_selector(struct reader *reader, struct fake_rule *rule, const char *begin)
{
    const char *end = reader->at;

    while (end > begin && is_blank(end[-1]))
        end--;
    if ((size_t)(end - begin) >= sizeof rule->selector)
        return fail(reader, "the selector is longer than %zu bytes", sizeof rule->selector - 1);
    memcpy(rule->selector, begin, (size_t)(end - begin));
    return true;
}

static bool
read_line(struct reader *reader, struct fake_rule *rule)
{
    const char *begin;

    skip_blanks(reader);
    begin = reader->at;
    if (!read_selector(reader, rule) || !read_which(reader, rule) || !keep_selector(reader, rule, begin))
        return false;
    if (!take_sign(reader, ':'))
        return fail(reader, "a colon is missing behind the selector");
    if (!(rule->dice ? read_dice(reader, rule) : read_fault(reader, rule)))
        return false;
    skip_blanks(reader);
    if (reader->at < reader->end)
        return fail(reader, "\"%.*s\" is too much", (int)(reader->end - reader->at), reader->at);
    return true;
}

static void
forget_rules(struct fake_script *script, size_t from)
{
    for (size_t i = from; i < script->count; i++)
        free(script->rule[i].fault);
    script->count = from;
}

static struct fake_rule *
new_rule(struct fake_script *script)
{
    if (script->count == script->room) {
        script->room = script->room == 0 ? 16 : 2 * script->room;
        script->rule = realloc(script->rule, script->room * sizeof *script->rule);
        if (script->rule == NULL)
            abort();
    }
    memset(&script->rule[script->count], 0, sizeof *script->rule);
    return &script->rule[script->count++];
}

/* Where the line ends: at a semicolon, a newline, or a comment, which *next lies behind. */
static const char *
line_end(const char *at, const char **next)
{
    const char *end = at;

    while (*end != 0 && *end != '\n' && *end != ';' && !(*end == '#' && (end == at || is_blank(end[-1]))))
        end++;
    *next = end;
    if (*end == '#')
        *next += strcspn(end, "\n");
    return end;
}

bool
fake_script_add(struct fake_script *script, const char *lines, char *why, size_t why_size)
{
    struct reader reader = {.begin = lines, .line = 1, .why = why, .why_size = why_size};
    size_t before = script->count;

    for (const char *next = lines;; next++) {
        reader.at = next;
        reader.end = line_end(next, &next);
        skip_blanks(&reader);
        if (reader.at < reader.end && !read_line(&reader, new_rule(script))) {
            forget_rules(script, before);
            return false;
        }
        if (*next == 0)
            return true;
        if (*next == '\n') {
            reader.line++;
            reader.begin = next + 1;
        }
    }
}

void
fake_script_clear(struct fake_script *script)
{
    forget_rules(script, 0);
    free(script->rule);
    memset(script, 0, sizeof *script);
}

/* --- which line is due ------------------------------------------------------------------------------------- */
static uint64_t
roll(struct fake_rule *rule)
{
    uint64_t lot = rule->lots += 0x9e3779b97f4a7c15; /* splitmix64: any seed is a good one */

    lot = (lot ^ lot >> 30) * 0xbf58476d1ce4e5b9;
    lot = (lot ^ lot >> 27) * 0x94d049bb133111eb;
    return lot ^ lot >> 31;
}

/* One of the rule's faults; NULL when the dice say none. */
static const struct fake_fault *
choose(struct fake_rule *rule, bool in_handshake)
{
    uint64_t lot;
    unsigned fit = 0;

    if (!rule->dice)
        return rule->fault;
    lot = roll(rule);
    if (lot >> 32 >= rule->chance)
        return NULL;
    for (unsigned i = 0; i < rule->fault_count; i++)
        fit += !in_handshake || (rule->fault[i].actions & ~HANDSHAKE_SURVIVES) == 0;
    if (fit == 0)
        return NULL;
    fit = (unsigned)(lot & UINT32_MAX) % fit;
    for (unsigned i = 0;; i++)
        if ((!in_handshake || (rule->fault[i].actions & ~HANDSHAKE_SURVIVES) == 0) && fit-- == 0)
            return &rule->fault[i];
}

static bool
rule_means(const struct fake_rule *rule, enum fake_where where, uint16_t opcode, bool in_handshake)
{
    if (rule->where != where)
        return false;
    if (where >= FAKE_AT_CONNECT || rule->dice || (rule->any && !in_handshake))
        return true;
    for (unsigned i = 0; i < rule->opcode_count; i++)
        if (rule->opcode[i] == opcode)
            return true;
    return false;
}

/* Count what comes; true when the rule is to strike this one. */
static bool
rule_is_due(struct fake_rule *rule)
{
    rule->seen++;
    return rule->seen >= rule->first && rule->seen <= rule->last && rule->struck < rule->times;
}

static void
note_actions(struct fake_script *script, const struct fake_fault *fault)
{
    for (unsigned i = 0; i < FAKE_ACTION_COUNT; i++)
        script->struck[i] += (fault->actions & FAKE_BIT(i)) != 0;
}

struct fake_fault
fake_script_due(struct fake_script *script, enum fake_where where, uint16_t opcode, bool in_handshake)
{
    struct fake_fault due = {.actions = 0};
    bool struck = false;

    for (size_t i = 0; i < script->count; i++) {
        struct fake_rule *rule = &script->rule[i];
        const struct fake_fault *fault;

        if (!rule_means(rule, where, opcode, in_handshake) || !rule_is_due(rule) || struck)
            continue;
        fault = choose(rule, in_handshake);
        if (fault == NULL)
            continue;
        due = *fault;
        struck = true;
        rule->struck++;
        note_actions(script, fault);
    }
    return due;
}

bool
fake_script_arm(struct fake_script *script, enum fake_where where, uint64_t *bytes, size_t *rule_no)
{
    bool armed = false;

    for (size_t i = 0; i < script->count; i++)
        if (script->rule[i].where == where && rule_is_due(&script->rule[i]) && !armed) {
            *bytes = script->rule[i].bytes;
            *rule_no = i;
            armed = true;
        }
    return armed;
}

bool
fake_script_ends_by_reset(struct fake_script *script, size_t rule_no)
{
    struct fake_rule *rule = &script->rule[rule_no];

    rule->struck++;
    note_actions(script, rule->fault);
    return fake_does(rule->fault, FAKE_RESET);
}

enum fake_action
fake_action_named(const char *name)
{
    unsigned i = 0;

    while (i < FAKE_ACTION_COUNT && strcmp(action_rows[i].name, name) != 0)
        i++;
    return (enum fake_action)i;
}
