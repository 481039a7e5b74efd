/* commit.c: gathers commands into batches, orders them and makes them durable (DESIGN sections 2 and 4).
 *
 *     commit_add ... commit_add      the batch grows as bytes
 *     commit_run                     stamp, begin, tick, apply from those bytes, store_commit(bytes)
 *     commit_answer ...              read the answers; the next commit_add begins a new batch
 *
 * Commands are applied from their encoded form even here, where the decoded one was at hand a moment ago: so what a
 * replay or a follower does to the same bytes is not merely meant to be the same, it is the same code.
 *
 * The order is given by the store's single-writer transaction: commit_run is the only place that knows. */
#include "server/commit/commit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"
#include "server/commit/batch.h"

#define ORIGIN_USUAL   1u   /* the number of this instance, unless it is told another */
#define FAULT_RETRY_MS 1000 /* when asking again can help after a failed write */

#define AHEAD_STEP  2u /* commands from one step of a hint to the next: time enough for what it has asked for to come */
#define AHEAD       (CORE_HINT_STEPS * AHEAD_STEP) /* commands that are read before they are applied, with that one */
#define AHEAD_LEAST 4u  /* of a batch that have something to gain from one another */

/* A command that comes soon; see apply_batch. */
struct ahead {
    struct core_request request;
    struct core_hint hint;
    bool going; /* the hint has steps left */
};

struct slot {
    uint64_t tag;
    size_t offset, size; /* of the body in the arena */
    uint16_t opcode;
    uint16_t result;
    bool replayed;
};

struct commit {
    struct store *store;
    struct core *core;
    struct forms forms;
    struct batch batch;
    bool ran; /* the batch was run: the next commit_add begins another */
    uint32_t origin;
    uint64_t stamp_ms;
    uint64_t down_since_ms; /* until the next batch has recorded it; 0 for none */
    struct slot slots[COMMIT_COMMANDS_MOST];
    uint8_t *arena; /* the answers' bodies */
    size_t arena_size, arena_room;
    void *scratch; /* a decoded request */
    struct ahead ahead[AHEAD];
    uint8_t *ahead_bodies; /* and theirs */
    commit_watcher *watcher;
    void *watching; /* its context */
};

struct commit *
commit_open(struct store *store, struct core *core)
{
    struct commit *commit = calloc(1, sizeof *commit);

    if (commit == NULL)
        return NULL;
    commit->store = store;
    commit->core = core;
    commit->origin = ORIGIN_USUAL;
    forms_fill(&commit->forms);
    commit->scratch = calloc(1, commit->forms.struct_size_most);
    commit->ahead_bodies = calloc(AHEAD, commit->forms.struct_size_most);
    if (commit->scratch == NULL || commit->ahead_bodies == NULL || !batch_begin(&commit->batch, commit->origin)) {
        commit_close(commit);
        return NULL;
    }
    return commit;
}

void
commit_close(struct commit *commit)
{
    if (commit == NULL)
        return;
    batch_free(&commit->batch);
    free(commit->arena);
    free(commit->scratch);
    free(commit->ahead_bodies);
    free(commit);
}

/* Begin the next batch, if the last one was run. */
static void
begin_anew(struct commit *commit)
{
    if (!commit->ran)
        return;
    bool begun = batch_begin(&commit->batch, commit->origin);
    assert(begun); /* its buffer is there already */
    commit->ran = false;
}

bool
commit_add(struct commit *commit, const usher_message *message, const struct core_asker *asker, const void *body,
           uint64_t tag)
{
    assert(message->kind == USHER_MESSAGE_COMMAND || message->kind == USHER_MESSAGE_INTERNAL);
    begin_anew(commit);
    if (commit->batch.count == COMMIT_COMMANDS_MOST)
        return false;
    const struct form *form = forms_of(&commit->forms, message);
    if (!batch_add(&commit->batch, form, message, asker, body, commit->scratch))
        return false;
    commit->slots[commit->batch.count - 1] =
        (struct slot){.tag = tag, .opcode = message->opcode, .result = USHER_STORAGE_FAULT};
    return true;
}

void
commit_watch(struct commit *commit, commit_watcher *watcher, void *context)
{
    commit->watcher = watcher;
    commit->watching = context;
}

uint32_t
commit_count(const struct commit *commit)
{
    return commit->ran ? 0 : commit->batch.count;
}

void
commit_resume(struct commit *commit, uint64_t down_since_ms)
{
    commit->down_since_ms = down_since_ms;
}

void
commit_name_origin(struct commit *commit, uint32_t origin)
{
    assert(commit_count(commit) == 0);
    commit->origin = origin;
    commit->ran = true; /* the next batch begins anew, with it */
    commit->batch.count = 0;
}

uint64_t
commit_stamp_ms(const struct commit *commit)
{
    const struct house_record *house = store_see_house(commit->store, 0);
    uint64_t of_store = house == NULL ? 0 : house->stamp_ms;

    return of_store > commit->stamp_ms ? of_store : commit->stamp_ms;
}

