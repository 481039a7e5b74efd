/* scene_house_test.c: scenes of what the organiser does and of the house's figures: C3, C4, H10's catalogue, policies,
 * clients, events, lookups, X1, X3, X8, S6. play.h says how a scene reads. */
#include "tests/play.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/core/core.h"
#include "tests/play_text.h"

/* --- the catalogue ----------------------------------------------------------------------------------------- */
/* C3: a change of the catalogue shows at once, and its version with it; what is no change of it leaves the version. */
static void
a_change_of_the_catalogue_shows_at_once(void **state)
{
    play(state, "@1000 ann concerts -> OK version=0 count=0 more=no\n"
                "house dates=2\n"
                "ann concerts -> OK version=4 concert=1 title='Concert 1' venue=Hall date_count=2 queue=0\n"
                "ann join -> OK\n"
                "ann reserve concert=1 date=1 seat=7 -> OK\n"
                "policy hold_ms=5000\n"
                "ann concerts -> OK version=4\n"
                "admin put_concert concert=1 title='Renamed' venue=Park -> OK created=no\n"
                "events catalogue_changed:concert=1\n"
                "ann concerts -> OK version=5 title=Renamed venue=Park date_count=2\n"
                "admin put_date concert=1 date=2 plan=1 starts=5000 price=5 -> OK created=no seat_count=50\n"
                "ann concerts -> OK version=6 date_count=2\n"
                "gate concerts -> OK version=6\n");
}

/* C3: concerts come in pages of 64, by ascending id. */
static void
many_concerts_come_in_pages(void **state)
{
    for (unsigned i = 70; i >= 1; i--)
        play_format(state, "admin put_concert concert=%u title=T%u -> OK created=yes\n", i * 3, i);
    play(state, "ann concerts -> OK count=64 more=yes concert>=3 concert<=192\n"
                "ann concerts after_concert_id=192 -> OK count=6 more=no concert=195,198,201,204,207,210\n"
                "ann concerts after_concert_id=193 -> OK count=6 more=no\n"
                "ann concerts after_concert_id=4294967295 -> OK count=0\n");
}

/* A plan is sections of rows; a date of it shows them with its own prices. */
static void
a_plan_is_read_with_the_prices_of_a_date(void **state)
{
    play(state,
         "admin put_plan plan=3 section=Stalls:1:2:10:0,Circle:1:3:5:4 -> OK created=yes seat_count=35\n"
         "events catalogue_changed\n"
         "admin put_concert concert=1 title=T -> OK\n"
         "admin put_date concert=1 date=1 plan=3 starts=5000 price=900,0,0,0,500 -> OK created=yes seat_count=35\n"
         "events catalogue_changed:concert=1:date=1\n"
         "ann plan concert=1 date=1 -> OK plan=3 seat_count=35 section=Stalls:1:2:10:0,Circle:1:3:5:4\n"
         "ann plan concert=1 date=2 -> DATE_NOT_FOUND\n"
         "ann plan concert=2 date=1 -> CONCERT_NOT_FOUND\n"
         "admin put_plan plan=3 section=Stalls:1:2:10:0,Circle:1:3:5:5 -> CATALOGUE_INVALID detail=1\n"
         "admin plans plan=3 -> OK seat_count=35 date_count=1 section=Stalls:1:2:10:0,Circle:1:3:5:4\n"
         "admin plans plan=1 -> PLAN_NOT_FOUND\n"
         "ann join -> OK\n"
         "ann reserve concert=1 date=1 seat=20,21 -> OK price=900,500\n");
}

/* A plan that contradicts itself is refused, and the section at fault named. */
static void
a_plan_that_contradicts_itself_is_refused(void **state)
{
    play(state, "admin put_plan plan=1 -> CATALOGUE_INVALID\n"
                "admin put_plan plan=0 section=A:1:1:1:0 -> CATALOGUE_INVALID\n"
                "admin put_plan plan=1 section=A:1:1:1:0,B:1:0:1:0 -> CATALOGUE_INVALID detail=2\n"
                "admin put_plan plan=1 section=A:1:1:0:0 -> CATALOGUE_INVALID detail=1\n"
                "admin put_plan plan=1 section=A:0:1:1:0 -> CATALOGUE_INVALID\n"
                "admin put_plan plan=1 section=A:1:1:1:8 -> CATALOGUE_INVALID\n"
                "admin put_plan plan=1 section=A:65535:2:1:0 -> CATALOGUE_INVALID\n"
                "admin put_plan plan=1 section='':1:1:1:0 -> CATALOGUE_INVALID\n"
                "admin put_plan plan=1 section=A:1:65535:1:0,B:1:2:1:0 -> CATALOGUE_INVALID detail=65537\n"
                "admin plans plan=1 -> PLAN_NOT_FOUND\n"
                "admin put_plan plan=1 section=A:1:65535:1:7,B:1:1:1:0 -> OK seat_count=65536\n");
}

