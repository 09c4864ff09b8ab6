/*
 * The main and events contexts: what the processes themselves obey.
 */
#ifndef APP_CORE_H
#define APP_CORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/generation.h"
#include "conf/schema.h"

enum { WORKERS_MAX = 256 };

/* worker_cpu_affinity: one mask a worker, the last one again for the rest; `automatic`: worker i on the i-th allowed
 * CPU. */
struct core_affinity {
    uint64_t *masks;
    uint32_t n;
    bool automatic;
};

struct core_env {
    slice name, value; /* value.p NULL: as the master has it */
    struct core_env *next;
};

struct core_conf {
    slice user, group; /* empty: not set */
    uint32_t workers;  /* 0: not set (one); `auto` is resolved when read */
    struct core_affinity affinity;
    uint64_t rlimit_nofile; /* 0: as inherited */
    uint64_t rlimit_core;   /* means something when has_rlimit_core */
    bool has_rlimit_core;
    int priority;
    bool daemon, master_process;
    slice pid;
    slice working_directory;
    struct core_env *env;
    uint64_t shutdown_timeout; /* ms; 0: none */
    bool has_log, has_events;
    uint64_t worker_connections;
    uint64_t job_threads, job_queue;
    uint64_t body_memory; /* bytes of queued bodies a worker may hold */
};

extern struct feature core_feature;

/* The main context of a compiled configuration. */
const struct core_conf *core_conf(const struct generation *g);

#endif