/* --- answers ------------------------------------------------------------------------------------------ */
/* Where the next body goes, with room for so many bytes; NULL without memory. */
static uint8_t *
arena_end(struct commit *commit, size_t most)
{
    if (commit->arena_room - commit->arena_size < most) {
        size_t room = (commit->arena_room + most) * 2;
        uint8_t *arena = realloc(commit->arena, room);
        if (arena == NULL)
            return NULL;
        commit->arena = arena;
        commit->arena_room = room;
    }
    return commit->arena + commit->arena_size;
}

/* Keep an answer's body. False without memory. */
static bool
keep_body(struct commit *commit, struct slot *slot, const struct core_answer *answer)
{
    size_t most = answer->bytes != NULL ? answer->size : usher_size_most(answer->layout);
    uint8_t *end = arena_end(commit, most);

    if (end == NULL)
        return false;
    slot->offset = commit->arena_size;
    slot->size = answer->bytes != NULL ? most : usher_encode(answer->layout, answer->reply, end, most);
    assert(slot->size != SIZE_MAX);
    if (answer->bytes != NULL)
        memcpy(end, answer->bytes, most);
    commit->arena_size += slot->size;
    return true;
}

static bool
keep_refusal(struct commit *commit, struct slot *slot, const usher_refusal *refusal)
{
    return keep_body(commit, slot, &(struct core_answer){.layout = usher_refusal_layout(), .reply = refusal});
}

static void
read_ahead(struct commit *commit, struct batch_reader *reader, uint32_t index)
{
    struct ahead *ahead = &commit->ahead[index % AHEAD];

    bool read = batch_next(reader, &ahead->request,
                           commit->ahead_bodies + index % AHEAD * commit->forms.struct_size_most);
    assert(read);
    ahead->going = commit->batch.count >= AHEAD_LEAST;
    ahead->hint.user_no = 0;
    if (ahead->going)
        core_hint_begin(commit->core, &ahead->request, &ahead->hint);
}

/* A step for every so manyeth command from this one on that has been read. False when there is none left. */
static bool
look_ahead(struct commit *commit, uint32_t from, uint32_t read, uint32_t every)
{
    bool more = false;

    for (uint32_t i = from; i < read; i += every) {
        struct ahead *ahead = &commit->ahead[i % AHEAD];
        if (ahead->going)
            ahead->going = core_hint_on(commit->core, &ahead->hint);
        more |= ahead->going;
    }
    return more;
}

/* Apply every command of the batch and keep the answers. What they look at is in no cache, and each place is found
 * through another; so the next few are read ahead, and before each that is applied every second takes a step of its ways.
 * All of a batch at once would be too many: the first would have left the cache again when their turn comes.
 * False without memory: the batch must be undone, for a done command without its answer would look like a refusal. */
static bool
apply_batch(struct commit *commit)
{
    struct batch_reader reader;
    uint32_t read = 0;

    bool opened = batch_open(&reader, commit->batch.bytes, commit->batch.size);
    assert(opened);
    for (uint32_t i = 0; i < commit->batch.count; i++) {
        while (read < commit->batch.count && read < i + AHEAD)
            read_ahead(commit, &reader, read++);
        while (i == 0 && look_ahead(commit, 0, read, 1)) /* nobody came before the first */
            continue;
        look_ahead(commit, i + AHEAD_STEP, read, AHEAD_STEP);
        struct ahead *ahead = &commit->ahead[i % AHEAD];
        ahead->request.likely_user_no = ahead->hint.user_no;
        struct core_answer answer = core_apply(commit->core, &ahead->request);
        struct slot *slot = &commit->slots[i];
        slot->result = answer.result;
        slot->replayed = answer.replayed;
        if (!keep_body(commit, slot, &answer))
            return false;
    }
    assert(batch_ended(&reader));
    return true;
}

/* Nothing happened: every command is told so. All share one body. */
static void
answer_fault(struct commit *commit)
{
    const usher_refusal refusal = {.retry_after_ms = FAULT_RETRY_MS};
    const char *why;
    usher_result result = store_fault(commit->store, &why) == STORE_NO_ROOM ? USHER_STORAGE_FULL : USHER_STORAGE_FAULT;
    struct slot shared = {0};

    commit->arena_size = 0;
    bool kept = keep_refusal(commit, &shared, &refusal);
    assert(kept); /* commit_run saw to it that there is room for one refusal */
    for (uint32_t i = 0; i < commit->batch.count; i++) {
        struct slot *slot = &commit->slots[i];
        slot->result = (uint16_t)result;
        slot->replayed = false;
        slot->offset = shared.offset;
        slot->size = shared.size;
    }
}

struct commit_answer
commit_answer(const struct commit *commit, uint32_t index)
{
    assert(commit->ran);
    assert(index < commit->batch.count);
    const struct slot *slot = &commit->slots[index];
    return (struct commit_answer){.tag = slot->tag,
                                  .opcode = slot->opcode,
                                  .result = slot->result,
                                  .replayed = slot->replayed,
                                  .body = commit->arena + slot->offset,
                                  .body_size = slot->size};
}

