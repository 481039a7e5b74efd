/* process.c: starts and ends the servers of a run. See process.h.
 *
 * A server that dies early shows the end of what it said. Whatever ends the bench, its servers end too: each asks the
 * kernel to be killed with its parent. */
#define _GNU_SOURCE 1
#include "process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MOST 16
#define FOLDERS_MOST   16
#define CHILDREN_MOST  1024
#define PAUSE_MS       2
#define LOG_SHOWN      1500

static pid_t alive[PROCESSES_MOST];
static char folders[FOLDERS_MOST][PROCESS_PATH_MOST];
static unsigned folder_count;

static void
die(const char *what, const char *which)
{
    fprintf(stderr, "usher-peers: %s %s: %s\n", what, which, strerror(errno));
    process_clean_up();
    exit(1);
}

static void
pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

    nanosleep(&pause, NULL);
}

/* --- folders ----------------------------------------------------------------------------------------- */
void
process_path(char out[PROCESS_PATH_MOST], const char *folder, const char *name)
{
    int length = snprintf(out, PROCESS_PATH_MOST, "%s/%s", folder, name);

    if (length < 0 || length >= PROCESS_PATH_MOST) {
        errno = ENAMETOOLONG;
        die("the path of", name);
    }
}

void
process_folder(char path[PROCESS_PATH_MOST], const char *parent, const char *as_user)
{
    const char *temporary = getenv("TMPDIR");

    if (parent == NULL)
        parent = temporary != NULL && temporary[0] != '\0' ? temporary : "/var/tmp"; /* on a disk, as /tmp may not be */
    process_path(path, parent, "usher-bench-XXXXXX");
    if (folder_count == FOLDERS_MOST || mkdtemp(path) == NULL)
        die("can't make a folder below", parent);
    memcpy(folders[folder_count++], path, PROCESS_PATH_MOST);
    if (as_user != NULL && geteuid() == 0) {
        const struct passwd *user = getpwnam(as_user);
        if (user == NULL || chown(path, user->pw_uid, user->pw_gid) != 0)
            die("can't give a folder to", as_user);
    }
}

static int
remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* --- starting ---------------------------------------------------------------------------------------- */
uint16_t
process_free_port(void)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof where;
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (probe < 0 || bind(probe, (struct sockaddr *)&where, size) != 0 ||
        getsockname(probe, (struct sockaddr *)&where, &size) != 0)
        die("no free port on", "127.0.0.1");
    close(probe);
    return ntohs(where.sin_port);
}

