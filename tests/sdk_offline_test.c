/* sdk_offline_test.c: what libusher does without a server: keys, tickets, tokens, text. */
#include "test.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client-sdk/include/usher.h"
#include "protocol/codec.h"
#include "protocol/token.h"

/* --- keys --------------------------------------------------------------------------------------------- */
static void
write_file(const char *path, const char *text, mode_t mode)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(file, mode), 0);
    close(file);
}

/* F5, X8: a key that was saved is the key that is loaded, readable by its owner alone, and never overwritten. */
static void
a_key_file_keeps_the_key_and_nobody_else_reads_it(void **state)
{
    char folder[] = "/tmp/usher-sdk-XXXXXX", path[64], why[160];
    usher_secret made, loaded;
    usher_key public_key, public_again;
    struct stat status;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/key", folder);
    usher_key_make(&made);
    assert_int_equal(usher_key_save(path, &made, why, sizeof why), USHER_STATUS_ANSWERED);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(usher_key_load(path, &loaded, why, sizeof why), USHER_STATUS_ANSWERED);
    assert_memory_equal(&made, &loaded, sizeof made);
    usher_key_public(&made, &public_key);
    usher_key_public(&loaded, &public_again);
    assert_memory_equal(&public_key, &public_again, sizeof public_key);
    assert_int_equal(usher_key_save(path, &made, why, sizeof why), USHER_STATUS_KEY_FILE);
    assert_non_null(strstr(why, path));
    unlink(path);
    rmdir(folder);
}

/* F5, X8: each way in which a file is not a key file is told, and a broken key is never used. */
static void
a_bad_key_file_is_refused_with_its_reason(void **state)
{
    char folder[] = "/tmp/usher-sdk-XXXXXX", path[64], why[160], line[160];
    usher_secret secret, zero = {{0}};
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/key", folder);
    assert_int_equal(usher_key_load(path, &secret, why, sizeof why), USHER_STATUS_KEY_FILE);
    assert_non_null(strstr(why, "No such file"));
    assert_int_equal(usher_key_load(folder, &secret, why, sizeof why), USHER_STATUS_KEY_FILE);
    usher_key_make(&secret);
    assert_int_equal(usher_key_save(path, &secret, NULL, 0), USHER_STATUS_ANSWERED);
    file = fopen(path, "r");
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);

    write_file(path, line, 0640);
    assert_int_equal(usher_key_load(path, &secret, why, sizeof why), USHER_STATUS_KEY_FILE);
    assert_non_null(strstr(why, "others"));
    line[20] = line[20] == '0' ? '1' : '0';
    write_file(path, line, 0600);
    assert_int_equal(usher_key_load(path, &secret, why, sizeof why), USHER_STATUS_KEY_FILE);
    assert_memory_equal(&secret, &zero, sizeof zero);
    line[20] = 'g';
    write_file(path, line, 0600);
    assert_int_equal(usher_key_load(path, &secret, why, sizeof why), USHER_STATUS_KEY_FILE);
    line[30] = 0;
    write_file(path, line, 0600);
    assert_int_equal(usher_key_load(path, &secret, why, sizeof why), USHER_STATUS_KEY_FILE);
    write_file(path, "", 0600);
    assert_int_equal(usher_key_load(path, &secret, why, sizeof why), USHER_STATUS_KEY_FILE);
    assert_int_equal(usher_key_load(NULL, &secret, why, sizeof why), USHER_STATUS_BAD_ARGUMENT);
    unlink(path);
    rmdir(folder);
}

/* --- tickets and tokens ------------------------------------------------------------------------------- */
/* Sign a body alone; returns the document's size. */
static size_t
sign_alone(const uint8_t *body, size_t size, const uint8_t secret[64], uint8_t *out, size_t room)
{
    usher_proof proof = {.leaf_count = 1};
    uint8_t leaf[32];

    usher_leaf(body, size, leaf);
    usher_root_sign(secret, usher_document_key_id(body), 1, leaf, proof.signature);
    return usher_document_join(body, size, &proof, out, room);
}