/* A concert and a date that contradict themselves, or name what is not there. */
static void
a_date_that_contradicts_itself_is_refused(void **state)
{
    play(state,
         "admin put_plan plan=1 section=A:1:1:10:0,B:1:1:10:2 -> OK\n"
         "admin put_concert concert=1 title=T queue=9 -> QUEUE_NOT_FOUND\n"
         "admin put_concert concert=0 title=T -> CATALOGUE_INVALID\n"
         "admin put_concert concert=1 -> CATALOGUE_INVALID\n"
         "admin put_date concert=1 date=1 plan=1 starts=5000 price=1,1,1 -> CONCERT_NOT_FOUND\n"
         "admin put_concert concert=1 title=T -> OK created=yes\n"
         "admin put_date concert=1 date=1 plan=2 starts=5000 price=1,1,1 -> PLAN_NOT_FOUND\n"
         "admin put_date concert=1 date=0 plan=1 starts=5000 price=1,1,1 -> CATALOGUE_INVALID\n"
         "admin put_date concert=1 date=1 plan=1 price=1,1,1 -> CATALOGUE_INVALID\n"
         "admin put_date concert=1 date=1 plan=1 starts=5000 price=1,1 -> CATALOGUE_INVALID detail=3\n"
         "admin put_date concert=1 date=1 plan=1 starts=5000 price=1,9007199254740992,1 -> CATALOGUE_INVALID detail=2\n"
         "admin put_date concert=1 date=1 plan=1 starts=5000 opens=5000 price=1,1,1 -> CATALOGUE_INVALID\n"
         "admin put_date concert=1 date=1 plan=1 starts=5000 closes=5001 price=1,1,1 -> CATALOGUE_INVALID\n"
         "admin put_date concert=1 date=1 plan=1 starts=5000 opens=4000 closes=4000 price=1,1,1 -> CATALOGUE_INVALID\n"
         "events none\n"
         "admin put_date concert=1 date=1 plan=1 starts=5000 opens=3999 closes=4000 price=1,9007199254740991,1 -> OK\n"
         "ann concerts -> OK date_count=1\n");
}

/* People wait in a concert's queue and holds run on its clock: it stays once the concert has dates. */
static void
a_concert_keeps_its_queue_once_it_has_dates(void **state)
{
    play(state, "admin put_queue queue=2 name=second -> OK created=yes\n"
                "admin put_concert concert=1 title=T queue=0 -> OK\n"
                "admin put_concert concert=1 title=T queue=2 -> OK created=no\n"
                "ann concerts -> OK queue=2\n"
                "admin put_plan plan=1 section=A:1:1:10:0 -> OK\n"
                "admin put_date concert=1 date=1 plan=1 starts=5000 price=1 -> OK\n"
                "admin put_concert concert=1 title=T queue=0 -> CATALOGUE_INVALID\n"
                "admin put_concert concert=1 title=New queue=2 -> OK\n");
}

/* H10: edits have a bound, so that one command never holds up the house. */
static void
an_edit_of_too_many_dates_is_refused(void **state)
{
    play(state, "audit off\n"
                "house dates=1000 seats=20\n"
                "admin put_plan plan=1 section=Hall:1:1:10:0 -> OK seat_count=10\n"
                "admin put_date concert=1 date=1001 plan=1 starts=5000 price=1 -> OK\n"
                "admin put_plan plan=1 section=Hall:1:2:10:0 -> TOO_MANY detail=1000\n"
                "desk seats concert=1 date=1000 -> OK seat_count=10 free_count=10\n"
                "audit on\n");
}

