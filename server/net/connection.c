/* connection.c: buffers, reading, sending, closing, deadlines. The states are drawn in inside.h.
 *
 * Bounds: the input holds one frame and one read beyond it; the output holds output_max and the replies of one turn,
 * for a connection whose unsent and owed replies reach output_max is not read until they have shrunk. libevent's
 * timeouts measure only silence, so the deadlines are moments kept here and looked at by a sweep. */
#define _GNU_SOURCE 1
#include "server/net/inside.h"
#include "protocol/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#define READ_ROOM     16384u /* room that a read finds at least */
#define READ_TURN     65536u /* bytes that one connection brings into a turn at most */
#define ROOM_FIRST    1024u
#define LINGER_MS     1000
#define DISCARD_ROUND 16

/* --- buffers ------------------------------------------------------------------------------------------ */
static size_t
buffer_size(const struct net_buffer *buffer)
{
    return buffer->end - buffer->begin;
}

static bool
buffer_resize(struct net_buffer *buffer, size_t room)
{
    uint8_t *bytes = realloc(buffer->bytes, room);

    if (bytes == NULL)
        return false;
    buffer->bytes = bytes;
    buffer->room = room;
    return true;
}

/* Make room for this many bytes behind the end. False without memory. */
bool
net_buffer_reserve(struct net_buffer *buffer, size_t more)
{
    size_t size = buffer_size(buffer);

    if (buffer->room - buffer->end >= more)
        return true;
    if (buffer->begin > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->begin, size);
        buffer->begin = 0;
        buffer->end = size;
    }
    if (buffer->room - buffer->end >= more)
        return true;
    size_t room = buffer->room == 0 ? ROOM_FIRST : buffer->room;
    while (room - size < more)
        room *= 2;
    return buffer_resize(buffer, room);
}

static void
buffer_free(struct net_buffer *buffer)
{
    free(buffer->bytes);
    memset(buffer, 0, sizeof *buffer);
}

static void
buffer_consume(struct net_buffer *buffer, size_t size)
{
    buffer->begin += size;
    if (buffer->begin == buffer->end) {
        buffer->begin = 0;
        buffer->end = 0;
    }
}

/* --- opening and closing ------------------------------------------------------------------------------- */
static void on_ready(evutil_socket_t fd, short what, void *argument);

/* Wait for what the socket is to be ready for: EV_READ, EV_WRITE, both or neither. One event has to do, for libevent's
 * takes 128 bytes, and only a socket that is full waits for two things. */
static void
wait_for(struct connection *connection, short what)
{
    if (connection->waits_for == what)
        return;
    event_del(&connection->event); /* which takes a wake back as well */
    connection->waits_for = what;
    if (what != 0) {
        event_assign(&connection->event, connection->net->base, connection->fd, (short)(what | EV_PERSIST), on_ready,
                     connection);
        connection->doomed |= event_add(&connection->event, NULL) != 0;
    }
    if (connection->woken)
        event_active(&connection->event, EV_READ, 0);
}

struct connection *
connection_open(struct net *net, int fd, bool counted)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        return NULL;
    connection->net = net;
    connection->number = ++net->last_number;
    connection->fd = fd;
    connection->counted = counted;
    connection->opened_at_ms = net_now(net);
    connection->read_at_ms = connection->opened_at_ms;
    event_assign(&connection->event, net->base, fd, EV_READ | EV_PERSIST, on_ready, connection);
    if (event_add(&connection->event, NULL) != 0) {
        free(connection);
        return NULL;
    }
    connection->waits_for = EV_READ;
    connection->next = net->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    net->connections = connection;
    *(counted ? &net->connection_count : &net->turned_away_count) += 1;
    return connection;
}

void
connection_cut(struct connection *connection, const char *reason)
{
    struct net *net = connection->net;

    if (connection->state == CONNECTION_DEAD)
        return;
    net->config.log(LOG_DEBUG, "closed", "connection=%llu client=%u reason=%s", (unsigned long long)connection->number,
                    (unsigned)connection->client_no, reason);
    watch_drop_all(connection);
    event_del(&connection->event);
    close(connection->fd);
    connection->fd = -1;
    connection->state = CONNECTION_DEAD;
    *(connection->counted ? &net->connection_count : &net->turned_away_count) -= 1;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        net->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    connection->previous = NULL;
    connection->next = net->graveyard;
    net->graveyard = connection;
}

