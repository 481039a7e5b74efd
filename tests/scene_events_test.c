/* scene_events_test.c: named consumers of events, and how long events are kept for them (X5). */
#include <inttypes.h>

#include "tests/play.h"

#define DAY_MS UINT64_C(86400000)

/* The history takes in all there is, and the server tells the house. */
static void
take_history(void **state)
{
    struct store *store = play_store(state);

    while (store_consumer_step(store, 1000) == STORE_STEP_DONE)
        continue;
    play_format(state, "admin history_taken event_no=%" PRIu64 " -> OK event=%" PRIu64 "\n",
                store_consumer_cursor(store), store_consumer_cursor(store));
}

/* One event each, and nothing else happens. */
static void
make_events(void **state, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        play(state, "desk charge user=ann amount=1 -> OK\n");
}

/* X5: a consumer is known by its name; putting it again finds it where it was. */
static void
a_consumer_is_made_once_and_goes_on_where_it_was(void **state)
{
    make_events(state, 5);
    play(state, "@1000 admin put_consumer consumer=ledger -> OK created=yes event=0\n"
                "events consumer_changed\n"
                "admin put_consumer consumer=late after_event=unknown -> OK created=yes event=6\n"
                "admin put_consumer consumer=third after_event=3 -> OK created=yes event=3\n"
                "events consumer_changed\n"
                "@2000 admin acknowledge consumer=ledger event=4 -> OK event=4\n"
                "events none\n"
                "admin put_consumer consumer=ledger after_event=unknown -> OK created=no event=4\n"
                "events none\n"
                "gate consumers -> OK count=3 first_event=1 last_event=8 consumer=ledger,late,third event=4,6,3"
                "  since=1000 acknowledged=2000,0,0 lost_count=0\n"
                "gate consumers consumer=late -> OK count=1 event=6\n"
                "gate consumers consumer=nobody -> CONSUMER_NOT_FOUND\n"
                "gate events consumer=ledger -> OK after_event=4 event=5..8\n"
                "gate events consumer=ledger after_event=6 -> OK after_event=6 event=7,8\n"
                "gate events consumer=nobody -> CONSUMER_NOT_FOUND\n"
                "admin info -> OK consumer_count=3\n"
                "admin remove_consumer consumer=ledger -> OK event=4\n"
                "events consumer_changed\n"
                "admin remove_consumer consumer=ledger -> CONSUMER_NOT_FOUND\n"
                "admin acknowledge consumer=ledger event=5 -> CONSUMER_NOT_FOUND\n"
                "admin put_consumer consumer='' -> CATALOGUE_INVALID\n"
                "admin put_consumer consumer=future after_event=10 -> EVENT_NOT_YET detail=9\n"
                "admin put_consumer consumer=ledger after_event=9 -> OK created=yes event=9\n"
                "gate consumers -> OK consumer=ledger,late,third\n");
}

/* X5: a cursor never moves back, and never beyond what has happened. */
static void
an_acknowledgement_never_moves_back(void **state)
{
    make_events(state, 5);
    play(state, "admin put_consumer consumer=ledger -> OK\n"
                "admin acknowledge consumer=ledger event=7 -> EVENT_NOT_YET detail=6\n"
                "admin acknowledge consumer=ledger event=6 id=last -> OK event=6\n"
                "admin acknowledge consumer=ledger event=2 -> OK event=6\n"
                "admin acknowledge consumer=ledger event=6 id=last -> OK replayed event=6\n"
                "admin acknowledge consumer=ledger event=5 id=last -> MISMATCH\n"
                "gate events consumer=ledger -> OK count=0\n");
}

/* X5: an observer's consumers are its own; an admin sees to all of them. */
static void
an_observer_sees_to_its_own_consumers_alone(void **state)
{
    play(state, "admin put_consumer consumer=ours -> OK created=yes\n"
                "gate put_consumer consumer=theirs -> OK created=yes\n"
                "gate put_consumer consumer=ours -> ROLE_REFUSED\n"
                "gate acknowledge consumer=ours event=1 -> ROLE_REFUSED\n"
                "gate remove_consumer consumer=ours -> ROLE_REFUSED\n"
                "gate acknowledge consumer=theirs event=1 -> OK event=1\n"
                "admin acknowledge consumer=theirs event=2 -> OK event=2\n"
                "admin put_consumer consumer=theirs -> OK created=no event=2\n"
                "gate remove_consumer consumer=theirs -> OK event=2\n"
                "gate consumers -> OK consumer=ours\n");
}

