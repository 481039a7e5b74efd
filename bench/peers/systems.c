/* systems.c: see systems.h. */
#include "bench/peers/systems.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peers/echo.h"
#include "bench/peers/redis.h"

#define PATIENCE_MS 60000u

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
static bool
start_usher(struct system *system, char *why)
{
    const struct house_options options = {.usherd = system->options->usherd,
                                          .folder = system->options->folder,
                                          .arguments = system->options->usherd_arguments,
                                          .connections = system->options->connections_most};

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
start_redis(struct system *system, char *why)
{
    char port[8], clients[16];

    settle(system, NULL);
    snprintf(port, sizeof port, "%u", system->process.port);
    snprintf(clients, sizeof clients, "%u", system->options->connections_most + 64);
    const char *const arguments[] = {"redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", system->folder,
                                     "--daemonize", "no", "--save", "", "--appendonly", "yes", "--appendfsync",
                                     "always", "--auto-aof-rewrite-percentage", "0", "--maxclients", clients,
                                     "--tcp-backlog", "4096", "--loglevel", "warning", NULL};
    return serve(system, arguments, why);
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
const struct system_row system_rows[] = {
    {"usher", "Usher", &target_usher, start_usher, where_usher, end_usher, NULL},
    {"redis", "Redis", &target_redis, start_redis, where_redis, end_process, audit_redis},
    {"echo", "echo", &target_echo, start_echo, where_port, end_process, NULL},
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

bool
system_open(struct system *system, const struct system_row *row, const struct systems_options *options, char *why)
{
    double prepare_s;

    memset(system, 0, sizeof *system);
    system->row = row;
    system->options = options;
    if (!row->start(system, why))
        return false;
    system->drive =
        drive_open(row->target, row->where(system), &options->sizes, options->seed, &prepare_s, why, WHY_SIZE);
    if (system->drive == NULL) {
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
    drive_close(system->drive);
    system->drive = NULL;
    json_decref(system->about);
    system->row->end(system);
}

struct process_use
system_use(const struct system *system)
{
    struct process process = system->process;

    if (system->house.pid != 0)
        process.pid = system->house.pid;
    return process_use(&process);
}
