#include "base/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

int memfile_new(const char *name, int *fd)
{
    int made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0)
        return ERR_SYS;
    *fd = made;
    return OK;
}

int memfile_put(int fd, slice s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_SYS;
        s = slice_from(s, (size_t)n);
    }
    return OK;
}

int memfile_room(int fd, size_t n, char **out)
{
    int rc;
    do
        rc = fallocate(fd, 0, 0, (off_t)n);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return errno == ENOMEM || errno == ENOSPC || errno == EFBIG ? ERR_NOMEM : ERR_SYS;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return ERR_SYS;
    *out = p;
    return OK;
}

int memfile_seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0 ? ERR_SYS : OK;
}

int memfile_map(int fd, slice *out)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return ERR_SYS;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE))
        return ERR_SYNTAX;
    if (st.st_size <= 0)
        return ERR_SYNTAX;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (p == MAP_FAILED)
        return ERR_SYS;
    *out = slice_of(p, (size_t)st.st_size);
    return OK;
}

void memfile_unmap(const char *p, size_t n)
{
    if (p)
        munmap((void *)(uintptr_t)p, n);
}
