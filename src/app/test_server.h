/*
 * For tests of processes from the outside: the test program is a small server of its own, made of the real master,
 * engine and workers and of one feature that needs no HTTP. `greet ADDRESS WORD;` listens; whoever connects gets the
 * word, and gets it again for every byte sent. A connection holds its generation until it is closed, which is what
 * reloads are about. Each test starts the server anew, as the command line would.
 */
#ifndef APP_TEST_SERVER_H
#define APP_TEST_SERVER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/app.h"
#include "app/core.h"
#include "base/attr.h"
#include "base/err.h"
#include "net/listen.h"
#include "net/socket.h"

/* ---- the feature ---- */

struct greet {
    slice key, word;
    struct greet *next;
};

struct greet_conf {
    struct greet *first;
};

static int set_greet(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct greet_conf *c = conf;
    struct greet *g = arena_new(cf->arena, struct greet);
    struct listen_opts o = { 0 };
    struct bundle_entry *e;
    if (!g)
        return ERR_NOMEM;
    if (addr_parse(node->args[0].text, &o.addr) < 0 || listen_request(cf->bundle, &o, &e) < 0)
        return conf_error(cf, node, 0, "bad address");
    g->key = e->key;
    g->word = node->args[1].text;
    g->next = c->first;
    c->first = g;
    return OK;
}

static const struct directive directives[] = {
    { .name = "greet",
      .contexts = CONF_MAIN,
      .min_args = 2,
      .max_args = 2,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .repeat = true,
      .set = set_greet,
      .usage = "greet ADDRESS WORD;",
      .doc = "Says a word." },
};

static struct feature greet_feature = {
    .name = "greet",
    .doc = "Says a word.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct greet_conf) },
};

/* ---- the room ---- */

struct conn {
    struct io io;
    struct list link;
    struct reap reap;
    struct worker *w;
    struct gen_ref *gen;
    const struct greet *greet;
};

struct room {
    struct list conns;
};

static struct room *room_of(struct worker *w)
{
    return (struct room *)(void *)w->h1;
}

