/* process.h: a server of the bench's own: started privately in a temporary folder, ended and removed afterwards.
 *
 * Nothing here touches a service of the system. Every server listens on 127.0.0.1 alone, on a port that was free, keeps
 * its data in a folder that is removed at the end, and dies with the bench. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_PATH_MOST 256

struct process {
    pid_t pid; /* 0: does not run */
    uint16_t port;
    char log[PROCESS_PATH_MOST]; /* what it says goes to the end of this file */
    const char *as_user;         /* a user of the system to run as when the bench is root's; NULL: as the bench */
};

/* Make a new folder below `parent` (NULL: $TMPDIR, else /var/tmp) that process_clean_up() will remove; ends the bench with one
 * line when it can't. With as_user and root's rights the folder is that user's. */
void process_folder(char path[PROCESS_PATH_MOST], const char *parent, const char *as_user);

/* "folder/name"; ends the bench when it does not fit. */
void process_path(char out[PROCESS_PATH_MOST], const char *folder, const char *name);

/* A port of 127.0.0.1 that nobody listens on now. */
uint16_t process_free_port(void);

/* Start a program with these arguments, the last of which is NULL; argument 0 is looked up in PATH. */
bool process_start(struct process *process, const char *const *arguments);

/* Run a program to its end. True if it ended with 0; else the end of its log is shown. */
bool process_run(struct process *process, const char *const *arguments);

/* Wait until something accepts connections on process->port; false, having shown the end of the log, when the process
 * ended or patience_ms passed. */
bool process_wait_port(struct process *process, unsigned patience_ms);

/* Ask it to end by `signal` and wait for its end; after patience_ms it is killed. */
void process_stop(struct process *process, int signal, unsigned patience_ms);

/* SIGKILL to it and to its own children, as a crash of everything. */
void process_kill(struct process *process);

/* What it and its children have used so far. */
struct process_use {
    double cpu_seconds;
    uint64_t private_bytes; /* of memory: neither files' pages, which come and go as the disk is used, nor shared ones */
};
struct process_use process_use(const struct process *process);

/* CPU seconds of the bench itself, which is the load generator. */
double process_own_cpu(void);

/* Kill what still runs and remove every folder: at the end, and at a signal. */
void process_clean_up(void);

/* At SIGINT, SIGTERM and SIGHUP call this and end. */
void process_clean_up_at_signals(void (*clean_up)(void));

#endif
