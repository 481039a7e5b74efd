/* catalogue_check.c: is a catalogue file sound? Every mistake is noted with its line; nothing is sent anywhere.
 *
 * Each object of the format has a table of its members, so that unknown, missing and mistyped ones are found in one
 * place; the readers behind it may then take what is there and leave out what isn't. */
#include "catalogue.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FORMAT     "usher-catalogue-1"
#define SEATS_MOST 65536u /* what a server takes in one plan */
#define GRADES     8u

#define TYPE(type) (1u << (type))
#define AN_INTEGER TYPE(JSON_INTEGER)
#define A_TEXT     TYPE(JSON_STRING)
#define A_LIST     TYPE(JSON_ARRAY)
#define AN_OBJECT  TYPE(JSON_OBJECT)
#define A_MOMENT   (AN_INTEGER | A_TEXT)
#define A_DURATION (AN_INTEGER | A_TEXT)

struct member {
    const char *name;
    unsigned types;
    bool needed;
};

static const struct member file_members[] = {
    {"format", A_TEXT, true}, {"zone", A_TEXT, false},     {"policies", AN_OBJECT, false}, {"queues", A_LIST, false},
    {"plans", A_LIST, false}, {"concerts", A_LIST, false}, {"comment", A_TEXT, false},     {NULL, 0, false}};
static const struct member queue_members[] = {
    {"id", AN_INTEGER, true}, {"name", A_TEXT, true}, {"policies", AN_OBJECT, false}, {NULL, 0, false}};
static const struct member plan_members[] = {{"id", AN_INTEGER, true}, {"sections", A_LIST, true}, {NULL, 0, false}};
static const struct member section_members[] = {
    {"name", A_TEXT, true},           {"rows", AN_INTEGER, true},   {"seats_per_row", AN_INTEGER, true},
    {"first_row", AN_INTEGER, false}, {"grade", AN_INTEGER, false}, {NULL, 0, false}};
static const struct member concert_members[] = {{"id", AN_INTEGER, true},
                                                {"title", A_TEXT, true},
                                                {"venue", A_TEXT, false},
                                                {"queue", AN_INTEGER, false},
                                                {"plan", AN_INTEGER, false},
                                                {"prices", A_LIST, false},
                                                {"refund_until", A_DURATION, false},
                                                {"dates", A_LIST, true},
                                                {NULL, 0, false}};
static const struct member date_members[] = {{"id", AN_INTEGER, true},
                                             {"starts_at", A_MOMENT, true},
                                             {"opens_at", A_MOMENT, false},
                                             {"closes_at", A_MOMENT, false},
                                             {"plan", AN_INTEGER, false},
                                             {"prices", A_LIST, false},
                                             {"refund_until", A_DURATION, false},
                                             {NULL, 0, false}};

/* --- objects and members ------------------------------------------------------------------------------ */
static const char *
type_names(unsigned types)
{
    if (types == A_MOMENT)
        return "a number or a text";
    if (types == AN_INTEGER)
        return "a whole number";
    if (types == A_TEXT)
        return "a text";
    return types == A_LIST ? "a list" : "an object";
}

/* A path that is too long, which takes an absurd key, ends in dots; its line is then that of what it stands in. */
static void
path_end(char path[CATALOGUE_PATH_MOST], int length)
{
    if (length < 0 || length >= CATALOGUE_PATH_MOST)
        strcpy(path + CATALOGUE_PATH_MOST - sizeof "...", "...");
}

static void
path_join(char path[CATALOGUE_PATH_MOST], const char *base, const char *name)
{
    path_end(path, snprintf(path, CATALOGUE_PATH_MOST, "%s%s%s", base, *base != 0 ? "." : "", name));
}

static void
path_index(char path[CATALOGUE_PATH_MOST], const char *base, const char *name, size_t index)
{
    path_end(path, snprintf(path, CATALOGUE_PATH_MOST, "%s%s%s[%zu]", base, *base != 0 ? "." : "", name, index));
}

