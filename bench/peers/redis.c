/* redis.c: the target "redis": the functions of redis.lua over many connections. hiredis's reader takes the replies
 * apart; the sockets are wires.h's, so that they are driven as everybody else's are.
 *
 * A task's reservation is what Redis tells a hold by: deadline (ms after epoch_ms) << 24 | date << 7
 * | seat. */
#include "bench/peers/redis.h"

#include <assert.h>
#include <hiredis/read.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/peers/people.h"
#include "bench/peers/reasons.h"
#include "bench/peers/wires.h"

#define TOKEN_LINE    12u
#define TOKEN_PROOF   40u
#define TOKEN_SIZE    (TOKEN_LINE + TOKEN_PROOF)
#define COMMAND_MOST  512u
#define BULK_USERS    500u
#define BULK_SIZE     65536u
#define LIBRARY_MOST  32768u
#define BULK_DATES    1000u
#define REPLY_STRINGS 3u
#define TEXT_MOST     160u

/* --- replies ------------------------------------------------------------------------------------------- */
/* One reply, flat: the numbers and strings of an array in their order. */
struct reply {
    bool error, nil;
    unsigned numbers, strings;
    long long number[4];
    size_t size[REPLY_STRINGS];
    char string[REPLY_STRINGS][TEXT_MOST];
    /* of a bulk load: each string of the array goes here instead, one after another */
    char *rows;
    size_t row_size, row_count;
};

static void *
on_string(const redisReadTask *task, char *text, size_t size)
{
    struct reply *reply = task->privdata;

    if (task->type == REDIS_REPLY_ERROR)
        reply->error = true;
    if (reply->rows != NULL && task->type == REDIS_REPLY_STRING && size == reply->row_size) {
        memcpy(reply->rows + reply->row_count++ * size, text, size);
    } else if (reply->strings < REPLY_STRINGS) {
        size = size < TEXT_MOST ? size : TEXT_MOST;
        memcpy(reply->string[reply->strings], text, size);
        reply->size[reply->strings++] = size;
    }
    return reply;
}

static void *
on_array(const redisReadTask *task, int count)
{
    (void)count;
    return task->privdata;
}

static void *
on_integer(const redisReadTask *task, long long number)
{
    struct reply *reply = task->privdata;

    if (reply->numbers < 4)
        reply->number[reply->numbers++] = number;
    return reply;
}

static void *
on_nil(const redisReadTask *task)
{
    struct reply *reply = task->privdata;

    reply->nil = true;
    return reply;
}

static void
on_free(void *object)
{
    (void)object; /* all of them are the struct reply */
}

static redisReplyObjectFunctions reply_calls = {on_string, on_array, on_integer, on_nil, on_free};

static redisReader *
make_reader(struct reply *reply)
{
    redisReader *reader = redisReaderCreateWithFunctions(&reply_calls);

    if (reader != NULL)
        reader->privdata = reply;
    return reader;
}

/* --- the target ---------------------------------------------------------------------------------------- */
struct token { /* as it comes */
    char line[TOKEN_LINE], proof[TOKEN_PROOF];
};

struct redis {
    struct redis_place place;
    struct target_sizes sizes;
    target_answer *answer;
    void *context;
    struct wires *wires;
    uint32_t connections;
    redisReader **reader; /* of each connection */
    struct reply reply;
    struct token *token, *line_token; /* of the admitted and of the line */
    uint32_t line_room;
    struct people_ids ids;
    uint64_t epoch_ms; /* from which a reservation counts its deadline */
};

/* "REFUSED HELD": the number of HELD. False for another error of Redis. */
static bool
is_refusal(const struct reply *reply, uint32_t *reason)
{
    static const char head[] = "REFUSED ";
    const size_t head_size = sizeof head - 1;

    *reason = reason_error();
    if (reply->strings == 0 || reply->size[0] <= head_size || memcmp(reply->string[0], head, head_size) != 0)
        return false;
    *reason = reason_named(reply->string[0] + head_size, reply->size[0] - head_size);
    return true;
}

/* After a start Redis says so until its data is there. */
static bool
is_loading(const struct reply *reply)
{
    return reply->strings > 0 && reply->size[0] > 7 && memcmp(reply->string[0], "LOADING", 7) == 0;
}

static uint64_t
number_at(const struct reply *reply, size_t offset)
{
    uint64_t number = 0;

    if (reply->strings > 0 && reply->size[0] >= offset + 8)
        memcpy(&number, reply->string[0] + offset, 8);
    return number;
}

