/* fake_script_test.c: the language of the fake house's faults: what it refuses and where, and which line is due. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "client-sdk/fake/src/script.h"
#include "protocol/protocol.h"

static struct fake_fault
ask(struct fake_script *script, uint16_t opcode)
{
    return fake_script_due(script, FAKE_AT_REQUEST, opcode, false);
}

static void
add(struct fake_script *script, const char *lines)
{
    char why[200] = "";

    if (!fake_script_add(script, lines, why, sizeof why))
        fail_msg("%s: %s", lines, why);
}

/* A line that can't be right is refused with its place and the reason, and nothing of the script is taken. */
static void
a_mistake_is_named_with_its_line_and_column(void **state)
{
    static const struct {
        const char *script, *why;
    } rows[] = {
        {"nonsense: cut", "line 1, column 1: there is no request \"nonsense\""},
        {"pay: cut\n\n  hold: cut", "line 3, column 3: there is no request \"hold\""},
        {"pay: cut; touch: cut", "line 1, column 11: there is no request \"touch\""},
        {"push pay: drop", "line 1, column 6: there is no push \"pay\""},
        {"push : drop", "line 1, column 6: the name of a push is missing"},
        {"pay,: cut", "line 1, column 5: the name of a request is missing"},
        {"pay cut", "line 1, column 5: a colon is missing behind the selector"},
        {"pay #2: cut", "line 1, column 5: a colon is missing behind the selector"},
        {"pay:", "line 1, column 5: there is no action \"\""},
        {"pay: explode", "line 1, column 6: there is no action \"explode\""},
        {"pay: lose", "line 1, column 6: there is no action \"lose\""},
        {"pay: cut,", "line 1, column 10: there is no action \"\""},
        {"pay: cut cut", "line 1, column 10: \"cut\" is too much"},
        {"pay: cut, cut", "line 1, column 11: \"cut\" stands here twice"},
        {"pay: delay", "line 1, column 11: a number is missing"},
        {"pay: delay 0", "line 1, column 12: the number must be from 1 to 60000"},
        {"pay: delay 60001", "line 1, column 12: the number must be from 1 to 60000"},
        {"pay: delay 5ms", "line 1, column 12: this is not a number"},
        {"pay: delay 99999999999999999999999", "line 1, column 12: the number is too large"},
        {"pay#0: cut", "line 1, column 5: the number must be from 1 to 18446744073709551614"},
        {"pay#4-2: cut", "line 1, column 7: the number must be from 4 to 18446744073709551614"},
        {"pay*: cut", "line 1, column 5: a number is missing"},
        {"pay: refuse", "line 1, column 12: there is no result \"\" to refuse with"},
        {"pay: refuse OK", "line 1, column 13: there is no result \"OK\" to refuse with"},
        {"pay: refuse busy", "line 1, column 13: there is no result \"busy\" to refuse with"},
        {"pay: push nothing", "line 1, column 11: there is no push \"nothing\""},
        {"pay: drop, delay 5", "line 1, column 19: \"drop\": what is dropped can't be given anything else to do"},
        {"pay: lose reply, garble", "line 1, column 24: \"lose reply\": a lost reply can't be shaped"},
        {"pay: lose reply, cut 7", "line 1, column 23: \"cut\": there is no answer to be cut off"},
        {"pay: apply, refuse BUSY", "line 1, column 24: \"refuse\": what is refused is not applied"},
        {"pay: cut, reset", "line 1, column 16: \"cut\": a connection ends once"},
        {"pay: reorder, delay 5",
         "line 1, column 22: \"reorder\": it waits for another answer or for a time, not for both"},
        {"charge: forge",
         "line 1, column 14: \"forge\": only hello, join, pay and receipt are answered with a signature"},
        {"any: forge", "line 1, column 11: \"forge\": only hello, join, pay and receipt are answered with a signature"},
        {"push place: apply", "line 1, column 13: \"apply\" can't happen to this"},
        {"connect: garble", "line 1, column 10: \"garble\" can't happen to this"},
        {"connect: cut 7", "line 1, column 15: \"cut\": there is no answer to be cut off"},
        {"after 7 bytes: delay 5", "line 1, column 16: \"delay\" can't happen to this"},
        {"after 0 bytes: cut", "line 1, column 7: the number must be from 1 to 18446744073709551615"},
        {"after 7: cut", "line 1, column 8: the word \"bytes\" is missing"},
        {"seed 1: drop", "line 1, column 9: dice are \"random faults p=...\""},
        {"seed 1: random faults", "line 1, column 22: the probability \"p=...\" is missing"},
        {"seed 1: random faults p=0", "line 1, column 26: a probability is above 0 and at most 1"},
        {"seed 1: random faults p=1.5", "line 1, column 28: a probability is above 0 and at most 1"},
        {"seed 1: random faults p=0.1 of", "line 1, column 31: there is no action \"\""},
        {"seed x: random faults p=0.1", "line 1, column 6: a number is missing"},
    };
    struct fake_script script = {.count = 0};
    char why[200];

    (void)state;
    add(&script, "join: cut");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        why[0] = 0;
        assert_false(fake_script_add(&script, rows[i].script, why, sizeof why));
        assert_string_equal(why, rows[i].why);
        assert_false(fake_script_add(&script, rows[i].script, NULL, 0));
        assert_int_equal(script.count, 1);
    }
    fake_script_clear(&script);
}

