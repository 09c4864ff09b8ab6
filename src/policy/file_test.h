/*
 * What is at a path: the tests of `if`.
 */
#ifndef POLICY_FILE_TEST_H
#define POLICY_FILE_TEST_H

#include "http/exchange.h"

enum file_kind { FILE_PLAIN, FILE_DIRECTORY, FILE_ANY, FILE_EXECUTABLE };

/*
 * Is there something of that kind at the path? Symbolic links are followed; FILE_ANY is a file or a directory;
 * FILE_EXECUTABLE something that its owner may execute (all as in nginx). An error other than "there is none" is logged
 * and counts as no. A path that is not absolute, or holds a NUL, names nothing.
 */
bool file_test(struct exchange *x, enum file_kind kind, slice path);

#endif