/* M10: a gate checks a ticket with the public key alone; every byte counts. */
static void
a_ticket_is_checked_offline_and_every_byte_counts(void **state)
{
    usher_receipt_body body = {.key_id = 1, .user = {{5}}, .payment_id = 77, .amount = 30000, .paid_at_ms = 12345};
    usher_key server_key, other_key;
    usher_ticket ticket, none = {.payment_id = 0};
    uint8_t secret[64], other[64], bytes[256], document[768];
    size_t size;

    (void)state;
    crypto_sign_keypair(server_key.bytes, secret);
    crypto_sign_keypair(other_key.bytes, other);
    body.seat_count = 2;
    body.seat[0] = (usher_receipt_seat){1, 2, 3};
    body.seat[1] = (usher_receipt_seat){1, 2, 4};
    size = usher_receipt_body_encode(&body, bytes, sizeof bytes);
    size = sign_alone(bytes, size, secret, document, sizeof document);
    assert_int_equal(usher_ticket_verify(&server_key, document, size, &ticket), USHER_VERDICT_GENUINE);
    assert_int_equal(ticket.payment_id, 77);
    assert_int_equal(ticket.amount, 30000);
    assert_int_equal(ticket.paid_at_ms, 12345);
    assert_int_equal(ticket.seat_count, 2);
    assert_int_equal(ticket.seat[1].seat_no, 4);
    assert_memory_equal(&ticket.user, &body.user, sizeof body.user);
    assert_int_equal(usher_ticket_verify(&server_key, document, size, NULL), USHER_VERDICT_GENUINE);
    assert_int_equal(usher_ticket_verify(&other_key, document, size, &ticket), USHER_VERDICT_FORGED);
    assert_memory_equal(&ticket, &none, sizeof none);
    for (size_t at = 0; at < size; at++) {
        document[at] ^= 1;
        assert_int_not_equal(usher_ticket_verify(&server_key, document, size, &ticket), USHER_VERDICT_GENUINE);
        document[at] ^= 1;
    }
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(usher_ticket_verify(&server_key, document, cut, &ticket), USHER_VERDICT_MALFORMED);
    assert_int_equal(usher_ticket_verify(&server_key, document, size + 1, &ticket), USHER_VERDICT_MALFORMED);
    assert_int_equal(usher_token_verify(&server_key, document, size, NULL), USHER_VERDICT_MALFORMED);
    assert_int_equal(usher_ticket_verify(&server_key, NULL, 0, &ticket), USHER_VERDICT_MALFORMED);
}

/* T1: a token shows its user and position to whoever reads it, and its proof to whoever has the public key. */
static void
a_token_is_read_and_checked(void **state)
{
    usher_token_body body = {.key_id = 1, .queue_id = 3, .user = {{5}}, .position = 42, .issued_ms = 10, .ends_ms = 20};
    usher_key server_key;
    usher_token token;
    uint8_t secret[64], bytes[USHER_TOKEN_BODY_SIZE], document[512];
    size_t size;

    (void)state;
    crypto_sign_keypair(server_key.bytes, secret);
    size = usher_token_body_encode(&body, bytes);
    size = sign_alone(bytes, size, secret, document, sizeof document);
    assert_int_equal(usher_token_read(document, size, &token), 1);
    assert_int_equal(token.queue_id, 3);
    assert_int_equal(token.position, 42);
    assert_int_equal(token.ends_ms, 20);
    assert_memory_equal(&token.user, &body.user, sizeof body.user);
    assert_int_equal(usher_token_verify(&server_key, document, size, &token), USHER_VERDICT_GENUINE);
    document[24] ^= 1; /* a better place in line */
    assert_int_equal(usher_token_read(document, size, &token), 1);
    assert_int_equal(usher_token_verify(&server_key, document, size, &token), USHER_VERDICT_FORGED);
    assert_int_equal(usher_token_read(document, size - 1, &token), 0);
}

