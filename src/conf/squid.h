/*
 * The reader of squid.conf: another punctuation for the same nodes.
 *
 * A line is a directive: its words are parted by white space, a word in double quotes is one argument (marked quoted:
 * a file of values), `#` where a word could begin ends the line, a backslash at the end joins the next one. `include`
 * takes files and globs; `if`, `else`, `endif` choose lines. The reader knows no other directive, but that the rest of
 * a `logformat` line is one argument. (squid.conf manual; "include", "conditional configuration".)
 */
#ifndef CONF_SQUID_H
#define CONF_SQUID_H

#include "conf/bundle.h"
#include "conf/diag.h"
#include "conf/tree.h"

enum { SQUID_IF_DEPTH = 16 };

/*
 * Reads the file (relative: as bundle_conf_path) and what it includes. *nodes: the lines in order; *files (may be NULL)
 * gains the files read, for -T. OK; ERR_SYNTAX when diag holds an error (*nodes is set all the same); ERR_NOMEM.
 */
int squid_parse(struct arena *a, struct bundle *b, struct conf_diag *diag, slice path, struct conf_pos from,
                struct conf_node **nodes, struct conf_file **files);

#endif
