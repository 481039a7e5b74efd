/* cut.c: power cuts of a recorded run, one after another. See cut.h, and image.h for what a cut is. */
#define _GNU_SOURCE 1
#include "tests/power/cut.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool
cut_wrong(struct cutting *cutting, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(cutting->why, cutting->why_size, format, arguments);
    va_end(arguments);
    return false;
}

bool
cut_is_boundary(const struct power_entry *entry)
{
    return entry->head.kind == POWER_SYNC || entry->head.kind == POWER_SYNC_WRITE;
}

bool
cut_open(struct cutting *cutting)
{
    char path[CUT_PATH_MOST];

    snprintf(cutting->image, sizeof cutting->image, "%s/image", cutting->folder);
    mkdir(cutting->image, 0700);
    snprintf(path, sizeof path, "%s/log", cutting->folder);
    if (!power_log_read(&cutting->log, path))
        return cut_wrong(cutting, "%s is no log", path);
    power_disk_open(&cutting->disk, &cutting->log);
    cutting->counts->records = cutting->log.count;
    for (size_t i = 0; i < cutting->log.count; i++)
        cutting->counts->boundaries += cut_is_boundary(&cutting->log.entry[i]);
    return true;
}

void
cut_close(struct cutting *cutting)
{
    power_disk_close(&cutting->disk);
    power_log_free(&cutting->log);
}

/* --- one image ----------------------------------------------------------------------------------------------- */
bool
cut_check_history(struct cutting *cutting, const struct sale *sale)
{
    struct entry_row entry;
    struct event_row event;
    struct payment_row payment;
    struct house_record house;

    store_get_house(sale->store, 0, &house);
    for (uint64_t number = 1; number <= house.last_entry_no; number++)
        if (!store_read_entry(sale->store, number, &entry))
            return cut_wrong(cutting, "ledger entry %" PRIu64 " is missing", number);
    for (uint64_t number = house.first_event_no; number <= house.last_event_no; number++)
        if (!store_read_event(sale->store, number, &event))
            return cut_wrong(cutting, "event %" PRIu64 " is missing", number);
        else if (event.kind == USHER_EVENT_PAID && !store_read_payment(sale->store, event.payment_id, &payment))
            return cut_wrong(cutting, "payment %" PRIu64 " is missing", (uint64_t)event.payment_id);
    return true;
}

static bool
open_image(struct cutting *cutting, bool certain)
{
    const struct store_options options = {
        .directory = cutting->image, .map_bytes = UINT64_C(1) << 28, .unsafe_no_sync = true};
    struct sale sale;
    char why[400] = "";

    cutting->opened = false;
    cutting->counts->images++;
    cutting->counts->unmade += cutting->heard == 0;
    if (!sale_open(&sale, &options, why, sizeof why))
        return cut_wrong(cutting, "the store does not open: %s", why);
    cutting->opened = true;
    bool good = cutting->view->look(cutting, &sale, certain);
    if (good && !core_audit(sale.core, why, sizeof why))
        good = cut_wrong(cutting, "the audit found: %s", why);
    good = good && cut_check_history(cutting, &sale);
    sale_close(&sale);
    return good;
}

bool
cut_at(struct cutting *cutting, size_t at, enum power_cut cut)
{
    static const char *const names[] = {"nothing", "all", "any pages", "any sectors", "any words"};
    const struct power_entry *next = at < cutting->log.count ? &cutting->log.entry[at] : NULL;
    uint64_t seed = cutting->random;
    char why[400];

    if (!power_disk_image(&cutting->disk, next, cut, &cutting->random, cutting->image))
        return cut_wrong(cutting, "the image in %s can't be written", cutting->image);
    if (open_image(cutting, cut == POWER_NOTHING))
        return true;
    snprintf(why, sizeof why, "%s", cutting->why);
    return cut_wrong(cutting, "cut before record %zu of %s/log, %s of the unsynced there, lots %" PRIu64 ": %s", at,
                     cutting->folder, names[cut], seed, why);
}

/* --- all of them --------------------------------------------------------------------------------------------- */
void
cut_go_past(struct cutting *cutting, const struct power_entry *entry)
{
    power_disk_step(&cutting->disk, entry);
    if (entry->head.kind != POWER_MARK)
        return;
    cutting->heard++;
    cutting->view->hear(cutting, entry);
}

bool
cut_everywhere(struct cutting *cutting, uint64_t images)
{
    /* Two certain ones for each boundary; the rest are torn, spread over all records. */
    uint64_t certain = 2 * cutting->counts->boundaries;
    double torn = images > certain ? (double)(images - certain) / (double)cutting->log.count : 0.25, owed = 0;

    for (size_t at = 0; at <= cutting->log.count; at++) {
        if (cutting->heard == 0)
            owed += cutting->view->while_made;
        bool after_boundary = at > 0 && cut_is_boundary(&cutting->log.entry[at - 1]);
        if (after_boundary && !(cut_at(cutting, at, POWER_NOTHING) && cut_at(cutting, at, POWER_ALL)))
            return false;
        for (owed += torn; owed >= 1; owed--)
            if (!cut_at(cutting, at, power_random(&cutting->random) % 2 == 0 ? POWER_PAGES : POWER_SECTORS))
                return false;
        if (at == cutting->log.count)
            break;
        cut_go_past(cutting, &cutting->log.entry[at]);
    }
    return true;
}