/* --- queues and policies ----------------------------------------------------------------------------------- */
/* There is a default queue from the beginning; queues have figures. */
static void
queues_are_listed_with_their_figures(void **state)
{
    play(state, "@1000 admin queues first_page=yes -> OK queue=0 name=default mode=open sale=open last_position=0"
                "  unsold=0 more=no\n"
                "house\n"
                "house concert=2 plan=2 queue=7 seats=10\n"
                "queue 7 policy admit_batch=1\n"
                "ann join queue=7 -> OK\n"
                "bob join queue=7 -> OK\n"
                "admin block concert=2 date=1 seat=1 -> OK\n"
                "admin set_mode queue=7 mode=paused -> OK\n"
                "admin queues first_page=yes -> OK queue=0,7 mode=open,paused sale=open,paused waiting=0,1 active=0,1"
                "  admitted=0,1 last_position=0,2 unsold=50,9\n"
                "gate queues after_queue_id=0 -> OK queue=7 name='queue 7'\n"
                "gate queues after_queue_id=7 -> OK count=0\n"
                "admin put_queue queue=7 name=Renamed -> OK created=no\n"
                "events queue_changed:queue=7\n"
                "admin queues after_queue_id=0 -> OK name=Renamed mode=paused last_position=2\n"
                "admin put_queue queue=8 -> CATALOGUE_INVALID\n");
}

/* The tick looks at each queue, so there is a limit to them; pages of 64. */
static void
there_are_at_most_1024_queues(void **state)
{
    play(state, "audit off\n");
    for (unsigned i = 1; i < 1024; i++)
        play_format(state, "admin put_queue queue=%u name=q -> OK created=yes\n", i);
    play(state, "admin put_queue queue=1024 name=q -> TOO_MANY detail=1024\n"
                "admin put_queue queue=1023 name=r -> OK created=no\n"
                "admin queues first_page=yes -> OK count=64 more=yes\n"
                "admin queues after_queue_id=959 -> OK count=64 more=no\n"
                "audit on\n");
}

/* policies.def: every policy begins at its default, says its range, and refuses what lies outside of it. */
static void
every_policy_keeps_to_its_range(void **state)
{
    static const struct {
        const char *of_queue, *name;
        uint64_t usual, least, most;
    } policies[] = {
#define HOUSE_                                                    "no"
#define QUEUE_                                                    "yes"
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) {SCOPE##_, #name, usual, least, most},
#include "protocol/policies.def"
    };

    size_t of_house = 0, count = sizeof policies / sizeof *policies;
    for (size_t i = 0; i < count; i++) {
        of_house += strcmp(policies[i].of_queue, "no") == 0;
        if (policies[i].least > 0)
            play_format(state,
                        "admin set_policy of_queue=%s name=%s value=%" PRIu64 " -> POLICY_RANGE detail=%" PRIu64 "\n",
                        policies[i].of_queue, policies[i].name, policies[i].least - 1, policies[i].least);
        play_format(state,
                    "admin set_policy of_queue=%s name=%s value=%" PRIu64 " -> POLICY_RANGE detail=%" PRIu64 "\n"
                    "events none\n"
                    "admin set_policy of_queue=%s name=%s value=%" PRIu64 " -> OK before=%" PRIu64 "\n"
                    "admin set_policy of_queue=%s name=%s value=%" PRIu64 " -> POLICY_NOT_FOUND\n",
                    policies[i].of_queue, policies[i].name, policies[i].most + 1, policies[i].most,
                    policies[i].of_queue, policies[i].name, policies[i].usual, policies[i].usual,
                    strcmp(policies[i].of_queue, "no") == 0 ? "yes" : "no", policies[i].name, policies[i].usual);
    }
    play_format(state, "admin policies -> OK count=%zu\nadmin policies of_queue=yes -> OK count=%zu\n", of_house,
                count - of_house);
    play(state, "gate policies of_queue=yes queue=0 -> OK value=50,30000,0,120000,300000,600000,1800000,0\n"
                "admin policies of_queue=yes queue=9 -> QUEUE_NOT_FOUND\n"
                "admin set_policy of_queue=yes queue=9 name=admit_batch value=1 -> QUEUE_NOT_FOUND\n"
                "admin set_policy name=no_such_policy value=1 -> POLICY_NOT_FOUND\n"
                "admin set_policy value=1 -> POLICY_NOT_FOUND\n");
}

