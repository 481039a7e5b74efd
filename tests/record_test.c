/* record_test.c: recordings, and usherd replay, which makes the same records of them again. */
#include "tests/test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/record.h"
#include "tests/sale.h"
#include "tests/server.h"
#include "tests/wire.h"

#define BUYERS    40u
#define FILE_MOST 4194304

enum {
#define USHERD_EXIT(code, NAME, when) EXIT_##NAME = (code),
#include "server/exits.def"
};

struct stage {
    struct test_server server; /* its folder; most tests start nothing in it */
    char path[TEST_PATH_MOST + 16];
    uint8_t *bytes; /* the recording */
    size_t size;
    uint64_t position, digest, history;
};

struct taping {
    struct sale *sale;
    FILE *file;
};

static void
tape(void *context, uint64_t position, const uint8_t *batch, size_t size)
{
    const struct taping *taping = context;

    assert_true(record_add(taping->file, &(struct record_frame){.position = position,
                                                                .records = store_digest(taping->sale->store),
                                                                .history = store_history_digest(taping->sale->store),
                                                                .batch = batch,
                                                                .size = size}));
}

static void
read_recording(struct stage *stage)
{
    FILE *file = fopen(stage->path, "rb");

    assert_non_null(file);
    stage->bytes = malloc(FILE_MOST);
    assert_non_null(stage->bytes);
    stage->size = fread(stage->bytes, 1, FILE_MOST, file);
    assert_true(stage->size < FILE_MOST);
    fclose(file);
}

