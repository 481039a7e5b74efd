/* runner.h: a thread that does one job at a time for the store's owner, who meanwhile goes on with something else.
 *
 *     owner    runner_start(job) ... reads sockets, sends ... runner_wait     its memory is its own again
 *     runner                     job
 *
 * What a job touches is the runner's from runner_start to the moment when runner_is_done has said so once, or
 * runner_wait has returned: both order all that the job did before all that the owner does next. The thread is made
 * with the first job, takes no signals, and is a process's own: a child of fork has none. */
#ifndef STORE_RUNNER_H
#define STORE_RUNNER_H

#include <stdbool.h>

struct runner;

/* NULL without memory or descriptors. */
struct runner *runner_open(void);
void runner_close(struct runner *runner); /* waits for the job; NULL is welcome */

/* Begin a job, when none is being done. False when the system gives no thread: the owner does it itself. */
bool runner_start(struct runner *runner, void (*job)(void *argument), void *argument);
/* A descriptor that becomes readable when a job is done, until the owner has asked. */
int runner_descriptor(const struct runner *runner);
/* Is no job being done? Costs no system call while one is. */
bool runner_is_done(struct runner *runner);
/* Wait until none is. */
void runner_wait(struct runner *runner);

#endif
