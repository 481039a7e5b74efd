/* strict.c: what a request may look like, byte by byte. See strict.h.
 *
 *     START -> METHOD -> TARGET -> VERSION -> LINE_LF -> LINE -+-> NAME -> VALUE -> LINE_LF
 *       |                                                      `-> END_LF: done
 *       `-> EMPTY_LF -> METHOD
 *
 *     SIZE -> (EXTENSION ->) SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE
 *                               `-> LINE, when the size was 0: trailers, as fields of a head */
#include "strict.h"

#include <string.h>

enum state {
    STATE_START,
    STATE_EMPTY_LF,
    STATE_METHOD,
    STATE_TARGET,
    STATE_VERSION,
    STATE_LINE_LF,
    STATE_LINE,
    STATE_NAME,
    STATE_VALUE,
    STATE_END_LF,
    STATE_SIZE,
    STATE_EXTENSION,
    STATE_SIZE_LF,
    STATE_DATA,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_DONE,
};

static enum strict_verdict
refuse(struct strict *strict, unsigned status, const char *why)
{
    strict->status = status;
    strict->why = why;
    return STRICT_REFUSED;
}

int
strict_is_token_byte(unsigned char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

/* Visible ASCII, but for what RFC 3986 never allows and clients have no reason to send. */
static int
is_target_byte(unsigned char byte)
{
    return byte > ' ' && byte < 0x7f && byte != '#' && byte != '"' && byte != '<' && byte != '>';
}

static int
is_value_byte(unsigned char byte)
{
    return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

static int
digit_of(unsigned char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

static enum strict_verdict
expect_line_feed(struct strict *strict, unsigned char byte, enum state next)
{
    if (byte != '\n')
        return refuse(strict, 400, "a CR is not followed by LF");
    strict->state = next;
    return next == STATE_DONE ? STRICT_DONE : STRICT_MORE;
}

/* --- the request line ------------------------------------------------------------------------------------- */
static enum strict_verdict
in_method(struct strict *strict, unsigned char byte)
{
    if (byte == ' ' && strict->in_part > 0) {
        strict->state = STATE_TARGET;
        strict->in_part = 0;
        return STRICT_MORE;
    }
    if (!strict_is_token_byte(byte))
        return refuse(strict, 400, "the request line does not begin with a method");
    if (++strict->in_part > STRICT_METHOD_MOST)
        return refuse(strict, 501, "there is no method with such a long name");
    return STRICT_MORE;
}

static enum strict_verdict
in_target(struct strict *strict, unsigned char byte)
{
    if (byte == ' ' && strict->in_part > 0) {
        strict->state = STATE_VERSION;
        strict->in_part = 0;
        return STRICT_MORE;
    }
    if (!is_target_byte(byte))
        return refuse(strict, 400, "the target has a byte that must be percent-encoded");
    strict->in_part++;
    return STRICT_MORE;
}

static enum strict_verdict
in_version(struct strict *strict, unsigned char byte)
{
    const char *version = strict->version;

    if (byte != '\r') {
        if (strict->in_part == sizeof strict->version)
            return refuse(strict, 400, "the request line does not end with HTTP/1.1");
        strict->version[strict->in_part++] = (char)byte;
        return STRICT_MORE;
    }
    if (strict->in_part != sizeof strict->version || memcmp(version, "HTTP/", 5) != 0 || version[5] < '0' ||
        version[5] > '9' || version[6] != '.' || version[7] < '0' || version[7] > '9')
        return refuse(strict, 400, "the request line does not end with HTTP/1.1");
    if (version[5] != '1' || version[7] > '1')
        return refuse(strict, 505, "HTTP/1.1 and HTTP/1.0 are spoken here");
    strict->state = STATE_LINE_LF;
    return STRICT_MORE;
}

static enum strict_verdict
in_start(struct strict *strict, unsigned char byte)
{
    if (byte == '\r' && strict->seen == 0) {
        strict->state = STATE_EMPTY_LF;
        return STRICT_MORE;
    }
    strict->state = STATE_METHOD;
    return in_method(strict, byte);
}

/* --- fields ------------------------------------------------------------------------------------------------- */
static enum strict_verdict
in_line(struct strict *strict, unsigned char byte)
{
    if (byte == '\r') {
        strict->state = STATE_END_LF;
        return STRICT_MORE;
    }
    if (byte == ' ' || byte == '\t')
        return refuse(strict, 400, "a header line is folded, or begins with a space");
    if (byte == ':')
        return refuse(strict, 400, "a header has no name");
    if (!strict_is_token_byte(byte))
        return refuse(strict, 400, "a header's name has a byte that no name has");
    if (++strict->fields > STRICT_FIELDS_MOST)
        return refuse(strict, 431, "there are more than 64 headers");
    strict->state = STATE_NAME;
    return STRICT_MORE;
}

static enum strict_verdict
in_name(struct strict *strict, unsigned char byte)
{
    if (byte == ':') {
        strict->state = STATE_VALUE;
        return STRICT_MORE;
    }
    if (byte == ' ' || byte == '\t')
        return refuse(strict, 400, "a header's name is not followed by its colon at once");
    if (!strict_is_token_byte(byte))
        return refuse(strict, 400, "a header's name has a byte that no name has");
    return STRICT_MORE;
}

static enum strict_verdict
in_value(struct strict *strict, unsigned char byte)
{
    if (byte == '\r') {
        strict->state = STATE_LINE_LF;
        return STRICT_MORE;
    }
    if (byte == '\n')
        return refuse(strict, 400, "a line ends with a bare LF");
    if (!is_value_byte(byte))
        return refuse(strict, 400, "a header's value has a control character");
    return STRICT_MORE;
}

static enum strict_verdict
take_head_byte(struct strict *strict, unsigned char byte)
{
    switch ((enum state)strict->state) {
    case STATE_START:
        return in_start(strict, byte);
    case STATE_EMPTY_LF:
        return expect_line_feed(strict, byte, STATE_METHOD);
    case STATE_METHOD:
        return in_method(strict, byte);
    case STATE_TARGET:
        return in_target(strict, byte);
    case STATE_VERSION:
        return in_version(strict, byte);
    case STATE_LINE_LF:
        return expect_line_feed(strict, byte, STATE_LINE);
    case STATE_LINE:
        return in_line(strict, byte);
    case STATE_NAME:
        return in_name(strict, byte);
    case STATE_VALUE:
        return in_value(strict, byte);
    case STATE_END_LF:
        return expect_line_feed(strict, byte, STATE_DONE);
    case STATE_SIZE:
    case STATE_EXTENSION:
    case STATE_SIZE_LF:
    case STATE_DATA:
    case STATE_DATA_CR:
    case STATE_DATA_LF:
    case STATE_DONE:
        break;
    }
    return refuse(strict, 400, "there are bytes behind the end");
}

static enum strict_verdict
take_counted_byte(struct strict *strict, unsigned char byte)
{
    enum strict_verdict verdict;

    if (strict->seen == STRICT_HEAD_MOST) {
        return strict->state == STATE_TARGET ? refuse(strict, 414, "the target is longer than 8 KiB")
                                             : refuse(strict, 431, "the headers are longer than 8 KiB");
    }
    verdict = take_head_byte(strict, byte);
    strict->seen++;
    return verdict;
}

void
strict_head_begin(struct strict *strict)
{
    memset(strict, 0, sizeof *strict);
    strict->state = STATE_START;
}

enum strict_verdict
strict_head(struct strict *strict, const char *bytes, size_t size, size_t *used)
{
    enum strict_verdict verdict = STRICT_MORE;

    for (*used = 0; *used < size && verdict == STRICT_MORE; ++*used)
        verdict = take_counted_byte(strict, (unsigned char)bytes[*used]);
    return verdict;
}

/* --- chunks --------------------------------------------------------------------------------------------------- */
static enum strict_verdict
in_size(struct strict *strict, unsigned char byte)
{
    int digit = digit_of(byte);

    if (digit >= 0) {
        if (++strict->in_part > 8)
            return refuse(strict, 400, "a chunk's size has more than 8 digits");
        strict->left = strict->left * 16 + (unsigned)digit;
        return STRICT_MORE;
    }
    if (strict->in_part == 0 || (byte != '\r' && byte != ';'))
        return refuse(strict, 400, "a chunk's size is not a number in hex digits");
    strict->state = byte == '\r' ? STATE_SIZE_LF : STATE_EXTENSION;
    return STRICT_MORE;
}

static enum strict_verdict
in_extension(struct strict *strict, unsigned char byte)
{
    if (byte == '\r') {
        strict->state = STATE_SIZE_LF;
        return STRICT_MORE;
    }
    if (!is_value_byte(byte) || ++strict->seen > STRICT_EXTENSION_MOST)
        return refuse(strict, 400, "a chunk's extension is too long, or has a control character");
    return STRICT_MORE;
}

/* The line of a chunk's size is whole: its data follows, or the trailers. */
static enum strict_verdict
end_size(struct strict *strict, unsigned char byte)
{
    enum strict_verdict verdict = expect_line_feed(strict, byte, strict->left > 0 ? STATE_DATA : STATE_LINE);

    strict->seen = 0;
    strict->in_part = 0;
    if (verdict == STRICT_MORE && strict->left > strict->body_most - strict->body)
        return refuse(strict, 413, "the body is longer than this resource takes");
    strict->body += strict->left;
    return verdict;
}

static enum strict_verdict
take_chunk_byte(struct strict *strict, unsigned char byte)
{
    switch ((enum state)strict->state) {
    case STATE_SIZE:
        return in_size(strict, byte);
    case STATE_EXTENSION:
        return in_extension(strict, byte);
    case STATE_SIZE_LF:
        return end_size(strict, byte);
    case STATE_DATA_CR:
        strict->state = STATE_DATA_LF;
        return byte == '\r' ? STRICT_MORE : refuse(strict, 400, "a chunk is longer than its size says");
    case STATE_DATA_LF:
        return expect_line_feed(strict, byte, STATE_SIZE);
    case STATE_START:
    case STATE_EMPTY_LF:
    case STATE_METHOD:
    case STATE_TARGET:
    case STATE_VERSION:
    case STATE_LINE_LF:
    case STATE_LINE:
    case STATE_NAME:
    case STATE_VALUE:
    case STATE_END_LF:
    case STATE_DATA:
    case STATE_DONE:
        break;
    }
    return take_counted_byte(strict, byte);
}

void
strict_chunks_begin(struct strict *strict, uint64_t body_most)
{
    memset(strict, 0, sizeof *strict);
    strict->state = STATE_SIZE;
    strict->body_most = body_most;
}

enum strict_verdict
strict_chunks(struct strict *strict, const char *bytes, size_t size, size_t *used)
{
    enum strict_verdict verdict = STRICT_MORE;

    *used = 0;
    while (*used < size && verdict == STRICT_MORE) {
        if (strict->state == STATE_DATA) {
            size_t take = size - *used < strict->left ? size - *used : (size_t)strict->left;
            *used += take;
            strict->left -= take;
            if (strict->left == 0)
                strict->state = STATE_DATA_CR;
            continue;
        }
        verdict = take_chunk_byte(strict, (unsigned char)bytes[(*used)++]);
    }
    return verdict;
}