/* A policy counts from the next command on, for one queue or for the house; the answer says what it was before. */
static void
a_policy_counts_from_the_next_command_on(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK until=301000\n"
                "@1000 admin set_policy name=hold_ms value=2000 id=p -> OK before=300000\n"
                "events policy_changed\n"
                "@1000 ann reserve concert=1 date=1 seat=2 -> OK until=3000\n"
                "@1000 ann holds -> OK until=301000,3000\n"
                "@1000 admin set_policy name=hold_ms value=2000 id=p -> OK replayed before=300000\n"
                "@1000 admin set_policy name=hold_ms value=2000 -> OK before=2000\n"
                "@1000 queue 0 policy claim_ms=7000\n"
                "events queue_changed:queue=0\n");
}

/* The order of results.def: POLICY_NOT_FOUND after QUEUE_NOT_FOUND, POLICY_RANGE before POLICY_CONFLICT. */
static void
of_two_faults_of_a_policy_the_upper_row_is_sent(void **state)
{
    play(state, "admin set_policy of_queue=yes queue=9 name=nothing value=0 -> QUEUE_NOT_FOUND\n"
                "queue 0 policy waiting_lease_ms=99 -> POLICY_RANGE\n"     /* would contradict poll_ms_max as well */
                "queue 0 policy waiting_lease_ms=100 -> POLICY_CONFLICT\n" /* at the edge of its range */
                "queue 0 policy active_total_ms=99 -> POLICY_RANGE\n");
}

/* --- clients ----------------------------------------------------------------------------------------------- */
/* A client is invited with a one-time code, enrols with it, and may be revoked. */
static void
a_code_makes_one_client(void **state)
{
    play(state,
         "@1000 admin invite role=terminal channel=3 name=lobby code_hash=secret -> OK client=1\n"
         "events client_changed\n"
         "@1000 admin clients -> OK client=1 role=terminal state=invited channel=3 name=lobby since=1000 more=no\n"
         "@2000 nobody enrol code=guess client_key=k1 -> CODE_UNKNOWN\n"
         "events none\n"
         "@2000 nobody enrol code=secret client_key=k1 -> OK client=1 role=terminal name=lobby\n"
         "events client_changed\n"
         "@3000 nobody enrol code=secret client_key=k1 -> OK client=1\n" /* the first reply may be lost */
         "events none\n"
         "@3000 nobody enrol code=secret client_key=k2 -> CODE_UNKNOWN\n"
         "@3000 admin clients -> OK state=enrolled since=2000 client_key=k1\n"
         "@4000 admin revoke client=1 -> OK before=enrolled\n"
         "events client_changed\n"
         "@5000 admin revoke client=1 -> OK before=revoked\n"
         "events none\n"
         "@5000 admin clients -> OK state=revoked since=4000\n"
         "@5000 nobody enrol code=secret client_key=k1 -> CLIENT_REVOKED\n"
         "@5000 nobody enrol code=secret client_key=k2 -> CLIENT_REVOKED\n"
         "@5000 admin revoke client=2 -> CLIENT_NOT_FOUND\n"
         "@5000 admin revoke client=0 -> CLIENT_NOT_FOUND\n");
}

/* A key and a code belong to one client each. */
static void
a_key_or_code_that_is_taken_is_refused(void **state)
{
    play(state, "@1000 admin invite role=gateway name=one code_hash=a -> OK client=1\n"
                "@1000 admin invite role=gateway name=two code_hash=a -> KEY_IN_USE\n"
                "@1000 admin invite role=gateway name=two code_hash=b -> OK client=2\n"
                "@1000 nobody enrol code=a client_key=k -> OK client=1\n"
                "@1000 nobody enrol code=b client_key=k -> KEY_IN_USE\n"
                "@1000 nobody enrol code=b client_key=l -> OK client=2\n"
                "@1000 admin invite role=none name=three code_hash=c -> CATALOGUE_INVALID\n"
                "@1000 admin invite role=admin code_hash=c -> CATALOGUE_INVALID\n"
                "@1000 admin clients -> OK client=1,2 name=one,two\n");
}

/* A client that was revoked before it enrolled never will be. */
static void
a_revoked_code_is_worth_nothing(void **state)
{
    play(state, "@1000 admin invite role=gateway name=one code_hash=a -> OK client=1\n"
                "@1000 admin revoke client=1 -> OK before=invited\n"
                "@1000 nobody enrol code=a client_key=k -> CLIENT_REVOKED\n"
                "@1000 admin clients -> OK state=revoked client_key=none\n");
}

