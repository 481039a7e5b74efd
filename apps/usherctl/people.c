/* people.c: the replies that people read most, as sentences and as a map of seats. */
#include "ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- places in a queue -------------------------------------------------------------------------------- */
static const char *
enum_text(const char *name, unsigned value)
{
    size_t count;
    const usher_enum *const *enums = usher_enums(&count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(enums[i]->name, name) == 0)
            for (size_t k = 0; k < enums[i]->value_count; k++)
                if (enums[i]->values[k].value == value)
                    return enums[i]->values[k].text;
    return "?";
}

void
ctl_show_place(const usher_place_reply *place)
{
    char text[32];

    printf("queue %" PRIu32 ", place %" PRIu64 ": %s", place->queue_id, place->position,
           enum_text("place_state", place->state));
    if (place->state == USHER_PLACE_WAITING) {
        printf("; rank %" PRIu64 ", ", place->rank);
        if (place->estimate_ms == USHER_UNKNOWN_MS)
            printf("nobody can say yet how long");
        else
            printf("about %s to go", ctl_duration_format(place->estimate_ms, text));
        printf("; %s", enum_text("sale", place->sale));
        if (place->next_poll_ms != 0) /* else it is told by itself */
            printf("; ask again in %s", ctl_duration_format(place->next_poll_ms, text));
        putchar('\n');
    } else if (place->until_ms != 0) {
        printf(" until %s\n", ctl_moment_format(place->until_ms, text));
    } else {
        putchar('\n');
    }
}

static enum ctl_code
show_place(struct ctl *ctl, const void *request, const void *reply)
{
    (void)ctl;
    (void)request;
    ctl_show_place(reply);
    return CTL_OK;
}

static enum ctl_code
show_join(struct ctl *ctl, const void *request, const void *reply)
{
    const usher_join_reply *joined = reply;
    usher_place_reply place = {.queue_id = joined->queue_id,
                               .state = joined->state,
                               .sale = joined->sale,
                               .position = joined->position,
                               .rank = joined->rank,
                               .estimate_ms = joined->estimate_ms,
                               .next_poll_ms = joined->next_poll_ms,
                               .until_ms = joined->until_ms};
    char token[1024];

    (void)ctl;
    (void)request;
    ctl_show_place(&place);
    usher_base64_format(joined->token, joined->token_count, token, sizeof token);
    printf("token %s\n", token);
    return CTL_OK;
}

/* --- the map of seats --------------------------------------------------------------------------------- */
/* Rows up to this many seats show the numbers of free ones, longer ones a sign each. */
#define MAP_NUMBERED_MOST 20

static void
show_row(const usher_section *section, unsigned row, uint32_t first_seat, const uint8_t *is_free)
{
    bool numbered = section->seats_per_row <= MAP_NUMBERED_MOST;

    printf("  row %3u", section->first_row + row);
    if (!numbered)
        printf(" from %5" PRIu32 " ", first_seat);
    for (uint32_t i = 0; i < section->seats_per_row; i++) {
        if (!numbered)
            putchar(is_free[first_seat + i] ? 'o' : '.');
        else if (is_free[first_seat + i])
            printf(" %5" PRIu32, first_seat + i);
        else
            printf("     .");
    }
    putchar('\n');
}

static void
show_map(const usher_plan_reply *plan, const uint8_t *is_free)
{
    uint32_t seat = 1;
    bool long_rows = false;

    for (uint16_t s = 0; s < plan->section_count; s++) {
        const usher_section *section = &plan->section[s];
        printf("%s, %" PRIu64 " a seat (grade %u)\n", section->name, plan->price[section->grade], section->grade);
        for (unsigned row = 0; row < section->row_count; row++, seat += section->seats_per_row)
            show_row(section, row, seat, is_free);
        long_rows = long_rows || section->seats_per_row > MAP_NUMBERED_MOST;
    }
    printf(long_rows ? "o free  . taken; a row's first seat has the number in front of it\n"
                     : "a number is a free seat, . one that is taken\n");
}