static int room_init(struct worker *w)
{
    struct room *r = calloc(1, sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    list_init(&r->conns);
    w->h1 = (struct h1_worker *)(void *)r;
    return OK;
}

static void free_conn(struct reap *r)
{
    free(container_of(r, struct conn, reap));
}

static void close_conn(struct conn *c)
{
    list_del(&c->link);
    io_close(&c->w->loop, &c->io);
    c->w->connections--;
    gen_drop(c->gen);
    loop_reap(&c->w->loop, &c->reap, free_conn);
}

static void room_cut(struct worker *w, struct gen_ref *r)
{
    for (struct list *l = room_of(w)->conns.next, *next; l != &room_of(w)->conns; l = next) {
        struct conn *c = list_entry(l, struct conn, link);
        next = l->next;
        if (!r || c->gen == r)
            close_conn(c);
    }
}

static void room_done(struct worker *w)
{
    room_cut(w, NULL);
    free(w->h1);
}

static void say(struct conn *c)
{
    ssize_t n = write(c->io.fd, c->greet->word.p, c->greet->word.n);
    (void)n;
}

static void on_io(struct io *io, unsigned events)
{
    struct conn *c = container_of(io, struct conn, io);
    char buf[16];
    ssize_t n;
    while ((n = read(io->fd, buf, sizeof(buf))) > 0) {
        while (buf[0] == '!')
            pause(); /* a worker that never comes back */
        say(c);
    }
    if (n == 0 || errno != EAGAIN)
        close_conn(c);
}

static void room_accept(struct worker *w, struct listener *l, int fd, const struct addr *peer)
{
    struct conn *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->w = w;
    c->gen = gen_use(w->gen);
    c->greet = l->conf;
    w->connections++;
    list_add(&room_of(w)->conns, &c->link);
    io_init(&c->io, fd, on_io);
    io_watch(&w->loop, &c->io);
    say(c);
}

static const void *room_conf(const struct generation *g, slice key)
{
    const struct greet_conf *c = g->main[greet_feature.id];
    for (const struct greet *at = c->first; at; at = at->next) {
        if (slice_eq(at->key, key))
            return at;
    }
    return NULL;
}

static const struct room_hooks room = {
    .name = "greet",
    .init = room_init,
    .done = room_done,
    .cut = room_cut,
    .accept = room_accept,
    .listener_conf = room_conf,
};

static struct feature *const features[] = { &core_feature, &greet_feature };
static const struct room_hooks *const rooms[] = { &room };
static const struct app app = { features, array_len(features), rooms, array_len(rooms) };

/* ---- driving it ---- */

enum { PATIENCE_MS = 20000 };

struct server {
    char dir[64];
    pid_t pid;
    uint16_t port[3];
};

static void path_of(const struct server *s, const char *name, char *out, size_t n)
{
    assert_true(snprintf(out, n, "%s/%s", s->dir, name) < (int)n);
}

static void put_file(const struct server *s, const char *name, const char *text)
{
    char path[128];
    path_of(s, name, path, sizeof(path));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *get_file(const struct server *s, const char *name)
{
    static char text[256 << 10];
    char path[128];
    path_of(s, name, path, sizeof(path));
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    text[n] = 0;
    if (f)
        fclose(f);
    return text;
}

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

#define wait_until(what)                                                     \
    do {                                                                     \
        int left_ = PATIENCE_MS / 5;                                         \
        while (!(what) && left_-- > 0)                                       \
            nap();                                                           \
        if (left_ < 0)                                                       \
            fail_msg("never came: %s\n%s", #what, get_file(s, "error.log")); \
    } while (0)

static int log_count(const struct server *s, const char *text)
{
    int n = 0;
    for (const char *p = get_file(s, "error.log"); (p = strstr(p, text)); p++)
        n++;
    return n;
}

static uint16_t free_port(void)
{
    struct addr a;
    assert_int_equal(addr_parse_ip(SLICE("127.0.0.1"), 0, &a), OK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &a.sa, a.len), 0);
    assert_int_equal(socket_local(fd, &a), OK);
    close(fd);
    return addr_port(&a);
}

static struct server current;

static struct server *prepare(void)
{
    struct server *s = &current;
    memset(s, 0, sizeof(*s));
    memcpy(s->dir, "/tmp/hinge-process-XXXXXX", 26);
    assert_non_null(mkdtemp(s->dir));
    chmod(s->dir, 0755);
    for (size_t i = 0; i < array_len(s->port); i++)
        s->port[i] = free_port();
    return s;
}

/* The main lines, then `more`, in which %1, %2, %3 are the ports' addresses and %d the directory. */
static void configure(const struct server *s, const char *more)
{
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof(text), "daemon off;\nerror_log error.log info;\npid p.pid;\nevents { }\n");
    for (const char *p = more; *p; p++) {
        if (*p != '%') {
            text[n++] = *p;
            continue;
        }
        p++;
        if (*p == 'd')
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", s->dir);
        else
            n += (size_t)snprintf(text + n, sizeof(text) - n, "127.0.0.1:%u", s->port[*p - '1']);
    }
    text[n] = 0;
    put_file(s, "c.conf", text);
}

static pid_t run(const struct server *s, const char *option, const char *value)
{
    char prefix[80], path[128];
    snprintf(prefix, sizeof(prefix), "%s/", s->dir);
    path_of(s, "stderr", path, sizeof(path));
    char *argv[] = { (char *)"hinge",
                     (char *)"-p",
                     prefix,
                     (char *)"-c",
                     (char *)"c.conf",
                     (char *)"-e",
                     (char *)"error.log",
                     (char *)(uintptr_t)option,
                     (char *)(uintptr_t)value,
                     NULL };
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(fd, 1);
        dup2(fd, 2);
        setenv("HINGE_TEST_SERVER", "1", 1);
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    return pid;
}

static int end_of(pid_t pid)
{
    int status = 0;
    for (int i = 0; i < PATIENCE_MS / 5; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        nap();
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

__attribute__((unused)) static int command(const struct server *s, const char *option, const char *value)
{
    return end_of(run(s, option, value));
}

static bool pid_file_says(const struct server *s, pid_t pid)
{
    char text[24];
    snprintf(text, sizeof(text), "%d\n", (int)pid);
    return strcmp(get_file(s, "p.pid"), text) == 0;
}

static void start(struct server *s)
{
    s->pid = run(s, NULL, NULL);
    wait_until(pid_file_says(s, s->pid));
}

__attribute__((unused)) static pid_t engine_of(const struct server *s)
{
    char path[64], text[64] = "";
    uint64_t pid;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)s->pid, (int)s->pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    slice word = slice_of(text, n), rest;
    slice_cut(word, ' ', &word, &rest);
    return slice_to_u64(word, &pid) == OK ? (pid_t)pid : 0;
}

/* The server has to end well within the test; the teardown finds nothing to kill then. */
static void ended(struct server *s)
{
    int code = end_of(s->pid);
    s->pid = 0;
    if (code != 0)
        fail_msg("exit code %d\n%s", code, get_file(s, "error.log"));
    assert_int_equal(log_count(s, "[alert]"), 0);
}

/* The state letter in a stat file of /proc; 'Z' when there is none any more. */
static char state_in(const char *path)
{
    char text[256];
    FILE *f = fopen(path, "r");
    if (!f)
        return 'Z';
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    const char *behind = strrchr(text, ')');
    return behind && behind[1] ? behind[2] : 'Z';
}

/* An orphan is reaped by whoever is pid 1 here, sooner or later. */
__attribute__((unused)) static bool engine_is_zombie(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    return state_in(path) == 'Z';
}

/* Has a SIGSTOP reached every thread? */
__attribute__((unused)) static bool all_stopped(pid_t pid)
{
    char path[320];
    bool all = true;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    if (!d)
        return false;
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid, e->d_name);
        all = all && (e->d_name[0] == '.' || state_in(path) == 'T');
    }
    closedir(d);
    return all;
}

