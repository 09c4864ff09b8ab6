/*
 * MurmurHash2, 32 bits: the hash by which nginx's split_clients divides clients. The same text has the same number here
 * and there, so a client stays in its bucket when a configuration moves. Not for tables: peers can choose collisions
 * (base/map.h has the hash for those).
 */
#ifndef BASE_MURMUR_H
#define BASE_MURMUR_H

#include <stdint.h>

#include "base/slice.h"

uint32_t murmur_hash2(slice s);

#endif
