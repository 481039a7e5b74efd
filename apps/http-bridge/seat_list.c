/* seat_list.c: see seat_list.h. */
#include "seat_list.h"

static uint32_t
seat_no(uint32_t block, unsigned bit)
{
    return block * SEAT_BLOCK + bit + 1;
}

void
seat_list_add_numbers(json_t *list, const usher_seats_reply *page)
{
    for (uint16_t i = 0; i < page->free_block_count; i++)
        for (uint64_t left = page->free_block[i]; left != 0; left &= left - 1)
            json_array_append_new(list, json_integer(seat_no(page->first_block + i, (unsigned)__builtin_ctzll(left))));
}

static void
add_range(json_t *list, uint32_t first, uint32_t last)
{
    json_t *before = json_array_get(list, json_array_size(list) - 1);

    if (before != NULL && json_integer_value(json_array_get(before, 1)) + 1 == first)
        json_array_set_new(before, 1, json_integer(last));
    else
        json_array_append_new(list, json_pack("[I, I]", (json_int_t)first, (json_int_t)last));
}

void
seat_list_add_ranges(json_t *list, uint32_t first_block, const uint64_t *block, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t left = block[i];
        while (left != 0) {
            unsigned first = (unsigned)__builtin_ctzll(left);
            uint64_t run = ~(left >> first);
            unsigned length = run == 0 ? SEAT_BLOCK : (unsigned)__builtin_ctzll(run);
            add_range(list, seat_no(first_block + (uint32_t)i, first),
                      seat_no(first_block + (uint32_t)i, first + length - 1));
            left = first + length >= SEAT_BLOCK ? 0 : left & ~0ULL << (first + length);
        }
    }
}

bool
seat_list_next_page(const usher_seats_reply *page, usher_seats_request *asked)
{
    uint64_t blocks = ((uint64_t)page->seat_count + SEAT_BLOCK - 1) / SEAT_BLOCK;

    asked->first_block = page->first_block + page->free_block_count;
    return page->free_block_count > 0 && asked->first_block < blocks;
}
