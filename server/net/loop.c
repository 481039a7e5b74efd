/* loop.c: the turn of the loop (drawn in net.h), and what wakes it.
 *
 *     event_base_loop(ONCE)   every ready socket is read; requests climb their ladder and wait in net->taken
 *     gather_run              before a commit: read those who are just asking as well
 *     follow_others           what other instances have committed
 *     answer_early            queries that need not wait for the commit
 *     begin_batch             one batch on its way to the disk
 *     end_batch               its answers
 *     carry_out_queries       the other queries, on the state after it
 *     watch_run               what the subscriptions of all connections have to be told
 *     seal_run                proofs
 *     flush                   every reply and push leaves
 *     finish_off              cut the revoked, add the queries' traces and what the history has told to the next
 *                             batch, set the timers
 *
 * A batch of some size is not waited for: while the disk works, the loop writes the turn's answers (held.c), and reads
 * what the next turn will carry out. It carries none of that out before the disk has the batch, so memory is never more
 * than one batch ahead, and whatever leaves is on the disk. Answers leave before the next batch begins, so that those
 * who got them can ask again while it is carried out:
 *
 *     begin_batch(2)  answers of 2, read for 3, 3 ...  end_batch(2)  flush(2)  begin_batch(3)  answers of 3 ...
 *
 * A small batch is waited for: there is little to do meanwhile, and carrying over into LMDB beside it keeps the disk
 * busy, for which the next batch would wait (with 20,000 charges a second offered p99 was 5.6 ms, and is 2.2).
 *
 * Timers: the next due moment of the core (a batch without commands), the sweep of the connections' deadlines, and a
 * quiet moment in which the store writes older changes back. */
#include "server/net/inside.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define TAG_TRACE      UINT64_MAX /* of a command that nobody waits for */
#define FAULT_PAUSE_MS 1000       /* before trying again to write what is due after a fault */
#define STUCK_PAUSE_MS 50         /* the same, when a due moment came and nothing changed */
#define IDLE_MS        20         /* without a commit, before the store writes back */
#define SWEEP_MS_MOST  250
#define WAKE_MS_MOST   3600000
#define CLOCK_EVERY    16u /* queries: a look at the clock waits for all reads of memory before it */
#define ASIDE_LEAST    64u /* commands of a batch that is not waited for */
#define HELD_MOST      (1u << 20) /* bytes of answers that wait for the disk, from which on queries wait instead */

struct net_limits
net_limits_usual(void)
{
    return (struct net_limits){
#define NET_LIMIT(name, usual, least, most, unit, help) .name = (usual),
#include "server/net/limits.def"
    };
}

/* The clock, but never before the last batch's stamp. */
uint64_t
net_take_stamp(struct net *net)
{
    uint64_t now_ms = net_now(net);
    uint64_t stamp_ms = commit_stamp_ms(net->config.commit);

    net->stamp_ms = now_ms > stamp_ms ? now_ms : stamp_ms;
    return net->stamp_ms;
}

void
net_set_timer(struct event *timer, uint64_t delay_ms)
{
    const struct timeval delay = {.tv_sec = (time_t)(delay_ms / 1000),
                                  .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000)};

    event_add(timer, &delay);
}

void
net_wake_after(struct net *net, uint64_t delay_ms)
{
    net_set_timer(net->due_timer, delay_ms < WAKE_MS_MOST ? delay_ms : WAKE_MS_MOST);
}

/* --- the turn: commands -------------------------------------------------------------------------------- */
static void
refuse(const struct pending *pending, usher_result result, uint64_t retry_after_ms)
{
    const usher_refusal refusal = {.retry_after_ms = retry_after_ms};

    request_settle(pending);
    connection_refuse(pending->connection, pending->message->opcode, pending->request_no, result, &refusal);
}

/* A time budget that has run out before the request is begun. */
static bool
is_late(const struct pending *pending, uint64_t now_ms)
{
    return pending->budget_ms != 0 && now_ms >= pending->read_at_ms + pending->budget_ms;
}

