/* environment.c: see environment.h. */
#define _GNU_SOURCE 1
#include <stdbool.h>

#include "environment.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The first line of a file, or of what a command says, without its newline; "" when there is none. */
static void
first_line(FILE *file, char *line, size_t size)
{
    if (file == NULL || fgets(line, (int)size, file) == NULL)
        line[0] = 0;
    line[strcspn(line, "\n")] = 0;
}

static void
read_cpu(char *cpu, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(cpu, size, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || value == NULL)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(cpu, size, "%s", value + 2);
        break;
    }
    if (file != NULL)
        fclose(file);
}

/* The file system and its source: the mount whose device the folder is on. */
static void
read_mount(const char *folder, char *kind, char *source, size_t size)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[1024], device[32];
    struct stat status;

    snprintf(kind, size, "unknown");
    source[0] = 0;
    if (stat(folder, &status) == 0 && file != NULL) {
        snprintf(device, sizeof device, "%u:%u", major(status.st_dev), minor(status.st_dev));
        while (fgets(line, sizeof line, file) != NULL) {
            char found[32], type[64], from[64];
            const char *rest = strstr(line, " - ");
            if (sscanf(line, "%*d %*d %31s", found) != 1 || strcmp(found, device) != 0 || rest == NULL ||
                sscanf(rest, " - %63s %63s", type, from) != 2)
                continue;
            snprintf(kind, size, "%s", type);
            snprintf(source, size, "%s", from);
        }
    }
    if (file != NULL)
        fclose(file);
}

/* The commit of the tree that this was built from. */
static void
read_commit(char *commit, size_t size)
{
    FILE *file = popen("git -C '" BENCH_SOURCE "' describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null",
                       "r");

    first_line(file, commit, size);
    if (file != NULL)
        pclose(file);
    if (commit[0] == 0)
        snprintf(commit, size, "unknown");
}

static json_t *
read_libraries(void)
{
    static const char *const rows[][2] = {
        {"libevent", BENCH_EVENT_VERSION}, {"lmdb", BENCH_LMDB_VERSION},     {"libsodium", BENCH_SODIUM_VERSION},
        {"xxhash", BENCH_XXHASH_VERSION},  {"jansson", BENCH_JANSSON_VERSION}};
    json_t *libraries = json_object();

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_object_set_new(libraries, rows[i][0], json_string(rows[i][1]));
    json_object_set_new(libraries, "libc", json_string(gnu_get_libc_version()));
    return libraries;
}

json_t *
environment_read(const char *folder)
{
    char cpu[128], kind[64], source[64], commit[64], at[32];
    time_t now = time(NULL);
    struct utsname names;
    struct tm moment;
    json_t *environment;

    uname(&names);
    read_cpu(cpu, sizeof cpu);
    read_commit(commit, sizeof commit);
    gmtime_r(&now, &moment);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &moment);
    environment = json_pack("{s:s, s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:o}", "at", at, "cpu", cpu, "cores",
                            (int)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
                            (json_int_t)sysconf(_SC_PHYS_PAGES) * (json_int_t)sysconf(_SC_PAGESIZE), "kernel",
                            names.release, "build", BENCH_BUILD, "compiler", BENCH_COMPILER, "commit", commit,
                            "libraries", read_libraries());
    if (folder != NULL) {
        read_mount(folder, kind, source, sizeof kind);
        json_object_set_new(environment, "file_system", json_string(kind));
        json_object_set_new(environment, "device", json_string(source));
    }
    json_object_set_new(environment, "sync", json_string("on the disk before each answer: O_DSYNC, or LMDB's data and meta page synced"));
    return environment;
}

static const char *
text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "unknown";
}

void
environment_print(const json_t *environment, FILE *out)
{
    json_t *libraries = json_object_get(environment, "libraries");
    const char *name;
    json_t *value;

    fprintf(out, "%lld x %s, %.1f GiB, Linux %s; data on %s (%s)\n",
            (long long)json_integer_value(json_object_get(environment, "cores")), text_of(environment, "cpu"),
            (double)json_integer_value(json_object_get(environment, "memory_bytes")) / (1 << 30),
            text_of(environment, "kernel"), text_of(environment, "file_system"), text_of(environment, "device"));
    fprintf(out, "commit %s, %s build, %s; sync: %s\n", text_of(environment, "commit"), text_of(environment, "build"),
            text_of(environment, "compiler"), text_of(environment, "sync"));
    json_object_foreach (libraries, name, value)
        fprintf(out, "%s%s %s", strcmp(name, "libevent") == 0 ? "" : ", ", name, json_string_value(value));
    fputc('\n', out);
}

bool
environment_write_json(const json_t *report, const char *path, char *why, size_t why_size)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    bool written = file != NULL && json_dumpf(report, file, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) == 0;

    if (file != NULL)
        fputc('\n', file);
    if (file != NULL && file != stdout && fclose(file) != 0)
        written = false;
    if (!written)
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    return written;
}
