/* call.h: one request of the API on its way through the SDK and back.
 *
 *     handler -> call_open()      what the request says, as its row of calls.def has it, or a problem
 *             -> call_submit()    to the server, on a handle of the SDK
 *     completion -> done()        an OK: the done of the row, or of the handler, answers
 *                -> a problem     everything else: refusals by their row of problems.def, and what became of a
 *                                 call that got no answer
 *
 * A call ends its exchange exactly once, by call_answer(), call_send() or call_refuse(); after that it is gone. */
#ifndef BRIDGE_CALL_H
#define BRIDGE_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <usher.h>

#include "bridge.h"
#include "etag.h"
#include "problem.h"
#include "read.h"
#include "request_key.h"
#include "user_id.h"

struct call;
typedef void call_done(struct call *call, const void *reply);

struct call_row {
    const char *operation;
    enum http_method method;
    const char *pattern;
    uint16_t opcode;
    unsigned status; /* of the answer */
    const char *path, *query, *body;
    call_done *done;
};
/* The row of an operation by its name, or NULL. */
const struct call_row *call_row_named(const char *operation);

struct call {
    struct http_exchange *exchange;
    struct bridge *bridge;
    const struct call_row *row;
    call_done *done;
    struct user_id user; /* as the request named it, else as its token does */
    struct read_extra extra;
    char key[REQUEST_KEY_MOST + 1]; /* "" for a query */
    usher_id request_id;
    bool is_replayed;
    uint64_t stamp_ms;                       /* of the last answer of the server */
    char etag[ETAG_SIZE];                    /* "" for none; with its quotes */
    json_t *kept;                            /* a handler's own, between its requests; freed with the call */
    void *more;                              /* the same, in http_memory() */
    void *asked;                             /* of call_keep() */
    void (*on_not_found)(struct call *call); /* what REQUEST_NOT_FOUND leads to; NULL: a problem */
};

/* Read the request of this exchange into a struct of the row's SDK request, which is good until the next call_open(),
 * and set *request to it. `begin`, which may be NULL, sets fields that mean something else than zero when they are left
 * out. NULL: a problem has been answered. */
struct call *call_open(struct http_exchange *exchange, void **request, void (*begin)(void *request));
/* Send a request; done, or a problem, follows. The request is copied. */
void call_submit(struct call *call, uint16_t opcode, const void *request, call_done *done);
/* The handler of most rows: open, then submit. And of those whose done asks for further pages: call->asked is the
 * request. */
http_handler call_handle, paged_handle;
/* Keep a request in call->asked as long as the call lives. */
void call_keep(struct call *call, const void *request, size_t size);

/* Put the queue token of Authorization into a request's field; false: a problem has been answered. */
bool call_take_token(struct call *call, const usher_layout *layout, void *request);

/* Whether If-None-Match names the etag that the call has now. */
bool call_is_known(const struct call *call);
/* Answer with the row's status and this object, which is given away; /v1 gets stamp_ms. With an etag that If-None-Match
 * names: 304. */
void call_answer(struct call *call, json_t *answer);
/* The same with a body of another kind; copied. */
void call_send(struct call *call, const char *content_type, const void *body, size_t size);
/* End with a problem; stamp and key are added. */
void call_refuse(struct call *call, struct problem problem);
/* The done of most rows: the reply's struct as it is. */
call_done body_done;

#endif
