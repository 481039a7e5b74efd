/* best.c: which seats are the best (H9).
 *
 * The plan's order is the house's order of merit: earlier sections and rows are better. Among the places where the
 * seats would be side by side, the choice goes by, in this order:
 *   1  no lone seat is left over beside them
 *   2  the earlier row
 *   3  nearer to the row's middle
 *   4  the lower seat number
 * Where no row has room for all of them they are taken one by one in the plan's order, unless the asker wants them
 * together. Everything is a whole number, so the answer is the same on every machine. */
#include "server/core/internal.h"

#include <stdlib.h>

struct search {
    struct core *core;
    const struct date_record *date;
    const struct queue_record *queue;
    uint64_t block_index; /* of the block in free */
    uint64_t free;
    uint32_t count;
    uint32_t best_seat; /* 0: none yet */
    uint32_t best_merit;
    bool best_lone;
};

static bool
is_free(struct search *search, uint32_t seat_no)
{
    uint64_t index = (seat_no - 1) / BLOCK_SEATS;
    if (search->block_index != index) {
        search->block_index = index;
        search->free = block_free_now(search->core, search->queue,
                                      store_see_block(search->core->store, BLOCK_KEY(search->date->date_no, index)));
    }
    return search->free & SEAT_BIT(seat_no);
}

/* One run of free seats, first .. first + length - 1, in a row that begins at row_first. Weighs each place in it. */
static void
weigh_run(struct search *search, uint32_t row_first, uint32_t row_length, uint32_t first, uint32_t length)
{
    for (uint32_t offset = 0; offset + search->count <= length; offset++) {
        uint32_t after = length - offset - search->count;
        bool lone = offset == 1 || after == 1;
        /* Twice the distance between the middles, so that it stays whole. */
        int32_t place_middle = (int32_t)(2 * (first + offset - row_first) + search->count);
        uint32_t merit = (uint32_t)abs(place_middle - (int32_t)row_length);
        bool better = search->best_seat == 0 || (search->best_lone && !lone);
        bool same_row = search->best_seat >= row_first && search->best_lone == lone && merit < search->best_merit;
        if (better || same_row) {
            search->best_seat = first + offset;
            search->best_merit = merit;
            search->best_lone = lone;
        }
    }
}

static void
weigh_row(struct search *search, uint32_t row_first, uint32_t row_length)
{
    uint32_t run = 0;
    for (uint32_t i = 0; i <= row_length; i++) {
        if (i < row_length && is_free(search, row_first + i)) {
            run++;
            continue;
        }
        if (run >= search->count)
            weigh_run(search, row_first, row_length, row_first + i - run, run);
        run = 0;
    }
}

/* Walk the rows of this grade; fills scattered with the first free seats and returns how many are free. */
static uint32_t
walk(struct search *search, const struct plan_record *plan, uint8_t grade, uint32_t *scattered)
{
    uint32_t seat_no = 1, free_count = 0;

    for (uint32_t s = 0; s < plan->section_count; s++) {
        const struct plan_section *section = &plan->section[s];
        for (uint32_t r = 0; r < section->row_count; r++, seat_no += section->seats_per_row) {
            if (grade != USHER_GRADE_ANY && grade != section->grade)
                continue;
            for (uint32_t i = 0; i < section->seats_per_row; i++)
                if (is_free(search, seat_no + i)) {
                    if (free_count < search->count)
                        scattered[free_count] = seat_no + i;
                    free_count++;
                }
            /* A row that leaves nobody alone cannot be beaten by a later one. */
            if (search->best_seat == 0 || search->best_lone)
                weigh_row(search, seat_no, section->seats_per_row);
            if (search->best_seat != 0 && !search->best_lone)
                return free_count;
        }
    }
    return free_count;
}

usher_result
best_seats(struct core *core, const struct date_record *date, const struct queue_record *queue, uint32_t count,
           uint8_t grade, bool together, uint32_t *seat)
{
    struct search search = {.core = core, .date = date, .queue = queue, .count = count, .block_index = UINT64_MAX};
    uint32_t free_count = walk(&search, store_see_plan(core->store, date->plan_no), grade, seat);

    if (search.best_seat != 0) {
        for (uint32_t i = 0; i < count; i++)
            seat[i] = search.best_seat + i;
        return USHER_OK;
    }
    if (free_count < count)
        return core_refuse_detail(core, USHER_NOT_ENOUGH_SEATS, free_count);
    return together ? core_refuse_detail(core, USHER_NOT_TOGETHER, free_count) : USHER_OK;
}