/* In the child: become the user, send what is said to the log, die with the parent, run. */
static void
become(const struct process *process, const char *const *arguments, pid_t parent)
{
    int log = open(process->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int nothing = open("/dev/null", O_RDONLY);
    const struct passwd *user;

    if (log < 0 || nothing < 0 || dup2(nothing, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(126);
    if (process->as_user != NULL && geteuid() == 0) {
        user = getpwnam(process->as_user);
        if (user == NULL || initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
            setuid(user->pw_uid) != 0)
            _exit(126);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    execvp(arguments[0], (char *const *)arguments);
    fprintf(stderr, "%s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

bool
process_start(struct process *process, const char *const *arguments)
{
    pid_t parent = getpid();
    unsigned slot = 0;

    while (slot < PROCESSES_MOST && alive[slot] != 0)
        slot++;
    if (slot == PROCESSES_MOST)
        return false;
    fflush(NULL);
    process->pid = fork();
    if (process->pid < 0)
        die("can't start", arguments[0]);
    if (process->pid == 0) {
        signal(SIGINT, SIG_IGN); /* Ctrl-C is the bench's to hear */
        become(process, arguments, parent);
    }
    alive[slot] = process->pid;
    return true;
}

static void
forget(struct process *process)
{
    for (unsigned i = 0; i < PROCESSES_MOST; i++) {
        if (alive[i] == process->pid)
            alive[i] = 0;
    }
    process->pid = 0;
}

static void
show_log(const struct process *process, const char *why)
{
    char text[LOG_SHOWN + 1];
    FILE *log = fopen(process->log, "re");
    size_t size = 0;

    if (log != NULL) {
        if (fseek(log, -LOG_SHOWN, SEEK_END) != 0)
            rewind(log);
        size = fread(text, 1, LOG_SHOWN, log);
        fclose(log);
    }
    text[size] = '\0';
    fprintf(stderr, "usher-peers: %s; the end of what it said:\n%s\n", why, text);
}

bool
process_run(struct process *process, const char *const *arguments)
{
    int status = -1;

    if (!process_start(process, arguments))
        return false;
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    forget(process);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    show_log(process, arguments[0]);
    return false;
}

static bool
port_accepts(uint16_t port)
{
    const struct sockaddr_in where = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool accepts = probe >= 0 && connect(probe, (const struct sockaddr *)&where, sizeof where) == 0;

    if (probe >= 0)
        close(probe);
    return accepts;
}

bool
process_wait_port(struct process *process, unsigned patience_ms)
{
    for (unsigned waited_ms = 0; waited_ms < patience_ms; waited_ms += PAUSE_MS) {
        if (port_accepts(process->port))
            return true;
        if (waitpid(process->pid, NULL, WNOHANG) == process->pid) {
            forget(process);
            show_log(process, "a server ended instead of serving");
            return false;
        }
        pause_a_little();
    }
    show_log(process, "a server does not serve");
    return false;
}

/* --- ending ------------------------------------------------------------------------------------------ */
void
process_stop(struct process *process, int signal, unsigned patience_ms)
{
    if (process->pid == 0)
        return;
    kill(process->pid, signal);
    for (unsigned waited_ms = 0; waited_ms < patience_ms; waited_ms += PAUSE_MS) {
        if (waitpid(process->pid, NULL, WNOHANG) == process->pid) {
            forget(process);
            return;
        }
        pause_a_little();
    }
    process_kill(process);
}

/* The processes whose parent is this one. */
static unsigned
children_of(pid_t parent, pid_t *children, unsigned most)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    unsigned count = 0;

    while (folder != NULL && (entry = readdir(folder)) != NULL && count < most) {
        char path[PROCESS_PATH_MOST], text[512];
        int father = 0;
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 0)
            continue;
        snprintf(path, sizeof path, "/proc/%ld/stat", pid);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        size_t size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[size] = '\0';
        const char *after = strrchr(text, ')'); /* a name may hold anything */
        if (after != NULL && sscanf(after + 1, " %*c %d", &father) == 1 && father == parent)
            children[count++] = (pid_t)pid;
    }
    if (folder != NULL)
        closedir(folder);
    return count;
}

void
process_kill(struct process *process)
{
    pid_t children[CHILDREN_MOST];
    unsigned count;

    if (process->pid == 0)
        return;
    kill(process->pid, SIGSTOP); /* or it might have new ones while these are killed */
    count = children_of(process->pid, children, CHILDREN_MOST);
    kill(process->pid, SIGKILL);
    for (unsigned i = 0; i < count; i++)
        kill(children[i], SIGKILL);
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    for (unsigned i = 0; i < count; i++) {
        while (kill(children[i], 0) == 0) /* they are somebody else's now, who buries them */
            pause_a_little();
    }
    forget(process);
}

void
process_clean_up(void)
{
    for (unsigned i = 0; i < PROCESSES_MOST; i++) {
        struct process process = {.pid = alive[i]};
        process_kill(&process);
    }
    while (folder_count > 0) {
        folder_count--;
        nftw(folders[folder_count], remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
}

static void (*at_signal)(void);

static void
on_signal(int number)
{
    at_signal();
    _exit(128 + number);
}

void
process_clean_up_at_signals(void (*clean_up)(void))
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    at_signal = clean_up;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], on_signal);
    signal(SIGPIPE, SIG_IGN);
}

/* --- what they use ----------------------------------------------------------------------------------- */
static void
add_use(pid_t pid, struct process_use *use)
{
    char path[PROCESS_PATH_MOST], text[512];
    unsigned long user = 0, kernel = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    const char *after = strrchr(text, ')');
    if (after == NULL || sscanf(after + 1,
                                " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                &user, &kernel) != 2)
        return;
    use->cpu_seconds += (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static void
add_memory(pid_t pid, struct process_use *use)
{
    char path[PROCESS_PATH_MOST];
    unsigned long resident = 0, shared = 0;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fscanf(file, "%*u %lu %lu", &resident, &shared) == 2)
        use->private_bytes += (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
    fclose(file);
}

struct process_use
process_use(const struct process *process)
{
    struct process_use use = {0};
    pid_t children[CHILDREN_MOST];
    unsigned count;

    if (process->pid == 0)
        return use;
    count = children_of(process->pid, children, CHILDREN_MOST);
    add_use(process->pid, &use);
    add_memory(process->pid, &use);
    for (unsigned i = 0; i < count; i++) {
        add_use(children[i], &use);
        add_memory(children[i], &use);
    }
    return use;
}

double
process_own_cpu(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}
