/* data.c: the verbs of usherd and the child they run in; backup, dump and load. check is in check.c. */
#define _GNU_SOURCE 1
#include "server/data.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/store/snapshot.h"

static const struct verb {
    const char *name;
    int arguments;
    const char *text, *help;
    int (*run)(char **argument);
} verbs[] = {
#define USHERD_VERB(name, arguments, text, help) {#name, arguments, text, help, data_##name},
#include "server/verbs.def"
};
#define VERB_COUNT (sizeof verbs / sizeof *verbs)

enum usherd_exit
exit_of_store(enum store_status status)
{
    static const enum usherd_exit codes[] = {
        [STORE_OK] = USHERD_DONE,          [STORE_NOT_ONE] = USHERD_DATA, [STORE_NEWER] = USHERD_NEWER,
        [STORE_NO_ACCESS] = USHERD_ACCESS, [STORE_NO_ROOM] = USHERD_ROOM, [STORE_NETWORK] = USHERD_NETWORK,
        [STORE_DAMAGED] = USHERD_DATA,     [STORE_FAULT] = USHERD_FAULT,
    };

    return codes[status];
}

/* --- running one ----------------------------------------------------------------------------------------- */
static int
in_a_child(const struct verb *verb, char **argument)
{
    pid_t parent = getpid(), child = fork();
    int status;

    if (child < 0) {
        fprintf(stderr, "usherd: %s: %s\n", verb->name, strerror(errno));
        return USHERD_FAULT;
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(USHERD_FAULT);
        signal(SIGBUS, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        int code = verb->run(argument);
        fflush(NULL);
        _exit(code);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return USHERD_FAULT;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    fprintf(stderr, "usherd: %s: the data is damaged so that it can't be read (%s); usherd check tells where\n",
            verb->name, strsignal(WTERMSIG(status)));
    return USHERD_DATA;
}

bool
data_verb(int argc, char **argv, int *code)
{
    for (size_t i = 0; argc > 1 && i < VERB_COUNT; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        if (argc == verbs[i].arguments + 2) {
            *code = in_a_child(&verbs[i], argv + 2);
            return true;
        }
        fprintf(stderr, "usherd: usherd %s %s: %s\n", verbs[i].name, verbs[i].text, verbs[i].help);
        *code = USHERD_USAGE;
        return true;
    }
    return false;
}

void
data_help(FILE *out)
{
    fprintf(out, "\non a data directory, instead of serving\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  usherd %s %s\n%26s%s\n", verbs[i].name, verbs[i].text, "", verbs[i].help);
}

/* --- backup ---------------------------------------------------------------------------------------------- */
static int
refuse_store(const char *verb, enum store_status status, const char *why)
{
    fprintf(stderr, "usherd: %s: %s\n", verb, why);
    return (int)exit_of_store(status);
}

/* Look at the copy itself: is it one, and up to where does it reach? */
static int
tell_of_backup(const char *file)
{
    struct store *copy;
    char why[512];
    enum store_status status = store_open_snapshot(file, &copy, why, sizeof why);

    if (status != STORE_OK)
        return refuse_store("backup", status, why);
    printf("backup: %s holds everything up to position %" PRIu64 "\n", file, store_position(copy));
    store_close(copy);
    return USHERD_DONE;
}

int
data_backup(char **argument)
{
    struct store *store;
    char why[512];
    enum store_status status = store_open_snapshot(argument[0], &store, why, sizeof why);

    if (status != STORE_OK)
        return refuse_store("backup", status, why);
    status = store_backup(store, argument[1], why, sizeof why);
    store_close(store);
    return status != STORE_OK ? refuse_store("backup", status, why) : tell_of_backup(argument[1]);
}
