/* group.c: many handles of one thread behind one descriptor.
 *
 * The sockets of all members are in the group's epoll, and one timer stands for the moments of all. So a member takes
 * one descriptor, its socket, and one epoll_wait() finds all members that have something to do. A member is in
 *
 *     ready   it wants a turn: its socket has something, its moment has come, or something was submitted
 *     dues    the moment at which it wants one by itself
 *
 * A turn is the member's own usher_async_process(), which takes it out of ready. Its callbacks may close it or any
 * other member: whoever is closed leaves both, and its socket the epoll, so nothing here remembers a member by itself.
 *
 * Nothing in usher_group_process() needs memory that could fail: a member's entry in dues is taken when it joins. */
#define _GNU_SOURCE 1 /* epoll_pwait2 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>

#include "client-sdk/src/async.h"

#define GROUP_EVENTS_MOST 256 /* of one look; the descriptor stays readable for the others */
#define GROUP_ROUNDS_MOST 4   /* of one process(), when callbacks submit to other members */

/* --- who wants a turn --------------------------------------------------------------------------------- */
static void
want_turn(struct usher_async *async)
{
    if (usher_list_is_empty(&async->ready))
        usher_list_append(&async->group->ready, &async->ready);
}

/* While the group is processed this is done once, at the end. */
static void
group_arm(struct usher_group *group)
{
    if (!group->in_process)
        usher_wake_set(&group->wake, usher_list_is_empty(&group->ready) ? usher_dues_first_ms(&group->dues) : 0);
}

void
usher_group_hurry(struct usher_async *async)
{
    want_turn(async);
    group_arm(async->group);
}

/* A moment that stands earlier is left alone, as the timer is: it brings a turn that sets another one. */
void
usher_group_at(struct usher_async *async, uint64_t due_ms)
{
    if (due_ms == 0)
        want_turn(async);
    else if (async->due.due_ms > due_ms)
        usher_due_set(&async->group->dues, &async->due, due_ms);
    group_arm(async->group);
}

void
usher_group_begins(struct usher_group *group)
{
    if (group != NULL)
        group->inside++;
}

void
usher_group_ends(struct usher_group *group)
{
    if (group != NULL)
        group->inside--;
}

/* --- members ------------------------------------------------------------------------------------------ */
bool
usher_group_join(struct usher_group *group, struct usher_async *async)
{
    bool joined;

    usher_guard_enter(&group->guard);
    joined = usher_dues_reserve(&group->dues, &group->memory, group->members + 1);
    if (joined) {
        group->members++;
        async->group = group;
        async->guard = &group->guard;
    }
    usher_guard_leave(&group->guard);
    return joined;
}

void
usher_group_part(struct usher_async *async)
{
    struct usher_group *group = async->group;

    usher_list_remove(&async->ready);
    usher_due_clear(&group->dues, &async->due);
    group->members--;
    async->group = NULL;
    group_arm(group);
}

/* --- one turn of each --------------------------------------------------------------------------------- */
/* epoll_wait() in nanoseconds, where the kernel has it; else the milliseconds that begin in them. */
static int
group_wait(const struct usher_group *group, struct epoll_event *event, uint64_t wait_ns)
{
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000)};
    uint64_t wait_ms = wait_ns / 1000000 + (wait_ns % 1000000 != 0);
    int count;

    if (wait_ns == 0)
        return epoll_wait(group->wake.epoll, event, GROUP_EVENTS_MOST, 0);
    if (wait_ns == UINT64_MAX)
        return epoll_wait(group->wake.epoll, event, GROUP_EVENTS_MOST, -1);
    count = epoll_pwait2(group->wake.epoll, event, GROUP_EVENTS_MOST, &wait, NULL);
    if (count < 0 && errno == ENOSYS)
        count = epoll_wait(group->wake.epoll, event, GROUP_EVENTS_MOST, wait_ms < INT_MAX ? (int)wait_ms : INT_MAX);
    return count;
}

/* Find out whose socket has something, then whose moment has come, in the order of their moments. */
static void
group_look(struct usher_group *group, uint64_t wait_ns)
{
    struct epoll_event event[GROUP_EVENTS_MOST];
    bool waits = usher_list_is_empty(&group->ready) && !usher_guard_blocks_loop();
    int count = group_wait(group, event, waits ? wait_ns : 0);
    uint64_t now_ms = usher_net_now_ms();

    for (int i = 0; i < count; i++)
        if (event[i].data.ptr != NULL) /* else the timer, which is looked at without asking */
            want_turn(event[i].data.ptr);
    while (usher_dues_first_ms(&group->dues) <= now_ms) {
        struct usher_due *due = group->dues.entry[0];
        usher_due_clear(&group->dues, due);
        want_turn((struct usher_async *)((char *)due - offsetof(struct usher_async, due)));
    }
}

