/* tape.c: see tape.h. */
#include "tests/sim/tape.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "protocol/codec.h"
#include "tests/play_people.h"

#define STEPS_A_COMMAND 6u   /* queries, wakes and the rest come on top */
#define BYTES_A_STEP    128u /* on average; plans are larger, most are smaller */

static void *
share(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        perror("usher-sim: no memory for the tape");
        exit(2);
    }
    return at;
}

struct tape *
tape_open(uint64_t commands)
{
    uint64_t steps = commands * STEPS_A_COMMAND + 65536;
    struct tape *tape = share(sizeof *tape);

    if (steps * BYTES_A_STEP > UINT32_MAX) {
        fputs("usher-sim: too many commands for one seed; take more seeds\n", stderr);
        exit(2);
    }
    tape->step_room = (uint32_t)steps;
    tape->byte_room = (uint32_t)(steps * BYTES_A_STEP);
    tape->steps = share(tape->step_room * sizeof *tape->steps);
    tape->bytes = share(tape->byte_room);
    tape->byte_count = 8; /* so that 0 is nowhere */
    return tape;
}

void
tape_close(struct tape *tape)
{
    munmap(tape->steps, tape->step_room * sizeof *tape->steps);
    munmap(tape->bytes, tape->byte_room);
    munmap(tape, sizeof *tape);
}

bool
tape_add(struct tape *tape, const struct step *step)
{
    if (tape->step_count == tape->step_room)
        return false;
    tape->steps[tape->step_count++] = *step;
    return true;
}

uint32_t
tape_put(struct tape *tape, const void *bytes, size_t size)
{
    uint32_t at = (tape->byte_count + 7) & ~7u; /* references are read where they lie */

    if (tape->byte_room - at < size)
        return 0;
    memcpy(tape->bytes + at, bytes, size);
    tape->byte_count = at + (uint32_t)size;
    return at;
}

/* --- making steps --------------------------------------------------------------------------------------- */
static const usher_field *
find(const usher_layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (strcmp(layout->fields[i].name, name) == 0)
            return &layout->fields[i];
    return NULL;
}

/* Fields that a step keeps apart are zero in its body. */
static void
clear_field(const usher_layout *layout, void *body, const char *name, size_t size)
{
    const usher_field *field = find(layout, name);

    if (field == NULL)
        return;
    if (field->count_offset != 0)
        memset((uint8_t *)body + field->count_offset, 0, sizeof(uint16_t));
    else
        memset((uint8_t *)body + field->offset, 0, size);
}

bool
step_ask(struct tape *tape, struct step *step, uint16_t opcode, const void *body, const struct reference *reservation,
         uint16_t reservation_count, const struct reference *payment)
{
    static uint8_t copy[USHER_FRAME_MAX], bytes[USHER_FRAME_MAX];
    struct reference all[17];
    const usher_layout *layout = usher_message_of(opcode)->request;

    memcpy(copy, body, layout->struct_size);
    clear_field(layout, copy, "token", 0);
    clear_field(layout, copy, "request_id", sizeof(usher_id));
    clear_field(layout, copy, "reservation", 0);
    clear_field(layout, copy, "user", sizeof(usher_uuid));
    size_t size = usher_encode(layout, copy, bytes, sizeof bytes);
    assert(size != SIZE_MAX);
    step->kind = STEP_ASK;
    step->opcode = opcode;
    step->body_size = (uint32_t)size;
    step->body = tape_put(tape, bytes, size);
    step->reservation_count = reservation_count;
    step->has_payment = payment != NULL;
    for (uint16_t i = 0; i < reservation_count; i++)
        all[i] = reservation[i];
    if (payment != NULL)
        all[reservation_count] = *payment;
    size_t count = (size_t)reservation_count + step->has_payment;
    if (count > 0)
        step->references = tape_put(tape, all, count * sizeof *all);
    return step->body != 0 && (count == 0 || step->references != 0);
}

/* --- words: the same bytes that a scene makes from them ------------------------------------------------- */
usher_uuid
word_person(uint32_t number)
{
    usher_uuid uuid;
    char word[16];

    snprintf(word, sizeof word, "p%u", number);
    people_bytes("person", word, uuid.bytes, sizeof uuid.bytes);
    return uuid;
}

usher_id
word_id(uint32_t number)
{
    usher_id id = {{0}};
    char word[16];

    if (number == 0)
        return id;
    snprintf(word, sizeof word, "i%u", number);
    people_bytes("id", word, id.bytes, sizeof id.bytes);
    return id;
}

usher_key
word_key(char letter, uint32_t number)
{
    usher_key key;
    char word[16];

    snprintf(word, sizeof word, "%c%u", letter, number);
    people_bytes("key", word, key.bytes, sizeof key.bytes);
    return key;
}

usher_key
word_code_hash(uint32_t number)
{
    usher_key code = word_key('c', number), hash;

    crypto_generichash(hash.bytes, sizeof hash.bytes, code.bytes, sizeof code.bytes, NULL, 0);
    return hash;
}