static void
gather_commands(struct net *net)
{
    const struct requests *turn = net->turn;
    uint64_t now_ms = net_now(net);

    for (uint32_t i = 0; i < turn->count; i++) {
        const struct pending *pending = &turn->pending[i];
        if (pending->message->kind != USHER_MESSAGE_COMMAND || pending->answered)
            continue;
        if (is_late(pending, now_ms))
            refuse(pending, USHER_NOT_EXECUTED, 0);
        else if (!commit_add(net->config.commit, pending->message, &pending->asker, turn->arena + pending->body, i))
            refuse(pending, USHER_BUSY, NET_BUSY_RETRY_MS);
    }
}

/* What an answer changes in the connections. */
static void
follow_answer(struct net *net, const struct pending *pending, const struct commit_answer *answer)
{
    if (pending->message->opcode == USHER_OPCODE_ENROL)
        hello_enrolled(pending->connection, answer->result, answer->body, answer->body_size);
    if (pending->message->opcode == USHER_OPCODE_REVOKE && answer->result == USHER_OK) {
        const usher_revoke_request *request = (const void *)(net->turn->arena + pending->body);
        net->revoked[net->revoked_count++] = request->client_id;
    }
}

/* Write a command's answer; what it changes is for follow_answer. */
static void
write_answer(struct net *net, const struct commit_answer *answer)
{
    const struct pending *pending = &net->turn->pending[answer->tag];
    const usher_message *message = pending->message;
    const usher_frame frame = {.opcode = message->opcode,
                               .request_no = pending->request_no,
                               .aux = answer->result,
                               .flags = answer->replayed ? USHER_FLAG_REPLAYED : 0};
    unsigned field_no;

    if (answer->result == USHER_OK && seal_wants(message)) {
        usher_result sound = usher_decode(message->reply, answer->body, answer->body_size, net->scratch, &field_no);
        assert(sound == USHER_OK);
        seal_take(net, pending, answer->replayed, net->scratch);
    } else {
        connection_reply_bytes(pending->connection, &frame, answer->body, answer->body_size);
    }
}

/* Answer the batch's commands, or, where that was done while the disk had it, let the answers go. */
static void
answer_commands(struct net *net, bool held)
{
    for (uint32_t i = 0; i < net->batch.count; i++) {
        const struct commit_answer answer = commit_answer(net->config.commit, i);
        if (answer.tag == TAG_TRACE)
            continue;
        const struct pending *pending = &net->turn->pending[answer.tag];
        request_settle(pending);
        if (!held)
            write_answer(net, &answer);
        follow_answer(net, pending, &answer);
    }
}

void
net_tell_of_events(struct net *net)
{
    /* Whoever follows the events reads LMDB: it is told when they are there. */
    uint64_t event_no = store_settled_event_no(net->config.store);

    if (event_no <= net->last_event_no)
        return;
    net->last_event_no = event_no;
    if (net->config.made_events != NULL)
        net->config.made_events(net->config.context);
}

static void
report_fault(struct net *net)
{
    const char *why = "";

    store_fault(net->config.store, &why);
    net->config.log(LOG_ERR, "commit_undone", "why=\"%s\"", why);
}

/* What the batch's outcome makes of the answers that were made meanwhile. False when there are none any more. */
static bool
take_held(struct net *net, bool done)
{
    struct net_batch *batch = &net->batch;

    if (!batch->held)
        return false;
    batch->held = false;
    if (done) {
        held_release(net->held);
        return true;
    }
    held_drop(net->held);
    net->trace_count = batch->traces;
    for (uint32_t i = 0; i < net->turn->count; i++)
        net->turn->pending[i].held = false;
    return false;
}

/* What came of the batch: its commands are answered. False if the store is lost. */
static bool
end_batch(struct net *net)
{
    struct net_batch *batch = &net->batch;
    bool done = batch->outcome == STORE_DONE;

    batch->on_its_way = batch->arrived = false;
    if (batch->outcome == STORE_LOST) {
        net->config.log(LOG_CRIT, "store_lost", "position=%llu", (unsigned long long)batch->before);
        return false;
    }
    if (!done)
        report_fault(net);
    net_take_stamp(net);
    answer_commands(net, take_held(net, done));
    if (store_position(net->config.store) == batch->before) {
        net->due_not_before_ms = batch->now_ms + (done ? STUCK_PAUSE_MS : FAULT_PAUSE_MS);
    } else {
        net_set_timer(net->idle_timer, IDLE_MS);
        if (net->config.committed != NULL)
            net->config.committed(net->config.context);
    }
    net->current = net->current || done;
    net_tell_of_events(net);
    return true;
}

