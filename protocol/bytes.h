/* bytes.h: whole numbers to little-endian bytes and back, at any alignment. Inside protocol/, server/net/ and the tests only.
 *
 * Written byte by byte, which compilers turn into one load or store on the machines that allow it. */
#ifndef USHER_BYTES_H
#define USHER_BYTES_H

#include <stdint.h>

static inline void
bytes_put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static inline void
bytes_put_u32(uint8_t *out, uint32_t value)
{
    bytes_put_u16(out, (uint16_t)value);
    bytes_put_u16(out + 2, (uint16_t)(value >> 16));
}

static inline void
bytes_put_u64(uint8_t *out, uint64_t value)
{
    bytes_put_u32(out, (uint32_t)value);
    bytes_put_u32(out + 4, (uint32_t)(value >> 32));
}

static inline uint16_t
bytes_get_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t
bytes_get_u32(const uint8_t *bytes)
{
    return bytes_get_u16(bytes) | (uint32_t)bytes_get_u16(bytes + 2) << 16;
}

static inline uint64_t
bytes_get_u64(const uint8_t *bytes)
{
    return bytes_get_u32(bytes) | (uint64_t)bytes_get_u32(bytes + 4) << 32;
}

#endif
