/* mariadb.c: the targets "optimistic" and "pessimistic": the procedures of mariadb.sql through MariaDB's client without
 * blocking. Its protocol has one task in flight on a connection.
 *
 * An optimistic charge that came too late is tried again under its request id until it is made, as the study did; the
 * answer is the last try's. */
#include "bench/peers/mariadb.h"

#include <assert.h>
#include <errno.h>
#include <mysql.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/peers/people.h"
#include "bench/peers/reasons.h"

#define EVENTS_MOST 512
#define TEXT_MOST   256
#define SCRIPT_MOST 32768

enum stage {
    STAGE_IDLE,
    STAGE_QUERY, /* the query goes */
    STAGE_STORE, /* a result comes */
    STAGE_NEXT   /* the next one is looked for: a procedure ends with one that has no rows */
};

struct wire {
    MYSQL *mysql;
    enum stage stage;
    int error;
    MYSQL_RES *result;
    uint64_t tag;
    char text[TEXT_MOST];
    struct outcome outcome;
    bool has_row, again, due; /* due: submitted, not begun */
};

struct mariadb {
    struct mariadb_place place;
    struct target_sizes sizes;
    target_answer *answer;
    void *context;
    const char *way; /* "optimistic" */
    int epoll;
    struct wire *wire;
    uint32_t connections;
    struct people_ids ids;
};

/* --- asking -------------------------------------------------------------------------------------------- */
static void
hex_of(char text[33], const uint8_t bytes[16])
{
    sodium_bin2hex(text, 33, bytes, 16);
}

static bool
maria_submit(void *target, uint32_t connection, const struct task *task, uint64_t tag)
{
    struct mariadb *mariadb = target;
    struct wire *wire = &mariadb->wire[connection];
    uint8_t bytes[16];
    char who[33], id[33];

    if (wire->stage != STAGE_IDLE || wire->due)
        return false;
    people_uuid(bytes, false, task->user);
    hex_of(who, bytes);
    people_id(&mariadb->ids, bytes);
    hex_of(id, bytes);
    if (task->job == JOB_RESERVE)
        snprintf(wire->text, TEXT_MOST, "call reserve_%s(x'%s', x'%s', %u, %u, %u)", mariadb->way, who, id, task->date,
                 task->seat + 1, mariadb->sizes.hold_ms);
    else if (task->job == JOB_CHARGE)
        snprintf(wire->text, TEXT_MOST, "call charge_%s(x'%s', x'%s', %lld)", mariadb->way, who, id,
                 (long long)task->amount);
    else if (task->job == JOB_BALANCE)
        snprintf(wire->text, TEXT_MOST, "select null, balance from users where user_id = x'%s'", who);
    else
        return false;
    wire->tag = tag;
    wire->due = true;
    return true;
}

/* --- answers ------------------------------------------------------------------------------------------- */
static void
fail(struct wire *wire)
{
    wire->outcome.kind = OUTCOME_FAULT;
    wire->outcome.reason = reason_error();
    fprintf(stderr, "mariadb: %s\n", mysql_error(wire->mysql));
}

static void
read_row(struct wire *wire)
{
    MYSQL_ROW row = wire->result != NULL && !wire->has_row ? mysql_fetch_row(wire->result) : NULL;

    if (row == NULL)
        return;
    wire->has_row = true;
    wire->outcome.kind = row[0] == NULL ? OUTCOME_DONE : OUTCOME_REFUSED;
    if (row[0] != NULL)
        wire->outcome.reason = reason_named(row[0], strlen(row[0]));
    wire->again = row[0] != NULL && strcmp(row[0], "CONFLICT") == 0;
    wire->outcome.value = row[1] != NULL ? strtoull(row[1], NULL, 10) : 0;
}

static int
begin(struct wire *wire)
{
    wire->due = wire->has_row = wire->again = false;
    memset(&wire->outcome, 0, sizeof wire->outcome);
    wire->stage = STAGE_QUERY;
    return mysql_real_query_start(&wire->error, wire->mysql, wire->text, strlen(wire->text));
}

