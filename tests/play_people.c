/* play_people.c: see play_people.h. People stand in buckets by name, for some scenes have thousands. */
#include "tests/play_people.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u

struct play_people {
    struct play_person *bucket[BUCKETS];
};

struct play_people *
people_open(void)
{
    struct play_people *people = calloc(1, sizeof *people);
    assert(people != NULL);
    assert(sodium_init() >= 0);
    return people;
}

void
people_close(struct play_people *people)
{
    if (people == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (people->bucket[i] != NULL) {
            struct play_person *person = people->bucket[i];
            people->bucket[i] = person->next;
            free(person->tokens);
            free(person->reservations.at);
            free(person->payments.at);
            free(person->refunds.at);
            free(person);
        }
    free(people);
}

void
people_bytes(const char *kind, const char *word, uint8_t *out, size_t size)
{
    char text[128];
    int length = snprintf(text, sizeof text, "usher scene %s %s", kind, word);

    assert(length > 0);
    assert((size_t)length < sizeof text);
    crypto_generichash(out, size, (const uint8_t *)text, (size_t)length, NULL, 0);
}

static size_t
bucket_of(const usher_uuid *uuid)
{
    return (uuid->bytes[0] | (size_t)uuid->bytes[1] << 8) % BUCKETS;
}

struct play_person *
people_named(struct play_people *people, const char *name)
{
    usher_uuid uuid;

    if (name[0] == '\0' || strlen(name) >= sizeof((struct play_person *)0)->name)
        return NULL;
    people_bytes("person", name, uuid.bytes, sizeof uuid.bytes);
    struct play_person *person = people_of_uuid(people, &uuid);
    if (person != NULL)
        return person;
    person = calloc(1, sizeof *person);
    assert(person != NULL);
    memcpy(person->name, name, strlen(name));
    person->uuid = uuid;
    person->next = people->bucket[bucket_of(&uuid)];
    people->bucket[bucket_of(&uuid)] = person;
    return person;
}

struct play_person *
people_of_uuid(const struct play_people *people, const usher_uuid *uuid)
{
    struct play_person *person = people->bucket[bucket_of(uuid)];

    while (person != NULL && memcmp(&person->uuid, uuid, sizeof *uuid) != 0)
        person = person->next;
    return person;
}

struct play_person *
people_reference(struct play_people *people, const char *text, size_t *number)
{
    char name[sizeof((struct play_person *)0)->name];
    const char *dot = strchr(text, '.');
    size_t length = dot != NULL ? (size_t)(dot - text) : strlen(text);

    *number = 0;
    if (length >= sizeof name)
        return NULL;
    memcpy(name, text, length);
    name[length] = '\0';
    if (dot != NULL) {
        char *end;
        *number = strtoul(dot + 1, &end, 10);
        if (*number == 0 || *end != '\0')
            return NULL;
    }
    return people_named(people, name);
}

void
person_got_token(struct play_person *person, uint32_t queue_id, uint64_t position)
{
    struct play_token token = {queue_id, position};

    /* A place found again becomes the latest token, but keeps its number among the tokens only if it is the last. */
    if (person->token_count > 0) {
        const struct play_token *last = &person->tokens[person->token_count - 1];
        if (last->queue_id == queue_id && last->position == position)
            return;
    }
    if (person->token_count == person->token_room) {
        person->token_room = person->token_room == 0 ? 4 : person->token_room * 2;
        person->tokens = realloc(person->tokens, person->token_room * sizeof *person->tokens);
        assert(person->tokens != NULL);
    }
    person->tokens[person->token_count++] = token;
}

void
numbers_add(struct play_numbers *numbers, uint64_t number)
{
    for (size_t i = 0; i < numbers->count; i++)
        if (numbers->at[i] == number)
            return;
    if (numbers->count == numbers->room) {
        numbers->room = numbers->room == 0 ? 8 : numbers->room * 2;
        numbers->at = realloc(numbers->at, numbers->room * sizeof *numbers->at);
        assert(numbers->at != NULL);
    }
    numbers->at[numbers->count++] = number;
}
