/*
 * weight, max_conns, max_fails, fail_timeout, backup, down (nginx manual, ngx_http_upstream_module).
 */
#include "proxy/server_line.h"

#include <limits.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/units.h"

static int number(slice value, uint64_t min, uint32_t *out)
{
    uint64_t v;
    if (slice_to_u64(value, &v) != OK || v < min || v > INT_MAX)
        return ERR_SYNTAX;
    *out = (uint32_t)v;
    return OK;
}

static int seconds(slice value, uint64_t *ms)
{
    uint64_t sec;
    if (conf_sec(value, &sec) != OK || sec > INT_MAX)
        return ERR_SYNTAX;
    *ms = sec * 1000;
    return OK;
}

static int flag(bool *out)
{
    *out = true;
    return OK;
}

int server_line_parameter(slice arg, struct peer *p)
{
    const struct {
        slice name;
        uint32_t *out;
        uint64_t min;
    } numbers[] = {
        { SLICE("weight="), &p->weight, 1 },
        { SLICE("max_conns="), &p->max_conns, 0 },
        { SLICE("max_fails="), &p->max_fails, 0 },
    };
    const slice timeout = SLICE("fail_timeout=");
    if (slice_eq(arg, SLICE("backup")))
        return flag(&p->backup);
    if (slice_eq(arg, SLICE("down")))
        return flag(&p->down);
    if (slice_starts(arg, timeout))
        return seconds(slice_from(arg, timeout.n), &p->fail_timeout);
    for (size_t i = 0; i < array_len(numbers); i++) {
        if (slice_starts(arg, numbers[i].name))
            return number(slice_from(arg, numbers[i].name.n), numbers[i].min, numbers[i].out);
    }
    return ERR_SYNTAX;
}
