/* disk_open.h: what tests want to ask of opening. */
#ifndef STORE_DISK_OPEN_H
#define STORE_DISK_OPEN_H

/* The name of a network file system by the type that statfs gives, or NULL when it is none that we know. */
const char *disk_network_name(unsigned long type);

/* Read everything again as this transaction shows it; it takes the place of what is in memory, once it is whole. */
enum store_status disk_load_anew(struct store *store, MDB_txn *txn, char *why, size_t why_size);

#endif
