/* kill_test.c: SIGKILL at random moments under load (X3, S5). */
#include "tests/test.h"

#include "tests/kill.h"

#define INSTANCES 3
#define KILLS     50
#define SEED      1

/* X3, M3, S5: fifty times a server is killed in the middle of its work, and nothing that it acknowledged is missing or
 * was done twice. */
static void
fifty_kills_under_load_lose_nothing_acknowledged(void **state)
{
    struct kill_counts counts;
    (void)state;

    kill_again_and_again(INSTANCES, KILLS, 0, SEED, &counts);
    print_message("%llu kills of %d servers: %llu commands acknowledged, %llu answers looked up; %llu sent again, of "
                  "which %llu had been done\n",
                  (unsigned long long)counts.kills, INSTANCES, (unsigned long long)counts.acknowledged,
                  (unsigned long long)counts.looked_up, (unsigned long long)counts.retried,
                  (unsigned long long)counts.replayed);
    assert_int_equal(counts.kills, KILLS);
    assert_true(counts.acknowledged > 10 * KILLS);
    assert_true(counts.looked_up == counts.acknowledged);
    assert_true(counts.retried > KILLS);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifty_kills_under_load_lose_nothing_acknowledged),
    };

    return usher_test_main(argc, argv, tests);
}
