/* http_fuzz.h: one input for the HTTP layer, and what must hold whatever it is. */
#ifndef HTTP_FUZZ_H
#define HTTP_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_BYTES_MOST 65536

/* The first byte says how large the pieces are, the others are what a client sends before it closes its side. Ends by
 * abort() when one of these does not hold:
 *
 *   - sent whole and sent in pieces it gets the same answers;
 *   - what it gets is answers of HTTP/1.1, each with a status of statuses.def, and behind a refusal nothing more;
 *   - in the end the connection is gone, and nothing of it is left in memory. */
void http_fuzz_one(const uint8_t *bytes, size_t size);
/* Free what the first call made. */
void http_fuzz_end(void);
/* How many answers there were, and how many of these were refusals. */
extern unsigned long http_fuzz_answers, http_fuzz_refusals;

#endif
