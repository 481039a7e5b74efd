/* keys.h: Ed25519 key pairs in files: one line, "usher-key-1 " and libsodium's 64-byte secret key in hex; mode 0600. */
#ifndef KEYS_H
#define KEYS_H

#include <stddef.h>
#include <stdint.h>

enum key_status {
    KEY_FOUND,
    KEY_MISSING,
    KEY_EXPOSED,   /* others may read it */
    KEY_MALFORMED, /* not a key file */
    KEY_NO_ACCESS,
    KEY_FAULT /* anything else that the system reports */
};

/* Read directory/name. On anything but KEY_FOUND why gets one line. */
enum key_status key_read(const char *directory, const char *name, uint8_t secret_key[64], char *why, size_t why_size);

/* Draw a key and write it to directory/name, which must not be there yet. When it returns KEY_FOUND, file and directory
 * are on the disk; a crash leaves the whole file or none. */
enum key_status key_make(const char *directory, const char *name, uint8_t secret_key[64], char *why, size_t why_size);

#endif
