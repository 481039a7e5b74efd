/* guard.c: the rules about threads and processes, held up by ending a program that breaks them.
 *
 * Two threads in one handle, a handle used by a forked child, process() called from a callback: each of these would
 * work most of the time and lose a request some day. So they are looked for in every function, and what they cost is
 * two comparisons: the C library's getpid() would be a system call for each. */
#define _GNU_SOURCE 1 /* MADV_WIPEONFORK */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client-sdk/src/async.h"

static _Thread_local unsigned loops;     /* loops that run on this thread, as usher_loop_attach() was told */
static _Thread_local unsigned callbacks; /* callbacks that this thread is in */
static _Thread_local char me;            /* its address is this thread's name */

void
usher_insist(bool holds, const char *text)
{
    if (holds)
        return;
    fprintf(stderr, "usher: %s\n", text);
    abort();
}

/* --- which process ------------------------------------------------------------------------------------ */
/* A page that the kernel hands to a forked child empty. What stands in it is the process's number: the child takes the
 * next one of a counter that it has inherited, which no ancestor of it has. */
static pthread_once_t page_once = PTHREAD_ONCE_INIT;
static _Atomic(_Atomic uint64_t *) page; /* NULL: not yet, or this kernel can't */
static _Atomic uint64_t generation;

static void
page_make(void)
{
    void *made = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (made == MAP_FAILED)
        return;
    if (madvise(made, sizeof(uint64_t), MADV_WIPEONFORK) == 0)
        page = made;
    else
        munmap(made, sizeof(uint64_t));
}

uint64_t
usher_guard_process(void)
{
    _Atomic uint64_t *made = atomic_load_explicit(&page, memory_order_acquire);
    uint64_t process, next;

    if (made == NULL) {
        pthread_once(&page_once, page_make);
        made = page;
    }
    if (made == NULL)
        return (uint64_t)getpid();
    process = atomic_load_explicit(made, memory_order_relaxed);
    if (process != 0)
        return process;
    next = atomic_fetch_add(&generation, 1) + 1;
    /* Another thread may have been faster. */
    return atomic_compare_exchange_strong(made, &process, next) ? next : process;
}

/* --- which thread ------------------------------------------------------------------------------------- */
void
usher_guard_enter(struct usher_guard *guard)
{
    const void *owner = atomic_load_explicit(&guard->owner, memory_order_relaxed);

    usher_insist(guard->process == usher_guard_process(),
                 "a handle or group is used by another process than the one that opened it");
    /* Who is inside already finds itself, without an exchange that would hold up the processor. */
    if (owner != &me) {
        owner = NULL;
        usher_insist(atomic_compare_exchange_strong_explicit(&guard->owner, &owner, &me, memory_order_acquire,
                                                             memory_order_relaxed),
                     "two threads use one handle, or handles of one group, at once");
    }
    guard->depth++;
}

void
usher_guard_leave(struct usher_guard *guard)
{
    if (--guard->depth == 0)
        atomic_store_explicit(&guard->owner, NULL, memory_order_release);
}

bool
usher_guard_blocks_loop(void)
{
    return loops > 0 || callbacks > 0;
}

void
usher_guard_callback_begins(void)
{
    callbacks++;
}

void
usher_guard_callback_ends(void)
{
    callbacks--;
}

void
usher_loop_attach(void)
{
    loops++;
}

void
usher_loop_detach(void)
{
    usher_insist(loops > 0, "usher_loop_detach() on a thread that has no loop attached");
    loops--;
}
