/* world.c: see world.h. */
#include "tests/sim/world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"
#include "tests/sim/world_inside.h"

#define NEVER_MS UINT64_MAX

/* --- failing -------------------------------------------------------------------------------------------- */
bool
world_fail(struct world *world, uint32_t step, const char *format, ...)
{
    struct tape_failure *failure = &world->tape->failure;
    va_list arguments;

    if (failure->failed)
        return false;
    failure->failed = true;
    failure->step = step;
    va_start(arguments, format);
    vsnprintf(failure->why, sizeof failure->why, format, arguments);
    va_end(arguments);
    return false;
}

/* --- opening -------------------------------------------------------------------------------------------- */
void
world_open(struct world *world, struct tape *tape, const struct world_options *options)
{
    memset(world, 0, sizeof *world);
    world->options = *options;
    world->tape = tape;
    world->now_ms = SIM_BASE_MS + 1;
    world->model = model_open();
    world->outside = outside_open();
    world->real = calloc(1, WORLD_BODY_MOST);
    world->encoded = calloc(1, USHER_FRAME_MAX);
    world->encoded_too = calloc(1, USHER_FRAME_MAX);
    world->bodies_room = (size_t)WORLD_BATCH_MOST * 4096;
    world->bodies = malloc(world->bodies_room);
    world->asks = calloc(WORLD_BATCH_MOST, sizeof *world->asks);
    assert(world->real != NULL);
    assert(world->encoded != NULL);
    assert(world->encoded_too != NULL);
    assert(world->bodies != NULL);
    assert(world->asks != NULL);
    if (!options->model_alone)
        house_open(world);
}

void
world_close(struct world *world)
{
    if (!world->options.model_alone)
        house_close(world);
    model_close(world->model);
    outside_close(world->outside);
    for (size_t i = 0; i < world->person_count; i++) {
        free(world->person[i].token.at);
        free(world->person[i].reservation.at);
        free(world->person[i].payment.at);
        free(world->person[i].refund.at);
    }
    free(world->person);
    free(world->real);
    free(world->encoded);
    free(world->encoded_too);
    free(world->bodies);
    free(world->asks);
}

uint64_t
world_now_ms(const struct world *world)
{
    return world->now_ms;
}

/* --- comparing answers ---------------------------------------------------------------------------------- */
/* The encoded form of what the model expects; SIZE_MAX if it can't be sent. */
static size_t
encode_expected(struct world *world, const struct model_answer *expected)
{
    if (!expected->replayed)
        return usher_encode(expected->layout, expected->reply, world->encoded, USHER_FRAME_MAX);
    memcpy(world->encoded, expected->first_bytes, expected->first_size);
    return expected->first_size;
}

/* Decode what is in world->encoded, so that it can be printed, also when it came from memory. */
static void
note_difference(struct world *world, struct model_answer *expected, size_t expected_size, const usher_layout *layout,
                const void *real)
{
    struct tape_failure *failure = &world->tape->failure;
    static uint8_t body[WORLD_BODY_MOST];
    unsigned field_no;

    memset(body, 0, sizeof body);
    bool readable = usher_decode(expected->layout, world->encoded, expected_size, body, &field_no) == USHER_OK;
    text_of_expected(failure->expected, sizeof failure->expected, expected->result, expected->replayed,
                     readable ? expected->layout : NULL, body, expected->layout == layout ? real : NULL);
    text_of_body(failure->came, sizeof failure->came, layout, real);
}

static bool
compare(struct world *world, uint32_t step, const usher_message *message, struct model_answer *expected,
        usher_result result, bool replayed, const uint8_t *bytes, size_t size)
{
    const usher_layout *layout = result == USHER_OK ? message->reply : usher_refusal_layout();
    char why[256] = "another answer";
    unsigned field_no;

    memset(world->real, 0, layout->struct_size);
    if (usher_decode(layout, bytes, size, world->real, &field_no) != USHER_OK)
        return world_fail(world, step, "the reply of %s can't be decoded", message->name);
    bool same = result == expected->result && replayed == expected->replayed;
    if (same && !replayed)
        same = model_accept(world->model, message, expected, world->real, why, sizeof why);
    size_t expected_size = encode_expected(world, expected);
    if (same && (expected_size != size || memcmp(world->encoded, bytes, size) != 0))
        same = false;
    if (!same) {
        world_fail(world, step, "%s: %s: %s%s came, %s%s is right", message->name, why, usher_result_name(result),
                   replayed ? " replayed" : "", usher_result_name(expected->result),
                   expected->replayed ? " replayed" : "");
        note_difference(world, expected, expected_size, layout, world->real);
        return false;
    }
    model_settle(world->model, bytes, size);
    size_t count;
    world->tape->counts.by_message[message - usher_messages(&count)]++;
    world->tape->counts.by_result[result]++;
    return true;
}

