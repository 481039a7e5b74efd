/* instances_test.c: several usherd on one data directory, over real sockets (X4, S4). */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/instances.h"
#include "tests/instances_help.h"

#define INSTANCES 4u

/* --- scenes ------------------------------------------------------------------------------------------------------- */
/* X4: at the same position every instance has the same digest over all records. */
static void
instances_have_the_same_digest_at_the_same_position(void **state)
{
    struct house house;
    usher_info_reply first;
    (void)state;

    house_open(&house, INSTANCES);
    house_load(&house, INSTANCES, 200, 300);
    for (uint32_t i = 0; i < 200; i++) {
        usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1 + i % 30), .amount = 1 + i};
        house_must(&house.admin[i % INSTANCES], USHER_OPCODE_CHARGE, &ask, NULL);
    }
    first = house_info(&house, 0, true);
    for (unsigned number = 1; number < INSTANCES; number++) {
        usher_info_reply info = house_info(&house, number, true);
        assert_int_equal(info.position, first.position);
        assert_int_equal(info.digest, first.digest);
    }
    house_close(&house);
}

/* C3: what the organiser changes at one instance shows at once at every other, and its version with it. */
static void
a_change_of_the_catalogue_shows_at_once_at_another_instance(void **state)
{
    struct house house;
    usher_concerts_reply *reply = malloc(sizeof *reply);
    char title[32];
    (void)state;

    house_open(&house, 2);
    for (unsigned round = 0; round < 50; round++) {
        uint64_t version = house_info(&house, 1, false).catalogue_version;
        usher_concerts_request ask = {0};
        snprintf(title, sizeof title, "Title %u", round);
        house_put_concert(&house.admin[0], title);
        house_must(&house.admin[1], USHER_OPCODE_CONCERTS, &ask, reply);
        assert_int_equal(reply->concert_count, 1);
        assert_string_equal(reply->concert[0].title, title);
        assert_true(house_info(&house, 1, false).catalogue_version > version);
    }
    free(reply);
    house_close(&house);
}

/* M3, S4: a request that is sent again to another instance under the same id gets the first answer. */
static void
a_request_again_at_another_instance_gets_the_first_answer(void **state)
{
    struct house house;
    (void)state;

    house_open(&house, 2);
    for (unsigned round = 1; round <= 20; round++) {
        usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1), .amount = 100};
        usher_charge_reply first, again;
        house_must(&house.admin[round % 2], USHER_OPCODE_CHARGE, &ask, &first);
        house_must(&house.admin[1 - round % 2], USHER_OPCODE_CHARGE, &ask, &again);
        assert_true(house.admin[1 - round % 2].flags & USHER_FLAG_REPLAYED);
        assert_memory_equal(&first, &again, sizeof first);
        assert_int_equal(again.balance, 100 * round);
        ask.amount = 101;
        assert_int_equal(wire_ask(&house.admin[1 - round % 2], USHER_OPCODE_CHARGE, &ask, NULL), USHER_MISMATCH);
    }
    house_close(&house);
}

/* X4: a client that is enrolled at one instance is known at the next moment at another; one that is revoked loses its
 * connections everywhere. */
static void
a_client_is_known_and_revoked_at_every_instance(void **state)
{
    struct house house;
    struct wire wire;
    (void)state;

    house_open(&house, 2);
    usher_revoke_request revoke = {.request_id = wire_id(), .client_id = house_enrol_gateway(&house, 0, 0)};
    assert_true(house_connect_gateway(&house, &wire, house.server[1].port));
    house_must(&house.admin[0], USHER_OPCODE_REVOKE, &revoke, NULL);
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
    assert_false(house_connect_gateway(&house, &wire, house.server[1].port));
    wire_close(&wire);
    house_close(&house);
}