static struct token *
token_of(struct redis *redis, bool line, uint32_t user)
{
    if (!line) {
        assert(user < redis->sizes.users);
        return &redis->token[user];
    }
    if (user >= redis->line_room) {
        uint32_t room = (user + 1) * 2;
        struct token *more = realloc(redis->line_token, room * sizeof *more);
        assert(more != NULL);
        memset(more + redis->line_room, 0, (room - redis->line_room) * sizeof *more);
        redis->line_token = more;
        redis->line_room = room;
    }
    return &redis->line_token[user];
}

/* What a good answer is worth. */
static uint64_t
value_of(struct redis *redis, const struct due *due)
{
    const struct reply *reply = &redis->reply;

    switch ((enum job)due->job) {
    case JOB_JOIN:
        if (reply->strings == 1 && reply->size[0] == TOKEN_SIZE)
            memcpy(token_of(redis, due->line, due->user), reply->string[0], TOKEN_SIZE);
        return (uint64_t)reply->number[0];
    case JOB_RANK:
        return (uint64_t)reply->number[2];
    case JOB_SEATS:
        return (uint64_t)__builtin_popcountll(number_at(reply, 0));
    case JOB_RESERVE:
        return (number_at(reply, 0) - redis->epoch_ms) << 24 | due->place;
    case JOB_CHARGE:
    case JOB_BALANCE:
    case JOB_PAY:
        return number_at(reply, 0);
    case JOB_DATES:
    case JOB_RELEASE:
        return (uint64_t)reply->number[0];
    case JOB_COUNT:
        break;
    }
    return 0;
}

static void
give_answer(struct redis *redis, uint32_t connection)
{
    struct due due;
    struct outcome outcome = {0};

    if (!wires_answered(redis->wires, connection, &due))
        return;
    outcome.tag = due.tag;
    if (redis->reply.error) {
        outcome.kind = is_refusal(&redis->reply, &outcome.reason) ? OUTCOME_REFUSED : OUTCOME_FAULT;
        if (outcome.kind == OUTCOME_FAULT && !is_loading(&redis->reply))
            fprintf(stderr, "redis: %.*s\n", (int)redis->reply.size[0], redis->reply.string[0]);
    } else {
        outcome.value = value_of(redis, &due);
    }
    redis->answer(redis->context, &outcome);
}

static void
take(void *context, uint32_t connection, const char *bytes, size_t size)
{
    struct redis *redis = context;
    redisReader *reader = redis->reader[connection];
    void *whole = NULL;

    redisReaderFeed(reader, bytes, size);
    do {
        memset(&redis->reply, 0, offsetof(struct reply, number));
        whole = NULL;
        if (redisReaderGetReply(reader, &whole) != REDIS_OK)
            break;
        if (whole != NULL)
            give_answer(redis, connection);
    } while (whole != NULL);
}

static void
lost(void *context, uint32_t connection)
{
    struct redis *redis = context;
    struct due due;

    while (wires_answered(redis->wires, connection, &due)) {
        const struct outcome outcome = {.tag = due.tag, .kind = OUTCOME_FAULT, .reason = reason_error()};
        redis->answer(redis->context, &outcome);
    }
}

/* --- commands ------------------------------------------------------------------------------------------ */
struct writer {
    char *at;
};

static void
put_number(struct writer *writer, char kind, uint64_t number)
{
    char digits[20];
    unsigned count = 0;

    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    *writer->at++ = kind;
    while (count > 0)
        *writer->at++ = digits[--count];
    *writer->at++ = '\r';
    *writer->at++ = '\n';
}

/* One argument made of a prefix and some bytes. */
static void
put(struct writer *writer, const char *prefix, const void *bytes, size_t size)
{
    size_t prefix_size = strlen(prefix);

    put_number(writer, '$', prefix_size + size);
    memcpy(writer->at, prefix, prefix_size);
    if (size > 0)
        memcpy(writer->at + prefix_size, bytes, size);
    writer->at += prefix_size + size;
    *writer->at++ = '\r';
    *writer->at++ = '\n';
}

/* One argument made of a prefix and a number in decimal. */
static void
put_decimal(struct writer *writer, const char *prefix, uint64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)number);

    put(writer, prefix, text, (size_t)size);
}

static void
put_call(struct writer *writer, const char *name, unsigned keys, unsigned arguments)
{
    put_number(writer, '*', 3 + keys + arguments);
    put(writer, "FCALL", NULL, 0);
    put(writer, name, NULL, 0);
    put_decimal(writer, "", keys);
}