/* Run the batch if it has commands or something is due. False if the store is lost. */
static bool
begin_batch(struct net *net, bool waits)
{
    struct commit *commit = net->config.commit;
    struct stages *stages = net->config.stages;
    struct net_batch *batch = &net->batch;

    batch->now_ms = net_take_stamp(net);
    batch->before = store_position(net->config.store);
    gather_commands(net);
    batch->count = commit_count(commit);
    stages_lap(stages, USHER_STAGE_APPLY);
    stages_count(stages, USHER_STAGE_COMMANDS, batch->count);
    bool due =
        batch->now_ms >= net->due_not_before_ms && core_next_due_ms(net->config.core, batch->now_ms) <= batch->now_ms;
    if (batch->count == 0 && !due)
        return true;
    batch->outcome = waits ? commit_run(commit, batch->now_ms) : commit_run_start(commit, batch->now_ms);
    stages_lap(stages, USHER_STAGE_WRITE);
    batch->on_its_way = batch->outcome == STORE_ON_ITS_WAY;
    return batch->on_its_way || end_batch(net);
}

bool
net_await_disk(struct net *net)
{
    struct net_batch *batch = &net->batch;

    if (batch->on_its_way && !batch->arrived) {
        batch->outcome = commit_run_end(net->config.commit);
        batch->arrived = true;
    }
    return !batch->arrived || batch->outcome != STORE_LOST;
}

/* --- the turn: queries --------------------------------------------------------------------------------- */
struct core_answer
net_ask(struct net *net, uint16_t opcode, const struct core_asker *asker, const void *body)
{
    const struct core_request request = {.opcode = opcode, .asker = *asker, .body = body};

    assert(net->trace_count < net->config.limits.turn_max);
    core_trace *trace = &net->traces[net->trace_count];
    memset(trace, 0, sizeof *trace);
    const struct core_answer answer = core_query(net->config.core, &request, net->stamp_ms, trace);
    if (trace->renew || trace->claim)
        net->trace_count++;
    return answer;
}

static void
write_query(struct net *net, const struct pending *pending)
{
    const struct core_answer answer =
        net_ask(net, pending->message->opcode, &pending->asker, net->turn->arena + pending->body);
    const usher_frame frame = {
        .opcode = pending->message->opcode, .request_no = pending->request_no, .aux = answer.result};
    if (answer.result == USHER_OK && pending->message->opcode == USHER_OPCODE_FIGURES) {
        usher_figures_reply *reply = memcpy(net->scratch, answer.reply, sizeof *reply);
        figures_add(net, (const void *)(net->turn->arena + pending->body), reply);
        connection_reply(pending->connection, &frame, answer.layout, reply);
    } else if (answer.result == USHER_OK && seal_wants(pending->message)) {
        seal_take(net, pending, false, answer.reply);
    } else {
        connection_reply(pending->connection, &frame, answer.layout, answer.reply);
    }
}

static void
answer_query(struct net *net, const struct pending *pending)
{
    request_settle(pending);
    write_query(net, pending);
}

static void
answer_watch(struct net *net, const struct pending *pending)
{
    request_settle(pending);
    watch_answer(net, pending);
}

static void
carry_out_queries(struct net *net)
{
    const struct requests *turn = net->turn;
    struct hints hints;
    uint32_t count = 0;
    uint64_t now_ms = 0;

    hint_begin(&hints, net);
    for (uint32_t i = 0; i < turn->count; i++) {
        const struct pending *pending = &turn->pending[i];
        bool watches = pending->message->kind == USHER_MESSAGE_WATCH;
        if ((pending->message->kind != USHER_MESSAGE_QUERY && !watches) || pending->answered)
            continue;
        if (pending->held) {
            request_settle(pending);
            continue;
        }
        if (count++ % CLOCK_EVERY == 0)
            now_ms = net_now(net);
        hint_before(&hints, i);
        if (is_late(pending, now_ms))
            refuse(pending, USHER_NOT_EXECUTED, 0);
        else if (!net->current)
            refuse(pending, USHER_STORAGE_FAULT, FAULT_PAUSE_MS);
        else if (watches)
            answer_watch(net, pending);
        else
            answer_query(net, pending);
    }
    stages_count(net->config.stages, USHER_STAGE_QUERIES, count);
}

