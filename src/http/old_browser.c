#include "http/old_browser.h"

#include <string.h>

static const char *find(slice s, slice what)
{
    return s.n >= what.n ? memmem(s.p, s.n, what.p, what.n) : NULL;
}

/* "MSIE 6.0; ..." behind its name: a version, a dot, and at least one byte more. */
static slice msie_version(slice agent)
{
    static const slice name = { "MSIE ", 5 };
    const char *at = find(agent, name);
    slice version = at ? slice_from(agent, (size_t)(at - agent.p) + name.n) : SLICE_NONE;
    return version.n > 2 ? version : SLICE_NONE;
}

static bool is_opera(slice agent)
{
    return find(agent, SLICE("Opera"));
}

static bool is_msie6(slice agent)
{
    slice version = msie_version(agent);
    if (!version.n || version.p[1] != '.' || is_opera(agent))
        return false;
    switch (version.p[0]) {
    case '4':
    case '5':
        return true;
    case '6':
        return !find(slice_from(version, 3), SLICE("SV1")); /* the second service pack mended it */
    default:
        return false;
    }
}

static bool is_safari(slice agent)
{
    if (msie_version(agent).n || is_opera(agent) || find(agent, SLICE("Gecko/")) || find(agent, SLICE("Chrome/")))
        return false;
    return find(agent, SLICE("Safari/")) && find(agent, SLICE("Mac OS X"));
}

bool old_browser_breaks(const struct request *r, uint32_t browsers)
{
    bool msie6 = (browsers & OLD_MSIE6) && r->method == METHOD_POST, safari = browsers & OLD_SAFARI;
    if (!msie6 && !safari)
        return false;
    const struct field *agent = fields_find(&r->fields, TOK_USER_AGENT);
    if (!agent)
        return false;
    return (msie6 && is_msie6(agent->value)) || (safari && is_safari(agent->value));
}
