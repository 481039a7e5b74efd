/* instances.h: who else serves on the data directory (X4): where they listen, what their clock shows, how to wake them.
 *
 * The file <data>/usherd.instances has a slot for each instance. Who has a slot holds a lock on it, which ends with the
 * process however it ends; so a slot without its lock is free, whatever it says. One further lock orders starts, so
 * that one instance at a time looks at the others, makes keys and takes its port. */
#ifndef INSTANCES_H
#define INSTANCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/directory.h"

struct instances;

/* Wait until no other instance is starting, and take a slot. join: there may be others; without it a live one is
 * DIRECTORY_RUNNING. On DIRECTORY_OK *instances is set; else why gets one line. */
enum directory_status instances_open(const char *data, bool join, struct instances **instances, char *why,
                                     size_t why_size);
/* Leave; the slot is free. NULL is welcome. */
void instances_close(struct instances *instances);

/* Our slot's number, from 1. */
uint32_t instances_number(const struct instances *instances);
/* The others that are alive and serve. */
unsigned instances_count(const struct instances *instances);
/* Their server time at a moment of the monotonic clock. False when there is nobody. */
bool instances_now_ms(const struct instances *instances, uint64_t monotonic_ms, uint64_t *now_ms);
/* Whether one of them listens on this address, written as net_address writes it. */
bool instances_listen_on(const struct instances *instances, const char *address);

/* We serve here, with this clock: the others may see it, and the next one may start. */
void instances_serve(struct instances *instances, const char *address, uint64_t now_ms, uint64_t monotonic_ms);

/* The doorbell. Ring after a commit: wakes every other instance. Cheap, and never waits. */
void instances_ring(struct instances *instances);
/* A descriptor that can be read from when somebody has rung; instances_answer makes it quiet again, and whatever was
 * committed before the ring can be followed after it. */
int instances_bell(const struct instances *instances);
void instances_answer(struct instances *instances);

#endif