/* --- the turn: its end --------------------------------------------------------------------------------- */
static void
cut_revoked(struct net *net)
{
    if (net->revoked_count == 0)
        return;
    for (struct connection *connection = net->connections; connection != NULL; connection = connection->next) {
        for (uint32_t i = 0; i < net->revoked_count; i++) {
            if (connection->client_no != 0 && connection->client_no == net->revoked[i])
                connection_end(connection);
        }
    }
    net->revoked_count = 0;
    connection_flush_all(net);
}

/* The batch holds twice what a turn does, so the traces of one turn and the commands of the next both fit. */
static void
add_traces(struct net *net)
{
    static const struct core_asker server = {.role = USHER_ROLE_ADMIN};
    const usher_message *touch = usher_message_of(USHER_OPCODE_TOUCH);

    for (uint32_t i = 0; i < net->trace_count; i++) {
        if (!commit_add(net->config.commit, touch, &server, &net->traces[i], TAG_TRACE))
            net->config.log(LOG_WARNING, "trace_lost", "queue=%u", (unsigned)net->traces[i].queue_id);
    }
    net->again = net->again || net->trace_count > 0;
    net->trace_count = 0;
}

/* X5: events could go but for the history. It may have come further than the core knows: then tell it. Else, past the
 * bound, somebody has to be told. After a fault it waits as what is due does. */
static void
tell_of_history(struct net *net)
{
    static const struct core_asker server = {.role = USHER_ROLE_ADMIN};
    uint64_t now_ms = net_now(net), oldest = 0;
    enum core_events_need need = core_events_need(net->config.core, now_ms, &oldest);
    usher_history_taken_request taken = {0};
    bool overdue = false;

    if (now_ms < net->due_not_before_ms)
        return;
    if (need != CORE_EVENTS_AT_EASE)
        taken.event_no = store_consumer_cursor(net->config.store);
    if (need != CORE_EVENTS_AT_EASE && taken.event_no >= oldest)
        net->again |=
            commit_add(net->config.commit, usher_message_of(USHER_OPCODE_HISTORY_TAKEN), &server, &taken, TAG_TRACE);
    else
        overdue = need == CORE_EVENTS_PAST_BOUND;
    if (overdue == net->events_overdue)
        return;
    net->events_overdue = overdue;
    if (overdue)
        net->config.log(LOG_ALERT, "events_overdue", "oldest=%llu history=%llu", (unsigned long long)oldest,
                        (unsigned long long)taken.event_no);
    else
        net->config.log(LOG_NOTICE, "events_overdue_no_more", "oldest=%llu", (unsigned long long)oldest);
}

static void
set_due_timer(struct net *net)
{
    uint64_t now_ms = net_now(net);
    uint64_t due_ms = core_next_due_ms(net->config.core, now_ms);

    if (due_ms == UINT64_MAX) {
        event_del(net->due_timer);
        return;
    }
    if (due_ms < net->due_not_before_ms)
        due_ms = net->due_not_before_ms;
    if (due_ms <= now_ms) {
        net->again = true;
        return;
    }
    net_wake_after(net, due_ms - now_ms);
}

static bool
is_unsound(struct net *net)
{
    const char *why = store_unsound(net->config.store);

    if (why != NULL)
        net->config.log(LOG_CRIT, "store_unsound", "why=\"%s\"", why);
    return why != NULL;
}

/* Queries of connections that ask for nothing else in this turn are answered before its batch, on what the last one has
 * made durable, so that they don't wait for the disk. Those of the others come after the commands, as they were sent.
 */