/* --- what is checked between batches -------------------------------------------------------------------- */
static usher_result
ask_house(void *context, uint16_t opcode, const usher_uuid *user, const void *body, void *reply)
{
    struct world *world = context;
    core_trace trace;
    struct core_request request = {
        .opcode = opcode, .asker = {.role = USHER_ROLE_ADMIN, .client_no = WORLD_CLIENT_ADMIN}, .body = body};

    if (user != NULL)
        request.asker.user = *user;
    struct core_answer answer = core_query(world->core, &request, world->now_ms, &trace);
    if (answer.result == USHER_OK)
        memcpy(reply, answer.reply, answer.layout->struct_size);
    return (usher_result)answer.result;
}

/* By their fields: what lies between those of a struct is the compiler's. */
static bool
is_same_event(const usher_event *one, const usher_event *other)
{
    const usher_layout *layout = usher_push_of(USHER_PUSH_EVENTS)->body->fields[2].item;
    uint8_t bytes[2][128];
    size_t size = usher_encode(layout, one, bytes[0], sizeof bytes[0]);

    assert(size <= sizeof bytes[0]);
    return usher_encode(layout, other, bytes[1], sizeof bytes[1]) == size && memcmp(bytes[0], bytes[1], size) == 0;
}

static bool
check_event(struct world *world, uint32_t step, const usher_event *event)
{
    char why[256];
    uint64_t count;
    const usher_event *all = model_all_events(world->model, &count);

    if (!outside_take(world->outside, event, why, sizeof why))
        return world_fail(world, step, "%s", why);
    if (event->event_no > count || !is_same_event(event, &all[event->event_no - 1])) {
        world_fail(world, step, "event %" PRIu64 " is another one", event->event_no);
        text_of_events(world->tape->failure.events, sizeof world->tape->failure.events, all + world->events_seen,
                       count - world->events_seen);
        text_of_events(world->tape->failure.came, sizeof world->tape->failure.came, event, 1);
        return false;
    }
    struct tape_counts *counts = &world->tape->counts;
    counts->events++;
    counts->admitted += event->kind == USHER_EVENT_ADMITTED;
    counts->paid += event->kind == USHER_EVENT_PAID;
    counts->refunded += event->kind == USHER_EVENT_REFUNDED;
    counts->expired += event->kind == USHER_EVENT_HOLD_EXPIRED || event->kind == USHER_EVENT_LAPSED;
    return true;
}

/* Every event that the batch made, in order, from the outbox itself. */
static bool
check_events(struct world *world, uint32_t step)
{
    static usher_events_reply reply;
    uint64_t from = world->events_seen, expected, at = from;

    do {
        usher_events_request ask = {.after_event_no = at};
        if (ask_house(world, USHER_OPCODE_EVENTS, NULL, &ask, &reply) != USHER_OK)
            return world_fail(world, step, "the events can't be read");
        for (uint16_t i = 0; i < reply.event_count; i++, at++)
            if (!check_event(world, step, &reply.event[i]))
                return false;
    } while (reply.event_count > 0);
    const usher_event *all = model_all_events(world->model, &expected);
    if (expected != at) {
        world_fail(world, step, "%" PRIu64 " events came, %" PRIu64 " are right", at - from, expected - from);
        text_of_events(world->tape->failure.events, sizeof world->tape->failure.events, all + from, expected - from);
        return false;
    }
    world->events_seen = at;
    return true;
}

static bool
audit(struct world *world, uint32_t step)
{
    char why[256];
    const struct outside_house house = {
        .context = world, .ask = ask_house, .is_swept = core_next_due_ms(world->core, world->now_ms) > world->now_ms};

    world->tape->counts.audits++;
    world->since_audit = 0;
    if (!core_audit(world->core, why, sizeof why))
        return world_fail(world, step, "the audit found: %s", why);
    if (!outside_check(world->outside, &house, why, sizeof why))
        return world_fail(world, step, "%s", why);
    return true;
}

static uint64_t
at_least(uint64_t moment, uint64_t now)
{
    return moment > now ? moment : now;
}

bool
world_check(struct world *world, uint32_t step)
{
    if (store_position(world->store) != model_batch_count(world->model))
        return world_fail(world, step, "position %" PRIu64 " came, %" PRIu64 " is right", store_position(world->store),
                          model_batch_count(world->model));
    if (!check_events(world, step))
        return false;
    uint64_t due = at_least(core_next_due_ms(world->core, world->now_ms), world->now_ms);
    uint64_t expected = at_least(model_next_due_ms(world->model, world->now_ms), world->now_ms);
    if (due != expected)
        return world_fail(world, step, "the server would wake at %" PRId64 ", %" PRId64 " is right",
                          due == NEVER_MS ? -1 : (int64_t)(due - SIM_BASE_MS),
                          expected == NEVER_MS ? -1 : (int64_t)(expected - SIM_BASE_MS));
    return ++world->since_audit < world->options.audit_every || audit(world, step);
}

