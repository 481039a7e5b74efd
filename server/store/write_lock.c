/* write_lock.c: see write_lock.h.
 *
 * LMDB's write lock is a robust mutex in shared memory, and one kind of death passes it by: A gives it up and wakes B,
 * the first of those who wait; A wants it again and takes it, for B has not run yet; B is killed. The kernel sees that
 * B was not the owner, A does not know that anybody else waits, and C sleeps until somebody else happens to wait
 * behind it - for ever in a quiet house (store_follow_test: one_that_is_killed_when_its_turn_has_come...).
 *
 * Locks of files have no such gap: the kernel wakes all who wait, and a dead process's locks with it. So ours
 * is two of them, on the data file, which LMDB itself never locks:
 *
 *     NEXT   held by who writes next, while it waits
 *     NOW    held by who writes
 *
 * And a third that everybody holds at once, from opening to the end, through a descriptor of its own:
 *
 *     PRESENT   held by each instance
 *
 * Who has written and wants to write again waits at NEXT behind the one that waits already: nobody is passed over
 * twice. The threads of one process do the same by two mutexes, or the history consumer would wait for a loop that gives
 * the lock up for microseconds alone. Both are locks of the open file (F_OFD_SETLKW), so a thread or another descriptor can't give them up. */
#define _GNU_SOURCE 1
#include "server/store/write_lock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum byte { NOW, NEXT, PRESENT };

static int
lock(int fd, enum byte byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    while (fcntl(fd, F_OFD_SETLKW, &lock) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

void
write_lock_open(struct write_lock *write_lock)
{
    int error = pthread_mutex_init(&write_lock->thread, NULL);

    assert(error == 0);
    error = pthread_mutex_init(&write_lock->next, NULL);
    assert(error == 0);
    write_lock->presence = -1;
}

void
write_lock_close(struct write_lock *write_lock)
{
    if (write_lock->presence >= 0)
        close(write_lock->presence);
    pthread_mutex_destroy(&write_lock->thread);
    pthread_mutex_destroy(&write_lock->next);
}

int
write_lock_take(struct write_lock *write_lock, MDB_env *env)
{
    int fd, error = mdb_env_get_fd(env, &fd);

    if (error != 0)
        return error;
    pthread_mutex_lock(&write_lock->next);
    pthread_mutex_lock(&write_lock->thread);
    pthread_mutex_unlock(&write_lock->next);
    error = lock(fd, NEXT, F_WRLCK);
    if (error == 0) {
        error = lock(fd, NOW, F_WRLCK);
        (void)lock(fd, NEXT, F_UNLCK);
    }
    if (error != 0)
        pthread_mutex_unlock(&write_lock->thread);
    return error;
}

void
write_lock_give(struct write_lock *write_lock, MDB_env *env)
{
    int fd;

    if (mdb_env_get_fd(env, &fd) == 0)
        (void)lock(fd, NOW, F_UNLCK);
    pthread_mutex_unlock(&write_lock->thread);
}

int
write_lock_be_present(struct write_lock *write_lock, const char *file)
{
    write_lock->presence = open(file, O_RDWR | O_CLOEXEC);
    return write_lock->presence < 0 ? errno : lock(write_lock->presence, PRESENT, F_RDLCK);
}

bool
write_lock_is_alone(const struct write_lock *write_lock)
{
    struct flock others = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = PRESENT, .l_len = 1};

    return write_lock->presence >= 0 && fcntl(write_lock->presence, F_OFD_GETLK, &others) == 0 &&
           others.l_type == F_UNLCK;
}
