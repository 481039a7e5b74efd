/* text.c: identifiers and bytes as people write them, statuses in words, and small helpers over replies. */
#include <sodium.h>
#include <string.h>

#include "client-sdk/src/net.h"
#include "client-sdk/include/usher.h"

const char *
usher_status_text(usher_status status)
{
    static const char *const texts[] = {
        [USHER_STATUS_ANSWERED] = "the server answered",
        [USHER_STATUS_NOT_SENT] = "no server could be reached before the deadline",
        [USHER_STATUS_MAYBE_APPLIED] =
            "the request was sent and no answer came; it may or may not have been carried out",
        [USHER_STATUS_NO_ANSWER] = "the question was sent and no answer came",
        [USHER_STATUS_BAD_ARGUMENT] = "an argument can't be right",
        [USHER_STATUS_NO_MEMORY] = "there is not enough memory",
        [USHER_STATUS_KEY_FILE] = "the key file can't be used",
        [USHER_STATUS_HELLO_REFUSED] = "the server turned this client away",
        [USHER_STATUS_UNTRUSTED] = "the server is not the one that it should be",
        [USHER_STATUS_WRONG_SERVER] = "what answers is not a server that speaks this protocol",
        [USHER_STATUS_WRONG_THREAD] = "a blocking call would stop the loop that runs on this thread",
        [USHER_STATUS_QUEUE_FULL] = "as many requests wait as may",
        [USHER_STATUS_CANCELLED] = "the request was cancelled",
        [USHER_STATUS_CLOSED] = "the handle is being closed",
    };

    if ((size_t)status >= sizeof texts / sizeof *texts)
        return "the status is not known here";
    return texts[status];
}

/* --- hex ---------------------------------------------------------------------------------------------- */
void
usher_hex_format(const uint8_t *bytes, size_t size, char *text)
{
    sodium_bin2hex(text, 2 * size + 1, bytes, size);
}

int
usher_hex_parse(const char *text, uint8_t *bytes, size_t size)
{
    uint8_t parsed[64];
    size_t parsed_size;

    if (strlen(text) != 2 * size || size > sizeof parsed)
        return 0;
    if (sodium_hex2bin(parsed, sizeof parsed, text, 2 * size, NULL, &parsed_size, NULL) != 0 || parsed_size != size)
        return 0;
    memcpy(bytes, parsed, size);
    sodium_memzero(parsed, sizeof parsed); /* key files come this way */
    return 1;
}

/* --- UUIDs -------------------------------------------------------------------------------------------- */
static const uint8_t hyphen_after_byte[16] = {[3] = 1, [5] = 1, [7] = 1, [9] = 1};

void
usher_uuid_format(const usher_uuid *uuid, char text[37])
{
    for (size_t i = 0; i < sizeof uuid->bytes; i++) {
        usher_hex_format(uuid->bytes + i, 1, text);
        text += 2;
        if (hyphen_after_byte[i])
            *text++ = '-';
    }
    *text = 0;
}

int
usher_uuid_parse(const char *text, usher_uuid *uuid)
{
    char digits[33];
    size_t count = 0;

    if (strlen(text) == 36) {
        for (size_t i = 0, byte = 0; byte < 16; byte++) {
            digits[count++] = text[i++];
            digits[count++] = text[i++];
            if (hyphen_after_byte[byte] && text[i++] != '-')
                return 0;
        }
        digits[count] = 0;
        text = digits;
    }
    return usher_hex_parse(text, uuid->bytes, sizeof uuid->bytes);
}

void
usher_id_format(const usher_id *id, char text[37])
{
    usher_uuid uuid;

    memcpy(uuid.bytes, id->bytes, sizeof uuid.bytes);
    usher_uuid_format(&uuid, text);
}

int
usher_id_parse(const char *text, usher_id *id)
{
    usher_uuid uuid;

    if (!usher_uuid_parse(text, &uuid))
        return 0;
    memcpy(id->bytes, uuid.bytes, sizeof id->bytes);
    return 1;
}

int
usher_id_is_zero(const usher_id *id)
{
    return sodium_is_zero(id->bytes, sizeof id->bytes);
}

int
usher_uuid_is_zero(const usher_uuid *uuid)
{
    return sodium_is_zero(uuid->bytes, sizeof uuid->bytes);
}

void
usher_new_id(usher_id *id)
{
    uint64_t now_ms = usher_net_wall_ms();

    if (sodium_init() < 0)
        sodium_misuse(); /* an id that is not random would be somebody else's */
    randombytes_buf(id->bytes, sizeof id->bytes);
    for (size_t i = 0; i < 6; i++)
        id->bytes[i] = (uint8_t)(now_ms >> (40 - 8 * i));
    id->bytes[6] = (uint8_t)((id->bytes[6] & 0x0f) | 0x70);
    id->bytes[8] = (uint8_t)((id->bytes[8] & 0x3f) | 0x80);
}

/* --- base64 ------------------------------------------------------------------------------------------- */
size_t
usher_base64_format(const uint8_t *bytes, size_t size, char *text, size_t text_size)
{
    size_t needed = sodium_base64_encoded_len(size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);

    if (needed > text_size)
        return 0;
    sodium_bin2base64(text, text_size, bytes, size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return needed - 1;
}

int
usher_base64_parse(const char *text, uint8_t *bytes, size_t room, size_t *size)
{
    return sodium_base642bin(bytes, room, text, strlen(text), NULL, size, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
}

/* --- replies ------------------------------------------------------------------------------------------ */
int
usher_seat_is_free(const usher_seats_reply *seats, uint32_t seat_no)
{
    uint32_t block = (seat_no - 1) / 64;

    if (seat_no == 0 || seat_no > seats->seat_count || block < seats->first_block ||
        block - seats->first_block >= seats->free_block_count)
        return 0;
    return (int)(seats->free_block[block - seats->first_block] >> ((seat_no - 1) % 64) & 1);
}

/* --- policies ----------------------------------------------------------------------------------------- */
static const usher_policy_rule policy_rules[] = {
#define OF_HOUSE                                                  0
#define OF_QUEUE                                                  1
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) {#name, unit, help, usual, least, most, OF_##SCOPE},
#include "protocol/policies.def"
};

const usher_policy_rule *
usher_policy_rules(size_t *count)
{
    *count = sizeof policy_rules / sizeof *policy_rules;
    return policy_rules;
}