static void
many_clients_come_in_pages(void **state)
{
    play(state, "audit off\n");
    for (unsigned i = 1; i <= 130; i++)
        play_format(state, "admin invite role=gateway name=g%u code_hash=c%u -> OK client=%u\n", i, i, i);
    play(state, "admin clients -> OK count=64 more=yes client=1..64\n"
                "admin clients after_client_id=64 -> OK count=64 more=yes\n"
                "admin clients after_client_id=128 -> OK client=129,130 more=no\n"
                "admin clients after_client_id=130 -> OK count=0 more=no\n"
                "audit on\n");
}

/* --- asking afterwards ------------------------------------------------------------------------------------- */
/* X3: acknowledged or not, the answer is found by its request id, by its own user or client alone, in any token state.
 */
static void
an_answer_is_found_by_its_request_id(void **state)
{
    play(state, "house price=10\n"
                "@1000 ann join id=j -> OK position=1\n"
                "@1000 ann reserve concert=1 date=1 seat=7 id=r -> OK\n"
                "@1000 ann charge amount=10 id=c -> OK\n"
                "@2000 ann pay reservation=ann.1 id=p -> OK\n"
                "@3000 ann lookup id=j -> OK opcode=join result=OK at=1000 body.position=1 body.token.user=ann\n"
                "@3000 ann lookup id=r -> OK opcode=reserve body.seat=7 body.until=301000\n"
                "@3000 ann lookup id=c -> OK opcode=charge body.balance=10\n"
                "@3000 ann lookup id=p -> OK opcode=pay at=2000 body.amount=10 body.receipt.seat=7\n"
                "@3000 gateway lookup user=ann id=p -> OK opcode=pay\n"
                "@3000 desk lookup user=ann id=p -> OK opcode=pay\n"
                "@3000 ann lookup id=nothing -> REQUEST_NOT_FOUND\n"
                "@3000 gateway lookup user=bob id=p -> REQUEST_NOT_FOUND\n");
}

/* X5: events have numbers without gap and are read from a cursor. */
static void
events_are_read_from_a_cursor(void **state)
{
    play(state, "@1000 admin events -> OK first_event_no=1 last_event_no=0 count=0\n");
    for (unsigned i = 1; i <= 70; i++)
        play_format(state, "@%u u%u join -> OK\n", 1000 + i, i);
    play(state, "admin events -> OK last_event_no=120 count=120 event_no=1..120\n" /* 70 joins, 50 admissions */
                "gate events after_event_no=118 -> OK event_no=119,120 user=u69,u70 kind=joined\n"
                "gate events after_event_no=120 -> OK count=0\n"
                "gate events after_event_no=121 -> OK count=0\n"
                "gate events after_event_no=unknown -> OK count=0\n"
                "gate events limit=3 -> OK event_no=1,2,3 kind=joined,admitted,joined user=u1,u1,u2 position=1,1,2"
                "  at=1001,1001,1002\n"
                "@31001 tick\n"
                "gate events -> OK count=128 last_event_no=140\n"
                "gate events after_event_no=128 -> OK count=12 kind=admitted\n");
}

/* The house's figures, in one answer. */
static void
the_house_knows_its_figures(void **state)
{
    play(state, "house price=10\n"
                "queue 0 policy admit_batch=2\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 cat join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8 -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=9 -> OK\n"
                "@2000 ann pay reservation=ann.1,ann.2 -> OK\n"
                "@3000 gate info -> OK stamp=2000 user=3 waiting=1 active=1 hold=1 seat=50 sold=2 payment=1 entry=2"
                "  top_ups=-100 sales=20 ledger_sum=0 catalogue_version=3 history_event_no=0 digest=0 position>0\n"
                "@3000 gate info digest=yes -> OK digest!=0\n");
}

/* M2: the ledger is walked newest first, 128 entries a page; the house's accounts are the other leg. */
static void
the_ledger_is_walked_in_pages(void **state)
{
    play(state, "audit off\n"
                "@1000 gateway charge user=bob amount=7 -> OK\n");
    for (unsigned i = 1; i <= 130; i++)
        play_format(state, "gateway charge user=ann amount=%u -> OK entry_no=%u\n", i, i + 1);
    play(state, "audit on\n"
                "admin ledger user=ann -> OK count=128 more=yes balance=8515\n"
                "admin ledger user=ann before_entry_no=4 -> OK count=2 more=no amount=2,1 entry_no=3,2\n"
                "admin ledger user=ann before_entry_no=2 -> OK count=0 more=no\n"
                "admin ledger user=ann before_entry_no=1 -> OK count=0\n" /* bob's entry */
                "admin ledger user=bob -> OK count=1 amount=7 balance=7\n"
                "admin ledger user=zoe -> USER_NOT_FOUND\n"
                "admin ledger -> OK balance=-8522 count=128 more=yes\n"
                "admin ledger before_entry_no=3 -> OK entry_no=2,1 amount=-1,-7 more=no\n");
}

