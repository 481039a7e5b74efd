/* write_lock.h: which instance of a data directory may write (S4, X4).
 *
 * Every write transaction begins by taking the lock and ends by giving it up, and so does whatever else uses a mutex
 * that LMDB shares between processes: so nobody ever waits at LMDB's own. See write_lock.c for why. */
#ifndef STORE_WRITE_LOCK_H
#define STORE_WRITE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#include <lmdb.h>

struct write_lock {
    pthread_mutex_t next, thread; /* one of this process at a time, and who is next: the same order as between processes */
    int presence;           /* a descriptor of the data file, which tells that somebody is here; -1 before */
};

void write_lock_open(struct write_lock *lock);
void write_lock_close(struct write_lock *lock);

/* Wait for the lock, which lasts one transaction of each instance that came before. The environment is open for
 * writing. Returns 0, or the system's error and the lock is not taken. */
int write_lock_take(struct write_lock *lock, MDB_env *env);
void write_lock_give(struct write_lock *lock, MDB_env *env);

/* Be seen, until write_lock_close, by everybody who asks whether it is alone with this data file. What was written
 * before by who was alone must be looked for afterwards, under the lock. Returns the system's error. */
int write_lock_be_present(struct write_lock *lock, const char *file);
/* Is nobody else present? Asked under the lock, it holds until that is given up. */
bool write_lock_is_alone(const struct write_lock *lock);

#endif
