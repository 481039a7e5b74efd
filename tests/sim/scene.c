/* scene.c: see scene.h.
 *
 * A run's house wakes when its tape says so, so the scene turns waking off and writes each wake as a tick. */
#include "tests/sim/scene.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"
#include "tests/play.h"
#include "tests/sim/world_inside.h"

static_assert(SIM_BASE_MS == PLAY_BASE_MS, "moments of a run are moments of a scene");

struct printer {
    FILE *out;
    const struct tape *tape;
    uint64_t now_ms;
    uint32_t batch;
    bool any;
};

/* A line of the string literal that the test plays. */
static void
print_line(struct printer *printer, const char *line)
{
    fprintf(printer->out, "    play(state, \"");
    for (; *line != '\0'; line++) {
        if (*line == '"' || *line == '\\')
            fputc('\\', printer->out);
        fputc(*line, printer->out);
    }
    fprintf(printer->out, "\\n\");\n");
}

static void add(char *line, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void
add(char *line, size_t size, const char *format, ...)
{
    size_t length = strlen(line);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line + length, size - length, format, arguments);
    va_end(arguments);
}

/* --- who and with what ---------------------------------------------------------------------------------- */
static void
add_actor(char *line, size_t size, const struct step *step)
{
    static const char *const names[] = {[ACTOR_GATEWAY] = "gateway",
                                        [ACTOR_ADMIN] = "admin",
                                        [ACTOR_DESK] = "desk",
                                        [ACTOR_GATE] = "gate",
                                        [ACTOR_NOBODY] = "nobody"};

    if (step->actor == ACTOR_PERSON)
        add(line, size, "p%u", step->person);
    else
        add(line, size, "%s", names[step->actor]);
    if (step->actor == ACTOR_DESK && step->channel != 0)
        add(line, size, ".%u", step->channel);
}

static void
add_token(char *line, size_t size, const struct step *step, const usher_message *message)
{
    bool own = step->actor == ACTOR_PERSON && step->person == step->token_person;

    if (message->token == USHER_TOKEN_NEED_NONE)
        return;
    if (step->token == TOKEN_NONE && step->actor == ACTOR_PERSON)
        add(line, size, " token=none");
    else if (step->token == TOKEN_LATEST && !own)
        add(line, size, " token=p%u", step->token_person);
    else if (step->token == TOKEN_OF_QUEUE)
        add(line, size, " token=queue:%u", step->token_queue);
    else if (step->token == TOKEN_OF_STEP)
        add(line, size, " token=p%u.%u", step->token_person, step->token_nth);
    else if (step->token == TOKEN_ODD)
        add(line, size, " token=%u:%u", step->token_queue, step->token_nth);
}

static void
add_reference(char *line, size_t size, struct reference reference)
{
    if (reference.person == 0)
        add(line, size, "%u", reference.nth);
    else
        add(line, size, "p%u.%u", reference.person, reference.nth);
}

static void
add_references(char *line, size_t size, const struct tape *tape, const struct step *step)
{
    struct reference reference[17];

    memcpy(reference, tape->bytes + step->references,
           ((size_t)step->reservation_count + step->has_payment) * sizeof *reference);
    for (uint16_t i = 0; i < step->reservation_count; i++) {
        add(line, size, i == 0 ? " reservation=" : ",");
        add_reference(line, size, reference[i]);
    }
    if (step->has_payment) {
        add(line, size, " payment=");
        add_reference(line, size, reference[step->reservation_count]);
    }
}

/* Fields that are zero need not be written. */
static bool
is_zero(const usher_field *field, const uint8_t *body)
{
    static const uint8_t zeros[128];
    uint16_t count = 0;

    if (field->count_offset != 0) {
        memcpy(&count, body + field->count_offset, sizeof count);
        return count == 0;
    }
    size_t size = field->kind == USHER_KIND_TEXT                                   ? field->most
                  : field->kind == USHER_KIND_UUID || field->kind == USHER_KIND_ID ? 16
                  : field->kind == USHER_KIND_KEY                                  ? 32
                  : field->kind == USHER_KIND_SIGNATURE                            ? 64
                  : field->kind == USHER_KIND_U8 || field->kind == USHER_KIND_ENUM ? 1
                  : field->kind == USHER_KIND_U16                                  ? 2
                  : field->kind == USHER_KIND_U32                                  ? 4
                                                                                   : 8;
    return memcmp(body + field->offset, zeros, size) == 0;
}

