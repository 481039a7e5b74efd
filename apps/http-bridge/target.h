/* target.h: the target of a request: a path in segments, and a query in parameters, percent-decoded. */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>

#define TARGET_SEGMENTS_MOST 16
#define TARGET_QUERY_MOST    32

struct target {
    const char *path;                          /* "/a b/c": decoded, for messages */
    const char *segment[TARGET_SEGMENTS_MOST]; /* decoded one by one, after they were divided: "%2F" is no slash */
    size_t segment_count;                      /* "/" has none, "/a/" has two, the second is "" */
    const char *name[TARGET_QUERY_MOST], *value[TARGET_QUERY_MOST];
    size_t query_count;
    const char *authority; /* of "http://authority/path"; else NULL */
    bool is_server;        /* "*" */
};

/* Read a target of size bytes of visible ASCII. memory has 2 * size + 8 bytes and lives as long as the target. Returns
 * 0, or the status that it deserves; why gets the reason. */
unsigned target_read(struct target *target, const char *text, size_t size, char *memory, const char **why);

/* Whether bytes are UTF-8 in its one right form. */
bool target_is_utf8(const char *text, size_t size);

#endif