bool
world_end(struct world *world)
{
    if (world->options.model_alone)
        return true;
    return !world->tape->failure.failed && (world->since_audit == 0 || audit(world, UINT32_MAX));
}

/* --- batches -------------------------------------------------------------------------------------------- */
/* The stamp that a batch at this moment gets: never before the last (X1). */
static uint64_t
stamp_of(struct world *world, uint64_t at_ms)
{
    uint64_t last_ms = commit_stamp_ms(world->commit);

    world->now_ms = at_ms > last_ms ? at_ms : last_ms;
    return world->now_ms;
}

static void
count_answer(struct world *world, const struct commit_answer *answer)
{
    struct tape_counts *counts = &world->tape->counts;

    counts->commands++;
    counts->replays += answer->replayed;
    counts->mismatches += answer->result == USHER_MISMATCH;
    counts->done += answer->result == USHER_OK && !answer->replayed;
    counts->refused += answer->result != USHER_OK && !answer->replayed;
}

static bool
play_commands(struct world *world, uint64_t at_ms, uint32_t first_step)
{
    for (uint32_t i = 0; i < world->ask_count; i++) {
        const struct world_ask *ask = &world->asks[i];
        bool added = commit_add(world->commit, ask->message, &ask->asker, world->bodies + ask->body, i);
        assert(added);
    }
    uint64_t stamp_ms = stamp_of(world, at_ms);
    if (commit_run(world->commit, at_ms) != STORE_DONE)
        return world_fail(world, first_step, "the batch was not done");
    world->tape->counts.batches++;
    model_tick(world->model, stamp_ms);
    for (uint32_t i = 0; i < world->ask_count; i++) {
        const struct world_ask *ask = &world->asks[i];
        struct commit_answer answer = commit_answer(world->commit, i);
        const struct model_request request = model_request_of(world, ask);
        struct model_answer expected = model_apply(world->model, &request);
        if (answer.tag != i || answer.opcode != ask->message->opcode)
            return world_fail(world, ask->step, "the answers are in another order");
        world_note_result(world, ask, expected.result, expected.replayed);
        if (ask->message->kind == USHER_MESSAGE_COMMAND)
            count_answer(world, &answer);
        if (!compare(world, ask->step, ask->message, &expected, (usher_result)answer.result, answer.replayed,
                     answer.body, answer.body_size))
            return false;
        if (answer.result == USHER_OK)
            world_remember(world, ask, world->real);
    }
    return world_check(world, first_step);
}

static bool
play_wake(struct world *world, uint64_t at_ms, uint32_t step)
{
    uint64_t position = store_position(world->store), stamp_ms = stamp_of(world, at_ms);

    if (commit_run(world->commit, at_ms) != STORE_DONE)
        return world_fail(world, step, "the batch was not done");
    bool made = store_position(world->store) != position, expected = model_wake(world->model, stamp_ms);
    world->tape->counts.wakes++;
    if (world->tape->steps[step].kind == STEP_WAKE)
        world->tape->steps[step].omitted = !made; /* a scene's tick is a batch in any case */
    world->tape->counts.batches += made;
    if (made != expected)
        return world_fail(world, step, "the server woke, and there was %s to do", expected ? "something" : "nothing");
    return world_check(world, step);
}

/* What a query left behind follows at once, as a batch of its own. */
static bool
play_touch(struct world *world, uint32_t step, const usher_touch_request *touch)
{
    memcpy(world->bodies, touch, sizeof *touch);
    world->ask_count = 1;
    world->asks[0] =
        (struct world_ask){.step = step, .message = usher_message_of(USHER_OPCODE_TOUCH), .is_trace = true};
    return play_commands(world, world->now_ms, step);
}

