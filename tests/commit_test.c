/* commit_test.c: batches: as values, as commits, and when the disk fails. */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lmdb.h>

#include "protocol/codec.h"
#include "server/commit/batch.h"
#include "server/commit/commit.h"
#include "server/store/lmdb_call.h"

#define NOON 1750000000000u

struct house {
    struct store *store;
    struct core *core;
    struct commit *commit;
    char folder[64]; /* empty for a store in memory */
};

static void
open_parts(struct house *house)
{
    assert_non_null(house->store);
    house->core = core_open(house->store);
    assert_non_null(house->core);
    house->commit = commit_open(house->store, house->core);
    assert_non_null(house->commit);
}

static void
open_memory(struct house *house)
{
    memset(house, 0, sizeof *house);
    house->store = store_open_memory();
    open_parts(house);
}

static void
open_disk(struct house *house, uint64_t map_bytes)
{
    char why[256];

    memset(house, 0, sizeof *house);
    strcpy(house->folder, "/tmp/commit-test-XXXXXX");
    assert_non_null(mkdtemp(house->folder));
    const struct store_options options = {.directory = house->folder, .map_bytes = map_bytes, .unsafe_no_sync = true};
    assert_int_equal(store_open(&options, &house->store, why, sizeof why), STORE_OK);
    open_parts(house);
}

static void
close_house(struct house *house)
{
    static const char *const names[] = {"store.mdb", "store.mdb-lock"};
    char path[128];

    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    commit_close(house->commit);
    core_close(house->core);
    store_close(house->store);
    if (house->folder[0] == '\0')
        return;
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", house->folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(house->folder), 0);
}

/* --- commands ------------------------------------------------------------------------------------------ */
static usher_id
id_of(uint64_t number)
{
    usher_id id = {{0x01}};

    memcpy(id.bytes + 8, &number, sizeof number);
    return id;
}

static usher_uuid
user_of(uint64_t number)
{
    usher_uuid user = {{0x02}};

    memcpy(user.bytes + 8, &number, sizeof number);
    return user;
}

static struct core_asker
terminal_for(uint64_t user)
{
    return (struct core_asker){.role = USHER_ROLE_TERMINAL, .client_no = 1, .user = user_of(user)};
}

static bool
add_charge(struct house *house, uint64_t request, uint64_t user, int64_t amount, uint64_t tag)
{
    const struct core_asker asker = terminal_for(user);
    const usher_charge_request charge = {.request_id = id_of(request), .user = asker.user, .amount = amount};

    return commit_add(house->commit, usher_message_of(USHER_OPCODE_CHARGE), &asker, &charge, tag);
}

static bool
add_join(struct house *house, uint64_t request, uint64_t user, uint64_t tag)
{
    const struct core_asker asker = terminal_for(user);
    const usher_join_request join = {.request_id = id_of(request), .user = asker.user};

    return commit_add(house->commit, usher_message_of(USHER_OPCODE_JOIN), &asker, &join, tag);
}

static int64_t
balance_of(const struct house *house, uint64_t user)
{
    const usher_uuid uuid = user_of(user);
    const struct user_record *record = store_see_user(house->store, store_find_user(house->store, &uuid));

    return record == NULL ? 0 : record->balance;
}

/* --- a batch as a value -------------------------------------------------------------------------------- */
/* F2: what the journal keeps reads back as what was added: who asked, for whom, and the body. */
static void
a_batch_reads_back_as_it_was_written(void **state)
{
    struct house house;
    struct batch_reader reader;
    struct core_request request;
    static union {
        usher_charge_request charge;
        uint8_t room[16384];
    } body;
    size_t size;
    (void)state;

    open_memory(&house);
    assert_true(add_charge(&house, 7, 3, 250, 0));
    assert_true(add_join(&house, 8, 4, 1));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    const uint8_t *bytes = commit_batch(house.commit, &size);
    assert_true(batch_open(&reader, bytes, size));
    assert_int_equal(reader.stamp_ms, NOON);
    assert_int_equal(reader.count, 2);
    assert_true(batch_next(&reader, &request, &body));
    assert_int_equal(request.opcode, USHER_OPCODE_CHARGE);
    assert_int_equal(request.asker.role, USHER_ROLE_TERMINAL);
    assert_int_equal(request.asker.client_no, 1);
    assert_int_equal(body.charge.amount, 250);
    const usher_uuid user = user_of(3);
    assert_memory_equal(&request.asker.user, &user, sizeof user);
    assert_memory_equal(&body.charge.user, &user, sizeof user);
    assert_true(batch_next(&reader, &request, &body));
    assert_int_equal(request.opcode, USHER_OPCODE_JOIN);
    assert_false(batch_next(&reader, &request, &body));
    assert_true(batch_ended(&reader));
    close_house(&house);
}

