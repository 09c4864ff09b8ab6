/*
 * Memory files: bytes that processes share by passing a descriptor, each kept in memory once.
 *
 * One process writes such a file and seals it; from then on nobody can change it, shrink it into a fault of a reader,
 * or take the seals off. Whoever has the descriptor maps it read-only; all mappings are the same pages.
 */
#ifndef BASE_MEMFILE_H
#define BASE_MEMFILE_H

#include "base/slice.h"

/* An empty one, closed by exec. `name` is what /proc shows. OK or ERR_SYS. */
int memfile_new(const char *name, int *fd);
/* Appends. OK or ERR_SYS. */
int memfile_put(int fd, slice s);
/*
 * n bytes of zero, mapped for writing: their memory is there, so that no write into them can fault. Given back by
 * memfile_unmap. OK; ERR_NOMEM (or what stands for it); ERR_SYS.
 */
int memfile_room(int fd, size_t n, char **out);
/* For good; nobody may have it mapped for writing. OK or ERR_SYS. */
int memfile_seal(int fd);
/* All of a sealed file, read in already: no reader waits for a page. OK; ERR_SYNTAX: it is not sealed; ERR_SYS. */
int memfile_map(int fd, slice *out);
/* Gives back a mapping; nothing when p is NULL. */
void memfile_unmap(const char *p, size_t n);

#endif
