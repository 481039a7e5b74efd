/* pool.c: several asynchronous handles, one thread that drives them, and any number of threads that wait.
 *
 *     caller: job on its own stack ──> inbox, wake the thread ──> wait until the job is done
 *     thread: wait for the inbox and every handle ──> take jobs, submit each where least is to be done ──> process()
 *
 * The handles belong to the thread alone. Job and inbox are the only things that both sides touch, under one lock. A
 * job never outlives its call: the handle completes it by its deadline at the latest, and what the pool can't submit it
 * ends itself. */
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client-sdk/src/async.h"

#define POOL_CONNECTIONS      2
#define POOL_CONNECTIONS_MOST 64

struct pool_job {
    struct usher_list node;
    struct usher_pool *pool;
    struct pool_lane *lane;
    const void *request;
    void *reply;
    usher_answer *answer;
    uint64_t deadline_ms;
    uint16_t opcode;
    usher_status status;
    bool done;
    pthread_cond_t changed;
};

/* A connection, and how many calls it has. */
struct pool_lane {
    usher_async *async;
    unsigned load;
};

struct usher_pool {
    usher_memory memory;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t empty; /* the last caller has left */
    struct usher_list inbox;
    unsigned callers;
    bool closing;
    int bell; /* an eventfd: the inbox has something, or the pool closes */
    uint64_t process;
    uint32_t timeout_ms;
    unsigned lane_count;
    struct pool_lane lane[];
};

/* --- the thread --------------------------------------------------------------------------------------- */
static void
job_end(struct pool_job *job, usher_status status)
{
    pthread_mutex_lock(&job->pool->lock);
    job->status = status;
    job->done = true;
    pthread_cond_signal(&job->changed);
    pthread_mutex_unlock(&job->pool->lock);
}

static void
job_completed(usher_async *async, const usher_completion *completion)
{
    struct pool_job *job = completion->context;

    (void)async;
    job->lane->load--;
    if (job->answer != NULL)
        *job->answer = *completion->answer;
    if (completion->reply != NULL)
        memcpy(job->reply, completion->reply, usher_message_of(job->opcode)->reply->struct_size);
    job_end(job, completion->status);
}

/* How much there is to do before a further call; where there is no connection, that is worse than any load. */
static unsigned
lane_burden(const struct pool_lane *lane)
{
    const struct usher_link *link = lane->async->link;

    return link != NULL && link->phase == USHER_LINK_READY ? lane->load : lane->load + UINT32_MAX / 2;
}

static void
job_submit(struct usher_pool *pool, struct pool_job *job)
{
    uint64_t now_ms = usher_net_now_ms();
    usher_call_options options = {.timeout_ms = 1};
    struct pool_lane *lane = &pool->lane[0];
    usher_status status;

    for (unsigned i = 1; i < pool->lane_count; i++)
        if (lane_burden(&pool->lane[i]) < lane_burden(lane))
            lane = &pool->lane[i];
    if (job->deadline_ms > now_ms)
        options.timeout_ms = (uint32_t)(job->deadline_ms - now_ms);
    job->lane = lane;
    lane->load++;
    status = usher_async_call(lane->async, job->opcode, job->request, &options, job_completed, job, NULL);
    if (status == USHER_STATUS_ANSWERED)
        return;
    lane->load--;
    job_end(job, status);
}

/* Take the inbox. False when the pool is closing. */
static bool
pool_take(struct usher_pool *pool)
{
    struct usher_list jobs, *node;
    bool closing;

    usher_list_clear(&jobs);
    pthread_mutex_lock(&pool->lock);
    while ((node = usher_list_take(&pool->inbox)) != NULL)
        usher_list_append(&jobs, node);
    closing = pool->closing;
    pthread_mutex_unlock(&pool->lock);
    while ((node = usher_list_take(&jobs)) != NULL) {
        if (closing)
            job_end((struct pool_job *)node, USHER_STATUS_CLOSED);
        else
            job_submit(pool, (struct pool_job *)node);
    }
    return !closing;
}

static void *
pool_run(void *argument)
{
    struct usher_pool *pool = argument;
    struct pollfd watched[POOL_CONNECTIONS_MOST + 1] = {{.fd = pool->bell, .events = POLLIN}};
    bool goes_on = true;

    for (unsigned i = 0; i < pool->lane_count; i++) {
        watched[i + 1].fd = usher_async_descriptor(pool->lane[i].async);
        watched[i + 1].events = POLLIN;
    }
    while (goes_on) {
        uint64_t rings;

        if (poll(watched, pool->lane_count + 1, -1) < 0 && errno != EINTR)
            continue; /* a lack of memory in the kernel passes */
        if (watched[0].revents != 0 && read(pool->bell, &rings, sizeof rings) < 0)
            usher_insist(errno == EAGAIN || errno == EINTR, "the pool's bell is gone");
        goes_on = pool_take(pool);
        for (unsigned i = 0; goes_on && i < pool->lane_count; i++)
            usher_async_process(pool->lane[i].async);
    }
    for (unsigned i = 0; i < pool->lane_count; i++) {
        usher_async_close(pool->lane[i].async);
        pool->lane[i].async = NULL;
    }
    return NULL;
}