static void
ping_gives_back_its_number(void **state)
{
    play(state, "@1000 gate ping echo=unknown -> OK echo=unknown\n"
                "@1000 nobody ping echo=5 -> OK echo=5\n");
}

/* --- time -------------------------------------------------------------------------------------------------- */
static struct core_answer
ask_place(struct core *core, uint64_t position, const usher_uuid *user, uint64_t now_ms)
{
    usher_place_request body = {0};
    struct core_request request = {
        .opcode = USHER_OPCODE_PLACE,
        .asker = {.role = USHER_ROLE_GATEWAY, .client_no = 1, .has_token = 1, .position = position, .user = *user},
        .body = &body};
    core_trace trace;
    return core_query(core, &request, now_ms, &trace);
}

/* X1: the last stamp is in the store; a clock that lags behind it, after a restart say, changes nothing. */
static void
time_never_goes_back_behind_the_stores_last_stamp(void **state)
{
    struct ticket_record ticket;
    struct user_record user;
    struct house_record house;

    play(state, "house\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK state=active until=121000\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK until=6000\n"
                "@700000 tick\n");
    struct store *store = play_store(state);
    assert_true(store_get_house(store, 0, &house));
    assert_int_equal(house.stamp_ms, PLAY_BASE_MS + 700000);
    assert_true(store_get_ticket(store, UINT64_C(1) << 40 | 1, &ticket));
    assert_true(store_get_user(store, ticket.user_no, &user));
    struct core *later = core_open(store); /* another process, after a restart, with a clock ten minutes behind */
    struct core_answer answer = ask_place(later, 1, &user.uuid, PLAY_BASE_MS + 100000);
    assert_int_equal(answer.result, USHER_OK);
    assert_int_equal(((const usher_place_reply *)answer.reply)->state, USHER_PLACE_EXPIRED);
    core_close(later);
}

static uint64_t
next_due(void **state, uint64_t now_ms)
{
    struct core *core = core_open(play_store(state));
    uint64_t due_ms = core_next_due_ms(core, PLAY_BASE_MS + now_ms);
    core_close(core);
    return due_ms == UINT64_MAX ? UINT64_MAX : due_ms - PLAY_BASE_MS;
}

/* DESIGN 3: the loop wakes for the next due moment, and for nothing else. */
static void
the_next_due_moment_is_known(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "queue 0 policy admit_batch=1\n");
    assert_int_equal(next_due(state, 1000), UINT64_MAX);
    play(state, "@1000 ann join -> OK state=active\n");
    assert_int_equal(next_due(state, 1000), 121000); /* ann's claim */
    play(state, "@2000 bob join -> OK state=waiting\n");
    assert_int_equal(next_due(state, 2000), 31000); /* the next admission */
    play(state, "@3000 ann reserve concert=1 date=1 seat=7 -> OK\n");
    assert_int_equal(next_due(state, 3000), 8000); /* the hold's end */
    play(state, "@4000 admin set_mode queue=0 mode=paused -> OK\n"
                "@4000 ann release reservation=ann.1 -> OK\n");
    assert_int_equal(next_due(state, 4000), 302000); /* bob's lease; ann has claimed */
    play(state, "@5000 admin set_mode queue=0 mode=frozen -> OK\n");
    assert_int_equal(next_due(state, 5000), UINT64_MAX); /* every clock stands still */
    play(state, "@6000 admin set_mode queue=0 mode=open -> OK\n");
    assert_int_equal(next_due(state, 6000), 31000);
}

/* Q10, DESIGN 3: when the last sale with a seat left ends, those who wait are told; a frozen queue tells them nothing
 * else, and for nobody the loop does not wake. */
