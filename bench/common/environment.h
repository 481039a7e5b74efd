/* environment.h: where a figure was measured: without it the figure says nothing. */
#ifndef BENCH_ENVIRONMENT_H
#define BENCH_ENVIRONMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* CPU, cores, memory, kernel, the file system under the data folder and its medium, build, commit, libraries. The folder
 * must be there; NULL: the data is somewhere else, and nothing is said of it. */
json_t *environment_read(const char *folder);

/* The same in a few lines for people. */
void environment_print(const json_t *environment, FILE *out);

/* Write a report to a file, or to the standard output for "-". False, and why. */
bool environment_write_json(const json_t *report, const char *path, char *why, size_t why_size);

#endif
