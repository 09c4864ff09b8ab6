#include "app/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"

enum { GROUPS_MAX = 1024, NAME_TEXT_MAX = 256, LOOKUP_MAX = 64 << 10 };

/* "user NAME GROUP": the option under which the numbers are kept. */
static slice option_name(char *dst, slice user, slice group)
{
    int n = snprintf(dst, NAME_TEXT_MAX, "user %.*s %.*s", SLICE_FMT(user), SLICE_FMT(group));
    return slice_of(dst, n > 0 && n < NAME_TEXT_MAX ? (size_t)n : 0);
}

static int lookup_group(const char *name, gid_t *gid)
{
    struct group gr, *found = NULL;
    char *mem = malloc(LOOKUP_MAX);
    if (!mem)
        return ERR_NOMEM;
    getgrnam_r(name, &gr, mem, LOOKUP_MAX, &found);
    if (found)
        *gid = gr.gr_gid;
    free(mem);
    return found ? OK : ERR_NOTFOUND;
}

/* nginx asks for a group of the user's name; where there is none (nobody, on Debian) the user's own group is meant. */
static int lookup(const char *user, const char *group, uid_t *uid, gid_t *gid)
{
    struct passwd pw, *found = NULL;
    char *mem = malloc(LOOKUP_MAX);
    if (!mem)
        return ERR_NOMEM;
    getpwnam_r(user, &pw, mem, LOOKUP_MAX, &found);
    int rc = found ? lookup_group(group, gid) : ERR_NOTFOUND;
    if (found)
        *uid = pw.pw_uid;
    if (found && rc == ERR_NOTFOUND && slice_eq(slice_str(user), slice_str(group))) {
        *gid = pw.pw_gid;
        rc = OK;
    }
    free(mem);
    return rc;
}

static int describe(const char *user, uid_t uid, gid_t gid, struct strb *out)
{
    gid_t groups[GROUPS_MAX];
    int n = GROUPS_MAX;
    if (getgrouplist(user, gid, groups, &n) < 0)
        return ERR_LIMIT;
    strb_printf(out, "%u %u", uid, gid);
    for (int i = 0; i < n; i++)
        strb_printf(out, " %u", groups[i]);
    return out->failed ? ERR_NOMEM : OK;
}

int user_known(struct bundle *b, slice user, slice group)
{
    char name[NAME_TEXT_MAX], u[NAME_TEXT_MAX], g[NAME_TEXT_MAX];
    slice option = option_name(name, user, group);
    if (option.n == 0 || user.n == 0 || group.n == 0)
        return ERR_NOTFOUND;
    if (bundle_option(b, option).n)
        return OK;
    snprintf(u, sizeof(u), "%.*s", SLICE_FMT(user));
    snprintf(g, sizeof(g), "%.*s", SLICE_FMT(group));
    uid_t uid = 0;
    gid_t gid = 0;
    struct strb text;
    strb_init(&text, 0);
    int rc = lookup(u, g, &uid, &gid);
    if (rc == OK)
        rc = describe(u, uid, gid, &text);
    if (rc == OK)
        rc = bundle_option_set(b, option, strb_slice(&text));
    strb_done(&text);
    return rc;
}

int user_choose(struct bundle *b, slice user, slice group)
{
    char name[NAME_TEXT_MAX];
    slice numbers = bundle_option(b, option_name(name, user, group));
    return numbers.n ? bundle_option_set(b, SLICE("run-as"), numbers) : ERR_NOTFOUND;
}

static int parse(slice text, uid_t *uid, gid_t *gid, gid_t *groups, size_t *n)
{
    size_t count = 0;
    while (text.n) {
        slice word = text, rest = SLICE_NONE;
        uint64_t v;
        slice_cut(text, ' ', &word, &rest);
        if (slice_to_u64(word, &v) < 0 || v >= UINT32_MAX || count == GROUPS_MAX + 2)
            return ERR_SYNTAX;
        if (count == 0)
            *uid = (uid_t)v;
        else if (count == 1)
            *gid = (gid_t)v;
        else
            groups[count - 2] = (gid_t)v;
        count++;
        text = rest;
    }
    *n = count > 2 ? count - 2 : 0;
    return count >= 2 ? OK : ERR_SYNTAX;
}

int user_own(const struct bundle *b, int fd)
{
    slice text = bundle_option(b, SLICE("run-as"));
    gid_t gid = 0, groups[GROUPS_MAX];
    uid_t uid = 0;
    size_t n = 0;
    if (text.n == 0)
        return OK;
    int rc = parse(text, &uid, &gid, groups, &n);
    return rc < 0 ? rc : fchown(fd, uid, (gid_t)-1) < 0 ? ERR_SYS : OK;
}

int user_drop(const struct bundle *b)
{
    slice text = bundle_option(b, SLICE("run-as"));
    gid_t gid = 0, groups[GROUPS_MAX];
    uid_t uid = 0;
    size_t n = 0;
    if (text.n == 0)
        return OK;
    int rc = parse(text, &uid, &gid, groups, &n);
    if (rc < 0)
        return rc;
    if (setgroups(n, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return ERR_SYS;
    if (uid != 0 && (setuid(0) == 0 || geteuid() == 0)) {
        errno = EPERM; /* rights that can be had back were never dropped */
        return ERR_SYS;
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? ERR_SYS : OK;
}
