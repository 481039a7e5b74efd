/* plot.c: pictures by gnuplot: the distribution of latencies of each measurement, and what size costs. The data and the
 * script stay beside the picture, so that it can be drawn otherwise. */
#include <errno.h>
#include <string.h>
#include <stdlib.h>

#include "bench/usher-bench/bench.h"

static FILE *
open_file(struct bench *bench, const char *name)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", bench->options.plot, name);
    file = fopen(path, "we");
    if (file == NULL)
        snprintf(bench->why, sizeof bench->why, "%s: %s", path, strerror(errno));
    return file;
}

static const char *
text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "";
}

/* --- latencies ---------------------------------------------------------------------------------------- */
/* A block of lines for each measurement: 1 / (1 - p) and the latency, up to where ten samples lie above. */
static void
write_latency(const struct histogram *histogram, const char *title, FILE *data)
{
    fprintf(data, "\"%s\"\n", title);
    for (double above = 1; above < 1e7; above *= 1.15) {
        double percent = 100 - 100 / above;
        if (above > 1 && !histogram_may_say(histogram, percent))
            break;
        fprintf(data, "%.4f %.3f\n", above, (double)histogram_percentile(histogram, percent) / 1000);
    }
    fputs("\n\n", data);
}

static bool
write_latencies(struct bench *bench)
{
    const json_t *measurements = json_object_get(bench->report, "measurements");
    FILE *data = open_file(bench, "latency.dat"), *script = data == NULL ? NULL : open_file(bench, "latency.gp");

    if (script == NULL)
        return false;
    for (size_t i = 0; i < json_array_size(measurements); i++) {
        const json_t *measurement = json_array_get(measurements, i);
        bool open = strcmp(text_of(measurement, "loop"), "open") == 0;
        char title[96];
        snprintf(title, sizeof title, "%s %s %.0f x %.0f", text_of(measurement, "scenario"), text_of(measurement, "step"),
                 json_number_value(json_object_get(measurement, "connections")),
                 json_number_value(json_object_get(measurement, "pipeline")));
        write_latency(bench->kept[2 * i + (open ? 0 : 1)], title, data);
    }
    fprintf(script,
            "set terminal pngcairo size 1200,700\nset output 'latency.png'\nset logscale xy\nset grid\n"
            "set title 'Latency%s'\nset xlabel 'percentile'\nset ylabel 'microseconds'\nset key outside right\n"
            "set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000, '99.999' 100000)\n"
            "plot for [i=0:%d] 'latency.dat' index i using 1:2 with lines title columnheader(1)\n",
            bench->options.closed ? "" : " from the intended start", (int)json_array_size(measurements) - 1);
    return fclose(data) == 0 && fclose(script) == 0;
}

/* --- growth ------------------------------------------------------------------------------------------- */
static const struct series {
    const char *scenario, *size;
} growth[] = {{"seats", "dates"}, {"reserve", "dates"}, {"rank", "waiting"}, {"join", "waiting"}};
#define GROWTH_COUNT (sizeof growth / sizeof *growth)

/* How many points a series has; they are written. */
static size_t
write_series(const json_t *measurements, const struct series *series, FILE *data)
{
    size_t count = 0;

    fprintf(data, "\"%s by %s\"\n", series->scenario, series->size);
    for (size_t i = 0; i < json_array_size(measurements); i++) {
        const json_t *measurement = json_array_get(measurements, i);
        double rate = json_number_value(json_object_get(json_object_get(measurement, "per_second"), "median"));
        if (strcmp(text_of(measurement, "scenario"), series->scenario) != 0 || rate <= 0)
            continue;
        fprintf(data, "%.0f %.4f\n",
                json_number_value(json_object_get(json_object_get(measurement, "house"), series->size)), 1e6 / rate);
        count++;
    }
    fputs("\n\n", data);
    return count;
}

static bool
write_growth(struct bench *bench, bool *drawn)
{
    const json_t *measurements = json_object_get(bench->report, "measurements");
    FILE *data = open_file(bench, "growth.dat"), *script = data == NULL ? NULL : open_file(bench, "growth.gp");

    if (script == NULL)
        return false;
    *drawn = true;
    for (size_t i = 0; i < GROWTH_COUNT; i++)
        if (write_series(measurements, &growth[i], data) < 2)
            *drawn = false;
    fprintf(script,
            "set terminal pngcairo size 1000,600\nset output 'growth.png'\nset logscale x\nset yrange [0:*]\nset grid\n"
            "set title 'What size costs'\nset xlabel 'dates, or waiters'\nset ylabel 'microseconds an answer'\n"
            "plot for [i=0:%d] 'growth.dat' index i using 1:2 with linespoints title columnheader(1)\n",
            (int)GROWTH_COUNT - 1);
    return fclose(data) == 0 && fclose(script) == 0;
}

/* --- drawing ------------------------------------------------------------------------------------------ */
static bool
draw(struct bench *bench, const char *script)
{
    char command[640];
    int status;

    if (strchr(bench->options.plot, '\'') != NULL) {
        snprintf(bench->why, sizeof bench->why, "--plot: a folder without an apostrophe in its name is needed");
        return false;
    }
    snprintf(command, sizeof command, "cd '%s' && gnuplot %s", bench->options.plot, script);
    status = system(command);
    if (status == 0)
        return true;
    snprintf(bench->why, sizeof bench->why, "gnuplot could not draw %s/%s", bench->options.plot, script);
    return false;
}

bool
plot_all(struct bench *bench)
{
    bool grown = false;

    if (json_array_size(json_object_get(bench->report, "measurements")) == 0)
        return true;
    if (!write_latencies(bench) || !draw(bench, "latency.gp") || !write_growth(bench, &grown))
        return false;
    return !grown || draw(bench, "growth.gp");
}