static void
write_recording(const struct stage *stage, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(stage->path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A small sale to its end, recorded. */
static void
make_recording(struct stage *stage)
{
    struct sale sale;
    struct sale_buyer buyers[BUYERS];
    struct taping taping = {.sale = &sale};
    char why[640];

    assert_true(sale_open(&sale, NULL, why, sizeof why));
    taping.file = record_open(stage->path, 0, why, sizeof why);
    assert_non_null(taping.file);
    commit_watch(sale.commit, tape, &taping);
    assert_true(sale_add_house(&sale));
    assert_int_equal(sale_run(&sale), STORE_DONE);
    for (uint32_t at = 0; at < BUYERS; at++)
        buyers[at] = (struct sale_buyer){.number = at + 1};
    for (unsigned step = 0; step < SALE_STEPS; step++) {
        for (uint32_t at = 0; at < BUYERS; at++)
            assert_true(sale_add(&sale, &buyers[at]));
        assert_int_equal(sale_run(&sale), STORE_DONE);
        for (uint32_t at = 0; at < BUYERS; at++)
            assert_true(sale_take(&sale, &buyers[at], at));
    }
    stage->position = store_position(sale.store);
    stage->digest = store_digest_recount(sale.store);
    stage->history = store_history_digest(sale.store);
    fclose(taping.file);
    sale_close(&sale);
    read_recording(stage);
}

static int
open_stage(void **state)
{
    static struct stage stage;

    memset(&stage, 0, sizeof stage);
    test_server_open(&stage.server);
    snprintf(stage.path, sizeof stage.path, "%s/recording", stage.server.folder);
    *state = &stage;
    return 0;
}

static int
close_stage(void **state)
{
    struct stage *stage = *state;

    free(stage->bytes);
    unlink(stage->path);
    test_server_close(&stage->server);
    return 0;
}

static int
replay(struct stage *stage, char *said, size_t said_size, const char *more, const char *directory)
{
    return test_server_run(&stage->server, NULL, said, said_size, "replay", stage->path, more, directory, NULL);
}

static void
is_told(const struct stage *stage, const char *said)
{
    char line[160];

    snprintf(line, sizeof line, "replay: position %" PRIu64 ", digest %016" PRIx64 ", history %016" PRIx64 "\n",
             stage->position, stage->digest, stage->history);
    assert_non_null(strstr(said, line));
}

/* --- the tests -------------------------------------------------------------------------------- */
/* X4: a recording replays to the digests of who made it, in memory and in a directory; a second time it changes
 * nothing. */
static void
a_recording_replays_to_the_same_digest(void **state)
{
    struct stage *stage = *state;
    const struct store_options options = {.directory = stage->server.data};
    struct store *store;
    char said[4096];

    make_recording(stage);
    assert_int_equal(stage->position, 1 + SALE_STEPS);
    assert_int_equal(replay(stage, said, sizeof said, NULL, NULL), 0);
    is_told(stage, said);
    for (int times = 0; times < 2; times++) {
        assert_int_equal(replay(stage, said, sizeof said, "--data", stage->server.data), 0);
        is_told(stage, said);
    }
    assert_int_equal(store_open(&options, &store, said, sizeof said), STORE_OK);
    assert_int_equal(store_digest_recount(store), stage->digest);
    assert_int_equal(store_history_digest(store), stage->history);
    store_close(store);
}

/* X4: a flipped bit anywhere, and a cut anywhere but between two frames, is refused, and the place is named. */
static void
a_damaged_recording_is_refused_with_the_place(void **state)
{
    struct stage *stage = *state;
    char said[4096];
    uint8_t *copy;

    make_recording(stage);
    copy = malloc(stage->size);
    assert_non_null(copy);
    for (unsigned at = 0; at < 24; at++) {
        size_t byte = at < 12 ? at * 5 : stage->size / 24 * at;

        memcpy(copy, stage->bytes, stage->size);
        copy[byte] ^= (uint8_t)(1u << at % 8);
        write_recording(stage, copy, stage->size);
        assert_int_equal(replay(stage, said, sizeof said, NULL, NULL), EXIT_DATA);
        assert_non_null(strstr(said, "recording, byte "));
        assert_null(strstr(said, "replay: position"));
    }
    free(copy);
    for (unsigned at = 1; at < 12; at++) {
        write_recording(stage, stage->bytes, stage->size / 12 * at);
        assert_int_equal(replay(stage, said, sizeof said, NULL, NULL), EXIT_DATA);
        assert_non_null(strstr(said, "cut short"));
    }
}

/* X4: a frame that is missing is a gap, named by the positions on both sides; a recording that does not begin at the
 * beginning is one from its first byte. */
static void
a_gap_is_named(void **state)
{
    struct stage *stage = *state;
    struct recording recording;
    struct record_frame frame;
    uint64_t begins[4];
    char said[4096];
    uint8_t *copy;

    make_recording(stage);
    assert_int_equal(recording_open(&recording, stage->path), RECORD_OK);
    for (size_t at = 0; at < 4; at++) {
        begins[at] = recording.offset;
        assert_int_equal(recording_next(&recording, &frame), RECORD_OK);
    }
    recording_close(&recording);
    copy = malloc(stage->size);
    assert_non_null(copy);
    for (size_t gone = 0; gone < 3; gone++) {
        char gap[64];

        memcpy(copy, stage->bytes, begins[gone]);
        memcpy(copy + begins[gone], stage->bytes + begins[gone + 1], stage->size - begins[gone + 1]);
        write_recording(stage, copy, stage->size - (begins[gone + 1] - begins[gone]));
        assert_int_equal(replay(stage, said, sizeof said, NULL, NULL), EXIT_DATA);
        snprintf(gap, sizeof gap, "after position %zu: a gap: the next frame is position %zu", gone, gone + 2);
        assert_non_null(strstr(said, gap));
    }
    free(copy);
}

/* X4: where the records become others than they were, replay says at which position. */
static void
a_replay_that_differs_names_the_position(void **state)
{
    struct stage *stage = *state;
    struct recording recording;
    struct record_frame frame;
    char said[4096], other[TEST_PATH_MOST + 24];
    FILE *file;

    make_recording(stage);
    snprintf(other, sizeof other, "%s/other", stage->server.folder);
    file = record_open(other, 0, said, sizeof said);
    assert_non_null(file);
    assert_int_equal(recording_open(&recording, stage->path), RECORD_OK);
    while (recording_next(&recording, &frame) == RECORD_OK) {
        frame.records += frame.position == 3;
        assert_true(record_add(file, &frame));
    }
    recording_close(&recording);
    fclose(file);
    assert_int_equal(test_server_run(&stage->server, NULL, said, sizeof said, "replay", other, NULL), EXIT_UNSOUND);
    assert_non_null(strstr(said, "position 3: digest "));
    unlink(other);
}

/* X4: usherd --record has every batch from the first admin on, over restarts; it does not begin in the middle. */
static void
a_servers_recording_replays_over_its_restarts(void **state)
{
    struct stage *stage = *state;
    const struct store_options options = {.directory = stage->server.data};
    struct store *store;
    char said[8192];

    for (unsigned start = 0; start < 3; start++) {
        struct wire wire;

        test_server_start(&stage->server, "--record", stage->path, NULL);
        assert_true(wire_open(&wire, stage->server.port));
        assert_int_equal(wire_login(&wire, stage->server.admin_key), USHER_OK);
        for (uint32_t queue = 1; queue <= 10; queue++) {
            usher_put_queue_request put = {.request_id = wire_id(), .queue_id = queue + 10 * start, .name = "Hall"};

            assert_int_equal(wire_ask(&wire, USHER_OPCODE_PUT_QUEUE, &put, NULL), USHER_OK);
        }
        wire_close(&wire);
        assert_int_equal(test_server_stop(&stage->server, start == 1 ? SIGKILL : SIGTERM), start == 1 ? -SIGKILL : 0);
    }
    assert_int_equal(store_open(&options, &store, said, sizeof said), STORE_OK);
    stage->position = store_position(store);
    stage->digest = store_digest_recount(store);
    stage->history = store_history_digest(store);
    assert_true(stage->position >= 31);
    assert_int_equal(store_record_count(store, STORE_TABLE_QUEUE), 31);
    store_close(store);
    assert_int_equal(replay(stage, said, sizeof said, NULL, NULL), 0);
    is_told(stage, said);
    assert_int_equal(unlink(stage->path), 0);
    assert_int_equal(test_server_run(&stage->server, stage->server.data, said, sizeof said, "--listen", "127.0.0.1:0",
                                     "--record", stage->path, NULL),
                     EXIT_DATA);
    assert_non_null(strstr(said, "a recording has every batch"));
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_recording_replays_to_the_same_digest, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_damaged_recording_is_refused_with_the_place, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_gap_is_named, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_replay_that_differs_names_the_position, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_servers_recording_replays_over_its_restarts, open_stage, close_stage),
    };

    return usher_test_main(argc, argv, tests);
}
