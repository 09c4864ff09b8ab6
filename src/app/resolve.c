#include "app/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/strb.h"
#include "net/addr.h"

enum { RESOLVE_MS = 15000, RESOLVE_TEXT_MAX = 64 << 10, EXIT_UNKNOWN = 2, NOBODY = 65534 };

static const char variable[] = "HINGE_RESOLVE";

const char *resolve_asked(void)
{
    return getenv(variable);
}

/* ---- the child ---- */

static bool drop_rights(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (geteuid() != 0)
        return true;
    return setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

/* Every address once, a line each, in the library's order. */
int resolve_main(const char *name)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!drop_rights())
        return 1;
    int rc = getaddrinfo(name, NULL, &hints, &list);
    if (rc != 0)
        return rc == EAI_NONAME || rc == EAI_NODATA ? EXIT_UNKNOWN : 1;
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        struct addr addr = { .len = a->ai_addrlen };
        char text[ADDR_TEXT_MAX];
        if (a->ai_addrlen > sizeof(addr.un))
            continue;
        memcpy(&addr.sa, a->ai_addr, a->ai_addrlen);
        addr_text_ip(text, &addr);
        puts(text);
    }
    freeaddrinfo(list);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- the parent ---- */

static void child(int out, char *name)
{
    char set[512];
    char *argv[] = { (char *)(uintptr_t) "hinge: resolver", NULL }, *envp[] = { set, NULL };
    snprintf(set, sizeof(set), "%s=%s", variable, name);
    if (dup2(out, STDOUT_FILENO) < 0)
        _exit(1);
    execve("/proc/self/exe", argv, envp);
    _exit(1);
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Reads to the end, within the time. Lines become NUL-terminated addresses, and nothing but addresses. */
static int read_all(int fd, struct strb *text)
{
    int64_t end = now_ms() + RESOLVE_MS;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left = end - now_ms();
        if (left <= 0)
            return ERR_TIMEOUT;
        if (poll(&p, 1, (int)left) <= 0)
            continue;
        if (!strb_room(text, 1024))
            return ERR_LIMIT;
        ssize_t n = read(fd, text->p + text->n, 1024);
        if (n < 0 && errno != EINTR)
            return ERR_SYS;
        if (n == 0)
            return OK;
        text->n += n > 0 ? (size_t)n : 0;
    }
}

static int check_lines(slice text, struct strb *out)
{
    slice line;
    size_t before = out->n;
    while (slice_cut(text, '\n', &line, &text)) {
        struct addr a;
        if (addr_parse_ip(line, 0, &a) < 0)
            return ERR_SYNTAX;
        strb_add(out, line);
        strb_char(out, 0);
    }
    if (out->failed)
        return ERR_NOMEM;
    return out->n > before ? OK : ERR_NOTFOUND;
}

static int outcome(pid_t pid, int rc)
{
    int status;
    if (rc < 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (rc < 0)
        return rc;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_UNKNOWN)
        return ERR_NOTFOUND;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? OK : ERR_SYS;
}

int resolve_name(void *ctx, slice name, struct strb *out)
{
    char host[256];
    int fd[2];
    (void)ctx;
    if (name.n == 0 || name.n >= sizeof(host) || memchr(name.p, 0, name.n))
        return ERR_NOTFOUND;
    memcpy(host, name.p, name.n);
    host[name.n] = 0;
    if (pipe2(fd, O_CLOEXEC) < 0)
        return ERR_SYS;
    pid_t pid = fork();
    if (pid == 0)
        child(fd[1], host);
    close(fd[1]);
    if (pid < 0) {
        close(fd[0]);
        return ERR_SYS;
    }
    struct strb text;
    strb_init(&text, RESOLVE_TEXT_MAX);
    int rc = outcome(pid, read_all(fd[0], &text));
    close(fd[0]);
    if (rc == OK)
        rc = check_lines(strb_slice(&text), out);
    strb_done(&text);
    return rc;
}
