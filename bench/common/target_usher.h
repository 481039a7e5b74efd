/* target_usher.h: Usher as a target (target.h), over asynchronous handles of the SDK, one a connection.
 *
 * The house that it makes: queue OPEN admits whoever comes at once; queue LINE is paused, so that it only grows. Concerts
 * of up to 1,000 dates stand behind OPEN, one of a single date behind LINE. All deadlines are a day away, so that nothing
 * but the tasks happens. Everybody but the charges of the preparation goes as a gateway with the user's own token: its
 * proof is checked, its state looked up, as for the users of a shop.
 *
 * The pieces below serve the scenarios of usher-bench as well. */
#ifndef BENCH_TARGET_USHER_H
#define BENCH_TARGET_USHER_H

#include <usher.h>

#include "bench/common/house.h"
#include "bench/common/target.h"

#define USHER_TARGET_OPEN          0u /* queues */
#define USHER_TARGET_LINE          1u
#define USHER_TARGET_LINE_CONCERT  9999u
#define USHER_TARGET_DATES_EACH    1000u /* of a concert */
#define USHER_TARGET_DAY_MS        UINT64_C(86400000)

/* Who a number is: the same UUID in every run. */
usher_uuid target_usher_user(bool line, uint32_t user);

/* The next request id: a UUID of version 7 that nobody else makes, without asking the system for random bytes. */
usher_id target_usher_id(void);

/* Where a date's number is: concert and date. */
void target_usher_date(uint32_t date, uint32_t *concert_id, uint32_t *date_id);

/* A plan of so many seats, 1 to 65,536: rows of 50 and what is left. */
void target_usher_plan(uint32_t seats, usher_put_plan_request *plan);

/* Set policies and put the catalogue; dates are put over several handles at once. */
bool target_usher_furnish(struct house *house, const struct target_sizes *sizes, char *why, size_t why_size);

#endif
