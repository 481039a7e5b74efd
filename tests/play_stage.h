/* play_stage.h: what the files of the scene player share; play.h says what a scene looks like.
 *
 *   play.c         lines and what each kind of line does
 *   play_ask.c     a line's request: who asks, for whom, with which token and fields
 *   play_stage.c   the two houses, their batches, and what is checked at each of them
 *   play_text.c    values of fields: text to bytes and back
 *   play_people.c  people, and the ids that they were given */
#ifndef USHER_PLAY_STAGE_H
#define USHER_PLAY_STAGE_H

#include "server/core/core.h"
#include "tests/play.h"
#include "tests/play_text.h"

#define PLAY_WORDS_MOST 512
#define PLAY_LINE_MOST  32768
#define PLAY_KEPT_MOST  16 /* lines that a line stands for, and their requests */
#define PLAY_REPLY_MOST (USHER_FRAME_MAX - USHER_HEADER_SIZE)

/* Two houses play each scene. The stage answers the lines. The twin gets the same batches and none of the queries: so
 * it shows that the core is a function of commands and stamps alone, and that a query leaves nothing behind. Before a
 * batch of one command the twin also makes and undoes it. */
struct house {
    struct store *store;
    struct core *core;
};

struct play {
    struct house stage, twin;
    struct play_people *people;
    uint64_t now_ms;
    bool wake, audit, batch_open;
    uint64_t down_since_ms; /* until the next batch has recorded it (X2); 0 for none */
    uint64_t line_count;  /* ever; fresh request ids come from it */
    uint64_t events_from; /* the last event before the line that `events` asks about */
    uint64_t reads[STORE_TABLE_END];
    uint8_t *reply; /* of the last line, a copy */
    size_t reply_size;
    void *kept[PLAY_KEPT_MOST]; /* by play_keep, freed by play_let_go or, after a failure, at the end */
    size_t kept_count;
    /* for what a failure prints */
    const char *test;
    char *past;
    const char *lines, *line;
    char came[PLAY_LINE_MOST];
};

/* One line, taken apart. The words point into text. */
struct line {
    char text[PLAY_LINE_MOST];
    char *words[PLAY_WORDS_MOST], *expected[PLAY_WORDS_MOST];
    size_t word_count, expected_count;
    bool has_arrow, joins, stays_open;
    uint64_t at_ms;
};

/* One request as the connection would hand it to the core. */
struct ask {
    const usher_message *message;
    struct core_request request;
    void *body;
    struct play_person *user; /* for whom; NULL for nobody */
};

/* Print the scene, why it failed and how to repeat it, and fail the test. */
void play_fail(struct play *play, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* Zeroed memory that is not lost when the test fails; play_let_go frees what was kept last. */
void *play_keep(struct play *play, size_t size);
void play_let_go(struct play *play);

/* --- play_ask.c --- */
/* Make the request of a line; ask->body is kept. */
void ask_make(struct play *play, const struct line *line, struct ask *ask);

/* --- play_stage.c --- */
/* Let the server wake at each due moment before this one, and go on to it. */
void stage_wake_until(struct play *play, uint64_t at_ms);
/* A batch without commands, whether or not anything is due. Returns whether it changed anything. */
bool stage_tick(struct play *play);
/* Apply a command in the open batch, or begin one for it; `alone` if nothing else will be in it. */
struct core_answer stage_apply(struct play *play, const struct ask *ask, bool alone);
/* Make the open batch durable, if one is open. */
void stage_close_batch(struct play *play);
/* Answer a query; then, once its answer has been copied, leave behind what it asks for. */
struct core_answer stage_query(struct play *play, const struct ask *ask, core_trace *trace);
void stage_leave_trace(struct play *play, const core_trace *trace);
/* Encode an answer: proves that it can be sent. Returns its size. */
size_t stage_encode(struct play *play, const struct core_answer *answer, uint8_t *out);
/* The checks between two batches. */
void stage_check(struct play *play);

#endif
