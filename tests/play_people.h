/* play_people.h: the people of a scene and what they remember: tokens, reservations, payments, refunds. */
#ifndef USHER_PLAY_PEOPLE_H
#define USHER_PLAY_PEOPLE_H

#include <stdbool.h>

#include "protocol/protocol.h"

struct play_token {
    uint32_t queue_id;
    uint64_t position;
};

/* Numbers in the order in which the house gave them, each once. */
struct play_numbers {
    uint64_t *at;
    size_t count, room;
};

struct play_person {
    char name[24];
    usher_uuid uuid; /* made from the name */
    struct play_token *tokens;
    size_t token_count, token_room;
    struct play_numbers reservations, payments, refunds;
    struct play_person *next; /* in its bucket */
};

struct play_people;

struct play_people *people_open(void);
void people_close(struct play_people *people);

/* The person of this name, made at first mention. NULL if the name is too long or empty. */
struct play_person *people_named(struct play_people *people, const char *name);
/* The person with this UUID, or NULL. */
struct play_person *people_of_uuid(const struct play_people *people, const usher_uuid *uuid);

/* "ann" or "ann.2": the person, and the number behind the dot (0 for none). NULL for anything else. */
struct play_person *people_reference(struct play_people *people, const char *text, size_t *number);

void person_got_token(struct play_person *person, uint32_t queue_id, uint64_t position);
void numbers_add(struct play_numbers *numbers, uint64_t number);

/* 16 or 32 bytes made from a word: the same for the same kind and word. */
void people_bytes(const char *kind, const char *word, uint8_t *out, size_t size);

#endif
