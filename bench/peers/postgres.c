/* postgres.c: the target "postgres": the functions of postgres.sql over many connections, by prepared statements in
 * libpq's pipeline mode. Each task is a transaction of its own: a sync follows each.
 *
 * A task's reservation is the hold's deadline in ms; date and seat are those of the task that got it, which the target
 * keeps: deadline (ms after epoch_ms) << 24 | date << 7 | seat. */
#include "bench/peers/postgres.h"

#include <assert.h>
#include <errno.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/peers/people.h"
#include "bench/peers/reasons.h"

#define PROOF_SIZE  32u
#define EVENTS_MOST 512
#define SECRET      "not a secret: a bench of one machine"
#define SCRIPT_MOST 65536u

struct token {
    uint64_t position;
    uint8_t proof[PROOF_SIZE];
};

struct wire {
    PGconn *pg;
    bool stale, stuck;
    uint32_t first, count;
};

struct due {
    uint64_t tag;
    uint32_t job, user, place;
    bool line;
};

struct postgres {
    struct postgres_place place;
    struct target_sizes sizes;
    target_answer *answer;
    void *context;
    int epoll;
    struct wire *wire;
    struct due *due; /* a ring of `depth` for each connection */
    uint32_t connections, depth;
    uint32_t *stale;
    uint32_t stale_count;
    struct token *token, *line_token;
    uint32_t line_room;
    struct people_ids ids;
    uint64_t epoch_ms;
};

/* How a job is asked: a letter for each argument of its function. */
static const struct form {
    const char *name, *types, *arguments;
} forms[JOB_COUNT] = {
    [JOB_JOIN] = {"peer_join", "uuid, int", "uq"},
    [JOB_RANK] = {"peer_rank", "uuid, bigint, bytea", "upf"},
    [JOB_DATES] = {"peer_dates", "uuid, bigint, bytea, int", "upfc"},
    [JOB_SEATS] = {"peer_seats", "uuid, bigint, bytea, int", "upfd"},
    [JOB_RESERVE] = {"peer_reserve", "uuid, bigint, bytea, uuid, int, int", "upfidn"},
    [JOB_RELEASE] = {"peer_release", "uuid, bigint, bytea, int, int", "upfdn"},
    [JOB_CHARGE] = {"peer_charge", "uuid, bigint, bytea, uuid, bigint", "upfia"},
    [JOB_BALANCE] = {"peer_balance", "uuid", "u"},
    [JOB_PAY] = {"peer_pay", "uuid, bigint, bytea, uuid, int, int, bigint", "upfidnr"},
};

/* --- people -------------------------------------------------------------------------------------------- */
static struct token *
token_of(struct postgres *postgres, bool line, uint32_t user)
{
    if (!line)
        return &postgres->token[user];
    if (user >= postgres->line_room) {
        uint32_t room = (user + 1) * 2;
        struct token *more = realloc(postgres->line_token, room * sizeof *more);
        assert(more != NULL);
        memset(more + postgres->line_room, 0, (room - postgres->line_room) * sizeof *more);
        postgres->line_token = more;
        postgres->line_room = room;
    }
    return &postgres->line_token[user];
}

/* As prove() of postgres.sql, so that a million tokens need not travel. */
static void
make_token(struct postgres *postgres, bool line, uint32_t user, uint64_t position)
{
    struct token *token = token_of(postgres, line, user);
    uint64_t big = __builtin_bswap64(position);
    uint8_t text[sizeof SECRET - 1 + 16 + 8];

    memcpy(text, SECRET, sizeof SECRET - 1);
    people_uuid(text + sizeof SECRET - 1, line, user);
    memcpy(text + sizeof SECRET - 1 + 16, &big, 8);
    crypto_hash_sha256(token->proof, text, sizeof text);
    token->position = position;
}

/* --- asking -------------------------------------------------------------------------------------------- */
#define ARGUMENTS_MOST 7
struct arguments {
    const char *value[ARGUMENTS_MOST];
    int size[ARGUMENTS_MOST], format[ARGUMENTS_MOST];
    uint8_t bytes[ARGUMENTS_MOST][16];
    int count;
};

static void
put(struct arguments *arguments, const void *bytes, size_t size)
{
    int at = arguments->count++;

    arguments->value[at] = bytes;
    arguments->size[at] = (int)size;
    arguments->format[at] = 1;
}

