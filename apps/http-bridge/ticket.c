/* ticket.c: the ticket of a payment (M10): as JSON, as a QR code in SVG, and its check with the service's public key,
 * for which no server is asked. */
#include "handlers.h"

#include <assert.h>
#include <qrencode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIPT_TEXT_SIZE (4 * sizeof((usher_receipt_reply *)NULL)->receipt / 3 + 2)
#define QUIET_ZONE        4 /* modules around the code, as its standard asks */

static void
alone(void *request)
{
    ((usher_receipt_request *)request)->alone = USHER_FLAG_YES;
}

void
ticket_handle(struct http_exchange *exchange)
{
    void *request;
    struct call *call = call_open(exchange, &request, alone);

    if (call != NULL)
        call_submit(call, call->row->opcode, request, call->row->done);
}

/* --- what a ticket says ------------------------------------------------------------------------------------------ */
static json_t *
json_ticket(const usher_ticket *ticket)
{
    struct user_id user;
    json_t *seats = json_array();

    user_id_from_uuid(&ticket->user, &user);
    for (uint16_t i = 0; i < ticket->seat_count; i++)
        json_array_append_new(seats, json_pack("{s:I, s:I, s:I}", "concert_id", (json_int_t)ticket->seat[i].concert_id,
                                               "date_id", (json_int_t)ticket->seat[i].date_id, "seat_no",
                                               (json_int_t)ticket->seat[i].seat_no));
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:o}", "user", user_id_json(&user), "payment_id",
                     (json_int_t)ticket->payment_id, "amount", (json_int_t)ticket->amount, "paid_at_ms",
                     (json_int_t)ticket->paid_at_ms, "key_id", (json_int_t)ticket->key_id, "seat", seats);
}

void
ticket_done(struct call *call, const void *reply)
{
    const usher_receipt_reply *got = reply;
    char text[RECEIPT_TEXT_SIZE];
    usher_ticket ticket;

    usher_ticket_verify(&usher_async_identity(call->bridge->usher)->server_key, got->receipt, got->receipt_count,
                        &ticket);
    usher_base64_format(got->receipt, got->receipt_count, text, sizeof text);
    call_answer(call, json_pack("{s:s, s:o}", "receipt", text, "ticket", json_ticket(&ticket)));
}

/* --- the QR code ---------------------------------------------------------------------------------------------------
 */
/* A run of dark modules is one rectangle. */
static void
draw_row(FILE *svg, const uint8_t *row, int width, int y)
{
    for (int x = 0; x < width; x++) {
        int begin = x;
        while (x < width && (row[x] & 1) != 0)
            x++;
        if (x > begin)
            fprintf(svg, "M%d %dh%dv1h-%dz", begin + QUIET_ZONE, y + QUIET_ZONE, x - begin, x - begin);
    }
}

static char *
draw_code(const QRcode *code, size_t *size)
{
    int side = code->width + 2 * QUIET_ZONE;
    char *text;
    FILE *svg = open_memstream(&text, size);

    assert(svg != NULL);
    fprintf(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\" role=\"img\">"
        "<path fill=\"#fff\" d=\"M0 0h%dv%dh-%dz\"/><path d=\"",
        side, side, side, side, side);
    for (int y = 0; y < code->width; y++)
        draw_row(svg, code->data + y * code->width, code->width, y);
    fprintf(svg, "\"/></svg>\n");
    fclose(svg);
    return text;
}

void
ticket_qr_done(struct call *call, const void *reply)
{
    const usher_receipt_reply *got = reply;
    char text[RECEIPT_TEXT_SIZE], *svg;
    size_t size;

    usher_base64_format(got->receipt, got->receipt_count, text, sizeof text);
    QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    assert(code != NULL); /* 1,024 characters always fit */
    svg = draw_code(code, &size);
    QRcode_free(code);
    call_send(call, "image/svg+xml", svg, size);
    free(svg);
}

/* --- without a server ------------------------------------------------------------------------------------------------
 */
static void
answer_json(struct http_exchange *exchange, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);

    assert(text != NULL);
    json_decref(answer);
    http_add_header(exchange, "Cache-Control", "no-store");
    http_respond_json(exchange, 200, text, strlen(text));
    free(text);
}

/* The service's key as the server has proved it; NULL: none has been reached yet, which has been answered. */
static const usher_key *
service_key(struct http_exchange *exchange)
{
    static const usher_key none;
    const usher_key *key = &usher_async_identity(bridge_of(exchange)->usher)->server_key;

    if (memcmp(key, &none, sizeof none) != 0)
        return key;
    problem_answer(exchange, &(struct problem){.code = PROBLEM_SERVER_UNREACHABLE});
    return NULL;
}

void
service_key_handle(struct http_exchange *exchange)
{
    const usher_key *key = service_key(exchange);
    char text[2 * sizeof key->bytes + 1];

    if (key == NULL)
        return;
    usher_hex_format(key->bytes, sizeof key->bytes, text);
    answer_json(exchange, json_pack("{s:s}", "service_key", text));
}

void
verify_handle(struct http_exchange *exchange)
{
    static const char *const verdicts[] = {[USHER_VERDICT_GENUINE] = "genuine",
                                           [USHER_VERDICT_MALFORMED] = "malformed",
                                           [USHER_VERDICT_FORGED] = "forged"};
    usher_receipt_reply shown = {0};
    struct reading reading = {
        .exchange = exchange, .layout = usher_message_of(USHER_OPCODE_RECEIPT)->reply, .body = &shown};
    const usher_key *key;
    usher_ticket ticket;
    usher_verdict verdict;

    if (!read_body(&reading, "receipt")) {
        problem_answer(exchange, &reading.problem);
        return;
    }
    if ((key = service_key(exchange)) == NULL)
        return;
    verdict = usher_ticket_verify(key, shown.receipt, shown.receipt_count, &ticket);
    answer_json(exchange, json_pack("{s:s, s:o}", "verdict", verdicts[verdict], "ticket",
                                    verdict == USHER_VERDICT_GENUINE ? json_ticket(&ticket) : json_null()));
}
