/* show.c: any body as JSON (../shared/body.h) or as text, grown from the rows. */
#include "ctl.h"

#include "../shared/body.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_duration(const char *name)
{
    size_t length = strlen(name);

    return length > 3 && strcmp(name + length - 3, "_ms") == 0 && !ctl_is_moment(name);
}

/* --- JSON --------------------------------------------------------------------------------------------- */
json_t *
ctl_json_body(const usher_layout *layout, const void *body)
{
    return body_json(layout, body, BODY_FLAGS_BY_NAME);
}

json_t *
ctl_json_answer(const struct ctl *ctl, uint16_t opcode, usher_status status)
{
    static const char *const statuses[] = {"answered",  "not_sent", "maybe_applied", "no_answer", "bad_argument",
                                           "no_memory", "key_file", "hello_refused", "untrusted", "wrong_server"};
    const usher_answer *answer = usher_client_answer(ctl->client);
    const usher_message *message = usher_message_of(opcode);
    json_t *object = json_object();
    char id[USHER_UUID_TEXT_SIZE];

    json_object_set_new(object, "request", json_string(message != NULL ? message->name : ""));
    json_object_set_new(object, "status", json_string(statuses[status]));
    if (!usher_id_is_zero(&answer->request_id)) {
        usher_id_format(&answer->request_id, id);
        json_object_set_new(object, "request_id", json_string(id));
    }
    if (answer->result == USHER_RESULT_NONE) {
        json_object_set_new(object, "error", json_string(usher_client_error(ctl->client)));
        return object;
    }
    json_object_set_new(object, "result", json_string(usher_result_name(answer->result)));
    json_object_set_new(object, "replayed", json_boolean(answer->replayed));
    json_object_set_new(object, "stamp_ms", json_integer((json_int_t)answer->stamp_ms));
    if (answer->result != USHER_OK) {
        json_object_set_new(object, "error", json_string(usher_result_text(answer->result)));
        json_object_set_new(object, "retryable", json_boolean(answer->retryable));
        json_object_set_new(object, "refusal", ctl_json_body(usher_refusal_layout(), &answer->refusal));
    }
    return object;
}

void
ctl_print_json(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    if (text == NULL)
        abort();
    puts(text);
    free(text);
    json_decref(value);
}

/* --- text --------------------------------------------------------------------------------------------- */
/* Whether a code point takes two columns: East Asian wide and full-width ranges. */
static bool
is_wide(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe6f},
                  {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd}};

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (point >= ranges[i].first && point <= ranges[i].last)
            return true;
    return false;
}

size_t
ctl_text_width(const char *text)
{
    size_t width = 0;

    while (*text != 0) { /* sound UTF-8: the decoder has seen to it */
        uint32_t point = (uint8_t)*text++;
        if (point >= 0xf0)
            point &= 0x07;
        else if (point >= 0xe0)
            point &= 0x0f;
        else if (point >= 0xc0)
            point &= 0x1f;
        while ((*text & 0xc0) == 0x80)
            point = point << 6 | ((uint8_t)*text++ & 0x3f);
        width += is_wide(point) ? 2 : 1;
    }
    return width;
}

void
ctl_print_padded(const char *text, size_t width, bool to_the_right)
{
    size_t own = ctl_text_width(text);
    int spaces = own < width ? (int)(width - own) : 0;

    if (to_the_right)
        printf("%*s%s", spaces, "", text);
    else
        printf("%s%*s", text, spaces, "");
}

/* A field that is no list, or a list of numbers in one line; the caller frees it. */
static char *
value_text(const usher_field *field, const char *body)
{
    char text[32];
    char *list;
    size_t used = 0;

    if (field->kind >= USHER_KIND_NUMBERS32) {
        uint16_t count = body_count(field, body);
        list = calloc(count + 1u, 24);
        if (list == NULL)
            abort();
        for (uint16_t i = 0; i < count; i++)
            used += (size_t)sprintf(list + used, "%s%" PRIu64, i > 0 ? " " : "", body_element(field, body, i));
        return list;
    }
    if (field->kind == USHER_KIND_TEXT)
        return strdup(body + field->offset);
    if (field->kind == USHER_KIND_ENUM)
        return strdup(usher_enum_name(field->enumeration, body_unsigned(field, body)));
    if (field->kind > USHER_KIND_I64)
        return body_bytes_text(field, body);
    if (field->kind == USHER_KIND_I64)
        snprintf(text, sizeof text, "%" PRId64, body_signed(field, body));
    else if (ctl_is_moment(field->name))
        ctl_moment_format(body_unsigned(field, body), text);
    else if (is_duration(field->name))
        ctl_duration_format(body_unsigned(field, body), text);
    else
        snprintf(text, sizeof text, "%" PRIu64, body_unsigned(field, body));
    return strdup(text);
}

/* A field's name without its _ms: people see a moment or a duration, not milliseconds. */
static const char *
human_name(const usher_field *field, char text[40])
{
    size_t length = strlen(field->name);
    bool in_ms = length > 3 && strcmp(field->name + length - 3, "_ms") == 0;

    snprintf(text, 40, "%.*s", (int)(in_ms ? length - 3 : length), field->name);
    return text;
}

static bool
stands_right(const usher_field *field)
{
    return field->kind <= USHER_KIND_I64 && !ctl_is_moment(field->name);
}

/* Whether a number, UUID or key is something else than zeros; texts and lists always count as such. */
static bool
is_set(const usher_field *field, const char *body)
{
    static const char zeros[64];
    size_t size = field->kind == USHER_KIND_UUID  ? sizeof(usher_uuid)
                  : field->kind == USHER_KIND_KEY ? sizeof(usher_key)
                                                  : 0;

    if (size > 0)
        return memcmp(body + field->offset, zeros, size) != 0;
    return field->kind > USHER_KIND_I64 || body_unsigned(field, body) != 0;
}

