/* house.c: see house.h. */
#define _GNU_SOURCE 1
#include "house.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common/clock.h"

#define ARGUMENTS_MOST 64
#define START_S        60
#define STOP_S         20
#define PAUSE_NS       (2 * 1000 * 1000)

static void
pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    nanosleep(&pause, NULL);
}

/* --- the process -------------------------------------------------------------------------------------- */
const char *
house_folder_usual(void)
{
    const char *usual = getenv("TMPDIR");

    return usual != NULL && *usual != 0 ? usual : "/var/tmp";
}

static bool
make_folder(struct house *house, const char *folder, char *why, size_t why_size)
{
    if (folder == NULL)
        folder = house_folder_usual();
    snprintf(house->folder, sizeof house->folder, "%.200s/usher-bench-XXXXXX", folder);
    if (mkdtemp(house->folder) == NULL) {
        snprintf(why, why_size, "no folder can be made in %s: %s; name another one with --folder", folder,
                 strerror(errno));
        house->folder[0] = 0;
        return false;
    }
    snprintf(house->data, sizeof house->data, "%.240s/data", house->folder);
    snprintf(house->log, sizeof house->log, "%.240s/log", house->folder);
    return true;
}

static bool
spawn(struct house *house, const char *const *arguments, char *why, size_t why_size)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0) {
        snprintf(why, why_size, "fork: %s", strerror(errno));
        return false;
    }
    house->pid = pid;
    if (pid > 0)
        return true;
    int log = open(house->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    /* A bench that dies takes its server along; a terminal's Ctrl-C reaches the bench alone. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    execv(arguments[0], (char *const *)arguments);
    _exit(127);
}

static void
say_log(const struct house *house, char *why, size_t why_size)
{
    char text[512] = "";
    FILE *file = fopen(house->log, "re");
    size_t length = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);

    if (file != NULL)
        fclose(file);
    text[length] = 0;
    text[strcspn(text, "\n")] = 0;
    snprintf(why, why_size, "usherd ended instead of serving: %s", text);
}

static bool
wait_for_port(struct house *house, const char *port_file, char *why, size_t why_size)
{
    uint64_t until_ns = clock_now_ns() + START_S * NS_OF_S;
    int status;

    while (clock_now_ns() < until_ns) {
        FILE *file = fopen(port_file, "re");
        unsigned port = 0;

        if (file != NULL && fscanf(file, "%u", &port) != 1)
            port = 0;
        if (file != NULL)
            fclose(file);
        if (port != 0) {
            snprintf(house->address, sizeof house->address, "127.0.0.1:%u", port);
            return true;
        }
        if (waitpid(house->pid, &status, WNOHANG) == house->pid) {
            house->pid = 0;
            say_log(house, why, why_size);
            return false;
        }
        pause_a_little();
    }
    snprintf(why, why_size, "usherd did not serve within %d s", START_S);
    return false;
}

/* Start usherd on the data folder, at the port that it had before if there was one. */
static bool
launch(struct house *house, const struct house_options *options, char *why, size_t why_size)
{
    char port_file[HOUSE_PATH_MOST + 8], listen[64] = "127.0.0.1:0", connections[16], hello[] = "60000";
    const char *arguments[ARGUMENTS_MOST] = {options->usherd, "--data",      house->data,  "--listen",
                                             listen,          "--port-file", port_file,    "--connections-max",
                                             connections,     "--hello-ms",  hello,        "--quiet"};
    size_t count = 12;

    for (size_t i = 0; options->arguments != NULL && options->arguments[i] != NULL && count + 1 < ARGUMENTS_MOST; i++)
        arguments[count++] = options->arguments[i];
    if (house->address[0] != 0)
        snprintf(listen, sizeof listen, "%s", house->address);
    snprintf(port_file, sizeof port_file, "%s.port", house->data);
    snprintf(connections, sizeof connections, "%u", options->connections + 64);
    unlink(port_file);
    house->arguments[0] = 0;
    for (size_t i = 7, at = 0; i < count && at < sizeof house->arguments; i++)
        at += (size_t)snprintf(house->arguments + at, sizeof house->arguments - at, "%s%s", i > 7 ? " " : "",
                               arguments[i]);
    return spawn(house, arguments, why, why_size) && wait_for_port(house, port_file, why, why_size);
}

/* --- clients ------------------------------------------------------------------------------------------ */
static bool
enrol(struct house *house, usher_role role, const char *name, usher_secret *secret, char *why, size_t why_size)
{
    usher_invite_request invite = {.role = (uint8_t)role};
    usher_options options = {.server = house->address, .secret = secret, .timeout_ms = 30000};
    usher_client *client;
    usher_invite_reply reply;
    usher_status status;
    usher_key code;

    snprintf(invite.name, sizeof invite.name, "%s", name);
    usher_key_make(secret);
    usher_code_make(&code, &invite.code_hash);
    if (!house_ask(house, USHER_OPCODE_INVITE, &invite, &reply, why, why_size))
        return false;
    status = usher_client_enrol(&options, &code, &client);
    if (status != USHER_STATUS_ANSWERED)
        snprintf(why, why_size, "a %s can't be enrolled: %s", name, usher_client_error(client));
    usher_client_close(client);
    return status == USHER_STATUS_ANSWERED;
}

static bool
connect_admin(struct house *house, const char *key_file, char *why, size_t why_size)
{
    usher_options options = {.server = house->address, .timeout_ms = 60000};
    usher_status status = usher_key_load(key_file, &house->admin_key, why, why_size);

    if (status != USHER_STATUS_ANSWERED)
        return false;
    options.secret = &house->admin_key;
    options.fail_fast = 1;
    status = usher_client_open(&options, &house->admin);
    if (status == USHER_STATUS_ANSWERED)
        return enrol(house, USHER_ROLE_GATEWAY, "bench gateway", &house->gateway_key, why, why_size) &&
               enrol(house, USHER_ROLE_TERMINAL, "bench terminal", &house->terminal_key, why, why_size);
    snprintf(why, why_size, "%s", usher_client_error(house->admin));
    return false;
}

bool
house_ask(struct house *house, uint16_t opcode, const void *request, void *reply, char *why, size_t why_size)
{
    usher_status status = usher_call(house->admin, opcode, request, reply);

    if (status == USHER_STATUS_ANSWERED && usher_client_answer(house->admin)->result == USHER_OK)
        return true;
    snprintf(why, why_size, "%s: %s", usher_message_of(opcode)->name, usher_client_error(house->admin));
    return false;
}

bool
house_set_policy(struct house *house, bool of_queue, uint32_t queue_id, const char *name, uint64_t value, char *why,
                 size_t why_size)
{
    usher_set_policy_request request = {.of_queue = of_queue, .queue_id = queue_id, .value = value};
    usher_set_policy_reply reply;

    snprintf(request.name, sizeof request.name, "%s", name);
    return house_ask(house, USHER_OPCODE_SET_POLICY, &request, &reply, why, why_size);
}

/* --- life --------------------------------------------------------------------------------------------- */
bool
house_start(struct house *house, const struct house_options *options, char *why, size_t why_size)
{
    char key_file[HOUSE_PATH_MOST + 16];

    memset(house, 0, sizeof *house);
    if (make_folder(house, options->folder, why, why_size) && launch(house, options, why, why_size)) {
        snprintf(key_file, sizeof key_file, "%s/admin.key", house->data);
        if (connect_admin(house, key_file, why, why_size))
            return true;
    }
    house_end(house);
    return false;
}

bool
house_visit(struct house *house, const char *address, const char *admin_key_file, char *why, size_t why_size)
{
    memset(house, 0, sizeof *house);
    snprintf(house->address, sizeof house->address, "%s", address);
    if (connect_admin(house, admin_key_file, why, why_size))
        return true;
    house_end(house);
    return false;
}

static bool
has_ended(struct house *house)
{
    int status;

    if (house->pid > 0 && waitpid(house->pid, &status, WNOHANG) != 0)
        house->pid = 0;
    return house->pid == 0;
}

static void
stop(struct house *house)
{
    uint64_t until_ns = clock_now_ns() + STOP_S * NS_OF_S;

    if (house->pid <= 0)
        return;
    kill(house->pid, SIGTERM);
    while (!has_ended(house) && clock_now_ns() < until_ns)
        pause_a_little();
    if (has_ended(house))
        return;
    kill(house->pid, SIGKILL);
    while (!has_ended(house))
        pause_a_little();
}

static int
remove_entry(const char *path, const struct stat *status, int flag, struct FTW *where)
{
    (void)status;
    (void)where;
    return flag == FTW_DP ? rmdir(path) : unlink(path);
}

void
house_end(struct house *house)
{
    usher_client_close(house->admin);
    house->admin = NULL;
    stop(house);
    if (house->folder[0] != 0)
        nftw(house->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    house->folder[0] = 0;
    usher_secret_wipe(&house->admin_key);
    usher_secret_wipe(&house->gateway_key);
    usher_secret_wipe(&house->terminal_key);
}

bool
house_crash(struct house *house, const struct house_options *options, uint64_t *back_ns, char *why, size_t why_size)
{
    const usher_ping_request request = {.echo = 1};
    usher_ping_reply reply;
    uint64_t begin_ns;

    kill(house->pid, SIGKILL);
    while (!has_ended(house))
        pause_a_little();
    begin_ns = clock_now_ns();
    if (!launch(house, options, why, why_size) || !house_ask(house, USHER_OPCODE_PING, &request, &reply, why, why_size))
        return false;
    *back_ns = clock_now_ns() - begin_ns;
    return true;
}

/* --- what it costs ------------------------------------------------------------------------------------ */
double
house_cpu_s(const struct house *house)
{
    unsigned long user = 0, system = 0;
    char path[64], text[1024];
    size_t length = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)house->pid);
    file = house->pid > 0 ? fopen(path, "re") : NULL;
    if (file != NULL) {
        length = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    text[length] = 0;
    /* Behind the name, which may hold anything, in brackets. */
    const char *rest = strrchr(text, ')');
    if (rest == NULL ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

uint64_t
house_memory_bytes(const struct house *house)
{
    unsigned long total = 0, resident = 0;
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)house->pid);
    file = house->pid > 0 ? fopen(path, "re") : NULL;
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
