/* options.h: the command line of usherd, from the rows of options.def and net/limits.def. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "server/net/net.h"

struct options {
#define OPTION_TEXT(name, usual, value, help)               const char *name;
#define OPTION_NUMBER(name, usual, least, most, unit, help) uint64_t name;
#define OPTION_SWITCH(name, help)                           bool name;
#define OPTION_ON_OFF(name, usual, help)                    bool name;
#include "server/options.def"
    struct net_limits limits;
};

/* Every option at its default, then the command line's words. False when a word is wrong: why gets one line. */
bool options_read(struct options *options, int argc, char **argv, char *why, size_t why_size);
/* Every option with its default and range, and every exit code. */
void options_help(FILE *out);

#endif
