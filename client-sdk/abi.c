/* abi.c: print the library's description of itself, for client-sdk/abi.json (the target "exports"). */
#include <stdio.h>

#include <usher.h>

int
main(void)
{
    return fputs(usher_abi_describe(), stdout) < 0;
}
