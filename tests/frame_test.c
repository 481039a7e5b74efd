/* frame_test.c: the 32 bytes in front of every body, without a socket. */
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "protocol/bytes.h"
#include "protocol/codec.h"

static uint8_t *
zeroed(size_t size)
{
    uint8_t *memory = calloc(1, size + 1);
    assert_non_null(memory);
    return memory;
}

static void
fill_body(uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(i * 167 + (i >> 8) + 13);
}

enum { FRAME_ROOM = USHER_FRAME_MAX + 64 };

static size_t
some_frame(uint8_t *out, size_t body_size)
{
    static const usher_frame frame = {
        .flags = USHER_FLAG_REPLY,
        .opcode = 0x1234,
        .request_no = 0xa1b2c3d4,
        .aux = 0x0badcafe,
        .stamp_ms = 1718841600123,
    };

    fill_body(out + USHER_HEADER_SIZE, body_size);
    return usher_frame_finish(out, body_size, &frame);
}

/* Read from memory of exactly this size. */
static usher_frame_state
frame_read(const uint8_t *bytes, size_t size, usher_frame *frame, usher_result *why)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    usher_frame_state result;

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    result = usher_frame_read(exact, size, USHER_FRAME_MAX, frame, why);
    if (result == USHER_FRAME_READY)
        assert_ptr_equal(frame->body, exact + USHER_HEADER_SIZE);
    free(exact);
    return result;
}

/* F1: the header's bytes, written out by hand, and the check over what stands around it. */
static void
a_frame_has_the_header_written_here(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 1024, 1025, 5000, USHER_FRAME_MAX - USHER_HEADER_SIZE};
    static const uint8_t wanted[20] = {1,    0x01, 0x34, 0x12, 0xd4, 0xc3, 0xb2, 0xa1, 0xfe, 0xca,
                                       0xad, 0x0b, 0x7b, 0x68, 0xf1, 0x32, 0x90, 0x01, 0,    0};
    uint8_t *bytes = zeroed(FRAME_ROOM), *joined = zeroed(FRAME_ROOM);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = some_frame(bytes, sizes[i]);
        assert_int_equal(size, 32 + sizes[i]);
        assert_int_equal(bytes_get_u32(bytes), size);
        assert_memory_equal(bytes + 4, wanted, sizeof wanted);
        memcpy(joined, bytes, 24);
        memcpy(joined + 24, bytes + 32, sizes[i]);
        assert_true(bytes_get_u64(bytes + 24) == XXH3_64bits(joined, 24 + sizes[i]));
    }
    free(bytes);
    free(joined);
}

/* F1: fed byte by byte, a frame is PARTIAL up to its last byte and then READY, and bytes behind it do not matter. */
static void
a_frame_is_read_on_every_split_of_its_bytes(void **state)
{
    static const size_t sizes[] = {0, 1, 57, 1024, 1500};
    uint8_t *bytes = zeroed(FRAME_ROOM);
    usher_frame frame;
    usher_result why;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = some_frame(bytes, sizes[i]);
        for (size_t have = 0; have < size; have++)
            assert_int_equal(frame_read(bytes, have, &frame, &why), USHER_FRAME_PARTIAL);
        bytes[size] = 0xee; /* the next frame's first byte */
        for (size_t have = size; have <= size + 1; have++) {
            assert_int_equal(frame_read(bytes, have, &frame, &why), USHER_FRAME_READY);
            assert_int_equal(frame.size, size);
            assert_int_equal(frame.body_size, sizes[i]);
            assert_int_equal(frame.flags, USHER_FLAG_REPLY);
            assert_int_equal(frame.opcode, 0x1234);
            assert_int_equal(frame.request_no, 0xa1b2c3d4);
            assert_int_equal(frame.aux, 0x0badcafe);
            assert_true(frame.stamp_ms == 1718841600123);
            assert_int_equal(why, USHER_OK);
        }
    }
    free(bytes);
}

/* F1: a stream of frames, cut anywhere into two reads, gives the same frames. */
static void
a_stream_of_frames_is_the_same_however_it_is_cut(void **state)
{
    static const size_t sizes[] = {10, 0, 300};
    uint8_t *bytes = zeroed(FRAME_ROOM);
    size_t total = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        total += some_frame(bytes + total, sizes[i]);
    for (size_t cut = 0; cut <= total; cut++) {
        size_t taken = 0, found = 0;
        for (int turn = 0; turn < 2; turn++) {
            size_t have = turn == 0 ? cut : total;
            usher_frame frame;
            usher_result why;
            while (frame_read(bytes + taken, have - taken, &frame, &why) == USHER_FRAME_READY) {
                assert_true(found < 3);
                assert_int_equal(frame.body_size, sizes[found]);
                taken += frame.size;
                found++;
            }
        }
        assert_int_equal(found, 3);
        assert_int_equal(taken, total);
    }
    free(bytes);
}

