/* ticket.c: what tokens, receipts and remembered answers say, without asking a server. */
#include <sodium.h>
#include <string.h>

#include "client-sdk/include/usher.h"
#include "protocol/codec.h"
#include "protocol/token.h"

_Static_assert(USHER_TICKET_SEATS_MOST == USHER_RECEIPT_SEATS_MOST, "a ticket has room for every receipt's seats");

/* Check the proof of a document of this kind; *body_size gets the length of its body. */
static usher_verdict
document_verify(const usher_key *server_key, const uint8_t *bytes, size_t size, unsigned kind, size_t *body_size)
{
    usher_proof proof;
    uint8_t leaf[32], root[32];

    if (bytes == NULL || !usher_document_split(bytes, size, kind, body_size, &proof))
        return USHER_VERDICT_MALFORMED;
    usher_leaf(bytes, *body_size, leaf);
    usher_proof_root(leaf, &proof, root);
    return usher_root_verify(server_key->bytes, usher_document_key_id(bytes), proof.leaf_count, root, proof.signature)
               ? USHER_VERDICT_GENUINE
               : USHER_VERDICT_FORGED;
}

static bool
ticket_read(const uint8_t *bytes, size_t body_size, usher_ticket *ticket)
{
    usher_receipt_body body;

    if (!usher_receipt_body_decode(bytes, body_size, &body))
        return false;
    ticket->user = body.user;
    ticket->payment_id = body.payment_id;
    ticket->amount = body.amount;
    ticket->paid_at_ms = body.paid_at_ms;
    ticket->key_id = body.key_id;
    ticket->seat_count = body.seat_count;
    for (size_t i = 0; i < body.seat_count; i++) {
        ticket->seat[i].concert_id = body.seat[i].concert_id;
        ticket->seat[i].date_id = body.seat[i].date_id;
        ticket->seat[i].seat_no = body.seat[i].seat_no;
    }
    return true;
}

usher_verdict
usher_ticket_verify(const usher_key *server_key, const uint8_t *bytes, size_t size, usher_ticket *ticket)
{
    usher_ticket read = {0};
    usher_verdict verdict;
    size_t body_size;

    if (sodium_init() < 0)
        sodium_misuse();
    verdict = document_verify(server_key, bytes, size, USHER_DOCUMENT_RECEIPT, &body_size);
    if (verdict == USHER_VERDICT_GENUINE && !ticket_read(bytes, body_size, &read)) {
        verdict = USHER_VERDICT_MALFORMED;
        memset(&read, 0, sizeof read);
    }
    if (ticket != NULL)
        *ticket = read;
    return verdict;
}

int
usher_token_read(const uint8_t *bytes, size_t size, usher_token *token)
{
    usher_token_body body;
    usher_proof proof;
    size_t body_size;

    memset(token, 0, sizeof *token);
    if (bytes == NULL || !usher_document_split(bytes, size, USHER_DOCUMENT_TOKEN, &body_size, &proof) ||
        !usher_token_body_decode(bytes, body_size, &body))
        return 0;
    token->user = body.user;
    token->queue_id = body.queue_id;
    token->key_id = body.key_id;
    token->position = body.position;
    token->issued_ms = body.issued_ms;
    token->ends_ms = body.ends_ms;
    return 1;
}

usher_verdict
usher_token_verify(const usher_key *server_key, const uint8_t *bytes, size_t size, usher_token *token)
{
    usher_token read = {0};
    usher_verdict verdict;
    size_t body_size;

    if (sodium_init() < 0)
        sodium_misuse();
    verdict = document_verify(server_key, bytes, size, USHER_DOCUMENT_TOKEN, &body_size);
    if (verdict == USHER_VERDICT_GENUINE && !usher_token_read(bytes, size, &read))
        verdict = USHER_VERDICT_MALFORMED;
    if (token != NULL)
        *token = read;
    return verdict;
}

int
usher_lookup_read(const usher_lookup_reply *found, void *reply, usher_refusal *refusal)
{
    const usher_message *message = usher_message_of(found->opcode);
    const usher_layout *layout;
    union {
        usher_refusal refusal;
        uint8_t bytes[16384]; /* a remembered body takes 2,048 bytes on the wire; its struct may be larger */
    } read;
    unsigned field_no;

    if (message == NULL)
        return 0;
    layout = found->result == USHER_OK ? message->reply : usher_refusal_layout();
    if (layout->struct_size > sizeof read)
        return 0;
    memset(&read, 0, sizeof read);
    if (usher_decode(layout, found->body, found->body_count, &read, &field_no) != USHER_OK)
        return 0;
    if (found->result == USHER_OK && reply != NULL)
        memcpy(reply, &read, layout->struct_size);
    if (found->result != USHER_OK && refusal != NULL)
        *refusal = read.refusal;
    return 1;
}
