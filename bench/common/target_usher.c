/* target_usher.c: the tasks of a target as requests of Usher. See target_usher.h; the house is furnished in furnish.c. */
#define _GNU_SOURCE 1
#include "target_usher.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "bench/common/clock.h"
#include "bench/common/dice.h"

#define CONNECT_S          120
#define TIMEOUT_MS         60000
#define DESCRIPTORS_EACH   1 /* of a handle in a group */
#define DESCRIPTORS_SPARE  64
#define LINE_TOKENS_MOST   200000u
#define BULK_CONNECTIONS   8u
#define BULK_DEPTH         200u
#define REASON_STATUS      200u /* reasons from here on are the SDK's statuses */
#define TOKEN_ROOM         512u /* of a token and its size: the longest has 500 bytes */
#define TOKEN_SIZE_LIKELY  448u /* of what is fetched ahead: most tokens are as large */
#define CACHE_LINE         64u

/* In a place of its own for each user, so that where it stands is known without looking: what is looked at first would
 * have to be waited for. */
struct token {
    uint16_t size; /* 0: there is none */
    uint8_t bytes[TOKEN_ROOM - sizeof(uint16_t)];
};

struct handle {
    struct usher_target *target;
    usher_async *async;
    uint32_t in_flight;
    bool ready;
};

/* One task in flight. */
struct call {
    struct call *next_free;
    struct usher_target *target;
    uint64_t tag;
    uint32_t handle;
    struct task task;
};

struct usher_target {
    struct house *house;
    struct target_sizes sizes;
    target_answer *answer;
    void *context;
    usher_group *group; /* of all handles; NULL while there are none */
    struct handle *handle;
    uint32_t handle_count, depth, ready_count;
    struct call *call, *free_call;
    struct token *token, *line_token; /* of users, and of every stride-th of the line */
    uint32_t line_stride, line_token_count;
    char trouble[256]; /* "": none */

    /* Of a bulk, instead of the answers to a driver. */
    bool in_bulk;
    uint64_t bulk_done, bulk_failed;
    uint32_t bulk_reason;
};

/* --- names -------------------------------------------------------------------------------------------- */
usher_uuid
target_usher_user(bool line, uint32_t user)
{
    uint64_t halves[2] = {dice_scramble(((uint64_t)user << 1 | line) + UINT64_C(0x75736572) * NS_OF_S),
                          dice_scramble(~((uint64_t)user << 1 | line))};
    usher_uuid uuid;

    memcpy(uuid.bytes, halves, sizeof uuid.bytes);
    uuid.bytes[6] = (uint8_t)(0x40 | (uuid.bytes[6] & 0x0f));
    uuid.bytes[8] = (uint8_t)(0x80 | (uuid.bytes[8] & 0x3f));
    return uuid;
}

usher_id
target_usher_id(void)
{
    static uint64_t count, salt;
    struct timespec now;
    uint64_t ms;
    usher_id id;

    while (salt == 0 && getrandom(&salt, sizeof salt, 0) != (ssize_t)sizeof salt)
        continue;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (unsigned i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    id.bytes[6] = 0x70;
    id.bytes[7] = (uint8_t)salt;
    for (unsigned i = 8; i < 12; i++)
        id.bytes[i] = (uint8_t)(salt >> (8 * (i - 7)));
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3f));
    for (unsigned i = 12; i < 16; i++)
        id.bytes[i] = (uint8_t)(count >> (8 * (15 - i)));
    if ((++count & UINT32_MAX) == 0)
        salt = 0; /* the counter's four bytes are over: another salt */
    return id;
}

void
target_usher_date(uint32_t date, uint32_t *concert_id, uint32_t *date_id)
{
    *concert_id = date / USHER_TARGET_DATES_EACH + 1;
    *date_id = date % USHER_TARGET_DATES_EACH + 1;
}

static const char *
reason_name(uint32_t reason)
{
    return reason >= REASON_STATUS ? usher_status_text((usher_status)(reason - REASON_STATUS))
                                   : usher_result_name(reason);
}

/* --- tokens ------------------------------------------------------------------------------------------- */
/* Places for so many, in huge pages where there are any: users are asked about in no order, and in small pages the way to
 * each token's would have to be looked up in memory first. */
static struct token *
token_room(uint32_t count)
{
    size_t size = (size_t)count * sizeof(struct token);
    void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED)
        abort();
    (void)madvise(room, size, MADV_HUGEPAGE); /* else small ones do as well */
    return room;
}

