/* http_fuzz_main.c: what libFuzzer calls. */
#include "http_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    http_fuzz_one(bytes, size);
    return 0;
}
