/* reasons.c: see reasons.h. */
#include "bench/peers/reasons.h"

#include <string.h>

static const char *const names[] = {
#define PEER_REASON(name) #name,
#include "bench/peers/reasons.def"
};
#define COUNT (sizeof names / sizeof names[0])

uint32_t
reason_error(void)
{
    return COUNT - 1;
}

uint32_t
reason_named(const char *name, size_t size)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
            return i;
    }
    return reason_error();
}

const char *
reason_name(uint32_t reason)
{
    return reason < COUNT ? names[reason] : "?";
}