/* --- running ------------------------------------------------------------------------------------------ */
static bool
make_room_for_a_refusal(struct commit *commit)
{
    const usher_refusal refusal = {0};
    struct slot ignored = {0};
    bool kept = keep_refusal(commit, &ignored, &refusal);

    commit->arena_size = 0;
    return kept;
}

/* X1: a stamp is never earlier than the last one. */
static uint64_t
never_back(const struct commit *commit, uint64_t now_ms)
{
    uint64_t last_ms = commit_stamp_ms(commit);

    return now_ms > last_ms ? now_ms : last_ms;
}

/* What came of the batch that the store was given. */
static enum store_outcome
take_outcome(struct commit *commit, enum store_outcome outcome)
{
    if (outcome == STORE_ON_ITS_WAY)
        return outcome;
    if (outcome == STORE_UNDONE)
        answer_fault(commit);
    else
        commit->down_since_ms = 0;
    if (outcome == STORE_DONE && commit->watcher != NULL)
        commit->watcher(commit->watching, store_position(commit->store), commit->batch.bytes, commit->batch.size);
    return outcome;
}

typedef enum store_outcome store_committer(struct store *store, const uint8_t *commands, size_t commands_size);

static enum store_outcome
run(struct commit *commit, uint64_t now_ms, store_committer *store_it)
{
    begin_anew(commit);
    uint64_t stamp_ms = never_back(commit, now_ms);
    if (commit->batch.count == 0 && commit->down_since_ms == 0 && core_next_due_ms(commit->core, stamp_ms) > stamp_ms)
        return STORE_DONE;

    commit->ran = true;
    commit->arena_size = 0;
    if (!make_room_for_a_refusal(commit))
        return STORE_LOST;
    if (!store_begin(commit->store)) {
        answer_fault(commit);
        return store_unsound(commit->store) == NULL ? STORE_UNDONE : STORE_LOST;
    }
    /* Only now is the last batch known: another instance may have committed one a moment ago, with a later stamp. */
    stamp_ms = never_back(commit, now_ms);
    commit->stamp_ms = stamp_ms;
    batch_stamp(&commit->batch, stamp_ms, commit->down_since_ms);
    if (commit->down_since_ms != 0)
        core_resume(commit->core, commit->down_since_ms, stamp_ms);
    bool ticked = core_tick(commit->core, stamp_ms);
    if (!ticked && commit->batch.count == 0 && commit->down_since_ms == 0) {
        store_undo(commit->store);
        return STORE_DONE;
    }
    if (!apply_batch(commit)) {
        store_undo(commit->store);
        answer_fault(commit);
        return STORE_UNDONE;
    }
    return take_outcome(commit, store_it(commit->store, commit->batch.bytes, commit->batch.size));
}

enum store_outcome
commit_run(struct commit *commit, uint64_t now_ms)
{
    return run(commit, now_ms, store_commit);
}

enum store_outcome
commit_run_start(struct commit *commit, uint64_t now_ms)
{
    return run(commit, now_ms, store_commit_start);
}

enum store_outcome
commit_run_end(struct commit *commit)
{
    return take_outcome(commit, store_commit_end(commit->store));
}

/* --- a batch as a value -------------------------------------------------------------------------------- */
/* Whether the bytes are a batch from head to end, before anything of it is applied. */
static bool
is_batch(struct commit *commit, const uint8_t *batch, size_t size)
{
    struct batch_reader reader;
    struct core_request request;

    if (!batch_open(&reader, batch, size))
        return false;
    if (reader.count > COMMIT_COMMANDS_MOST || reader.stamp_ms < commit_stamp_ms(commit) ||
        reader.stamp_ms > STORE_STAMP_MOST)
        return false;
    while (batch_next(&reader, &request, commit->scratch))
        continue;
    return batch_ended(&reader);
}

bool
commit_replay(struct commit *commit, uint64_t position, const uint8_t *batch, size_t size)
{
    struct batch_reader reader;
    struct core_request request;

    if (position <= store_position(commit->store))
        return true;
    if (position != store_position(commit->store) + 1 || !is_batch(commit, batch, size))
        return false;
    if (!store_begin(commit->store))
        return false;
    bool opened = batch_open(&reader, batch, size);
    assert(opened);
    if (reader.down_since_ms != 0)
        core_resume(commit->core, reader.down_since_ms, reader.stamp_ms);
    core_tick(commit->core, reader.stamp_ms);
    while (batch_next(&reader, &request, commit->scratch))
        core_apply(commit->core, &request);
    return store_commit(commit->store, batch, size) == STORE_DONE;
}

const uint8_t *
commit_batch(const struct commit *commit, size_t *size)
{
    *size = commit->batch.size;
    return commit->batch.bytes;
}
