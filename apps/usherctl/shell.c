/* shell.c: commands from the standard input, a line each, on one connection.
 *
 * Words are split at spaces; "double" or 'single' quotes keep spaces together. Empty lines and those that begin with #
 * are passed over. Options of a line are of that line alone. */
#include "ctl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_WORDS_MOST 128

/* Split the line in place. Returns the count, or -1 for a quote without an end or too many words. */
static int
split(char *line, char **word)
{
    char *to = line;
    int count = 0;

    for (char *from = line; *from != 0;) {
        char quote = 0;

        while (*from == ' ' || *from == '\t')
            from++;
        if (*from == 0)
            return count;
        if (count == LINE_WORDS_MOST)
            return -1;
        word[count++] = to;
        for (; *from != 0 && (quote != 0 || (*from != ' ' && *from != '\t')); from++) {
            if (quote == 0 && (*from == '"' || *from == '\''))
                quote = *from;
            else if (*from == quote)
                quote = 0;
            else
                *to++ = *from;
        }
        if (quote != 0)
            return -1;
        if (*from != 0)
            from++;
        *to++ = 0;
    }
    return count;
}

enum ctl_code
ctl_shell(struct ctl *ctl, struct ctl_words words)
{
    bool talks = isatty(STDIN_FILENO) != 0;
    enum ctl_code code = CTL_OK;
    char line[4096], *word[LINE_WORDS_MOST];

    if (ctl_has_leftovers(ctl, words))
        return CTL_USAGE;
    code = ctl_connect(ctl);
    if (code != CTL_OK)
        return code;
    for (;;) {
        struct ctl of_line = *ctl;
        int count;

        if (talks) {
            printf("usher> ");
            fflush(stdout);
        }
        if (fgets(line, sizeof line, stdin) == NULL)
            return talks ? CTL_OK : code;
        line[strcspn(line, "\r\n")] = 0;
        count = *line == '#' ? 0 : split(line, word);
        if (count == 0)
            continue;
        if (count > 0 && (strcmp(word[0], "exit") == 0 || strcmp(word[0], "quit") == 0))
            return CTL_OK;
        of_line.command = NULL;
        if (count < 0)
            code = ctl_fail(&of_line, CTL_USAGE, "a quote has no end, or the line has too many words");
        else if (strcmp(word[0], "shell") == 0)
            code = ctl_fail(&of_line, CTL_USAGE, "this is the shell already");
        else
            code = ctl_run(&of_line, count, word);
        fflush(stdout);
    }
}
