/* catalogue_load.c: make the server's catalogue what the file says.
 *
 * What is there is read first and compared, and only what differs is put: a second load sends nothing. What the file
 * does not name is left alone. Order: queues, policies, plans, concerts, dates; each needs those before it. */
#include "catalogue.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A policy as it is on the server. */
struct present_policy {
    char name[32];
    bool of_queue;
    uint32_t queue_id;
    uint64_t value;
};

struct loading {
    struct ctl *ctl;
    struct catalogue *catalogue;
    usher_queue_row *queue; /* what the server has */
    struct present_policy *policy;
    size_t queue_count, policy_count;
    unsigned made, changed, unchanged;
};

/* --- what the server has ------------------------------------------------------------------------------ */
static enum ctl_code
read_queues(struct loading *loading)
{
    usher_queues_request request = {.first_page = USHER_FLAG_YES};
    usher_queues_reply reply;

    do {
        enum ctl_code code = ctl_call(loading->ctl, USHER_OPCODE_QUEUES, &request, &reply);
        if (code != CTL_OK)
            return code;
        for (uint16_t i = 0; i < reply.queue_count; i++) {
            loading->queue = catalogue_grow(loading->queue, &loading->queue_count, sizeof *loading->queue);
            loading->queue[loading->queue_count - 1] = reply.queue[i];
            request.after_queue_id = reply.queue[i].queue_id;
        }
        request.first_page = USHER_FLAG_NO;
    } while (reply.more);
    return CTL_OK;
}

static enum ctl_code
read_policies(struct loading *loading, bool of_queue, uint32_t queue_id)
{
    usher_policies_request request = {.of_queue = of_queue, .queue_id = queue_id};
    usher_policies_reply reply;
    enum ctl_code code = ctl_call(loading->ctl, USHER_OPCODE_POLICIES, &request, &reply);

    for (uint16_t i = 0; code == CTL_OK && i < reply.policy_count; i++) {
        struct present_policy *policy;
        loading->policy = catalogue_grow(loading->policy, &loading->policy_count, sizeof *loading->policy);
        policy = &loading->policy[loading->policy_count - 1];
        *policy = (struct present_policy){.of_queue = of_queue, .queue_id = queue_id, .value = reply.policy[i].value};
        memcpy(policy->name, reply.policy[i].name, sizeof policy->name);
    }
    return code;
}

static enum ctl_code
read_all_policies(struct loading *loading)
{
    enum ctl_code code = read_policies(loading, false, 0);

    for (size_t i = 0; code == CTL_OK && i < loading->queue_count; i++)
        code = read_policies(loading, true, loading->queue[i].queue_id);
    return code;
}

static const usher_queue_row *
present_queue(const struct loading *loading, uint32_t queue_id)
{
    for (size_t i = 0; i < loading->queue_count; i++)
        if (loading->queue[i].queue_id == queue_id)
            return &loading->queue[i];
    return NULL;
}

/* The policy's value on the server, or what a queue that is made now begins with. */
static uint64_t
present_value(const struct loading *loading, const usher_policy_rule *rule, uint32_t queue_id)
{
    for (size_t i = 0; i < loading->policy_count; i++) {
        const struct present_policy *policy = &loading->policy[i];
        if (policy->of_queue == rule->of_queue && policy->queue_id == queue_id && strcmp(policy->name, rule->name) == 0)
            return policy->value;
    }
    return rule->usual;
}

