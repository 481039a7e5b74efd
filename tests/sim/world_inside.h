/* world_inside.h: what the files of the world share.
 *
 *   world.c        batches, comparing, what is checked between them
 *   world_ask.c    steps of the tape to requests; what people remember
 *   world_house.c  the real house: opening, restarting, dropping
 *   world_text.c   answers and events as a scene writes them */
#ifndef SIM_WORLD_INSIDE_H
#define SIM_WORLD_INSIDE_H

#include "tests/sim/world.h"

#define WORLD_BATCH_MOST WORLD_STEPS_MOST
#define WORLD_BODY_MOST  131072u /* bytes of the largest reply's struct */

/* The clients as a scene numbers them. */
#define WORLD_CLIENT_ADMIN 2u

struct world_ask {
    uint32_t step;
    bool is_trace; /* the server's own, made by a query: no step of the tape */
    const usher_message *message;
    struct core_asker asker;
    size_t body; /* where its struct stands in world->bodies */
    uint64_t body_hash;
    uint32_t whom; /* the person that it is about, 0 for nobody */
};

/* --- world.c --- */
bool world_fail(struct world *world, uint32_t step, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool world_check(struct world *world, uint32_t step);

/* --- world_ask.c --- */
/* Add the request of this step to the batch; if it names what is not there, it is marked as omitted instead. */
void world_prepare(struct world *world, uint32_t step);
struct model_request model_request_of(const struct world *world, const struct world_ask *ask);
void world_note_result(struct world *world, const struct world_ask *ask, usher_result result, bool replayed);
/* Somebody got this OK. */
void world_remember(struct world *world, const struct world_ask *ask, const void *reply);

/* --- world_house.c --- */
void house_open(struct world *world);
void house_close(struct world *world);
bool house_restart(struct world *world, uint32_t step, bool drop);

/* --- world_text.c --- */
/* "OK", or "HELD until=12" with the fields in which the real reply differs; real may be NULL: all scalars. */
void text_of_expected(char *out, size_t size, usher_result result, bool replayed, const usher_layout *layout,
                      const void *expected, const void *real);
/* Every field. */
void text_of_body(char *out, size_t size, const usher_layout *layout, const void *body);
void text_of_events(char *out, size_t size, const usher_event *events, uint64_t count);
/* One field as name=value, or nothing if a scene can't write it. Returns the length. */
size_t text_of_field(char *out, size_t size, const usher_field *field, const void *body);

#endif
