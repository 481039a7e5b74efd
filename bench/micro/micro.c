/* micro.c: what the parts cost by themselves, on records in memory, without network or disk.
 *
 *     micro           each part for about a second: so many a second, so many ns each
 *     micro --script  a fixed script, for callgrind: bench/instructions.sh counts what each command takes */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "bench/micro/engine.h"
#include "protocol/codec.h"
#include "protocol/token.h"

#define BUYERS        100000u
#define IN_BATCH      125u /* rounds: 500 commands */
#define WAITING       1000000u
#define LOOPS         2000000u
#define SIGNATURES    20000u
#define TREE          50u
#define SCRIPT_BUYERS 4000u
#define SCRIPT_BATCH  50u

static double
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void
say(const char *what, uint64_t count, double began_ns)
{
    double each_ns = (now_ns() - began_ns) / (double)count;

    printf("%-52s %12.0f/s %9.1f ns\n", what, 1e9 / each_ns, each_ns);
    fflush(stdout);
}

static uint64_t
draw(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* --- the engine ------------------------------------------------------------------------------------------------- */
static void
measure_commands(bool through_commit, const char *what)
{
    struct engine engine;

    for (int again = 0; again < 2; again++) { /* the first time the system has to find the memory */
        engine_open(&engine, BUYERS);
        engine_rounds(&engine, 0, 4 * ENGINE_LAG, IN_BATCH, through_commit); /* then all four kinds are mixed */
        double began_ns = now_ns();
        uint64_t count = engine_rounds(&engine, 4 * ENGINE_LAG, BUYERS, IN_BATCH, through_commit);
        if (again == 1)
            say(what, count, began_ns);
        engine_close(&engine);
    }
}

static void
measure_line(void)
{
    struct engine engine;
    uint64_t sum = 0;

    engine_open(&engine, 1);
    engine_fill_line(&engine, WAITING);
    uint64_t queue_no = store_find_queue(engine.store, ENGINE_LINE), last = store_record_count(engine.store, STORE_TABLE_USER);
    double began_ns = now_ns();
    for (uint32_t i = 0; i < LOOPS; i++)
        sum += store_rank(engine.store, queue_no, 1 + draw() % WAITING);
    say("rank among 1,000,000 who wait", LOOPS, began_ns);
    began_ns = now_ns();
    for (uint32_t i = 0; i < LOOPS; i++)
        sum += store_see_user(engine.store, 1 + draw() % last)->user_no;
    say("read one of 1,000,000 users by its number", LOOPS, began_ns);
    usher_uuid *users = calloc(LOOPS / 10, sizeof *users);
    if (users == NULL)
        engine_die("no memory");
    for (uint32_t i = 0; i < LOOPS / 10; i++)
        users[i] = store_see_user(engine.store, 1 + draw() % last)->uuid;
    began_ns = now_ns();
    for (uint32_t i = 0; i < LOOPS / 10; i++)
        sum += store_find_user(engine.store, &users[i]);
    say("find one of 1,000,000 users by its UUID", LOOPS / 10, began_ns);
    free(users);
    if (sum == 0)
        engine_die("nothing was read");
    engine_close(&engine);
}

/* --- the wire ----------------------------------------------------------------------------------------------------- */
static void
measure_codec(void)
{
    const usher_message *message = usher_message_of(USHER_OPCODE_RESERVE);
    usher_reserve_request ask = {.concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {7}, .token_count = 208};
    static usher_reserve_request read;
    uint8_t bytes[1024];
    usher_frame frame = {.opcode = message->opcode}, got;
    usher_result why;
    unsigned field_no;

    double began_ns = now_ns();
    for (uint32_t i = 0; i < LOOPS; i++) {
        ask.seat[0] = i % 50 + 1;
        frame.request_no = i;
        size_t size = usher_encode(message->request, &ask, bytes + USHER_HEADER_SIZE, sizeof bytes - USHER_HEADER_SIZE);
        size = usher_frame_finish(bytes, size, &frame);
        if (usher_frame_read(bytes, size, USHER_FRAME_MAX, &got, &why) != USHER_FRAME_READY ||
            usher_decode(message->request, got.body, got.body_size, &read, &field_no) != USHER_OK)
            engine_die("a frame is not what was written");
    }
    say("write and read a RESERVE with its token", LOOPS, began_ns);
}

static void
measure_tokens(void)
{
    static uint8_t nodes[256][32];
    uint8_t public_key[32], secret_key[64], body[USHER_TOKEN_BODY_SIZE] = {0}, root[32], leaf[32];
    usher_proof proof = {.leaf_count = TREE};

    crypto_sign_keypair(public_key, secret_key);
    double began_ns = now_ns();
    for (uint32_t i = 0; i < SIGNATURES; i++) {
        for (uint32_t l = 0; l < TREE; l++) {
            memcpy(body, &l, sizeof l);
            usher_leaf(body, sizeof body, nodes[l]);
        }
        usher_tree_fill(nodes, TREE);
        usher_root_sign(secret_key, 1, TREE, nodes[usher_tree_nodes(TREE) - 1], proof.signature);
    }
    say("sign a token, 50 of them together", (uint64_t)SIGNATURES * TREE, began_ns);
    memcpy(root, nodes[usher_tree_nodes(TREE) - 1], 32);
    proof.leaf_index = TREE - 1;
    proof.path_count = (uint8_t)usher_tree_path((const uint8_t(*)[32])nodes, TREE, TREE - 1, proof.path);
    began_ns = now_ns();
    for (uint32_t i = 0; i < LOOPS / 10; i++) {
        usher_leaf(body, sizeof body, leaf);
        usher_proof_root(leaf, &proof, root);
    }
    say("verify a token under a root that is known", LOOPS / 10, began_ns);
    began_ns = now_ns();
    for (uint32_t i = 0; i < SIGNATURES; i++) {
        usher_proof_root(leaf, &proof, root);
        if (!usher_root_verify(public_key, 1, TREE, root, proof.signature))
            engine_die("a signature is not good");
    }
    say("verify a token under a new root", SIGNATURES, began_ns);
}

/* --- the script ----------------------------------------------------------------------------------------------------- */
/* One function for each kind, so that callgrind can tell them apart; never inlined into one another. */
#define SCRIPT(name, STEP)                                                                                             \
    __attribute__((noinline)) void script_##name(struct engine *engine, uint32_t from, uint32_t to);                   \
    void script_##name(struct engine *engine, uint32_t from, uint32_t to)                                              \
    {                                                                                                                  \
        for (uint32_t buyer = from; buyer < to; buyer++)                                                               \
            engine_add(engine, STEP, buyer);                                                                           \
        engine_run(engine);                                                                                            \
    }
SCRIPT(join, ENGINE_JOIN)
SCRIPT(charge, ENGINE_CHARGE)
SCRIPT(reserve, ENGINE_RESERVE)
SCRIPT(pay, ENGINE_PAY)

static void
run_script(void)
{
    static void (*const scripts[ENGINE_STEPS])(struct engine *engine, uint32_t from,
                                               uint32_t to) = {script_join, script_charge, script_reserve, script_pay};
    struct engine engine;

    engine_open(&engine, SCRIPT_BUYERS);
    for (unsigned step = 0; step < ENGINE_STEPS; step++)
        for (uint32_t buyer = 0; buyer < SCRIPT_BUYERS; buyer += SCRIPT_BATCH)
            scripts[step](&engine, buyer, buyer + SCRIPT_BATCH);
    engine_close(&engine);
    printf("%u\n", SCRIPT_BUYERS);
}

int
main(int argc, char **argv)
{
    if (sodium_init() < 0)
        engine_die("libsodium can't be used here");
    if (argc == 2 && strcmp(argv[1], "--script") == 0) {
        run_script();
        return 0;
    }
    if (argc != 1)
        engine_die("it takes --script or nothing");
    measure_commands(false, "core: join, charge, reserve and pay, mixed");
    measure_commands(true, "commit: the same as bytes, with answers as bytes");
    measure_line();
    measure_codec();
    measure_tokens();
    return 0;
}
