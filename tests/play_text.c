/* play_text.c: see play_text.h. Everything goes by the layouts that grow from structs.def; the few things that a row
 * can't tell (which numbers are moments, what a token or a receipt holds) are tables here. */
#include "tests/play_text.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"
#include "protocol/token.h"
#include "tests/play.h"

#define LIST_MOST    1024u /* seats or numbers that a scene's list may name */
#define ELEMENT_MOST 128u  /* bytes of the largest scalar */

static const char *const moments[] = {"until_ms",   "starts_at_ms", "opens_at_ms", "closes_at_ms", "at_ms",
                                      "paid_at_ms", "since_ms",     "stamp_ms",    "issued_ms",    "ends_ms",
                                      "acknowledged_at_ms"};

static const struct {
    const char *name;
    unsigned value;
} results[] = {
#define USHER_RESULT(value, name, class, text) {#name, value},
#include "protocol/results.def"
};

static const struct {
    const char *word;
    uint64_t number;
} words[] = {{"unknown", UINT64_MAX}, {"most", INT64_MAX}};

/* What a token and a receipt hold, as layouts of the same kind as the protocol's own. */
#define FIELD(type, KIND, field)                                                                                       \
    {                                                                                                                  \
        .name = #field, .kind = USHER_KIND_##KIND, .offset = offsetof(type, field)                                     \
    }
static const usher_field token_fields[] = {
    FIELD(usher_token_body, U32, queue_id), FIELD(usher_token_body, UUID, user),
    FIELD(usher_token_body, U64, position), FIELD(usher_token_body, U64, issued_ms),
    FIELD(usher_token_body, U64, ends_ms),
};
static const usher_layout token_layout = {.name = "token",
                                          .fields = token_fields,
                                          .field_count = sizeof token_fields / sizeof *token_fields,
                                          .struct_size = sizeof(usher_token_body)};
static const usher_field receipt_seat_fields[] = {
    FIELD(usher_receipt_seat, U32, concert_id),
    FIELD(usher_receipt_seat, U32, date_id),
    FIELD(usher_receipt_seat, U32, seat_no),
};
static const usher_layout receipt_seat_layout = {
    .name = "receipt_seat", .fields = receipt_seat_fields, .field_count = 3, .struct_size = sizeof(usher_receipt_seat)};
static const usher_field receipt_fields[] = {
    FIELD(usher_receipt_body, U64, payment_id),
    FIELD(usher_receipt_body, UUID, user),
    FIELD(usher_receipt_body, I64, amount),
    FIELD(usher_receipt_body, U64, paid_at_ms),
    {.name = "seat",
     .kind = USHER_KIND_ITEMS,
     .most = USHER_RECEIPT_SEATS_MOST,
     .offset = offsetof(usher_receipt_body, seat),
     .count_offset = offsetof(usher_receipt_body, seat_count),
     .item = &receipt_seat_layout},
};
static const usher_layout receipt_layout = {.name = "receipt",
                                            .fields = receipt_fields,
                                            .field_count = sizeof receipt_fields / sizeof *receipt_fields,
                                            .struct_size = sizeof(usher_receipt_body)};

/* --- fields ------------------------------------------------------------------------------------------------ */
static bool
name_stands_for(const char *given, const char *name)
{
    static const char *const endings[] = {"_id", "_no", "_ms", "_at_ms", "_count"};
    size_t length = strlen(given);

    if (strncmp(given, name, length) != 0)
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcmp(name + length, endings[i]) == 0)
            return true;
    return false;
}

const usher_field *
text_field(const usher_layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (strcmp(layout->fields[i].name, name) == 0)
            return &layout->fields[i];
    for (size_t i = 0; i < layout->field_count; i++)
        if (name_stands_for(name, layout->fields[i].name))
            return &layout->fields[i];
    return NULL;
}

static bool
is_moment(const usher_field *field)
{
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++)
        if (strcmp(field->name, moments[i]) == 0)
            return true;
    return false;
}

/* The scalar kind of a field's elements and its size in the C struct. */
static usher_kind
element_kind(const usher_field *field)
{
    return field->kind == USHER_KIND_NUMBERS32   ? USHER_KIND_U32
           : field->kind == USHER_KIND_NUMBERS64 ? USHER_KIND_U64
                                                 : field->kind;
}