/* X5: the tick looks at each, so there are at most 64. A place that is given up is free again. */
static void
there_are_at_most_64_consumers(void **state)
{
    for (unsigned i = 1; i <= 64; i++)
        play_format(state, "admin put_consumer consumer=c%u -> OK created=yes\n", i);
    play(state, "admin put_consumer consumer=c65 -> TOO_MANY detail=64\n"
                "admin put_consumer consumer=c64 -> OK created=no\n"
                "admin remove_consumer consumer=c7 -> OK\n"
                "admin put_consumer consumer=c65 -> OK created=yes\n"
                "admin put_consumer consumer=c66 -> TOO_MANY detail=64\n"
                "gate consumers -> OK count=64\n");
}

/* X5: an event is kept for event_days to the millisecond, when nobody needs it longer. */
static void
events_are_kept_for_their_days(void **state)
{
    play(state, "policy event_days=2\n");
    play(state, "@1000 desk charge user=ann amount=1 -> OK\n"
                "@2000 desk charge user=ann amount=1 -> OK\n");
    take_history(state);
    play_format(state,
                "@%" PRIu64 " tick\n"
                "gate events after_event=1 -> OK first_event=2 event=2,3\n"
                "gate events -> EVENTS_LOST detail=2\n",
                2 * DAY_MS + 999);
    play_format(state,
                "@%" PRIu64 " tick\n"
                "gate events after_event=1 -> EVENTS_LOST detail=3\n"
                "gate events after_event=2 -> OK first_event=3 event=3\n"
                "admin info -> OK first_event=3 last_event=3 event_bytes=128 events_overdue=no\n",
                2 * DAY_MS + 1000);
    play_format(state,
                "@%" PRIu64 " tick\n"
                "gate events after_event=3 -> OK first_event=4 last_event=3 count=0\n"
                "gate events after_event=unknown -> OK first_event=4\n"
                "admin info -> OK event_bytes=0\n"
                "admin put_consumer consumer=old after_event=2 -> EVENTS_LOST detail=4\n"
                "admin put_consumer consumer=new -> OK event=3\n"
                "gate events consumer=new -> OK event=4\n",
                2 * DAY_MS + 2000);
}

/* X5: or until every named consumer has acknowledged it, whichever is later. */
static void
events_are_kept_until_every_consumer_has_acknowledged_them(void **state)
{
    play(state, "@1000 policy event_days=1\n"
                "admin put_consumer consumer=quick -> OK event=0\n"
                "admin put_consumer consumer=slow -> OK event=0\n");
    make_events(state, 3);
    take_history(state);
    play(state, "admin acknowledge consumer=quick event=6 -> OK\n"
                "admin acknowledge consumer=slow event=2 -> OK\n");
    play_format(state,
                "@%" PRIu64 " tick\n"
                "gate events after_event=2 -> OK first_event=3 event=3..6\n",
                DAY_MS + 1000);
    play(state, "admin acknowledge consumer=slow event=5 -> OK\n"
                "tick\n"
                "gate events after_event=5 -> OK first_event=6 event=6\n"
                "admin remove_consumer consumer=slow -> OK event=5\n"
                "tick\n"
                "gate events after_event=6 -> OK first_event=7 event=7\n"
                "gate consumers -> OK consumer=quick lost_count=0\n");
}

/* X5: past event_bytes_max, 128 bytes an event, the oldest go, whoever still wants them: a dead consumer blocks nobody
 * and learns what it has lost. */
static void
past_the_bound_a_dead_consumer_loses_events_and_blocks_nobody(void **state)
{
    play(state, "house price=10\n"
                "policy event_bytes_max=4096\n"
                "admin put_consumer consumer=dead -> OK event=0\n"
                "ann join -> OK\n"
                "ann charge amount=100 -> OK\n"
                "ann reserve concert=1 date=1 seat=7 -> OK\n"
                "ann pay reservation=ann.1 -> OK\n");
    make_events(state, 40);
    take_history(state);
    play(state, "tick\n"
                "admin info -> OK event_bytes=4096 events_overdue=no\n");
    uint64_t first = store_see_house(play_store(state), 0)->first_event_no;
    assert_int_equal(store_see_house(play_store(state), 0)->last_event_no, first + 31);
    play_format(state,
                "gate events consumer=dead -> EVENTS_LOST detail=%" PRIu64 "\n"
                "gate consumers -> OK lost_count=%" PRIu64 "\n"
                "admin acknowledge consumer=dead event=%" PRIu64 " -> OK\n"
                "gate consumers -> OK lost_count=0\n"
                "gate events consumer=dead -> OK count=32 first_event=%" PRIu64 "\n",
                first, first - 1, first - 1, first);
    play(state, "desk charge user=ann amount=1 -> OK\n"
                "tick\n"
                "admin info -> OK event_bytes=4096\n");
}

