/* server.c: starts and ends usherd for tests. See server.h. */
#define _GNU_SOURCE 1
#include "tests/server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/test.h"

#define ARGUMENTS_MOST    48
#define START_PATIENCE_MS 60000 /* sanitizers on a busy machine are slow */
#define PAUSE_MS          5

static void
pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

    nanosleep(&pause, NULL);
}

static void
join_path(char out[TEST_PATH_MOST], const char *folder, const char *name)
{
    int length = snprintf(out, TEST_PATH_MOST, "%s/%s", folder, name);

    assert_true(length > 0 && length < TEST_PATH_MOST);
}

void
test_server_open(struct test_server *server)
{
    memset(server, 0, sizeof *server);
    strcpy(server->folder, "/tmp/usher-test-XXXXXX");
    if (mkdtemp(server->folder) == NULL)
        fail_msg("no temporary folder: %s", strerror(errno));
    join_path(server->data, server->folder, "data");
    join_path(server->admin_key, server->data, "admin.key");
    join_path(server->service_key, server->data, "service.key");
    join_path(server->log, server->folder, "log");
}

void
test_server_open_beside(struct test_server *server, const struct test_server *first, unsigned number)
{
    char name[32];

    *server = *first;
    server->pid = 0;
    server->beside = number;
    snprintf(name, sizeof name, "log.%u", number);
    join_path(server->log, server->folder, name);
}

/* Fork and run usherd with these arguments, stdout and stderr going to the end of a file. */
static pid_t
spawn(const char *const *arguments, const char *output)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        fail_msg("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    int file = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || dup2(file, STDOUT_FILENO) < 0 || dup2(file, STDERR_FILENO) < 0)
        _exit(126);
    /* Root's servers see permissions as everybody else's do, or a test of them would prove nothing. */
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
    prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
    /* A test that dies takes its server along. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    execv(USHERD_PATH, (char *const *)arguments);
    _exit(127);
}

static int
code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int
wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            fail_msg("waitpid: %s", strerror(errno));
    }
    return code_of(status);
}

static size_t
read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t length = file == NULL ? 0 : fread(text, 1, size - 1, file);

    text[length] = '\0';
    if (file != NULL)
        fclose(file);
    return length;
}

static size_t
gather_arguments(const char **arguments, size_t count, va_list list)
{
    const char *argument;

    while ((argument = va_arg(list, const char *)) != NULL) {
        assert_true(count + 1 < ARGUMENTS_MOST);
        arguments[count++] = argument;
    }
    arguments[count] = NULL;
    return count;
}

static void
wait_until_it_serves(struct test_server *server, const char *port_file)
{
    for (int waited_ms = 0; waited_ms < START_PATIENCE_MS; waited_ms += PAUSE_MS) {
        char text[16];
        int status;
        if (read_text(port_file, text, sizeof text) > 0) {
            server->port = (uint16_t)strtoul(text, NULL, 10);
            return;
        }
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            char said[2048];
            server->pid = 0;
            test_server_log(server, said, sizeof said);
            fail_msg("usherd ended with %d instead of serving: %s", code_of(status), said);
        }
        pause_a_little();
    }
    fail_msg("usherd did not serve within %d ms", START_PATIENCE_MS);
}

void
test_server_start(struct test_server *server, ...)
{
    char port_file[TEST_PATH_MOST], name[32];
    size_t count = 9;
    va_list list;

    assert_int_equal(server->pid, 0);
    snprintf(name, sizeof name, "port.%u", server->beside);
    join_path(port_file, server->folder, name);
    unlink(port_file);
    const char *arguments[ARGUMENTS_MOST] = {USHERD_PATH,   "--data",  server->data, "--listen",  "127.0.0.1:0",
                                             "--port-file", port_file, "--map-size", "1073741824"};
    if (server->beside != 0)
        arguments[count++] = "--join";
    va_start(list, server);
    gather_arguments(arguments, count, list);
    va_end(list);
    server->pid = spawn(arguments, server->log);
    wait_until_it_serves(server, port_file);
}

int
test_server_stop(struct test_server *server, int signal_no)
{
    assert_true(server->pid > 0);
    assert_int_equal(kill(server->pid, signal_no), 0);
    int code = wait_for(server->pid);
    server->pid = 0;
    return code;
}

int
test_server_run(struct test_server *server, const char *data, char *said, size_t said_size, ...)
{
    const char *arguments[ARGUMENTS_MOST] = {USHERD_PATH};
    char output[TEST_PATH_MOST];
    size_t count = 1;
    va_list list;

    if (data != NULL) {
        arguments[count++] = "--data";
        arguments[count++] = data;
    }
    va_start(list, said_size);
    gather_arguments(arguments, count, list);
    va_end(list);
    join_path(output, server->folder, "said");
    unlink(output);
    int code = wait_for(spawn(arguments, output));
    read_text(output, said, said_size);
    return code;
}

void
test_server_log(const struct test_server *server, char *text, size_t text_size)
{
    read_text(server->log, text, text_size);
}

static int
remove_entry(const char *path, const struct stat *status, int flag, struct FTW *where)
{
    (void)status;
    (void)where;
    return flag == FTW_DP ? rmdir(path) : unlink(path);
}

/* A sanitizer that has spoken in the server has to be heard in the test, though the server was killed before it could
 * end with a code. */
static void
fail_if_a_sanitizer_spoke(const struct test_server *server)
{
    static char said[65536];

    test_server_log(server, said, sizeof said);
    const char *report = strstr(said, "Sanitizer:");
    if (report == NULL)
        report = strstr(said, "runtime error:");
    if (report != NULL)
        fail_msg("usherd: %.2000s", report);
}

void
test_server_close(struct test_server *server)
{
    if (server->pid > 0)
        test_server_stop(server, SIGKILL);
    fail_if_a_sanitizer_spoke(server);
    if (server->folder[0] != '\0' && server->beside == 0)
        nftw(server->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    memset(server, 0, sizeof *server);
}
