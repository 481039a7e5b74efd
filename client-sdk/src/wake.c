/* wake.c: one descriptor that is readable whenever process() has something to do.
 *
 * An epoll descriptor with the sockets and a timer inside: the timer stands for every moment (deadlines, pauses, pings)
 * and for "now", when something was submitted. Handles of a group use the group's (group.c). Whoever can't watch an
 * epoll descriptor gets a socket instead, and a thread that waits for the epoll descriptor and writes a byte:
 *
 *     thread:     wait for epoll ──> told = true, write a byte ──> wait for the answer ──> ...
 *     process():  told? ──> take the byte, told = false, do the work ──> answer */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client-sdk/src/async.h"

/* --- the timer ---------------------------------------------------------------------------------------- */
/* Setting a timer anew takes back that it had fired, so it needs no reading. */
static void
timer_arm(struct usher_wake *wake, uint64_t due_ms)
{
    struct itimerspec when = {.it_value = {.tv_sec = 0}};

    if (due_ms == wake->armed_ms && (due_ms == 0 || due_ms == USHER_NEVER_MS))
        return;
    if (due_ms != USHER_NEVER_MS) {
        when.it_value.tv_sec = (time_t)(due_ms / 1000);
        when.it_value.tv_nsec = (long)(due_ms % 1000) * 1000000;
        if (due_ms == 0)
            when.it_value.tv_nsec = 1; /* 0 would disarm it */
    }
    timerfd_settime(wake->timer, TFD_TIMER_ABSTIME, &when, NULL);
    wake->armed_ms = due_ms;
}

/* A timer that fires too early costs one look; one that is set for each request costs a system call for each. So a
 * timer that stands earlier, but not in the past, is left alone. */
void
usher_wake_set(struct usher_wake *wake, uint64_t due_ms)
{
    if (wake->armed_ms > due_ms || wake->armed_ms <= usher_net_now_ms())
        timer_arm(wake, due_ms);
}

/* --- a handle's moments ------------------------------------------------------------------------------- */
void
usher_wake_now(struct usher_async *async)
{
    async->dirty = true;
    if (async->in_process || async->driven)
        return;
    if (async->group != NULL)
        usher_group_hurry(async);
    else
        timer_arm(&async->wake, 0);
}

void
usher_wake_at(struct usher_async *async, uint64_t due_ms)
{
    if (async->group != NULL)
        usher_group_at(async, due_ms);
    else
        usher_wake_set(&async->wake, due_ms);
}

void
usher_wake_by(struct usher_async *async, uint64_t due_ms)
{
    if (async->group != NULL || async->wake.armed_ms != 0) /* else it is readable already */
        usher_wake_at(async, due_ms);
}

/* --- sockets ------------------------------------------------------------------------------------------ */
static int
epoll_of(const struct usher_async *async)
{
    return async->group != NULL ? async->group->wake.epoll : async->wake.epoll;
}

bool
usher_wake_watch(struct usher_async *async, int socket, bool writing, bool is_new)
{
    struct epoll_event event = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = async};

    return epoll_ctl(epoll_of(async), is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event) == 0;
}

void
usher_wake_forget(struct usher_async *async, int socket)
{
    epoll_ctl(epoll_of(async), EPOLL_CTL_DEL, socket, NULL);
}

/* --- the thread --------------------------------------------------------------------------------------- */
/* Wait until epoll has something, or the owner has answered or stops. */
static void
signal_wait(const struct usher_signal *signal, bool for_work)
{
    struct pollfd watched[2] = {{.fd = signal->answer, .events = POLLIN},
                                {.fd = for_work ? signal->epoll : -1, .events = POLLIN}};
    uint64_t answers;

    while (poll(watched, 2, -1) < 0 && errno == EINTR)
        continue;
    if (watched[0].revents != 0 && read(signal->answer, &answers, sizeof answers) < 0)
        return; /* nothing to take: the next look tells */
}

static void *
signal_run(void *argument)
{
    struct usher_signal *signal = argument;

    while (!atomic_load(&signal->stops)) {
        struct pollfd work = {.fd = signal->epoll, .events = POLLIN};
        bool told;

        pthread_mutex_lock(&signal->lock);
        if (!signal->told && poll(&work, 1, 0) > 0) {
            signal->told = true;
            while (send(signal->ends[1], "!", 1, MSG_NOSIGNAL) < 0 && errno == EINTR)
                continue;
        }
        told = signal->told;
        pthread_mutex_unlock(&signal->lock);
        signal_wait(signal, !told);
    }
    return NULL;
}

static bool
signal_open(struct usher_signal *signal, int epoll)
{
    pthread_attr_t attributes;
    int failure;

    signal->epoll = epoll;
    signal->answer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signal->answer < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, signal->ends) != 0)
        return false;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    failure = pthread_create(&signal->thread, &attributes, signal_run, signal);
    pthread_attr_destroy(&attributes);
    signal->runs = failure == 0;
    return signal->runs;
}

bool
usher_wake_taken(struct usher_async *async)
{
    struct usher_signal *signal = &async->signal;
    uint8_t bytes[8];
    bool told;

    if (!async->signals)
        return false;
    pthread_mutex_lock(&signal->lock);
    told = signal->told;
    /* The owner's loop may have taken it already. */
    while (told && recv(signal->ends[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        continue;
    pthread_mutex_unlock(&signal->lock);
    return told;
}

void
usher_wake_answer(struct usher_async *async)
{
    const uint64_t one = 1;

    pthread_mutex_lock(&async->signal.lock);
    async->signal.told = false;
    pthread_mutex_unlock(&async->signal.lock);
    while (write(async->signal.answer, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* --- opening and closing ------------------------------------------------------------------------------ */
static void
close_if_open(int descriptor)
{
    if (descriptor >= 0)
        close(descriptor);
}

bool
usher_wake_open(struct usher_wake *wake)
{
    struct epoll_event timer = {.events = EPOLLIN}; /* data.ptr NULL: no handle's */

    wake->armed_ms = USHER_NEVER_MS;
    wake->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    wake->epoll = epoll_create1(EPOLL_CLOEXEC);
    return wake->timer >= 0 && wake->epoll >= 0 && epoll_ctl(wake->epoll, EPOLL_CTL_ADD, wake->timer, &timer) == 0;
}

void
usher_wake_close(struct usher_wake *wake)
{
    close_if_open(wake->epoll);
    close_if_open(wake->timer);
}

bool
usher_wake_handle(struct usher_async *async, bool by_socket)
{
    async->signals = by_socket;
    atomic_init(&async->signal.stops, false);
    return usher_wake_open(&async->wake) && (!by_socket || signal_open(&async->signal, async->wake.epoll));
}

void
usher_wake_handle_over(struct usher_async *async)
{
    struct usher_signal *signal = &async->signal;

    if (signal->runs) {
        const uint64_t one = 1;
        atomic_store(&signal->stops, true);
        while (write(signal->answer, &one, sizeof one) < 0 && errno == EINTR)
            continue;
        pthread_join(signal->thread, NULL);
    }
    close_if_open(signal->answer);
    close_if_open(signal->ends[0]);
    close_if_open(signal->ends[1]);
    usher_wake_close(&async->wake);
    pthread_mutex_destroy(&signal->lock);
}

int
usher_async_descriptor(const usher_async *async)
{
    if (async == NULL || !async->usable)
        return -1;
    return async->signals ? async->signal.ends[0] : async->wake.epoll;
}