/* The fingerprint that a command has in a batch of its own. */
static uint64_t
fingerprint(uint16_t opcode, const struct core_asker *asker, const void *body)
{
    static uint8_t scratch[16384];
    const usher_message *message = usher_message_of(opcode);
    struct forms forms;
    struct batch batch = {0};
    struct batch_reader reader;
    struct core_request request;

    forms_fill(&forms);
    assert_true(batch_begin(&batch, 1));
    assert_true(batch_add(&batch, forms_of(&forms, message), message, asker, body, scratch));
    assert_true(batch_open(&reader, batch.bytes, batch.size));
    assert_true(batch_next(&reader, &request, scratch));
    batch_free(&batch);
    return request.fingerprint;
}

/* M3: the fingerprint leaves the token out, and whether the user was named beside it; nothing else. */
static void
a_retry_has_the_same_fingerprint_whatever_token_it_carries(void **state)
{
    struct core_asker asker = terminal_for(9);
    usher_charge_request charge = {.request_id = id_of(1), .user = asker.user, .amount = 100};
    uint64_t first = fingerprint(USHER_OPCODE_CHARGE, &asker, &charge);
    (void)state;

    charge.token_count = 200;
    memset(charge.token, 0xaa, sizeof charge.token);
    assert_int_equal(fingerprint(USHER_OPCODE_CHARGE, &asker, &charge), first);
    memset(&charge.user, 0, sizeof charge.user);
    assert_int_equal(fingerprint(USHER_OPCODE_CHARGE, &asker, &charge), first);
    asker.position = 5;
    asker.has_token = 1;
    assert_int_equal(fingerprint(USHER_OPCODE_CHARGE, &asker, &charge), first);

    charge.amount = 101;
    assert_int_not_equal(fingerprint(USHER_OPCODE_CHARGE, &asker, &charge), first);
    charge.amount = 100;
    asker.user = user_of(10);
    assert_int_not_equal(fingerprint(USHER_OPCODE_CHARGE, &asker, &charge), first);
}

/* M3: LEAVE has no user field, but another user's is another request all the same. */
static void
the_asker_is_part_of_a_fingerprint_even_where_no_field_names_it(void **state)
{
    struct core_asker asker = terminal_for(9);
    const usher_leave_request leave = {.request_id = id_of(1)};
    uint64_t first = fingerprint(USHER_OPCODE_LEAVE, &asker, &leave);
    (void)state;

    asker.user = user_of(10);
    assert_int_not_equal(fingerprint(USHER_OPCODE_LEAVE, &asker, &leave), first);
}

/* M3: the proof in an ENROL differs on every connection; the enrolment that is meant does not. */
static void
an_enrolment_has_the_same_fingerprint_under_any_signature(void **state)
{
    const struct core_asker nobody = {0};
    usher_enrol_request enrol = {.request_id = id_of(1)};
    uint64_t first = fingerprint(USHER_OPCODE_ENROL, &nobody, &enrol);
    (void)state;

    memset(&enrol.signature, 0x55, sizeof enrol.signature);
    assert_int_equal(fingerprint(USHER_OPCODE_ENROL, &nobody, &enrol), first);
    enrol.code.bytes[0] = 1;
    assert_int_not_equal(fingerprint(USHER_OPCODE_ENROL, &nobody, &enrol), first);
}

