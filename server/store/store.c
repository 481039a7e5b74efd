/* store.c: the store as a whole: opening in memory, batches from begin to commit, history and figures. What LMDB does
 * is behind disk.h. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "server/store/consumer.h"
#include "server/store/digest.h"
#include "server/store/disk.h"
#include "server/store/disk_carry.h"
#include "server/store/internal.h"
#include "server/store/memory.h"
#include "server/store/runner.h"

/* --- opening and closing ---------------------------------------------------------------------- */
struct store *
store_new(bool keep_history)
{
    struct store *store;

    if (sodium_init() < 0)
        return NULL;
    store = store_allocate(1, sizeof *store);
    store->tables = store_allocate(STORE_RECORD_TABLES, sizeof *store->tables);
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        table_open(&store->tables[number], &table_kinds[number]);
    store->indexes = indexes_open(store->tables);
    store->history = history_open(keep_history);
    store->trouble = store_allocate(1, sizeof *store->trouble);
    return store;
}

void
store_default_house(struct house_record *house)
{
    *house = (struct house_record){.first_event_no = 1, .first_answer_no = 1};
#define HOUSE_(name, usual) house->policy[HOUSE_POLICY_##name] = (usual);
#define QUEUE_(name, usual)
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(name, usual)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
}

void
store_default_queue(struct queue_record *queue)
{
    *queue = (struct queue_record){.mode = USHER_QUEUE_OPEN};
#define HOUSE_(name, usual)
#define QUEUE_(name, usual)                                       queue->policy[QUEUE_POLICY_##name] = (usual);
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(name, usual)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
}

void
store_fill_fresh(struct store *store)
{
    struct house_record house;
    struct queue_record queue;

    store_default_house(&house);
    store_default_queue(&queue);
    house.last_queue_no = queue.queue_no = 1;
    memcpy(queue.name, "default", sizeof "default");
    store->batch.open = true;
    store_put_house(store, &house);
    store_put_queue(store, &queue);
}

struct store *
store_open_memory(void)
{
    struct store *store = store_new(true);

    if (store == NULL)
        return NULL;
    store->consumer = consumer_open();
    store_fill_fresh(store);
    digest_of_batch(store);
    digest_settle(store);
    store_batch_over(store);
    return store;
}

void
store_forget_history(struct store *store)
{
    assert(store->disk == NULL);
    store->history->keep = false;
}

void
store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store->batch.on_its_way)
        (void)store_commit_end(store);
    if (store->batch.open)
        store_undo(store);
    if (store->disk != NULL)
        disk_carry_wait(store);
    if (store->disk != NULL && front_count(&store->disk->front) > 0)
        (void)disk_idle(store, false); /* so that store.mdb has it all; the next start would do it as well */
    disk_close(store->disk);
    consumer_close(store->consumer);
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        table_close(&store->tables[number]);
    free(store->tables);
    indexes_close(store->indexes);
    history_close(store->history);
    free(store->batch.touched);
    free(store->batch.images);
    free(store->trouble);
    free(store);
}

/* --- faults ----------------------------------------------------------------------------------- */
void
store_fail(const struct store *store, enum store_status status, const char *format, ...)
{
    va_list arguments;

    if (store->trouble->status != STORE_OK)
        return;
    store->trouble->status = status;
    va_start(arguments, format);
    vsnprintf(store->trouble->text, sizeof store->trouble->text, format, arguments);
    va_end(arguments);
}

