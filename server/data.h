/* data.h: what usherd does on a data directory instead of serving: the rows of verbs.def. */
#ifndef DATA_H
#define DATA_H

#include <stdbool.h>
#include <stdio.h>

#include "server/exits.h"

/* Is the first argument a verb? Then it is carried out and *code is how usherd is to end. It runs in a child, because
 * LMDB may crash on a damaged file and somebody has to say so. */
bool data_verb(int argc, char **argv, int *code);
/* The verbs, for --help. */
void data_help(FILE *out);

/* --- the verbs, in this process; arguments as verbs.def has them ----------------------------------------- */
#define USHERD_VERB(name, arguments, text, help) int data_##name(char **argument);
#include "server/verbs.def"

#endif
