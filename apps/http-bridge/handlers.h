/* handlers.h: who answers the rows of calls.def and routes.def, room by room. */
#ifndef BRIDGE_HANDLERS_H
#define BRIDGE_HANDLERS_H

#include "call.h"

/* seven.c: A1 to A7 */
http_handler token_handle, payment_handle;
call_done token_done, date_done, seat_done, reservation_done, total_done;
/* queue.c */
http_handler join_handle;
call_done join_done, place_done;
/* seats.c: concerts, plans, seats, holds */
http_handler reserve_best_handle;
call_done concerts_done, plan_done, seats_done;
/* ticket.c */
http_handler ticket_handle, verify_handle, service_key_handle;
call_done ticket_done, ticket_qr_done;
/* lookup.c */
http_handler lookup_handle;
call_done lookup_done;
/* live.c: the streams, and a call whose answer waits for something else than its etag names: the watch's opcode follows
 * from the row's, the request is call->asked */
http_handler live_handle;
void live_wait(struct call *call);
/* about.c */
http_handler problem_handle, openapi_handle;

#endif