/* How a job is asked: its function, and a letter for each key and argument. */
static const struct form {
    const char *name, *keys, *arguments;
} forms[JOB_COUNT] = {
    [JOB_JOIN] = {"join", "PLQF", "uq"},        [JOB_RANK] = {"rank", "PQF", "tf"},
    [JOB_DATES] = {"dates", "PC", "tf"},         [JOB_SEATS] = {"seats", "PD", "tf"},
    [JOB_RESERVE] = {"reserve", "PDR", "tfudn"}, [JOB_RELEASE] = {"release", "PD", "tfudn"},
    [JOB_CHARGE] = {"charge", "PBR", "tfua"},    [JOB_BALANCE] = {NULL, "B", ""},
    [JOB_PAY] = {"pay", "PBDR", "tfudnr"},
};

static void
write_word(struct redis *redis, struct writer *writer, char letter, const struct task *task, const uint8_t uuid[16])
{
    uint32_t queue = task->line ? PEOPLE_QUEUE_LINE : PEOPLE_QUEUE_OPEN;
    bool held = task->job == JOB_PAY || task->job == JOB_RELEASE;
    uint32_t date = held ? (uint32_t)(task->reservation >> 7) & 0x1ffff : task->date;
    uint8_t id[16];

    switch (letter) {
    case 'P': put(writer, "p:", uuid, 16); break;
    case 'B': put(writer, "b:", uuid, 16); break;
    case 'u': put(writer, "", uuid, 16); break;
    case 't': put(writer, "", token_of(redis, task->line, task->user)->line, TOKEN_LINE); break;
    case 'f': put(writer, "", token_of(redis, task->line, task->user)->proof, TOKEN_PROOF); break;
    case 'd': put_decimal(writer, "", date); break;
    case 'L': put_decimal(writer, "line:", queue); break;
    case 'F': put_decimal(writer, "left:", queue); break;
    case 'Q': put_decimal(writer, "q:", queue); break;
    case 'q': put_decimal(writer, "", queue); break;
    case 'D': put_decimal(writer, "d:", date); break;
    case 'C': put_decimal(writer, "c:", date / PEOPLE_CONCERT_DATES); break;
    case 'n': put_decimal(writer, "", held ? task->reservation & 0x7f : task->seat + 1); break;
    case 'a': put_decimal(writer, "", (uint64_t)task->amount); break;
    case 'r': put_decimal(writer, "", redis->epoch_ms + (task->reservation >> 24)); break;
    case 'R':
        people_id(&redis->ids, id);
        put(writer, "r:", id, sizeof id);
        break;
    default: assert(false);
    }
}

static void
write_task(struct redis *redis, struct writer *writer, const struct task *task)
{
    const struct form *form = &forms[task->job];
    uint8_t uuid[16];

    people_uuid(uuid, task->line, task->user);
    if (form->name == NULL) {
        put_number(writer, '*', 2);
        put(writer, "GET", NULL, 0);
    } else {
        put_call(writer, form->name, (unsigned)strlen(form->keys), (unsigned)strlen(form->arguments));
    }
    for (const char *letter = form->keys; *letter != '\0'; letter++)
        write_word(redis, writer, *letter, task, uuid);
    for (const char *letter = form->arguments; *letter != '\0'; letter++)
        write_word(redis, writer, *letter, task, uuid);
}

static bool
redis_submit(void *target, uint32_t connection, const struct task *task, uint64_t tag)
{
    struct redis *redis = target;
    const struct due due = {.tag = tag,
                            .job = task->job,
                            .user = task->user,
                            .line = task->line,
                            .place = task->date << 7 | (task->seat + 1)};
    char *room = wires_room(redis->wires, connection, COMMAND_MOST);
    struct writer writer = {.at = room};

    if (room == NULL)
        return false;
    write_task(redis, &writer, task);
    assert(writer.at <= room + COMMAND_MOST);
    wires_put(redis->wires, connection, (size_t)(writer.at - room), &due);
    return true;
}

/* --- bulk ---------------------------------------------------------------------------------------------- */
/* One command on a connection of its own, waited for. */
struct bulk {
    int socket;
    redisReader *reader;
    struct reply reply;
    char *out;
    struct writer writer;
};

static bool
bulk_open(struct bulk *bulk, uint16_t port, char *why, size_t why_size)
{
    memset(bulk, 0, sizeof *bulk);
    bulk->socket = wires_connect(port);
    bulk->reader = make_reader(&bulk->reply);
    bulk->out = malloc(BULK_SIZE);
    if (bulk->socket >= 0 && bulk->reader != NULL && bulk->out != NULL)
        return true;
    snprintf(why, why_size, "no connection to Redis");
    return false;
}

static void
bulk_close(struct bulk *bulk)
{
    if (bulk->socket >= 0)
        close(bulk->socket);
    if (bulk->reader != NULL)
        redisReaderFree(bulk->reader);
    free(bulk->out);
}