/* A stage has ended: begin the next; what it waits for, or 0. IDLE: the task has ended. */
static int
end_stage(struct wire *wire)
{
    switch (wire->stage) {
    case STAGE_QUERY:
    case STAGE_NEXT:
        if (wire->error != 0) {
            fail(wire);
            break;
        }
        wire->stage = STAGE_STORE;
        return mysql_store_result_start(&wire->result, wire->mysql);
    case STAGE_STORE:
        read_row(wire);
        mysql_free_result(wire->result);
        wire->result = NULL;
        if (mysql_more_results(wire->mysql)) {
            wire->stage = STAGE_NEXT;
            return mysql_next_result_start(&wire->error, wire->mysql);
        }
        if (wire->again)
            return begin(wire);
        break;
    case STAGE_IDLE:
        break;
    }
    wire->stage = STAGE_IDLE;
    return 0;
}

static int
go_on(struct wire *wire, int came)
{
    switch (wire->stage) {
    case STAGE_QUERY:
        return mysql_real_query_cont(&wire->error, wire->mysql, came);
    case STAGE_STORE:
        return mysql_store_result_cont(&wire->result, wire->mysql, came);
    case STAGE_NEXT:
        return mysql_next_result_cont(&wire->error, wire->mysql, came);
    case STAGE_IDLE:
        break;
    }
    return 0;
}

/* Until the task waits for the server, or has its answer. */
static void
advance(struct mariadb *mariadb, struct wire *wire, int waits)
{
    while (waits == 0 && wire->stage != STAGE_IDLE)
        waits = end_stage(wire);
    if (wire->stage == STAGE_IDLE) {
        wire->outcome.tag = wire->tag;
        mariadb->answer(mariadb->context, &wire->outcome);
    }
}

static bool
maria_process(void *target, uint64_t wait_ns, char *why, size_t why_size)
{
    struct mariadb *mariadb = target;
    struct epoll_event events[EVENTS_MOST];

    for (uint32_t i = 0; i < mariadb->connections; i++) {
        if (mariadb->wire[i].due)
            advance(mariadb, &mariadb->wire[i], begin(&mariadb->wire[i]));
    }
    int count = clock_wait(mariadb->epoll, events, EVENTS_MOST, wait_ns);
    if (count < 0) {
        snprintf(why, why_size, "epoll: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < count; i++) {
        struct wire *wire = &mariadb->wire[events[i].data.u32];
        if (wire->stage != STAGE_IDLE)
            advance(mariadb, wire, go_on(wire, MYSQL_WAIT_READ));
    }
    return true;
}

/* --- connecting ---------------------------------------------------------------------------------------- */
static void
disconnect(struct mariadb *mariadb)
{
    for (uint32_t i = 0; i < mariadb->connections; i++)
        mysql_close(mariadb->wire[i].mysql);
    free(mariadb->wire);
    if (mariadb->epoll >= 0)
        close(mariadb->epoll);
    mariadb->wire = NULL;
    mariadb->epoll = -1;
    mariadb->connections = 0;
}

static MYSQL *
connect_one(const struct mariadb *mariadb, const char *database, char *why, size_t why_size)
{
    MYSQL *mysql = mysql_init(NULL);

    mysql_options(mysql, MYSQL_OPT_NONBLOCK, NULL);
    if (mysql_real_connect(mysql, "127.0.0.1", "root", NULL, database, mariadb->place.port, NULL,
                           CLIENT_MULTI_RESULTS) != NULL)
        return mysql;
    snprintf(why, why_size, "MariaDB: %s", mysql_error(mysql));
    mysql_close(mysql);
    return NULL;
}

static bool
maria_connect(void *target, uint32_t connections, uint32_t depth, char *why, size_t why_size)
{
    struct mariadb *mariadb = target;

    disconnect(mariadb);
    if (depth != 1) {
        snprintf(why, why_size, "MariaDB's protocol has one task in flight on a connection");
        return false;
    }
    mariadb->wire = calloc(connections, sizeof *mariadb->wire);
    mariadb->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = i}};
        mariadb->wire[i].mysql = connect_one(mariadb, "usher", why, why_size);
        if (mariadb->wire[i].mysql == NULL)
            return false;
        mariadb->connections++;
        epoll_ctl(mariadb->epoll, EPOLL_CTL_ADD, (int)mysql_get_socket(mariadb->wire[i].mysql), &event);
    }
    return true;
}

/* --- preparing ----------------------------------------------------------------------------------------- */
static bool
run(MYSQL *mysql, const char *text, char *why, size_t why_size)
{
    if (mysql_query(mysql, text) == 0)
        return true;
    snprintf(why, why_size, "MariaDB: %s", mysql_error(mysql));
    return false;
}