static size_t
element_size(const usher_field *field)
{
    static const uint8_t sizes[] = {
        [USHER_KIND_U8] = 1,   [USHER_KIND_U16] = 2,   [USHER_KIND_U32] = 4,        [USHER_KIND_U64] = 8,
        [USHER_KIND_I64] = 8,  [USHER_KIND_UUID] = 16, [USHER_KIND_ID] = 16,        [USHER_KIND_KEY] = 32,
        [USHER_KIND_ENUM] = 1, [USHER_KIND_BYTES] = 0, [USHER_KIND_SIGNATURE] = 64, [USHER_KIND_ITEMS] = 0,
    };
    usher_kind kind = element_kind(field);
    return kind == USHER_KIND_TEXT ? field->most : sizes[kind];
}

static bool
is_number(const usher_field *field)
{
    return element_kind(field) <= USHER_KIND_I64;
}

static bool
is_list(const usher_field *field)
{
    return field->kind == USHER_KIND_NUMBERS32 || field->kind == USHER_KIND_NUMBERS64;
}

static uint64_t
number_read(const usher_field *field, const void *at)
{
    uint64_t number = 0;
    memcpy(&number, at, element_size(field)); /* little-endian, as the records are */
    return number;
}

static uint16_t
count_read(const usher_field *field, const void *body)
{
    uint16_t count;
    memcpy(&count, (const uint8_t *)body + field->count_offset, sizeof count);
    return count;
}

/* --- text to values ---------------------------------------------------------------------------------------- */
bool
text_result(const char *name, unsigned *result)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (strcmp(results[i].name, name) == 0) {
            *result = results[i].value;
            return true;
        }
    return false;
}

/* "ann.2" in a field of reservations, payments or refunds. */
static bool
parse_reference(struct play_people *people, const usher_field *field, const char *text, uint64_t *number)
{
    size_t nth;
    struct play_person *person = people_reference(people, text, &nth);

    if (person == NULL || nth == 0)
        return false;
    const struct play_numbers *numbers = strncmp(field->name, "payment", 7) == 0  ? &person->payments
                                         : strncmp(field->name, "refund", 6) == 0 ? &person->refunds
                                                                                  : &person->reservations;
    if (nth > numbers->count)
        return false;
    *number = numbers->at[nth - 1];
    return true;
}

static bool
parse_number(struct play_people *people, const usher_field *field, const char *text, uint64_t *number)
{
    char *end;
    unsigned result;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, text) == 0) {
            *number = words[i].number;
            return true;
        }
    if (strcmp(field->name, "result") == 0 && text_result(text, &result)) {
        *number = result;
        return true;
    }
    if (strcmp(field->name, "opcode") == 0) {
        size_t count;
        const usher_message *messages = usher_messages(&count);
        for (size_t i = 0; i < count; i++)
            if (strcmp(messages[i].name, text) == 0) {
                *number = messages[i].opcode;
                return true;
            }
    }
    if (strchr(text, '.') != NULL)
        return parse_reference(people, field, text, number);
    *number = text[0] == '-' ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    if (end == text || *end != '\0')
        return false;
    if (is_moment(field) && *number != 0)
        *number += PLAY_BASE_MS;
    return true;
}

static bool
parse_enum(const usher_field *field, const char *text, uint8_t *out)
{
    char *end;

    for (size_t i = 0; i < field->enumeration->value_count; i++)
        if (strcmp(field->enumeration->values[i].name, text) == 0) {
            *out = field->enumeration->values[i].value;
            return true;
        }
    unsigned long number = strtoul(text, &end, 10);
    *out = (uint8_t)number;
    return end != text && *end == '\0' && number < 256;
}

static bool
parse_uuid(struct play_people *people, const char *text, uint8_t *out)
{
    if (strcmp(text, "none") == 0) {
        memset(out, 0, 16);
        return true;
    }
    const struct play_person *person = people_named(people, text);
    if (person != NULL)
        memcpy(out, person->uuid.bytes, 16);
    return person != NULL;
}