static void
the_end_of_the_last_sale_is_a_due_moment(void **state)
{
    play(state, "house seats=1 row=1 price=0 starts=40000 dates=2 gap=30000\n"
                "queue 0 policy active_max=1 claim_ms=0\n"
                "@1000 ann join -> OK state=active\n");
    assert_int_equal(next_due(state, 1000), 601000); /* ann's time */
    play(state, "@2000 bob join -> OK state=waiting\n");
    assert_int_equal(next_due(state, 2000), 70000); /* not 40000: date 2 goes on */
    play(state, "@3000 ann reserve concert=1 date=2 seat=1 -> OK\n");
    assert_int_equal(next_due(state, 3000), 70000); /* a held seat may come back */
    play(state, "@4000 admin set_mode queue=0 mode=frozen -> OK\n");
    assert_int_equal(next_due(state, 4000), UINT64_MAX);
    play(state, "@5000 admin set_mode queue=0 mode=paused -> OK\n"
                "@5000 ann pay reservation=ann.1 -> OK\n"); /* what date 1 has left is for sale until it begins */
    assert_int_equal(next_due(state, 5000), 40000);
    play(state, "@40000 tick\n");
    assert_int_equal(next_due(state, 40000), 303000); /* bob's lease, moved by the freeze */
}

/* --- cost -------------------------------------------------------------------------------------------------- */
/* C4: the free seats of a date of 50 are one record, and the whole query reads no more with 100,000 dates than with 1.
 */
static void
the_free_seat_query_reads_one_block_whatever_else_there_is(void **state)
{
    uint64_t reads[STORE_TABLE_LINK + 1];

    play(state, "audit off\n"
                "house dates=1\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8,9 -> OK\n"
                "@1000 ann seats concert=1 date=1 -> OK free_count=47\n");
    for (unsigned table = 1; table <= STORE_TABLE_LINK; table++)
        reads[table] = play_reads(state, (enum store_table)table);
    assert_int_equal(reads[STORE_TABLE_BLOCK], 1);
    assert_int_equal(reads[STORE_TABLE_HOLD], 0);
    play(state, "house concert=2 plan=2 dates=99999 seats=50 gap=1\n"
                "@1000 bob join -> OK\n"
                "@1000 bob reserve concert=2 date=1 seat=7,8,9 -> OK\n"
                "@1000 ann seats concert=1 date=1 -> OK free_count=47\n");
    for (unsigned table = 1; table <= STORE_TABLE_LINK; table++)
        assert_int_equal(play_reads(state, (enum store_table)table), reads[table]);
    play(state, "@1000 ann seats concert=2 date=99999 -> OK free_count=50\n");
    assert_int_equal(play_reads(state, STORE_TABLE_BLOCK), 1);
    play(state, "audit on\n");
}

/* --- coverage ---------------------------------------------------------------------------------------------- */
static char *
read_scenes(void)
{
    static const char *const files[] = {"queue", "sale", "seats", "plan", "points", "house", "events"};
    size_t size = 0;
    char *text = calloc(1, 1);

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%.*s/scene_%s_test.c", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__,
                 files[i]);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        text = realloc(text, size + (1u << 20) + 1);
        assert_non_null(text);
        size += fread(text + size, 1, 1u << 20, file);
        text[size] = '\0';
        fclose(file);
    }
    return text;
}

static bool
holds(struct play_people *people, const usher_layout *layout, const void *body, const char *condition)
{
    char why[TEXT_WHY_SIZE] = "";
    bool true_of_it = text_expect(people, layout, body, condition, why);
    assert_int_equal(true_of_it, why[0] == '\0'); /* who is refused is told why */
    return true_of_it;
}

/* S6: what a scene expects is compared: each of these would be noticed if another answer came. */
static void
an_expectation_that_is_not_met_is_noticed(void **state)
{
    static const char *const met[] = {
        "until=5000", "until>4999",     "until<=5000", "until!=5001",         "seat=7,8", "seat=7..8", "price=10",
        "count=2",    "hold=1:1:1:7,2", "price>=10",   "reservation=ann.1,2",
    };
    static const char *const missed[] = {
        "until=5001", "until>5000", "until<5000", "until!=5000", "seat=8,7",          "seat=7",
        "seat=7,8,9", "price=11",   "price>10",   "count=3",     "hold=1:1:1:7",      "hold=1:1:1:8,2",
        "seat=7..9",  "until=x",    "no_such=1",  "until",       "reservation=ann.2", "hold=1:1:1:7,2,3:1",
    };
    const usher_layout *layout = usher_message_of(USHER_OPCODE_RESERVE)->reply;
    usher_reserve_reply reply = {.until_ms = PLAY_BASE_MS + 5000, .hold_count = 2};
    struct play_people *people = people_open();

    (void)state;
    numbers_add(&people_named(people, "ann")->reservations, 1);
    for (uint32_t i = 0; i < 2; i++)
        reply.hold[i] =
            (usher_hold){.reservation_id = i + 1, .concert_id = 1, .date_id = 1, .seat_no = 7 + i, .price = 10};
    for (size_t i = 0; i < sizeof met / sizeof *met; i++)
        if (!holds(people, layout, &reply, met[i]))
            fail_msg("%s is true", met[i]);
    for (size_t i = 0; i < sizeof missed / sizeof *missed; i++)
        if (holds(people, layout, &reply, missed[i]))
            fail_msg("%s is not true", missed[i]);
    people_close(people);
}

