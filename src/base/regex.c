/*
 * PCRE2 as base/regex.h wants it. Code is compiled with the JIT when the machine has one. Match data is thread-local
 * and made once: matching allocates nothing.
 */
#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"

enum { MATCH_LIMIT = 1000000, DEPTH_LIMIT = 20000, HEAP_LIMIT_KB = 16 << 10 };

struct regex {
    pcre2_code *code;
    uint32_t groups, names, entry;
    PCRE2_SPTR table;
};

struct matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static _Thread_local struct matcher matcher;
static pthread_key_t matcher_key; /* only for its destructor */
static pthread_once_t matcher_once = PTHREAD_ONCE_INIT;

static void matcher_free(void *unused)
{
    pcre2_match_data_free(matcher.data);
    pcre2_match_context_free(matcher.context);
    matcher = (struct matcher){ 0 };
}

static void make_key(void)
{
    if (pthread_key_create(&matcher_key, matcher_free) != 0)
        abort(); /* a process has a thousand of them */
}

/* The thread's match data, made on first use and freed with the thread. */
static bool matcher_ready(void)
{
    if (matcher.data)
        return true;
    pthread_once(&matcher_once, make_key);
    matcher.context = pcre2_match_context_create(NULL);
    matcher.data = pcre2_match_data_create(REGEX_GROUPS, NULL);
    if (!matcher.context || !matcher.data || pthread_setspecific(matcher_key, &matcher) != 0) {
        matcher_free(NULL);
        return false;
    }
    pcre2_set_match_limit(matcher.context, MATCH_LIMIT);
    pcre2_set_depth_limit(matcher.context, DEPTH_LIMIT);
    pcre2_set_heap_limit(matcher.context, HEAP_LIMIT_KB);
    return true;
}

static int compile_failed(int code, PCRE2_SIZE offset, char *why, size_t why_size, size_t *at)
{
    if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY)
        return ERR_NOMEM;
    if (why && why_size && pcre2_get_error_message(code, (PCRE2_UCHAR *)why, why_size) < 0)
        why[0] = '\0';
    if (at)
        *at = offset;
    return ERR_SYNTAX;
}

int regex_new(slice pattern, bool icase, struct regex **out, char *why, size_t why_size, size_t *at)
{
    int code;
    PCRE2_SIZE offset;
    struct regex *r = calloc(1, sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    r->code = pcre2_compile((PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.n, icase ? PCRE2_CASELESS : 0, &code,
                            &offset, NULL);
    if (!r->code) {
        free(r);
        return compile_failed(code, offset, why, why_size, at);
    }
    pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &r->groups);
    pcre2_pattern_info(r->code, PCRE2_INFO_NAMECOUNT, &r->names);
    if (r->names) {
        pcre2_pattern_info(r->code, PCRE2_INFO_NAMEENTRYSIZE, &r->entry);
        pcre2_pattern_info(r->code, PCRE2_INFO_NAMETABLE, &r->table);
    }
    *out = r;
    return OK;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    free(r);
}

int regex_match(const struct regex *r, slice subject, slice *captures, unsigned max)
{
    if (!matcher_ready())
        return ERR_NOMEM;
    const char *text = subject.p ? subject.p : "";
    int rc = pcre2_match(r->code, (PCRE2_SPTR)text, subject.n, 0, 0, matcher.data, matcher.context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return ERR_NOTFOUND;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return ERR_NOMEM;
    if (rc < 0)
        return ERR_LIMIT;
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(matcher.data);
    unsigned n = r->groups + 1;
    if (n > REGEX_GROUPS)
        n = REGEX_GROUPS;
    if (n > max)
        n = max;
    for (unsigned i = 0; i < n; i++) {
        bool set = v[2 * i] != PCRE2_UNSET && v[2 * i] <= v[2 * i + 1];
        captures[i] = set ? slice_of(text + v[2 * i], v[2 * i + 1] - v[2 * i]) : SLICE_NONE;
    }
    return n ? (int)n : 1;
}

bool regex_name(const struct regex *r, unsigned i, slice *name, unsigned *group)
{
    if (i >= r->names)
        return false;
    PCRE2_SPTR e = r->table + (size_t)i * r->entry;
    *group = (unsigned)e[0] << 8 | e[1];
    *name = slice_str((const char *)e + 2);
    return true;
}

unsigned regex_groups(const struct regex *r)
{
    return r->groups;
}

bool regex_may_begin(const struct regex *r, char c)
{
    uint32_t options, type = 0, first = 0;
    const uint8_t *bits = NULL;
    pcre2_pattern_info(r->code, PCRE2_INFO_ALLOPTIONS, &options);
    if (!(options & PCRE2_ANCHORED))
        return true;
    pcre2_pattern_info(r->code, PCRE2_INFO_FIRSTCODETYPE, &type);
    pcre2_pattern_info(r->code, PCRE2_INFO_FIRSTCODEUNIT, &first);
    pcre2_pattern_info(r->code, PCRE2_INFO_FIRSTBITMAP, &bits);
    if (type == 1)
        return ascii_lower((char)first) == ascii_lower(c);
    return !bits || (bits[(unsigned char)c / 8] >> ((unsigned char)c % 8) & 1);
}

bool regex_exceeds(const struct regex *r, slice subject, unsigned steps)
{
    if (!matcher_ready())
        return false;
    pcre2_set_match_limit(matcher.context, steps);
    int rc = pcre2_match(r->code, (PCRE2_SPTR)subject.p, subject.n, 0, PCRE2_NO_JIT, matcher.data, matcher.context);
    pcre2_set_match_limit(matcher.context, MATCH_LIMIT);
    return rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT;
}