/* Every prefix of these bytes is PARTIAL before `from` and BROKEN with this reason from there on. */
static void
assert_broken_from(const uint8_t *bytes, size_t size, size_t from, usher_result reason)
{
    for (size_t have = 0; have <= size; have++) {
        usher_frame frame;
        usher_result why;
        usher_frame_state found = frame_read(bytes, have, &frame, &why);

        assert_int_equal(found, have < from ? USHER_FRAME_PARTIAL : USHER_FRAME_BROKEN);
        assert_int_equal(why, have < from ? USHER_OK : reason);
        assert_int_equal(frame.opcode, have < 8 ? 0 : 0x1234);
        assert_int_equal(frame.request_no, have < 12 ? 0 : 0xa1b2c3d4);
    }
}

/* F1: a length below the header or above the limit is refused once its four bytes are there. */
static void
a_frame_too_small_or_too_large_is_refused_at_its_fourth_byte(void **state)
{
    static const uint32_t bad[] = {0, 1, 31, USHER_FRAME_MAX + 1, 0x7fffffff, 0x80000000, UINT32_MAX};
    uint8_t bytes[100];
    usher_frame frame;
    usher_result why;
    size_t size = some_frame(bytes, 60);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes_put_u32(bytes, bad[i]);
        assert_broken_from(bytes, size, 4, USHER_FRAME_SIZE);
    }
    bytes_put_u32(bytes, USHER_FRAME_MAX); /* as large as may be: only the rest is missing */
    assert_int_equal(frame_read(bytes, size, &frame, &why), USHER_FRAME_PARTIAL);
    bytes_put_u32(bytes, 92);
    assert_int_equal(usher_frame_read(bytes, size, 91, &frame, &why), USHER_FRAME_BROKEN);
    assert_int_equal(why, USHER_FRAME_SIZE);
    assert_int_equal(usher_frame_read(bytes, size, 92, &frame, &why), USHER_FRAME_READY);
}

/* F1: another version is refused once its byte is there; a wrong size goes first. */
static void
a_frame_of_another_version_is_refused_at_its_fifth_byte(void **state)
{
    uint8_t bytes[100];
    size_t size = some_frame(bytes, 60);

    (void)state;
    for (unsigned version = 0; version < 256; version++) {
        if (version == USHER_VERSION_WIRE)
            continue;
        bytes[4] = (uint8_t)version;
        assert_broken_from(bytes, size, 5, USHER_FRAME_VERSION);
    }
    bytes_put_u32(bytes, 5);
    assert_broken_from(bytes, size, 4, USHER_FRAME_SIZE);
}

/* F1: every bit of a frame flipped in turn is noticed. */
static void
every_bit_of_a_frame_flipped_is_noticed(void **state)
{
    static const size_t sizes[] = {60, 1400};
    uint8_t *bytes = zeroed(FRAME_ROOM);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = some_frame(bytes, sizes[i]);
        for (size_t bit = 0; bit < size * 8; bit++) {
            usher_frame frame;
            usher_result why;
            usher_frame_state found;

            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            found = frame_read(bytes, size, &frame, &why);
            if (bit < 32 && bytes_get_u32(bytes) > size && bytes_get_u32(bytes) <= USHER_FRAME_MAX) {
                assert_int_equal(found, USHER_FRAME_PARTIAL); /* it seems longer; the check will tell when it is */
            } else {
                assert_int_equal(found, USHER_FRAME_BROKEN);
                if (bit >= 40)
                    assert_int_equal(why, USHER_FRAME_CHECK);
            }
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        bytes[32] ^= 1;
        assert_broken_from(bytes, size, size, USHER_FRAME_CHECK);
    }
    free(bytes);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_has_the_header_written_here),
        cmocka_unit_test(a_frame_is_read_on_every_split_of_its_bytes),
        cmocka_unit_test(a_stream_of_frames_is_the_same_however_it_is_cut),
        cmocka_unit_test(a_frame_too_small_or_too_large_is_refused_at_its_fourth_byte),
        cmocka_unit_test(a_frame_of_another_version_is_refused_at_its_fifth_byte),
        cmocka_unit_test(every_bit_of_a_frame_flipped_is_noticed),
    };
    return usher_test_main(argc, argv, tests);
}
