#include "app/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/slice.h"

/* Written beside and renamed, so that nobody who waits for the file reads half of it. */
int pidfile_write(const char *path)
{
    char beside[PATH_MAX], text[24];
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside)) {
        errno = ENAMETOOLONG;
        return ERR_SYS;
    }
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return ERR_SYS;
    ssize_t written = write(fd, text, (size_t)n);
    int err = written == n ? 0 : ENOSPC;
    close(fd);
    if (err == 0 && rename(beside, path) == 0)
        return OK;
    err = err ? err : errno;
    unlink(beside);
    errno = err;
    return ERR_SYS;
}

int pidfile_read(const char *path, pid_t *pid)
{
    char text[32];
    uint64_t v;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS;
    ssize_t n = read(fd, text, sizeof(text));
    int err = errno;
    close(fd);
    errno = err;
    if (n < 0)
        return ERR_SYS;
    slice s = slice_of(text, (size_t)n);
    while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == ' '))
        s.n--;
    if (slice_to_u64(s, &v) < 0 || v < 1 || v > INT_MAX)
        return ERR_SYNTAX;
    *pid = (pid_t)v;
    return OK;
}
