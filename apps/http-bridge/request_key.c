/* request_key.c: see request_key.h. */
#include "request_key.h"

#include <sodium.h>
#include <string.h>

bool
request_key_is_sound(const char *key)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:~";
    size_t length = strspn(key, letters);

    return length > 0 && length <= REQUEST_KEY_MOST && key[length] == 0;
}

void
request_key_make(char *text)
{
    usher_id id;

    usher_new_id(&id);
    usher_id_format(&id, text);
}

void
request_key_id(const usher_uuid *user, const char *operation, const char *key, usher_id *id)
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, sizeof id->bytes);
    crypto_generichash_update(&state, user->bytes, sizeof user->bytes);
    crypto_generichash_update(&state, (const uint8_t *)operation, strlen(operation) + 1);
    crypto_generichash_update(&state, (const uint8_t *)key, strlen(key));
    crypto_generichash_final(&state, id->bytes, sizeof id->bytes);
}
