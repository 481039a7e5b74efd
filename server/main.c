/* main.c: usherd, from its command line to its end.
 *
 * The order of a start: options; the data directory, its lock and who else serves on it; the store; the clock; the
 * keys; the first admin; the socket; the history's thread. What goes wrong ends it with one line on stderr and a code
 * of exits.def. */
#define _GNU_SOURCE 1
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <sodium.h>

#include "server/clock.h"
#include "server/data.h"
#include "server/directory.h"
#include "server/historian.h"
#include "server/instances.h"
#include "server/keys.h"
#include "server/log.h"
#include "server/net/net.h"
#include "server/options.h"
#include "server/record.h"
#include "server/stages/stages.h"

#define KEY_ID            1
#define LEAP_WORTH_SAYING 60000    /* ms */
#define START_MS_MOST     (STORE_STAMP_MOST / 2) /* so a start leaves time to run for two thousand years */
#define FAULT_BIT         (79 * 8) /* the last of a queue's name, which nobody sees */
#define SPARE_DESCRIPTORS 64       /* for everything that is not a connection */

struct usherd {
    struct options options;
    int lock;
    struct instances *instances; /* who else serves on the data (X4) */
    struct store *store;
    struct core *core;
    struct commit *commit;
    struct stages *stages;
    struct server_clock clock;
    uint8_t service_key[64];
    struct net *net;
    struct historian *historian;
    FILE *record; /* NULL for none */
};

static enum usherd_exit
refuse(enum usherd_exit code, const char *why)
{
    fprintf(stderr, "usherd: %s\n", why);
    return code;
}

/* --- the steps of a start -------------------------------------------------------------------------------- */
static enum usherd_exit
open_directory(struct usherd *usherd)
{
    static const enum usherd_exit codes[] = {
        [DIRECTORY_OK] = USHERD_DONE,         [DIRECTORY_NOT_ONE] = USHERD_DATA, [DIRECTORY_NO_ACCESS] = USHERD_ACCESS,
        [DIRECTORY_RUNNING] = USHERD_RUNNING, [DIRECTORY_NO_ROOM] = USHERD_ROOM, [DIRECTORY_FAULT] = USHERD_FAULT,
    };
    char why[512];
    enum directory_status status = directory_share(usherd->options.data, &usherd->lock, why, sizeof why);

    if (status == DIRECTORY_OK)
        status = instances_open(usherd->options.data, usherd->options.join, &usherd->instances, why, sizeof why);
    if (status == DIRECTORY_OK)
        status = directory_sign(usherd->options.data, usherd->lock, why, sizeof why);
    return status == DIRECTORY_OK ? USHERD_DONE : refuse(codes[status], why);
}

static enum usherd_exit
open_store(struct usherd *usherd)
{
    const struct store_options options = {.directory = usherd->options.data, .map_bytes = usherd->options.map_size};
    char why[512];
    enum store_status status = store_open(&options, &usherd->store, why, sizeof why);

    if (status != STORE_OK)
        return refuse(exit_of_store(status), why);
    usherd->core = core_open(usherd->store);
    usherd->commit = usherd->core == NULL ? NULL : commit_open(usherd->store, usherd->core);
    usherd->stages = stages_open();
    if (usherd->commit == NULL || usherd->stages == NULL)
        return refuse(USHERD_FAULT, "no memory");
    store_measure(usherd->store, usherd->stages);
    commit_name_origin(usherd->commit, instances_number(usherd->instances));
    return USHERD_DONE;
}

/* Others serve already: their time is the store's, and a system's clock that tells another time can't be trusted. From
 * here on ours is the same as theirs. */