/* Whether a column is worth its place: one with something else than zeros in some row. */
static bool
column_is_used(const usher_field *list, const char *items, uint16_t count, const usher_field *field)
{
    for (uint16_t i = 0; i < count; i++)
        if (is_set(field, items + i * list->item->struct_size))
            return true;
    return false;
}

/* A list of items as a table; columns that hold nothing are left out. */
static void
show_table(const usher_field *list, const char *body)
{
    const usher_layout *item = list->item;
    const char *items = body + list->offset;
    uint16_t count = body_count(list, body);
    char *text, name[40];

    if (count == 0) {
        printf("no %s\n", list->name);
        return;
    }
    size_t *width = calloc(item->field_count, sizeof *width);
    if (width == NULL)
        abort();
    for (size_t c = 0; c < item->field_count; c++) {
        if (!column_is_used(list, items, count, &item->fields[c]))
            continue;
        width[c] = strlen(human_name(&item->fields[c], name));
        for (uint16_t i = 0; i < count; i++) {
            text = value_text(&item->fields[c], items + i * item->struct_size);
            if (ctl_text_width(text) > width[c])
                width[c] = ctl_text_width(text);
            free(text);
        }
    }
    for (int row = -1; row < count; row++) {
        const char *gap = "";
        for (size_t c = 0; c < item->field_count; c++) {
            if (width[c] == 0)
                continue;
            text = row < 0 ? strdup(human_name(&item->fields[c], name))
                           : value_text(&item->fields[c], items + row * item->struct_size);
            printf("%s", gap);
            ctl_print_padded(text, c + 1 < item->field_count || stands_right(&item->fields[c]) ? width[c] : 0,
                             stands_right(&item->fields[c]));
            gap = "  ";
            free(text);
        }
        putchar('\n');
    }
    free(width);
}

void
ctl_show_body(const usher_layout *layout, const void *body)
{
    for (size_t i = 0; i < layout->field_count; i++) {
        const usher_field *field = &layout->fields[i];
        char *text, name[40];

        if (field->kind == USHER_KIND_ITEMS) {
            show_table(field, body);
            continue;
        }
        if (strcmp(field->name, "more") == 0)
            continue; /* the next page follows by itself */
        text = value_text(field, body);
        printf("%-20s %s\n", human_name(field, name), text);
        free(text);
    }
}

void
ctl_show_line(const usher_layout *layout, const void *body)
{
    for (size_t i = 0; i < layout->field_count; i++) {
        const usher_field *field = &layout->fields[i];
        char *text, name[40];

        if (i >= 3 && !is_set(field, body))
            continue;
        text = value_text(field, body);
        printf(i == 0 ? "%s%s" : i < 3 ? " %s%s" : "  %s %s", i < 3 ? "" : human_name(field, name), text);
        free(text);
    }
    putchar('\n');
}

/* What a refusal's detail counts. */
static const struct {
    usher_result result;
    const char *text;
} details[] = {
    {USHER_TOKEN_WAITING, "the rank is %"},      {USHER_SEAT_DUPLICATE, "it is %"},
    {USHER_SEATS_PER_REQUEST, "the limit is %"}, {USHER_SEAT_NOT_FOUND, "it is seat %"},
    {USHER_SEATS_PER_USER, "the limit is %"},    {USHER_HOLDS_PER_USER, "the limit is %"},
    {USHER_NOT_ENOUGH_SEATS, "% are free"},      {USHER_NOT_TOGETHER, "% are free"},
    {USHER_ALREADY_PAID, "by payment %"},        {USHER_AMOUNT_TOO_LARGE, "the limit is %"},
    {USHER_BALANCE_TOO_LARGE, "the limit is %"}, {USHER_NOT_ENOUGH_POINTS, "% points are missing"},
    {USHER_POLICY_RANGE, "the bound is %"},      {USHER_POLICY_CONFLICT, "with a policy of queue %"},
    {USHER_TOO_MANY, "the limit is %"},          {USHER_EVENTS_LOST, "the first one kept is %"},
    {USHER_EVENT_NOT_YET, "the last one is %"},  {USHER_WATCH_LIMIT, "the limit is %"},
};

static void
show_detail(usher_result result, uint64_t detail)
{
    for (size_t i = 0; i < sizeof details / sizeof *details; i++) {
        const char *hole = strchr(details[i].text, '%');
        if (details[i].result == result)
            fprintf(stderr, "  %.*s%" PRIu64 "%s\n", (int)(hole - details[i].text), details[i].text, detail, hole + 1);
    }
}

void
ctl_show_refusal(usher_result result, const usher_refusal *refusal)
{
    char text[32];

    if (refusal->detail != 0)
        show_detail(result, refusal->detail);
    if (refusal->retry_after_ms != 0)
        fprintf(stderr, "  try again in %s\n", ctl_duration_format(refusal->retry_after_ms, text));
    if (refusal->until_ms != 0)
        fprintf(stderr, "  until %s\n", ctl_moment_format(refusal->until_ms, text));
    for (uint16_t i = 0; i < refusal->conflict_count; i++) {
        const usher_conflict *conflict = &refusal->conflict[i];
        fprintf(stderr, "  seat %" PRIu32 ": %s", conflict->seat_no, usher_result_text(conflict->result));
        if (conflict->until_ms != 0)
            fprintf(stderr, ", until %s", ctl_moment_format(conflict->until_ms, text));
        fputc('\n', stderr);
    }
}
