/* disk_open.h: what the files that open a store share, and what tests want to ask of it. */
#ifndef STORE_DISK_OPEN_H
#define STORE_DISK_OPEN_H

/* The name of a network file system by the type that statfs gives, or NULL when it is none that we know. */
const char *disk_network_name(unsigned long type);

struct opening {
    const struct store_options *options;
    struct store *store;
    char *why;
    size_t why_size;
};

/* Put the line into why; returns the status. */
__attribute__((format(printf, 3, 4))) enum store_status disk_refuse(const struct opening *opening,
                                                                    enum store_status status, const char *format, ...);
/* What the system or LMDB said about a path, and what to do about it. */
enum store_status disk_refuse_error(const struct opening *opening, const char *path, int error);
/* Make the directory if it is not there; refuse what is not one for a store. */
enum store_status disk_check_directory(const struct opening *opening);

/* Read everything again as this transaction shows it; it takes the place of what is in memory, once it is whole. */
enum store_status disk_load_anew(struct store *store, MDB_txn *txn, char *why, size_t why_size);

#endif
