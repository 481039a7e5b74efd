/* systems.c: see systems.h. */
#include "bench/peers/systems.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/peers/crowd.h"
#include "bench/peers/echo.h"
#include "bench/peers/mariadb.h"
#include "bench/peers/postgres.h"
#include "bench/peers/redis.h"

#define PATIENCE_MS          60000u
#define POSTGRES_CONNECTIONS 600u /* each is a process */

/* The folder of a server and its log; the port it is to take. */
static void
settle(struct system *system, const char *as_user)
{
    process_folder(system->folder, system->options->folder, as_user);
    process_path(system->process.log, system->folder, "log");
    system->process.port = process_free_port();
    system->process.as_user = as_user;
}

static bool
serve(struct system *system, const char *const *arguments, char *why)
{
    if (process_start(&system->process, arguments) && process_wait_port(&system->process, PATIENCE_MS))
        return true;
    snprintf(why, WHY_SIZE, "%s did not start", system->row->title);
    return false;
}

static void
end_process(struct system *system)
{
    process_stop(&system->process, SIGTERM, PATIENCE_MS);
}

static const void *
where_port(struct system *system)
{
    return &system->process.port;
}

/* --- Usher --------------------------------------------------------------------------------------------- */
static struct house_options
house_options_of(const struct system *system)
{
    return (struct house_options){.usherd = system->options->usherd,
                                  .folder = system->options->folder,
                                  .arguments = system->options->usherd_arguments,
                                  .connections = system->options->connections_most};
}

static bool
start_usher(struct system *system, char *why)
{
    const struct house_options options = house_options_of(system);

    return house_start(&system->house, &options, why, WHY_SIZE);
}

static const void *
where_usher(struct system *system)
{
    return &system->house;
}

static void
end_usher(struct system *system)
{
    house_end(&system->house);
}

/* --- Redis --------------------------------------------------------------------------------------------- */
/* AOF rewrites are left off: they would fall into some rounds and not into others, to Redis' disadvantage. */
static bool
launch_redis(struct system *system, char *why)
{
    char port[8], clients[16];

    snprintf(port, sizeof port, "%u", system->process.port);
    snprintf(clients, sizeof clients, "%u", system->options->connections_most + 64);
    const char *const arguments[] = {"redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", system->folder,
                                     "--daemonize", "no", "--save", "", "--appendonly", "yes", "--appendfsync",
                                     "always", "--auto-aof-rewrite-percentage", "0", "--maxclients", clients,
                                     "--tcp-backlog", "4096", "--loglevel", "warning", NULL};
    return serve(system, arguments, why);
}

static bool
start_redis(struct system *system, char *why)
{
    settle(system, NULL);
    return launch_redis(system, why);
}

static const void *
where_redis(struct system *system)
{
    static struct redis_place place;
    static char library[PROCESS_PATH_MOST];

    process_path(library, system->options->scripts, "redis.lua");
    place = (struct redis_place){.port = system->process.port, .library = library};
    return &place;
}

static bool
audit_redis(struct system *system, char *told, char *why)
{
    struct redis_audit audit;

    if (!redis_audit(system->process.port, system->options->sizes.users, &audit, why, WHY_SIZE))
        return false;
    snprintf(told, WHY_SIZE, "%llu ledger entries, %llu payments", (unsigned long long)audit.entries,
             (unsigned long long)audit.payments);
    if (audit.mistakes == 0)
        return true;
    snprintf(why, WHY_SIZE, "Redis' books have %llu mistakes", (unsigned long long)audit.mistakes);
    return false;
}

/* --- PostgreSQL ---------------------------------------------------------------------------------------- */
/* It refuses root, so it runs as the user that Debian's package has made for it. The sizes are those of a server of its
 * own; durability is the default's. No checkpoint falls into a run, as for Redis. */
