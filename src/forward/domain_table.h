/*
 * A table of domain names that is made once, in a memory file, and then read by any number of processes.
 *
 * A set that only answers whether it holds a name need not keep the name: a slot is 12 bytes, 92 bits of two hashes
 * under a key that is random for each table, and four bits of whoever made it. In a table of a million names, a name
 * that is not in it is taken for one that is with a probability of 2^20 / 2^92: for every name that there is on Earth
 * (some 2^34) together, one in 2^38 that a single one is. Nobody who writes a list or asks for a host knows the key.
 * The file names no address, so that it means the same wherever it is mapped; it is of the machine and program that
 * made it. Two thirds of the slots are taken, so a look-up reads a cache line or two, whatever the table holds.
 */
#ifndef FORWARD_DOMAIN_TABLE_H
#define FORWARD_DOMAIN_TABLE_H

#include <stdint.h>

#include "base/slice.h"

enum { DOMAIN_MARKS = 15 }; /* what a name's marks may be: not 0, bits that add up when it is named twice */

/* What stands at the front of the file. */
struct domain_head {
    char magic[8];
    uint32_t cap, count;
    uint64_t key[4];   /* two for the slots, two for the checks */
    uint32_t notes[4]; /* the maker's */
};

/* For reading. All zero: an empty one, which is not to be asked. */
struct domain_table {
    const struct domain_head *head;
    const uint64_t *slots;  /* the hash but for its last four bits, and the marks; 0: free */
    const uint32_t *checks; /* of another hash */
};

/* Being made. */
struct domain_build {
    int fd;
    char *map;
    size_t size;
    struct domain_head *head;
    uint64_t *slots;
    uint32_t *checks;
    uint32_t room;
};

/* With room for so many names. OK, ERR_NOMEM, ERR_LIMIT (more than a table can have), ERR_SYS. */
int domain_build_begin(struct domain_build *b, uint32_t names);
/* A name in normal form (domain_normal). OK, or ERR_LIMIT when there is no room. */
int domain_build_add(struct domain_build *b, slice name, unsigned marks);
/* The sealed file, as small as its names allow. Either way the build is over. OK, ERR_NOMEM, ERR_SYS. */
int domain_build_end(struct domain_build *b, const uint32_t notes[4], int *fd);
void domain_build_drop(struct domain_build *b);

/* From a sealed file, which may be closed then. OK; ERR_SYNTAX: it is no table; ERR_SYS, ERR_NOMEM. */
int domain_table_open(struct domain_table *t, int fd);
void domain_table_close(struct domain_table *t);
/* The marks of a name in normal form; 0: it is not there. */
unsigned domain_table_get(const struct domain_table *t, slice name);
/* Bytes of the file. */
size_t domain_table_size(const struct domain_table *t);

#endif
