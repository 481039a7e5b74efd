/* lmdb_call.h: the LMDB calls that can fail, each behind one of ours, so that tests can make the Nth of them fail.
 *
 * Same arguments, results and rules as LMDB's own. Failing is off until lmdb_call_fail. */
#ifndef STORE_LMDB_CALL_H
#define STORE_LMDB_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include <lmdb.h>

int lmdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode);
int lmdb_txn_begin(MDB_env *env, unsigned flags, MDB_txn **txn);
int lmdb_txn_commit(MDB_txn *txn); /* the transaction is gone whatever the outcome */
int lmdb_txn_renew(MDB_txn *txn);
int lmdb_dbi_open(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *dbi);
int lmdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value);
int lmdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags);
int lmdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key);
int lmdb_cursor_open(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor);
int lmdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op operation);
int lmdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *value, unsigned flags);
int lmdb_cursor_del(MDB_cursor *cursor);

enum lmdb_fail_commit {
    LMDB_COMMIT_NOT_DONE, /* a commit that is made to fail does nothing */
    LMDB_COMMIT_DONE      /* it is carried out and then reported as failed */
};
/* Let `count` calls fail with this error, from the nth from now (1 is the next). 0 calls switches it off. */
void lmdb_call_fail(uint64_t nth, uint64_t count, int error, enum lmdb_fail_commit commit);
/* Calls since lmdb_call_fail. */
uint64_t lmdb_call_count(void);

#endif
