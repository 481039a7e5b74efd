/* play.h: scenes: who asks what at which moment, and what the answer must be.
 *
 *     play(state, "policy hold_ms=500\n"
 *                 "house seats=50\n"
 *                 "@1000 ann join queue=0 -> OK position=1 state=active\n"
 *                 "@1000 ann reserve concert=1 date=1 seat=7 -> OK until=1500\n"
 *                 "@1400 bob reserve concert=1 date=1 seat=7 -> HELD until=1500\n");
 *
 * A scene runs on a store in memory, without sockets and without a clock. Each line is a batch of its own, as a server
 * with little to do would make it: begin, tick, apply, commit. Between two lines the server wakes whenever something
 * is due. A query gets a tick before it if something is due, and what it leaves behind (a renewed lease, a claim)
 * follows as a batch at the same moment.
 *
 * --- a line ------------------------------------------------------------------------------------------------
 *     @ms who message field=value ... -> RESULT field=value ...
 *
 *   @ms        the moment, counted from a base that is the same in all scenes, so that numbers stay small; so are all
 *              moments in requests and replies (0 stays 0: none). @+ms: so long after the line before. Without: the
 *              same moment.
 *   &          before the line: it belongs to the batch of the line before (commands only).
 *   who        a person, known by any word; each has a UUID made from the name and acts through a gateway. `admin` is
 *              an admin, `desk` a terminal (`desk.9`: of sales channel 9), `gate` an observer, `nobody` a connection
 *              before its hello, `gateway` a gateway that names its user itself (user=ann).
 *   message    a name from messages.def.
 *   field      a name from structs.def, or the part before its _id, _no, _ms, _at_ms or _count: concert, until.
 *   value      numbers in decimal, or as unknown (2^64-1) and most (2^63-1); enums by name; persons for UUIDs; text
 *              in '...' if it has spaces; keys by any word (a code's hash by the code's word); lists with commas, in
 *              which 3..7 is a range. Items of a list are written first:second:third in the order of their fields.
 *              For ids that the house gave: ann.2 is the second reservation (payment, refund) that ann ever got.
 *   id=word    the request id made from this word, so that a line can ask again. Without: a fresh one in each line.
 *   token=...  which token goes along, where the message needs one. Without: the asker's latest (admin, desk and
 *              gateway send none). none; bob: bob's latest; bob.1: the first that bob got; queue:2: the asker's
 *              latest of that queue; 2:17: a token of the asker's own for queue 2 and position 17.
 *
 *   After the arrow: the result, `replayed` if the answer must be a first answer given again, and any fields. Beside =
 *   there are !=, <, <=, > and >= for numbers. Fields that a reply lacks are looked for in the items of its list:
 *   seat=7,8 and price=100 (for each) are columns of the holds; count=2 is the list's length.
 *   conflict=7:HELD,8:SOLD compares items by their first fields. free=1..6,8 is the free seats of a seats reply.
 *   token.position=1, receipt.seat=7,8 and body.balance=5 look into a token, a receipt, a remembered answer.
 *
 * --- other lines -------------------------------------------------------------------------------------------
 *     policy name=value ...               policies of the house, set by an admin
 *     queue 2 policy name=value ...       policies of a queue
 *     house seats=50 dates=1 ...          a plan, a concert and its dates; see play.c's table for what else it takes
 *     down @ms                            nobody was alive since the last batch until this moment; the next batch says so
 *     tick @ms                            a batch without commands (the wakes before it included)
 *     wake off | on                       whether the server wakes between lines; off: nothing is swept in time
 *     audit off | on                      for long scenes: leave the checks out, or make them now and from now on
 *     events kind:field=value ... | none  exactly these events were made since the last line that was not `events`
 *     # ...                               a remark
 *
 * --- what is checked at every line without being asked ------------------------------------------------------
 *   core_audit(); the ledger's sum is zero (M2); a refused command changed no record but its remembered answer, its
 *   asker's number and its claim (DESIGN section 2); the reply can be encoded and fits a frame. A second core plays
 *   the same batches without the queries: its answers and records are the same, byte for byte; and each of its
 *   batches is first made and undone, which must leave no trace.
 *
 * A line that fails prints the scene with an arrow at the line, what came instead, and how to repeat it. */
#ifndef USHER_PLAY_H
#define USHER_PLAY_H

#include "server/store/store.h"
#include "tests/test.h"

#define PLAY_BASE_MS UINT64_C(1798761600000) /* 2027-01-01 00:00:00 UTC */

/* A row of a test table: a test with a house of its own. CTest finds the name as it finds cmocka_unit_test's. */
#define cmocka_unit_test_scene(name) cmocka_unit_test_setup_teardown(name, play_open, play_close)
int play_open(void **state);
int play_close(void **state);

/* Play these lines on, in the house of this test. */
#define play(state, lines) play_lines(*(state), __func__, (lines))
/* The same, made as printf makes it: one line or several. */
#define play_format(state, ...) play_lines_format(*(state), __func__, __VA_ARGS__)

struct play;
void play_lines(struct play *play, const char *test, const char *lines);
void play_lines_format(struct play *play, const char *test, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The house's store, to count what a scene can't see. */
struct store *play_store(void **state);
/* How often the last line's own command or query read this table (C4). */
uint64_t play_reads(void **state, enum store_table table);

#endif
