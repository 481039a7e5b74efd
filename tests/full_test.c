/* full_test.c: a real usherd whose disk fills up under load and gets room again (X6).
 *
 * Twice: by a limit on the size of its files that is set while it runs, which needs nobody's permission; and on a file
 * system of a few megabytes of its own, in a name space of its own, where the test may mount one. */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/server.h"
#include "tests/wire.h"

#define CHARGES_MOST   60000u
#define IN_FLIGHT      64u
#define AMOUNT         5
#define USERS          97u
#define REFUSED_ENOUGH 20u
#define LITTLE         (100 * 4096) /* bytes of room; whole pages, so that a write begins where there is none */

struct charges {
    struct test_server server;
    struct wire wire;
    usher_id *id; /* of each charge ever asked for */
    bool *done;   /* it was answered OK */
    uint32_t count, done_count;
    int64_t balance[USERS];
};

/* --- load --------------------------------------------------------------------------------------------------------- */
static void
open_charges(struct charges *charges)
{
    charges->id = calloc(CHARGES_MOST, sizeof *charges->id);
    charges->done = calloc(CHARGES_MOST, sizeof *charges->done);
    assert_non_null(charges->id);
    assert_non_null(charges->done);
    test_server_start(&charges->server, "--quiet", NULL);
    assert_true(wire_open(&charges->wire, charges->server.port));
    assert_int_equal(wire_login(&charges->wire, charges->server.admin_key), USHER_OK);
}

/* The operator reads what it is, not LMDB's word for a write that fell short. */
static void
log_says_full(const struct charges *charges)
{
    static char text[1 << 20];

    test_server_log(&charges->server, text, sizeof text);
    assert_non_null(strstr(text, "event=commit_undone"));
    assert_true(strstr(text, "the disk is full") != NULL || strstr(text, "No space left on device") != NULL);
    assert_null(strstr(text, "Input/output error"));
}

static void
close_charges(struct charges *charges)
{
    log_says_full(charges);
    wire_close(&charges->wire);
    test_server_close(&charges->server);
    free(charges->id);
    free(charges->done);
}

static void
send_charge(struct charges *charges, uint32_t number)
{
    usher_charge_request ask = {.request_id = charges->id[number], .user = wire_user(number % USERS), .amount = AMOUNT};

    assert_int_not_equal(wire_send(&charges->wire, USHER_OPCODE_CHARGE, &ask), 0);
}

/* Send these charges at once and take their answers, which come in order. Returns how many were done; the others must
 * have been refused for want of room. */
static uint32_t
charge_some(struct charges *charges, uint32_t first, uint32_t count)
{
    struct wire_frame frame;
    uint32_t done = 0;

    for (uint32_t i = 0; i < count; i++)
        send_charge(charges, first + i);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(wire_receive(&charges->wire, &frame));
        if (frame.result != USHER_OK) {
            assert_int_equal(frame.result, USHER_STORAGE_FULL);
            continue;
        }
        assert_false(charges->done[first + i]);
        charges->done[first + i] = true;
        charges->balance[(first + i) % USERS] += AMOUNT;
        charges->done_count++;
        done++;
    }
    return done;
}

static uint32_t
charge_new(struct charges *charges, uint32_t count)
{
    assert_true(charges->count + count < CHARGES_MOST);
    for (uint32_t i = 0; i < count; i++)
        charges->id[charges->count + i] = wire_id();
    charges->count += count;
    return charge_some(charges, charges->count - count, count);
}

/* Until writes are refused: many at once, then, where a large batch finds no room and a small one does, one by one. */
static void
charge_until_full(struct charges *charges)
{
    while (charge_new(charges, IN_FLIGHT) == IN_FLIGHT)
        continue;
    for (uint32_t refused = 0; refused < REFUSED_ENOUGH;)
        refused += 1 - charge_new(charges, 1);
}

/* --- looking ------------------------------------------------------------------------------------------------------ */
/* Reads go on: balances, the house, and the answer to every charge that was acknowledged, and to no other. */
static void
check_reads(struct charges *charges)
{
    usher_info_request info = {0};
    usher_info_reply house;

    for (uint32_t user = 0; user < USERS; user++) {
        usher_balance_request ask = {.user = wire_user(user)};
        usher_balance_reply reply;
        assert_int_equal(wire_ask(&charges->wire, USHER_OPCODE_BALANCE, &ask, &reply), USHER_OK);
        assert_int_equal(reply.balance, charges->balance[user]);
    }
    assert_int_equal(wire_ask(&charges->wire, USHER_OPCODE_INFO, &info, &house), USHER_OK);
    assert_int_equal(house.ledger_sum, 0);
    assert_int_equal(house.top_ups, -(int64_t)charges->done_count * AMOUNT);
    for (uint32_t i = charges->count > 2000 ? charges->count - 2000 : 0; i < charges->count; i++) {
        usher_lookup_request ask = {.user = wire_user(i % USERS), .request_id = charges->id[i]};
        usher_lookup_reply reply;
        unsigned result = wire_ask(&charges->wire, USHER_OPCODE_LOOKUP, &ask, &reply);
        assert_int_equal(result, charges->done[i] ? USHER_OK : USHER_REQUEST_NOT_FOUND);
    }
}