void
connection_bury_dead(struct net *net)
{
    struct connection **place = &net->graveyard;

    while (*place != NULL) {
        struct connection *connection = *place;
        if (connection->in_flight > 0) { /* the next turn's requests still point at it */
            place = &connection->next;
            continue;
        }
        *place = connection->next;
        buffer_free(&connection->input);
        buffer_free(&connection->output);
        hello_forget(connection);
        free(connection);
    }
}

static void
make_dirty(struct connection *connection)
{
    struct net *net = connection->net;

    if (connection->dirty)
        return;
    connection->dirty = true;
    connection->next_dirty = net->dirty;
    net->dirty = connection;
    net->dirty_count++;
}

void
connection_end(struct connection *connection)
{
    if (connection->state >= CONNECTION_CLOSING)
        return;
    watch_drop_all(connection);
    connection->state = CONNECTION_CLOSING;
    connection->frame_since_ms = 0;
    buffer_free(&connection->input);
    make_dirty(connection);
}

/* Everything is answered and sent: send our end, and wait a moment for the client's. */
static void
linger(struct connection *connection)
{
    if (connection->ended) {
        connection_cut(connection, "ended");
        return;
    }
    shutdown(connection->fd, SHUT_WR);
    connection->state = CONNECTION_LINGERING;
    connection->linger_since_ms = net_now(connection->net);
}

/* --- reading ------------------------------------------------------------------------------------------- */
/* Throw away what still comes. */
static void
discard(struct connection *connection)
{
    uint8_t waste[4096];

    for (int round = 0; round < DISCARD_ROUND; round++) {
        ssize_t got = recv(connection->fd, waste, sizeof waste, 0);
        if (got > 0)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (connection->state == CONNECTION_LINGERING || got < 0) {
            connection_cut(connection, "ended");
        } else {
            connection->ended = true;
            wait_for(connection, connection->waits_for & EV_WRITE);
        }
        return;
    }
}

/* An idle connection owns no input buffer: it borrows the spare one to read into, and gives it back when every byte
 * was taken. One that keeps the beginning of a frame keeps a buffer, cut down to its size. */
static void
borrow_input(struct connection *connection)
{
    if (connection->input.bytes != NULL)
        return;
    connection->input = connection->net->spare;
    memset(&connection->net->spare, 0, sizeof connection->net->spare);
}

static void
return_input(struct connection *connection)
{
    struct net_buffer *input = &connection->input;
    struct net_buffer *spare = &connection->net->spare;

    if (buffer_size(input) > 0) {
        if (input->room <= 4 * buffer_size(input) + READ_ROOM)
            return;
        memmove(input->bytes, input->bytes + input->begin, buffer_size(input));
        input->end -= input->begin;
        input->begin = 0;
        (void)buffer_resize(input, input->end); /* without memory for it the larger one is as good */
        return;
    }
    if (spare->bytes == NULL)
        *spare = *input;
    else
        free(input->bytes);
    memset(input, 0, sizeof *input);
}

/* Read what there is, up to a bound. False when the connection is dead. */
static bool
receive(struct connection *connection)
{
    size_t taken = 0;
    size_t input_most = connection->net->config.limits.frame_max + READ_TURN;

    while (taken < READ_TURN && buffer_size(&connection->input) < input_most) {
        if (!net_buffer_reserve(&connection->input, READ_ROOM)) {
            connection_cut(connection, "no_memory");
            return false;
        }
        struct net_buffer *input = &connection->input;
        ssize_t got = recv(connection->fd, input->bytes + input->end, input->room - input->end, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got < 0) {
            connection_cut(connection, "reset");
            return false;
        }
        if (got == 0) {
            connection->ended = true;
            break;
        }
        bool filled = (size_t)got == input->room - input->end;
        input->end += (size_t)got;
        taken += (size_t)got;
        if (!filled)
            break; /* a short read: the socket is empty now, and if not, it is ready again */
    }
    if (taken > 0)
        connection->read_at_ms = net_take_stamp(connection->net);
    return true;
}

/* A frame that can never become valid: one error reply, then the end. */
static void
refuse_frame(struct connection *connection, const usher_frame *frame, usher_result why)
{
    const usher_refusal refusal = {0};

    connection_refuse(connection, frame->opcode, frame->request_no, why, &refusal);
    connection_end(connection);
}

