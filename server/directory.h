/* directory.h: the data directory as a whole: made, recognised, and locked. */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include <stddef.h>

enum directory_status {
    DIRECTORY_OK,
    DIRECTORY_NOT_ONE,   /* it holds something else */
    DIRECTORY_NO_ACCESS, /* permissions, read-only, or not a directory */
    DIRECTORY_RUNNING,   /* another usherd has it */
    DIRECTORY_NO_ROOM,
    DIRECTORY_FAULT /* anything else that the system reports */
};

/* Make the directory (0700) when it is absent, see whether it may hold our data, and lock it for ourselves alone. On
 * DIRECTORY_OK *lock is the descriptor that holds the lock until it is closed or the process ends; else why gets one
 * line. */
enum directory_status directory_open(const char *path, int *lock, char *why, size_t why_size);
/* The same with a lock that every usherd shares that serves on it; who they are: instances.h. */
enum directory_status directory_share(const char *path, int *lock, char *why, size_t why_size);
/* Write our process id into the lock's file, for people who look: done by directory_open, and after directory_share by
 * who has found that it may stay. */
enum directory_status directory_sign(const char *path, int lock, char *why, size_t why_size);

#endif
