/* bridge_process.c: see bridge_process.h. */
#define _GNU_SOURCE 1
#include "bridge_process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#include "tests/test.h"

#define WORDS_MOST  48
#define TRIES_MOST  12000 /* of 5 ms: sanitizers on a busy machine are slow */
#define ANSWER_TIME 20    /* s */

static void
pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = 5000000};

    nanosleep(&pause, NULL);
}

/* In the child: usher-http takes its place. */
static void
become_bridge(const char *const *words, unsigned descriptors, const char *output, pid_t parent)
{
    const struct rlimit limit = {descriptors, descriptors};
    int file = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (file < 0 || dup2(file, STDOUT_FILENO) < 0 || dup2(file, STDERR_FILENO) < 0)
        _exit(126);
    close(file);
    if (descriptors > 0 && setrlimit(RLIMIT_NOFILE, &limit) != 0)
        _exit(126);
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE); /* root's files are closed to it as everybody's are */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    execv(USHER_HTTP_PATH, (char *const *)words);
    _exit(127);
}

static pid_t
spawn(const char *const *words, unsigned descriptors, const char *output)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0)
        become_bridge(words, descriptors, output, parent);
    assert_true(pid > 0);
    return pid;
}

static int
end_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static size_t
add_words(const char **words, size_t count, va_list list)
{
    while ((words[count] = va_arg(list, const char *)) != NULL) {
        count++;
        assert_true(count < WORDS_MOST);
    }
    return count;
}

static void
read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t length = file == NULL ? 0 : fread(text, 1, size - 1, file);

    text[length] = '\0';
    if (file != NULL)
        fclose(file);
}

void
bridge_start(struct bridge_process *bridge, const struct test_server *server, ...)
{
    static unsigned starts;
    char ports[2 * TEST_PATH_MOST], address[32], text[64];
    const char *words[WORDS_MOST + 1];
    unsigned port = 0, operations_port = 0;
    va_list list;

    memset(bridge, 0, sizeof *bridge);
    starts++;
    snprintf(ports, sizeof ports, "%s/ports.%u", server->folder, starts);
    snprintf(bridge->log, sizeof bridge->log, "%s/bridge.%u", server->folder, starts);
    snprintf(address, sizeof address, "127.0.0.1:%u", server->port);
    const char *const first[] = {USHER_HTTP_PATH, "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0",
                                 "--port-file",   ports,      "--server",    address,        "--key"};
    memcpy(words, first, sizeof first);
    words[sizeof first / sizeof *first] = server->admin_key;
    va_start(list, server);
    add_words(words, sizeof first / sizeof *first + 1, list);
    va_end(list);
    bridge->pid = spawn(words, 0, bridge->log);
    for (int i = 0; i < TRIES_MOST && operations_port == 0; i++) {
        pause_a_little();
        read_file(ports, text, sizeof text);
        if (sscanf(text, "%u\n%u\n", &port, &operations_port) == 2)
            break;
        if (waitpid(bridge->pid, NULL, WNOHANG) == bridge->pid) {
            char said[1024];
            bridge_log(bridge, said, sizeof said);
            fail_msg("usher-http ended instead of serving: %s", said);
        }
    }
    assert_int_not_equal(port, 0);
    bridge->port = (uint16_t)port;
    bridge->operations_port = (uint16_t)operations_port;
}

int
bridge_run(const struct test_server *server, unsigned descriptors, char *said, size_t said_size, ...)
{
    const char *words[WORDS_MOST + 1] = {USHER_HTTP_PATH};
    char output[2 * TEST_PATH_MOST];
    va_list list;
    int code;

    snprintf(output, sizeof output, "%s/bridge.said", server->folder);
    unlink(output);
    va_start(list, said_size);
    add_words(words, 1, list);
    va_end(list);
    code = end_of(spawn(words, descriptors, output));
    read_file(output, said, said_size);
    return code;
}

int
bridge_stop(struct bridge_process *bridge, int signal_no)
{
    pid_t pid = bridge->pid;

    bridge->pid = 0;
    assert_int_equal(kill(pid, signal_no), 0);
    return end_of(pid);
}

void
bridge_log(const struct bridge_process *bridge, char *text, size_t text_size)
{
    read_file(bridge->log, text, text_size);
}

int
bridge_connect(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = ANSWER_TIME};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(client >= 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(client, (const struct sockaddr *)&address, sizeof address), 0);
    return client;
}

unsigned
bridge_get(uint16_t port, const char *path, char *text, size_t text_size)
{
    int client = bridge_connect(port);
    size_t size = 0;
    ssize_t got;

    dprintf(client, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    while ((got = recv(client, text + size, text_size - 1 - size, 0)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    close(client);
    assert_true(size > 12);
    return (unsigned)atoi(text + 9);
}

void
bridge_wait_for(uint16_t port, const char *path, unsigned status)
{
    char text[4096];
    unsigned last = 0;

    for (int i = 0; i < TRIES_MOST && last != status; i++) {
        last = bridge_get(port, path, text, sizeof text);
        if (last != status)
            pause_a_little();
    }
    assert_int_equal(last, status);
}