static enum usherd_exit
join_clock(struct usherd *usherd, uint64_t wall_ms, uint64_t running_ms, uint64_t monotonic_ms)
{
    uint64_t off_ms = wall_ms > running_ms ? wall_ms - running_ms : running_ms - wall_ms;
    char why[256];

    if (off_ms > usherd->options.clock_skew_ms) {
        snprintf(why, sizeof why,
                 "the system's clock is %" PRIu64 " ms %s that of the usherd which run on the data (%" PRIu64
                 "), more than %" PRIu64 "; set the clock right, or stop them first",
                 off_ms, wall_ms > running_ms ? "ahead of" : "behind", running_ms, usherd->options.clock_skew_ms);
        return refuse(USHERD_CLOCK, why);
    }
    usherd->clock = (struct server_clock){.base_ms = running_ms, .begin_ms = monotonic_ms};
    return USHERD_DONE;
}

/* The data is what counts: a recording that can't be written ends, and the server goes on. */
static void
record_batch(void *context, uint64_t position, const uint8_t *batch, size_t size)
{
    struct usherd *usherd = context;
    const struct record_frame frame = {.position = position,
                                       .records = store_digest(usherd->store),
                                       .history = store_history_digest(usherd->store),
                                       .batch = batch,
                                       .size = size};

    if (usherd->record == NULL || record_add(usherd->record, &frame))
        return;
    log_line(LOG_ERR, "record_ended", "before_position=%" PRIu64, position);
    fclose(usherd->record);
    usherd->record = NULL;
}

static enum usherd_exit
open_record(struct usherd *usherd)
{
    char why[640];

    if (usherd->options.record[0] == '\0')
        return USHERD_DONE;
    usherd->record = record_open(usherd->options.record, store_position(usherd->store), why, sizeof why);
    if (usherd->record == NULL)
        return refuse(USHERD_DATA, why);
    commit_watch(usherd->commit, record_batch, usherd);
    return USHERD_DONE;
}

static enum usherd_exit
begin_clock(struct usherd *usherd)
{
    const struct options *options = &usherd->options;
    uint64_t wall_ms = options->wall_ms != 0 ? options->wall_ms : clock_wall_ms();
    uint64_t last_ms = commit_stamp_ms(usherd->commit);
    uint64_t monotonic_ms = clock_monotonic_ms(), running_ms, off_ms;
    char why[256];

    if (wall_ms > START_MS_MOST || last_ms > START_MS_MOST) {
        snprintf(why, sizeof why,
                 "the system's clock (%" PRIu64 ") or the data's last stamp (%" PRIu64
                 ") is past the year 4199, which no usherd starts in; set the clock right",
                 wall_ms, last_ms);
        return refuse(USHERD_CLOCK, why);
    }
    if (instances_now_ms(usherd->instances, monotonic_ms, &running_ms))
        return join_clock(usherd, wall_ms, running_ms, monotonic_ms);
    enum clock_start start = clock_begin(&usherd->clock, wall_ms, monotonic_ms, last_ms, options->clock_leap_max_ms,
                                         options->accept_clock_leap, &off_ms);

    if (start == CLOCK_REFUSED) {
        snprintf(why, sizeof why,
                 "the system's clock is %" PRIu64 " ms ahead of the data's last stamp (%" PRIu64 "), more than %" PRIu64
                 "; set the clock right, or say --accept-clock-leap",
                 off_ms, last_ms, options->clock_leap_max_ms);
        return refuse(USHERD_CLOCK, why);
    }
    if (start == CLOCK_BEHIND)
        log_line(LOG_WARNING, "clock_behind", "by_ms=%" PRIu64 " goes_on_from=%" PRIu64, off_ms, last_ms);
    if (start == CLOCK_AHEAD && off_ms > LEAP_WORTH_SAYING)
        log_line(LOG_NOTICE, "clock_leaped", "by_ms=%" PRIu64 " from=%" PRIu64, off_ms, last_ms);
    if (last_ms == 0 || wall_ms <= last_ms)
        return USHERD_DONE;
    /* Nobody else was alive (X2). It is recorded before anybody else may start; if there is no room for that now, with
     * the first batch that there is room for. */
    commit_resume(usherd->commit, last_ms);
    if (commit_run(usherd->commit, clock_now_ms(&usherd->clock)) == STORE_LOST)
        return refuse(USHERD_FAULT, "the downtime could not be recorded, and the store's state is not known");
    return USHERD_DONE;
}

