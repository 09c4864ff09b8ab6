#include "policy/file_test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static bool is(const struct stat *st, enum file_kind kind)
{
    switch (kind) {
    case FILE_PLAIN:
        return S_ISREG(st->st_mode);
    case FILE_DIRECTORY:
        return S_ISDIR(st->st_mode);
    case FILE_ANY:
        return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
    case FILE_EXECUTABLE:
        return st->st_mode & S_IXUSR;
    }
    return false;
}

bool file_test(struct exchange *x, enum file_kind kind, slice path)
{
    char name[PATH_MAX], why[128];
    struct stat st;
    if (!path.n || path.p[0] != '/' || path.n >= sizeof(name) || memchr(path.p, '\0', path.n))
        return false;
    memcpy(name, path.p, path.n);
    name[path.n] = '\0';
    if (fstatat(AT_FDCWD, name, &st, 0) == 0)
        return is(&st, kind);
    if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
        exchange_log(x, LEVEL_CRIT, "stat() \"%s\" failed (%d: %s)", name, errno, strerror_r(errno, why, sizeof(why)));
    return false;
}