static void
put_number(struct arguments *arguments, uint64_t number, size_t size)
{
    uint8_t *bytes = arguments->bytes[arguments->count];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
    put(arguments, bytes, size);
}

static void
put_letter(struct postgres *postgres, struct arguments *arguments, char letter, const struct task *task)
{
    const struct token *token = token_of(postgres, task->line, task->user);
    bool held = task->job == JOB_PAY || task->job == JOB_RELEASE;
    uint32_t date = held ? (uint32_t)(task->reservation >> 7) & 0x1ffff : task->date;
    uint8_t *bytes = arguments->bytes[arguments->count];

    switch (letter) {
    case 'u':
        people_uuid(bytes, task->line, task->user);
        put(arguments, bytes, 16);
        break;
    case 'i':
        people_id(&postgres->ids, bytes);
        put(arguments, bytes, 16);
        break;
    case 'f': put(arguments, token->proof, PROOF_SIZE); break;
    case 'p': put_number(arguments, token->position, 8); break;
    case 'q': put_number(arguments, task->line ? PEOPLE_QUEUE_LINE : PEOPLE_QUEUE_OPEN, 4); break;
    case 'c': put_number(arguments, date / PEOPLE_CONCERT_DATES, 4); break;
    case 'd': put_number(arguments, date, 4); break;
    case 'n': put_number(arguments, held ? task->reservation & 0x7f : task->seat + 1, 4); break;
    case 'a': put_number(arguments, (uint64_t)task->amount, 8); break;
    case 'r': put_number(arguments, postgres->epoch_ms + (task->reservation >> 24), 8); break;
    default: assert(false);
    }
}

static bool
postgres_submit(void *target, uint32_t connection, const struct task *task, uint64_t tag)
{
    struct postgres *postgres = target;
    struct wire *wire = &postgres->wire[connection];
    struct arguments arguments = {.count = 0};

    if (wire->pg == NULL || wire->count == postgres->depth)
        return false;
    for (const char *letter = forms[task->job].arguments; *letter != '\0'; letter++)
        put_letter(postgres, &arguments, *letter, task);
    if (PQsendQueryPrepared(wire->pg, forms[task->job].name, arguments.count, arguments.value, arguments.size,
                            arguments.format, 1) != 1 ||
        PQpipelineSync(wire->pg) != 1)
        return false;
    postgres->due[(size_t)connection * postgres->depth + (wire->first + wire->count++) % postgres->depth] =
        (struct due){.tag = tag, .job = task->job, .user = task->user, .line = task->line,
                     .place = task->date << 7 | (task->seat + 1)};
    if (!wire->stale) {
        wire->stale = true;
        postgres->stale[postgres->stale_count++] = connection;
    }
    return true;
}

/* --- answers ------------------------------------------------------------------------------------------- */
/* The columns of an answer: refusal, value, proof; binary. */
static uint64_t
value_of(struct postgres *postgres, const struct due *due, const PGresult *result)
{
    uint64_t value = 0;

    if (PQntuples(result) == 1 && PQgetlength(result, 0, 1) == 8) {
        memcpy(&value, PQgetvalue(result, 0, 1), 8);
        value = __builtin_bswap64(value);
    }
    switch ((enum job)due->job) {
    case JOB_JOIN:
        token_of(postgres, due->line, due->user)->position = value;
        memcpy(token_of(postgres, due->line, due->user)->proof, PQgetvalue(result, 0, 2), PROOF_SIZE);
        break;
    case JOB_SEATS:
        value = (uint64_t)__builtin_popcountll(value);
        break;
    case JOB_RESERVE:
        value = (value - postgres->epoch_ms) << 24 | due->place;
        break;
    case JOB_RANK:
    case JOB_DATES:
    case JOB_RELEASE:
    case JOB_CHARGE:
    case JOB_BALANCE:
    case JOB_PAY:
    case JOB_COUNT:
        break;
    }
    return value;
}

