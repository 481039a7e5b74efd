/* fake.c: an integrator's own test: the fake house loses the reply to a join, and the client gets its place all the same;
 * C and C++ alike. */
#include <stdio.h>
#include <string.h>

#include <usher.h>
#include <usher_fake.h>

int
main(void)
{
    char why[160];
    usher_fake_options house;
    usher_fake *fake;
    usher_options options;
    usher_secret secret;
    usher_client *client;
    usher_join_request join;
    usher_join_reply place;
    usher_status status;

    memset(&house, 0, sizeof house);
    house.script = "join#1: apply, lose reply, cut";
    fake = usher_fake_start(&house, why, sizeof why);
    if (fake == NULL) {
        printf("%s\n", why);
        return 1;
    }
    usher_key_make(&secret);
    memset(&options, 0, sizeof options);
    options.server = usher_fake_address(fake);
    options.secret = &secret;
    memset(&join, 0, sizeof join);
    join.user.bytes[0] = 7;
    join.queue_id = 1;
    status = usher_client_open(&options, &client);
    if (status == USHER_STATUS_ANSWERED)
        status = usher_join(client, &join, &place);
    printf("%s: %s, struck %lu times\n", usher_status_text(status),
           usher_result_name((unsigned)usher_client_answer(client)->result),
           (unsigned long)usher_fake_struck(fake, "join#1"));
    usher_client_close(client);
    usher_fake_stop(fake);
    return status == USHER_STATUS_ANSWERED ? 0 : 1;
}