static bool
launch_postgres(struct system *system, char *why)
{
    char port[8], data[PROCESS_PATH_MOST], clients[32];
    uint32_t connections = system->options->connections_most;

    snprintf(port, sizeof port, "%u", system->process.port);
    snprintf(clients, sizeof clients, "max_connections=%u", connections < POSTGRES_CONNECTIONS ? connections : POSTGRES_CONNECTIONS);
    process_path(data, system->folder, "data");
    const char *const arguments[] = {POSTGRES_BIN "/postgres", "-D", data, "-p", port, "-c",
                                     "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", clients,
                                     "-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on",
                                     "-c", "shared_buffers=2GB", "-c", "wal_buffers=64MB", "-c", "max_wal_size=16GB",
                                     "-c", "checkpoint_timeout=1h", "-c", "jit=off", "-c", "log_min_messages=fatal",
                                     NULL};
    return serve(system, arguments, why);
}

static bool
start_postgres(struct system *system, char *why)
{
    char data[PROCESS_PATH_MOST];

    settle(system, "postgres");
    process_path(data, system->folder, "data");
    const char *const make[] = {POSTGRES_BIN "/initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-locale",
                                "-E", "UTF8", NULL};
    if (process_run(&system->process, make))
        return launch_postgres(system, why);
    snprintf(why, WHY_SIZE, "initdb failed");
    return false;
}

static const void *
where_postgres(struct system *system)
{
    static struct postgres_place place;
    static char script[PROCESS_PATH_MOST];

    process_path(script, system->options->scripts, "postgres.sql");
    place = (struct postgres_place){.port = system->process.port, .script = script};
    return &place;
}

/* SIGINT: connections that the target has open are ended, not waited for. */
static void
end_postgres(struct system *system)
{
    process_stop(&system->process, SIGINT, PATIENCE_MS);
}

static bool
audit_postgres(struct system *system, char *told, char *why)
{
    struct postgres_audit audit;

    if (!postgres_audit(system->process.port, &audit, why, WHY_SIZE))
        return false;
    snprintf(told, WHY_SIZE, "%llu ledger entries, %llu payments", (unsigned long long)audit.entries,
             (unsigned long long)audit.payments);
    if (audit.mistakes == 0)
        return true;
    snprintf(why, WHY_SIZE, "PostgreSQL's books have %llu mistakes", (unsigned long long)audit.mistakes);
    return false;
}

/* --- MariaDB ------------------------------------------------------------------------------------------- */
static bool
start_mariadb(struct system *system, char *why)
{
    char port[32], data[PROCESS_PATH_MOST + 16], socket[PROCESS_PATH_MOST + 16], clients[40];

    settle(system, "nobody"); /* it refuses root as well */
    snprintf(port, sizeof port, "--port=%u", system->process.port);
    snprintf(clients, sizeof clients, "--max-connections=%u", system->options->connections_most);
    snprintf(data, sizeof data, "--datadir=%s/data", system->folder);
    snprintf(socket, sizeof socket, "--socket=%s/socket", system->folder);
    const char *const make[] = {"mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal",
                                "--skip-test-db", NULL};
    const char *const arguments[] = {"mariadbd", "--no-defaults", data, port, socket, clients,
                                     "--bind-address=127.0.0.1", "--skip-grant-tables", "--skip-name-resolve",
                                     "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=1G",
                                     "--pid-file=pid", NULL};
    if (process_run(&system->process, make))
        return serve(system, arguments, why);
    snprintf(why, WHY_SIZE, "mariadb-install-db failed");
    return false;
}

static const void *
where_mariadb(struct system *system)
{
    static struct mariadb_place place;
    static char script[PROCESS_PATH_MOST];

    process_path(script, system->options->scripts, "mariadb.sql");
    place = (struct mariadb_place){.port = system->process.port, .script = script};
    return &place;
}

/* --- the echo ------------------------------------------------------------------------------------------ */
static bool
start_echo(struct system *system, char *why)
{
    char port[8];

    settle(system, NULL);
    snprintf(port, sizeof port, "%u", system->process.port);
    const char *const arguments[] = {system->options->echo, port, system->folder, NULL};
    return serve(system, arguments, why);
}