/* What the header shows can be written: comments, blanks, semicolons, and every action where it may stand. */
static void
what_may_be_written_is_taken(void **state)
{
    struct fake_script script = {.count = 0};

    (void)state;
    add(&script, "");
    add(&script, " # nothing but a comment\n\n;;\r\n");
    assert_int_equal(script.count, 0);
    add(&script, "join: delay 30\n"
                 "pay#2: apply, lose reply, cut # the second payment\n"
                 "reserve: drop;any#5: duplicate\r\n"
                 "\tcharge , balance : reorder\n"
                 "hello: refuse BUSY 20\n"
                 "push place,seat_changes: drop\n"
                 "push any#2-: trickle 3, delay 9\n"
                 "after 7 bytes*1: cut\n"
                 "after 1 byte read: reset\n"
                 "connect#1-3: delay 5\n"
                 "seed 7: random faults p=0.05\n"
                 "seed 8: random p=1 of drop | delay 5, trickle | apply, cut\n"
                 "join,pay,receipt: forge\n"
                 "pay: reply, push going_away, garbage 500, renumber, version 2, garble, cut 7");
    assert_int_equal(script.count, 15);
    assert_string_equal(script.rule[1].selector, "pay#2");
    assert_string_equal(script.rule[4].selector, "charge , balance");
    assert_int_equal(script.rule[14].fault->number[FAKE_GARBAGE], 500);
    assert_true(script.rule[14].fault->push_behind);
    assert_int_equal(script.rule[12].fault_count, 3);
    fake_script_clear(&script);
    assert_int_equal(script.count, 0);
}

/* A selector counts what it means, whether another line strikes or not; the first line that is due strikes alone. */
static void
the_first_line_that_is_due_strikes(void **state)
{
    struct fake_script script = {.count = 0};

    (void)state;
    add(&script, "pay#2: cut\nany#2-3: drop\npay,charge*1: delay 7\nany: garble");
    assert_int_equal(ask(&script, USHER_OPCODE_PAY).number[FAKE_DELAY], 7); /* pay 1, any 1 */
    assert_int_equal(ask(&script, USHER_OPCODE_PAY).actions, FAKE_BIT(FAKE_CUT));
    assert_int_equal(ask(&script, USHER_OPCODE_PLACE).actions, FAKE_BIT(FAKE_DROP));
    assert_int_equal(ask(&script, USHER_OPCODE_CHARGE).actions, FAKE_BIT(FAKE_GARBLE));
    assert_int_equal(fake_script_due(&script, FAKE_AT_REQUEST, USHER_OPCODE_HELLO, true).actions, 0);
    assert_int_equal(fake_script_due(&script, FAKE_AT_PUSH, USHER_PUSH_PLACE, false).actions, 0);
    assert_int_equal(script.rule[0].struck, 1);
    assert_int_equal(script.rule[1].struck, 1);
    assert_int_equal(script.rule[2].struck, 1);
    assert_int_equal(script.rule[3].struck, 1);
    assert_int_equal(script.struck[FAKE_DROP], 1);
    fake_script_clear(&script);
}

