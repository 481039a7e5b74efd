/* disk_directory.c: is this directory one for a store, and may we? And how opening refuses: by one line that says what
 * is wrong, where, and what to do. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "server/store/disk.h"
#include "server/store/disk_open.h"
#include "server/store/folder.h"

/* --- refusing --------------------------------------------------------------------------------- */
enum store_status
disk_refuse(const struct opening *opening, enum store_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(opening->why, opening->why_size, format, arguments);
    va_end(arguments);
    return status;
}

enum store_status
disk_refuse_error(const struct opening *opening, const char *path, int error)
{
    static const char *const advice[] = {
        [STORE_NOT_ONE] = "this is not a store of usherd; name another directory",
        [STORE_NO_ACCESS] = "give this user the right to read and write it, or name another directory",
        [STORE_NO_ROOM] = "make room and start again; nothing is lost",
        [STORE_DAMAGED] = "restore the last backup",
        [STORE_FAULT] = "see what the system says about it",
    };
    enum store_status status = disk_status_of(error);

    return disk_refuse(opening, status, "%s: %s; %s", path, mdb_strerror(error), advice[status]);
}

/* --- the directory ---------------------------------------------------------------------------- */
const char *
disk_network_name(unsigned long type)
{
    static const struct {
        unsigned long type;
        const char *name;
    } rows[] = {
        {0x6969, "NFS"},        {0x517b, "SMB"},      {0xff534d42, "CIFS"},  {0xfe534d42, "SMB2"},
        {0x5346414f, "AFS"},    {0x00c36400, "Ceph"}, {0x73757245, "Coda"},  {0x564c, "NCP"},
        {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {0x7461636f, "OCFS2"}, {0x01161970, "GFS2"},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
        if (rows[row].type == (type & 0xffffffff))
            return rows[row].name;
    return NULL;
}

/* The server keeps its keys and its lock beside the store, and a file system of its own has a lost+found. */
static bool
may_stand_beside(const char *name)
{
    size_t length = strlen(name);

    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0 ||
           strcmp(name, DISK_STORE_FILE "-lock") == 0 || strcmp(name, DISK_FRONT_FILE) == 0 ||
           strncmp(name, "usherd.", 7) == 0 || (length > 4 && strcmp(name + length - 4, ".key") == 0);
}

/* Without a store in it the directory must be as good as empty, so that a mistyped path harms nobody. */
static enum store_status
check_names(const struct opening *opening, DIR *directory)
{
    char stranger[64] = "";
    struct dirent *entry;

    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, DISK_STORE_FILE) == 0)
            return STORE_OK;
        if (stranger[0] == '\0' && !may_stand_beside(entry->d_name))
            snprintf(stranger, sizeof stranger, "%.60s", entry->d_name);
    }
    if (stranger[0] == '\0')
        return STORE_OK;
    return disk_refuse(opening, STORE_NOT_ONE,
                       "%s: the directory holds other things (%s) and no store; name an empty or a new directory",
                       opening->options->directory, stranger);
}

enum store_status
disk_check_directory(const struct opening *opening)
{
    const char *path = opening->options->directory;
    const char *network;
    enum store_status status;
    struct statfs system;
    DIR *directory;
    int error = folder_make(path);

    if (error != 0)
        return disk_refuse_error(opening, path, error);
    directory = opendir(path);
    if (directory == NULL)
        return disk_refuse_error(opening, path, errno);
    status = check_names(opening, directory);
    closedir(directory);
    if (status != STORE_OK)
        return status;
    if (statfs(path, &system) != 0)
        return disk_refuse_error(opening, path, errno);
    network = disk_network_name((unsigned long)system.f_type);
    if (network != NULL)
        return disk_refuse(
            opening, STORE_NETWORK,
            "%s: lies on a network file system (%s), where locks and maps do not hold; name a local directory", path,
            network);
    return STORE_OK;
}