/* Unknown, missing and mistyped members. False when it is no object at all. */
static bool
check_members(struct catalogue *catalogue, const char *path, json_t *object, const struct member *members)
{
    char below[CATALOGUE_PATH_MOST];
    const char *key;
    json_t *value;

    if (!json_is_object(object)) {
        catalogue_mistake(catalogue, path, "it must be an object");
        return false;
    }
    json_object_foreach(object, key, value)
    {
        const struct member *member = members;

        while (member->name != NULL && strcmp(member->name, key) != 0)
            member++;
        path_join(below, path, key);
        if (member->name == NULL)
            catalogue_mistake(catalogue, below, "there is no such member");
        else if ((member->types & TYPE(json_typeof(value))) == 0)
            catalogue_mistake(catalogue, below, "it must be %s", type_names(member->types));
    }
    for (const struct member *member = members; member->name != NULL; member++)
        if (member->needed && json_object_get(object, member->name) == NULL)
            catalogue_mistake(catalogue, path, "\"%s\" is missing", member->name);
    return true;
}

/* A whole number in a range; the fallback when it isn't there, or is no number, which check_members has told. */
static uint64_t
get_number(struct catalogue *catalogue, const char *path, json_t *object, const char *name, uint64_t least,
           uint64_t most, uint64_t fallback)
{
    json_t *value = json_object_get(object, name);
    char below[CATALOGUE_PATH_MOST];

    if (!json_is_integer(value))
        return fallback;
    if (json_integer_value(value) >= 0 && (uint64_t)json_integer_value(value) >= least &&
        (uint64_t)json_integer_value(value) <= most)
        return (uint64_t)json_integer_value(value);
    path_join(below, path, name);
    catalogue_mistake(catalogue, below, "%" JSON_INTEGER_FORMAT " is not within %" PRIu64 " and %" PRIu64,
                      json_integer_value(value), least, most);
    return fallback;
}

/* A text of 1 (or 0, if it may be empty) to size - 1 bytes. */
static void
get_text(struct catalogue *catalogue, const char *path, json_t *object, const char *name, bool may_be_empty, char *to,
         size_t size)
{
    const char *text = json_string_value(json_object_get(object, name));
    char below[CATALOGUE_PATH_MOST];

    if (text == NULL)
        return;
    path_join(below, path, name);
    if (*text == 0 && !may_be_empty)
        catalogue_mistake(catalogue, below, "it is empty");
    else if (strlen(text) >= size)
        catalogue_mistake(catalogue, below, "it is longer than %zu bytes", size - 1);
    else
        strcpy(to, text);
}

static uint64_t
get_moment(struct catalogue *catalogue, const char *path, json_t *object, const char *name, bool *relative)
{
    json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    char below[CATALOGUE_PATH_MOST];
    uint64_t moment_ms = 0;

    if (json_is_integer(value))
        return get_number(catalogue, path, object, name, 0, USHER_POINTS_MAX, 0);
    if (text == NULL)
        return 0;
    *relative = ctl_moment_is_relative(text);
    if (ctl_moment_parse(text, catalogue->zone_minutes, catalogue->now_ms, &moment_ms))
        return moment_ms;
    path_join(below, path, name);
    catalogue_mistake(catalogue, below, "\"%s\" is not a moment, such as \"2027-01-31T19:30+09:00\" or \"+30d 19:30\"",
                      text);
    return 0;
}

static uint64_t
get_duration(struct catalogue *catalogue, const char *path, json_t *object, const char *name, uint64_t fallback)
{
    const char *text = json_string_value(json_object_get(object, name));
    char below[CATALOGUE_PATH_MOST];
    uint64_t duration_ms;

    if (text == NULL)
        return get_number(catalogue, path, object, name, 0, USHER_POINTS_MAX, fallback);
    if (ctl_duration_parse(text, &duration_ms))
        return duration_ms;
    path_join(below, path, name);
    catalogue_mistake(catalogue, below, "\"%s\" is not a duration, such as \"2h\" or \"1d\"", text);
    return fallback;
}

