/* migrate.h: bringing a store of an older schema up, when it is opened. */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

#include "server/store/disk.h"

/* One step: from this schema to the next. */
struct migration {
    uint32_t from;
    size_t size[STORE_RECORD_TABLES]; /* of the records at `from`; 0 where there was no such table */
    /* Change the rows. The journal is empty by then: all its changes stand in the tables. LMDB's error. */
    int (*run)(struct disk *disk, MDB_txn *txn);
};
/* The steps in ascending order, one for each schema before STORE_SCHEMA. */
const struct migration *disk_migrations(size_t *count);

/* Where a value was found damaged, when the error is MDB_CORRUPTED. */
struct migrate_place {
    unsigned table;
    uint64_t key;
};

/* Bring the store from disk->meta.schema to `schema`, each step in a transaction of its own, so that a crash leaves one
 * schema or the other. The tables are open and no transaction is. LMDB's error; MDB_VERSION_MISMATCH when a step is not
 * there. */
int disk_migrate(struct disk *disk, const struct migration *migrations, size_t count, uint32_t schema,
                 struct migrate_place *place);

/* For a step: change each record of a table. make fills the new record, zeroed before, from the old one. */
int migrate_records(struct disk *disk, MDB_txn *txn, unsigned table, size_t old_size, size_t new_size,
                    void (*make)(void *new_record, const void *old_record));

#endif
