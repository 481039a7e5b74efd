/* data.c: backup, check, dump and load. They are usherd's own commands, for they read and write a data directory and
 * ask no server; usherctl runs the usherd that stands beside it, so that an operator finds them where everything else
 * is. */
#define _GNU_SOURCE 1
#include "ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where usherd may be, seen from the folder of usherctl: installed, and in a build's folder. */
static const char *const places[] = {"usherd", "../../server/usherd"};

/* $USHERD, or beside this program, or what the shell's PATH finds. */
static const char *
find_usherd(char path[PATH_MAX])
{
    const char *named = getenv("USHERD");
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    if (named != NULL && *named != 0)
        return named;
    self[length > 0 ? length : 0] = 0;
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash != NULL && i < sizeof places / sizeof *places; i++) {
        slash[1] = 0;
        if ((size_t)snprintf(path, PATH_MAX, "%s%s", self, places[i]) < PATH_MAX && access(path, X_OK) == 0)
            return path;
    }
    return "usherd";
}

static enum ctl_code
run_usherd(struct ctl *ctl, char **arguments)
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        execvp(arguments[0], arguments);
        ctl_fail(ctl, CTL_USAGE, "%s: %s; USHERD may name the program", arguments[0], strerror(errno));
        _exit(CTL_USAGE);
    }
    if (child < 0)
        return ctl_fail(ctl, CTL_USAGE, "%s", strerror(errno));
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return ctl_fail(ctl, CTL_USAGE, "%s", strerror(errno));
    if (!WIFEXITED(status))
        return ctl_fail(ctl, CTL_USAGE, "usherd was ended by a signal: %s", strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status) == 0 ? CTL_OK : WEXITSTATUS(status) == 1 ? CTL_REFUSED : CTL_USAGE;
}

enum ctl_code
ctl_data(struct ctl *ctl, struct ctl_words words)
{
    char path[PATH_MAX], verb[16];
    char *arguments[5] = {(char *)(uintptr_t)find_usherd(path), verb};
    int wanted = strcmp(ctl->command, "check") == 0 ? 1 : 2;

    if (words.count < wanted)
        return ctl_fail(ctl, CTL_USAGE, "an argument is missing; usherctl help %s lists them", ctl->command);
    if (ctl_has_leftovers(ctl, (struct ctl_words){words.word + wanted, words.count - wanted}))
        return CTL_USAGE;
    snprintf(verb, sizeof verb, "%s", ctl->command);
    for (int i = 0; i < wanted; i++)
        arguments[2 + i] = words.word[i];
    return run_usherd(ctl, arguments);
}
