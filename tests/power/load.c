/* load.c: power_load: a sale on a store with its syncs on, to be run under shim.c: many buyers at once, from joining to
 * a refund, the history's consumer and the sweep between their batches, now and then a restart. After each batch, when
 * its answers would be sent, it marks the log with what was promised.
 *
 *     power_load DIRECTORY SEED BATCHES INDEX PROCESSES [unsafe | lmdb | aside]
 *
 * Who finds no house there makes one. Of several processes on one directory each has buyers of its own. With "unsafe"
 * the store does not sync: what a cut leaves of that must be found to be wrong. With "lmdb" it has no front. With
 * "aside" threads of the store's write its batches and carry them over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/power/promise.h"
#include "tests/power/record.h"
#include "tests/sale.h"

#define BATCH_MOST 12u

struct load {
    struct store_options options;
    bool aside;
    struct sale sale;
    struct sale_buyer buyer[SALE_BUYERS_MOST];
    uint32_t first, last, end; /* buyers at work, and of this process */
    uint64_t random;
};

static uint64_t
below(struct load *load, uint64_t limit)
{
    uint64_t value = load->random += 0x9e3779b97f4a7c15u;

    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return (value ^ value >> 31) % limit;
}

static _Noreturn void
end(const char *why)
{
    fprintf(stderr, "power_load: %s\n", why);
    exit(1);
}

static void
open_sale(struct load *load)
{
    char why[512] = "";

    if (!sale_open(&load->sale, &load->options, why, sizeof why))
        end(why);
    if (load->aside)
        store_work_aside(load->sale.store);
}

static enum store_outcome
run_aside(struct sale *sale)
{
    enum store_outcome outcome = sale_run_start(sale);

    return outcome == STORE_ON_ITS_WAY ? sale_run_end(sale) : outcome;
}

static void
mark(const struct load *load)
{
    const struct promise promise = promise_of(load->sale.store);

    power_mark(&promise, sizeof promise);
}

/* One batch of different buyers' next steps. */
static void
run_batch(struct load *load)
{
    uint32_t chosen[BATCH_MOST], count = 0, wanted = 1 + (uint32_t)below(load, BATCH_MOST);

    for (uint32_t tries = 0; tries < 4 * wanted && count < wanted; tries++) {
        uint32_t who = load->first + (uint32_t)below(load, load->last - load->first);
        bool free_now = load->buyer[who].step < SALE_STEPS;
        for (uint32_t i = 0; i < count; i++)
            free_now = free_now && chosen[i] != who;
        if (free_now && !sale_add(&load->sale, &load->buyer[who]))
            end("a batch was refused");
        if (free_now)
            chosen[count++] = who;
    }
    while (load->first < load->last && load->buyer[load->first].step == SALE_STEPS)
        load->first++;
    if (load->last < load->end && load->last - load->first < 40)
        load->last++;
    if (count == 0)
        return;
    if ((load->aside ? run_aside(&load->sale) : sale_run(&load->sale)) != STORE_DONE)
        end("a batch was not done");
    for (uint32_t i = 0; i < count; i++)
        if (!sale_take(&load->sale, &load->buyer[chosen[i]], i))
            end("a command was refused");
    mark(load);
}

static void
make_house(struct load *load)
{
    mark(load); /* the store is there, empty */
    if (!sale_add_house(&load->sale) || sale_run(&load->sale) != STORE_DONE || !sale_took_house(&load->sale))
        end("no house");
    mark(load);
}

static void
run_load(struct load *load, uint64_t batches)
{
    bool (*idle)(struct store * store) = load->aside ? store_idle_aside : store_idle;

    for (uint64_t left = batches; left > 0; left--) {
        run_batch(load);
        if (below(load, 6) == 0) {
            store_wait_aside(load->sale.store);        /* who carries over has the write lock */
            store_consumer_step(load->sale.store, 32); /* another process may be ahead of it */
        }
        if (below(load, 25) == 0)
            idle(load->sale.store);
        if (below(load, 100) == 0) {
            sale_close(&load->sale);
            open_sale(load);
        }
    }
}

int
main(int argc, char **argv)
{
    static struct load load;
    const char *mode = argc > 6 ? argv[6] : "";

    if (argc < 6 || power_mark == NULL)
        end("usage, under the shim: power_load DIRECTORY SEED BATCHES INDEX PROCESSES [unsafe | lmdb | aside]");
    uint32_t index = (uint32_t)strtoul(argv[4], NULL, 10),
             share = SALE_BUYERS_MOST / (uint32_t)strtoul(argv[5], NULL, 10);
    load.aside = strcmp(mode, "aside") == 0;
    load.random = strtoull(argv[2], NULL, 10) * 16 + index;
    load.options = (struct store_options){.directory = argv[1],
                                          .map_bytes = UINT64_C(1) << 28,
                                          .slice_records = 24,
                                          .journal_bytes = 6000,
                                          .front_bytes = 32768,
                                          .no_front = strcmp(mode, "lmdb") == 0,
                                          .unsafe_no_sync = strcmp(mode, "unsafe") == 0};
    for (uint32_t who = 0; who < SALE_BUYERS_MOST; who++)
        load.buyer[who].number = who + 1;
    load.first = index * share;
    load.last = load.first + 20;
    load.end = load.first + share;
    open_sale(&load);
    if (store_position(load.sale.store) == 0)
        make_house(&load);
    run_load(&load, strtoull(argv[3], NULL, 10));
    sale_close(&load.sale);
    return 0;
}
