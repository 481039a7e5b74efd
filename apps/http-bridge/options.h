/* options.h: the command line of usher-http, from the rows of options.def and limits.def. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "http.h"

enum bridge_exit {
#define BRIDGE_EXIT(code, NAME, when) BRIDGE_##NAME = (code),
#include "exits.def"
};

struct options {
#define OPTION_TEXT(name, usual, value, help)               const char *name;
#define OPTION_NUMBER(name, usual, least, most, unit, help) uint64_t name;
#define OPTION_SWITCH(name, help)                           bool name;
#include "options.def"
    struct http_limits limits;
};

/* Every option at its usual value, then the command line's words. False when a word is wrong: why gets one line. */
bool options_read(struct options *options, int argc, char **argv, char *why, size_t why_size);
/* Whether a "host:port", numeric, is this machine's own. */
bool address_is_loopback(const char *address);
/* "+09:00" in minutes; false for what is none. */
bool zone_parse(const char *text, int *minutes);
/* Every option with its usual value and range, and every exit code. */
void options_help(FILE *out);

#endif
