/*
 * What the unit tests of this room share: parse texts that stand in a bundle in memory, show a tree as text, and look
 * at messages.
 */
#ifndef CONF_CONF_TEST_H
#define CONF_CONF_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "conf/diag.h"
#include "conf/tree.h"

struct bench {
    struct arena arena;
    struct bundle *bundle;
    struct conf_diag diag;
    struct conf_node *root;
    struct conf_file *files;
};

static inline void bench_init(struct bench *t)
{
    arena_init(&t->arena, NULL, 0, 4096, 0);
    t->bundle = bundle_new(SLICE("/p"));
    assert_non_null(t->bundle);
    conf_diag_init(&t->diag, &t->arena);
    t->root = NULL;
    t->files = NULL;
}

static inline void bench_done(struct bench *t)
{
    bundle_free(t->bundle);
    arena_done(&t->arena);
}

static inline void bench_file(struct bench *t, const char *path, slice text)
{
    assert_int_equal(bundle_file_set(t->bundle, slice_str(path), text), OK);
}

/* Parses `text` as /p/main.conf in a bundle that reads no disk. */
static inline int bench_parse(struct bench *t, slice text)
{
    bench_file(t, "main.conf", text);
    bundle_close(t->bundle);
    return conf_parse(&t->arena, t->bundle, &t->diag, SLICE("main.conf"), &t->root, &t->files);
}

/* The tree on one line: name[arg|'quoted'] and { } for blocks. */
static inline void show_nodes(struct strb *b, const struct conf_node *n)
{
    for (; n; n = n->next) {
        strb_add(b, n->name);
        for (uint32_t i = 0; i < n->nargs; i++) {
            strb_char(b, i ? '|' : '[');
            strb_printf(b, n->args[i].quoted ? "'%.*s'" : "%.*s", SLICE_FMT(n->args[i].text));
        }
        if (n->nargs)
            strb_char(b, ']');
        strb_char(b, n->block ? '{' : ';');
        if (n->block) {
            show_nodes(b, n->children);
            strb_char(b, '}');
        }
    }
}

/* All messages, each "line:column text", separated by '|'. */
static inline void show_messages(struct strb *b, const struct conf_diag *d)
{
    for (const struct conf_message *m = d->first; m; m = m->next) {
        if (m != d->first)
            strb_char(b, '|');
        if (m->pos.file)
            strb_printf(b, "%u:%u ", m->pos.line, m->pos.column);
        strb_add(b, m->text);
    }
}

static inline void expect_text(struct strb *b, const char *want)
{
    strb_char(b, '\0');
    assert_false(b->failed);
    assert_string_equal(b->p, want);
    strb_done(b);
}

static inline void expect_tree(const struct bench *t, const char *want)
{
    struct strb b;
    strb_init(&b, 0);
    show_nodes(&b, t->root->children);
    expect_text(&b, want);
}

static inline void expect_messages(const struct bench *t, const char *want)
{
    struct strb b;
    strb_init(&b, 0);
    show_messages(&b, &t->diag);
    expect_text(&b, want);
}

#endif