/* S6: every answer that the core can give, and every request that it answers, stands in a scene. */
static void
every_result_and_every_request_has_a_scene(void **state)
{
    /* CLIENT_REVOKED, CODE_UNKNOWN, and all from USER_MISSING on; but those of subscriptions. */
    static const struct {
        unsigned value;
        const char *name;
    } results[] = {
#define USHER_RESULT(value, name, class, text) {value, #name},
#include "protocol/results.def"
    };
    char *scenes = read_scenes(), wanted[64];
    size_t count;
    const usher_message *messages = usher_messages(&count);
    bool all = true;

    (void)state;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        bool is_cores = results[i].value == USHER_OK || results[i].value == USHER_CODE_UNKNOWN ||
                        results[i].value == USHER_CLIENT_REVOKED ||
                        (results[i].value >= USHER_USER_MISSING && results[i].value != USHER_WATCH_OPEN &&
                         results[i].value != USHER_WATCH_LIMIT);
        snprintf(wanted, sizeof wanted, "-> %s", results[i].name);
        if (is_cores && strstr(scenes, wanted) == NULL) {
            print_error("no scene expects %s\n", results[i].name);
            all = false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(wanted, sizeof wanted, " %s", messages[i].name);
        if ((messages[i].kind == USHER_MESSAGE_QUERY || messages[i].kind == USHER_MESSAGE_COMMAND) &&
            strstr(scenes, wanted) == NULL) {
            print_error("no scene sends %s\n", messages[i].name);
            all = false;
        }
    }
    free(scenes);
    assert_true(all);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(a_change_of_the_catalogue_shows_at_once),
        cmocka_unit_test_scene(many_concerts_come_in_pages),
        cmocka_unit_test_scene(a_plan_is_read_with_the_prices_of_a_date),
        cmocka_unit_test_scene(a_plan_that_contradicts_itself_is_refused),
        cmocka_unit_test_scene(a_date_that_contradicts_itself_is_refused),
        cmocka_unit_test_scene(a_concert_keeps_its_queue_once_it_has_dates),
        cmocka_unit_test_scene(an_edit_of_too_many_dates_is_refused),
        cmocka_unit_test_scene(queues_are_listed_with_their_figures),
        cmocka_unit_test_scene(there_are_at_most_1024_queues),
        cmocka_unit_test_scene(every_policy_keeps_to_its_range),
        cmocka_unit_test_scene(a_policy_counts_from_the_next_command_on),
        cmocka_unit_test_scene(of_two_faults_of_a_policy_the_upper_row_is_sent),
        cmocka_unit_test_scene(a_code_makes_one_client),
        cmocka_unit_test_scene(a_key_or_code_that_is_taken_is_refused),
        cmocka_unit_test_scene(a_revoked_code_is_worth_nothing),
        cmocka_unit_test_scene(many_clients_come_in_pages),
        cmocka_unit_test_scene(an_answer_is_found_by_its_request_id),
        cmocka_unit_test_scene(events_are_read_from_a_cursor),
        cmocka_unit_test_scene(the_house_knows_its_figures),
        cmocka_unit_test_scene(the_ledger_is_walked_in_pages),
        cmocka_unit_test_scene(ping_gives_back_its_number),
        cmocka_unit_test_scene(time_never_goes_back_behind_the_stores_last_stamp),
        cmocka_unit_test_scene(the_next_due_moment_is_known),
        cmocka_unit_test_scene(the_end_of_the_last_sale_is_a_due_moment),
        cmocka_unit_test_scene(the_free_seat_query_reads_one_block_whatever_else_there_is),
        cmocka_unit_test_scene(an_expectation_that_is_not_met_is_noticed),
        cmocka_unit_test_scene(every_result_and_every_request_has_a_scene),
    };
    return usher_test_main(argc, argv, tests);
}
