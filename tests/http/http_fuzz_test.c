/* http_fuzz_test.c: the inputs of tests/http/corpus, and some thousand made of them by a seed. ./usher test --fuzz goes
 * on from there with libFuzzer; what it finds becomes a file of the corpus. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http_fuzz.h"
#include "tests/test.h"

#define FILES_MOST 512
#define MADE       2000
#define SEED       20261128

static struct {
    uint8_t *bytes;
    size_t size;
} file[FILES_MOST];
static size_t file_count;

static int
add_file(const char *name)
{
    char path[1024];
    FILE *in;

    snprintf(path, sizeof path, "%s/%s", CORPUS_PATH, name);
    in = fopen(path, "rb");
    assert_non_null(in);
    assert_true(file_count < FILES_MOST);
    file[file_count].bytes = malloc(FUZZ_BYTES_MOST);
    file[file_count].size = fread(file[file_count].bytes, 1, FUZZ_BYTES_MOST, in);
    file_count++;
    return fclose(in);
}

static int
is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of their names, so that a seed makes the same inputs everywhere. */
static int
read_corpus(void **state)
{
    struct dirent **entries;
    int count = scandir(CORPUS_PATH, &entries, is_visible, alphasort);

    (void)state;
    for (int i = 0; i < count; i++) {
        add_file(entries[i]->d_name);
        free(entries[i]);
    }
    if (count > 0)
        free(entries);
    return file_count > 0 ? 0 : -1;
}

static int
forget_corpus(void **state)
{
    (void)state;
    for (size_t i = 0; i < file_count; i++)
        free(file[i].bytes);
    return 0;
}

static void
every_input_of_the_corpus_is_answered_alike_in_pieces(void **state)
{
    (void)state;
    assert_true(file_count > 50);
    for (size_t i = 0; i < file_count; i++)
        http_fuzz_one(file[i].bytes, file[i].size);
    assert_true(http_fuzz_answers > file_count);
    http_fuzz_end();
}

/* --- inputs that a seed makes ---------------------------------------------------------------------------------------
 */
static uint64_t dice = SEED;

static size_t
roll(size_t sides)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(dice >> 33) % sides;
}

/* One change of the bytes: another byte, one less, one more, a piece doubled, a piece of another input. */
static size_t
change(uint8_t *bytes, size_t size)
{
    static const char bites[] = "\r\n\0 \t:;/?%&=,0123456789abcdefGHP\x7f\x80\xff";
    size_t at = roll(size), length = 1 + roll(16), other = roll(file_count);

    if (size + 64 > FUZZ_BYTES_MOST)
        return size;
    switch (roll(5)) {
    case 0:
        bytes[at] = (uint8_t)bites[roll(sizeof bites - 1)];
        return size;
    case 1:
        memmove(bytes + at, bytes + at + 1, size - at - 1);
        return size - 1;
    case 2:
        memmove(bytes + at + 1, bytes + at, size - at);
        bytes[at] = (uint8_t)bites[roll(sizeof bites - 1)];
        return size + 1;
    case 3:
        length = length < size - at ? length : size - at;
        memmove(bytes + at + length, bytes + at, size - at);
        return size + length;
    default:
        length = length < file[other].size ? length : file[other].size;
        memmove(bytes + at + length, bytes + at, size - at);
        memcpy(bytes + at, file[other].bytes + roll(file[other].size - length + 1), length);
        return size + length;
    }
}

static void
thousands_of_inputs_that_a_seed_makes_break_nothing(void **state)
{
    uint8_t *bytes = malloc(FUZZ_BYTES_MOST);

    (void)state;
    for (int i = 0; i < MADE; i++) {
        size_t from = roll(file_count), size = file[from].size;
        memcpy(bytes, file[from].bytes, size);
        for (size_t changes = 1 + roll(4); changes > 0 && size > 2; changes--)
            size = change(bytes, size);
        http_fuzz_one(bytes, size);
    }
    assert_true(http_fuzz_answers > MADE / 2);
    assert_true(http_fuzz_refusals > MADE / 4);
    assert_true(http_fuzz_refusals < http_fuzz_answers);
    free(bytes);
    http_fuzz_end();
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_of_the_corpus_is_answered_alike_in_pieces),
        cmocka_unit_test(thousands_of_inputs_that_a_seed_makes_break_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, read_corpus, forget_corpus);
}