static bool
output_is_over(const struct connection *connection)
{
    return buffer_size(&connection->output) + connection->owed >= connection->net->config.limits.output_max;
}

void
connection_take(struct connection *connection)
{
    size_t frame_max = connection->net->config.limits.frame_max;
    bool took = false;

    connection->paused = false;
    while (connection->state < CONNECTION_CLOSING) {
        struct net_buffer *input = &connection->input;
        usher_frame frame;
        usher_result why;
        if (output_is_over(connection)) {
            connection->paused = true;
            break;
        }
        usher_frame_state state =
            usher_frame_read(input->bytes == NULL ? (const uint8_t *)"" : input->bytes + input->begin,
                             buffer_size(input), frame_max, &frame, &why);
        if (state == USHER_FRAME_PARTIAL)
            break;
        if (state == USHER_FRAME_READY && (frame.flags != 0 || frame.stamp_ms != 0)) {
            state = USHER_FRAME_BROKEN;
            why = USHER_FRAME_HEADER;
        }
        if (state == USHER_FRAME_BROKEN) {
            refuse_frame(connection, &frame, why);
            break;
        }
        request_take(connection, &frame);
        took = true;
        if (connection->state < CONNECTION_CLOSING)
            buffer_consume(&connection->input, frame.size);
    }
    if (connection->state >= CONNECTION_CLOSING)
        return;
    if (connection->paused || buffer_size(&connection->input) == 0)
        connection->frame_since_ms = 0;
    else if (took || connection->frame_since_ms == 0)
        connection->frame_since_ms = connection->read_at_ms;
}

static void
read_ready(struct connection *connection)
{
    struct net *net = connection->net;

    stages_begin(net->config.stages);
    if (net->batch.on_its_way)
        stages_lap(net->config.stages, USHER_STAGE_SYNC); /* the loop had nothing to read since the last lap */
    if (connection->state >= CONNECTION_CLOSING) {
        discard(connection);
        return;
    }
    borrow_input(connection);
    if (!receive(connection))
        return;
    connection_take(connection);
    return_input(connection);
    if (connection->paused || connection->ended)
        wait_for(connection, connection->waits_for & EV_WRITE);
    if (connection->ended && !connection->paused)
        connection_end(connection);
    /* Leave the other ready sockets to the next turn once this one is half full, so that BUSY is for floods only, and
     * once as many have something to send, for what thousands of HELLOs are answered takes memory until it is sent. */
    if (net->taken->count * 2 >= net->config.limits.turn_max || net->dirty_count * 2 >= net->config.limits.turn_max)
        event_base_loopbreak(net->base);
    if (net->batch.on_its_way)
        stages_lap(net->config.stages, USHER_STAGE_PARSE);
}

/* --- replies and pushes -------------------------------------------------------------------------------- */
/* Room for a frame behind the output's end, or among those that wait for the disk; or NULL: a connection that can't be
 * answered is cut. */
static uint8_t *
reserve_frame(struct connection *connection, size_t body_most)
{
    size_t most = USHER_HEADER_SIZE + body_most;
    uint8_t *out = NULL;

    if (connection->state == CONNECTION_DEAD)
        return NULL;
    if (connection->net->holding)
        out = held_reserve(connection->net->held, most);
    else if (net_buffer_reserve(&connection->output, most))
        out = connection->output.bytes + connection->output.end;
    if (out == NULL)
        connection_cut(connection, "no_memory");
    return out;
}

/* The header in front of a body that was written into its room. */
static void
finish_frame(struct connection *connection, uint8_t *out, size_t body_size, const usher_frame *frame, uint8_t flag)
{
    usher_frame finished = *frame;

    finished.flags |= flag;
    finished.stamp_ms = connection->net->stamp_ms;
    size_t size = usher_frame_finish(out, body_size, &finished);
    if (connection->net->holding) {
        held_add(connection->net->held, connection, size);
        return;
    }
    connection->output.end += size;
    make_dirty(connection);
}

