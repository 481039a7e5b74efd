/* storefront.h: the page in which a person waits, chooses a seat, pays and gets a ticket (S1, F5). Its files are plain
 * ES modules below storefront/, part of the program; they speak to the bridge that they came from by /v1 alone. */
#ifndef STOREFRONT_H
#define STOREFRONT_H

#include <stddef.h>

#include "http.h"

enum storefront_type { STOREFRONT_HTML, STOREFRONT_CSS, STOREFRONT_JAVASCRIPT, STOREFRONT_SVG };

struct storefront_file {
    const char *path;
    enum storefront_type type;
    const char *tag; /* its ETag, quotes included */
    const unsigned char *bytes;
    size_t size;
};

/* Made of storefront.def by embed.cmake. */
extern const struct storefront_file storefront_files[];
extern const size_t storefront_file_count;

/* Answer with the file that the request's path names; 304 when the browser has it already. The path is a row's. */
void storefront_get(struct http_exchange *exchange);

#endif