/* X3: a remembered answer opens as the reply it was, or as the refusal. */
static void
a_remembered_answer_opens_as_what_it_was(void **state)
{
    const usher_message *charge = usher_message_of(USHER_OPCODE_CHARGE);
    usher_charge_reply was = {.balance = 500, .entry_no = 3}, reply = {.balance = 0};
    usher_refusal refusal_was = {.detail = 9}, refusal = {.detail = 0};
    usher_lookup_reply found = {.opcode = USHER_OPCODE_CHARGE, .result = USHER_OK};

    (void)state;
    found.body_count = (uint16_t)usher_encode(charge->reply, &was, found.body, sizeof found.body);
    assert_int_equal(usher_lookup_read(&found, &reply, &refusal), 1);
    assert_int_equal(reply.balance, 500);
    assert_int_equal(usher_lookup_read(&found, NULL, NULL), 1);
    found.body_count--;
    assert_int_equal(usher_lookup_read(&found, &reply, &refusal), 0);
    found.result = USHER_AMOUNT_INVALID;
    found.body_count = (uint16_t)usher_encode(usher_refusal_layout(), &refusal_was, found.body, sizeof found.body);
    assert_int_equal(usher_lookup_read(&found, &reply, &refusal), 1);
    assert_int_equal(refusal.detail, 9);
    found.opcode = 0x7777;
    assert_int_equal(usher_lookup_read(&found, &reply, &refusal), 0);
}

/* --- helpers ------------------------------------------------------------------------------------------ */
/* M3: request ids are UUIDs of version 7, all different, and sort by their time. */
static void
new_ids_are_version_7_and_sort_by_time(void **state)
{
    usher_id first, second;
    uint64_t first_ms = 0, second_ms = 0;
    struct timespec now;

    (void)state;
    usher_new_id(&first);
    usher_new_id(&second);
    assert_memory_not_equal(&first, &second, sizeof first);
    assert_int_equal(first.bytes[6] >> 4, 7);
    assert_int_equal(first.bytes[8] >> 6, 2);
    for (size_t i = 0; i < 6; i++) {
        first_ms = first_ms << 8 | first.bytes[i];
        second_ms = second_ms << 8 | second.bytes[i];
    }
    clock_gettime(CLOCK_REALTIME, &now);
    assert_true(second_ms >= first_ms);
    assert_in_range((uint64_t)now.tv_sec * 1000 + 1000 - first_ms, 0, 60000);
}

/* F4: UUIDs, hex and base64 survive the way to text and back; what is not one is refused. */
static void
identifiers_and_bytes_survive_their_text(void **state)
{
    static const char *const wrong[] = {"",
                                        "01890a5d",
                                        "01890a5d-ac96-774b-bcce-b302099a805",
                                        "01890a5d-ac96-774b-bcce-b302099a80577",
                                        "01890a5dxac96-774b-bcce-b302099a8057",
                                        "01890a5d-ac96-774b-bcce-b302099a805g",
                                        "01890a5d0ac96-774b-bcce-b302099a8057"};
    const char *text = "01890a5d-ac96-774b-bcce-b302099a8057";
    usher_uuid uuid, kept = {{1, 2, 3}}, again;
    char formatted[USHER_UUID_TEXT_SIZE], base64[32];
    uint8_t bytes[16];
    size_t size;

    (void)state;
    assert_int_equal(usher_uuid_parse(text, &uuid), 1);
    usher_uuid_format(&uuid, formatted);
    assert_string_equal(formatted, text);
    assert_int_equal(usher_uuid_parse("01890a5dac96774bbcceb302099a8057", &again), 1);
    assert_memory_equal(&uuid, &again, sizeof uuid);
    again = kept;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(usher_uuid_parse(wrong[i], &again), 0);
        assert_memory_equal(&again, &kept, sizeof kept);
    }
    assert_int_equal(usher_base64_format(uuid.bytes, 16, base64, sizeof base64), 22);
    assert_int_equal(usher_base64_parse(base64, bytes, sizeof bytes, &size), 1);
    assert_int_equal(size, 16);
    assert_memory_equal(bytes, uuid.bytes, 16);
    assert_int_equal(usher_base64_format(uuid.bytes, 16, base64, 22), 0);
    assert_int_equal(usher_base64_parse(base64, bytes, 15, &size), 0);
    assert_int_equal(usher_base64_parse("not base64!", bytes, sizeof bytes, &size), 0);
}

