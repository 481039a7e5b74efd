/* furnish.c: the catalogue and policies of the house that tasks are asked of. See target_usher.h. */
#include <stdio.h>

#include "bench/common/many.h"
#include "bench/common/target_usher.h"

#define ROW_SEATS  50u
#define SHOW_IN_MS (30 * USHER_TARGET_DAY_MS)

void
target_usher_plan(uint32_t seats, usher_put_plan_request *plan)
{
    *plan = (usher_put_plan_request){.plan_id = 1};
    if (seats >= ROW_SEATS)
        plan->section[plan->section_count++] = (usher_section){.name = "Hall",
                                                               .first_row = 1,
                                                               .row_count = (uint16_t)(seats / ROW_SEATS),
                                                               .seats_per_row = ROW_SEATS};
    if (seats % ROW_SEATS != 0)
        plan->section[plan->section_count++] = (usher_section){.name = "Hall",
                                                               .first_row = (uint16_t)(seats / ROW_SEATS + 1),
                                                               .row_count = 1,
                                                               .seats_per_row = (uint16_t)(seats % ROW_SEATS)};
}

/* --- policies ----------------------------------------------------------------------------------------- */
/* Everybody is admitted at once, and nothing runs out within a day. In the order in which they fit one another. */
static const struct {
    bool of_queue;
    uint32_t queue_id;
    const char *name;
    uint64_t value;
} policies[] = {
    {false, 0, "holds_per_user", 16},
    {false, 0, "seats_per_user", 65535},
    {false, 0, "charge_max", USHER_POINTS_MAX},
    {false, 0, "tick_max", 100000},
    {true, USHER_TARGET_OPEN, "admit_interval_ms", 10},
    {true, USHER_TARGET_OPEN, "admit_batch", 1000000},
    {true, USHER_TARGET_OPEN, "claim_ms", 0},
    {true, USHER_TARGET_OPEN, "active_total_ms", USHER_TARGET_DAY_MS},
    {true, USHER_TARGET_OPEN, "active_ms", USHER_TARGET_DAY_MS},
    {true, USHER_TARGET_LINE, "waiting_lease_ms", USHER_TARGET_DAY_MS},
};

static bool
set_policies(struct house *house, const struct target_sizes *sizes, char *why, size_t why_size)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        if (!house_set_policy(house, policies[i].of_queue, policies[i].queue_id, policies[i].name, policies[i].value,
                              why, why_size))
            return false;
    return house_set_policy(house, false, 0, "hold_ms", sizes->hold_ms, why, why_size);
}

static bool
put_queues(struct house *house, char *why, size_t why_size)
{
    usher_put_queue_request queue = {.queue_id = USHER_TARGET_LINE, .name = "Line"};
    usher_set_mode_request pause = {.queue_id = USHER_TARGET_LINE, .mode = USHER_QUEUE_PAUSED};
    usher_put_queue_reply queue_reply;
    usher_set_mode_reply pause_reply;

    return house_ask(house, USHER_OPCODE_PUT_QUEUE, &queue, &queue_reply, why, why_size) &&
           house_ask(house, USHER_OPCODE_SET_MODE, &pause, &pause_reply, why, why_size);
}

static bool
put_concert(struct house *house, uint32_t concert_id, uint32_t queue_id, char *why, size_t why_size)
{
    usher_put_concert_request concert = {.concert_id = concert_id, .queue_id = queue_id, .venue = "Hall"};
    usher_put_concert_reply reply;

    snprintf(concert.title, sizeof concert.title, "Concert %u", concert_id);
    return house_ask(house, USHER_OPCODE_PUT_CONCERT, &concert, &reply, why, why_size);
}

/* --- dates -------------------------------------------------------------------------------------------- */
static void
make_date(void *context, size_t at, void *opaque)
{
    usher_put_date_request *date = opaque;

    *date = *(const usher_put_date_request *)context;
    target_usher_date((uint32_t)at, &date->concert_id, &date->date_id);
}

bool
target_usher_furnish(struct house *house, const struct target_sizes *sizes, char *why, size_t why_size)
{
    usher_ping_request ping = {.echo = 1};
    usher_ping_reply ping_reply;
    usher_put_plan_request plan;
    usher_put_plan_reply plan_reply;
    usher_put_date_request date;
    usher_put_date_reply date_reply;
    uint32_t concerts = (sizes->dates - 1) / USHER_TARGET_DATES_EACH + 1;
    struct many dates = {.house = house,
                         .secret = &house->admin_key,
                         .opcode = USHER_OPCODE_PUT_DATE,
                         .count = sizes->dates,
                         .make = make_date,
                         .context = &date};

    target_usher_plan(sizes->seats, &plan);
    if (!house_ask(house, USHER_OPCODE_PING, &ping, &ping_reply, why, why_size) || !put_queues(house, why, why_size) ||
        !set_policies(house, sizes, why, why_size) ||
        !house_ask(house, USHER_OPCODE_PUT_PLAN, &plan, &plan_reply, why, why_size) ||
        !put_concert(house, USHER_TARGET_LINE_CONCERT, USHER_TARGET_LINE, why, why_size))
        return false;
    date = (usher_put_date_request){.plan_id = 1,
                                    .concert_id = USHER_TARGET_LINE_CONCERT,
                                    .date_id = 1,
                                    .starts_at_ms = usher_client_answer(house->admin)->stamp_ms + SHOW_IN_MS,
                                    .price_count = 1,
                                    .price = {(uint64_t)sizes->price}};
    if (!house_ask(house, USHER_OPCODE_PUT_DATE, &date, &date_reply, why, why_size))
        return false;
    for (uint32_t concert_id = 1; concert_id <= concerts; concert_id++)
        if (!put_concert(house, concert_id, USHER_TARGET_OPEN, why, why_size))
            return false;
    return many_ask(&dates, why, why_size);
}