/* A batch that was cut anywhere, or continued, is none, and nothing of it happens. */
static void
a_batch_that_was_cut_or_continued_is_not_replayed(void **state)
{
    struct house house, other;
    size_t size;
    (void)state;

    open_memory(&house);
    open_memory(&other);
    assert_true(add_charge(&house, 1, 1, 100, 0));
    assert_true(add_join(&house, 2, 2, 1));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    const uint8_t *bytes = commit_batch(house.commit, &size);
    uint8_t *copy = calloc(1, size + 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    for (size_t cut = 0; cut < size; cut++)
        assert_false(commit_replay(other.commit, 1, copy, cut));
    assert_false(commit_replay(other.commit, 1, copy, size + 1));
    assert_int_equal(store_position(other.store), 0);
    assert_true(commit_replay(other.commit, 1, copy, size));
    free(copy);
    close_house(&house);
    close_house(&other);
}

/* What a batch may not hold: a magic or version of something else, a query, an opcode that is none, a bad field. */
static void
a_batch_with_a_wrong_word_is_not_replayed(void **state)
{
    static const struct {
        size_t offset;
        uint8_t value;
    } rows[] = {
        {0, 'X'},                                                              /* magic */
        {4, BATCH_VERSION + 1},                                                /* version */
        {sizeof(struct batch_head), USHER_OPCODE_BALANCE & 0xff},              /* a query's opcode */
        {sizeof(struct batch_head) + 1, 0x77},                                 /* no opcode at all */
        {sizeof(struct batch_head) + sizeof(struct batch_command) + 17, 0xff}, /* token_count beyond its most */
    };
    struct house house, other;
    uint8_t copy[512];
    size_t size;
    (void)state;

    open_memory(&house);
    open_memory(&other);
    assert_true(add_charge(&house, 1, 1, 100, 0));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    const uint8_t *bytes = commit_batch(house.commit, &size);
    assert_true(size <= sizeof copy);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(copy, bytes, size);
        copy[rows[i].offset] = rows[i].value;
        assert_false(commit_replay(other.commit, 1, copy, size));
    }
    assert_int_equal(store_position(other.store), 0);
    close_house(&house);
    close_house(&other);
}

/* X4, S4: another store that applies the same batches in the same order has the same records after each of them. */
static void
replaying_every_batch_makes_the_same_records_after_each(void **state)
{
    struct house house, other;
    uint64_t now = NOON;
    (void)state;

    open_memory(&house);
    open_memory(&other);
    for (uint64_t round = 1; round <= 200; round++) {
        size_t size;
        now += round % 7 * 5000;
        for (uint64_t i = 0; i < round % 5; i++) {
            assert_true(add_charge(&house, round * 10 + i, 1 + round % 11, (int64_t)(round * 10), i));
            assert_true(add_join(&house, 100000 + round * 10 + i, round * 10 + i, 10 + i));
        }
        uint64_t before = store_position(house.store);
        assert_int_equal(commit_run(house.commit, now), STORE_DONE);
        if (store_position(house.store) == before)
            continue; /* no commands, and nothing was due */
        const uint8_t *bytes = commit_batch(house.commit, &size);
        assert_true(commit_replay(other.commit, before + 1, bytes, size));
        assert_int_equal(store_digest_recount(other.store), store_digest_recount(house.store));
        assert_int_equal(store_position(other.store), store_position(house.store));
    }
    assert_true(store_position(house.store) > 150);
    close_house(&house);
    close_house(&other);
}

/* X4: a batch is applied once, whoever brings it again; one that leaves a gap is not applied at all. */
static void
a_batch_of_an_old_position_is_left_alone_and_one_beyond_the_next_is_refused(void **state)
{
    struct house house, other;
    size_t size;
    (void)state;

    open_memory(&house);
    open_memory(&other);
    assert_true(add_charge(&house, 1, 1, 100, 0));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    const uint8_t *bytes = commit_batch(house.commit, &size);
    assert_false(commit_replay(other.commit, 2, bytes, size));
    assert_true(commit_replay(other.commit, 1, bytes, size));
    assert_int_equal(balance_of(&other, 1), 100);
    assert_true(commit_replay(other.commit, 1, bytes, size));
    assert_int_equal(balance_of(&other, 1), 100);
    assert_int_equal(store_position(other.store), 1);
    close_house(&house);
    close_house(&other);
}

/* X1: a batch that is stamped before the store's last moment would turn time back. */
static void
a_batch_from_the_past_is_not_replayed(void **state)
{
    struct house house, other;
    size_t size;
    (void)state;

    open_memory(&house);
    open_memory(&other);
    assert_true(add_charge(&other, 1, 1, 100, 0));
    assert_int_equal(commit_run(other.commit, NOON + 1), STORE_DONE);
    assert_true(add_charge(&house, 2, 1, 100, 0));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    const uint8_t *bytes = commit_batch(house.commit, &size);
    assert_false(commit_replay(other.commit, 2, bytes, size));
    assert_int_equal(store_position(other.store), 1);
    close_house(&house);
    close_house(&other);
}

