/* determinism_test.c: the same commands make the same records and the same history, byte for byte: in memory and on
 * disk, over restarts, by replay, and in every build.
 *
 * tests/data/determinism.txt holds what one script comes to. Whichever compiler, optimisation or sanitizer built this
 * program, it compares with that figure. The figure may change with the schema of a record and with a rule of the
 * house, and with nothing else; the failing test prints the line that belongs there, and the commit that changes it
 * says why. */
#include "tests/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/script.h"
#include "tests/store_help.h"

#define SEED    UINT64_C(20250615)
#define BATCHES 1200u

struct house {
    struct store *store;
    struct core *core;
    struct commit *commit;
};

static void
open_house(struct house *house, const struct help_folder *folder)
{
    house->store = folder == NULL ? store_open_memory() : help_open(folder, NULL);
    assert_non_null(house->store);
    house->core = core_open(house->store);
    assert_non_null(house->core);
    house->commit = commit_open(house->store, house->core);
    assert_non_null(house->commit);
}

static void
close_house(struct house *house)
{
    commit_close(house->commit);
    core_close(house->core);
    store_close(house->store);
}

static void
same(const struct house *one, const struct house *other)
{
    assert_int_equal(store_position(one->store), store_position(other->store));
    assert_int_equal(store_digest(one->store), store_digest(other->store));
    assert_int_equal(store_history_digest(one->store), store_history_digest(other->store));
}

static void
audit(const struct house *house)
{
    char why[256];

    if (!core_audit(house->core, why, sizeof why))
        fail_msg("position %" PRIu64 ": %s", store_position(house->store), why);
}

static int
make_folder(void **state)
{
    static struct help_folder folder;

    help_folder_make(&folder);
    *state = &folder;
    return 0;
}

static int
remove_folder(void **state)
{
    help_folder_remove(*state);
    return 0;
}

/* --- the tests -------------------------------------------------------------------------------- */
/* X4: a store in memory, one on disk that is closed and opened time and again, and one that replays the encoded batches
 * have the same records and history after every batch. */
static void
the_same_batches_make_the_same_state_everywhere(void **state)
{
    struct house memory, disk, replayed;
    struct script of_memory, of_disk;

    open_house(&memory, NULL);
    open_house(&disk, *state);
    open_house(&replayed, NULL);
    script_begin(&of_memory, memory.store, memory.commit, SEED + 1);
    script_begin(&of_disk, disk.store, disk.commit, SEED + 1);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        size_t size;
        const uint8_t *bytes;

        assert_true(script_batch(&of_memory));
        assert_true(script_batch(&of_disk));
        bytes = commit_batch(disk.commit, &size);
        assert_true(commit_replay(replayed.commit, store_position(disk.store), bytes, size));
        same(&memory, &disk);
        same(&memory, &replayed);
        if (batch % 10 == 3)
            (void)store_idle(disk.store);
        if (batch % 60 == 59) {
            audit(&disk);
            close_house(&disk);
            open_house(&disk, *state);
            script_move(&of_disk, disk.store, disk.commit);
            same(&memory, &disk);
        }
    }
    assert_int_equal(store_digest_recount(memory.store), store_digest_recount(disk.store));
    close_house(&memory);
    close_house(&disk);
    close_house(&replayed);
}

/* S6, X4: the figure of every build. Each kind of command was carried out in it, so each is compared. */
static void
every_build_comes_to_the_same_digest(void **state)
{
    struct house house;
    struct script script;
    char line[160], kept[160] = "";
    FILE *file = fopen(DETERMINISM_PATH, "r");
    (void)state;

    open_house(&house, NULL);
    script_begin(&script, house.store, house.commit, SEED);
    for (unsigned batch = 0; batch < BATCHES; batch++)
        assert_true(script_batch(&script));
    audit(&house);
    assert_true(script.kind_count > 20);
    for (size_t kind = 0; kind < script.kind_count; kind++)
        if (script.kind[kind].ok == 0)
            fail_msg("none of %u commands of kind %s was carried out", (unsigned)script.kind[kind].asked,
                     usher_message_of(script.kind[kind].opcode)->name);
    snprintf(line, sizeof line,
             "commands %" PRIu64 " position %" PRIu64 " digest %016" PRIx64 " history %016" PRIx64 "\n", script.asked,
             store_position(house.store), store_digest_recount(house.store), store_history_digest(house.store));
    assert_non_null(file);
    assert_non_null(fgets(kept, sizeof kept, file));
    fclose(file);
    assert_string_equal(line, kept);
    close_house(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_batches_make_the_same_state_everywhere, make_folder, remove_folder),
        cmocka_unit_test(every_build_comes_to_the_same_digest),
    };

    return usher_test_main(argc, argv, tests);
}