static bool
play_query(struct world *world, uint64_t at_ms, uint32_t step)
{
    const struct world_ask ask = world->asks[0];
    core_trace trace;
    usher_touch_request touch;

    if (!play_wake(world, at_ms, step))
        return false;
    const struct core_request request = {
        .opcode = ask.message->opcode, .asker = ask.asker, .body = world->bodies + ask.body};
    struct core_answer answer = core_query(world->core, &request, world->now_ms, &trace);
    const struct model_request asked = model_request_of(world, &ask);
    struct model_answer expected = model_query(world->model, &asked, world->now_ms, &touch);
    world->tape->counts.queries++;
    world_note_result(world, &ask, expected.result, false);
    size_t size = usher_encode(answer.layout, answer.reply, world->encoded_too, USHER_FRAME_MAX - USHER_HEADER_SIZE);
    if (size == SIZE_MAX)
        return world_fail(world, step, "the reply does not fit a frame");
    if (!compare(world, step, ask.message, &expected, (usher_result)answer.result, answer.replayed, world->encoded_too,
                 size))
        return false;
    if (answer.result == USHER_OK)
        world_remember(world, &ask, world->real);
    if (trace.renew != touch.renew || trace.claim != touch.claim ||
        ((trace.renew || trace.claim) && (trace.queue_id != touch.queue_id || trace.position != touch.position)))
        return world_fail(world, step, "the query leaves renew=%u claim=%u, right is renew=%u claim=%u", trace.renew,
                          trace.claim, touch.renew, touch.claim);
    return (!touch.renew && !touch.claim) || play_touch(world, step, &touch);
}

static bool
play_consume(struct world *world, uint32_t step, uint32_t most)
{
    if (store_consumer_step(world->store, most) == STORE_STEP_FAILED)
        return world_fail(world, step, "the history consumer failed");
    model_consume(world->model, most);
    return true;
}

/* --- the model alone ------------------------------------------------------------------------------------ */
/* Take the model's answer for the house's. */
static void
believe(struct world *world, const struct world_ask *ask, const struct model_answer *expected)
{
    unsigned field_no;
    size_t size = encode_expected(world, expected);

    assert(size != SIZE_MAX);
    world_note_result(world, ask, expected->result, expected->replayed);
    memset(world->real, 0, expected->layout->struct_size);
    usher_decode(expected->layout, world->encoded, size, world->real, &field_no);
    model_settle(world->model, world->encoded, size);
    if (expected->result == USHER_OK)
        world_remember(world, ask, world->real);
}

static void
play_model(struct world *world, uint64_t at_ms)
{
    usher_touch_request touch = {0};

    if (at_ms > world->now_ms)
        world->now_ms = at_ms;
    if (world->ask_count == 0 || world->asks[0].message->kind == USHER_MESSAGE_QUERY)
        model_wake(world->model, world->now_ms);
    else
        model_tick(world->model, world->now_ms);
    for (uint32_t i = 0; i < world->ask_count; i++) {
        const struct world_ask *ask = &world->asks[i];
        const struct model_request request = model_request_of(world, ask);
        bool asks = ask->message->kind == USHER_MESSAGE_QUERY;
        struct model_answer expected =
            asks ? model_query(world->model, &request, world->now_ms, &touch) : model_apply(world->model, &request);
        believe(world, ask, &expected);
    }
    if (!touch.renew && !touch.claim)
        return;
    const struct model_request request = {.message = usher_message_of(USHER_OPCODE_TOUCH), .body = &touch};
    model_tick(world->model, world->now_ms);
    model_apply(world->model, &request);
}

static bool
play_step_alone(struct world *world, const struct step *step)
{
    if (step->kind == STEP_WAKE || step->kind == STEP_ASK)
        play_model(world, step->at_ms);
    if (step->kind == STEP_RESTART || step->kind == STEP_DROP)
        model_restart(world->model, model_stamp_ms(world->model) != 0 && step->at_ms > model_stamp_ms(world->model));
    if (step->kind == STEP_CONSUME)
        model_consume(world->model, step->amount);
    return true;
}

bool
world_play(struct world *world, const uint32_t *steps, uint32_t count)
{
    const struct step *first = &world->tape->steps[steps[0]];

    if (world->tape->failure.failed && !world->options.model_alone)
        return false;
    world->ask_count = 0;
    world->bodies_size = 0;
    for (uint32_t i = 0; first->kind == STEP_ASK && i < count; i++)
        world_prepare(world, steps[i]);
    if (world->options.model_alone)
        return play_step_alone(world, first);
    switch ((enum step_kind)first->kind) {
    case STEP_WAKE:
        return play_wake(world, first->at_ms, steps[0]);
    case STEP_RESTART:
        return house_restart(world, steps[0], false);
    case STEP_DROP:
        return house_restart(world, steps[0], true);
    case STEP_CONSUME:
        return play_consume(world, steps[0], first->amount);
    case STEP_IDLE:
        for (uint32_t i = 0; i < first->amount && store_idle(world->store); i++)
            continue;
        return true;
    case STEP_ASK:
        break;
    }
    if (world->ask_count == 0)
        return true;
    if (world->asks[0].message->kind == USHER_MESSAGE_QUERY)
        return play_query(world, first->at_ms, steps[0]);
    return play_commands(world, first->at_ms, steps[0]);
}
