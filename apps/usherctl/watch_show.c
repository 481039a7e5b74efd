/* watch_show.c: what a subscription tells, for people and for programs.
 *
 * For programs each thing that is told is a line, one JSON object: "kind" is started, push or ended, "body" the struct
 * of the reply or push by its fields. For people events and changes of seats are a line each as well. */
#include "ctl.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ctl_watch_show {
    const struct ctl *ctl;
    const usher_message *message;
    uint64_t *free; /* the seats that were shown, a bit for each that is free */
    uint32_t block_count;
};

struct ctl_watch_show *
ctl_watch_show_open(const struct ctl *ctl, const usher_message *message)
{
    struct ctl_watch_show *show = calloc(1, sizeof *show);

    if (show == NULL)
        abort();
    show->ctl = ctl;
    show->message = message;
    return show;
}

void
ctl_watch_show_close(struct ctl_watch_show *show)
{
    free(show->free);
    free(show);
}

/* --- for programs ------------------------------------------------------------------------------------- */
static json_t *
json_line(const char *kind, const char *name, const usher_watch_event *event)
{
    json_t *object = json_object();

    json_object_set_new(object, "kind", json_string(kind));
    json_object_set_new(object, "name", json_string(name));
    json_object_set_new(object, "stamp_ms", json_integer((json_int_t)event->stamp_ms));
    return object;
}

static void
print_line(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);

    if (text == NULL)
        abort();
    puts(text);
    free(text);
    json_decref(object);
}

/* --- places ------------------------------------------------------------------------------------------- */
/* Reply and push have the fields of PLACE. */
static void
show_place(uint32_t queue_id, uint8_t state, uint8_t sale, uint64_t position, uint64_t rank, uint64_t estimate_ms,
           uint64_t until_ms)
{
    const usher_place_reply place = {.queue_id = queue_id,
                                     .state = state,
                                     .sale = sale,
                                     .position = position,
                                     .rank = rank,
                                     .estimate_ms = estimate_ms,
                                     .until_ms = until_ms};

    ctl_show_place(&place);
}

/* --- seats -------------------------------------------------------------------------------------------- */
static void
show_numbers(const char *word, uint32_t block, uint64_t bits)
{
    if (bits == 0)
        return;
    printf("  %s", word);
    for (unsigned bit = 0; bit < 64; bit++)
        if ((bits >> bit & 1) != 0)
            printf(" %" PRIu32, block * 64 + bit + 1);
}

/* A part of a snapshot; the last one tells the sum. */
static void
show_seats(struct ctl_watch_show *show, const usher_seats_push *push)
{
    uint64_t count = 0;

    if (push->block_count != show->block_count) {
        free(show->free);
        show->free = calloc(push->block_count + 1u, sizeof *show->free);
        if (show->free == NULL)
            abort();
        show->block_count = push->block_count;
    }
    for (uint32_t i = 0; i < push->free_block_count && push->first_block + i < show->block_count; i++)
        show->free[push->first_block + i] = push->free_block[i];
    if (push->first_block + push->free_block_count < push->block_count)
        return;
    for (uint32_t block = 0; block < show->block_count; block++)
        count += (uint64_t)__builtin_popcountll(show->free[block]);
    printf("concert %" PRIu32 ", date %" PRIu32 ": %" PRIu64 " of %" PRIu32 " seats are free\n", push->concert_id,
           push->date_id, count, push->seat_count);
}

static void
show_seat_changes(struct ctl_watch_show *show, const usher_seat_changes_push *push, uint64_t stamp_ms)
{
    char text[32];

    printf("%s", ctl_moment_format(stamp_ms, text));
    for (uint16_t i = 0; i < push->block_count; i++) {
        const usher_block_change *change = &push->block[i];
        if (change->block >= show->block_count)
            continue;
        show_numbers("taken", change->block, show->free[change->block] & ~change->free);
        show_numbers("free", change->block, change->free & ~show->free[change->block]);
        show->free[change->block] = change->free;
    }
    putchar('\n');
}

/* --- all of them -------------------------------------------------------------------------------------- */
void
ctl_watch_show_start(struct ctl_watch_show *show, const usher_watch_event *event)
{
    const usher_watch_place_reply *place = event->body;

    if (show->ctl->json) {
        json_t *line = json_line("started", show->message->name, event);
        json_object_set_new(line, "body", ctl_json_body(show->message->reply, event->body));
        print_line(line);
    } else if (show->message->opcode == USHER_OPCODE_WATCH_PLACE) {
        show_place(place->queue_id, place->state, place->sale, place->position, place->rank, place->estimate_ms,
                   place->until_ms);
    }
}

void
ctl_watch_show_push(struct ctl_watch_show *show, const usher_watch_event *event)
{
    const usher_push *push = usher_push_of(event->opcode);
    const usher_place_push *place = event->body;
    const usher_events_push *page = event->body;

    if (show->ctl->json) {
        json_t *line = json_line("push", push->name, event);
        json_object_set_new(line, "body", ctl_json_body(push->body, event->body));
        print_line(line);
        return;
    }
    switch (event->opcode) {
    case USHER_PUSH_PLACE:
        show_place(place->queue_id, place->state, place->sale, place->position, place->rank, place->estimate_ms,
                   place->until_ms);
        break;
    case USHER_PUSH_SEATS:
        show_seats(show, event->body);
        break;
    case USHER_PUSH_SEAT_CHANGES:
        show_seat_changes(show, event->body, event->stamp_ms);
        break;
    case USHER_PUSH_EVENTS:
        for (uint16_t i = 0; i < page->event_count; i++)
            ctl_show_line(push->body->fields[2].item, &page->event[i]);
        break;
    default:
        break; /* of a newer server */
    }
}

void
ctl_watch_show_end(struct ctl_watch_show *show, const usher_watch_event *event)
{
    if (show->ctl->json) {
        json_t *line = json_line("ended", show->message->name, event);
        json_object_set_new(line, "result", json_string(usher_result_name(event->result)));
        json_object_set_new(line, "refusal", ctl_json_body(usher_refusal_layout(), event->refusal));
        print_line(line);
    }
}
