#include "policy/file_test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "policy/files.h"

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

/*
 * OK or ERR_SYS with errno. Links are followed, as in nginx, unless disable_symlinks says that they are not: then the
 * path is looked at as if it were to be sent, if it lies in a directory that the configuration names for that.
 */
static int look(struct exchange *x, slice path, struct stat *st)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    char name[PATH_MAX];
    int rc = ERR_NOTFOUND;
    if (c->links.mode == LINKS_NONE || c->links.mode == LINKS_OWNER)
        rc = file_probe(x, path, st);
    if (rc != ERR_NOTFOUND)
        return rc;
    memcpy(name, path.p, path.n);
    name[path.n] = '\0';
    return fstatat(AT_FDCWD, name, st, 0) < 0 ? ERR_SYS : OK;
}

bool file_test(struct exchange *x, enum file_kind kind, slice path)
{
    char why[128];
    struct stat st;
    if (!path.n || path.p[0] != '/' || path.n >= PATH_MAX || memchr(path.p, '\0', path.n))
        return false;
    int rc = look(x, path, &st);
    if (rc == OK)
        return is(&st, kind);
    if (rc == ERR_SYS && errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
        exchange_log(x, LEVEL_CRIT, "stat() \"%.*s\" failed (%d: %s)", SLICE_FMT(path), errno,
                     strerror_r(errno, why, sizeof(why)));
    return false;
}