/* --- a commit ------------------------------------------------------------------------------------------ */
/* Many commands are one batch at one position, answered in their order under the caller's tags. */
static void
a_batch_is_one_commit_and_answers_every_command_in_order(void **state)
{
    struct house house;
    usher_charge_reply reply;
    unsigned field_no;
    (void)state;

    open_memory(&house);
    for (uint64_t i = 0; i < 100; i++)
        assert_true(add_charge(&house, i + 1, 1, 10, 1000 + i));
    assert_int_equal(commit_count(house.commit), 100);
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    assert_int_equal(commit_count(house.commit), 0);
    assert_int_equal(store_position(house.store), 1);
    for (uint32_t i = 0; i < 100; i++) {
        struct commit_answer answer = commit_answer(house.commit, i);
        assert_int_equal(answer.tag, 1000 + i);
        assert_int_equal(answer.opcode, USHER_OPCODE_CHARGE);
        assert_int_equal(answer.result, USHER_OK);
        assert_false(answer.replayed);
        assert_int_equal(
            usher_decode(usher_message_of(answer.opcode)->reply, answer.body, answer.body_size, &reply, &field_no),
            USHER_OK);
        assert_int_equal(reply.balance, 10 * (i + 1));
    }
    close_house(&house);
}

/* M3: the same request again, in the same batch or a later one, gets the first answer and says so. */
static void
a_repeated_command_gets_the_first_answer_marked_as_replayed(void **state)
{
    struct house house;
    (void)state;

    open_memory(&house);
    assert_true(add_charge(&house, 1, 1, 100, 0));
    assert_true(add_charge(&house, 1, 1, 100, 1));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    assert_false(commit_answer(house.commit, 0).replayed);
    struct commit_answer again = commit_answer(house.commit, 1);
    assert_true(again.replayed);
    assert_int_equal(again.body_size, commit_answer(house.commit, 0).body_size);
    assert_memory_equal(again.body, commit_answer(house.commit, 0).body, again.body_size);

    assert_true(add_charge(&house, 1, 1, 100, 2));
    assert_true(add_charge(&house, 1, 1, 200, 3));
    assert_int_equal(commit_run(house.commit, NOON + 1), STORE_DONE);
    assert_true(commit_answer(house.commit, 0).replayed);
    assert_int_equal(commit_answer(house.commit, 1).result, USHER_MISMATCH);
    assert_int_equal(balance_of(&house, 1), 100);
    close_house(&house);
}

/* The batch is bounded: the command after the last that fits is refused, and has its place in the next. */
static void
a_full_batch_takes_no_further_command(void **state)
{
    struct house house;
    (void)state;

    open_memory(&house);
    for (uint64_t i = 0; i < COMMIT_COMMANDS_MOST; i++)
        assert_true(add_charge(&house, i + 1, 1, 1, i));
    assert_false(add_charge(&house, COMMIT_COMMANDS_MOST + 1, 1, 1, 0));
    assert_int_equal(commit_count(house.commit), COMMIT_COMMANDS_MOST);
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    assert_int_equal(balance_of(&house, 1), COMMIT_COMMANDS_MOST);
    assert_true(add_charge(&house, COMMIT_COMMANDS_MOST + 1, 1, 1, 0));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    assert_int_equal(balance_of(&house, 1), COMMIT_COMMANDS_MOST + 1);
    close_house(&house);
}

/* A turn without commands commits nothing as long as nothing is due. */
static void
a_batch_without_commands_and_with_nothing_due_is_no_commit(void **state)
{
    struct house house;
    (void)state;

    open_memory(&house);
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    assert_int_equal(store_position(house.store), 0);
    close_house(&house);
}