static void
append(struct connection *connection, const usher_frame *frame, uint8_t flag, const usher_layout *layout,
       const void *body)
{
    size_t most = usher_size_most(layout);
    uint8_t *out = reserve_frame(connection, most);

    if (out == NULL)
        return;
    size_t size = usher_encode(layout, body, out + USHER_HEADER_SIZE, most);
    assert(size != SIZE_MAX);
    finish_frame(connection, out, size, frame, flag);
}

void
connection_reply(struct connection *connection, const usher_frame *frame, const usher_layout *layout, const void *body)
{
    append(connection, frame, USHER_FLAG_REPLY, layout, body);
}

bool
connection_has_room(const struct connection *connection)
{
    return buffer_size(&connection->output) + connection->owed <= connection->net->config.limits.output_max / 2;
}

static uint8_t *
reserve_push(struct connection *connection, size_t body_most)
{
    if (connection->state == CONNECTION_DEAD || connection->doomed)
        return NULL;
    connection->doomed = !net_buffer_reserve(&connection->output, USHER_HEADER_SIZE + body_most);
    return connection->doomed ? NULL : connection->output.bytes + connection->output.end;
}

void
connection_tell(struct connection *connection, const usher_push *push, const void *body)
{
    const usher_frame frame = {.opcode = push->opcode};
    size_t most = usher_size_most(push->body);
    uint8_t *out = reserve_push(connection, most);

    if (out == NULL)
        return;
    size_t size = usher_encode(push->body, body, out + USHER_HEADER_SIZE, most);
    assert(size != SIZE_MAX);
    finish_frame(connection, out, size, &frame, USHER_FLAG_PUSH);
}

void
connection_tell_bytes(struct connection *connection, uint16_t opcode, uint32_t subscription, const uint8_t *body,
                      size_t body_size)
{
    const usher_frame frame = {.opcode = opcode};
    uint8_t *out = reserve_push(connection, body_size);

    if (out == NULL)
        return;
    memcpy(out + USHER_HEADER_SIZE, body, body_size);
    bytes_put_u32(out + USHER_HEADER_SIZE, subscription);
    finish_frame(connection, out, body_size, &frame, USHER_FLAG_PUSH);
}

void
connection_push(struct connection *connection, const usher_push *push, const void *body)
{
    const usher_frame frame = {.opcode = push->opcode};

    append(connection, &frame, USHER_FLAG_PUSH, push->body, body);
}

void
connection_reply_bytes(struct connection *connection, const usher_frame *frame, const uint8_t *body, size_t body_size)
{
    uint8_t *out = reserve_frame(connection, body_size);

    if (out == NULL)
        return;
    memcpy(out + USHER_HEADER_SIZE, body, body_size);
    finish_frame(connection, out, body_size, frame, USHER_FLAG_REPLY);
}

void
connection_append(struct connection *connection, const uint8_t *frames, size_t size)
{
    uint8_t *out = reserve_frame(connection, size);

    if (out == NULL)
        return;
    memcpy(out, frames, size);
    connection->output.end += size;
    make_dirty(connection);
}

void
connection_refuse(struct connection *connection, uint16_t opcode, uint32_t request_no, usher_result result,
                  const usher_refusal *refusal)
{
    const usher_frame frame = {.opcode = opcode, .request_no = request_no, .aux = (uint32_t)result};

    connection_reply(connection, &frame, usher_refusal_layout(), refusal);
}

/* --- sending ------------------------------------------------------------------------------------------- */
/* Go on with requests that waited for the output to shrink. */
static void
resume(struct connection *connection)
{
    if (!connection->paused || output_is_over(connection) || connection->state >= CONNECTION_CLOSING)
        return;
    connection->paused = false;
    if (!connection->ended)
        wait_for(connection, connection->waits_for | EV_READ);
    /* Whole frames may be in the buffer already, which no socket event would tell. */
    connection->woken = true;
    event_active(&connection->event, EV_READ, 0);
}

/* The output has shrunk: who waited for that goes on. */
static void
go_on(struct connection *connection)
{
    resume(connection);
    if (connection->stale && connection_has_room(connection))
        watch_resume(connection);
}

/* How much of a frame is left to be sent when so many bytes of whole frames, but for the first of which only `left`
 * bytes were left, have gone. */
static size_t
left_of_frame(const uint8_t *bytes, size_t left, size_t sent)
{
    size_t end = left;

    while (end < sent)
        end += bytes_get_u32(bytes + end);
    return end - sent;
}