static struct token *
token_place(const struct usher_target *target, bool line, uint32_t user)
{
    if (!line)
        return user < target->sizes.users ? &target->token[user] : NULL;
    return user < target->sizes.waiting && user % target->line_stride == 0
               ? &target->line_token[user / target->line_stride]
               : NULL;
}

static void
keep_token(struct usher_target *target, const struct task *task, const usher_join_reply *reply)
{
    struct token *place = token_place(target, task->line, task->user);

    if (place == NULL)
        return;
    assert(reply->token_count <= sizeof place->bytes);
    place->size = reply->token_count;
    memcpy(place->bytes, reply->token, reply->token_count);
}

/* Where the token stands that a request about the user shows, or NULL. */
static const struct token *
shown_token(const struct usher_target *target, bool line, uint32_t user)
{
    return token_place(target, line, line ? user - user % target->line_stride : user);
}

/* Put the user's token into a request; who has none goes without and is refused. */
static void
show_token(const struct usher_target *target, const struct task *task, uint16_t *count, uint8_t *bytes)
{
    const struct token *token = shown_token(target, task->line, task->user);

    if (token == NULL || token->size == 0)
        return;
    *count = token->size;
    memcpy(bytes, token->bytes, token->size);
}

/* Tokens of many users are in no cache, and reading one line after the other of them takes longer than all else here. */
static void
usher_expect(const void *opaque, bool line, uint32_t user)
{
    const struct usher_target *target = opaque;
    const struct token *token = shown_token(target, line, user);

    for (unsigned at = 0; token != NULL && at < TOKEN_SIZE_LIKELY; at += CACHE_LINE)
        __builtin_prefetch((const uint8_t *)token + at);
}

/* --- requests ----------------------------------------------------------------------------------------- */
union request {
    usher_join_request join;
    usher_place_request place;
    usher_dates_request dates;
    usher_seats_request seats;
    usher_reserve_request reserve;
    usher_release_request release;
    usher_charge_request charge;
    usher_balance_request balance;
    usher_pay_request pay;
};

static uint16_t
fill_join(struct usher_target *target, const struct task *task, union request *request)
{
    (void)target;
    request->join = (usher_join_request){.request_id = target_usher_id(),
                                         .user = target_usher_user(task->line, task->user),
                                         .queue_id = task->line ? USHER_TARGET_LINE : USHER_TARGET_OPEN};
    return USHER_OPCODE_JOIN;
}

static uint16_t
fill_rank(struct usher_target *target, const struct task *task, union request *request)
{
    request->place.token_count = 0;
    show_token(target, task, &request->place.token_count, request->place.token);
    return USHER_OPCODE_PLACE;
}

/* What begins every request with a token: the fields around it, without clearing the whole of it. */
#define BEGIN(field)                                                                                      \
    request->field.token_count = 0;                                                                       \
    memset(&request->field.user, 0, sizeof request->field.user);                                          \
    show_token(target, task, &request->field.token_count, request->field.token)

static uint16_t
fill_dates(struct usher_target *target, const struct task *task, union request *request)
{
    uint32_t date_id;

    memset(&request->dates, 0, sizeof request->dates);
    BEGIN(dates);
    target_usher_date(task->date, &request->dates.concert_id, &date_id);
    return USHER_OPCODE_DATES;
}

static uint16_t
fill_seats(struct usher_target *target, const struct task *task, union request *request)
{
    BEGIN(seats);
    target_usher_date(task->date, &request->seats.concert_id, &request->seats.date_id);
    request->seats.first_block = 0;
    return USHER_OPCODE_SEATS;
}

static uint16_t
fill_reserve(struct usher_target *target, const struct task *task, union request *request)
{
    BEGIN(reserve);
    request->reserve.request_id = target_usher_id();
    target_usher_date(task->date, &request->reserve.concert_id, &request->reserve.date_id);
    request->reserve.seat_count = 1;
    request->reserve.seat[0] = task->seat + 1;
    return USHER_OPCODE_RESERVE;
}

static uint16_t
fill_release(struct usher_target *target, const struct task *task, union request *request)
{
    BEGIN(release);
    request->release.request_id = target_usher_id();
    request->release.reservation_count = 1;
    request->release.reservation[0] = task->reservation;
    return USHER_OPCODE_RELEASE;
}