static void
pool_ring(struct usher_pool *pool)
{
    const uint64_t one = 1;

    while (write(pool->bell, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* --- calls -------------------------------------------------------------------------------------------- */
/* Hand the job over and wait for its end. */
static void
job_run(struct usher_pool *pool, struct pool_job *job)
{
    pthread_mutex_lock(&pool->lock);
    pool->callers++;
    if (pool->closing) {
        job->status = USHER_STATUS_CLOSED;
        job->done = true;
    } else {
        usher_list_append(&pool->inbox, &job->node);
        pthread_mutex_unlock(&pool->lock);
        pool_ring(pool);
        pthread_mutex_lock(&pool->lock);
    }
    while (!job->done)
        pthread_cond_wait(&job->changed, &pool->lock);
    if (--pool->callers == 0)
        pthread_cond_broadcast(&pool->empty);
    pthread_mutex_unlock(&pool->lock);
}

usher_status
usher_pool_call(usher_pool *pool, uint16_t opcode, const void *request, void *reply, usher_answer *answer,
                uint32_t timeout_ms)
{
    struct pool_job job = {.pool = pool, .request = request, .reply = reply, .answer = answer, .opcode = opcode};

    if (answer != NULL) {
        memset(answer, 0, sizeof *answer);
        answer->result = USHER_RESULT_NONE;
        answer->opcode = opcode;
    }
    if (pool == NULL || request == NULL || reply == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    usher_insist(pool->process == usher_guard_process(),
                 "a pool is used by another process than the one that opened it");
    if (usher_guard_blocks_loop())
        return USHER_STATUS_WRONG_THREAD;
    job.deadline_ms = usher_net_now_ms() + (timeout_ms != 0 ? timeout_ms : pool->timeout_ms);
    usher_list_clear(&job.node);
    pthread_cond_init(&job.changed, NULL);
    job_run(pool, &job);
    pthread_cond_destroy(&job.changed);
    return job.status;
}

/* --- opening and closing ------------------------------------------------------------------------------ */
/* Free what there is; the thread is not there any more, or never was. */
static void
pool_free(struct usher_pool *pool)
{
    usher_memory memory = pool->memory;

    for (unsigned i = 0; i < pool->lane_count; i++)
        usher_async_close(pool->lane[i].async);
    if (pool->bell >= 0)
        close(pool->bell);
    pthread_cond_destroy(&pool->empty);
    pthread_mutex_destroy(&pool->lock);
    usher_memory_give(&memory, pool);
}

static usher_status
say_why(char *why, size_t why_size, usher_status status, const char *text)
{
    if (why != NULL)
        snprintf(why, why_size, "%s", text);
    return status;
}

/* What the options can have wrong for a pool, or NULL. */
static const char *
options_trouble(const usher_pool_options *options, usher_memory *memory)
{
    if (options == NULL)
        return "the options are NULL";
    if (options->connections > POOL_CONNECTIONS_MOST)
        return "options.connections: more than 64";
    if (options->unused != 0 || sodium_is_zero((const unsigned char *)options->reserved, sizeof options->reserved) == 0)
        return "options: unused and reserved must be zero";
    if (options->async.signal_by_socket)
        return "options.async.signal_by_socket: a pool has a thread of its own";
    if (options->async.group != NULL)
        return "options.async.group: a pool's connections are driven by its own thread";
    if (!usher_memory_set(memory, &options->async.memory))
        return "options.memory: allocate and release come together, reallocate never alone";
    return NULL;
}

static usher_status
pool_start(struct usher_pool *pool, const usher_pool_options *options, unsigned lane_count, char *why, size_t why_size)
{
    for (unsigned i = 0; i < lane_count; i++) {
        usher_status status = usher_async_open(&options->async, &pool->lane[i].async);
        pool->lane_count = i + 1;
        if (status != USHER_STATUS_ANSWERED)
            return say_why(why, why_size, status, usher_async_error(pool->lane[i].async));
    }
    pool->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->bell < 0 || pthread_create(&pool->thread, NULL, pool_run, pool) != 0)
        return say_why(why, why_size, USHER_STATUS_NO_MEMORY, "the system has no room for a pool's thread");
    return USHER_STATUS_ANSWERED;
}

usher_status
usher_pool_open(const usher_pool_options *options, usher_pool **opened, char *why, size_t why_size)
{
    const char *trouble;
    struct usher_pool *pool;
    usher_memory memory;
    unsigned lane_count;
    usher_status status;

    if (opened == NULL)
        return say_why(why, why_size, USHER_STATUS_BAD_ARGUMENT, "there is no place for the pool");
    *opened = NULL;
    trouble = options_trouble(options, &memory);
    if (trouble != NULL)
        return say_why(why, why_size, USHER_STATUS_BAD_ARGUMENT, trouble);
    lane_count = options->connections != 0 ? options->connections : POOL_CONNECTIONS;
    pool = usher_memory_take(&memory, sizeof *pool + lane_count * sizeof pool->lane[0]);
    if (pool == NULL)
        return say_why(why, why_size, USHER_STATUS_NO_MEMORY, "there is not enough memory for a pool");
    pool->memory = memory;
    pool->bell = -1;
    pool->process = usher_guard_process();
    pool->timeout_ms = options->async.common.timeout_ms != 0 ? options->async.common.timeout_ms : USHER_TIMEOUT_MS;
    usher_list_clear(&pool->inbox);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->empty, NULL);
    status = pool_start(pool, options, lane_count, why, why_size);
    if (status != USHER_STATUS_ANSWERED) {
        pool_free(pool);
        return status;
    }
    *opened = pool;
    return status;
}

void
usher_pool_close(usher_pool *pool)
{
    if (pool == NULL)
        return;
    usher_insist(pool->process == usher_guard_process(),
                 "a pool is used by another process than the one that opened it");
    usher_insist(!pthread_equal(pool->thread, pthread_self()), "a pool is closed from its own thread");
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_mutex_unlock(&pool->lock);
    pool_ring(pool);
    pthread_join(pool->thread, NULL);
    pthread_mutex_lock(&pool->lock);
    while (pool->callers > 0)
        pthread_cond_wait(&pool->empty, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    pool_free(pool);
}