/* Read a key, or make it while the data is fresh. */
static enum usherd_exit
load_key(const struct usherd *usherd, const char *name, bool may_make, uint8_t secret_key[64])
{
    static const enum usherd_exit codes[] = {
        [KEY_FOUND] = USHERD_DONE,     [KEY_MISSING] = USHERD_DATA,     [KEY_EXPOSED] = USHERD_ACCESS,
        [KEY_MALFORMED] = USHERD_DATA, [KEY_NO_ACCESS] = USHERD_ACCESS, [KEY_FAULT] = USHERD_FAULT,
    };
    char why[512], more[640];
    enum key_status status = key_read(usherd->options.data, name, secret_key, why, sizeof why);

    if (status == KEY_MISSING && may_make)
        status = key_make(usherd->options.data, name, secret_key, why, sizeof why);
    if (status == KEY_FOUND)
        return USHERD_DONE;
    snprintf(more, sizeof more, "%s%s", why, status == KEY_MISSING ? "; the data needs it: restore it" : "");
    return refuse(codes[status], more);
}

/* Enrol the key as the first client, through the same commands that any other client takes: both in one batch, so that
 * a crash leaves both or none, and in the journal like everything else. */
static enum usherd_exit
enrol_admin(struct usherd *usherd, const uint8_t secret_key[64])
{
    static const struct core_asker server = {.role = USHER_ROLE_ADMIN};
    static const struct core_asker nobody = {.role = USHER_ROLE_NONE};
    usher_invite_request invite = {.role = USHER_ROLE_ADMIN, .name = "admin"};
    usher_enrol_request enrol = {0};

    randombytes_buf(invite.request_id.bytes, sizeof invite.request_id.bytes);
    randombytes_buf(enrol.request_id.bytes, sizeof enrol.request_id.bytes);
    randombytes_buf(enrol.code.bytes, sizeof enrol.code.bytes);
    memcpy(enrol.client_key.bytes, secret_key + 32, sizeof enrol.client_key.bytes);
    crypto_generichash(invite.code_hash.bytes, sizeof invite.code_hash.bytes, enrol.code.bytes, sizeof enrol.code.bytes,
                       NULL, 0);
    bool added = commit_add(usherd->commit, usher_message_of(USHER_OPCODE_INVITE), &server, &invite, 0) &&
                 commit_add(usherd->commit, usher_message_of(USHER_OPCODE_ENROL), &nobody, &enrol, 1);
    enum store_outcome outcome = STORE_UNDONE;
    if (added)
        outcome = commit_run(usherd->commit, clock_now_ms(&usherd->clock));
    if (outcome != STORE_DONE || commit_answer(usherd->commit, 1).result != USHER_OK) {
        const char *why = "";
        enum store_status fault = store_fault(usherd->store, &why);
        char line[512];
        snprintf(line, sizeof line, "the first admin could not be enrolled: %s", why);
        return refuse(fault == STORE_NO_ROOM ? USHERD_ROOM : USHERD_FAULT, line);
    }
    log_line(LOG_INFO, "admin_enrolled", "key=\"%s/admin.key\"", usherd->options.data);
    return USHERD_DONE;
}

static enum usherd_exit
open_keys(struct usherd *usherd)
{
    bool fresh = store_record_count(usherd->store, STORE_TABLE_CLIENT) == 0;
    uint8_t admin_key[64];
    enum usherd_exit code = load_key(usherd, "service.key", fresh, usherd->service_key);

    if (code != USHERD_DONE || !fresh)
        return code;
    code = load_key(usherd, "admin.key", true, admin_key);
    if (code == USHERD_DONE)
        code = enrol_admin(usherd, admin_key);
    sodium_memzero(admin_key, sizeof admin_key);
    return code;
}