/* The first charge of all, in the preparation, needs no token. */
static uint16_t
fill_charge(struct usher_target *target, const struct task *task, union request *request)
{
    BEGIN(charge);
    if (target->in_bulk) {
        request->charge.token_count = 0;
        request->charge.user = target_usher_user(false, task->user);
    }
    request->charge.request_id = target_usher_id();
    request->charge.amount = task->amount;
    return USHER_OPCODE_CHARGE;
}

static uint16_t
fill_balance(struct usher_target *target, const struct task *task, union request *request)
{
    BEGIN(balance);
    return USHER_OPCODE_BALANCE;
}

static uint16_t
fill_pay(struct usher_target *target, const struct task *task, union request *request)
{
    BEGIN(pay);
    request->pay.request_id = target_usher_id();
    request->pay.reservation_count = 1;
    request->pay.reservation[0] = task->reservation;
    return USHER_OPCODE_PAY;
}

static uint16_t (*const fill_request[JOB_COUNT])(struct usher_target *, const struct task *, union request *) = {
#define BENCH_JOB(NAME, name, writes, text) [JOB_##NAME] = fill_##name,
#include "bench/common/jobs.def"
};

/* --- answers ------------------------------------------------------------------------------------------ */
static uint64_t
count_free(const usher_seats_reply *reply)
{
    uint64_t count = 0;

    for (uint16_t i = 0; i < reply->free_block_count; i++)
        count += (unsigned)__builtin_popcountll(reply->free_block[i]);
    return count;
}

static uint64_t
value_of(enum job job, const void *reply)
{
    switch (job) {
    case JOB_JOIN:
        return ((const usher_join_reply *)reply)->position;
    case JOB_RANK:
        return ((const usher_place_reply *)reply)->rank;
    case JOB_DATES:
        return ((const usher_dates_reply *)reply)->date_count;
    case JOB_SEATS:
        return count_free(reply);
    case JOB_RESERVE:
        return ((const usher_reserve_reply *)reply)->hold[0].reservation_id;
    case JOB_CHARGE:
        return (uint64_t)((const usher_charge_reply *)reply)->balance;
    case JOB_BALANCE:
        return (uint64_t)((const usher_balance_reply *)reply)->balance;
    case JOB_PAY:
        return ((const usher_pay_reply *)reply)->payment_id;
    case JOB_RELEASE:
    case JOB_COUNT:
        break;
    }
    return 0;
}

static void
tell_witness(const struct usher_target *target, const struct call *call, const usher_completion *completion)
{
    struct heard heard;

    if (target->house->witness == NULL || !job_rows[call->task.job].writes)
        return;
    heard = (struct heard){.opcode = completion->answer->opcode,
                           .user = target_usher_user(call->task.line, call->task.user),
                           .request_id = completion->answer->request_id,
                           .status = completion->status,
                           .result = completion->answer->result,
                           .reply = completion->reply};
    target->house->witness(target->house->witness_context, &heard);
}

/* What the answer is to who asked: a refusal is the house's decision; what can only be somebody's mistake, or a failing
 * server's, is a fault. */
static struct outcome
outcome_of(const struct call *call, const usher_completion *completion)
{
    usher_result result = completion->answer->result;
    struct outcome outcome = {.tag = call->tag, .kind = OUTCOME_DONE};

    if (completion->status != USHER_STATUS_ANSWERED) {
        outcome.kind = OUTCOME_FAULT;
        outcome.reason = REASON_STATUS + (uint32_t)completion->status;
    } else if (result != USHER_OK) {
        bool fault = usher_result_class_of(result) == USHER_CLASS_CALLER || result == USHER_STORAGE_FAULT ||
                     result == USHER_STORAGE_FULL;
        outcome.kind = fault ? OUTCOME_FAULT : OUTCOME_REFUSED;
        outcome.reason = (uint32_t)result;
    } else {
        outcome.value = value_of(call->task.job, completion->reply);
    }
    return outcome;
}

static void
count_for_bulk(struct usher_target *target, const struct outcome *outcome)
{
    if (outcome->kind == OUTCOME_DONE) {
        target->bulk_done++;
        return;
    }
    target->bulk_failed++;
    target->bulk_reason = outcome->reason;
}

static void
on_completion(usher_async *async, const usher_completion *completion)
{
    struct call *call = completion->context;
    struct usher_target *target = call->target;
    struct outcome outcome = outcome_of(call, completion);

    (void)async;
    if (outcome.kind == OUTCOME_DONE && call->task.job == JOB_JOIN)
        keep_token(target, &call->task, completion->reply);
    tell_witness(target, call, completion);
    target->handle[call->handle].in_flight--;
    call->next_free = target->free_call;
    target->free_call = call;
    if (target->in_bulk)
        count_for_bulk(target, &outcome);
    else
        target->answer(target->context, &outcome);
}