static void
add_fields(char *line, size_t size, const struct tape *tape, const struct step *step, const usher_message *message)
{
    static uint8_t body[65536];
    static char text[8192];
    unsigned field_no;

    memset(body, 0, message->request->struct_size);
    usher_decode(message->request, tape->bytes + step->body, step->body_size, body, &field_no);
    for (size_t i = 0; i < message->request->field_count; i++) {
        const usher_field *field = &message->request->fields[i];
        if (!is_zero(field, body) && text_of_field(text, sizeof text, field, body) > 0)
            add(line, size, " %s", text);
    }
    bool has_user = false, has_id = false;
    for (size_t i = 0; i < message->request->field_count; i++) {
        has_user |= strcmp(message->request->fields[i].name, "user") == 0;
        has_id |= strcmp(message->request->fields[i].name, "request_id") == 0;
    }
    if (has_user && step->user != 0)
        add(line, size, " user=p%u", step->user);
    if (step->opcode == USHER_OPCODE_INVITE)
        add(line, size, " code_hash=c%u", step->code);
    if (step->opcode == USHER_OPCODE_ENROL)
        add(line, size, " code=c%u client_key=k%u", step->code, step->key);
    if (has_id)
        add(line, size, " id=i%u", step->id);
}

/* --- steps ---------------------------------------------------------------------------------------------- */
static void
print_ask(struct printer *printer, const struct step *step, bool fails)
{
    static char line[16384];
    const usher_message *message = usher_message_of(step->opcode);
    const struct tape_failure *failure = &printer->tape->failure;

    line[0] = '\0';
    if (printer->any && step->batch == printer->batch)
        add(line, sizeof line, "& ");
    if (step->at_ms > printer->now_ms)
        printer->now_ms = step->at_ms;
    add(line, sizeof line, "@%" PRIu64 " ", printer->now_ms - SIM_BASE_MS);
    add_actor(line, sizeof line, step);
    add(line, sizeof line, " %s", message->name);
    add_fields(line, sizeof line, printer->tape, step, message);
    add_references(line, sizeof line, printer->tape, step);
    add_token(line, sizeof line, step, message);
    if (fails && failure->expected[0] != '\0')
        add(line, sizeof line, " -> %s", failure->expected);
    else
        add(line, sizeof line, " -> %s%s", usher_result_name(step->result), step->replayed ? " replayed" : "");
    print_line(printer, line);
    printer->any = true;
    printer->batch = step->batch;
}

static void
print_step(struct printer *printer, const struct step *step, bool fails)
{
    char line[128];

    switch ((enum step_kind)step->kind) {
    case STEP_ASK:
        print_ask(printer, step, fails);
        return;
    case STEP_WAKE:
        if (step->at_ms > printer->now_ms)
            printer->now_ms = step->at_ms;
        snprintf(line, sizeof line, "tick @%" PRIu64, printer->now_ms - SIM_BASE_MS);
        print_line(printer, line);
        break;
    case STEP_RESTART:
    case STEP_DROP:
        if (step->at_ms > printer->now_ms)
            printer->now_ms = step->at_ms;
        snprintf(line, sizeof line, "down @%" PRIu64, printer->now_ms - SIM_BASE_MS);
        print_line(printer, line);
        break;
    case STEP_CONSUME:
        fprintf(printer->out, "    store_consumer_step(play_store(state), %u);\n", step->amount);
        break;
    case STEP_IDLE:
        break;
    }
    printer->any = false;
}

void
scene_print(FILE *out, const struct tape *tape, const uint32_t *steps, uint32_t count)
{
    struct printer printer = {.out = out, .tape = tape, .now_ms = SIM_BASE_MS + 1};
    const struct tape_failure *failure = &tape->failure;

    print_line(&printer, "wake off");
    for (uint32_t i = 0; i < count; i++) {
        const struct step *step = &tape->steps[steps[i]];
        if (!step->omitted)
            print_step(&printer, step, steps[i] == failure->step);
    }
    if (failure->events[0] != '\0') {
        static char line[sizeof failure->events + 16];
        snprintf(line, sizeof line, "events %s", failure->events);
        print_line(&printer, line);
    }
    fprintf(out, "    /* %s */\n", failure->why);
    if (failure->came[0] != '\0')
        fprintf(out, "    /* came: %s */\n", failure->came);
}