static void
give_answer(struct postgres *postgres, uint32_t connection, const PGresult *result)
{
    struct wire *wire = &postgres->wire[connection];
    struct outcome outcome = {.kind = OUTCOME_DONE};
    struct due due = postgres->due[(size_t)connection * postgres->depth + wire->first];

    if (wire->count == 0)
        return;
    wire->first = (wire->first + 1) % postgres->depth;
    wire->count--;
    outcome.tag = due.tag;
    if (result == NULL || PQresultStatus(result) != PGRES_TUPLES_OK) {
        outcome.kind = OUTCOME_FAULT;
        outcome.reason = reason_error();
        fprintf(stderr, "postgres: %s", result != NULL ? PQresultErrorMessage(result) : "connection lost\n");
    } else if (PQntuples(result) == 1 && !PQgetisnull(result, 0, 0)) {
        outcome.kind = OUTCOME_REFUSED;
        outcome.reason = reason_named(PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
    } else {
        outcome.value = value_of(postgres, &due, result);
    }
    postgres->answer(postgres->context, &outcome);
}

static void
lose(struct postgres *postgres, uint32_t connection)
{
    struct wire *wire = &postgres->wire[connection];

    PQfinish(wire->pg);
    wire->pg = NULL;
    while (wire->count > 0)
        give_answer(postgres, connection, NULL);
}

static void
take(struct postgres *postgres, uint32_t connection)
{
    struct wire *wire = &postgres->wire[connection];

    if (wire->pg == NULL)
        return;
    if (PQconsumeInput(wire->pg) != 1) {
        lose(postgres, connection);
        return;
    }
    while (wire->count > 0 && !PQisBusy(wire->pg)) {
        PGresult *result = PQgetResult(wire->pg);
        /* NULL ends a query's results, PIPELINE_SYNC a transaction: neither is an answer. */
        if (result != NULL && PQresultStatus(result) != PGRES_PIPELINE_SYNC)
            give_answer(postgres, connection, result);
        PQclear(result);
    }
}

static void
flush_one(struct postgres *postgres, uint32_t connection)
{
    struct wire *wire = &postgres->wire[connection];

    if (wire->pg == NULL)
        return;
    bool stuck = PQflush(wire->pg) == 1;
    if (stuck != wire->stuck) {
        struct epoll_event event = {.events = stuck ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.u32 = connection}};
        wire->stuck = stuck;
        epoll_ctl(postgres->epoll, EPOLL_CTL_MOD, PQsocket(wire->pg), &event);
    }
}

static void
flush(struct postgres *postgres)
{
    for (uint32_t i = 0; i < postgres->stale_count; i++) {
        postgres->wire[postgres->stale[i]].stale = false;
        flush_one(postgres, postgres->stale[i]);
    }
    postgres->stale_count = 0;
}

static bool
postgres_process(void *target, uint64_t wait_ns, char *why, size_t why_size)
{
    struct postgres *postgres = target;
    struct epoll_event events[EVENTS_MOST];

    flush(postgres);
    int count = clock_wait(postgres->epoll, events, EVENTS_MOST, wait_ns);
    if (count < 0) {
        snprintf(why, why_size, "epoll: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < count; i++) {
        take(postgres, events[i].data.u32);
        flush_one(postgres, events[i].data.u32);
    }
    flush(postgres);
    return true;
}

/* --- connecting ---------------------------------------------------------------------------------------- */
static void
disconnect(struct postgres *postgres)
{
    for (uint32_t i = 0; i < postgres->connections; i++)
        PQfinish(postgres->wire[i].pg);
    free(postgres->wire);
    free(postgres->due);
    free(postgres->stale);
    if (postgres->epoll >= 0)
        close(postgres->epoll);
    postgres->epoll = -1;
    postgres->wire = NULL;
    postgres->due = NULL;
    postgres->stale = NULL;
    postgres->connections = postgres->stale_count = 0;
}

/* The port accepts before the server is ready to serve. */
static PGconn *
connect_one(const struct postgres *postgres, char *why, size_t why_size)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    char text[128];
    PGconn *pg;

    snprintf(text, sizeof text, "host=127.0.0.1 port=%u user=postgres dbname=postgres", postgres->place.port);
    for (unsigned tries = 0; tries < 30000 && PQping(text) == PQPING_REJECT; tries++)
        nanosleep(&pause, NULL);
    pg = PQconnectdb(text);
    if (PQstatus(pg) == CONNECTION_OK)
        return pg;
    snprintf(why, why_size, "%s", PQerrorMessage(pg));
    PQfinish(pg);
    return NULL;
}