/* One scalar, as it stands in the C struct. */
static bool
parse_element(struct play_people *people, const usher_field *field, const char *text, uint8_t *out)
{
    uint64_t number;

    memset(out, 0, element_size(field));
    if (is_number(field)) {
        if (!parse_number(people, field, text, &number))
            return false;
        memcpy(out, &number, element_size(field));
        return true;
    }
    switch (element_kind(field)) {
    case USHER_KIND_ENUM:
        return parse_enum(field, text, out);
    case USHER_KIND_UUID:
        return parse_uuid(people, text, out);
    case USHER_KIND_ID:
        if (strcmp(text, "none") != 0)
            people_bytes("id", text, out, 16);
        return true;
    case USHER_KIND_KEY:
        if (strcmp(text, "none") == 0)
            return true;
        people_bytes("key", text, out, 32);
        if (strcmp(field->name, "code_hash") == 0) {
            uint8_t code[32];
            memcpy(code, out, sizeof code);
            crypto_generichash(out, 32, code, sizeof code, NULL, 0);
        }
        return true;
    case USHER_KIND_TEXT:
        if (strlen(text) >= field->most)
            return false;
        memcpy(out, text, strlen(text));
        return true;
    case USHER_KIND_U8:
    case USHER_KIND_U16:
    case USHER_KIND_U32:
    case USHER_KIND_U64:
    case USHER_KIND_I64:
    case USHER_KIND_SIGNATURE:
    case USHER_KIND_BYTES:
    case USHER_KIND_NUMBERS32:
    case USHER_KIND_NUMBERS64:
    case USHER_KIND_ITEMS:
        break;
    }
    return false;
}

/* The next part of a list, up to a separator; false at the end. */
static bool
next_part(const char **rest, char separator, char *part, size_t size)
{
    if (*rest == NULL || **rest == '\0')
        return false;
    const char *end = strchr(*rest, separator);
    size_t length = end != NULL ? (size_t)(end - *rest) : strlen(*rest);
    if (length >= size)
        length = size - 1;
    memcpy(part, *rest, length);
    part[length] = '\0';
    *rest = end != NULL ? end + 1 : NULL;
    return true;
}

/* "7,9..12": elements of this field's kind, one after another in out. Returns how many, SIZE_MAX if a part is wrong. */
static size_t
parse_list(struct play_people *people, const usher_field *field, const char *text, uint8_t *out, size_t most)
{
    char part[ELEMENT_MOST];
    size_t count = 0, size = element_size(field);

    while (next_part(&text, ',', part, sizeof part)) {
        char *dots = strstr(part, "..");
        uint64_t from = 0, to = 0;
        if (dots != NULL && is_number(field)) {
            *dots = '\0';
            if (!parse_number(people, field, part, &from) || !parse_number(people, field, dots + 2, &to))
                return SIZE_MAX;
        }
        do {
            if (count == most)
                return SIZE_MAX;
            if (dots != NULL && is_number(field))
                memcpy(out + count * size, &from, size);
            else if (!parse_element(people, field, part, out + count * size))
                return SIZE_MAX;
            count++;
        } while (from++ < to);
    }
    return count;
}

/* "Hall:1:5:10:0,...": items by their fields in order. */
static bool
parse_items(struct play_people *people, const usher_field *field, const char *text, uint8_t *body)
{
    char item[ELEMENT_MOST], part[ELEMENT_MOST];
    uint16_t count = 0;

    for (; next_part(&text, ',', item, sizeof item); count++) {
        const char *rest = item;
        uint8_t *at = body + field->offset + count * field->item->struct_size;
        if (count == field->most)
            return false;
        for (size_t i = 0; next_part(&rest, ':', part, sizeof part); i++)
            if (i == field->item->field_count ||
                !parse_element(people, &field->item->fields[i], part, at + field->item->fields[i].offset))
                return false;
    }
    memcpy(body + field->count_offset, &count, sizeof count);
    return true;
}

bool
text_set(struct play_people *people, const usher_layout *layout, void *body, const char *name, const char *value,
         char *why)
{
    const usher_field *field = text_field(layout, name);
    uint8_t *bytes = body;
    bool fine = field != NULL && field->kind != USHER_KIND_BYTES;

    if (fine && field->kind == USHER_KIND_ITEMS) {
        fine = parse_items(people, field, value, bytes);
    } else if (fine && is_list(field)) {
        size_t count = parse_list(people, field, value, bytes + field->offset, field->most);
        fine = count != SIZE_MAX;
        uint16_t stored = (uint16_t)count;
        memcpy(bytes + field->count_offset, &stored, sizeof stored);
    } else if (fine) {
        fine = parse_element(people, field, value, bytes + field->offset);
    }
    if (!fine)
        snprintf(why, TEXT_WHY_SIZE, "the scene is wrong: %s=%s is no field of %s, or no value of it", name, value,
                 layout->name);
    return fine;
}

