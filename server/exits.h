/* exits.h: how usherd ends, from the rows of exits.def. */
#ifndef EXITS_H
#define EXITS_H

#include "server/store/store.h"

enum usherd_exit {
#define USHERD_EXIT(code, NAME, when) USHERD_##NAME = (code),
#include "server/exits.def"
};

/* The code that says why a store could not be opened. */
enum usherd_exit exit_of_store(enum store_status status);

#endif
