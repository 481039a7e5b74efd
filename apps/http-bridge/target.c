/* target.c: "/v1/concerts/1?after=2" into its parts. See target.h.
 *
 * The path is divided into segments before anything is decoded, so a decoded "/" never divides, and the query at "&"
 * and "=" as forms write it. What decodes to a control character or to what is not UTF-8 is refused: it could only be
 * mischief. */
#include "target.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* --- UTF-8 --------------------------------------------------------------------------------------------------- */
/* How many bytes follow this one, or -1 for a byte that begins nothing. */
static int
bytes_after(unsigned char byte)
{
    if (byte < 0x80)
        return 0;
    if (byte >= 0xc2 && byte <= 0xdf)
        return 1;
    if (byte >= 0xe0 && byte <= 0xef)
        return 2;
    return byte >= 0xf0 && byte <= 0xf4 ? 3 : -1;
}

/* Whether the second byte makes an overlong form, a surrogate or a number past the last. */
static bool
is_bad_pair(unsigned char first, unsigned char second)
{
    return (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
           (first == 0xf4 && second > 0x8f);
}

bool
target_is_utf8(const char *text, size_t size)
{
    const unsigned char *byte = (const unsigned char *)text;

    for (size_t i = 0; i < size; i++) {
        int after = bytes_after(byte[i]);
        if (after < 0 || size - i <= (size_t)after)
            return false;
        if (after > 0 && is_bad_pair(byte[i], byte[i + 1]))
            return false;
        for (; after > 0; after--) {
            if ((byte[++i] & 0xc0) != 0x80)
                return false;
        }
    }
    return true;
}

/* --- decoding -------------------------------------------------------------------------------------------------- */
struct reader {
    char *out; /* where the next text goes */
    unsigned status;
    const char *why;
};

static const char *
refuse(struct reader *reader, const char *why)
{
    if (reader->status == 0) {
        reader->status = 400;
        reader->why = why;
    }
    return "";
}

static int
hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Decode a piece; NULL-terminated in the reader's memory. */
static const char *
decode(struct reader *reader, const char *text, size_t size, bool plus_is_space)
{
    char *begin = reader->out;

    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '%') {
            int high = size - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return refuse(reader, "a % in the target is not followed by two hex digits");
            byte = (unsigned char)(high * 16 + low);
            i += 2;
            if (byte < ' ' || byte == 0x7f)
                return refuse(reader, "the target encodes a control character");
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        *reader->out++ = (char)byte;
    }
    if (!target_is_utf8(begin, (size_t)(reader->out - begin)))
        return refuse(reader, "the target encodes what is not UTF-8");
    *reader->out++ = '\0';
    return begin;
}

/* --- the parts --------------------------------------------------------------------------------------------------- */
static size_t
length_until(const char *text, size_t size, char end)
{
    const char *found = memchr(text, end, size);

    return found == NULL ? size : (size_t)(found - text);
}

/* path: with its first "/". */
static void
read_path(struct target *target, struct reader *reader, const char *path, size_t size)
{
    target->path = decode(reader, path, size, false);
    if (size == 1)
        return;
    for (size_t at = 1; at <= size; at++) {
        size_t length = length_until(path + at, size - at, '/');
        if (target->segment_count == TARGET_SEGMENTS_MOST) {
            if (reader->status == 0) {
                reader->status = 404;
                reader->why = "no path has so many segments";
            }
            return;
        }
        target->segment[target->segment_count++] = decode(reader, path + at, length, false);
        at += length;
    }
}

static void
read_query(struct target *target, struct reader *reader, const char *query, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        size_t length = length_until(query + at, size - at, '&');
        size_t name = length_until(query + at, length, '=');
        size_t i = target->query_count;
        if (length > 0 && i == TARGET_QUERY_MOST) {
            refuse(reader, "the query has more than 32 parameters");
            return;
        }
        if (length > 0) {
            target->name[i] = decode(reader, query + at, name, true);
            target->value[i] = name == length ? "" : decode(reader, query + at + name + 1, length - name - 1, true);
            target->query_count++;
            for (size_t other = 0; other < i && reader->status == 0; other++) {
                if (strcmp(target->name[other], target->name[i]) == 0)
                    refuse(reader, "the query has a parameter twice");
            }
        }
        at += length;
    }
}

/* "http://authority/path?query", which proxies send: keep the authority, and go on behind it. */
static size_t
read_authority(struct target *target, struct reader *reader, const char *text, size_t size)
{
    size_t length;

    if (size < 8 || strncasecmp(text, "http://", 7) != 0)
        return 0;
    length = length_until(text + 7, length_until(text + 7, size - 7, '?'), '/');
    memcpy(reader->out, text + 7, length);
    target->authority = reader->out;
    reader->out += length;
    *reader->out++ = '\0';
    return 7 + length;
}

unsigned
target_read(struct target *target, const char *text, size_t size, char *memory, const char **why)
{
    struct reader reader = {.out = memory};
    size_t at, length;

    memset(target, 0, sizeof *target);
    target->path = "";
    if (size == 1 && text[0] == '*') {
        target->is_server = true;
        return 0;
    }
    at = read_authority(target, &reader, text, size);
    length = length_until(text + at, size - at, '?');
    if (at > 0 && length == 0)
        read_path(target, &reader, "/", 1);
    else if (length == 0 || text[at] != '/')
        refuse(&reader, "the target does not begin with /");
    else
        read_path(target, &reader, text + at, length);
    if (at + length < size)
        read_query(target, &reader, text + at + length + 1, size - at - length - 1);
    *why = reader.why;
    return reader.status;
}