/* There is room again: what was refused is asked for again under the same ids. Nobody has told the server. */
static void
charge_the_refused(struct charges *charges)
{
    for (uint32_t i = 0; i < charges->count; i++)
        if (!charges->done[i])
            assert_int_equal(charge_some(charges, i, 1), 1);
    assert_int_equal(charges->done_count, charges->count);
}

static usher_info_reply
info_of(struct charges *charges)
{
    usher_info_request ask = {0};
    usher_info_reply reply;

    assert_int_equal(wire_ask(&charges->wire, USHER_OPCODE_INFO, &ask, &reply), USHER_OK);
    return reply;
}

/* Fill it up twice, then kill the server while it is full, and after all. */
static void
fill_and_empty(struct charges *charges, void (*fill)(struct charges *charges), void (*empty)(struct charges *charges))
{
    for (int round = 0; round < 2; round++) {
        charge_until_full(charges);
        check_reads(charges);
        empty(charges);
        charge_the_refused(charges);
        check_reads(charges);
        fill(charges);
    }
    empty(charges);
    usher_info_reply before = info_of(charges);
    wire_close(&charges->wire);
    assert_int_equal(test_server_stop(&charges->server, SIGKILL), -SIGKILL);
    test_server_start(&charges->server, "--quiet", NULL);
    assert_true(wire_open(&charges->wire, charges->server.port));
    assert_int_equal(wire_login(&charges->wire, charges->server.admin_key), USHER_OK);
    usher_info_reply after = info_of(charges);
    assert_int_equal(after.entry_count, before.entry_count);
    assert_int_equal(after.answer_count, before.answer_count);
    assert_int_equal(after.position, before.position + 1); /* the downtime is recorded (X2), */
    assert_int_equal(after.last_event_no, before.last_event_no + 1);
    check_reads(charges);
    print_message("%u charges, each done once\n", charges->done_count);
}

/* --- a limit on the size of files -----------------------------------------------------------------------------------
 */
static void
limit_files(struct charges *charges, rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(prlimit(charges->server.pid, RLIMIT_FSIZE, NULL, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(prlimit(charges->server.pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

/* A little more than the store has now. */
static void
limit_to_a_little_more(struct charges *charges)
{
    char path[TEST_PATH_MOST + 16];
    struct stat file;

    snprintf(path, sizeof path, "%s/store.mdb", charges->server.data);
    assert_int_equal(stat(path, &file), 0);
    limit_files(charges, (rlim_t)file.st_size + LITTLE);
}

static void
lift_limit(struct charges *charges)
{
    limit_files(charges, RLIM_INFINITY);
}

/* X6: the store's file may not grow any more: writes stop with STORAGE_FULL, reads go on, nothing acknowledged is lost,
 * and it goes on by itself. */
static void
a_file_that_may_not_grow_stops_writes_until_it_may(void **state)
{
    struct charges charges = {0};
    (void)state;

    test_server_open(&charges.server);
    open_charges(&charges);
    limit_to_a_little_more(&charges);
    fill_and_empty(&charges, limit_to_a_little_more, lift_limit);
    close_charges(&charges);
}

/* --- a small file system ---------------------------------------------------------------------------------------------
 */
static void
filler_path(const struct charges *charges, char path[TEST_PATH_MOST + 16])
{
    snprintf(path, TEST_PATH_MOST + 16, "%s/usherd.filler", charges->server.data);
}

/* All but a little is somebody else's. */
static void
fill_disk(struct charges *charges)
{
    char path[TEST_PATH_MOST + 16];
    struct statvfs system;

    filler_path(charges, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fstatvfs(fd, &system), 0);
    off_t left = (off_t)(system.f_bavail * system.f_frsize);
    assert_true(left > LITTLE);
    assert_int_equal(posix_fallocate(fd, 0, left - LITTLE), 0);
    close(fd);
}

static void
make_room_on_disk(struct charges *charges)
{
    char path[TEST_PATH_MOST + 16];

    filler_path(charges, path);
    assert_int_equal(unlink(path), 0);
}

static bool
may_mount(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* X6: as above, with a disk that is really full. The mount is seen by this process and its children alone, and is gone
 * with them. */
static void
a_full_disk_stops_writes_until_there_is_room(void **state)
{
    struct charges charges = {0};
    (void)state;

    if (!may_mount())
        skip(); /* only root may; the test above needs nothing */
    test_server_open(&charges.server);
    assert_int_equal(mkdir(charges.server.data, 0700), 0);
    assert_int_equal(mount("none", charges.server.data, "tmpfs", 0, "size=64m,mode=0700"), 0);
    open_charges(&charges);
    fill_disk(&charges);
    fill_and_empty(&charges, fill_disk, make_room_on_disk);
    wire_close(&charges.wire);
    assert_int_equal(test_server_stop(&charges.server, SIGKILL), -SIGKILL);
    assert_int_equal(umount(charges.server.data), 0);
    close_charges(&charges);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_may_not_grow_stops_writes_until_it_may),
        cmocka_unit_test(a_full_disk_stops_writes_until_there_is_room),
    };

    return usher_test_main(argc, argv, tests);
}