/* --- values to text ---------------------------------------------------------------------------------------- */
static void
print_number(const usher_field *field, uint64_t number, char *out, size_t size)
{
    if (strcmp(field->name, "result") == 0)
        snprintf(out, size, "%s", usher_result_name((unsigned)number));
    else if (number == UINT64_MAX && element_kind(field) != USHER_KIND_I64)
        snprintf(out, size, "unknown");
    else if (is_moment(field) && number != 0)
        snprintf(out, size, "%" PRId64, (int64_t)(number - PLAY_BASE_MS));
    else if (element_kind(field) == USHER_KIND_I64)
        snprintf(out, size, "%" PRId64, (int64_t)number);
    else
        snprintf(out, size, "%" PRIu64, number);
}

static void
print_element(struct play_people *people, const usher_field *field, const uint8_t *at, char *out, size_t size)
{
    static const usher_uuid nobody;

    if (is_number(field)) {
        print_number(field, number_read(field, at), out, size);
    } else if (field->kind == USHER_KIND_ENUM) {
        const char *name = usher_enum_name(field->enumeration, *at);
        snprintf(out, size, "%s", name != NULL ? name : "?");
    } else if (field->kind == USHER_KIND_UUID) {
        usher_uuid uuid;
        memcpy(&uuid, at, sizeof uuid);
        const struct play_person *person = people_of_uuid(people, &uuid);
        snprintf(out, size, "%s", person != NULL ? person->name : memcmp(at, &nobody, 16) == 0 ? "none" : "stranger");
    } else if (field->kind == USHER_KIND_TEXT) {
        snprintf(out, size, "'%s'", (const char *)at);
    } else {
        snprintf(out, size, "%02x%02x..", at[0], at[1]);
    }
}

static void
append(char *out, size_t size, const char *text)
{
    size_t length = strlen(out);
    snprintf(out + length, size - length, "%s", text);
}

static void
print_list(struct play_people *people, const usher_field *field, const void *body, char *out, size_t size)
{
    char text[ELEMENT_MOST];
    const uint8_t *at = (const uint8_t *)body + field->offset;
    uint16_t count = count_read(field, body);

    for (uint16_t i = 0; i < count; i++) {
        if (i > 0)
            append(out, size, ",");
        if (field->kind != USHER_KIND_ITEMS) {
            print_element(people, field, at + i * element_size(field), text, sizeof text);
            append(out, size, text);
            continue;
        }
        for (size_t j = 0; j < field->item->field_count; j++) {
            const usher_field *part = &field->item->fields[j];
            print_element(people, part, at + i * field->item->struct_size + part->offset, text, sizeof text);
            append(out, size, j > 0 ? ":" : "");
            append(out, size, text);
        }
    }
}

void
text_print(struct play_people *people, const usher_layout *layout, const void *body, char *out, size_t size)
{
    char text[ELEMENT_MOST];

    out[0] = '\0';
    for (size_t i = 0; i < layout->field_count; i++) {
        const usher_field *field = &layout->fields[i];
        append(out, size, i > 0 ? " " : "");
        append(out, size, field->name);
        append(out, size, "=");
        if (field->kind == USHER_KIND_ITEMS || is_list(field)) {
            print_list(people, field, body, out, size);
        } else if (field->kind == USHER_KIND_BYTES) {
            snprintf(text, sizeof text, "(%u bytes)", count_read(field, body));
            append(out, size, text);
        } else {
            print_element(people, field, (const uint8_t *)body + field->offset, text, sizeof text);
            append(out, size, text);
        }
    }
}

/* --- expectations ------------------------------------------------------------------------------------------ */
enum comparison { SAME, OTHER, BELOW, AT_MOST, ABOVE, AT_LEAST };
static const struct {
    const char *sign;
    enum comparison comparison;
} comparisons[] = {{"!=", OTHER}, {"<=", AT_MOST}, {">=", AT_LEAST}, {"=", SAME}, {"<", BELOW}, {">", ABOVE}};

struct condition {
    char name[48];
    enum comparison comparison;
    const char *value;
};

static bool
parse_condition(const char *text, struct condition *condition)
{
    size_t length = strcspn(text, "=!<>");

    if (length == 0 || length >= sizeof condition->name)
        return false;
    memcpy(condition->name, text, length);
    condition->name[length] = '\0';
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++)
        if (strncmp(text + length, comparisons[i].sign, strlen(comparisons[i].sign)) == 0) {
            condition->comparison = comparisons[i].comparison;
            condition->value = text + length + strlen(comparisons[i].sign);
            return true;
        }
    return false;
}