/* As many descriptors as the system allows; fewer connections if that is less than was asked for. */
static void
fit_descriptors(struct net_limits *limits)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    uint64_t most = limit.rlim_cur > 2 * SPARE_DESCRIPTORS ? limit.rlim_cur - SPARE_DESCRIPTORS : SPARE_DESCRIPTORS;
    if (limits->connections_max <= most)
        return;
    log_line(LOG_WARNING, "connections_max", "asked=%" PRIu64 " possible=%" PRIu64, limits->connections_max, most);
    limits->connections_max = most;
}

static void
wake_historian(void *context)
{
    const struct usherd *usherd = context;

    if (usherd->historian != NULL)
        historian_wake(usherd->historian);
}

static bool
share_port(void *context, const char *address)
{
    const struct usherd *usherd = context;

    return instances_listen_on(usherd->instances, address);
}

static void
ring_others(void *context)
{
    const struct usherd *usherd = context;

    instances_ring(usherd->instances);
}

static void
answer_bell(void *context)
{
    const struct usherd *usherd = context;

    instances_answer(usherd->instances);
}

static enum usherd_exit
open_net(struct usherd *usherd)
{
    static const enum usherd_exit codes[] = {[NET_OK] = USHERD_DONE,
                                             [NET_ADDRESS] = USHERD_ADDRESS,
                                             [NET_PORT_IN_USE] = USHERD_PORT,
                                             [NET_FAULT] = USHERD_FAULT};
    struct net_config config = {
        .store = usherd->store,
        .core = usherd->core,
        .commit = usherd->commit,
        .stages = usherd->stages,
        .secret_key = usherd->service_key,
        .key_id = KEY_ID,
        .listen = usherd->options.listen,
        .listen_anywhere = usherd->options.listen_anywhere,
        .signals = true,
        .limits = usherd->options.limits,
        .scrub_pause_ms = usherd->options.scrub_pause_ms,
        .now_ms = clock_now_ms,
        .clock = &usherd->clock,
        .log = log_line,
        .made_events = wake_historian,
        .shares_port = share_port,
        .committed = ring_others,
        .bell = instances_bell(usherd->instances),
        .answer_bell = answer_bell,
        .context = usherd,
    };
    char why[512];

    fit_descriptors(&config.limits);
    enum net_status status = net_open(&config, &usherd->net, why, sizeof why);
    return status == NET_OK ? USHERD_DONE : refuse(codes[status], why);
}

static enum usherd_exit
open_historian(struct usherd *usherd)
{
    if (!usherd->options.history)
        return USHERD_DONE;
    if (usherd->options.history_fault > 0)
        store_consumer_fail(usherd->store, (uint32_t)usherd->options.history_fault);
    usherd->historian = historian_open(usherd->store, usherd->options.history_delay_ms);
    return usherd->historian == NULL ? refuse(USHERD_FAULT, "the history's thread can't be started") : USHERD_DONE;
}

/* From here on the others know of us, and the next one may start. */
static enum usherd_exit
serve_with_others(struct usherd *usherd)
{
    char address[NET_ADDRESS_MOST];
    uint64_t monotonic_ms = clock_monotonic_ms();

    net_address(usherd->net, address, sizeof address);
    instances_serve(usherd->instances, address, usherd->clock.base_ms + (monotonic_ms - usherd->clock.begin_ms),
                    monotonic_ms);
    return USHERD_DONE;
}

/* The port in a file that is there as a whole or not at all. */
static enum usherd_exit
write_port_file(struct usherd *usherd)
{
    const char *path = usherd->options.port_file;
    char draft[4096], why[4400];

    if (path[0] == '\0')
        return USHERD_DONE;
    snprintf(draft, sizeof draft, "%s.new", path);
    FILE *file = fopen(draft, "we");
    bool written = file != NULL && fprintf(file, "%u\n", (unsigned)net_port(usherd->net)) > 0;
    if (file != NULL)
        written = fclose(file) == 0 && written;
    if (written && rename(draft, path) == 0)
        return USHERD_DONE;
    snprintf(why, sizeof why, "%s can't be written", path);
    return refuse(USHERD_ACCESS, why);
}

