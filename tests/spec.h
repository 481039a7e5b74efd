/* spec.h: SPEC.md as lines and examples, for the tests that compare it with the rows and with a server.
 *
 * Lines are numbered from 1. Whatever is not as expected fails the cmocka test that called, naming the line.
 * Link usher_test_spec. */
#ifndef TESTS_SPEC_H
#define TESTS_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The text of a line without its newline, NULL behind the last one. Lives for ever. */
const char *spec_line(size_t line_no);
/* The number of the first line at or behind from that is exactly this text, or begins with it. */
size_t spec_find(const char *text, size_t from);
size_t spec_find_prefix(const char *prefix, size_t from);
/* The line must be exactly what printf would make, or begin with it and go on with something. */
void spec_expect(size_t line_no, const char *format, ...) __attribute__((format(printf, 2, 3)));
void spec_expect_prefix(size_t line_no, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define SPEC_BYTES_MOST 4096u
#define SPEC_WORD_MOST  32u

/* A fenced block of hex: ```kind first second, lines of bytes in hex, .. for a byte that differs from run to run, and
 * comments from ; to the line's end. */
struct spec_example {
    size_t line_no; /* of the fence */
    char kind[SPEC_WORD_MOST];
    char first[SPEC_WORD_MOST];
    char second[SPEC_WORD_MOST];
    size_t size;
    uint8_t bytes[SPEC_BYTES_MOST]; /* 0 where not given */
    bool given[SPEC_BYTES_MOST];
    bool whole; /* every byte is given */
};

/* The next example of section 12 at or behind *line_no, which moves behind it. False behind the last one. */
bool spec_next_example(size_t *line_no, struct spec_example *example);
/* The one example of this kind whose first word is this one; first may be NULL. */
void spec_example_of(const char *kind, const char *first, struct spec_example *example);

#endif
