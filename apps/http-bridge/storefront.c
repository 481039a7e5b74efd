/* storefront.c: the storefront's files over HTTP.
 *
 * A browser may keep each file and asks whether it is still good every time (no-cache and an ETag), so a new version of
 * the bridge shows at once and an unchanged file costs a head. The policy allows what the page needs and nothing else:
 * scripts, styles and requests of this origin, pictures made in the page (the ticket's code); no frames, no forms, no
 * markup made of text. */
#include "storefront.h"

#include <assert.h>
#include <string.h>

static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
                             "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                             "require-trusted-types-for 'script'; trusted-types 'none'";

static const char *const types[] = {
    [STOREFRONT_HTML] = "text/html; charset=utf-8",
    [STOREFRONT_CSS] = "text/css; charset=utf-8",
    [STOREFRONT_JAVASCRIPT] = "text/javascript; charset=utf-8",
    [STOREFRONT_SVG] = "image/svg+xml",
};

static const struct storefront_file *
find_file(const char *path)
{
    for (size_t i = 0; i < storefront_file_count; i++) {
        if (strcmp(storefront_files[i].path, path) == 0)
            return &storefront_files[i];
    }
    return NULL;
}

void
storefront_get(struct http_exchange *exchange)
{
    const struct storefront_file *file = find_file(http_pattern(exchange));
    const char *known = http_header(exchange, "If-None-Match");

    assert(file != NULL); /* the routes are the rows' */
    http_add_header(exchange, "ETag", file->tag);
    http_add_header(exchange, "Cache-Control", "no-cache");
    http_add_header(exchange, "Content-Security-Policy", policy);
    http_add_header(exchange, "Referrer-Policy", "no-referrer");
    http_add_header(exchange, "Cross-Origin-Opener-Policy", "same-origin");
    http_add_header(exchange, "Cross-Origin-Resource-Policy", "same-origin");
    if (known != NULL && strstr(known, file->tag) != NULL) {
        http_respond(exchange, &(struct http_response){.status = 304});
        return;
    }
    http_respond(exchange, &(struct http_response){.status = 200,
                                                   .content_type = types[file->type],
                                                   .body = file->bytes,
                                                   .size = file->size,
                                                   .body_lasts = true});
}
