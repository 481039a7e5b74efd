/* header_use.c: what an integrator's first file looks like to the compiler. Compiled alone, as C11 and as C++11, with
 * pedantic warnings as errors (tests/CMakeLists.txt). */
#include "usher.h"

int main(void);

int
main(void)
{
    usher_options options;
    usher_client *client;
    usher_reserve_request request;
    usher_reserve_reply reply;
    usher_status status;

    options.server = NULL;
    status = usher_client_open(&options, &client);
    if (status == USHER_STATUS_ANSWERED)
        status = usher_reserve(client, &request, &reply);
    if (status == USHER_STATUS_ANSWERED && usher_client_answer(client)->result == USHER_HELD)
        status = usher_call(client, USHER_OPCODE_RESERVE, &request, &reply);
    usher_client_close(client);
    return status == USHER_STATUS_ANSWERED ? (int)reply.hold[0].seat_no : 1;
}