/* Two lines for one time each are two times, one after the other. */
static void
lines_for_one_time_each_follow_one_another(void **state)
{
    struct fake_script script = {.count = 0};

    (void)state;
    add(&script, "any*1: cut; any*2: drop");
    assert_int_equal(ask(&script, USHER_OPCODE_PING).actions, FAKE_BIT(FAKE_CUT));
    assert_int_equal(ask(&script, USHER_OPCODE_PING).actions, FAKE_BIT(FAKE_DROP));
    assert_int_equal(ask(&script, USHER_OPCODE_PING).actions, FAKE_BIT(FAKE_DROP));
    assert_int_equal(ask(&script, USHER_OPCODE_PING).actions, 0);
    fake_script_clear(&script);
}

/* Lines about bytes are armed for a connection; they strike when it gets so far. */
static void
lines_about_bytes_are_armed_when_a_connection_comes(void **state)
{
    struct fake_script script = {.count = 0};
    uint64_t bytes = 0;
    size_t rule_no = 9;

    (void)state;
    add(&script, "after 7 bytes#2*1: reset\nafter 9 bytes read: cut");
    assert_false(fake_script_arm(&script, FAKE_AT_SENT, &bytes, &rule_no));
    assert_true(fake_script_arm(&script, FAKE_AT_SENT, &bytes, &rule_no));
    assert_int_equal(bytes, 7);
    assert_int_equal(script.rule[0].struck, 0);
    assert_true(fake_script_ends_by_reset(&script, rule_no));
    assert_int_equal(script.rule[0].struck, 1);
    assert_true(fake_script_arm(&script, FAKE_AT_READ, &bytes, &rule_no));
    assert_int_equal(bytes, 9);
    assert_false(fake_script_ends_by_reset(&script, rule_no));
    fake_script_clear(&script);
}

/* The same seed throws the same dice; they strike about as often as p says, and every fault of the list comes up. */
static void
the_same_seed_throws_the_same_dice(void **state)
{
    struct fake_script one = {.count = 0}, same = {.count = 0}, other = {.count = 0};
    unsigned differences = 0;

    (void)state;
    add(&one, "seed 7: random faults p=0.25");
    add(&same, "seed 7: random faults p=0.25");
    add(&other, "seed 8: random faults p=0.25");
    for (unsigned i = 0; i < 4000; i++) {
        struct fake_fault a = ask(&one, USHER_OPCODE_PAY), b = ask(&same, USHER_OPCODE_PAY);

        assert_int_equal(a.actions, b.actions);
        assert_memory_equal(a.number, b.number, sizeof a.number);
        assert_int_equal(a.result, b.result);
        assert_int_equal(a.push, b.push);
        assert_int_equal(a.push_behind, b.push_behind);
        differences += ask(&other, USHER_OPCODE_PAY).actions != a.actions;
    }
    assert_true(differences > 100);
    assert_in_range(one.rule[0].struck, 800, 1200);
    for (unsigned i = 0; i < FAKE_ACTION_COUNT; i++)
        assert_true(one.struck[i] > 0 || i == FAKE_FORGE);
    fake_script_clear(&one);
    fake_script_clear(&same);
    fake_script_clear(&other);
}

/* In the handshake the dice never make the server look like another one: that would end a client for good. */
static void
dice_spare_what_a_handshake_can_not_survive(void **state)
{
    struct fake_script script = {.count = 0};

    (void)state;
    add(&script, "seed 7: random faults p=1");
    for (unsigned i = 0; i < 1000; i++) {
        struct fake_fault fault = fake_script_due(&script, FAKE_AT_REQUEST, USHER_OPCODE_HELLO, true);

        assert_int_not_equal(fault.actions, 0);
        assert_false(fake_does(&fault, FAKE_GARBLE) || fake_does(&fault, FAKE_GARBAGE) ||
                     fake_does(&fault, FAKE_VERSION) || fake_does(&fault, FAKE_RENUMBER) ||
                     fake_does(&fault, FAKE_REFUSE));
    }
    fake_script_clear(&script);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_is_named_with_its_line_and_column),
        cmocka_unit_test(what_may_be_written_is_taken),
        cmocka_unit_test(the_first_line_that_is_due_strikes),
        cmocka_unit_test(lines_for_one_time_each_follow_one_another),
        cmocka_unit_test(lines_about_bytes_are_armed_when_a_connection_comes),
        cmocka_unit_test(the_same_seed_throws_the_same_dice),
        cmocka_unit_test(dice_spare_what_a_handshake_can_not_survive),
    };

    return usher_test_main(argc, argv, tests);
}
