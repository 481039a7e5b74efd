/* play_stage.c: the two houses of a scene, their batches, and what is checked at each of them; see play_stage.h. */
#include "tests/play_stage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"

#define WAKES_MOST 1000000u /* between two lines; more and the core runs in circles */

/* --- what is checked at every line ------------------------------------------------------------------------- */
static bool
add_balance(void *context, const void *record)
{
    *(int64_t *)context += ((const struct user_record *)record)->balance;
    return true;
}

void
stage_check(struct play *play)
{
    char why[TEXT_WHY_SIZE] = "";
    struct house_record house;

    if (!play->audit)
        return;
    if (!core_audit(play->stage.core, why, sizeof why))
        play_fail(play, "the audit found: %s", why);
    if (!core_audit(play->twin.core, why, sizeof why))
        play_fail(play, "the audit of the twin found: %s", why);
    if (store_digest_recount(play->stage.store) != store_digest_recount(play->twin.store))
        play_fail(play, "the twin, which got the same batches but no query, has other records");
    store_get_house(play->stage.store, 0, &house);
    int64_t sum = house.top_ups + house.sales;
    store_each(play->stage.store, STORE_TABLE_USER, add_balance, &sum);
    if (sum != 0)
        play_fail(play, "M2: the sum over all accounts is %" PRId64, sum);
}

size_t
stage_encode(struct play *play, const struct core_answer *answer, uint8_t *out)
{
    size_t size = usher_encode(answer->layout, answer->reply, out, PLAY_REPLY_MOST);
    if (size == SIZE_MAX)
        play_fail(play, "the reply does not fit a frame");
    return size;
}

static void
check_same_answer(struct play *play, const struct core_answer *one, const struct core_answer *other)
{
    static uint8_t left[PLAY_REPLY_MOST], right[PLAY_REPLY_MOST];

    size_t size = stage_encode(play, one, left);
    if (one->result != other->result || one->replayed != other->replayed || stage_encode(play, other, right) != size ||
        memcmp(left, right, size) != 0)
        play_fail(play, "the twin answered otherwise: %s", usher_result_name(other->result));
}

/* What a refusal may leave behind: its answer, the number of a user seen for the first time, and its claim. */
struct trace {
    struct house_record house;
    uint64_t user_count;
    uint64_t digest;
};

static struct trace
trace_of(const struct house *house)
{
    struct trace trace;

    store_get_house(house->store, 0, &trace.house);
    trace.house.last_answer_no = trace.house.last_user_no = 0;
    trace.user_count = store_record_count(house->store, STORE_TABLE_USER);
    trace.digest = store_digest_recount(house->store);
    return trace;
}

static void
check_no_trace(struct play *play, const struct ask *ask, const struct trace *before, const struct core_answer *answer)
{
    /* Without wakes the line itself may have ended what was due. */
    if (answer->result == USHER_OK || !play->wake || !play->audit)
        return;
    struct trace after = trace_of(&play->stage);
    bool same = memcmp(&before->house, &after.house, sizeof after.house) == 0;
    bool may_differ =
        ask->message->claims || ask->message->opcode == USHER_OPCODE_REFUND || before->user_count != after.user_count;
    if (!same || (!may_differ && before->digest != after.digest))
        play_fail(play, "%s was refused with %s and changed records all the same", ask->message->name,
                  usher_result_name(answer->result));
}

/* --- batches ----------------------------------------------------------------------------------------------- */
static bool
begin_and_tick(struct play *play, struct house *house)
{
    if (!store_begin(house->store))
        play_fail(play, "the store refused to begin a batch");
    if (play->down_since_ms != 0)
        core_resume(house->core, play->down_since_ms, play->now_ms);
    return core_tick(house->core, play->now_ms) || play->down_since_ms != 0;
}

static void
commit(struct play *play, struct house *house)
{
    if (store_commit(house->store, NULL, 0) != STORE_DONE)
        play_fail(play, "the store refused to commit");
}