static bool
make_ready(PGconn *pg)
{
    char text[256];

    for (unsigned job = 0; job < JOB_COUNT; job++) {
        int length = snprintf(text, sizeof text, "select * from %s(", forms[job].name);
        for (unsigned i = 1; i <= strlen(forms[job].arguments); i++)
            length += snprintf(text + length, sizeof text - (size_t)length, "%s$%u", i > 1 ? "," : "", i);
        snprintf(text + length, sizeof text - (size_t)length, ")");
        PGresult *result = PQprepare(pg, forms[job].name, text, 0, NULL);
        bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
        PQclear(result);
        if (!good)
            return false;
    }
    return PQsetnonblocking(pg, 1) == 0 && PQenterPipelineMode(pg) == 1;
}

static bool
postgres_connect(void *target, uint32_t connections, uint32_t depth, char *why, size_t why_size)
{
    struct postgres *postgres = target;

    disconnect(postgres);
    postgres->wire = calloc(connections, sizeof *postgres->wire);
    postgres->due = calloc((size_t)connections * depth, sizeof *postgres->due);
    postgres->stale = calloc(connections, sizeof *postgres->stale);
    postgres->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (postgres->wire == NULL || postgres->due == NULL || postgres->stale == NULL || postgres->epoll < 0) {
        snprintf(why, why_size, "no memory");
        return false;
    }
    postgres->depth = depth;
    for (uint32_t i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = i}};
        postgres->wire[i].pg = connect_one(postgres, why, why_size);
        postgres->connections++;
        if (postgres->wire[i].pg == NULL)
            return false;
        if (!make_ready(postgres->wire[i].pg)) {
            snprintf(why, why_size, "PostgreSQL: %s", PQerrorMessage(postgres->wire[i].pg));
            return false;
        }
        epoll_ctl(postgres->epoll, EPOLL_CTL_ADD, PQsocket(postgres->wire[i].pg), &event);
    }
    return true;
}

/* --- preparing ----------------------------------------------------------------------------------------- */
static bool
run(PGconn *pg, const char *text, ExecStatusType wanted, char *why, size_t why_size)
{
    PGresult *result = PQexec(pg, text);
    bool good = PQresultStatus(result) == wanted;

    if (!good)
        snprintf(why, why_size, "PostgreSQL: %s", PQresultErrorMessage(result));
    PQclear(result);
    return good;
}

static bool
run_script(PGconn *pg, const char *path, char *why, size_t why_size)
{
    static char text[SCRIPT_MOST];
    FILE *file = fopen(path, "re");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;

    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    if (size == 0 || size == sizeof text - 1) {
        snprintf(why, why_size, "can't read %s", path);
        return false;
    }
    return run(pg, text, PGRES_COMMAND_OK, why, why_size);
}

static void
uuid_text(char text[33], bool line, uint32_t user)
{
    uint8_t uuid[16];

    people_uuid(uuid, line, user);
    sodium_bin2hex(text, 33, uuid, sizeof uuid);
}

/* A line of COPY for each of these people. */
static bool
copy_people(struct postgres *postgres, PGconn *pg, bool line, bool accounts, char *why, size_t why_size)
{
    uint32_t count = line ? postgres->sizes.waiting : postgres->sizes.users;
    uint64_t till = postgres->epoch_ms + PEOPLE_ACTIVE_MS;
    char row[128], uuid[33];

    if (!run(pg, accounts ? "copy users from stdin" : "copy places from stdin", PGRES_COPY_IN, why, why_size))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uuid_text(uuid, line, i);
        int size = accounts ? snprintf(row, sizeof row, "%s\t0\n", uuid)
                            : snprintf(row, sizeof row, "%s\t%u\t%u\t%d\t%llu\t%llu\n", uuid,
                                       line ? PEOPLE_QUEUE_LINE : PEOPLE_QUEUE_OPEN, i + 1, line ? 1 : 2,
                                       (unsigned long long)till, (unsigned long long)till);
        if (PQputCopyData(pg, row, size) != 1)
            break;
        if (!accounts)
            make_token(postgres, line, i, i + 1);
    }
    PQputCopyEnd(pg, NULL);
    PGresult *result = PQgetResult(pg);
    bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!good)
        snprintf(why, why_size, "PostgreSQL: %s", PQresultErrorMessage(result));
    PQclear(result);
    while ((result = PQgetResult(pg)) != NULL)
        PQclear(result);
    return good;
}

