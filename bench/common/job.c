/* job.c: the jobs as a table. See target.h. */
#include <string.h>

#include "bench/common/target.h"

const struct job_row job_rows[JOB_COUNT] = {
#define BENCH_JOB(NAME, name, writes, text) [JOB_##NAME] = {#name, text, writes},
#include "bench/common/jobs.def"
};

bool
job_named(const char *name, enum job *job)
{
    for (unsigned i = 0; i < JOB_COUNT; i++)
        if (strcmp(job_rows[i].name, name) == 0) {
            *job = (enum job)i;
            return true;
        }
    return false;
}