/* C2: seats are counted from 1; bits beyond the date's seats or outside of the reply are not free seats. */
static void
a_free_seat_is_found_by_its_number(void **state)
{
    usher_seats_reply seats = {.seat_count = 130, .first_block = 1, .free_block_count = 2};

    (void)state;
    seats.free_block[0] = 1;
    seats.free_block[1] = ~0ULL;
    assert_int_equal(usher_seat_is_free(&seats, 0), 0);
    assert_int_equal(usher_seat_is_free(&seats, 64), 0);
    assert_int_equal(usher_seat_is_free(&seats, 65), 1);
    assert_int_equal(usher_seat_is_free(&seats, 66), 0);
    assert_int_equal(usher_seat_is_free(&seats, 130), 1);
    assert_int_equal(usher_seat_is_free(&seats, 131), 0);
    assert_int_equal(usher_seat_is_free(&seats, UINT32_MAX), 0);
}

/* F4: every status has its own words. */
static void
every_status_has_words(void **state)
{
    (void)state;
    for (int a = USHER_STATUS_ANSWERED; a <= USHER_STATUS_CLOSED; a++)
        for (int b = a + 1; b <= USHER_STATUS_CLOSED; b++)
            assert_string_not_equal(usher_status_text((usher_status)a), usher_status_text((usher_status)b));
    assert_non_null(usher_status_text((usher_status)999));
}

/* F4, F5: every query and command that a client can send has its typed function; a row without one doesn't link. */
static void
every_message_has_its_function(void **state)
{
    static void (*const functions[])(void) = {
#define CONNECTION(name)
#define INTERNAL(name)
#define WATCH(name)
#define QUERY(name)                                                                  (void (*)(void)) usher_##name,
#define COMMAND(name)                                                                (void (*)(void)) usher_##name,
#define usher_enrol                                                                  usher_client_enrol /* is no call: it opens a client */
#define USHER_MESSAGE(opcode, NAME, name, KIND, token, claims, roles, bare, summary) KIND(name)
#include "protocol/messages.def"
#undef usher_enrol
    };
    size_t count, calls = 0;
    const usher_message *messages = usher_messages(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) /* subscriptions are not the blocking client's */
        calls += messages[i].kind == USHER_MESSAGE_QUERY || messages[i].kind == USHER_MESSAGE_COMMAND;
    assert_int_equal(sizeof functions / sizeof *functions, calls);
    for (size_t i = 0; i < calls; i++)
        assert_non_null(functions[i]);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_file_keeps_the_key_and_nobody_else_reads_it),
        cmocka_unit_test(a_bad_key_file_is_refused_with_its_reason),
        cmocka_unit_test(a_ticket_is_checked_offline_and_every_byte_counts),
        cmocka_unit_test(a_token_is_read_and_checked),
        cmocka_unit_test(a_remembered_answer_opens_as_what_it_was),
        cmocka_unit_test(new_ids_are_version_7_and_sort_by_time),
        cmocka_unit_test(identifiers_and_bytes_survive_their_text),
        cmocka_unit_test(a_free_seat_is_found_by_its_number),
        cmocka_unit_test(every_status_has_words),
        cmocka_unit_test(every_message_has_its_function),
    };

    return usher_test_main(argc, argv, tests);
}
