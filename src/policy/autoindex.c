/*
 * autoindex: a list of a directory, byte for byte as nginx makes it, in HTML, JSON, JSONP or XML.
 *
 * Names that begin with a dot are left out, directories come first. A link is listed as what it leads to when it may be
 * followed, else as a thing of its own. The list is made at once, on the heap, and bounded; the text belongs to the end
 * that sends it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/escape.h"
#include "base/strb.h"
#include "http/uri.h"
#include "policy/files.h"

enum { ENTRIES_MAX = 1 << 20, TEXT_MAX = 256 << 20, NAME_SHOWN = 50, CALLBACK_MAX = 128 };

struct entry {
    char *name;
    mode_t mode;
    int64_t mtime;
    uint64_t size;
};

struct list_of {
    struct entry *v;
    size_t n, cap;
};

/* ---- reading ---- */

static void list_done(struct list_of *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].name);
    free(l->v);
}

static int list_add_entry(struct list_of *l, const char *name, const struct stat *st)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct entry *v = l->n < ENTRIES_MAX ? realloc(l->v, cap * sizeof(*v)) : NULL;
        if (!v)
            return ERR_NOMEM;
        l->v = v;
        l->cap = cap;
    }
    char *copy = strdup(name);
    if (!copy)
        return ERR_NOMEM;
    l->v[l->n++] =
        (struct entry){ .name = copy, .mode = st->st_mode, .mtime = st->st_mtim.tv_sec, .size = (uint64_t)st->st_size };
    return OK;
}

/* What a link leads to, if it may be followed. */
static void follow(struct exchange *x, const struct file_place *dir, const char *name, struct stat *st)
{
    struct file_place p = *dir;
    struct stat there;
    p.path = arena_printf(&x->arena, "%.*s%s", SLICE_FMT(dir->path), name);
    int fd = p.path.p ? file_open_fd(x, &p, O_PATH) : -1;
    if (fd < 0)
        return;
    if (fstat(fd, &there) == 0)
        *st = there;
    close(fd);
}

static int read_entries(struct exchange *x, const struct file_place *p, DIR *d, struct list_of *l)
{
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* hidden, or gone since */
        if (S_ISLNK(st.st_mode))
            follow(x, p, e->d_name, &st);
        int rc = list_add_entry(l, e->d_name, &st);
        if (rc < 0)
            return rc;
    }
    return OK;
}

static int compare(const void *a, const void *b)
{
    const struct entry *one = a, *two = b;
    bool first = S_ISDIR(one->mode), second = S_ISDIR(two->mode);
    return first != second ? (int)second - (int)first : strcmp(one->name, two->name);
}

/* ---- writing ---- */

static void add_html(struct strb *b, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        switch (s.p[i]) {
        case '<':
            strb_lit(b, "&lt;");
            break;
        case '>':
            strb_lit(b, "&gt;");
            break;
        case '&':
            strb_lit(b, "&amp;");
            break;
        case '"':
            strb_lit(b, "&quot;");
            break;
        default:
            strb_char(b, s.p[i]);
        }
    }
}

static void add_blanks(struct strb *b, size_t n)
{
    while (n--)
        strb_char(b, ' ');
}

static void html_size(struct strb *b, const struct entry *e, bool exact)
{
    static const struct {
        uint64_t least, unit;
        char letter;
    } scales[] = { { 1 << 30, 1 << 30, 'G' }, { 1 << 20, 1 << 20, 'M' }, { 10000, 1 << 10, 'K' } };
    if (S_ISDIR(e->mode)) {
        add_blanks(b, exact ? 18 : 6);
        strb_char(b, '-');
        return;
    }
    if (exact) {
        strb_printf(b, "%19llu", (unsigned long long)e->size);
        return;
    }
    for (size_t i = 0; i < array_len(scales); i++) {
        uint64_t unit = scales[i].unit;
        if (e->size < scales[i].least)
            continue;
        unsigned long long shown = e->size / unit + (e->size % unit > unit / 2 - 1);
        strb_printf(b, "%6llu%c", shown, scales[i].letter);
        return;
    }
    strb_printf(b, " %6llu", (unsigned long long)e->size);
}

