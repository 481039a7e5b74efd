/* folder.c: see folder.h. */
#include "server/store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder that holds what lies at `path`: "/a/b/" lies in "/a", "b" in ".". */
static void
holder_of(const char *path, char folder[PATH_MAX])
{
    size_t length;

    snprintf(folder, PATH_MAX, "%s", path);
    length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        folder[--length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        strcpy(folder, ".");
    else
        slash[slash == folder] = '\0';
}

int
folder_sync_name(const char *path)
{
    char folder[PATH_MAX];
    int descriptor, error;

    holder_of(path, folder);
    descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return errno;
    error = fsync(descriptor) != 0 && errno != EINVAL ? errno : 0; /* not every file system can */
    close(descriptor);
    return error;
}

int
folder_make(const char *path)
{
    int error;

    if (mkdir(path, 0700) != 0) {
        if (errno != EEXIST)
            return errno;
        /* Whoever made it may have been killed before its sync. If it can't be made up for, it is no reason not to use
         * what has long been there. */
        folder_sync_name(path);
        return 0;
    }
    error = folder_sync_name(path);
    /* Who may write into a folder need not be allowed to list it, and then can't sync it either. */
    return error == EACCES ? 0 : error;
}