void
stage_close_batch(struct play *play)
{
    if (!play->batch_open)
        return;
    commit(play, &play->stage);
    commit(play, &play->twin);
    play->batch_open = false;
    play->down_since_ms = 0;
}

/* The twin makes this batch and takes it back; not a bit may differ after it. */
static void
rehearse(struct play *play, const struct ask *ask)
{
    if (!play->audit)
        return;
    uint64_t digest = store_digest_recount(play->twin.store);
    begin_and_tick(play, &play->twin);
    if (ask != NULL)
        core_apply(play->twin.core, &ask->request);
    store_undo(play->twin.store);
    if (store_digest_recount(play->twin.store) != digest)
        play_fail(play, "a batch that was undone left a trace");
}

bool
stage_tick(struct play *play)
{
    if (play->batch_open)
        play_fail(play, "the scene is wrong: a tick is no part of a batch");
    rehearse(play, NULL);
    bool changed = begin_and_tick(play, &play->stage);
    if (changed != begin_and_tick(play, &play->twin))
        play_fail(play, "the twin's tick did something else");
    play->batch_open = true;
    stage_close_batch(play);
    return changed;
}

/* The server wakes at each due moment before this one. */
void
stage_wake_until(struct play *play, uint64_t at_ms)
{
    uint64_t last = 0;

    for (uint64_t wakes = 0; play->wake; wakes++) {
        uint64_t due = core_next_due_ms(play->stage.core, play->now_ms);
        if (due >= at_ms)
            break;
        if (wakes == WAKES_MOST)
            play_fail(play, "the core asks to be woken again and again");
        if (due > play->now_ms)
            play->now_ms = due;
        if (!stage_tick(play) && due <= last)
            play_fail(play, "the core says that something is due at %" PRIu64 " and then does nothing",
                      due - PLAY_BASE_MS);
        last = due;
    }
    if (at_ms > play->now_ms)
        play->now_ms = at_ms;
}

struct core_answer
stage_apply(struct play *play, const struct ask *ask, bool alone)
{
    struct trace before;

    if (!play->batch_open) {
        if (alone)
            rehearse(play, ask);
        begin_and_tick(play, &play->stage);
        begin_and_tick(play, &play->twin);
        play->batch_open = true;
    }
    if (play->audit)
        before = trace_of(&play->stage);
    struct core_answer answer = core_apply(play->stage.core, &ask->request);
    check_no_trace(play, ask, &before, &answer);
    struct core_answer other = core_apply(play->twin.core, &ask->request);
    check_same_answer(play, &answer, &other);
    return answer;
}

/* Reads are counted of the records in memory; history is no part of a query's cost that grows. */
enum {
    RECORD_TABLES = 1
#define STORE_TABLE(number, NAME, name, key_field, text) +1
#include "server/store/records.def"
};

static void
count_reads(struct play *play, bool after)
{
    for (unsigned table = 1; table < RECORD_TABLES; table++) {
        uint64_t count = store_read_count(play->stage.store, (enum store_table)table);
        play->reads[table] = after ? count - play->reads[table] : count;
    }
}

struct core_answer
stage_query(struct play *play, const struct ask *ask, core_trace *trace)
{
    if (play->down_since_ms != 0 || core_next_due_ms(play->stage.core, play->now_ms) <= play->now_ms)
        stage_tick(play);
    count_reads(play, false);
    struct core_answer answer = core_query(play->stage.core, &ask->request, play->now_ms, trace);
    count_reads(play, true);
    return answer;
}

void
stage_leave_trace(struct play *play, const core_trace *trace)
{
    if (!trace->renew && !trace->claim)
        return;
    struct ask ask = {.message = usher_message_of(USHER_OPCODE_TOUCH),
                      .request = {.opcode = USHER_OPCODE_TOUCH, .body = trace}};
    stage_apply(play, &ask, true);
    stage_close_batch(play);
}