static void
answer_early(struct net *net)
{
    const struct requests *turn = net->turn;
    struct hints hints;
    uint32_t count = 0;
    uint64_t now_ms = 0;

    if (!net->current)
        return;
    hint_begin(&hints, net);
    for (uint32_t i = 0; i < turn->count; i++) {
        struct pending *pending = &turn->pending[i];
        if (pending->message->kind != USHER_MESSAGE_QUERY || pending->connection->commands > 0 || pending->answered)
            continue;
        if (count++ % CLOCK_EVERY == 0)
            now_ms = net_now(net);
        hint_before(&hints, i);
        if (is_late(pending, now_ms))
            refuse(pending, USHER_NOT_EXECUTED, 0);
        else
            answer_query(net, pending);
        pending->answered = true;
    }
    stages_count(net->config.stages, USHER_STAGE_QUERIES, count);
    stages_lap(net->config.stages, USHER_STAGE_QUERY);
}

static void
send_all(struct net *net)
{
    connection_flush_all(net);
    stages_lap(net->config.stages, USHER_STAGE_SEND);
}

/* Queries whose answers are good once the batch is on the disk; what is late or too much is left for then. */
static void
hold_queries(struct net *net)
{
    const struct requests *turn = net->turn;
    struct hints hints;
    uint32_t count = 0;
    uint64_t now_ms = net_now(net);

    hint_begin(&hints, net);
    for (uint32_t i = 0; net->current && i < turn->count && held_size(net->held) < HELD_MOST; i++) {
        struct pending *pending = &turn->pending[i];
        if (pending->message->kind != USHER_MESSAGE_QUERY || pending->answered || is_late(pending, now_ms))
            continue;
        hint_before(&hints, i);
        write_query(net, pending);
        pending->held = true;
        count++;
    }
    stages_count(net->config.stages, USHER_STAGE_QUERIES, count);
}

/* While the disk has the batch: what is to be said once it is there (held.c). */
static void
hold_answers(struct net *net)
{
    struct stages *stages = net->config.stages;
    struct net_batch *batch = &net->batch;

    net_take_stamp(net);
    batch->held = net->holding = true;
    batch->traces = net->trace_count;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct commit_answer answer = commit_answer(net->config.commit, i);
        if (answer.tag != TAG_TRACE)
            write_answer(net, &answer);
    }
    stages_lap(stages, USHER_STAGE_SEND);
    hold_queries(net);
    stages_lap(stages, USHER_STAGE_QUERY);
    seal_run(net);
    stages_lap(stages, USHER_STAGE_SEAL);
    net->holding = false;
}

static void
finish_off(struct net *net)
{
    cut_revoked(net);
    follow_clients(net);
    connection_bury_dead(net);
    add_traces(net);
    tell_of_history(net);
    set_due_timer(net);
    stages_end(net->config.stages);
}

/* The turn's batch is on the disk, or it had none: what is left of the turn. False if nothing may leave the process any
 * more. */
static bool
end_turn(struct net *net)
{
    struct stages *stages = net->config.stages;

    stages_lap(stages, USHER_STAGE_SEND);
    carry_out_queries(net);
    stages_lap(stages, USHER_STAGE_QUERY);
    if (is_unsound(net)) /* nothing that it may have said leaves the process */
        return false;
    seal_run(net);
    stages_lap(stages, USHER_STAGE_SEAL);
    watch_run(net);
    stages_lap(stages, USHER_STAGE_PUSH);
    net->turn->count = net->turn->proved = 0;
    net->turn->arena_size = 0;
    send_all(net);
    finish_off(net);
    return true;
}

/* The next turn takes what was read. */
static bool
begin_turn(struct net *net)
{
    struct stages *stages = net->config.stages;
    struct requests *taken = net->taken;

    net->taken = net->turn;
    net->turn = taken;
    net->again = false;
    if (!follow_others(net))
        return false;
    stages_lap(stages, USHER_STAGE_FOLLOW);
    uint32_t count = gather_count_commands(taken);
    bool waits = count < ASIDE_LEAST || net->stopping;
    if (count > 0)
        answer_early(net);
    if (is_unsound(net))
        return false;
    if (waits)
        send_all(net);
    return begin_batch(net, waits);
}

