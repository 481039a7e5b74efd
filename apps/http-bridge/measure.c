/* measure.c: what is counted of each exchange: by route and status, how long it took; and the text of it for
 * Prometheus. */
#include "inside.h"

#include <inttypes.h>
#include <time.h>

/* Upper bounds, in microseconds. */
static const uint64_t bounds_us[LATENCY_BUCKETS] = {100,   250,   500,    1000,   2500,    5000,
                                                    10000, 25000, 100000, 500000, 2500000, 10000000};

static const char *const method_names[] = {
#define HTTP_METHOD(NAME) #NAME,
#include "methods.def"
};
static const unsigned status_numbers[] = {
#define HTTP_STATUS(number, phrase) number,
#include "statuses.def"
    499,
};

uint64_t
measure_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Whether the answer left for somebody: whole, or as far as its stream went. */
static bool
was_answered(const struct http_exchange *exchange)
{
    return exchange->status != 0 && exchange->bytes_out > 0;
}

void
measure_exchange(struct http_exchange *exchange)
{
    struct http *http = exchange->http;
    struct route_counts *counts = exchange->row == NULL ? &exchange->listener->other : &exchange->row->counts;
    uint64_t duration_us = measure_us() - exchange->began_us;
    unsigned status = was_answered(exchange) ? exchange->status : 499, bucket = 0;

    while (bucket < LATENCY_BUCKETS && duration_us > bounds_us[bucket])
        bucket++;
    counts->status[was_answered(exchange) ? status_index_of(status) : STATUS_INDEX_GONE]++;
    counts->latency[bucket]++;
    counts->latency_us += duration_us;
    if (http->on_access == NULL)
        return;
    const struct http_access access = {
        .method = exchange->has_request ? method_names[exchange->method] : "-",
        .pattern = http_pattern(exchange),
        .status = status,
        .bytes_in = exchange->bytes_in + exchange->body_size,
        .bytes_out = exchange->bytes_out,
        .duration_us = duration_us,
        .client = client_alias(exchange),
        .traceparent = exchange->traceparent,
    };
    http->on_access(&access, http->access_context);
}

void
http_on_access(struct http *http, http_access_callback *callback, void *context)
{
    http->on_access = callback;
    http->access_context = context;
}

uint64_t
http_connection_count(const struct http *http)
{
    const struct listener *listener;
    uint64_t count = 0;

    TAILQ_FOREACH(listener, &http->listeners, link) count += listener->connection_count;
    return count;
}

/* --- Prometheus
 * ------------------------------------------------------------------------------------------------------------- */
static const char *
pattern_of(const struct listener *listener, size_t row)
{
    return row == listener->row_count ? "" : listener->row[row].route->pattern;
}

static const char *
method_of(const struct listener *listener, size_t row)
{
    return row == listener->row_count ? "" : method_names[listener->row[row].route->method];
}

static const struct route_counts *
counts_of(const struct listener *listener, size_t row)
{
    return row == listener->row_count ? &listener->other : &listener->row[row].counts;
}

static void
write_requests(const struct listener *listener, FILE *out)
{
    for (size_t row = 0; row <= listener->row_count; row++) {
        for (unsigned i = 0; i < STATUS_COUNT; i++) {
            uint64_t count = counts_of(listener, row)->status[i];
            if (count > 0)
                fprintf(out, "usher_http_requests_total{route=\"%s\",method=\"%s\",status=\"%u\"} %" PRIu64 "\n",
                        pattern_of(listener, row), method_of(listener, row), status_numbers[i], count);
        }
    }
}

static void
write_latency(const struct listener *listener, FILE *out)
{
    for (size_t row = 0; row <= listener->row_count; row++) {
        const struct route_counts *counts = counts_of(listener, row);
        const char *pattern = pattern_of(listener, row), *method = method_of(listener, row);
        uint64_t sum = 0;
        for (unsigned i = 0; i <= LATENCY_BUCKETS; i++)
            sum += counts->latency[i];
        if (sum == 0)
            continue;
        sum = 0;
        for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
            sum += counts->latency[i];
            fprintf(out, "usher_http_request_seconds_bucket{route=\"%s\",method=\"%s\",le=\"%g\"} %" PRIu64 "\n",
                    pattern, method, (double)bounds_us[i] / 1e6, sum);
        }
        sum += counts->latency[LATENCY_BUCKETS];
        fprintf(out, "usher_http_request_seconds_bucket{route=\"%s\",method=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", pattern,
                method, sum);
        fprintf(out, "usher_http_request_seconds_sum{route=\"%s\",method=\"%s\"} %.6f\n", pattern, method,
                (double)counts->latency_us / 1e6);
        fprintf(out, "usher_http_request_seconds_count{route=\"%s\",method=\"%s\"} %" PRIu64 "\n", pattern, method,
                sum);
    }
}

static void
write_one(FILE *out, const char *kind, const char *name, const char *help, uint64_t value)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, kind, name, value);
}

void
http_write_metrics(const struct http *http, FILE *out)
{
    const struct listener *listener;
    uint64_t accepted = 0, turned_away = 0;

    fprintf(out, "# HELP usher_http_requests_total Requests, by route and status; 499: the client left first.\n"
                 "# TYPE usher_http_requests_total counter\n");
    TAILQ_FOREACH(listener, &http->listeners, link)
    {
        write_requests(listener, out);
        accepted += listener->accepted;
        turned_away += listener->turned_away;
    }
    fprintf(out, "# HELP usher_http_request_seconds From a request's head to its answer's end.\n"
                 "# TYPE usher_http_request_seconds histogram\n");
    TAILQ_FOREACH(listener, &http->listeners, link) write_latency(listener, out);
    write_one(out, "gauge", "usher_http_connections", "Open now.", http_connection_count(http));
    write_one(out, "counter", "usher_http_connections_accepted_total", "Since the start.", accepted);
    write_one(out, "counter", "usher_http_connections_turned_away_total", "There were too many.", turned_away);
    write_one(out, "gauge", "usher_http_requests_in_flight", "Begun and not answered.", http->exchange_count);
    write_one(out, "gauge", "usher_http_streams", "Open now.", http->stream_count);
    write_one(out, "gauge", "usher_http_memory_bytes", "Of bodies and unsent answers.", http->memory);
    write_one(out, "counter", "usher_http_refused_total", "Not well-formed, too long, too slow.", http->refused);
    write_one(out, "counter", "usher_http_timed_out_total", "Of these: too slow.", http->timed_out);
    write_one(out, "counter", "usher_http_rate_limited_total", "Answered 429.", http->limited);
}