/* What the copied rows need besides: points with their entries, dates, the lines' counters, fresh statistics. */
static bool
fill(struct postgres *postgres, PGconn *pg, char *why, size_t why_size)
{
    const struct target_sizes *sizes = &postgres->sizes;
    char text[1024];

    snprintf(text, sizeof text,
             "insert into house values (%u, %u);"
             "insert into queues values (%u, true, 0, 0), (%u, false, 0, 0);"
             "select setval('line_1', %u), setval('line_2', %u);"
             "insert into dates select i, i / %u, %u, %lld, %llu from generate_series(0, %u) i;"
             "update users set balance = %lld;"
             "insert into ledger (request_id, user_id, amount, balance) select user_id, user_id, balance, balance "
             "from users",
             sizes->hold_ms, PEOPLE_ACTIVE_MS, PEOPLE_QUEUE_OPEN, PEOPLE_QUEUE_LINE, sizes->users, sizes->waiting,
             PEOPLE_CONCERT_DATES, sizes->seats, (long long)sizes->price,
             (unsigned long long)postgres->epoch_ms + 86400000ull * 365, sizes->dates - 1, (long long)PEOPLE_POINTS);
    return run(pg, text, PGRES_COMMAND_OK, why, why_size) &&
           run(pg, "vacuum analyze", PGRES_COMMAND_OK, why, why_size) &&
           run(pg, "checkpoint", PGRES_COMMAND_OK, why, why_size);
}

static bool
postgres_prepare(void *target, char *why, size_t why_size)
{
    struct postgres *postgres = target;
    PGconn *pg = connect_one(postgres, why, why_size);
    bool good = pg != NULL && run_script(pg, postgres->place.script, why, why_size) &&
                copy_people(postgres, pg, false, false, why, why_size) &&
                copy_people(postgres, pg, false, true, why, why_size) &&
                copy_people(postgres, pg, true, false, why, why_size) && fill(postgres, pg, why, why_size);

    if (pg != NULL)
        PQfinish(pg);
    return good;
}

bool
postgres_audit(uint16_t port, struct postgres_audit *audit, char *why, size_t why_size)
{
    const struct postgres postgres = {.place = {.port = port}};
    PGconn *pg = connect_one(&postgres, why, why_size);
    PGresult *result;

    if (pg == NULL)
        return false;
    result = PQexec(pg, "select * from audit()");
    bool good = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (good) {
        audit->entries = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        audit->payments = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
        audit->mistakes = strtoull(PQgetvalue(result, 0, 2), NULL, 10);
    } else {
        snprintf(why, why_size, "PostgreSQL: %s", PQresultErrorMessage(result));
    }
    PQclear(result);
    PQfinish(pg);
    return good;
}

/* --- opening ------------------------------------------------------------------------------------------- */
static void *
postgres_open(const void *where, const struct target_sizes *sizes, target_answer *answer, void *context, char *why,
              size_t why_size)
{
    struct postgres *postgres = calloc(1, sizeof *postgres);

    if (postgres == NULL) {
        snprintf(why, why_size, "no memory");
        return NULL;
    }
    postgres->place = *(const struct postgres_place *)where;
    postgres->sizes = *sizes;
    postgres->answer = answer;
    postgres->context = context;
    postgres->epoll = -1;
    postgres->epoch_ms = (uint64_t)time(NULL) * 1000;
    postgres->token = calloc(sizes->users, sizeof *postgres->token);
    return postgres;
}

static void
postgres_close(void *target)
{
    struct postgres *postgres = target;

    if (postgres == NULL)
        return;
    disconnect(postgres);
    free(postgres->token);
    free(postgres->line_token);
    free(postgres);
}

static json_t *
postgres_describe(void *target)
{
    const struct postgres *postgres = target;
    int version = postgres->wire != NULL && postgres->wire[0].pg != NULL ? PQserverVersion(postgres->wire[0].pg) : 0;

    return json_pack("{s:s, s:s, s:i}", "durable", "fsync on, synchronous_commit on", "jobs",
                     "functions in PL/pgSQL, prepared statements, pipeline mode", "version", version);
}

const struct target_kind target_postgres = {
    .name = "postgres",
    .text = "PostgreSQL, functions, synchronous commit",
    .open = postgres_open,
    .prepare = postgres_prepare,
    .connect = postgres_connect,
    .submit = postgres_submit,
    .process = postgres_process,
    .reason = reason_name,
    .describe = postgres_describe,
    .close = postgres_close,
};