static bool
compare(const usher_field *field, const uint8_t *came, enum comparison comparison, const uint8_t *wanted)
{
    size_t size = element_size(field);
    int order;

    if (field->kind == USHER_KIND_I64) {
        int64_t left = (int64_t)number_read(field, came), right = (int64_t)number_read(field, wanted);
        order = left < right ? -1 : left > right;
    } else if (is_number(field)) {
        uint64_t left = number_read(field, came), right = number_read(field, wanted);
        order = left < right ? -1 : left > right;
    } else {
        order = memcmp(came, wanted, size);
    }
    const bool holds[] = {[SAME] = order == 0,
                          [OTHER] = order != 0,
                          [BELOW] = order<0, [AT_MOST] = order <= 0, [ABOVE] = order> 0,
                          [AT_LEAST] = order >= 0};
    return holds[comparison];
}

/* Elements that lie `step` bytes apart, against a list of values, or each against a single one. */
static bool
compare_list(struct play_people *people, const usher_field *field, const uint8_t *at, size_t step, size_t count,
             const struct condition *condition, char *why)
{
    static uint8_t wanted[LIST_MOST * ELEMENT_MOST];
    size_t size = element_size(field);
    size_t most = size > 0 ? sizeof wanted / size : 0;
    size_t wanted_count = parse_list(people, field, condition->value, wanted, most);

    if (wanted_count == SIZE_MAX) {
        snprintf(why, TEXT_WHY_SIZE, "the scene is wrong: no value of %s: %s", condition->name, condition->value);
        return false;
    }
    bool same = wanted_count == 1 ? count > 0 : condition->comparison == SAME && wanted_count == count;
    for (size_t i = 0; same && i < count; i++)
        same = compare(field, at + i * step, condition->comparison, wanted + (wanted_count == 1 ? 0 : i * size));
    if (!same)
        snprintf(why, TEXT_WHY_SIZE, "%s is not %s", condition->name, condition->value);
    return same;
}

/* conflict=7:HELD,8:SOLD: items by their first fields, as many as are written. */
static bool
compare_items(struct play_people *people, const usher_field *field, const void *body, const struct condition *condition,
              char *why)
{
    char item[ELEMENT_MOST], part[ELEMENT_MOST];
    uint8_t wanted[ELEMENT_MOST];
    const char *text = condition->value;
    uint16_t count = 0;
    bool same = condition->comparison == SAME;

    for (; same && next_part(&text, ',', item, sizeof item); count++) {
        const char *rest = item;
        const uint8_t *at = (const uint8_t *)body + field->offset + count * field->item->struct_size;
        same = count < count_read(field, body);
        for (size_t i = 0; same && next_part(&rest, ':', part, sizeof part); i++) {
            const usher_field *of = &field->item->fields[i];
            same = i < field->item->field_count && parse_element(people, of, part, wanted) &&
                   compare(of, at + of->offset, SAME, wanted);
        }
    }
    if (!same || count != count_read(field, body)) {
        snprintf(why, TEXT_WHY_SIZE, "%s is not %s", condition->name, condition->value);
        return false;
    }
    return true;
}

/* free=1..6,8: the bits of a seats reply. */
static bool
expect_free(struct play_people *people, const void *body, const struct condition *condition, char *why)
{
    static const usher_field seat = {.name = "seat_no", .kind = USHER_KIND_U32};
    static uint32_t free_seats[256 * 64];
    const usher_seats_reply *reply = body;
    size_t count = 0;

    for (uint32_t i = 0; i < reply->free_block_count; i++)
        for (uint32_t bit = 0; bit < 64; bit++)
            if (reply->free_block[i] >> bit & 1)
                free_seats[count++] = (reply->first_block + i) * 64 + bit + 1;
    return compare_list(people, &seat, (const uint8_t *)free_seats, sizeof *free_seats, count, condition, why);
}

static bool expect_one(struct play_people *people, const usher_layout *layout, const void *body,
                       struct condition *condition, char *why);