/* --- submitting --------------------------------------------------------------------------------------- */
static bool
usher_submit(void *opaque, uint32_t connection, const struct task *task, uint64_t tag)
{
    struct usher_target *target = opaque;
    struct handle *handle = &target->handle[connection];
    struct call *call = target->free_call;
    union request request;
    uint16_t opcode;

    if (call == NULL || handle->in_flight >= target->depth)
        return false;
    opcode = fill_request[task->job](target, task, &request);
    call->tag = tag;
    call->handle = connection;
    call->task = *task;
    if (usher_async_call(handle->async, opcode, &request, NULL, on_completion, call, NULL) != USHER_STATUS_ANSWERED) {
        snprintf(target->trouble, sizeof target->trouble, "%s", usher_async_error(handle->async));
        return false;
    }
    target->free_call = call->next_free;
    handle->in_flight++;
    return true;
}

static bool
usher_process(void *opaque, uint64_t wait_ns, char *why, size_t why_size)
{
    struct usher_target *target = opaque;

    usher_group_wait(target->group, wait_ns);
    if (target->trouble[0] == 0)
        return true;
    snprintf(why, why_size, "%s", target->trouble);
    return false;
}

/* --- connections -------------------------------------------------------------------------------------- */
static void
on_state(usher_async *async, const usher_state_event *event)
{
    struct handle *handle = event->context;

    (void)async;
    if (event->state == USHER_STATE_READY && !handle->ready) {
        handle->ready = true;
        handle->target->ready_count++;
    }
    /* BUSY is tried again: connections that were closed just now may still count. */
    if (event->state == USHER_STATE_LOST && !handle->ready && event->reason != USHER_STATUS_NOT_SENT &&
        strstr(event->error, usher_result_name(USHER_BUSY)) == NULL)
        snprintf(handle->target->trouble, sizeof handle->target->trouble, "%s", event->error);
}

static void
disconnect(struct usher_target *target)
{
    for (uint32_t i = 0; i < target->handle_count; i++)
        usher_async_close(target->handle[i].async);
    usher_group_close(target->group);
    free(target->handle);
    free(target->call);
    target->group = NULL;
    target->handle = NULL;
    target->call = target->free_call = NULL;
    target->handle_count = target->ready_count = 0;
}

/* The soft limit of descriptors goes up to what is needed, if the hard one lets it. */
static bool
take_descriptors(uint32_t connections, char *why, size_t why_size)
{
    rlim_t needed = (rlim_t)connections * DESCRIPTORS_EACH + DESCRIPTORS_SPARE;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return true;
    if (limit.rlim_max >= needed) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
            return true;
    }
    snprintf(why, why_size, "%u connections take %llu descriptors, and this process may have %llu: raise ulimit -n",
             connections, (unsigned long long)needed, (unsigned long long)limit.rlim_max);
    return false;
}

static bool
open_handle(struct usher_target *target, struct handle *handle, char *why, size_t why_size)
{
    usher_async_options options = {.common.server = target->house->address,
                                   .common.secret = &target->house->gateway_key,
                                   .common.timeout_ms = TIMEOUT_MS,
                                   .in_flight_max = target->depth,
                                   .waiting_max = target->depth + 1,
                                   .on_state = on_state,
                                   .context = handle,
                                   .group = target->group};

    handle->target = target;
    if (usher_async_open(&options, &handle->async) != USHER_STATUS_ANSWERED) {
        snprintf(why, why_size, "%s", usher_async_error(handle->async));
        return false;
    }
    return true;
}

static void
take_room(struct usher_target *target, uint32_t connections, uint32_t depth)
{
    target->depth = depth;
    target->handle = calloc(connections, sizeof *target->handle);
    target->call = calloc((size_t)connections * depth, sizeof *target->call);
    if (target->handle == NULL || target->call == NULL)
        abort();
    for (size_t i = 0; i < (size_t)connections * depth; i++) {
        target->call[i].target = target;
        target->call[i].next_free = target->free_call;
        target->free_call = &target->call[i];
    }
}

