/* batch.h: a batch as bytes: the value that the journal keeps and that another machine could apply (DESIGN section 4).
 *
 *     batch    head, then `count` commands
 *     command  batch_command, then body_size bytes: the request's body as the wire has it, brought to one form
 *
 * The one form: the token is empty, a signature is zero, and `user` names the asker's user where it is known. So the
 * same request has the same bytes, and the same fingerprint, whichever token or connection brought it (M3). Proofs
 * were checked before and are no part of what is remembered.
 *
 * Little-endian like every stored struct of records.h. Released journals must replay for ever: a change of the form
 * takes a new BATCH_VERSION and keeps the old reader. */
#ifndef COMMIT_BATCH_H
#define COMMIT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/commit/form.h"
#include "server/core/core.h"

#define BATCH_MAGIC   0x48435442u /* "BTCH" */
#define BATCH_VERSION 2u /* 1 had no down_since_ms; it is still read */

struct batch_head {
    uint32_t magic;
    uint32_t version;
    uint64_t stamp_ms;
    uint64_t down_since_ms; /* the first batch after a downtime: its beginning (X2); else 0 */
    uint32_t origin;        /* the instance that made it */
    uint32_t count;
};

struct batch_command {
    uint16_t opcode;
    uint8_t role;
    uint8_t has_token;
    uint16_t channel;
    uint16_t unused;
    uint32_t client_no;
    uint32_t queue_id;
    uint64_t position;
    usher_uuid user;
    uint32_t body_size;
    uint32_t unused_too;
};

/* --- writing: a buffer that grows ---------------------------------------------------------------------- */
struct batch {
    uint8_t *bytes;
    size_t size, room;
    uint32_t count;
};

/* Empty it and write the head anew. False without memory. */
bool batch_begin(struct batch *batch, uint32_t origin);
/* scratch has room for the request's struct. False without memory: the batch is as before. */
bool batch_add(struct batch *batch, const struct form *form, const usher_message *message,
               const struct core_asker *asker, const void *body, void *scratch);
void batch_stamp(struct batch *batch, uint64_t stamp_ms, uint64_t down_since_ms);
void batch_free(struct batch *batch);

/* --- reading ------------------------------------------------------------------------------------------- */
struct batch_reader {
    const uint8_t *next;
    size_t left;
    uint32_t count; /* commands that are still to come */
    uint64_t stamp_ms;
    uint64_t down_since_ms;
    uint32_t origin;
};

/* False when the bytes do not begin like a batch of a version that is known. */
bool batch_open(struct batch_reader *reader, const uint8_t *bytes, size_t size);
/* The next command: *request with its fingerprint, its body decoded into scratch. False when there is none, or when
 * the bytes are not a command; batch_ended tells these apart. */
bool batch_next(struct batch_reader *reader, struct core_request *request, void *scratch);
/* Every command was read and no byte is left. */
bool batch_ended(const struct batch_reader *reader);

#endif