static struct writer *
bulk_begin(struct bulk *bulk)
{
    bulk->writer.at = bulk->out;
    memset(&bulk->reply, 0, offsetof(struct reply, number));
    bulk->reply.rows = NULL;
    return &bulk->writer;
}

static bool
bulk_ask(struct bulk *bulk, char *why, size_t why_size)
{
    size_t size = (size_t)(bulk->writer.at - bulk->out);
    char in[65536];
    void *whole = NULL;

    assert(size <= BULK_SIZE);
    for (size_t sent = 0; sent < size;) {
        ssize_t part = write(bulk->socket, bulk->out + sent, size - sent);
        if (part <= 0)
            break;
        sent += (size_t)part;
    }
    while (redisReaderGetReply(bulk->reader, &whole) == REDIS_OK && whole == NULL) {
        ssize_t part = read(bulk->socket, in, sizeof in);
        if (part <= 0)
            break;
        redisReaderFeed(bulk->reader, in, (size_t)part);
    }
    if (whole != NULL && !bulk->reply.error)
        return true;
    snprintf(why, why_size, "Redis: %.*s", whole != NULL ? (int)bulk->reply.size[0] : 20,
             whole != NULL ? bulk->reply.string[0] : "the connection broke");
    return false;
}

/* People `first` to first + count - 1 of one kind, with their tokens. */
static bool
load_people(struct redis *redis, struct bulk *bulk, bool line, uint32_t first, uint32_t count, char *why,
            size_t why_size)
{
    struct writer *writer = bulk_begin(bulk);

    token_of(redis, line, first + count - 1);
    put_call(writer, "load_people", 0, 2 + count);
    put_decimal(writer, "", line ? PEOPLE_QUEUE_LINE : PEOPLE_QUEUE_OPEN);
    put_decimal(writer, "", line ? 0 : PEOPLE_POINTS);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t uuid[16];
        people_uuid(uuid, line, first + i);
        put(writer, "", uuid, sizeof uuid);
    }
    bulk->reply.rows = token_of(redis, line, first)->line;
    bulk->reply.row_size = TOKEN_SIZE;
    bulk->reply.row_count = 0;
    return bulk_ask(bulk, why, why_size) && bulk->reply.row_count == count;
}

static bool
load_dates(struct redis *redis, struct bulk *bulk, uint32_t first, uint32_t count, char *why, size_t why_size)
{
    struct writer *writer = bulk_begin(bulk);

    put_call(writer, "load_dates", 0, 5);
    put_decimal(writer, "", first);
    put_decimal(writer, "", count);
    put_decimal(writer, "", redis->sizes.seats);
    put_decimal(writer, "", (uint64_t)redis->sizes.price);
    put_decimal(writer, "", PEOPLE_CONCERT_DATES);
    return bulk_ask(bulk, why, why_size);
}

static bool
load_all(struct redis *redis, struct bulk *bulk, char *why, size_t why_size)
{
    const struct target_sizes *sizes = &redis->sizes;

    for (uint32_t i = 0; i < sizes->dates; i += BULK_DATES) {
        uint32_t left = sizes->dates - i;
        if (!load_dates(redis, bulk, i, left < BULK_DATES ? left : BULK_DATES, why, why_size))
            return false;
    }
    for (int line = 0; line < 2; line++) {
        uint32_t people = line ? sizes->waiting : sizes->users;
        for (uint32_t i = 0; i < people; i += BULK_USERS) {
            uint32_t left = people - i;
            if (!load_people(redis, bulk, line, i, left < BULK_USERS ? left : BULK_USERS, why, why_size))
                return false;
        }
    }
    return true;
}

/* The library, with the times of this run behind its first line. */
static bool
load_library(struct redis *redis, struct bulk *bulk, char *why, size_t why_size)
{
    struct writer *writer;
    char text[LIBRARY_MOST], whole[LIBRARY_MOST + 100];
    FILE *file = fopen(redis->place.library, "re");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    char *rest;

    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    rest = strchr(text, '\n');
    if (rest == NULL || size == sizeof text - 1) {
        snprintf(why, why_size, "can't read %s", redis->place.library);
        return false;
    }
    *rest++ = '\0';
    int length = snprintf(whole, sizeof whole, "%s\nlocal HOLD_MS, ACTIVE_MS = %u, %u\n%s", text, redis->sizes.hold_ms,
                          PEOPLE_ACTIVE_MS, rest);
    writer = bulk_begin(bulk);
    put_number(writer, '*', 4);
    put(writer, "FUNCTION", NULL, 0);
    put(writer, "LOAD", NULL, 0);
    put(writer, "REPLACE", NULL, 0);
    put(writer, "", whole, (size_t)length);
    return bulk_ask(bulk, why, why_size);
}

