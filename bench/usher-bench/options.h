/* options.h: the command line of usher-bench, as rows (options.def). */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NUMBERS_MOST   16
#define SCENARIOS_MOST 32
#define SERVER_MOST    32

struct numbers {
    uint32_t value[NUMBERS_MOST];
    size_t count;
};

struct options {
#define BENCH_SECTION(heading)
#define BENCH_NUMBER(name, usual, least, most, unit, help) uint64_t name;
#define BENCH_NUMBERS(name, usual, least, most, help)      struct numbers name;
#define BENCH_TEXT(name, value, help)                      const char *name;
#define BENCH_SWITCH(name, help)                           bool name;
#include "bench/usher-bench/options.def"
    const char *scenario[SCENARIOS_MOST]; /* words that are no options */
    size_t scenario_count;
    const char *server_argument[SERVER_MOST + 1]; /* behind --: for usherd; NULL after the last */
    size_t server_argument_count;
};

/* False, and why in one line, when the words can't be right. Texts point into them. */
bool options_read(struct options *options, int count, char **word, char *why, size_t why_size);
/* What there is, for --help. */
void options_print(FILE *out);

#endif