/* --- policies ----------------------------------------------------------------------------------------- */
static const usher_policy_rule *
find_rule(const char *name, bool of_queue)
{
    size_t count;
    const usher_policy_rule *rules = usher_policy_rules(&count);

    for (size_t i = 0; i < count; i++)
        if (rules[i].of_queue == of_queue && strcmp(rules[i].name, name) == 0)
            return &rules[i];
    return NULL;
}

static void
check_policy(struct catalogue *catalogue, const char *path, json_t *policies, const char *name, bool of_queue,
             uint32_t queue_id)
{
    const usher_policy_rule *rule = find_rule(name, of_queue);
    char below[CATALOGUE_PATH_MOST];
    struct catalogue_policy *policy;
    bool relative = false, is_moment = rule != NULL && strcmp(rule->unit, "ms since 1970") == 0;
    size_t mistakes = catalogue->mistake_count;
    uint64_t value;

    path_join(below, path, name);
    if (rule == NULL) {
        catalogue_mistake(catalogue, below, "there is no such policy of %s", of_queue ? "a queue" : "the house");
        return;
    }
    if (!json_is_integer(json_object_get(policies, name)) &&
        !(is_moment && json_is_string(json_object_get(policies, name)))) {
        catalogue_mistake(catalogue, below, "it must be a whole number%s", is_moment ? " or a moment" : "");
        return;
    }
    value = is_moment ? get_moment(catalogue, path, policies, name, &relative)
                      : get_number(catalogue, path, policies, name, rule->least, rule->most, rule->usual);
    if (catalogue->mistake_count > mistakes)
        return;
    catalogue->policy = catalogue_grow(catalogue->policy, &catalogue->policy_count, sizeof *catalogue->policy);
    policy = &catalogue->policy[catalogue->policy_count - 1];
    *policy = (struct catalogue_policy){rule, queue_id, value, relative, catalogue_line_of(&catalogue->lines, below)};
}

static void
check_policies(struct catalogue *catalogue, const char *base, json_t *object, bool of_queue, uint32_t queue_id)
{
    json_t *policies = json_object_get(object, "policies"), *value;
    char path[CATALOGUE_PATH_MOST];
    const char *name;

    path_join(path, base, "policies");
    if (json_is_object(policies))
        json_object_foreach(policies, name, value) check_policy(catalogue, path, policies, name, of_queue, queue_id);
}

/* --- queues ------------------------------------------------------------------------------------------- */
static bool
has_queue(const struct catalogue *catalogue, uint32_t queue_id)
{
    for (size_t i = 0; i < catalogue->queue_count; i++)
        if (catalogue->queue[i].put.queue_id == queue_id)
            return true;
    return false;
}

static void
check_queue(struct catalogue *catalogue, const char *path, json_t *object)
{
    usher_put_queue_request put = {.queue_id = 0};

    if (!check_members(catalogue, path, object, queue_members))
        return;
    put.queue_id = (uint32_t)get_number(catalogue, path, object, "id", 0, UINT32_MAX, 0);
    get_text(catalogue, path, object, "name", false, put.name, sizeof put.name);
    if (json_is_integer(json_object_get(object, "id")) && has_queue(catalogue, put.queue_id))
        catalogue_mistake(catalogue, path, "queue %" PRIu32 " is there already", put.queue_id);
    check_policies(catalogue, path, object, true, put.queue_id);
    catalogue->queue = catalogue_grow(catalogue->queue, &catalogue->queue_count, sizeof *catalogue->queue);
    catalogue->queue[catalogue->queue_count - 1] =
        (struct catalogue_queue){put, catalogue_line_of(&catalogue->lines, path)};
}

/* --- plans -------------------------------------------------------------------------------------------- */
static const struct catalogue_plan *
find_plan(const struct catalogue *catalogue, uint32_t plan_id)
{
    for (size_t i = 0; i < catalogue->plan_count; i++)
        if (catalogue->plan[i].put.plan_id == plan_id)
            return &catalogue->plan[i];
    return NULL;
}