/* Read the free seats from the first block of this reply on into an array; the pages behind it are asked for. */
static enum ctl_code
gather_seats(struct ctl *ctl, const usher_seats_request *asked, const usher_seats_reply *first, uint8_t *is_free,
             uint32_t *free_count)
{
    usher_seats_request request = *asked;
    usher_seats_reply seats = *first;
    uint32_t blocks = (first->seat_count + 63) / 64;

    for (;;) {
        *free_count += seats.free_count;
        for (uint32_t seat = seats.first_block * 64 + 1;
             seat <= seats.seat_count && seat <= (seats.first_block + seats.free_block_count) * 64; seat++)
            is_free[seat] = (uint8_t)usher_seat_is_free(&seats, seat);
        request.first_block = seats.first_block + seats.free_block_count;
        if (request.first_block >= blocks || seats.free_block_count == 0)
            return CTL_OK;
        enum ctl_code code = ctl_call(ctl, USHER_OPCODE_SEATS, &request, &seats);
        if (code != CTL_OK)
            return code;
    }
}

static enum ctl_code
show_seats(struct ctl *ctl, const void *request, const void *reply)
{
    const usher_seats_reply *seats = reply;
    usher_plan_request ask = {.concert_id = seats->concert_id, .date_id = seats->date_id};
    usher_plan_reply plan;
    uint8_t *is_free = calloc(seats->seat_count + 1u, 1);
    uint32_t free_count = 0;
    enum ctl_code code;

    if (is_free == NULL)
        abort();
    code = gather_seats(ctl, request, seats, is_free, &free_count);
    if (code == CTL_OK)
        code = ctl_call(ctl, USHER_OPCODE_PLAN, &ask, &plan);
    if (code == CTL_OK) {
        printf("concert %" PRIu32 ", date %" PRIu32 ": %" PRIu32 " of %" PRIu32 " seats are free\n", seats->concert_id,
               seats->date_id, free_count, seats->seat_count);
        if (plan.seat_count == seats->seat_count)
            show_map(&plan, is_free);
    }
    free(is_free);
    return code;
}

/* --- others ------------------------------------------------------------------------------------------- */
static enum ctl_code
show_ping(struct ctl *ctl, const void *request, const void *reply)
{
    const usher_key *key = usher_client_server_key(ctl->client);
    size_t count;
    const usher_enum *const *enums = usher_enums(&count);
    const char *role = "?";
    char text[2 * sizeof key->bytes + 1];

    (void)request;
    (void)reply;
    for (size_t i = 0; i < count; i++)
        if (strcmp(enums[i]->name, "role") == 0)
            role = usher_enum_name(enums[i], usher_client_role(ctl->client));
    usher_hex_format(key->bytes, sizeof key->bytes, text);
    printf("%s answers; this is client %" PRIu32 " \"%s\", %s\nservice key %s\n", usher_client_address(ctl->client),
           usher_client_number(ctl->client), usher_client_name(ctl->client), role, text);
    return CTL_OK;
}

static enum ctl_code
show_lookup(struct ctl *ctl, const void *request, const void *reply)
{
    const usher_lookup_reply *found = reply;
    const usher_message *message = usher_message_of(found->opcode);
    usher_refusal refusal;
    void *body;
    char text[32];

    (void)ctl;
    (void)request;
    if (message == NULL) {
        ctl_show_body(usher_message_of(USHER_OPCODE_LOOKUP)->reply, reply);
        return CTL_OK;
    }
    body = calloc(1, message->reply->struct_size);
    if (body == NULL)
        abort();
    printf("%s at %s: %s: %s\n", message->name, ctl_moment_format(found->at_ms, text), usher_result_name(found->result),
           usher_result_text(found->result));
    if (usher_lookup_read(found, body, &refusal) && found->result == USHER_OK)
        ctl_show_body(message->reply, body);
    free(body);
    return CTL_OK;
}

static const struct {
    uint16_t opcode;
    ctl_show *show;
} shows[] = {
    {USHER_OPCODE_JOIN, show_join}, {USHER_OPCODE_PLACE, show_place},   {USHER_OPCODE_SEATS, show_seats},
    {USHER_OPCODE_PING, show_ping}, {USHER_OPCODE_LOOKUP, show_lookup},
};

ctl_show *
ctl_show_of(uint16_t opcode)
{
    for (size_t i = 0; i < sizeof shows / sizeof *shows; i++)
        if (shows[i].opcode == opcode)
            return shows[i].show;
    return NULL;
}