static void stop(struct server *s, int number)
{
    kill(s->pid, number);
    ended(s);
}

__attribute__((unused)) static void murder(struct server *s)
{
    kill(s->pid, SIGKILL);
    assert_int_equal(end_of(s->pid), 1000 + SIGKILL);
    s->pid = 0;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)st;
    (void)what;
    (void)at;
    return remove(path);
}

static void remove_tree(const char *dir)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int clean_up(void **state)
{
    struct server *s = &current;
    if (s->pid) { /* the test failed */
        pid_t engine = engine_of(s);
        kill(s->pid, SIGKILL);
        end_of(s->pid);
        if (engine)
            kill(engine, SIGKILL);
    }
    (void)state;
    remove_tree(s->dir);
    return 0;
}

static int dial_addr(const struct addr *a)
{
    struct timeval tv = { .tv_sec = 3 * PATIENCE_MS / 1000 };
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (connect(fd, &a->sa, a->len) == 0)
        return fd;
    close(fd);
    return -1;
}

static int dial(const struct server *s, int port)
{
    struct addr a;
    assert_int_equal(addr_parse_ip(SLICE("127.0.0.1"), s->port[port], &a), OK);
    return dial_addr(&a);
}

__attribute__((unused)) static int dial_unix(const struct server *s)
{
    char text[128];
    struct addr a;
    snprintf(text, sizeof(text), "unix:%s/s", s->dir);
    assert_int_equal(addr_parse(slice_str(text), &a), OK);
    return dial_addr(&a);
}

/* What comes next on the connection; "" at its end, "-" when it was reset. */
static const char *word(int fd)
{
    static char text[64];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return "-";
    text[n] = 0;
    return text;
}

static const char *again(int fd)
{
    ssize_t n = write(fd, "?", 1);
    return n == 1 ? word(fd) : "-";
}

/* One connection of its own. */
static const char *greeting(const struct server *s, int port)
{
    int fd = dial(s, port);
    if (fd < 0)
        return "refused";
    const char *text = word(fd);
    close(fd);
    return text;
}

#define assert_greets(s, port, text) assert_string_equal(greeting(s, port), text)

static void reload(struct server *s, const char *more)
{
    int before = log_count(s, "serves with");
    configure(s, more);
    kill(s->pid, SIGHUP);
    wait_until(log_count(s, "serves with") > before);
}

/* The program's main: the server when it was started as one, else the tests. */
static int test_server_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
    if (getenv("HINGE_TEST_SERVER") || getenv("HINGE_ENGINE") || getenv("HINGE_RESOLVE")) {
        unsetenv("HINGE_TEST_SERVER");
        return app_main(&app, argc, argv);
    }
    return _cmocka_run_group_tests("processes", tests, n, NULL, NULL);
}

#define SERVER_TEST(name) cmocka_unit_test_teardown(name, clean_up)

#endif