/* Is there nothing better to do than to wait for the batch that is on its way? */
static bool
must_wait(const struct net *net)
{
    return net->stopping || net->batch.arrived || net->taken->count * 2 >= net->config.limits.turn_max;
}

static bool
turn(struct net *net)
{
    struct stages *stages = net->config.stages;

    stages_begin(stages);
    if (net->batch.on_its_way) {
        stages_lap(stages, USHER_STAGE_SYNC);
        request_prove(net);
        stages_lap(stages, USHER_STAGE_PARSE);
        if (!must_wait(net) && !store_commit_is_over(net->config.store)) {
            send_all(net);
            return true;
        }
        (void)net_await_disk(net);
        if (!end_batch(net) || !end_turn(net))
            return false;
        stages_begin(stages);
    } else {
        request_prove(net);
        stages_lap(stages, USHER_STAGE_PARSE);
        gather_run(net);
        request_prove(net);
        stages_lap(stages, USHER_STAGE_GATHER);
    }
    if (!begin_turn(net))
        return false;
    if (net->batch.on_its_way) {
        send_all(net);
        hold_answers(net);
        return true;
    }
    return end_turn(net);
}

/* --- what wakes the loop -------------------------------------------------------------------------------- */
static void
on_due(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument; /* waking is all: the turn looks for itself */
}

static uint64_t
sweep_ms(const struct net_limits *limits)
{
    uint64_t least = limits->hello_ms;

    least = limits->frame_ms < least ? limits->frame_ms : least;
    least = limits->stall_ms < least ? limits->stall_ms : least;
    if (limits->idle_ms != 0 && limits->idle_ms < least)
        least = limits->idle_ms;
    return least / 4 < SWEEP_MS_MOST ? least / 4 : SWEEP_MS_MOST;
}

static void
on_sweep(evutil_socket_t fd, short what, void *argument)
{
    struct net *net = argument;

    (void)fd;
    (void)what;
    connection_sweep(net);
    if (net_await_disk(net))
        follow_now_and_then(net);
}

static void
on_disk(evutil_socket_t fd, short what, void *argument)
{
    const struct net *net = argument;

    (void)fd;
    (void)what;
    store_look_aside(net->config.store); /* of the batch that is on its way the turn asks */
}

static void
on_idle(evutil_socket_t fd, short what, void *argument)
{
    struct net *net = argument;

    (void)fd;
    (void)what;
    if (!net_await_disk(net))
        return;
    if (store_idle_aside(net->config.store))
        net_set_timer(net->idle_timer, IDLE_MS);
    net_tell_of_events(net);
}

static void
on_signal(evutil_socket_t number, short what, void *argument)
{
    struct net *net = argument;

    (void)what;
    net->config.log(LOG_INFO, net->stopping ? "stopping_at_once" : "stopping", "signal=%d", (int)number);
    net_stop(net);
}

/* --- opening, serving, closing --------------------------------------------------------------------------- */
static bool
open_timers(struct net *net)
{
    static const int signals[] = {SIGTERM, SIGINT};
    uint64_t every_ms = sweep_ms(&net->config.limits);
    const struct timeval every = {.tv_usec = (suseconds_t)(every_ms * 1000)};

    net->due_timer = evtimer_new(net->base, on_due, net);
    net->idle_timer = evtimer_new(net->base, on_idle, net);
    net->sweep_timer = event_new(net->base, -1, EV_PERSIST, on_sweep, net);
    if (net->due_timer == NULL || net->idle_timer == NULL || net->sweep_timer == NULL)
        return false;
    if (event_add(net->sweep_timer, &every) != 0)
        return false;
    net_set_timer(net->idle_timer, IDLE_MS);
    store_work_aside(net->config.store);
    const int disk[] = {store_commit_descriptor(net->config.store), store_aside_descriptor(net->config.store)};
    for (size_t i = 0; i < sizeof disk / sizeof *disk; i++) {
        if (disk[i] < 0)
            continue;
        net->disk_events[i] = event_new(net->base, disk[i], EV_READ | EV_PERSIST, on_disk, net);
        if (net->disk_events[i] == NULL || event_add(net->disk_events[i], NULL) != 0)
            return false;
    }
    if (!scrub_open(net))
        return false;
    for (size_t i = 0; net->config.signals && i < sizeof signals / sizeof *signals; i++) {
        net->signal_events[i] = evsignal_new(net->base, signals[i], on_signal, net);
        if (net->signal_events[i] == NULL || event_add(net->signal_events[i], NULL) != 0)
            return false;
    }
    return true;
}