/* The row after the last of those sections before that share the name. */
static uint16_t
next_row(const usher_put_plan_request *put, const char *name)
{
    unsigned next = 1;

    for (uint16_t i = 0; i < put->section_count; i++)
        if (strcmp(put->section[i].name, name) == 0 && put->section[i].first_row + put->section[i].row_count > next)
            next = put->section[i].first_row + put->section[i].row_count;
    return (uint16_t)(next > UINT16_MAX ? UINT16_MAX : next);
}

static void
check_section(struct catalogue *catalogue, const char *path, json_t *object, struct catalogue_plan *plan)
{
    usher_section section = {.grade = 0};
    uint16_t next;

    if (!check_members(catalogue, path, object, section_members))
        return;
    get_text(catalogue, path, object, "name", false, section.name, sizeof section.name);
    next = next_row(&plan->put, section.name);
    section.row_count = (uint16_t)get_number(catalogue, path, object, "rows", 1, UINT16_MAX, 1);
    section.seats_per_row = (uint16_t)get_number(catalogue, path, object, "seats_per_row", 1, UINT16_MAX, 1);
    section.first_row = (uint16_t)get_number(catalogue, path, object, "first_row", 1, UINT16_MAX, next);
    section.grade = (uint8_t)get_number(catalogue, path, object, "grade", 0, GRADES - 1, 0);
    if (section.first_row < next)
        catalogue_mistake(catalogue, path, "row %u of \"%s\" is there already", section.first_row, section.name);
    if ((uint32_t)section.first_row + section.row_count - 1 > UINT16_MAX)
        catalogue_mistake(catalogue, path, "its last row is above %u", UINT16_MAX);
    plan->seat_count += (uint32_t)section.row_count * section.seats_per_row;
    plan->put.section[plan->put.section_count++] = section;
}

static void
check_plan(struct catalogue *catalogue, const char *path, json_t *object)
{
    json_t *sections = json_object_get(object, "sections"), *section;
    size_t most = sizeof((usher_put_plan_request *)0)->section / sizeof(usher_section), index;
    struct catalogue_plan plan = {.line = catalogue_line_of(&catalogue->lines, path)};
    char below[CATALOGUE_PATH_MOST];

    if (!check_members(catalogue, path, object, plan_members))
        return;
    plan.put.plan_id = (uint32_t)get_number(catalogue, path, object, "id", 1, UINT32_MAX, 0);
    if (plan.put.plan_id != 0 && find_plan(catalogue, plan.put.plan_id) != NULL)
        catalogue_mistake(catalogue, path, "plan %" PRIu32 " is there already", plan.put.plan_id);
    if (json_is_array(sections) && (json_array_size(sections) == 0 || json_array_size(sections) > most)) {
        path_join(below, path, "sections");
        catalogue_mistake(catalogue, below, "it must have 1 to %zu sections", most);
    } else if (json_is_array(sections)) {
        json_array_foreach(sections, index, section)
        {
            path_index(below, path, "sections", index);
            check_section(catalogue, below, section, &plan);
        }
    }
    if (plan.seat_count > SEATS_MOST)
        catalogue_mistake(catalogue, path, "it has %" PRIu32 " seats, more than %u", plan.seat_count, SEATS_MOST);
    catalogue->plan = catalogue_grow(catalogue->plan, &catalogue->plan_count, sizeof *catalogue->plan);
    catalogue->plan[catalogue->plan_count - 1] = plan;
}

/* --- concerts and dates ------------------------------------------------------------------------------- */
/* The date's own prices, or its concert's. */
static void
check_prices(struct catalogue *catalogue, const char *path, json_t *object, usher_put_date_request *put)
{
    json_t *prices = json_object_get(object, "prices"), *price;
    char below[CATALOGUE_PATH_MOST];
    size_t index;

    if (!json_is_array(prices))
        return;
    path_join(below, path, "prices");
    if (json_array_size(prices) == 0 || json_array_size(prices) > GRADES) {
        catalogue_mistake(catalogue, below, "it must have 1 to %u prices", GRADES);
        return;
    }
    put->price_count = (uint16_t)json_array_size(prices);
    json_array_foreach(prices, index, price)
    {
        json_int_t value = json_integer_value(price);
        path_index(below, path, "prices", index);
        if (!json_is_integer(price) || value < 0 || value > USHER_POINTS_MAX)
            catalogue_mistake(catalogue, below, "it must be a whole number from 0 to %lld", USHER_POINTS_MAX);
        put->price[index] = (uint64_t)value;
    }
}