static void html_name(struct exchange *x, struct strb *b, const struct entry *e)
{
    slice name = slice_str(e->name), escaped = SLICE_NONE;
    size_t shown = name.n;
    bool dir = S_ISDIR(e->mode);
    if (!uri_escape(&x->arena, name, URI_ESCAPE_COMPONENT, &escaped))
        b->failed = true;
    strb_lit(b, "<a href=\"");
    strb_add(b, escaped);
    strb_add(b, dir ? SLICE("/\">") : SLICE("\">"));
    if (name.n > NAME_SHOWN) {
        add_html(b, slice_upto(name, NAME_SHOWN - 3));
        strb_lit(b, "..&gt;</a>");
        return;
    }
    add_html(b, name);
    if (dir && shown < NAME_SHOWN) {
        strb_char(b, '/');
        shown++;
    }
    strb_lit(b, "</a>");
    add_blanks(b, NAME_SHOWN - shown);
}

static void html_entry(struct exchange *x, struct strb *b, const struct files_conf *c, const struct entry *e)
{
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t t = (time_t)e->mtime;
    struct tm tm;
    html_name(x, b, e);
    if (c->autoindex_local)
        localtime_r(&t, &tm);
    else
        gmtime_r(&t, &tm);
    strb_printf(b, " %02d-%s-%d %02d:%02d ", tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour,
                tm.tm_min);
    html_size(b, e, c->autoindex_exact);
    strb_lit(b, "\r\n");
}

static void write_html(struct exchange *x, struct strb *b, const struct files_conf *c, const struct list_of *l)
{
    strb_lit(b, "<html>\r\n<head><title>Index of ");
    add_html(b, x->pass.uri);
    strb_lit(b, "</title></head>\r\n<body>\r\n<h1>Index of ");
    add_html(b, x->pass.uri);
    strb_lit(b, "</h1><hr><pre><a href=\"../\">../</a>\r\n");
    for (size_t i = 0; i < l->n; i++)
        html_entry(x, b, c, &l->v[i]);
    strb_lit(b, "</pre><hr></body>\r\n</html>\r\n");
}

static void write_json(struct strb *b, const struct list_of *l, slice callback)
{
    char date[32];
    if (callback.n)
        strb_printf(b, "/* callback */\r\n%.*s(", SLICE_FMT(callback));
    strb_char(b, '[');
    for (size_t i = 0; i < l->n; i++) {
        const struct entry *e = &l->v[i];
        clock_http_date(date, e->mtime);
        strb_add(b, i ? SLICE(",\r\n{ \"name\":\"") : SLICE("\r\n{ \"name\":\""));
        escape_json(b, slice_str(e->name));
        strb_printf(b, "\", \"type\":\"%s\", \"mtime\":\"%s\"",
                    S_ISDIR(e->mode)   ? "directory"
                    : S_ISREG(e->mode) ? "file"
                                       : "other",
                    date);
        if (S_ISREG(e->mode))
            strb_printf(b, ", \"size\":%llu", (unsigned long long)e->size);
        strb_lit(b, " }");
    }
    strb_lit(b, "\r\n]");
    if (callback.n)
        strb_lit(b, ");");
}

