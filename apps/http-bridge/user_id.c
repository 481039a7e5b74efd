/* user_id.c: see user_id.h. */
#include "user_id.h"

#include <string.h>

static const uint8_t number_prefix[9] = {'u', 's', 'e', 'r', '-', 'n', 0x80, 0x00, 0x80};

static bool
from_number(uint64_t number, struct user_id *user)
{
    if (number > USER_ID_NUMBER_MOST)
        return false;
    *user = (struct user_id){.is_number = true, .number = number};
    memcpy(user->uuid.bytes, number_prefix, sizeof number_prefix);
    for (size_t i = sizeof user->uuid.bytes; i-- > sizeof number_prefix; number >>= 8)
        user->uuid.bytes[i] = (uint8_t)number;
    return true;
}

static bool
from_text(const char *text, struct user_id *user)
{
    *user = (struct user_id){0};
    if (strlen(text) != USHER_UUID_TEXT_SIZE - 1 || !usher_uuid_parse(text, &user->uuid))
        return false;
    strcpy(user->text, text);
    return true;
}

bool
user_id_parse(const char *text, struct user_id *user)
{
    uint64_t number = 0;
    size_t length = strspn(text, "0123456789");

    if (length == 0 || text[length] != 0)
        return from_text(text, user);
    if (length > 16 || (length > 1 && *text == '0'))
        return false;
    for (size_t i = 0; i < length; i++)
        number = 10 * number + (uint64_t)(text[i] - '0');
    return from_number(number, user);
}

bool
user_id_from_json(const json_t *value, struct user_id *user)
{
    if (json_is_integer(value))
        return json_integer_value(value) >= 0 && from_number((uint64_t)json_integer_value(value), user);
    return json_is_string(value) && from_text(json_string_value(value), user);
}

void
user_id_from_uuid(const usher_uuid *uuid, struct user_id *user)
{
    uint64_t number = 0;

    for (size_t i = sizeof number_prefix; i < sizeof uuid->bytes; i++)
        number = number << 8 | uuid->bytes[i];
    if (memcmp(uuid->bytes, number_prefix, sizeof number_prefix) == 0 && from_number(number, user))
        return;
    *user = (struct user_id){.uuid = *uuid};
    usher_uuid_format(uuid, user->text);
}

json_t *
user_id_json(const struct user_id *user)
{
    return user->is_number ? json_integer((json_int_t)user->number) : json_string(user->text);
}