void
store_is_unsound(struct store *store, const char *format, ...)
{
    va_list arguments;

    if (store->unsound[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(store->unsound, sizeof store->unsound, format, arguments);
    va_end(arguments);
}

const char *
store_unsound(const struct store *store)
{
    return store->unsound[0] == '\0' ? NULL : store->unsound;
}

void
store_no_fault(const struct store *store)
{
    store->trouble->status = STORE_OK;
    store->trouble->text[0] = '\0';
}

enum store_status
store_fault(const struct store *store, const char **why)
{
    if (why != NULL)
        *why = store->trouble->text;
    return store->trouble->status;
}

/* --- a batch ---------------------------------------------------------------------------------- */
bool
store_begin(struct store *store)
{
    assert(!store->batch.open);
    store_no_fault(store);
    if (store->unsound[0] != '\0') {
        store_fail(store, STORE_FAULT, "%s", store->unsound);
        return false;
    }
    if (store->disk != NULL && !disk_begin(store))
        return false;
    store->batch.open = true;
    return true;
}

bool
store_follow(struct store *store)
{
    assert(!store->batch.open);
    return store->disk == NULL || disk_follow_now(store);
}

uint64_t
store_followed_count(const struct store *store, enum store_table table)
{
    assert(table > 0);
    assert(table < STORE_RECORD_TABLES);
    return store->followed[table];
}

void
store_clear_readers(struct store *store)
{
    if (store->disk != NULL)
        disk_clear_readers(store->disk);
}

void
store_undo(struct store *store)
{
    assert(store->batch.open && !store->batch.on_its_way);
    if (store->disk != NULL)
        disk_abort(store);
    store_batch_undo(store);
}

/* Memory follows what came of the batch. */
static enum store_outcome
settle(struct store *store, enum store_outcome outcome)
{
    store->batch.on_its_way = outcome == STORE_ON_ITS_WAY;
    if (outcome == STORE_ON_ITS_WAY)
        return outcome;
    if (outcome == STORE_DONE) {
        store->position++;
        digest_settle(store);
        history_done(store->history, store->disk != NULL && store->disk->batch_waits);
        store_batch_over(store);
        if (store->disk != NULL)
            disk_batch_over(store);
    } else {
        store_batch_undo(store); /* LOST: this memory is as before; whether the disk is, nobody knows */
    }
    return outcome;
}

static enum store_outcome
commit(struct store *store, const uint8_t *commands, size_t commands_size, bool waits)
{
    assert(store->batch.open && !store->batch.on_its_way);
    if (store->trouble->status != STORE_OK) {
        store_undo(store);
        return STORE_UNDONE;
    }
    stages_lap(store->stages, USHER_STAGE_APPLY);
    digest_of_batch(store);
    if (store->disk != NULL)
        return settle(store, disk_commit(store, commands, commands_size, waits));
    digest_of_history(store);
    return settle(store, STORE_DONE);
}

enum store_outcome
store_commit(struct store *store, const uint8_t *commands, size_t commands_size)
{
    return commit(store, commands, commands_size, true);
}

enum store_outcome
store_commit_start(struct store *store, const uint8_t *commands, size_t commands_size)
{
    return commit(store, commands, commands_size, false);
}

bool
store_commit_is_over(struct store *store)
{
    return !store->batch.on_its_way || runner_is_done(store->disk->runner);
}

int
store_commit_descriptor(const struct store *store)
{
    return store->disk == NULL || store->disk->runner == NULL ? -1 : runner_descriptor(store->disk->runner);
}

enum store_outcome
store_commit_end(struct store *store)
{
    assert(store->batch.on_its_way);
    return settle(store, disk_commit_end(store));
}

uint64_t
store_position(const struct store *store)
{
    return store->position;
}

bool
store_idle(struct store *store)
{
    assert(!store->batch.open);
    return store->disk != NULL && disk_idle(store, false);
}

bool
store_idle_aside(struct store *store)
{
    assert(!store->batch.open);
    return store->disk != NULL && disk_idle(store, true);
}

void
store_work_aside(struct store *store)
{
    if (store->disk != NULL)
        disk_work_aside(store->disk);
}

void
store_look_aside(struct store *store)
{
    if (store->disk != NULL)
        disk_carry_look(store);
}

void
store_wait_aside(struct store *store)
{
    if (store->disk != NULL)
        disk_carry_wait(store);
}

int
store_aside_descriptor(const struct store *store)
{
    return store->disk == NULL || store->disk->carrying->runner == NULL
               ? -1
               : runner_descriptor(store->disk->carrying->runner);
}

bool
store_is_settled(const struct store *store)
{
    return store->disk == NULL || front_count(&store->disk->front) == 0;
}

uint64_t
store_settled_event_no(const struct store *store)
{
    const struct house_record *house = store_see_house(store, 0);

    uint64_t event_no = house == NULL ? 0 : house->last_event_no;

    if (store->disk == NULL)
        return event_no;
    if (store_is_settled(store))
        store->disk->settled_event_no = event_no; /* which it stays when the next batch waits beside LMDB */
    return store->disk->settled_event_no;
}

/* --- history ---------------------------------------------------------------------------------- */
static bool
read_row(const struct store *store, unsigned index, uint64_t key, void *out)
{
    bool dropped;
    size_t size;
    const uint8_t *bytes = history_see(store->history, index, key, &size, &dropped);

    if (bytes != NULL)
        return history_fill(index, bytes, size, out);
    return !dropped && store->disk != NULL && disk_read_row(store, index, key, out);
}

#define STORE_HISTORY(number, NAME, name, text)                                                                        \
    void store_append_##name(struct store *store, const struct name##_row *row)                                        \
    {                                                                                                                  \
        assert(store->batch.open);                                                                                     \
        history_append(store->history, HISTORY_INDEX_##NAME, row);                                                     \
    }                                                                                                                  \
    bool store_read_##name(const struct store *store, uint64_t key, struct name##_row *out)                            \
    {                                                                                                                  \
        return read_row(store, HISTORY_INDEX_##NAME, key, out);                                                        \
    }
#include "server/store/history.def"

void
store_drop_event(struct store *store, uint64_t event_no)
{
    assert(store->batch.open);
    history_drop(store->history, HISTORY_INDEX_EVENT, event_no, NULL);
}

void
store_drop_answer(struct store *store, const struct answer_row *row)
{
    assert(store->batch.open);
    history_drop(store->history, HISTORY_INDEX_ANSWER, row->answer_no, row);
}

bool
store_find_answer(const struct store *store, uint64_t scope, const usher_id *request_id, struct answer_row *out)
{
    struct map_search search = {.hash = history_answer_hash(store->history, scope, request_id)};
    uint64_t answer_no;

    while ((answer_no = map_next(&store->history->answers, &search)) != 0)
        if (store_read_answer(store, answer_no, out) && out->scope == scope &&
            memcmp(&out->request_id, request_id, sizeof *request_id) == 0)
            return true;
    return false;
}

uint64_t
store_answer_count(const struct store *store)
{
    return store->history->answers.count;
}

/* --- looking over everything ------------------------------------------------------------------ */
uint64_t
store_record_count(const struct store *store, enum store_table table)
{
    assert(table > 0);
    assert(table < STORE_RECORD_TABLES);
    return store->tables[table].count;
}

uint64_t
store_read_count(const struct store *store, enum store_table table)
{
    assert(table > 0);
    assert(table < STORE_RECORD_TABLES);
    return store->tables[table].reads;
}

void
store_each(const struct store *store, enum store_table number, bool (*visit)(void *context, const void *record),
           void *context)
{
    const struct table *table = &store->tables[number];

    assert(number > 0);
    assert(number < STORE_RECORD_TABLES);
    for (uint32_t slot = 0; slot < table->slot_count; slot++)
        if ((*table_flags(table, slot) & TABLE_PRESENT) != 0 && !visit(context, table_record(table, slot)))
            return;
}

struct store_figures
store_figures(const struct store *store)
{
    struct store_figures figures = {0};

    if (store->disk != NULL)
        disk_figures(store, &figures);
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        figures.memory_bytes += table_bytes(&store->tables[number]);
    figures.memory_bytes += indexes_bytes(store->indexes) + history_bytes(store->history);
    return figures;
}

void
store_measure(struct store *store, struct stages *stages)
{
    store->stages = stages;
}

/* --- the history consumer --------------------------------------------------------------------- */
enum store_step
store_consumer_step(struct store *store, uint32_t most)
{
    if (store->disk != NULL)
        return disk_consumer_step(store, most);
    if (store->consumer_failures > 0) {
        store->consumer_failures--;
        return STORE_STEP_FAILED;
    }
    return consumer_step(store, most);
}

void
store_consumer_fail(struct store *store, uint32_t steps)
{
    store->consumer_failures = steps;
}

uint64_t
store_consumer_cursor(const struct store *store)
{
    return store->disk != NULL ? disk_consumer_cursor(store) : consumer_cursor(store);
}

size_t
store_consumer_rows(const struct store *store, uint64_t user_no, uint64_t after_event_no, struct history_record *rows,
                    size_t most, bool *more)
{
    return store->disk != NULL ? disk_consumer_rows(store, user_no, after_event_no, rows, most, more)
                               : consumer_rows(store, user_no, after_event_no, rows, most, more);
}