static struct usher_async *
member_of(struct usher_list *ready)
{
    return (struct usher_async *)((char *)ready - offsetof(struct usher_async, ready));
}

static void
fetch(const void *memory, size_t size)
{
    for (size_t at = 0; at < size; at += USHER_CACHE_LINE)
        __builtin_prefetch((const char *)memory + at);
}

/* Hundreds of members are in no cache, and a turn looks at one line of memory after the other. So while one has its turn,
 * what the next three will look at is on its way, a step nearer to the request and the bytes for each. */
static void
group_foresee(struct usher_list *turn)
{
    struct usher_list *first = turn->next, *second = first->next, *third = second->next;
    const struct usher_link *link;

    if (first == turn || second == turn || third == turn)
        return; /* too few to be worth it */
    fetch(member_of(third), offsetof(struct usher_async, answer));
    link = member_of(second)->link;
    if (link != NULL)
        fetch(link, offsetof(struct usher_link, session.hello));
    link = member_of(first)->link;
    if (link == NULL)
        return;
    fetch(link->input, USHER_CACHE_LINE);
    fetch(link->slots, USHER_CACHE_LINE);
    if (!usher_list_is_empty(&link->flying))
        fetch(link->flying.next, sizeof(struct usher_request));
}

/* Those that want a turn now; who wants one meanwhile gets it in the next round. */
static int
group_round(struct usher_group *group)
{
    struct usher_list turn, *node;
    int delivered = 0;

    usher_list_append(&group->ready, &turn);
    usher_list_remove(&group->ready);
    while ((node = usher_list_take(&turn)) != NULL) {
        int result;

        group_foresee(&turn);
        result = usher_async_process(member_of(node));
        delivered += result > 0 ? result : 0;
    }
    return delivered;
}

int
usher_group_wait(usher_group *group, uint64_t wait_ns)
{
    int delivered = 0;

    if (group == NULL)
        return 0;
    usher_guard_enter(&group->guard);
    usher_insist(group->inside == 0, "usher_group_process() is called from a callback of one of its handles");
    group->in_process = true;
    group_look(group, wait_ns);
    for (unsigned round = 0; round < GROUP_ROUNDS_MOST && !usher_list_is_empty(&group->ready); round++)
        delivered += group_round(group);
    group->in_process = false;
    group_arm(group);
    usher_guard_leave(&group->guard);
    return delivered;
}

int
usher_group_process(usher_group *group)
{
    return usher_group_wait(group, 0);
}

int
usher_group_descriptor(const usher_group *group)
{
    return group != NULL ? group->wake.epoll : -1;
}

/* --- its life ----------------------------------------------------------------------------------------- */
static void
group_free(struct usher_group *group)
{
    usher_memory memory = group->memory;

    usher_wake_close(&group->wake);
    usher_memory_give(&memory, group->dues.entry);
    usher_memory_give(&memory, group);
}

usher_status
usher_group_open(const usher_memory *hooks, usher_group **opened)
{
    static const usher_memory usual;
    struct usher_group *group;
    usher_memory memory;

    if (opened == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    *opened = NULL;
    if (!usher_memory_set(&memory, hooks != NULL ? hooks : &usual))
        return USHER_STATUS_BAD_ARGUMENT;
    group = usher_memory_take(&memory, sizeof *group);
    if (group == NULL)
        return USHER_STATUS_NO_MEMORY;
    group->memory = memory;
    group->guard.process = usher_guard_process();
    group->wake.epoll = group->wake.timer = -1;
    usher_list_clear(&group->ready);
    if (!usher_wake_open(&group->wake)) {
        group_free(group);
        return USHER_STATUS_NO_MEMORY;
    }
    *opened = group;
    return USHER_STATUS_ANSWERED;
}

void
usher_group_close(usher_group *group)
{
    if (group == NULL)
        return;
    usher_guard_enter(&group->guard);
    usher_insist(group->members == 0, "usher_group_close() while handles are in the group: close them first");
    group_free(group);
}
