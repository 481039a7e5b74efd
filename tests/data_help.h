/* data_help.h: what the tests of usherd's verbs share: a real usherd that has sold some seats, and its data afterwards.
 * Whatever goes wrong in here fails the test that called. */
#ifndef TESTS_DATA_HELP_H
#define TESTS_DATA_HELP_H

#include "tests/test.h"

#include "server/store/store.h"
#include "tests/server.h"
#include "tests/wire.h"

#define DATA_USERS 6u

struct data_stage {
    struct test_server server;
    struct wire admin;
    char said[65536]; /* by the last verb */
};

/* Start a usherd, put a concert of two dates of 20 seats, let some users charge, hold, pay, give back and wait. */
void data_stage_open(struct data_stage *stage);
/* Wait until the history has taken every event in, and stop it: by SIGKILL the last batches stay in the journal. */
void data_stage_stop(struct data_stage *stage, int signal_no);
void data_stage_close(struct data_stage *stage);

/* Run usherd with a verb and its arguments; NULL for one that it does not take. Returns its exit code. */
int data_run(struct data_stage *stage, const char *verb, const char *first, const char *second);
/* The same, which must end with this code and have said this. */
void data_must(struct data_stage *stage, int code, const char *text, const char *verb, const char *first,
               const char *second);

/* A path in the stage's folder; good until the fourth call after it. */
const char *data_path(const struct data_stage *stage, const char *name);

struct data_bytes {
    uint8_t *bytes;
    size_t size;
};
struct data_bytes data_read(const char *path);
void data_write(const char *path, const void *bytes, size_t size);

#endif