/* X5, B2: what the history has not taken in is never dropped, raises an alarm, and delays no payment. */
static void
what_the_history_has_not_taken_in_is_kept_beyond_the_bound(void **state)
{
    play(state, "house price=10\n"
                "policy event_bytes_max=4096 event_days=1\n");
    make_events(state, 10);
    take_history(state);
    make_events(state, 50);
    play(state, "ann join -> OK\n"
                "ann reserve concert=1 date=1 seat=7 -> OK\n"
                "ann pay reservation=ann.1 -> OK\n"
                "tick\n");
    uint64_t taken = store_consumer_cursor(play_store(state)),
             last = store_see_house(play_store(state), 0)->last_event_no;
    play_format(state,
                "admin info -> OK first_event=%" PRIu64 " last_event=%" PRIu64 " events_overdue=yes\n"
                "@%" PRIu64 " tick\n"
                "admin info -> OK first_event=%" PRIu64 " events_overdue=yes\n",
                taken + 1, last, 3 * DAY_MS, taken + 1);
    while (store_consumer_step(play_store(state), 1000) == STORE_STEP_DONE)
        continue;
    play(state, "admin info -> OK events_overdue=no\n" /* it has come, though the house was not told yet */
                "desk history user=ann -> OK count=1 seat=7\n");
    take_history(state);
    play(state, "tick\n"
                "admin info -> OK event_bytes=0\n"
                "desk history user=ann -> OK count=1 seat=7\n");
}

/* X5: the server's word counts as far as there are events, and never backwards. */
static void
the_history_is_believed_as_far_as_there_are_events(void **state)
{
    make_events(state, 4);
    play(state, "admin history_taken event_no=5 -> OK event=0\n"
                "admin history_taken event_no=3 -> OK event=3\n"
                "admin history_taken event_no=2 -> OK event=3\n"
                "admin history_taken event_no=4 -> OK event=4\n");
}

/* X5: a tick drops 256 events and twice what was made since the one before: a bound, and never less than is made. */
static void
dropping_is_done_in_bites_that_keep_pace(void **state)
{
    play(state, "audit off\n"
                "policy event_bytes_max=4096\n");
    make_events(state, 999);
    take_history(state);
    play(state, "tick\n" /* 256, and two for the event before HISTORY_TAKEN's batch, which made none */
                "admin info -> OK first_event=257\n"
                "tick\n"
                "admin info -> OK first_event=513\n"
                "desk charge user=ann amount=1 -> OK\n"
                "& desk charge user=ann amount=1 -> OK\n"
                "& desk charge user=ann amount=1 -> OK\n"
                "admin info -> OK first_event=769 last_event=1003\n"
                "tick\n" /* of 1003 the last 32 stay */
                "admin info -> OK first_event=972 event_bytes=4096\n"
                "audit on\n");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(a_consumer_is_made_once_and_goes_on_where_it_was),
        cmocka_unit_test_scene(an_acknowledgement_never_moves_back),
        cmocka_unit_test_scene(an_observer_sees_to_its_own_consumers_alone),
        cmocka_unit_test_scene(there_are_at_most_64_consumers),
        cmocka_unit_test_scene(events_are_kept_for_their_days),
        cmocka_unit_test_scene(events_are_kept_until_every_consumer_has_acknowledged_them),
        cmocka_unit_test_scene(past_the_bound_a_dead_consumer_loses_events_and_blocks_nobody),
        cmocka_unit_test_scene(what_the_history_has_not_taken_in_is_kept_beyond_the_bound),
        cmocka_unit_test_scene(the_history_is_believed_as_far_as_there_are_events),
        cmocka_unit_test_scene(dropping_is_done_in_bites_that_keep_pace),
    };

    return usher_test_main(argc, argv, tests);
}