/* X4: instances on one port share its connections; when one dies, new ones all come to the other. */
static void
instances_on_one_port_share_its_connections(void **state)
{
    struct house house;
    struct wire wire[64];
    char address[32];
    (void)state;

    house_open(&house, 1);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)house.server[0].port);
    test_server_open_beside(&house.server[1], &house.server[0], 1);
    test_server_start(&house.server[1], "--verbose", "--listen", address, NULL);
    assert_int_equal(house.server[1].port, house.server[0].port);
    for (unsigned i = 0; i < 64; i++) {
        assert_true(wire_open(&wire[i], house.server[0].port));
        assert_int_equal(wire_login(&wire[i], house.server[0].admin_key), USHER_OK);
    }
    wire_close(&house.admin[0]);
    assert_int_equal(test_server_stop(&house.server[0], SIGKILL), -SIGKILL);
    unsigned alive = 0;
    for (unsigned i = 0; i < 64; i++) {
        usher_ping_request ping = {.echo = i};
        alive += wire_ask(&wire[i], USHER_OPCODE_PING, &ping, NULL) == USHER_OK;
        wire_close(&wire[i]);
    }
    assert_in_range(alive, 1, 63);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(wire_open(&wire[0], house.server[1].port));
        assert_int_equal(wire_login(&wire[0], house.server[1].admin_key), USHER_OK);
        wire_close(&wire[0]);
    }
    house_close(&house);
}

/* B2: the history of what one instance sold is written by whichever has a consumer. */
static void
another_instance_writes_the_history(void **state)
{
    struct house house;
    uint64_t until_ms = house_now_ms() + PATIENCE_MS;
    (void)state;

    house_open(&house, 1);
    wire_close(&house.admin[0]);
    assert_int_equal(test_server_stop(&house.server[0], SIGTERM), 0);
    test_server_start(&house.server[0], "--quiet", "--history", "off", NULL);
    house_connect_admin(&house, 0);
    test_server_open_beside(&house.server[1], &house.server[0], 1);
    test_server_start(&house.server[1], "--quiet", NULL);
    usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1), .amount = 100};
    house_must(&house.admin[0], USHER_OPCODE_CHARGE, &ask, NULL);
    usher_info_reply info = house_info(&house, 0, false);
    while (info.history_event_no < info.last_event_no) {
        assert_true(house_now_ms() < until_ms);
        poll(NULL, 0, 5);
        info = house_info(&house, 0, false);
    }
    house_close(&house);
}

/* X4: a second usherd says in one line that one runs already; --join is how it is meant. */
static void
a_second_usherd_is_refused_unless_it_joins(void **state)
{
    struct house house;
    char said[1024];
    (void)state;

    house_open(&house, 1);
    assert_int_equal(
        test_server_run(&house.server[0], house.server[0].data, said, sizeof said, "--listen", "127.0.0.1:0", NULL),
        75);
    assert_non_null(strstr(said, "already running"));
    assert_non_null(strstr(said, "--join"));
    house_close(&house);
}

/* X1, X4: an instance whose clock is off that of those who run does not join them, and says by how much. */
static void
a_clock_that_is_off_does_not_join(void **state)
{
    struct house house;
    char said[1024], wall_ms[32];
    (void)state;

    house_open(&house, 1);
    uint64_t now_ms = house.admin[0].stamp_ms;
    for (int ahead = 0; ahead < 2; ahead++) {
        snprintf(wall_ms, sizeof wall_ms, "%llu", (unsigned long long)(ahead ? now_ms + 3600000 : now_ms - 3600000));
        assert_int_equal(test_server_run(&house.server[0], house.server[0].data, said, sizeof said, "--join",
                                         "--listen", "127.0.0.1:0", "--wall-ms", wall_ms, NULL),
                         78);
        assert_non_null(strstr(said, ahead ? "ahead of" : "behind"));
        assert_non_null(strstr(said, "more than 5000"));
    }
    /* One that is a little off takes over the others' time. */
    test_server_open_beside(&house.server[1], &house.server[0], 1);
    snprintf(wall_ms, sizeof wall_ms, "%llu", (unsigned long long)now_ms + 1800000);
    test_server_start(&house.server[1], "--quiet", "--wall-ms", wall_ms, "--clock-skew-ms", "3600000", NULL);
    house_connect_admin(&house, 1);
    house_info(&house, 1, false);
    assert_true(house.admin[1].stamp_ms < now_ms + 1800000);
    house_close(&house);
}

