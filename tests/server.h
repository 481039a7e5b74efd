/* server.h: a real usherd for a test: started on a fresh temporary folder and a port that the system chooses, killed
 * and its folder removed at the end.
 *
 *     struct test_server server;
 *     test_server_open(&server);
 *     test_server_start(&server, "--quiet", NULL);      serves on server.port
 *     ...
 *     test_server_close(&server);
 *
 * Whatever goes wrong in here fails the cmocka test that called. Link usher_test_server. */
#ifndef TESTS_SERVER_H
#define TESTS_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TEST_PATH_MOST 128

struct test_server {
    pid_t pid;     /* 0 while it does not run */
    uint16_t port; /* of the last start */
    char folder[TEST_PATH_MOST];
    char data[TEST_PATH_MOST];        /* <folder>/data */
    char admin_key[TEST_PATH_MOST];   /* <folder>/data/admin.key: there after the first start */
    char service_key[TEST_PATH_MOST]; /* <folder>/data/service.key */
    char log[TEST_PATH_MOST];         /* <folder>/log: what it wrote to stderr, all starts */
    unsigned beside;                  /* the how manieth on the data of another, whose folder this is; 0: its own */
};

/* Make the temporary folder; nothing runs yet. */
void test_server_open(struct test_server *server);

/* A further server on the data of `first`, which serves; number tells those of one folder apart, from 1. Close it before
 * `first`. */
void test_server_open_beside(struct test_server *server, const struct test_server *first, unsigned number);

/* Start usherd on the folder's data directory with these further options, NULL after the last, and wait until it
 * serves. May be called again after a stop: the data is still there. */
void test_server_start(struct test_server *server, ...);

/* Send the signal and wait for the end. Returns the exit code, or minus the signal that ended it. */
int test_server_stop(struct test_server *server, int signal_no);

/* Run usherd to its end, as for a start that must be refused: on this data directory (NULL: none is named) with
 * further options up to NULL. Returns the exit code, or minus a signal; said gets what it wrote to stdout and stderr.
 */
int test_server_run(struct test_server *server, const char *data, char *said, size_t said_size, ...);

/* Read what it wrote to its log so far. */
void test_server_log(const struct test_server *server, char *text, size_t text_size);

/* Kill it if it runs and remove the folder. */
void test_server_close(struct test_server *server);

#endif
