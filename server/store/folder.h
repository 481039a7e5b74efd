/* folder.h: folders whose names are on the disk.
 *
 * A new file or folder is there after a power cut only when the folder that holds it was synced too. */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H

/* Make the folder (0700) unless there is something of that name, and force its name to the disk. Returns errno. */
int folder_make(const char *path);
/* Force the name of what lies at `path` to the disk. Returns errno. */
int folder_sync_name(const char *path);

#endif
