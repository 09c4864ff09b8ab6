/*
 * features.def as tables: the one place where a program learns what it can do. Included once by each program: by
 * features.c, and by a test that puts policies of its own behind those of the program (EXTRA_POLICIES, entries with a
 * comma behind each).
 */
#ifndef APP_FEATURES_TABLES_H
#define APP_FEATURES_TABLES_H

#include "base/attr.h"
#include "proxy/policy.h"

#ifndef EXTRA_POLICIES
#define EXTRA_POLICIES
#endif

#define FEATURE(name)       extern struct feature name##_feature;
#define POLICY(name, phase) extern const struct policy name##_policy;
#define ROOM(name)          extern const struct room_hooks name##_room;
#include "app/features.def"
#undef FEATURE
#undef POLICY
#undef ROOM

static struct feature *const features[] = {
#define FEATURE(name) &name##_feature,
#define POLICY(name, phase)
#define ROOM(name)
#include "app/features.def"
#undef FEATURE
#undef POLICY
#undef ROOM
};

/* The counts leave the last entry of these out; an empty table is no table in C. */
const struct policy_entry policy_table[] = {
#define FEATURE(name)
#define POLICY(name, phase) { &name##_policy, phase },
#define ROOM(name)
#include "app/features.def"
#undef FEATURE
#undef POLICY
#undef ROOM
    EXTRA_POLICIES{ NULL, PHASES },
};
const size_t policy_count = array_len(policy_table) - 1;

static const struct room_hooks *const rooms[] ATTR_UNUSED = {
#define FEATURE(name)
#define POLICY(name, phase)
#define ROOM(name) &name##_room,
#include "app/features.def"
#undef FEATURE
#undef POLICY
#undef ROOM
    NULL,
};

#endif