/* The order of a date's moments, as a server wants it. */
static void
check_moments(struct catalogue *catalogue, const char *path, const usher_put_date_request *put)
{
    uint64_t closes_at_ms = put->closes_at_ms != 0 ? put->closes_at_ms : put->starts_at_ms;

    if (put->starts_at_ms == 0)
        return; /* check_date() tells */
    if (closes_at_ms > put->starts_at_ms)
        catalogue_mistake(catalogue, path, "its sale closes after the show has begun");
    if (put->opens_at_ms >= closes_at_ms)
        catalogue_mistake(catalogue, path, "its sale opens when it is closed already");
}

static void
check_plan_and_prices(struct catalogue *catalogue, const char *path, const usher_put_date_request *put)
{
    const struct catalogue_plan *plan = find_plan(catalogue, put->plan_id);

    if (put->plan_id == 0) {
        catalogue_mistake(catalogue, path, "neither the date nor its concert names a plan");
    } else if (plan == NULL) {
        catalogue_mistake(catalogue, path, "there is no plan %" PRIu32 " in this file", put->plan_id);
    } else if (put->price_count == 0) {
        catalogue_mistake(catalogue, path, "neither the date nor its concert names prices");
    } else {
        for (uint16_t i = 0; i < plan->put.section_count; i++)
            if (plan->put.section[i].grade >= put->price_count) {
                catalogue_mistake(catalogue, path,
                                  "section \"%s\" of plan %" PRIu32 " has grade %u, and there %s %u "
                                  "price%s",
                                  plan->put.section[i].name, put->plan_id, plan->put.section[i].grade,
                                  put->price_count == 1 ? "is" : "are", put->price_count,
                                  put->price_count == 1 ? "" : "s");
                return;
            }
    }
}

/* usual: what the concert says for all its dates. */
static void
check_date(struct catalogue *catalogue, const char *path, json_t *object, const usher_put_date_request *usual,
           size_t first_date)
{
    struct catalogue_date date = {.put = *usual, .line = catalogue_line_of(&catalogue->lines, path)};
    usher_put_date_request *put = &date.put;
    bool starts = false, opens = false, closes = false;

    if (!check_members(catalogue, path, object, date_members))
        return;
    put->date_id = (uint32_t)get_number(catalogue, path, object, "id", 1, UINT32_MAX, 0);
    put->starts_at_ms = get_moment(catalogue, path, object, "starts_at", &starts);
    if (json_is_integer(json_object_get(object, "starts_at")) && put->starts_at_ms == 0)
        catalogue_mistake(catalogue, path, "\"starts_at\" is no moment");
    put->opens_at_ms = get_moment(catalogue, path, object, "opens_at", &opens);
    put->closes_at_ms = get_moment(catalogue, path, object, "closes_at", &closes);
    put->plan_id = (uint32_t)get_number(catalogue, path, object, "plan", 1, UINT32_MAX, usual->plan_id);
    put->refund_until_ms = get_duration(catalogue, path, object, "refund_until", usual->refund_until_ms);
    check_prices(catalogue, path, object, put);
    check_moments(catalogue, path, put);
    check_plan_and_prices(catalogue, path, put);
    for (size_t i = first_date; i < catalogue->date_count && put->date_id != 0; i++)
        if (catalogue->date[i].put.date_id == put->date_id)
            catalogue_mistake(catalogue, path, "date %" PRIu32 " of this concert is there already", put->date_id);
    date.relative = (starts ? CATALOGUE_STARTS_RELATIVE : 0) | (opens ? CATALOGUE_OPENS_RELATIVE : 0) |
                    (closes ? CATALOGUE_CLOSES_RELATIVE : 0);
    catalogue->date = catalogue_grow(catalogue->date, &catalogue->date_count, sizeof *catalogue->date);
    catalogue->date[catalogue->date_count - 1] = date;
}

