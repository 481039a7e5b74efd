/* seat_list.h: the free seats of a date as lists in JSON: each by its number, or as ranges [first, last]. */
#ifndef BRIDGE_SEAT_LIST_H
#define BRIDGE_SEAT_LIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <usher.h>

#define SEAT_BLOCK 64u /* seats of a block */

/* Append the free seats of a page. */
void seat_list_add_numbers(json_t *list, const usher_seats_reply *page);
/* Append the seats whose bits are set, from block first_block on; a range that continues the list's last one prolongs
 * it. */
void seat_list_add_ranges(json_t *list, uint32_t first_block, const uint64_t *block, size_t count);
/* Whether the date goes on behind this page; then *asked asks for the next one. */
bool seat_list_next_page(const usher_seats_reply *page, usher_seats_request *asked);

#endif