/* Q6, Q7: time alone makes a batch when a moment is due, at that moment and not one before. */
static void
a_due_moment_makes_a_batch_of_its_own(void **state)
{
    struct house house;
    (void)state;

    open_memory(&house);
    assert_true(add_join(&house, 1, 1, 0));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    uint64_t due = core_next_due_ms(house.core, NOON);
    assert_true(due > NOON && due != UINT64_MAX);
    assert_int_equal(commit_run(house.commit, due - 1), STORE_DONE);
    assert_int_equal(store_position(house.store), 1);
    assert_int_equal(commit_run(house.commit, due), STORE_DONE);
    assert_int_equal(store_position(house.store), 2);
    assert_int_equal(commit_stamp_ms(house.commit), due);
    close_house(&house);
}

/* X1: a clock that went back stamps with the last moment. */
static void
a_stamp_never_goes_back(void **state)
{
    struct house house;
    (void)state;

    open_memory(&house);
    assert_true(add_charge(&house, 1, 1, 1, 0));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    assert_true(add_charge(&house, 2, 1, 1, 0));
    assert_int_equal(commit_run(house.commit, NOON - 60000), STORE_DONE);
    assert_int_equal(commit_stamp_ms(house.commit), NOON);
    assert_int_equal(store_see_house(house.store, 0)->stamp_ms, NOON);
    close_house(&house);
}

/* --- when the disk fails -------------------------------------------------------------------------------- */
/* Every answer of a batch that was undone says so, with when to try again, and nothing of it is there. */
static void
assert_undone(struct house *house, uint32_t count, usher_result result, uint64_t digest)
{
    usher_refusal refusal;
    unsigned field_no;

    for (uint32_t i = 0; i < count; i++) {
        struct commit_answer answer = commit_answer(house->commit, i);
        assert_int_equal(answer.result, result);
        assert_false(answer.replayed);
        assert_int_equal(usher_decode(usher_refusal_layout(), answer.body, answer.body_size, &refusal, &field_no),
                         USHER_OK);
        assert_true(refusal.retry_after_ms > 0);
    }
    assert_int_equal(store_digest_recount(house->store), digest);
}

/* Two commands, with the nth call into LMDB failing. Returns false when the commit makes fewer calls. */
static bool
commit_with_a_fault(uint64_t nth, enum lmdb_fail_commit how, bool *undone)
{
    struct house house;

    open_disk(&house, 1u << 24);
    assert_true(add_charge(&house, 1, 1, 100, 0));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    uint64_t digest = store_digest_recount(house.store);

    lmdb_call_fail(nth, 1, EIO, how);
    assert_true(add_charge(&house, 2, 1, 10, 0));
    assert_true(add_join(&house, 3, 2, 1));
    enum store_outcome outcome = commit_run(house.commit, NOON + 1);
    bool failed = lmdb_call_count() >= nth;
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    assert_int_not_equal(outcome, STORE_LOST);
    *undone = outcome == STORE_UNDONE;
    if (*undone) {
        assert_undone(&house, 2, USHER_STORAGE_FAULT, digest);
        assert_int_equal(balance_of(&house, 1), 100);
        assert_true(add_charge(&house, 2, 1, 10, 0));
        assert_true(add_join(&house, 3, 2, 1));
        assert_int_equal(commit_run(house.commit, NOON + 2), STORE_DONE);
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(commit_answer(house.commit, i).result, USHER_OK);
        assert_false(commit_answer(house.commit, i).replayed);
    }
    assert_int_equal(balance_of(&house, 1), 110);
    close_house(&house);
    return failed;
}

/* S5, X3: whichever call of the commit fails, the whole batch is undone and answered STORAGE_FAULT, none half done; the
 * same requests then go through. */
static void
a_fault_at_any_call_undoes_the_whole_batch_and_answers_storage_fault(void **state)
{
    uint64_t undone_count = 0, nth = 1;
    bool undone;
    (void)state;

    for (; commit_with_a_fault(nth, LMDB_COMMIT_NOT_DONE, &undone); nth++)
        undone_count += undone;
    assert_false(undone); /* there was no call left to fail */
    assert_true(undone_count > 0);
}

/* X3: a commit that is reported as failed although it reached the disk is found there, and its commands are answered
 * as done: a retry would be answered as replayed, not carried out twice. */
static void
a_commit_of_unknown_outcome_that_is_on_the_disk_is_answered_as_done(void **state)
{
    uint64_t done_count = 0;
    bool undone;
    (void)state;

    for (uint64_t nth = 1; commit_with_a_fault(nth, LMDB_COMMIT_DONE, &undone); nth++)
        done_count += !undone;
    assert_true(done_count > 0);
}

