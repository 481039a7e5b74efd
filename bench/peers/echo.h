/* echo.h: the echo (echo_server.c) as a target: whatever is asked, a request of 32 bytes goes and a reply of 64 comes.
 * Jobs that write are on the disk by then. It is what the others are held against, and knows nothing of seats. */
#ifndef BENCH_ECHO_H
#define BENCH_ECHO_H

#include "bench/common/target.h"

extern const struct target_kind target_echo; /* where: a uint16_t, the port */

#endif
