/* language.c: see language.h. */
#include "language.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char *const tags[] = {[LANGUAGE_ENGLISH] = "en", [LANGUAGE_KOREAN] = "ko"};

const char *
language_tag(enum language language)
{
    return tags[language];
}

/* A weight as RFC 9110 writes it, in thousandths: "1", "0.8", "0.05"; 0 for what is none. */
static unsigned
weight_of(const char *text, size_t size)
{
    unsigned weight = 0, digit = 100;

    if (size > 0 && *text == '1')
        return 1000;
    for (size_t i = 2; i < size && i < 5 && text[i] >= '0' && text[i] <= '9'; i++, digit /= 10)
        weight += digit * (unsigned)(text[i] - '0');
    return weight;
}

/* What one entry ("ko-KR;q=0.8") says of a language: its weight, or -1 when it is about another. */
static int
entry_weight(const char *entry, size_t size, const char *tag)
{
    size_t name = strcspn(entry, ";, \t"), length = strlen(tag);
    const char *q = strstr(entry, "q=");

    if (name < length || strncasecmp(entry, tag, length) != 0 || (name > length && entry[length] != '-'))
        return -1;
    if (q == NULL || q >= entry + size)
        return 1000;
    return (int)weight_of(q + 2, size - (size_t)(q + 2 - entry));
}

enum language
language_of(const char *accept_language)
{
    int best[LANGUAGE_COUNT] = {0};
    const char *entry = accept_language;

    while (entry != NULL && *entry != 0) {
        entry += strspn(entry, ", \t");
        size_t size = strcspn(entry, ",");
        for (enum language one = 0; one < LANGUAGE_COUNT; one++) {
            int weight = entry_weight(entry, size, tags[one]);
            if (weight > best[one])
                best[one] = weight;
        }
        entry += size;
    }
    return best[LANGUAGE_KOREAN] > best[LANGUAGE_ENGLISH] ? LANGUAGE_KOREAN : LANGUAGE_ENGLISH;
}
