/* routes.c: which row answers. Segments of the path are compared decoded, one by one. */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* "/v1/{date}/{rest*}" into its segments. */
static bool
compile(struct route_row *row, const char *pattern)
{
    if (*pattern != '/')
        return false;
    while (*pattern == '/' && pattern[1] != '\0') {
        struct route_segment *segment = &row->segment[row->segment_count];
        size_t size = strcspn(++pattern, "/");
        if (row->segment_count++ == TARGET_SEGMENTS_MOST || size == 0 ||
            (row->segment_count > 1 && segment[-1].is_rest))
            return false;
        *segment = (struct route_segment){.text = pattern, .size = size};
        pattern += size;
        if (segment->text[0] == '{' && segment->text[size - 1] == '}') {
            segment->is_parameter = true;
            segment->is_rest = segment->text[size - 2] == '*';
            segment->text++;
            segment->size = size - 2 - (segment->is_rest ? 1 : 0);
        }
    }
    return true;
}

bool
routes_compile(struct listener *listener, const struct http_route *routes, size_t count, char *why, size_t why_size)
{
    listener->row = calloc(count + 1, sizeof *listener->row);
    assert(listener->row != NULL);
    listener->row_count = count;
    for (size_t i = 0; i < count; i++) {
        listener->row[i].route = &routes[i];
        if (!compile(&listener->row[i], routes[i].pattern)) {
            snprintf(why, why_size, "'%s' is not a pattern of a path", routes[i].pattern);
            return false;
        }
    }
    return true;
}

static bool
matches(const struct route_row *row, const struct target *target)
{
    for (size_t i = 0; i < row->segment_count; i++) {
        const struct route_segment *segment = &row->segment[i];
        if (i == target->segment_count || (segment->is_parameter && target->segment[i][0] == '\0'))
            return false;
        if (segment->is_rest)
            return true;
        if (!segment->is_parameter && (strncmp(segment->text, target->segment[i], segment->size) != 0 ||
                                       target->segment[i][segment->size] != '\0'))
            return false;
    }
    return row->segment_count == target->segment_count;
}

void
routes_find(struct http_exchange *exchange)
{
    enum http_method method = exchange->method == HTTP_METHOD_HEAD ? HTTP_METHOD_GET : exchange->method;

    for (size_t i = 0; i < exchange->listener->row_count && !exchange->target.is_server; i++) {
        struct route_row *row = &exchange->listener->row[i];
        if (row->route->method != method && exchange->path_is_known)
            continue;
        if (!matches(row, &exchange->target))
            continue;
        exchange->path_is_known = true;
        if (row->route->method == method) {
            exchange->row = row;
            return;
        }
    }
}

void
routes_allowed(const struct http_exchange *exchange, char *text, size_t size)
{
    static const char *const names[] = {
#define HTTP_METHOD(NAME) #NAME,
#include "methods.def"
    };
    unsigned found = 1u << HTTP_METHOD_OPTIONS;
    size_t used = 0;

    for (size_t i = 0; i < exchange->listener->row_count; i++) {
        const struct route_row *row = &exchange->listener->row[i];
        if (exchange->target.is_server || matches(row, &exchange->target))
            found |= 1u << row->route->method;
    }
    if ((found & 1u << HTTP_METHOD_GET) != 0)
        found |= 1u << HTTP_METHOD_HEAD;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if ((found & 1u << i) != 0)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ", ", names[i]);
    }
    assert(used < size);
}

/* --- for handlers ---------------------------------------------------------------------------------------------------
 */
const char *
http_pattern(const struct http_exchange *exchange)
{
    return exchange->row == NULL ? "-" : exchange->row->route->pattern;
}

/* What the last parameter of a pattern takes with all its slashes. */
static const char *
join_rest(struct http_exchange *exchange, size_t from)
{
    size_t size = 1;
    char *joined;

    for (size_t i = from; i < exchange->target.segment_count; i++)
        size += strlen(exchange->target.segment[i]) + 1;
    joined = http_memory(exchange, size);
    for (size_t i = from; i < exchange->target.segment_count; i++) {
        if (i > from)
            strcat(joined, "/");
        strcat(joined, exchange->target.segment[i]);
    }
    return joined;
}

const char *
http_parameter(const struct http_exchange *exchange, const char *name)
{
    const struct route_row *row = exchange->row;
    size_t i = 0;

    assert(row != NULL);
    while (i < row->segment_count && !(row->segment[i].is_parameter && strlen(name) == row->segment[i].size &&
                                       memcmp(name, row->segment[i].text, row->segment[i].size) == 0))
        i++;
    assert(i < row->segment_count);
    if (row->segment[i].is_rest)
        return join_rest((struct http_exchange *)exchange, i); /* its memory is no part of what it says */
    return exchange->target.segment[i];
}