static void
flush(struct connection *connection)
{
    struct net_buffer *output = &connection->output;

    while (buffer_size(output) > 0) {
        ssize_t sent = send(connection->fd, output->bytes + output->begin, buffer_size(output), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            if (connection->output_since_ms == 0)
                connection->output_since_ms = net_now(connection->net);
            wait_for(connection, connection->waits_for | EV_WRITE);
            go_on(connection);
            return;
        }
        if (sent < 0) {
            connection_cut(connection, "reset");
            return;
        }
        connection->frame_left = left_of_frame(output->bytes + output->begin, connection->frame_left, (size_t)sent);
        buffer_consume(output, (size_t)sent);
        connection->output_since_ms = buffer_size(output) > 0 ? net_now(connection->net) : 0;
    }
    buffer_free(output);
    wait_for(connection, connection->waits_for & EV_READ);
    if (connection->state == CONNECTION_CLOSING && connection->in_flight == 0)
        linger(connection);
    else
        go_on(connection);
}

static void
on_ready(evutil_socket_t fd, short what, void *argument)
{
    struct connection *connection = argument;

    (void)fd;
    connection->woken = false;
    if (what & EV_WRITE)
        flush(connection);
    if ((what & EV_READ) && connection->state != CONNECTION_DEAD)
        read_ready(connection);
}

void
connection_flush_all(struct net *net)
{
    uint64_t count = 0;

    for (; net->dirty != NULL; count++) {
        struct connection *connection = net->dirty;
        net->dirty = connection->next_dirty;
        connection->dirty = false;
        net->dirty_count--;
        if (connection->state < CONNECTION_LINGERING)
            flush(connection);
    }
    stages_count(net->config.stages, USHER_STAGE_ANSWERED, count);
}

/* --- deadlines ----------------------------------------------------------------------------------------- */
static bool
is_over(uint64_t since_ms, uint64_t limit_ms, uint64_t now_ms)
{
    return since_ms != 0 && limit_ms != 0 && now_ms >= since_ms + limit_ms;
}

static const char slow_consumer[] = "slow_consumer";

/* Why this connection has to go now, or NULL. */
static const char *
overdue(const struct connection *connection, uint64_t now_ms)
{
    const struct net_limits *limits = &connection->net->config.limits;
    bool unproved = connection->state < CONNECTION_READY;
    bool quiet = connection->in_flight == 0 && buffer_size(&connection->output) == 0;

    if (connection->doomed)
        return "no_memory";
    if (is_over(connection->linger_since_ms, LINGER_MS, now_ms))
        return "lingered";
    if (unproved && is_over(connection->opened_at_ms, limits->hello_ms, now_ms))
        return "hello_timeout";
    if (is_over(connection->frame_since_ms, limits->frame_ms, now_ms))
        return "frame_timeout";
    if (is_over(connection->output_since_ms, limits->stall_ms, now_ms))
        return slow_consumer;
    if (quiet && is_over(connection->read_at_ms, limits->idle_ms, now_ms))
        return "idle";
    return NULL;
}

/* One that watches and does not read: what is unsent, but for a frame that has begun, gives way to the reason, and the
 * connection gets as long once more to take that. */
static void
end_slow(struct connection *connection, uint64_t now_ms)
{
    struct net_buffer *output = &connection->output;

    connection->net->config.log(LOG_NOTICE, "slow_consumer",
                                "connection=%llu client=%u subscriptions=%llu unsent_bytes=%zu",
                                (unsigned long long)connection->number, (unsigned)connection->client_no,
                                (unsigned long long)connection->subscription_count, buffer_size(output));
    output->end = output->begin + connection->frame_left;
    connection->output_since_ms = now_ms;
    watch_end_all(connection, USHER_SLOW_CONSUMER);
    connection_end(connection);
}

void
connection_sweep(struct net *net)
{
    uint64_t now_ms = net_now(net);
    struct connection *next;

    for (struct connection *connection = net->connections; connection != NULL; connection = next) {
        next = connection->next; /* a cut unlinks the connection */
        const char *reason = overdue(connection, now_ms);
        if (reason == slow_consumer && connection->subscriptions != NULL)
            end_slow(connection, now_ms);
        else if (reason != NULL)
            connection_cut(connection, reason);
    }
}
