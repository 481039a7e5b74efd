/* policy.c: the numbers that an admin may set while the house runs; rows in policies.def. */
#include "server/core/internal.h"

struct policy {
    const char *name;
    uint64_t usual, least, most;
    const char *unit;
};

static const struct policy house_policies[] = {
#define HOUSE_(...) {__VA_ARGS__},
#define QUEUE_(...)
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(#name, usual, least, most, unit)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
};
static const struct policy queue_policies[] = {
#define HOUSE_(...)
#define QUEUE_(...) {__VA_ARGS__},
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(#name, usual, least, most, unit)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
};

uint64_t
queue_policy(const struct queue_record *queue, enum queue_policy policy)
{
    return queue->policy[policy];
}

/* The constraints between policies: Q6 and Q7. */
static bool
is_consistent(const uint64_t *house, const uint64_t *queue)
{
    uint64_t longest_poll_ms = house[HOUSE_POLICY_poll_ms_max] + house[HOUSE_POLICY_poll_ms_max] / 4;

    return longest_poll_ms < queue[QUEUE_POLICY_waiting_lease_ms] / 2 &&
           house[HOUSE_POLICY_poll_ms_min] <= house[HOUSE_POLICY_poll_ms_max] &&
           queue[QUEUE_POLICY_active_ms] <= queue[QUEUE_POLICY_active_total_ms];
}

bool
queue_fits(const struct core *core, const struct queue_record *queue)
{
    return is_consistent(core->house->policy, queue->policy);
}

static const struct policy *
find(const struct policy *policies, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(policies[i].name, name) == 0)
            return &policies[i];
    return NULL;
}

static usher_result
check_range(struct core *core, const struct policy *policy, uint64_t value)
{
    if (value < policy->least)
        return core_refuse_detail(core, USHER_POLICY_RANGE, policy->least);
    return value > policy->most ? core_refuse_detail(core, USHER_POLICY_RANGE, policy->most) : USHER_OK;
}

static usher_result
set_of_house(struct core *core, const usher_set_policy_request *ask, uint64_t *before)
{
    const struct policy *policy = find(house_policies, HOUSE_POLICY_COUNT, ask->name);
    if (policy == NULL)
        return USHER_POLICY_NOT_FOUND;
    usher_result result = check_range(core, policy, ask->value);
    if (result != USHER_OK)
        return result;
    size_t index = (size_t)(policy - house_policies);
    uint64_t wanted[HOUSE_POLICY_ROOM];
    memcpy(wanted, core->house->policy, sizeof wanted);
    wanted[index] = ask->value;
    for (uint64_t queue_no = store_first_queue(core->store); queue_no != 0;) {
        const struct queue_record *queue = store_see_queue(core->store, queue_no);
        if (!is_consistent(wanted, queue->policy))
            return core_refuse_detail(core, USHER_POLICY_CONFLICT, queue->queue_id);
        queue_no = store_next_queue(core->store, queue->queue_id);
    }
    *before = core->house->policy[index];
    core_house(core)->policy[index] = ask->value;
    core_emit(core, USHER_EVENT_POLICY_CHANGED, 0, (struct event_row){0});
    return USHER_OK;
}

static usher_result
set_of_queue(struct core *core, const usher_set_policy_request *ask, uint64_t *before)
{
    struct queue_record queue;
    uint64_t queue_no = store_find_queue(core->store, ask->queue_id);
    if (queue_no == 0)
        return USHER_QUEUE_NOT_FOUND;
    const struct policy *policy = find(queue_policies, QUEUE_POLICY_COUNT, ask->name);
    if (policy == NULL)
        return USHER_POLICY_NOT_FOUND;
    usher_result result = check_range(core, policy, ask->value);
    if (result != USHER_OK)
        return result;
    store_get_queue(core->store, queue_no, &queue);
    size_t index = (size_t)(policy - queue_policies);
    *before = queue.policy[index];
    queue.policy[index] = ask->value;
    if (!queue_fits(core, &queue))
        return core_refuse_detail(core, USHER_POLICY_CONFLICT, ask->queue_id);
    store_put_queue(core->store, &queue);
    core_emit(core, USHER_EVENT_QUEUE_CHANGED, 0, (struct event_row){.queue_id = ask->queue_id});
    queue_admit(core, queue_no, CORE_COMMAND_ADMITS); /* a wider door lets people in at once */
    return USHER_OK;
}

usher_result
core_set_policy(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_set_policy_request *ask = body;
    usher_set_policy_reply *reply = out;

    (void)request;
    return ask->of_queue ? set_of_queue(core, ask, &reply->before) : set_of_house(core, ask, &reply->before);
}

usher_result
core_policies(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_policies_request *ask = body;
    usher_policies_reply *reply = out;
    const struct policy *policies = ask->of_queue ? queue_policies : house_policies;
    size_t count = ask->of_queue ? QUEUE_POLICY_COUNT : HOUSE_POLICY_COUNT;
    const uint64_t *value = core->house->policy;

    (void)request;
    if (ask->of_queue) {
        uint64_t queue_no = store_find_queue(core->store, ask->queue_id);
        if (queue_no == 0)
            return USHER_QUEUE_NOT_FOUND;
        value = store_see_queue(core->store, queue_no)->policy;
    }
    for (size_t i = 0; i < count; i++) {
        usher_policy_row *row = &reply->policy[reply->policy_count++];
        strncpy(row->name, policies[i].name, sizeof row->name - 1);
        strncpy(row->unit, policies[i].unit, sizeof row->unit - 1);
        row->value = value[i];
        row->usual = policies[i].usual;
        row->least = policies[i].least;
        row->most = policies[i].most;
    }
    return USHER_OK;
}
