#include "forward/filter_read.h"

#include "base/err.h"
#include "forward/domain_set.h"
#include "forward/punycode.h"
#include "net/addr.h"

void filter_reader_init(struct filter_reader *r, filter_name_fn name, void *ctx)
{
    *r = (struct filter_reader){ .name = name, .ctx = ctx };
    strb_init(&r->line, 0);
}

void filter_reader_done(struct filter_reader *r)
{
    strb_done(&r->line);
}

/* ---- one line ---- */

static int tell(struct filter_reader *r, slice name, unsigned marks)
{
    char form[DOMAIN_NAME_MAX + 1], lower[DOMAIN_NAME_MAX];
    for (size_t i = 0; i < name.n; i++) {
        if ((uint8_t)name.p[i] >= 0x80) {
            name = slice_of(form, punycode_name(form, sizeof(form), name));
            break;
        }
    }
    size_t n = domain_normal(lower, name);
    return n ? r->name(r->ctx, slice_of(lower, n), marks) : ERR_SYNTAX;
}

/* Names that hosts files hold for the machine itself. */
static bool own_name(slice s)
{
    return slice_istarts(s, SLICE("localhost")) || slice_istarts(s, SLICE("ip6-")) || slice_ieq(s, SLICE("local")) ||
           slice_ieq(s, SLICE("broadcasthost")) || slice_eq(s, SLICE("0.0.0.0"));
}

static slice word_of(slice *rest)
{
    slice s = slice_trim(*rest);
    size_t n = 0;
    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
        n++;
    *rest = slice_from(s, n);
    return slice_upto(s, n);
}

static int hosts_line(struct filter_reader *r, slice rest)
{
    for (slice name = word_of(&rest); name.n && name.p[0] != '#'; name = word_of(&rest)) {
        int rc = own_name(name) ? OK : tell(r, name, DOMAIN_SELF);
        if (rc)
            return rc;
    }
    return OK;
}

/* "||name^", perhaps with options that change nothing for a whole site. */
static int blocker_line(struct filter_reader *r, slice line, unsigned marks)
{
    slice name, options;
    line = slice_from(line, 2);
    if (!slice_cut(line, '^', &name, &options))
        return ERR_SYNTAX;
    if (options.n && !slice_eq(options, SLICE("$important")) && !slice_eq(options, SLICE("$all")) &&
        !slice_eq(options, SLICE("$document")))
        return ERR_SYNTAX;
    return tell(r, name, marks);
}

static int one_line(struct filter_reader *r, slice line)
{
    struct addr a;
    if (!line.n || line.p[0] == '#' || line.p[0] == '!' || line.p[0] == '[')
        return OK;
    if (slice_starts(line, SLICE("@@||")))
        return blocker_line(r, slice_from(line, 2), DOMAIN_BOTH << FILTER_EXCEPT);
    if (slice_starts(line, SLICE("||")))
        return blocker_line(r, line, DOMAIN_BOTH);
    slice rest = line, first = word_of(&rest), more = slice_trim(rest);
    if (more.n && more.p[0] != '#')
        return addr_parse_ip(first, 0, &a) ? ERR_SYNTAX : hosts_line(r, more);
    if (slice_starts(first, SLICE("*.")))
        return tell(r, slice_from(first, 2), DOMAIN_BELOW);
    return tell(r, first, DOMAIN_BOTH);
}

/* Without its line feed. */
static int whole_line(struct filter_reader *r, slice line)
{
    const slice mark = SLICE("\xef\xbb\xbf");
    if (!r->number++ && slice_starts(line, mark))
        line = slice_from(line, mark.n);
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    int rc = one_line(r, slice_trim(line));
    if (rc != ERR_SYNTAX)
        return rc;
    if (!r->skipped++) {
        r->first_skipped = r->number;
        r->first_file = r->files;
    }
    return OK;
}

/* ---- pieces ---- */

int filter_reader_piece(struct filter_reader *r, slice piece)
{
    int rc = OK;
    for (ptrdiff_t nl; rc == OK && (nl = slice_find(piece, '\n')) >= 0;) {
        slice line = slice_upto(piece, (size_t)nl);
        piece = slice_from(piece, (size_t)nl + 1);
        if (r->line.n) {
            strb_add(&r->line, line);
            line = strb_slice(&r->line);
        }
        rc = r->line.failed ? ERR_NOMEM : whole_line(r, line);
        r->line.n = 0;
    }
    if (rc == OK)
        strb_add(&r->line, piece);
    return r->line.failed ? ERR_NOMEM : rc;
}

int filter_reader_end(struct filter_reader *r)
{
    int rc = r->line.n ? whole_line(r, strb_slice(&r->line)) : OK;
    r->line.n = 0;
    r->number = 0;
    r->files++;
    return rc;
}
