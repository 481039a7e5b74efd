/* queue.c: a place in line over HTTP: join, and where one stands (T1, T3). The stream of it is live.c's. */
#include "handlers.h"

#include "../shared/body.h"
#include "etag.h"
#include "shop.h"

void
join_handle(struct http_exchange *exchange)
{
    void *request;
    struct call *call = call_open(exchange, &request, NULL);

    if (call != NULL && shop_allows(call))
        call_submit(call, call->row->opcode, request, call->row->done);
}

void
join_done(struct call *call, const void *reply)
{
    json_t *answer = json_pack("{s:o}", "user", user_id_json(&call->user));
    json_t *place = body_json(usher_message_of(USHER_OPCODE_JOIN)->reply, reply, BODY_FLAGS_AS_BOOLEANS);

    json_object_update(answer, place);
    json_decref(place);
    call_answer(call, answer);
}

void
place_done(struct call *call, const void *reply)
{
    etag_of_place(reply, call->etag);
    if (call->extra.wait_ms > 0 && call_is_known(call))
        live_wait(call);
    else
        body_done(call, reply);
}