/* token.position=1, receipt.seat=7, body.balance=100: look into a document or a remembered answer. */
static bool
expect_inside(struct play_people *people, const usher_layout *layout, const void *body, struct condition *condition,
              char *why)
{
    char *dot = strchr(condition->name, '.');
    *dot = '\0';
    const usher_field *field = text_field(layout, condition->name);
    const uint8_t *bytes = body;
    unsigned field_no;
    bool known = field != NULL && field->kind == USHER_KIND_BYTES, fine = false;

    memmove(condition->name, dot + 1, strlen(dot + 1) + 1);
    size_t size = known ? count_read(field, body) : 0;
    if (known && strcmp(field->name, "token") == 0) {
        usher_token_body token;
        memset(&token, 0, sizeof token);
        known = usher_token_body_decode(bytes + field->offset, size, &token);
        fine = known && expect_one(people, &token_layout, &token, condition, why);
    } else if (known && strcmp(field->name, "receipt") == 0) {
        usher_receipt_body receipt;
        memset(&receipt, 0, sizeof receipt);
        known = usher_receipt_body_decode(bytes + field->offset, size, &receipt);
        fine = known && expect_one(people, &receipt_layout, &receipt, condition, why);
    } else if (known && strcmp(layout->name, "lookup_reply") == 0) {
        const usher_lookup_reply *reply = body;
        const usher_message *message = usher_message_of(reply->opcode);
        const usher_layout *inner = reply->result == USHER_OK ? message->reply : usher_refusal_layout();
        void *answer = calloc(1, inner->struct_size);
        assert(answer != NULL);
        known = usher_decode(inner, bytes + field->offset, size, answer, &field_no) == USHER_OK;
        fine = known && expect_one(people, inner, answer, condition, why);
        free(answer);
    }
    if (!known)
        snprintf(why, TEXT_WHY_SIZE, "the reply holds nothing that %s could be looked for in", condition->name);
    return fine;
}

/* A column of the reply's list, or count=: the list's length. */
static bool
expect_column(struct play_people *people, const usher_layout *layout, const void *body,
              const struct condition *condition, char *why)
{
    static const usher_field number = {.name = "count", .kind = USHER_KIND_U16};

    for (size_t i = 0; i < layout->field_count; i++) {
        const usher_field *list = &layout->fields[i];
        if (list->kind != USHER_KIND_ITEMS && !is_list(list))
            continue;
        uint16_t count = count_read(list, body);
        if (strcmp(condition->name, "count") == 0)
            return compare_list(people, &number, (const uint8_t *)&count, sizeof count, 1, condition, why);
        if (list->kind != USHER_KIND_ITEMS)
            continue;
        const usher_field *column = text_field(list->item, condition->name);
        if (column != NULL)
            return compare_list(people, column, (const uint8_t *)body + list->offset + column->offset,
                                list->item->struct_size, count, condition, why);
    }
    snprintf(why, TEXT_WHY_SIZE, "the scene is wrong: %s has no field %s", layout->name, condition->name);
    return false;
}

static bool
expect_body(struct play_people *people, const usher_layout *layout, const void *body, const struct condition *condition,
            char *why)
{
    const usher_field *field = text_field(layout, condition->name);
    const uint8_t *bytes = body;

    if (strcmp(layout->name, "seats_reply") == 0 && strcmp(condition->name, "free") == 0)
        return expect_free(people, body, condition, why);
    if (field != NULL && field->kind == USHER_KIND_ITEMS && strchr(condition->value, ':') != NULL)
        return compare_items(people, field, body, condition, why);
    if (field == NULL || field->kind == USHER_KIND_ITEMS || field->kind == USHER_KIND_BYTES)
        return expect_column(people, layout, body, condition, why);
    if (is_list(field))
        return compare_list(people, field, bytes + field->offset, element_size(field), count_read(field, body),
                            condition, why);
    uint8_t wanted[ELEMENT_MOST];
    if (!parse_element(people, field, condition->value, wanted)) {
        snprintf(why, TEXT_WHY_SIZE, "the scene is wrong: no value of %s: %s", condition->name, condition->value);
        return false;
    }
    if (compare(field, bytes + field->offset, condition->comparison, wanted))
        return true;
    snprintf(why, TEXT_WHY_SIZE, "%s is not %s", condition->name, condition->value);
    return false;
}

static bool
expect_one(struct play_people *people, const usher_layout *layout, const void *body, struct condition *condition,
           char *why)
{
    return strchr(condition->name, '.') != NULL ? expect_inside(people, layout, body, condition, why)
                                                : expect_body(people, layout, body, condition, why);
}

bool
text_expect(struct play_people *people, const usher_layout *layout, const void *body, const char *text, char *why)
{
    struct condition condition;

    if (!parse_condition(text, &condition)) {
        snprintf(why, TEXT_WHY_SIZE, "the scene is wrong: not a condition: %s", text);
        return false;
    }
    return expect_one(people, layout, body, &condition, why);
}
