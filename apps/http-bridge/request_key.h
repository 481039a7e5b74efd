/* request_key.h: Idempotency-Key, and the request id that it stands for (M3).
 *
 *     request id = BLAKE2b-128(user's 16 bytes, the operation's name, NUL, the key)
 *
 * So the same key of the same user and operation is the same request at every bridge and at every time, and no key of
 * one user or operation ever meets that of another. */
#ifndef BRIDGE_REQUEST_KEY_H
#define BRIDGE_REQUEST_KEY_H

#include <stdbool.h>
#include <usher.h>

#define REQUEST_KEY_MOST 64 /* characters */

/* 1 to REQUEST_KEY_MOST letters, digits and - _ . : ~ */
bool request_key_is_sound(const char *key);
/* A key for a request that came without one; text has room for USHER_UUID_TEXT_SIZE. */
void request_key_make(char *text);
void request_key_id(const usher_uuid *user, const char *operation, const char *key, usher_id *id);

#endif
