/* consumer.c: the least that a program outside of this tree does with an installed libusher; C and C++ alike. */
#include <stdio.h>
#include <string.h>

#include <usher.h>

int
main(void)
{
    usher_options options;
    usher_client *client;
    usher_status status;
    size_t rules;

    /* A file that can't be a key: the library's own words, from its inside. */
    memset(&options, 0, sizeof options);
    options.key_file = "/dev/null";
    status = usher_client_open(&options, &client);
    printf("%s: %s\n", usher_status_text(status), usher_client_error(client));
    usher_client_close(client);

    usher_policy_rules(&rules);
    fputs(usher_abi_describe(), stdout);
    printf("%s, %lu policies\n", usher_result_text(USHER_HELD), (unsigned long)rules);
    return status == USHER_STATUS_KEY_FILE && rules > 0 ? 0 : 1;
}