/* --- all of them --------------------------------------------------------------------------------------- */
#define ALL (SYSTEM_JOBS | SYSTEM_CROWD | SYSTEM_CRASHES | SYSTEM_KNOWS)
const struct system_row system_rows[] = {
    {"usher", "Usher", &target_usher, ALL | SYSTEM_MANY, start_usher, NULL, where_usher, end_usher, NULL},
    {"redis", "Redis", &target_redis, ALL | SYSTEM_MANY, start_redis, launch_redis, where_redis, end_process, audit_redis},
    {"postgres", "PostgreSQL", &target_postgres, ALL, start_postgres, launch_postgres, where_postgres, end_postgres,
     audit_postgres},
    {"optimistic", "MariaDB, optimistic", &target_mariadb_optimistic, SYSTEM_CROWD | SYSTEM_KNOWS, start_mariadb, NULL,
     where_mariadb, end_process, NULL},
    {"pessimistic", "MariaDB, pessimistic", &target_mariadb_pessimistic, SYSTEM_CROWD | SYSTEM_KNOWS, start_mariadb,
     NULL, where_mariadb, end_process, NULL},
    {"echo", "echo", &target_echo, SYSTEM_JOBS | SYSTEM_CROWD | SYSTEM_MANY, start_echo, NULL, where_port, end_process, NULL},
};
const size_t system_count = sizeof system_rows / sizeof system_rows[0];

const struct system_row *
system_named(const char *name, size_t size)
{
    for (size_t i = 0; i < system_count; i++) {
        if (strlen(system_rows[i].name) == size && memcmp(system_rows[i].name, name, size) == 0)
            return &system_rows[i];
    }
    return NULL;
}

/* Those that run, for systems_end(). */
#define RUNNING_MOST 16
static struct system *running[RUNNING_MOST];

static void
note_running(struct system *system, bool runs)
{
    size_t at = 0;

    while (at < RUNNING_MOST && running[at] != (runs ? NULL : system))
        at++;
    if (at < RUNNING_MOST)
        running[at] = runs ? system : NULL;
}

void
systems_end(void)
{
    for (size_t i = 0; i < RUNNING_MOST; i++) {
        if (running[i] != NULL)
            house_end(&running[i]->house);
        running[i] = NULL;
    }
    process_clean_up();
}

bool
system_start(struct system *system, const struct system_row *row, const struct systems_options *options, char *why)
{
    memset(system, 0, sizeof *system);
    system->row = row;
    system->options = options;
    if (!row->start(system, why))
        return false;
    note_running(system, true);
    return true;
}

bool
system_open(struct system *system, const struct system_row *row, const struct systems_options *options, char *why)
{
    double prepare_s;

    if (!system_start(system, row, options, why))
        return false;
    system->drive =
        drive_open(row->target, row->where(system), &options->sizes, options->seed, &prepare_s, why, WHY_SIZE);
    if (system->drive == NULL) {
        note_running(system, false);
        row->end(system);
        return false;
    }
    system->about = row->target->describe(drive_target(system->drive));
    if (system->about != NULL)
        json_object_set_new(system->about, "prepare_s", json_real(prepare_s));
    return true;
}

void
system_close(struct system *system)
{
    crowd_leave(system);
    drive_close(system->drive);
    system->drive = NULL;
    json_decref(system->about);
    system->about = NULL;
    note_running(system, false);
    system->row->end(system);
}

/* --- crashes ------------------------------------------------------------------------------------------- */
/* Ask for a balance until there is an answer. */
static bool
answers_again(struct system *system, char *why)
{
    const struct drive_plan plan = {.shares = job_share_of(JOB_BALANCE), .tasks = 1, .connections = 1, .depth = 1};
    static struct drive_figures figures;
    uint64_t begin_ns = clock_now_ns();

    while (clock_now_ns() - begin_ns < PATIENCE_MS * UINT64_C(1000000)) {
        if (drive_run(system->drive, &plan, &figures, why, WHY_SIZE) && figures.done == 1)
            return true;
        nanosleep(&(const struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

bool
system_crash(struct system *system, uint64_t *back_ns, char *why)
{
    const struct house_options options = house_options_of(system);
    uint64_t begin_ns;

    if (system->row->launch == NULL)
        return house_crash(&system->house, &options, back_ns, why, WHY_SIZE);
    process_kill(&system->process);
    begin_ns = clock_now_ns();
    if (!system->row->launch(system, why) || !answers_again(system, why))
        return false;
    *back_ns = clock_now_ns() - begin_ns;
    return true;
}

struct process_use
system_use(const struct system *system)
{
    struct process process = system->process;

    if (system->house.pid != 0)
        process.pid = system->house.pid;
    return process_use(&process);
}
