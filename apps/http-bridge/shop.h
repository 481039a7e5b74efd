/* shop.h: who may ask for a user's queue token: the shop's own servers by its key, a user's browser by an assertion of
 * the shop's login; anybody where neither is named, which a bridge does on loopback alone. */
#ifndef BRIDGE_SHOP_H
#define BRIDGE_SHOP_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct call;
struct shop;

/* Read the files that the options name. BRIDGE_DONE, or why not: a secret that others can read, or a bridge that would
 * be open to anybody on an address that is not this machine's own. */
enum bridge_exit shop_open(const struct options *options, struct shop **shop, char *why, size_t why_size);
void shop_close(struct shop *shop);

/* Whether this request may have the token of call->user; false: a problem has been answered. */
bool shop_allows(struct call *call);

#endif