/* --- telling and putting ------------------------------------------------------------------------------ */
__attribute__((format(printf, 3, 4))) static void
tell(struct loading *loading, bool created, const char *format, ...)
{
    va_list arguments;

    loading->made += created;
    loading->changed += !created;
    if (loading->ctl->json)
        return;
    printf("%s ", created ? "made" : "changed");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

/* Send one change; a refusal is told with the line that asked for it. */
static enum ctl_code
put(struct loading *loading, unsigned line, uint16_t opcode, const void *request, void *reply)
{
    enum ctl_code code = ctl_call_quietly(loading->ctl, opcode, request, reply);

    if (code == CTL_OK)
        return CTL_OK;
    fprintf(stderr, "%s:%u: %s\n", loading->catalogue->file, line, usher_client_error(loading->ctl->client));
    ctl_complain(loading->ctl, opcode);
    return code;
}

/* --- queues and policies ------------------------------------------------------------------------------ */
static enum ctl_code
put_queues(struct loading *loading)
{
    for (size_t i = 0; i < loading->catalogue->queue_count; i++) {
        const struct catalogue_queue *queue = &loading->catalogue->queue[i];
        const usher_queue_row *present = present_queue(loading, queue->put.queue_id);
        usher_put_queue_reply reply;
        enum ctl_code code;

        if (present != NULL && strcmp(present->name, queue->put.name) == 0) {
            loading->unchanged++;
            continue;
        }
        code = put(loading, queue->line, USHER_OPCODE_PUT_QUEUE, &queue->put, &reply);
        if (code != CTL_OK)
            return code;
        tell(loading, present == NULL, "queue %" PRIu32 ": %s", queue->put.queue_id, queue->put.name);
    }
    return CTL_OK;
}

/* Whether the server's value is to be replaced. A moment relative to now is settled when its queue is made. */
static bool
policy_differs(const struct loading *loading, const struct catalogue_policy *policy)
{
    if (policy->relative && present_queue(loading, policy->queue_id) != NULL)
        return false;
    return present_value(loading, policy->rule, policy->queue_id) != policy->value;
}

/* Two policies may only be changed in one order; so those that contradict the present ones come again after the rest,
 * as long as a round achieves anything. */
static enum ctl_code
put_policies(struct loading *loading)
{
    struct catalogue *catalogue = loading->catalogue;
    size_t left = catalogue->policy_count, done = 0;
    bool *settled = calloc(left + 1, sizeof *settled);
    enum ctl_code code = CTL_OK;
    bool patient = true;

    if (settled == NULL)
        abort();
    while (code == CTL_OK && left > 0) {
        for (size_t i = done = 0; i < catalogue->policy_count && code == CTL_OK; i++) {
            const struct catalogue_policy *policy = &catalogue->policy[i];
            usher_set_policy_request request = {
                .of_queue = policy->rule->of_queue, .queue_id = policy->queue_id, .value = policy->value};
            usher_set_policy_reply reply;

            if (settled[i])
                continue;
            settled[i] = true;
            if (!policy_differs(loading, policy)) {
                loading->unchanged++;
                done++;
                continue;
            }
            snprintf(request.name, sizeof request.name, "%s", policy->rule->name);
            code = patient ? ctl_call_quietly(loading->ctl, USHER_OPCODE_SET_POLICY, &request, &reply)
                           : put(loading, policy->line, USHER_OPCODE_SET_POLICY, &request, &reply);
            if (code == CTL_REFUSED && patient) {
                settled[i] = false;
                code = CTL_OK;
            } else if (code == CTL_OK) {
                done++;
                tell(loading, false, "policy %s to %" PRIu64, policy->rule->name, policy->value);
            }
        }
        left -= done;
        patient = done > 0;
    }
    free(settled);
    return code;
}

/* The value that a policy will have after the load. */
static uint64_t
wanted_value(const struct loading *loading, const char *name, bool of_queue, uint32_t queue_id, unsigned *line)
{
    const struct catalogue *catalogue = loading->catalogue;
    size_t count;
    const usher_policy_rule *rules = usher_policy_rules(&count);

    for (size_t i = 0; i < catalogue->policy_count; i++) {
        const struct catalogue_policy *policy = &catalogue->policy[i];
        if (policy->rule->of_queue == of_queue && policy->queue_id == queue_id &&
            strcmp(policy->rule->name, name) == 0) {
            *line = policy->line;
            return policy->value;
        }
    }
    for (size_t i = 0; i < count; i++)
        if (rules[i].of_queue == of_queue && strcmp(rules[i].name, name) == 0)
            return present_value(loading, &rules[i], queue_id);
    return 0;
}

/* The constraints between policies (Q6, Q7), on the values after the load: here, so that nothing is half done. */
static void
check_constraints(struct loading *loading, uint32_t queue_id)
{
    unsigned line = 0;
    uint64_t poll_ms = wanted_value(loading, "poll_ms_max", false, 0, &line);
    uint64_t lease_ms = wanted_value(loading, "waiting_lease_ms", true, queue_id, &line);

    if (line != 0 && poll_ms + poll_ms / 4 >= lease_ms / 2)
        catalogue_mistake_at(loading->catalogue, line,
                             "queue %" PRIu32 ": poll_ms_max %" PRIu64 " and a quarter of it is not below half of "
                             "waiting_lease_ms %" PRIu64,
                             queue_id, poll_ms, lease_ms);
    line = 0;
    uint64_t active_ms = wanted_value(loading, "active_ms", true, queue_id, &line);
    uint64_t total_ms = wanted_value(loading, "active_total_ms", true, queue_id, &line);
    if (line != 0 && active_ms > total_ms)
        catalogue_mistake_at(loading->catalogue, line,
                             "queue %" PRIu32 ": active_ms %" PRIu64 " is above active_total_ms %" PRIu64, queue_id,
                             active_ms, total_ms);
}

static void
check_all_constraints(struct loading *loading)
{
    for (size_t i = 0; i < loading->catalogue->queue_count; i++)
        check_constraints(loading, loading->catalogue->queue[i].put.queue_id);
    for (size_t i = 0; i < loading->queue_count; i++) {
        bool named = false;
        for (size_t k = 0; k < loading->catalogue->queue_count; k++)
            named = named || loading->catalogue->queue[k].put.queue_id == loading->queue[i].queue_id;
        if (!named)
            check_constraints(loading, loading->queue[i].queue_id);
    }
}

/* --- plans -------------------------------------------------------------------------------------------- */
static bool
sections_are_equal(const usher_put_plan_request *put, const usher_plans_reply *present)
{
    if (put->section_count != present->section_count)
        return false;
    for (uint16_t i = 0; i < put->section_count; i++) {
        const usher_section *a = &put->section[i], *b = &present->section[i];
        if (strcmp(a->name, b->name) != 0 || a->first_row != b->first_row || a->row_count != b->row_count ||
            a->seats_per_row != b->seats_per_row || a->grade != b->grade)
            return false;
    }
    return true;
}

static enum ctl_code
put_plans(struct loading *loading)
{
    for (size_t i = 0; i < loading->catalogue->plan_count; i++) {
        const struct catalogue_plan *plan = &loading->catalogue->plan[i];
        const usher_plans_request ask = {.plan_id = plan->put.plan_id};
        usher_plans_reply present;
        usher_put_plan_reply reply;
        enum ctl_code code = ctl_call_quietly(loading->ctl, USHER_OPCODE_PLANS, &ask, &present);

        if (code == CTL_OK && sections_are_equal(&plan->put, &present)) {
            loading->unchanged++;
            continue;
        }
        if (code != CTL_OK && usher_client_answer(loading->ctl->client)->result != USHER_PLAN_NOT_FOUND) {
            ctl_complain(loading->ctl, USHER_OPCODE_PLANS);
            return code;
        }
        code = put(loading, plan->line, USHER_OPCODE_PUT_PLAN, &plan->put, &reply);
        if (code != CTL_OK)
            return code;
        tell(loading, reply.created, "plan %" PRIu32 " with %" PRIu32 " seats", plan->put.plan_id, reply.seat_count);
    }
    return CTL_OK;
}

/* --- concerts ----------------------------------------------------------------------------------------- */
/* The server's row of a concert: a page that begins right before it. */
static enum ctl_code
present_concert(struct loading *loading, uint32_t concert_id, usher_concert_row *row, bool *found)
{
    const usher_concerts_request request = {.after_concert_id = concert_id - 1};
    usher_concerts_reply reply;
    enum ctl_code code = ctl_call(loading->ctl, USHER_OPCODE_CONCERTS, &request, &reply);

    *found = code == CTL_OK && reply.concert_count > 0 && reply.concert[0].concert_id == concert_id;
    if (*found)
        *row = reply.concert[0];
    return code;
}

static enum ctl_code
put_concerts(struct loading *loading)
{
    for (size_t i = 0; i < loading->catalogue->concert_count; i++) {
        const usher_put_concert_request *want = &loading->catalogue->concert[i].put;
        usher_put_concert_reply reply;
        usher_concert_row row;
        bool found;
        enum ctl_code code = present_concert(loading, want->concert_id, &row, &found);

        if (code != CTL_OK)
            return code;
        if (found && row.queue_id == want->queue_id && strcmp(row.title, want->title) == 0 &&
            strcmp(row.venue, want->venue) == 0) {
            loading->unchanged++;
            continue;
        }
        code = put(loading, loading->catalogue->concert[i].line, USHER_OPCODE_PUT_CONCERT, want, &reply);
        if (code != CTL_OK)
            return code;
        tell(loading, reply.created, "concert %" PRIu32 ": %s", want->concert_id, want->title);
    }
    return CTL_OK;
}

/* --- dates -------------------------------------------------------------------------------------------- */
static enum ctl_code
present_date(struct loading *loading, const usher_put_date_request *want, usher_date_row *row, usher_plan_reply *plan,
             bool *found)
{
    const usher_dates_request ask = {
        .concert_id = want->concert_id, .after_date_id = want->date_id - 1, .all = USHER_FLAG_YES};
    const usher_plan_request ask_plan = {.concert_id = want->concert_id, .date_id = want->date_id};
    usher_dates_reply dates;
    enum ctl_code code = ctl_call(loading->ctl, USHER_OPCODE_DATES, &ask, &dates);

    *found = code == CTL_OK && dates.date_count > 0 && dates.date[0].date_id == want->date_id;
    if (!*found)
        return code;
    *row = dates.date[0];
    return ctl_call(loading->ctl, USHER_OPCODE_PLAN, &ask_plan, plan);
}

static bool
prices_are_equal(const usher_put_date_request *want, const usher_plan_reply *plan)
{
    for (uint16_t i = 0; i < plan->price_count; i++)
        if (plan->price[i] != (i < want->price_count ? want->price[i] : UINT64_MAX))
            return false;
    return true;
}

static bool
date_is_equal(const usher_put_date_request *want, const usher_date_row *row, const usher_plan_reply *plan)
{
    return want->plan_id == plan->plan_id && want->starts_at_ms == row->starts_at_ms &&
           want->opens_at_ms == row->opens_at_ms && want->closes_at_ms == row->closes_at_ms &&
           want->refund_until_ms == row->refund_until_ms && prices_are_equal(want, plan);
}

/* Moments relative to now were settled when the date was made; they stay. */
static void
keep_settled_moments(struct catalogue_date *date, const usher_date_row *row)
{
    if (date->relative & CATALOGUE_STARTS_RELATIVE)
        date->put.starts_at_ms = row->starts_at_ms;
    if (date->relative & CATALOGUE_OPENS_RELATIVE)
        date->put.opens_at_ms = row->opens_at_ms;
    if (date->relative & CATALOGUE_CLOSES_RELATIVE)
        date->put.closes_at_ms = row->closes_at_ms;
}

static enum ctl_code
put_dates(struct loading *loading)
{
    for (size_t i = 0; i < loading->catalogue->date_count; i++) {
        struct catalogue_date *date = &loading->catalogue->date[i];
        usher_put_date_reply reply;
        usher_plan_reply plan;
        usher_date_row row;
        char when[32];
        bool found;
        enum ctl_code code = present_date(loading, &date->put, &row, &plan, &found);

        if (code != CTL_OK)
            return code;
        if (found)
            keep_settled_moments(date, &row);
        if (found && date_is_equal(&date->put, &row, &plan)) {
            loading->unchanged++;
            continue;
        }
        code = put(loading, date->line, USHER_OPCODE_PUT_DATE, &date->put, &reply);
        if (code != CTL_OK)
            return code;
        tell(loading, reply.created, "date %" PRIu32 " of concert %" PRIu32 " at %s, %" PRIu32 " seats",
             date->put.date_id, date->put.concert_id, ctl_moment_format(date->put.starts_at_ms, when),
             reply.seat_count);
    }
    return CTL_OK;
}

/* --- all ---------------------------------------------------------------------------------------------- */
enum ctl_code
catalogue_load(struct ctl *ctl, struct catalogue *catalogue)
{
    static enum ctl_code (*const steps[])(struct loading *) = {put_queues, put_policies, put_plans, put_concerts,
                                                               put_dates};
    struct loading loading = {.ctl = ctl, .catalogue = catalogue};
    enum ctl_code code = read_queues(&loading);

    if (code == CTL_OK)
        code = read_all_policies(&loading);
    if (code == CTL_OK)
        check_all_constraints(&loading);
    for (size_t i = 0; code == CTL_OK && catalogue->mistake_count == 0 && i < sizeof steps / sizeof *steps; i++)
        code = steps[i](&loading);
    if (code == CTL_OK && catalogue->mistake_count == 0) {
        if (ctl->json)
            ctl_print_json(json_pack("{s:s, s:i, s:i, s:i}", "file", catalogue->file, "made", (int)loading.made,
                                     "changed", (int)loading.changed, "unchanged", (int)loading.unchanged));
        else
            printf("%s is loaded: %u made, %u changed, %u unchanged\n", catalogue->file, loading.made, loading.changed,
                   loading.unchanged);
    }
    free(loading.queue);
    free(loading.policy);
    return code;
}
