#include "conf/trees.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

/* A path that holds a NUL is a different one for the kernel than for us. */
static int open_dir(slice path)
{
    if (memchr(path.p, 0, path.n)) {
        errno = ENOENT;
        return -1;
    }
    return open(path.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* No directory: whatever is opened beneath it fails with ENOTDIR. */
static int open_nothing(void)
{
    return open("/dev/null", O_PATH | O_CLOEXEC);
}

static int attach(struct bundle_entry *e)
{
    int *fds = malloc(sizeof(*fds));
    if (!fds)
        return ERR_NOMEM;
    fds[0] = open_dir(e->key);
    if (fds[0] < 0) {
        e->error = errno;
        fds[0] = open_nothing();
    }
    if (fds[0] < 0) {
        int err = errno;
        free(fds);
        errno = err;
        return ERR_SYS;
    }
    e->fds = fds;
    e->nfds = 1;
    return OK;
}

int tree_entry(struct bundle *b, slice path, struct bundle_entry **out)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    slice full = bundle_path(b, path);
    if (!full.p)
        return ERR_NOMEM;
    struct bundle_entry *e = bundle_descriptor(b, BUNDLE_TREE, full);
    if (!e)
        return bundle_closed(b) ? ERR_NOTFOUND : ERR_NOMEM;
    int rc = e->nfds ? OK : bundle_closed(b) ? ERR_NOTFOUND : attach(e);
    if (rc == OK)
        *out = e;
    return rc;
}

void tree_renew(const struct bundle_entry *e)
{
    int fd = open_dir(e->key);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        fd = open_nothing();
    if (fd < 0)
        return;
    dup3(fd, e->fds[0], O_CLOEXEC);
    close(fd);
}