static bool
open_parts(struct net *net)
{
    const struct house_record *house = store_see_house(net->config.store, 0);
    uint64_t turn_max = net->config.limits.turn_max;

    assert(turn_max * 2 <= COMMIT_COMMANDS_MOST);
    net->last_event_no = house == NULL ? 0 : house->last_event_no;
    forms_fill(&net->forms);
    net->base = event_base_new();
    net->scratch = calloc(1, net->forms.struct_size_most);
    for (size_t i = 0; i < 2; i++)
        net->requests[i].pending = calloc(turn_max, sizeof *net->requests[i].pending);
    net->taken = &net->requests[0];
    net->turn = &net->requests[1];
    net->traces = calloc(turn_max, sizeof *net->traces);
    net->revoked = calloc(turn_max, sizeof *net->revoked);
    net->known = proof_open(net->config.limits.tokens_max, net->config.limits.roots_max);
    net->seal = seal_open();
    net->held = held_open();
    net->again = true; /* something may be due already */
    return net->base != NULL && net->scratch != NULL && net->taken->pending != NULL && net->turn->pending != NULL &&
           net->traces != NULL && net->revoked != NULL && net->known != NULL && net->seal != NULL && net->held != NULL &&
           watch_open(net);
}

enum net_status
net_open(const struct net_config *config, struct net **opened, char *why, size_t why_size)
{
    struct net *net = calloc(1, sizeof *net);
    enum net_status status = NET_FAULT;

    *opened = NULL;
    snprintf(why, why_size, "no memory for the server's loop");
    if (net == NULL)
        return NET_FAULT;
    net->config = *config;
    net->listen_fd = -1;
    net->stages_since_ms = net_now(net);
    if (open_parts(net) && open_timers(net) && follow_open(net))
        status = listen_open(net, why, why_size);
    if (status != NET_OK) {
        net_close(net);
        return status;
    }
    *opened = net;
    return NET_OK;
}

uint16_t
net_port(const struct net *net)
{
    return net->port;
}

void
net_stop(struct net *net)
{
    net->at_once = net->stopping;
    net->stopping = true;
    event_base_loopbreak(net->base);
}

bool
net_run(struct net *net)
{
    while (!net->stopping) {
        event_base_loop(net->base, EVLOOP_ONCE | (net->again && !net->batch.on_its_way ? EVLOOP_NONBLOCK : 0));
        if (!turn(net))
            return false;
    }
    /* What is on its way, and what was read meanwhile; and what the last turn's queries leave behind, a claim or a
     * lease, belongs on the disk as well. */
    if (net->batch.on_its_way && !turn(net))
        return false;
    if (net->again && !turn(net))
        return false;
    drain_run(net);
    return true;
}

static void
free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void
net_close(struct net *net)
{
    if (net == NULL)
        return;
    while (net->connections != NULL)
        connection_cut(net->connections, "server_ends");
    for (struct connection *dead = net->graveyard; dead != NULL; dead = dead->next)
        dead->in_flight = 0; /* nobody carries their requests out any more */
    connection_bury_dead(net);
    listen_close(net);
    free_event(net->due_timer);
    free_event(net->sweep_timer);
    scrub_close(net);
    free_event(net->idle_timer);
    free_event(net->disk_events[0]);
    free_event(net->disk_events[1]);
    free_event(net->bell_event);
    free_event(net->signal_events[0]);
    free_event(net->signal_events[1]);
    if (net->base != NULL)
        event_base_free(net->base);
    proof_close(net->known);
    seal_close(net->seal);
    held_close(net->held);
    watch_close(net);
    free(net->spare.bytes);
    for (size_t i = 0; i < 2; i++) {
        free(net->requests[i].pending);
        free(net->requests[i].arena);
    }
    free(net->traces);
    free(net->revoked);
    free(net->scratch);
    free(net);
}