static void
check_concert(struct catalogue *catalogue, const char *path, json_t *object)
{
    struct catalogue_concert concert = {.line = catalogue_line_of(&catalogue->lines, path)};
    usher_put_date_request usual = {.plan_id = 0};
    json_t *dates = json_object_get(object, "dates"), *date;
    size_t first_date = catalogue->date_count, index;
    char below[CATALOGUE_PATH_MOST];

    if (!check_members(catalogue, path, object, concert_members))
        return;
    concert.put.concert_id = (uint32_t)get_number(catalogue, path, object, "id", 1, UINT32_MAX, 0);
    concert.put.queue_id = (uint32_t)get_number(catalogue, path, object, "queue", 0, UINT32_MAX, 0);
    get_text(catalogue, path, object, "title", false, concert.put.title, sizeof concert.put.title);
    get_text(catalogue, path, object, "venue", true, concert.put.venue, sizeof concert.put.venue);
    for (size_t i = 0; i < catalogue->concert_count && concert.put.concert_id != 0; i++)
        if (catalogue->concert[i].put.concert_id == concert.put.concert_id)
            catalogue_mistake(catalogue, path, "concert %" PRIu32 " is there already", concert.put.concert_id);
    if (concert.put.queue_id != 0 && !has_queue(catalogue, concert.put.queue_id)) {
        path_join(below, path, "queue");
        catalogue_mistake(catalogue, below, "there is no queue %" PRIu32 " in this file", concert.put.queue_id);
    }
    usual.concert_id = concert.put.concert_id;
    usual.plan_id = (uint32_t)get_number(catalogue, path, object, "plan", 1, UINT32_MAX, 0);
    usual.refund_until_ms = get_duration(catalogue, path, object, "refund_until", 0);
    check_prices(catalogue, path, object, &usual);
    if (json_is_array(dates))
        json_array_foreach(dates, index, date)
        {
            path_index(below, path, "dates", index);
            check_date(catalogue, below, date, &usual, first_date);
        }
    catalogue->concert = catalogue_grow(catalogue->concert, &catalogue->concert_count, sizeof *catalogue->concert);
    catalogue->concert[catalogue->concert_count - 1] = concert;
}

/* --- the file ----------------------------------------------------------------------------------------- */
static void
check_list(struct catalogue *catalogue, const char *name,
           void (*check)(struct catalogue *catalogue, const char *path, json_t *object))
{
    json_t *list = json_object_get(catalogue->root, name), *element;
    char path[CATALOGUE_PATH_MOST];
    size_t index;

    if (json_is_array(list))
        json_array_foreach(list, index, element)
        {
            path_index(path, "", name, index);
            check(catalogue, path, element);
        }
}

void
catalogue_check(struct catalogue *catalogue)
{
    const char *format, *zone;

    if (!check_members(catalogue, "", catalogue->root, file_members))
        return;
    format = json_string_value(json_object_get(catalogue->root, "format"));
    zone = json_string_value(json_object_get(catalogue->root, "zone"));
    if (format != NULL && strcmp(format, FORMAT) != 0)
        catalogue_mistake(catalogue, "format", "\"%s\" is not \"" FORMAT "\"", format);
    if (zone != NULL && !ctl_zone_parse(zone, &catalogue->zone_minutes))
        catalogue_mistake(catalogue, "zone", "\"%s\" is not a zone, such as \"+09:00\" or \"Z\"", zone);
    check_policies(catalogue, "", catalogue->root, false, 0);
    check_list(catalogue, "queues", check_queue);
    check_list(catalogue, "plans", check_plan);
    check_list(catalogue, "concerts", check_concert);
}
