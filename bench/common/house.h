/* house.h: a usherd of the bench's own: started in a new data folder on a port that the system chooses, with an admin's
 * connection, a gateway's and a terminal's key; ended, and its folder removed, at the end.
 *
 * Or one that runs already: then an admin's key is needed, nothing is started and nothing is ended. */
#ifndef BENCH_HOUSE_H
#define BENCH_HOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <usher.h>

#define HOUSE_PATH_MOST 256

struct house_options {
    const char *usherd;           /* the program */
    const char *folder;           /* where to make the data folder; NULL: $TMPDIR, or /var/tmp, which is on a disk */
    const char *const *arguments; /* further ones of usherd, NULL after the last; NULL: none */
    uint32_t connections;         /* how many will be open at most */
};

/* A command that was answered or lost, for whoever checks afterwards that all is still there. */
struct heard {
    uint16_t opcode;
    usher_uuid user;
    usher_id request_id;
    usher_status status;
    usher_result result;
    const void *reply; /* OK: the reply's struct */
};
typedef void house_witness(void *context, const struct heard *heard);

struct house {
    pid_t pid; /* 0: it does not run, or is somebody else's */
    char folder[HOUSE_PATH_MOST]; /* "": somebody else's */
    char data[HOUSE_PATH_MOST], log[HOUSE_PATH_MOST];
    char address[64];
    char arguments[512]; /* what usherd was told, in words */
    usher_client *admin;
    usher_secret admin_key, gateway_key, terminal_key;
    house_witness *witness; /* told of every command of users that a bench sends; NULL: nobody */
    void *witness_context;
};

/* Where a data folder is made when nobody names a place. */
const char *house_folder_usual(void);

/* Start one. False, and why in one line, when it does not serve; nothing is left then. */
bool house_start(struct house *house, const struct house_options *options, char *why, size_t why_size);

/* Or take one that serves at an address, with the key file of an admin of it. */
bool house_visit(struct house *house, const char *address, const char *admin_key_file, char *why, size_t why_size);

/* End it (SIGTERM, and SIGKILL when that does not help) and remove its folder. */
void house_end(struct house *house);

/* Kill it with SIGKILL and start it again on the same data and port; how long until it answered a ping. */
bool house_crash(struct house *house, const struct house_options *options, uint64_t *back_ns, char *why,
                 size_t why_size);

/* An admin's call that must be OK. */
bool house_ask(struct house *house, uint16_t opcode, const void *request, void *reply, char *why, size_t why_size);
bool house_set_policy(struct house *house, bool of_queue, uint32_t queue_id, const char *name, uint64_t value, char *why,
                      size_t why_size);

/* Processor time of the server so far, in seconds; 0 when it is somebody else's. And its resident memory in bytes. */
double house_cpu_s(const struct house *house);
uint64_t house_memory_bytes(const struct house *house);

#endif
