/* lmdb_call.c: see lmdb_call.h. */
#include <stdatomic.h>
#include <stddef.h>

#include "server/store/lmdb_call.h"

static atomic_uint_fast64_t calls, fail_first, fail_end; /* fail_first <= number of the call < fail_end */
static atomic_int fail_error;
static atomic_int fail_commit;

void
lmdb_call_fail(uint64_t nth, uint64_t count, int error, enum lmdb_fail_commit commit)
{
    fail_end = 0;
    calls = 0;
    fail_error = error;
    fail_commit = (int)commit;
    fail_first = nth;
    fail_end = count == 0 ? 0 : nth + count;
}

uint64_t
lmdb_call_count(void)
{
    return calls;
}

/* The error that this call has to fail with, or 0. */
static int
call_error(void)
{
    uint64_t number = ++calls;

    return number >= fail_first && number < fail_end ? fail_error : 0;
}

int
lmdb_txn_commit(MDB_txn *txn)
{
    int error = call_error();

    if (error == 0)
        return mdb_txn_commit(txn);
    if (fail_commit == LMDB_COMMIT_NOT_DONE) {
        mdb_txn_abort(txn);
        return error;
    }
    (void)mdb_txn_commit(txn);
    return error;
}

/* For every other call: fail before it, or make it. */
#define LMDB_CALL(name, parameters, call)                                                                              \
    int lmdb_##name parameters                                                                                         \
    {                                                                                                                  \
        int error = call_error();                                                                                      \
                                                                                                                       \
        return error != 0 ? error : (call);                                                                            \
    }

LMDB_CALL(env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode),
          mdb_env_open(env, path, flags, mode))
LMDB_CALL(txn_begin, (MDB_env * env, unsigned flags, MDB_txn **txn), mdb_txn_begin(env, NULL, flags, txn))
LMDB_CALL(txn_renew, (MDB_txn * txn), mdb_txn_renew(txn))
LMDB_CALL(dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *dbi),
          mdb_dbi_open(txn, name, flags, dbi))
LMDB_CALL(get, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value), mdb_get(txn, dbi, key, value))
LMDB_CALL(put, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags),
          mdb_put(txn, dbi, key, value, flags))
LMDB_CALL(del, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key), mdb_del(txn, dbi, key, NULL))
LMDB_CALL(cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **cursor), mdb_cursor_open(txn, dbi, cursor))
LMDB_CALL(cursor_get, (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op operation),
          mdb_cursor_get(cursor, key, value, operation))
LMDB_CALL(cursor_put, (MDB_cursor * cursor, MDB_val *key, MDB_val *value, unsigned flags),
          mdb_cursor_put(cursor, key, value, flags))
LMDB_CALL(cursor_del, (MDB_cursor * cursor), mdb_cursor_del(cursor, 0))