/* X6: a full map answers STORAGE_FULL, loses nothing, and reading goes on. */
static void
a_full_map_answers_storage_full_and_keeps_what_was_acknowledged(void **state)
{
    struct house house;
    uint64_t request = 0;
    int64_t charged = 0;
    enum store_outcome outcome = STORE_DONE;
    (void)state;

    open_disk(&house, 1u << 20);
    while (outcome == STORE_DONE) {
        uint64_t digest = store_digest_recount(house.store);
        for (uint64_t i = 0; i < 100; i++) {
            request++;
            assert_true(add_charge(&house, request, request, 5, i));
        }
        outcome = commit_run(house.commit, NOON + request);
        if (outcome == STORE_DONE)
            charged += 500;
        else
            assert_undone(&house, 100, USHER_STORAGE_FULL, digest);
        assert_true(request < 1000000); /* 1 MiB does not hold that */
    }
    assert_int_equal(outcome, STORE_UNDONE);
    assert_true(charged > 0);
    assert_int_equal(store_balance_sum(house.store), charged);
    assert_int_equal(balance_of(&house, 1), 5);
    close_house(&house);
}

/* Hints for any request, of somebody known or not, end soon and change nothing. */
static void
hints_change_nothing_whatever_is_asked(void **state)
{
    struct house house;
    size_t message_count;
    const usher_message *messages = usher_messages(&message_count);
    uint8_t *body = NULL;

    (void)state;
    open_memory(&house);
    assert_true(add_charge(&house, 1, 1, 500, 0));
    assert_int_equal(commit_run(house.commit, NOON), STORE_DONE);
    uint64_t digest = store_digest_recount(house.store);
    for (unsigned filled = 0; filled < 3; filled++) {
        for (size_t i = 0; i < message_count; i++) {
            struct core_request request = {.opcode = messages[i].opcode, .asker = terminal_for(filled)};
            struct core_hint hint;
            unsigned steps = 1;

            body = realloc(body, messages[i].request->struct_size + 1);
            assert_non_null(body);
            memset(body, filled == 2 ? 0xff : (int)filled, messages[i].request->struct_size);
            request.asker.has_token = filled > 0;
            request.asker.position = filled;
            request.body = body;
            core_hint_begin(house.core, &request, &hint);
            while (core_hint_on(house.core, &hint))
                assert_true(++steps <= CORE_HINT_STEPS);
        }
    }
    assert_int_equal(store_digest_recount(house.store), digest);
    free(body);
    close_house(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_reads_back_as_it_was_written),
        cmocka_unit_test(a_retry_has_the_same_fingerprint_whatever_token_it_carries),
        cmocka_unit_test(the_asker_is_part_of_a_fingerprint_even_where_no_field_names_it),
        cmocka_unit_test(an_enrolment_has_the_same_fingerprint_under_any_signature),
        cmocka_unit_test(a_batch_that_was_cut_or_continued_is_not_replayed),
        cmocka_unit_test(a_batch_with_a_wrong_word_is_not_replayed),
        cmocka_unit_test(replaying_every_batch_makes_the_same_records_after_each),
        cmocka_unit_test(a_batch_of_an_old_position_is_left_alone_and_one_beyond_the_next_is_refused),
        cmocka_unit_test(a_batch_from_the_past_is_not_replayed),
        cmocka_unit_test(a_batch_is_one_commit_and_answers_every_command_in_order),
        cmocka_unit_test(a_repeated_command_gets_the_first_answer_marked_as_replayed),
        cmocka_unit_test(a_full_batch_takes_no_further_command),
        cmocka_unit_test(a_batch_without_commands_and_with_nothing_due_is_no_commit),
        cmocka_unit_test(a_due_moment_makes_a_batch_of_its_own),
        cmocka_unit_test(a_stamp_never_goes_back),
        cmocka_unit_test(hints_change_nothing_whatever_is_asked),
        cmocka_unit_test(a_fault_at_any_call_undoes_the_whole_batch_and_answers_storage_fault),
        cmocka_unit_test(a_commit_of_unknown_outcome_that_is_on_the_disk_is_answered_as_done),
        cmocka_unit_test(a_full_map_answers_storage_full_and_keeps_what_was_acknowledged),
    };
    return usher_test_main(argc, argv, tests);
}