/* X4: a port is shared with instances on the same data alone, whatever a stranger allows. */
static void
a_strangers_port_is_not_shared(void **state)
{
    struct house house;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int stranger = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    char said[1024], address[32];
    (void)state;

    house_open(&house, 1);
    assert_int_equal(setsockopt(stranger, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes), 0);
    assert_int_equal(bind(stranger, (struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(stranger, 4), 0);
    assert_int_equal(getsockname(stranger, (struct sockaddr *)&name, &size), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)ntohs(name.sin_port));
    assert_int_equal(
        test_server_run(&house.server[0], house.server[0].data, said, sizeof said, "--join", "--listen", address, NULL),
        69);
    assert_non_null(strstr(said, "is in use"));
    /* Nor with an usherd on other data. */
    char other[TEST_PATH_MOST + 8];
    snprintf(other, sizeof other, "%s.too", house.server[0].data);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)house.server[0].port);
    assert_int_equal(test_server_run(&house.server[0], other, said, sizeof said, "--join", "--listen", address, NULL),
                     69);
    close(stranger);
    house_close(&house);
}

/* --- the file of slots ----------------------------------------------------------------------------------------------
 */
static bool
is_rung(const struct instances *instances)
{
    struct pollfd bell = {.fd = instances_bell(instances), .events = POLLIN};

    return poll(&bell, 1, 0) == 1;
}

/* X4: a ring reaches every other instance at once and no ring is lost, however many come before one is answered. */
static void
a_commit_rings_every_other_instance(void **state)
{
    struct instances *group[3] = {NULL};
    char folder[] = "/tmp/usher-test-XXXXXX", why[256], path[64];
    uint64_t now_ms;
    (void)state;

    assert_non_null(mkdtemp(folder));
    for (unsigned i = 0; i < 3; i++) {
        if (instances_open(folder, i > 0, &group[i], why, sizeof why) != DIRECTORY_OK)
            fail_msg("%s", why);
        assert_int_equal(instances_number(group[i]), i + 1);
        assert_int_equal(instances_count(group[i]), i);
        assert_int_equal(instances_now_ms(group[i], 500, &now_ms), i > 0);
        instances_serve(group[i], i == 1 ? "127.0.0.1:4711" : "127.0.0.1:4712", 2000, 1000);
    }
    assert_true(instances_now_ms(group[0], 1500, &now_ms));
    assert_int_equal(now_ms, 2500);
    assert_true(instances_listen_on(group[0], "127.0.0.1:4711"));
    assert_false(instances_listen_on(group[1], "127.0.0.1:4711"));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned rings = 0; rings < 1000; rings++)
            instances_ring(group[0]);
        assert_false(is_rung(group[0]));
        for (unsigned i = 1; i < 3; i++) {
            assert_true(is_rung(group[i]));
            instances_answer(group[i]);
            assert_false(is_rung(group[i]));
        }
    }
    instances_close(group[1]);
    assert_int_equal(instances_count(group[0]), 1);
    assert_false(instances_listen_on(group[0], "127.0.0.1:4711"));
    instances_ring(group[0]);
    assert_true(is_rung(group[2]));
    assert_int_equal(instances_open(folder, false, &group[1], why, sizeof why), DIRECTORY_RUNNING);
    assert_int_equal(instances_open(folder, true, &group[1], why, sizeof why), DIRECTORY_OK);
    assert_int_equal(instances_number(group[1]), 2); /* the free slot */
    for (unsigned i = 0; i < 3; i++)
        instances_close(group[i]);
    snprintf(path, sizeof path, "%s/usherd.instances", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing else is left */
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(instances_have_the_same_digest_at_the_same_position),
        cmocka_unit_test(a_change_of_the_catalogue_shows_at_once_at_another_instance),
        cmocka_unit_test(a_request_again_at_another_instance_gets_the_first_answer),
        cmocka_unit_test(a_client_is_known_and_revoked_at_every_instance),
        cmocka_unit_test(instances_on_one_port_share_its_connections),
        cmocka_unit_test(another_instance_writes_the_history),
        cmocka_unit_test(a_second_usherd_is_refused_unless_it_joins),
        cmocka_unit_test(a_clock_that_is_off_does_not_join),
        cmocka_unit_test(a_strangers_port_is_not_shared),
        cmocka_unit_test(a_commit_rings_every_other_instance),
    };

    return usher_test_main(argc, argv, tests);
}
