/* language.h: which language a client reads, by Accept-Language. */
#ifndef BRIDGE_LANGUAGE_H
#define BRIDGE_LANGUAGE_H

enum language { LANGUAGE_ENGLISH, LANGUAGE_KOREAN, LANGUAGE_COUNT };

/* The better liked of the two; English when neither is named. header may be NULL. */
enum language language_of(const char *accept_language);
/* "en", "ko" */
const char *language_tag(enum language language);

/* A text in each of them. */
struct words {
    const char *in[LANGUAGE_COUNT];
};

#endif