static bool
redis_prepare(void *target, char *why, size_t why_size)
{
    struct redis *redis = target;
    struct bulk bulk;
    bool good = bulk_open(&bulk, redis->place.port, why, why_size) && load_library(redis, &bulk, why, why_size) &&
                load_all(redis, &bulk, why, why_size);

    bulk_close(&bulk);
    return good;
}

/* The books of `count` admitted users from `first` on. */
static bool
audit_users(struct bulk *bulk, uint32_t first, uint32_t count, struct redis_audit *audit, char *why, size_t why_size)
{
    struct writer *writer = bulk_begin(bulk);

    put_call(writer, "audit_users", 0, count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t uuid[16];
        people_uuid(uuid, false, first + i);
        put(writer, "", uuid, sizeof uuid);
    }
    if (!bulk_ask(bulk, why, why_size))
        return false;
    audit->entries += (uint64_t)bulk->reply.number[0];
    audit->mistakes += (uint64_t)bulk->reply.number[1];
    audit->spent += (uint64_t)bulk->reply.number[2];
    return true;
}

bool
redis_audit(uint16_t port, uint32_t users, struct redis_audit *audit, char *why, size_t why_size)
{
    struct bulk bulk;
    bool good = bulk_open(&bulk, port, why, why_size);

    memset(audit, 0, sizeof *audit);
    for (uint32_t i = 0; good && i < users; i += BULK_USERS)
        good = audit_users(&bulk, i, users - i < BULK_USERS ? users - i : BULK_USERS, audit, why, why_size);
    if (good) {
        put_call(bulk_begin(&bulk), "audit_payments", 0, 0);
        good = bulk_ask(&bulk, why, why_size);
        audit->payments = (uint64_t)bulk.reply.number[0];
        audit->mistakes += (uint64_t)bulk.reply.number[1];
        audit->mistakes += (uint64_t)bulk.reply.number[2] != audit->spent;
    }
    bulk_close(&bulk);
    return good;
}

/* --- opening ------------------------------------------------------------------------------------------- */
static void
disconnect(struct redis *redis)
{
    wires_close(redis->wires);
    redis->wires = NULL;
    for (uint32_t i = 0; i < redis->connections; i++)
        redisReaderFree(redis->reader[i]);
    free(redis->reader);
    redis->reader = NULL;
    redis->connections = 0;
}

static bool
redis_connect(void *target, uint32_t connections, uint32_t depth, char *why, size_t why_size)
{
    struct redis *redis = target;
    const struct wires_calls calls = {.take = take, .lost = lost, .context = redis};

    disconnect(redis);
    redis->reader = calloc(connections, sizeof(redisReader *));
    for (uint32_t i = 0; redis->reader != NULL && i < connections; i++) {
        redis->reader[i] = make_reader(&redis->reply);
        redis->connections++;
    }
    redis->wires = wires_open(redis->place.port, connections, depth, &calls, why, why_size);
    return redis->wires != NULL;
}

static void *
redis_open(const void *where, const struct target_sizes *sizes, target_answer *answer, void *context, char *why,
           size_t why_size)
{
    struct redis *redis = calloc(1, sizeof *redis);

    if (redis == NULL) {
        snprintf(why, why_size, "no memory");
        return NULL;
    }
    redis->place = *(const struct redis_place *)where;
    redis->sizes = *sizes;
    redis->answer = answer;
    redis->context = context;
    redis->epoch_ms = (uint64_t)time(NULL) * 1000;
    redis->token = calloc(sizes->users, sizeof *redis->token);
    return redis;
}

static void
redis_close(void *target)
{
    struct redis *redis = target;

    if (redis == NULL)
        return;
    disconnect(redis);
    free(redis->token);
    free(redis->line_token);
    free(redis);
}

static bool
redis_process(void *target, uint64_t wait_ns, char *why, size_t why_size)
{
    struct redis *redis = target;

    return wires_process(redis->wires, wait_ns, why, why_size);
}

static json_t *
redis_describe(void *target)
{
    (void)target;
    return json_pack("{s:s, s:s}", "durable", "appendonly yes, appendfsync always", "jobs", "Redis functions (Lua)");
}

const struct target_kind target_redis = {
    .name = "redis",
    .text = "Redis, functions, AOF always",
    .open = redis_open,
    .prepare = redis_prepare,
    .connect = redis_connect,
    .submit = redis_submit,
    .process = redis_process,
    .reason = reason_name,
    .describe = redis_describe,
    .close = redis_close,
};