static bool
usher_connect(void *opaque, uint32_t connections, uint32_t depth, char *why, size_t why_size)
{
    struct usher_target *target = opaque;
    uint64_t until_ns = clock_now_ns() + CONNECT_S * NS_OF_S;

    disconnect(target);
    if (!take_descriptors(connections, why, why_size))
        return false;
    if (usher_group_open(NULL, &target->group) != USHER_STATUS_ANSWERED) {
        snprintf(why, why_size, "a group of handles: %s", strerror(errno));
        return false;
    }
    take_room(target, connections, depth);
    while (target->handle_count < connections)
        if (!open_handle(target, &target->handle[target->handle_count++], why, why_size))
            return false;
    while (target->ready_count < connections) {
        if (!usher_process(target, NS_OF_S / 10, why, why_size))
            return false;
        if (clock_now_ns() > until_ns) {
            snprintf(why, why_size, "%u of %u connections came about within %d s", target->ready_count, connections,
                     CONNECT_S);
            return false;
        }
    }
    return true;
}

/* --- preparing ---------------------------------------------------------------------------------------- */
/* Tasks 0 .. count - 1 made from one, over a few connections with many in flight. */
static bool
bulk(struct usher_target *target, struct task task, uint32_t count, char *why, size_t why_size)
{
    uint32_t next = 0;

    target->in_bulk = true;
    target->bulk_done = target->bulk_failed = 0;
    while (target->bulk_done + target->bulk_failed < count) {
        for (uint32_t i = 0; i < target->handle_count; i++)
            for (task.user = next; next < count && usher_submit(target, i, &task, 0); task.user = next)
                next++;
        if (!usher_process(target, NS_OF_S / 10, why, why_size))
            return false;
    }
    target->in_bulk = false;
    if (target->bulk_failed == 0)
        return true;
    snprintf(why, why_size, "%s, in the preparation: %llu of %u failed: %s", job_rows[task.job].name,
             (unsigned long long)target->bulk_failed, count, reason_name(target->bulk_reason));
    return false;
}

static bool
usher_prepare(void *opaque, char *why, size_t why_size)
{
    struct usher_target *target = opaque;
    const struct target_sizes *sizes = &target->sizes;
    struct task charge = {.job = JOB_CHARGE, .amount = sizes->price * 1000 + 1}, join = {.job = JOB_JOIN};
    struct task join_line = {.job = JOB_JOIN, .line = true};

    return target_usher_furnish(target->house, sizes, why, why_size) &&
           usher_connect(target, BULK_CONNECTIONS, BULK_DEPTH, why, why_size) &&
           bulk(target, join, sizes->users, why, why_size) && bulk(target, charge, sizes->users, why, why_size) &&
           bulk(target, join_line, sizes->waiting, why, why_size);
}

/* --- opening and closing ------------------------------------------------------------------------------ */
static void *
usher_open(const void *where, const struct target_sizes *sizes, target_answer *answer, void *context, char *why,
           size_t why_size)
{
    struct usher_target *target = calloc(1, sizeof *target);

    (void)why;
    (void)why_size;
    if (target == NULL)
        abort();
    /* The house is the caller's; that it is const here is the interface's way to say so. */
    target->house = (struct house *)(uintptr_t)where;
    target->sizes = *sizes;
    target->answer = answer;
    target->context = context;
    target->line_stride = sizes->waiting / LINE_TOKENS_MOST + 1;
    target->line_token_count = sizes->waiting / target->line_stride + 1;
    target->token = token_room(sizes->users);
    target->line_token = token_room(target->line_token_count);
    return target;
}

static void
usher_close(void *opaque)
{
    struct usher_target *target = opaque;

    /* What the handles still call back for is nobody's any more. */
    target->in_bulk = true;
    disconnect(target);
    munmap(target->token, target->sizes.users * sizeof *target->token);
    munmap(target->line_token, target->line_token_count * sizeof *target->line_token);
    free(target);
}

static json_t *
usher_describe(void *opaque)
{
    const struct usher_target *target = opaque;

    return json_pack("{s:s, s:s, s:s}", "usherd", target->house->arguments, "durable",
                     "each batch is one LMDB transaction, synced before it is answered", "authentication",
                     "gateway key, the user's queue token with every request");
}

const struct target_kind target_usher = {.name = "usher",
                                         .text = "Usher over the asynchronous handles of its SDK",
                                         .open = usher_open,
                                         .prepare = usher_prepare,
                                         .connect = usher_connect,
                                         .submit = usher_submit,
                                         .expect = usher_expect,
                                         .process = usher_process,
                                         .reason = reason_name,
                                         .describe = usher_describe,
                                         .close = usher_close};
