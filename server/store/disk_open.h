/* disk_open.h: what tests want to ask of opening. */
#ifndef STORE_DISK_OPEN_H
#define STORE_DISK_OPEN_H

/* The name of a network file system by the type that statfs gives, or NULL when it is none that we know. */
const char *disk_network_name(unsigned long type);

#endif