/* --- signals: docs/operations.md has their table --------------------------------------------------------- */
static void
ignore_signals(void)
{
    static const int ignored[] = {
        SIGPIPE, /* a peer that is gone shows where it is written to */
        SIGXFSZ, /* a file at its limit is a full disk (X6) */
        SIGHUP,  /* there is no file of settings or log to open anew, and a terminal that closes ends nobody's sale */
        SIGUSR1, SIGUSR2,
    };

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
}

/* It stops already: one more of these must not end it while it closes the store, for that would not be exit code 0. */
static void
hold_stop_signals(void)
{
    sigset_t stops;

    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stops, NULL);
}

/* --- the whole ------------------------------------------------------------------------------------------- */
typedef enum usherd_exit step(struct usherd *usherd);
static step *const steps[] = {open_directory, open_store,     open_record,       begin_clock,    open_keys,
                              open_net,       open_historian, serve_with_others, write_port_file};

static enum usherd_exit
serve(struct usherd *usherd)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        enum usherd_exit code = steps[i](usherd);
        if (code != USHERD_DONE)
            return code;
    }
    log_line(LOG_INFO, "serving", "listen=\"%s\" port=%u data=\"%s\" instance=%u position=%" PRIu64,
             usherd->options.listen, (unsigned)net_port(usherd->net), usherd->options.data,
             (unsigned)instances_number(usherd->instances), store_position(usherd->store));
    if (usherd->options.memory_fault) {
        while (store_idle(usherd->store)) /* the start's own change of the queue is written back first */
            continue;
        store_flip_bit(usherd->store, STORE_TABLE_QUEUE, 1, FAULT_BIT);
    }
    if (!net_run(usherd->net)) {
        const char *why = store_unsound(usherd->store);

        /* Nothing in memory can be trusted: leave at once, and let the next start read what is on the disk. */
        fprintf(stderr, "usherd: %s\n", why != NULL ? why : "the store was lost");
        _exit(why != NULL ? USHERD_UNSOUND : USHERD_LOST);
    }
    hold_stop_signals();
    log_line(LOG_INFO, "stopped", "position=%" PRIu64, store_position(usherd->store));
    return USHERD_DONE;
}

int
main(int argc, char **argv)
{
    struct usherd usherd = {.lock = -1};
    char why[512];
    int verb_code;

    umask(077);
    if (data_verb(argc, argv, &verb_code))
        return verb_code;
    if (!options_read(&usherd.options, argc, argv, why, sizeof why))
        return refuse(USHERD_USAGE, why);
    if (usherd.options.help) {
        options_help(stdout);
        data_help(stdout);
        return USHERD_DONE;
    }
    if (usherd.options.version) {
        printf("usherd %s, wire %d, schema %u\n", USHERD_VERSION, USHER_VERSION_WIRE, STORE_SCHEMA);
        return USHERD_DONE;
    }
    if (sodium_init() < 0)
        return refuse(USHERD_FAULT, "libsodium can't be used here");
    log_set_level(usherd.options.quiet ? LOG_WARNING : usherd.options.verbose ? LOG_DEBUG : LOG_INFO);
    ignore_signals();
    enum usherd_exit code = serve(&usherd);
    if (usherd.store != NULL)
        store_wait_aside(usherd.store);
    historian_close(usherd.historian);
    net_close(usherd.net);
    commit_close(usherd.commit);
    if (usherd.record != NULL)
        fclose(usherd.record);
    core_close(usherd.core);
    store_close(usherd.store);
    stages_close(usherd.stages);
    sodium_memzero(usherd.service_key, sizeof usherd.service_key);
    instances_close(usherd.instances);
    if (usherd.lock >= 0)
        close(usherd.lock);
    return (int)code;
}
