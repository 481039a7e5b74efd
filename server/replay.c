/* replay.c: usherd replay: the batches of a recording once more, on a fresh store, to the same digests. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/commit/commit.h"
#include "server/data.h"
#include "server/record.h"

struct replay {
    struct store *store;
    struct core *core;
    struct commit *commit;
    const char *directory; /* NULL: in memory alone */
};

__attribute__((format(printf, 2, 3))) static int
refuse(enum usherd_exit code, const char *format, ...)
{
    va_list arguments;

    fputs("usherd: replay: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return (int)code;
}

static int
open_parts(struct replay *replay)
{
    const struct store_options options = {.directory = replay->directory};
    enum store_status status = STORE_OK;
    char why[512];

    if (replay->directory == NULL)
        replay->store = store_open_memory();
    else
        status = store_open(&options, &replay->store, why, sizeof why);
    if (status != STORE_OK)
        return refuse(exit_of_store(status), "%s", why);
    replay->core = replay->store == NULL ? NULL : core_open(replay->store);
    replay->commit = replay->core == NULL ? NULL : commit_open(replay->store, replay->core);
    return replay->commit == NULL ? refuse(USHERD_FAULT, "no memory") : USHERD_DONE;
}

static void
close_parts(struct replay *replay)
{
    commit_close(replay->commit);
    core_close(replay->core);
    store_close(replay->store);
}

static int
apply(struct replay *replay, const struct record_frame *frame)
{
    const char *why;

    if (!commit_replay(replay->commit, frame->position, frame->batch, frame->size)) {
        if (store_fault(replay->store, &why) != STORE_OK)
            return refuse(USHERD_FAULT, "position %" PRIu64 ": %s", frame->position, why);
        return refuse(USHERD_DATA, "position %" PRIu64 ": its bytes are not a batch", frame->position);
    }
    if (store_position(replay->store) != frame->position)
        return USHERD_DONE; /* the directory had it, and later ones, already */
    if (store_digest(replay->store) == frame->records && store_history_digest(replay->store) == frame->history)
        return USHERD_DONE;
    return refuse(USHERD_UNSOUND,
                  "position %" PRIu64 ": digest %016" PRIx64 ", history %016" PRIx64 "; recorded were %016" PRIx64
                  " and %016" PRIx64,
                  frame->position, store_digest(replay->store), store_history_digest(replay->store), frame->records,
                  frame->history);
}

static int
apply_all(struct replay *replay, struct recording *recording)
{
    struct record_frame frame;
    enum record_status status;

    while ((status = recording_next(recording, &frame)) == RECORD_OK) {
        int code = apply(replay, &frame);

        if (code != USHERD_DONE)
            return code;
    }
    if (status != RECORD_END)
        return refuse(status == RECORD_FAULT ? USHERD_FAULT : USHERD_DATA, "%s", recording->why);
    printf("replay: position %" PRIu64 ", digest %016" PRIx64 ", history %016" PRIx64 "\n",
           store_position(replay->store), store_digest_recount(replay->store), store_history_digest(replay->store));
    return USHERD_DONE;
}

int
data_replay(char **argument)
{
    struct replay replay = {.directory = argument[1] == NULL ? NULL : argument[2]};
    struct recording recording;
    int code;

    if (argument[1] != NULL && strcmp(argument[1], "--data") != 0)
        return refuse(USHERD_USAGE, "there is no '%s'; usherd replay FILE [--data DIR]", argument[1]);
    if (recording_open(&recording, argument[0]) != RECORD_OK) {
        code = refuse(USHERD_DATA, "%s", recording.why);
    } else {
        code = open_parts(&replay);
        if (code == USHERD_DONE)
            code = apply_all(&replay, &recording);
        close_parts(&replay);
    }
    recording_close(&recording);
    return code;
}
