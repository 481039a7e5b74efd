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

#include "server/directory.h"
#include "server/store/dump.h"
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

/* All that may follow the verb, what stands in brackets included. */
static int
words_of(const char *text)
{
    int words = 1;

    for (; *text != '\0'; text++)
        words += *text == ' ';
    return words;
}

bool
data_verb(int argc, char **argv, int *code)
{
    for (size_t i = 0; argc > 1 && i < VERB_COUNT; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        if (argc == verbs[i].arguments + 2 || argc == words_of(verbs[i].text) + 2) {
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

/* --- dump and load ---------------------------------------------------------------------------------------- */
static int
dump_to(const char *file, const struct store *store)
{
    bool to_stdout = strcmp(file, "-") == 0;
    struct dump_figures figures;
    char why[512];
    FILE *out = to_stdout ? stdout : fopen(file, "wxe"); /* never over another file */

    if (out == NULL) {
        fprintf(stderr, "usherd: dump: %s: %s\n", file, strerror(errno));
        return USHERD_ACCESS;
    }
    enum store_status status = store_dump(store, out, &figures, why, sizeof why);
    if (!to_stdout && (fsync(fileno(out)) != 0 || fclose(out) != 0) && status == STORE_OK) {
        snprintf(why, sizeof why, "%s: %s", file, strerror(errno));
        status = STORE_NO_ROOM;
    }
    if (status != STORE_OK) {
        if (!to_stdout)
            unlink(file);
        return refuse_store("dump", status, why);
    }
    fprintf(stderr, "dump: %" PRIu64 " rows, everything up to position %" PRIu64 ", digest %016" PRIx64 "\n",
            figures.rows, figures.position, store_digest(store));
    return USHERD_DONE;
}

int
data_dump(char **argument)
{
    struct store *store;
    char why[512];
    enum store_status status = store_open_snapshot(argument[0], &store, why, sizeof why);

    if (status == STORE_OK)
        status = store_load_snapshot(store, why, sizeof why);
    int code = status == STORE_OK ? dump_to(argument[1], store) : refuse_store("dump", status, why);
    store_close(store);
    return code;
}

static int
load_from(FILE *in, const char *directory)
{
    struct dump_figures figures;
    char why[512];
    enum store_status status = store_load_dump(in, directory, &figures, why, sizeof why);

    if (status != STORE_OK)
        return refuse_store("load", status, why);
    printf("load: %" PRIu64 " rows, everything up to position %" PRIu64 "; put the data's service.key into %s\n",
           figures.rows, figures.position, directory);
    return USHERD_DONE;
}

int
data_load(char **argument)
{
    static const enum usherd_exit codes[] = {
        [DIRECTORY_OK] = USHERD_DONE,         [DIRECTORY_NOT_ONE] = USHERD_DATA, [DIRECTORY_NO_ACCESS] = USHERD_ACCESS,
        [DIRECTORY_RUNNING] = USHERD_RUNNING, [DIRECTORY_NO_ROOM] = USHERD_ROOM, [DIRECTORY_FAULT] = USHERD_FAULT,
    };
    bool from_stdin = strcmp(argument[0], "-") == 0;
    FILE *in = from_stdin ? stdin : fopen(argument[0], "re");
    char why[512];
    int lock;

    if (in == NULL) {
        fprintf(stderr, "usherd: load: %s: %s\n", argument[0], strerror(errno));
        return USHERD_ACCESS;
    }
    enum directory_status status = directory_open(argument[1], &lock, why, sizeof why);
    int code = (int)codes[status];
    if (status == DIRECTORY_OK)
        code = load_from(in, argument[1]);
    else
        fprintf(stderr, "usherd: load: %s\n", why);
    if (lock >= 0)
        close(lock);
    if (!from_stdin)
        fclose(in);
    return code;
}