static void write_xml(struct strb *b, const struct list_of *l)
{
    strb_lit(b, "<?xml version=\"1.0\"?>\r\n<list>\r\n");
    for (size_t i = 0; i < l->n; i++) {
        const struct entry *e = &l->v[i];
        const char *kind = S_ISDIR(e->mode) ? "directory" : S_ISREG(e->mode) ? "file" : "other";
        time_t t = (time_t)e->mtime;
        struct tm tm;
        gmtime_r(&t, &tm);
        strb_printf(b, "<%s mtime=\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", kind, tm.tm_year + 1900, tm.tm_mon + 1,
                    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        if (S_ISREG(e->mode))
            strb_printf(b, " size=\"%llu\"", (unsigned long long)e->size);
        strb_char(b, '>');
        add_html(b, slice_str(e->name));
        strb_printf(b, "</%s>\r\n", kind);
    }
    strb_lit(b, "</list>\r\n");
}

/* ---- the answer ---- */

static slice argument(slice args, slice want)
{
    slice one, name, value;
    while (args.n) {
        if (!slice_cut(args, '&', &one, &args)) {
            one = args;
            args = SLICE_NONE;
        }
        if (slice_cut(one, '=', &name, &value) && slice_ieq(name, want))
            return value;
    }
    return SLICE_NONE;
}

/* The name of a function: letters, digits, '_' and '.' only, for it is put into a script. */
static bool callback_is_fine(slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '_' && s.p[i] != '.')
            return false;
    }
    return s.n <= CALLBACK_MAX;
}

static enum verdict answer_text(struct exchange *x, enum autoindex_format format, struct strb *b)
{
    static const slice types[] = { [AUTOINDEX_HTML] = { "text/html", 9 },
                                   [AUTOINDEX_JSON] = { "application/json", 16 },
                                   [AUTOINDEX_JSONP] = { "application/javascript", 22 },
                                   [AUTOINDEX_XML] = { "text/xml; charset=utf-8", 23 } };
    int rc = b->failed ? ERR_NOMEM : reply_set(x, 200, SLICE_NONE, SLICE_NONE, false);
    struct field type = { .name = SLICE("Content-Type"), .value = types[format], .token = TOK_CONTENT_TYPE };
    if (rc == OK && !fields_add(&x->arena, &x->resp.fields, type))
        rc = ERR_NOMEM;
    if (rc == OK)
        rc = file_end_text(x, b->p, b->n);
    if (rc == OK) {
        x->resp.body = x->resp.declared = (struct body_fact){ BODY_LENGTH, b->n };
        return VERDICT_REPLY;
    }
    exchange_log(x, LEVEL_ERROR, "no memory for a list of the directory");
    strb_done(b);
    return files_error(x, 500);
}

static enum verdict list_dir(struct exchange *x, const struct files_conf *c, const struct file_place *p, DIR *d,
                             enum autoindex_format format, slice callback)
{
    struct list_of l = { 0 };
    struct strb b;
    int rc = read_entries(x, p, d, &l);
    closedir(d);
    if (l.n > 1)
        qsort(l.v, l.n, sizeof(*l.v), compare);
    strb_init(&b, TEXT_MAX);
    if (rc < 0)
        b.failed = true;
    else if (format == AUTOINDEX_HTML)
        write_html(x, &b, c, &l);
    else if (format == AUTOINDEX_XML)
        write_xml(&b, &l);
    else
        write_json(&b, &l, callback);
    list_done(&l);
    return answer_text(x, format, &b);
}

enum verdict autoindex_answer(struct exchange *x, const struct files_conf *c, const struct file_place *p)
{
    enum autoindex_format format = c->autoindex_format;
    slice callback = SLICE_NONE;
    if (format == AUTOINDEX_JSONP) {
        callback = argument(x->pass.args, SLICE("callback"));
        if (!callback_is_fine(callback)) {
            exchange_log(x, LEVEL_INFO, "client sent invalid callback name: \"%.*s\"", SLICE_FMT(callback));
            return files_error(x, 400);
        }
        format = callback.n ? AUTOINDEX_JSONP : AUTOINDEX_JSON;
    }
    int fd = file_open_dir(x, p);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return files_error(x, file_error(x, p, err));
    }
    return list_dir(x, c, p, d, format, callback);
}