/* The script's statements end with ";", behind "delimiter //" with "//". */
static bool
run_script(const struct mariadb *mariadb, MYSQL *mysql, char *why, size_t why_size)
{
    static char text[SCRIPT_MOST];
    FILE *file = fopen(mariadb->place.script, "re");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    const char *end = ";\n";
    char *at = text, *next;

    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    while ((next = strstr(at, end)) != NULL) {
        *next = '\0';
        if (!run(mysql, at, why, why_size))
            return false;
        at = next + strlen(end);
        if (strncmp(at, "\ndelimiter //\n", 14) == 0) {
            at += 14;
            end = " //\n";
        }
    }
    if (size > 0)
        return true;
    snprintf(why, why_size, "can't read %s", mariadb->place.script);
    return false;
}

static bool
fill(const struct mariadb *mariadb, MYSQL *mysql, char *why, size_t why_size)
{
    char text[TEXT_MOST], who[33];
    uint8_t uuid[16];

    if (!run(mysql, "start transaction", why, why_size))
        return false;
    for (uint32_t i = 0; i < mariadb->sizes.users; i++) {
        people_uuid(uuid, false, i);
        hex_of(who, uuid);
        snprintf(text, sizeof text, "insert into users (user_id, balance) values (x'%s', 0)", who);
        if (!run(mysql, text, why, why_size))
            return false;
    }
    snprintf(text, sizeof text,
             "insert into seats (date_id, seat) select d.seq, s.seq from seq_0_to_%u d, seq_1_to_%u s",
             mariadb->sizes.dates - 1, mariadb->sizes.seats);
    return run(mysql, text, why, why_size) && run(mysql, "commit", why, why_size);
}

static bool
maria_prepare(void *target, char *why, size_t why_size)
{
    const struct mariadb *mariadb = target;
    MYSQL *mysql = connect_one(mariadb, NULL, why, why_size);
    bool good = mysql != NULL && run(mysql, "create database usher", why, why_size) &&
                run(mysql, "use usher", why, why_size) && run_script(mariadb, mysql, why, why_size) &&
                fill(mariadb, mysql, why, why_size);

    if (mysql != NULL)
        mysql_close(mysql);
    return good;
}

/* --- opening ------------------------------------------------------------------------------------------- */
static void *
open_one(const char *way, const void *where, const struct target_sizes *sizes, target_answer *answer, void *context,
         char *why, size_t why_size)
{
    struct mariadb *mariadb = calloc(1, sizeof *mariadb);

    if (mariadb == NULL) {
        snprintf(why, why_size, "no memory");
        return NULL;
    }
    mariadb->place = *(const struct mariadb_place *)where;
    mariadb->sizes = *sizes;
    mariadb->answer = answer;
    mariadb->context = context;
    mariadb->way = way;
    mariadb->epoll = -1;
    return mariadb;
}

static void *
open_optimistic(const void *where, const struct target_sizes *sizes, target_answer *answer, void *context, char *why,
                size_t why_size)
{
    return open_one("optimistic", where, sizes, answer, context, why, why_size);
}

static void *
open_pessimistic(const void *where, const struct target_sizes *sizes, target_answer *answer, void *context, char *why,
                 size_t why_size)
{
    return open_one("pessimistic", where, sizes, answer, context, why, why_size);
}

static void
maria_close(void *target)
{
    struct mariadb *mariadb = target;

    if (mariadb == NULL)
        return;
    disconnect(mariadb);
    free(mariadb);
}

static json_t *
maria_describe(void *target)
{
    const struct mariadb *mariadb = target;

    return json_pack("{s:s, s:s}", "durable", "innodb_flush_log_at_trx_commit 1", "jobs", mariadb->way);
}

#define MARIADB(way)                                                                                           \
    const struct target_kind target_mariadb_##way = {                                                         \
        .name = "maria-" #way,                                                                                 \
        .text = "MariaDB, " #way " as in the user's study",                                                    \
        .open = open_##way,                                                                                    \
        .prepare = maria_prepare,                                                                            \
        .connect = maria_connect,                                                                            \
        .submit = maria_submit,                                                                              \
        .process = maria_process,                                                                            \
        .reason = reason_name,                                                                                 \
        .describe = maria_describe,                                                                          \
        .close = maria_close,                                                                                \
    }
MARIADB(optimistic);
MARIADB(pessimistic);
