#include "app/version.h"

#include "app/app.h"
#include "base/attr.h"

/* A module of nginx, and a directive that is there if and only if we do its work. */
struct module {
    const char *name, *directive;
    unsigned context; /* where the directive must be allowed; 0: anywhere */
};

/* Not part of a plain nginx: named by --with when they are there. */
static const struct module optional[] = {
    { "http_ssl", "ssl_certificate", CONF_SERVER },
    { "http_v2", "http2", CONF_SERVER },
    { "http_v3", "http3", CONF_SERVER },
    { "http_realip", "set_real_ip_from", CONF_LOCATION },
    { "http_auth_request", "auth_request", 0 },
    { "http_sub", "sub_filter", 0 },
    { "http_gunzip", "gunzip", 0 },
    { "http_gzip_static", "gzip_static", 0 },
    { "http_slice", "slice", 0 },
    { "http_stub_status", "stub_status", 0 },
    { "http_addition", "add_after_body", 0 },
    { "http_secure_link", "secure_link", 0 },
};

/* Part of a plain nginx: named by --without when they are not there. */
static const struct module standard[] = {
    { "http_charset", "charset", 0 },
    { "http_gzip", "gzip", 0 },
    { "http_ssi", "ssi", 0 },
    { "http_userid", "userid", 0 },
    { "http_access", "allow", CONF_LOCATION },
    { "http_auth_basic", "auth_basic", 0 },
    { "http_mirror", "mirror", 0 },
    { "http_autoindex", "autoindex", 0 },
    { "http_geo", "geo", CONF_HTTP },
    { "http_map", "map", CONF_HTTP },
    { "http_split_clients", "split_clients", CONF_HTTP },
    { "http_referer", "valid_referers", 0 },
    { "http_rewrite", "return", CONF_LOCATION },
    { "http_proxy", "proxy_pass", CONF_LOCATION },
    { "http_fastcgi", "fastcgi_pass", 0 },
    { "http_uwsgi", "uwsgi_pass", 0 },
    { "http_scgi", "scgi_pass", 0 },
    { "http_grpc", "grpc_pass", 0 },
    { "http_memcached", "memcached_pass", 0 },
    { "http_limit_conn", "limit_conn", CONF_LOCATION },
    { "http_limit_req", "limit_req", CONF_LOCATION },
    { "http_empty_gif", "empty_gif", 0 },
    { "http_browser", "modern_browser", 0 },
    { "http_tunnel", "tunnel_pass", 0 },
    { "http_upstream_hash", "hash", CONF_UPSTREAM },
    { "http_upstream_ip_hash", "ip_hash", CONF_UPSTREAM },
    { "http_upstream_least_conn", "least_conn", CONF_UPSTREAM },
    { "http_upstream_random", "random", CONF_UPSTREAM },
    { "http_upstream_keepalive", "keepalive", CONF_UPSTREAM },
    { "http_upstream_zone", "zone", CONF_UPSTREAM },
    { "http_upstream_sticky", "sticky", CONF_UPSTREAM },
    { "http_upstream_least_time", "least_time", CONF_UPSTREAM },
};

/* All of them are missing as long as there is no stream block; who adds it adds their directives here. */
static const struct module stream[] = {
    { "stream_limit_conn", NULL, 0 },
    { "stream_access", NULL, 0 },
    { "stream_geo", NULL, 0 },
    { "stream_map", NULL, 0 },
    { "stream_split_clients", NULL, 0 },
    { "stream_return", NULL, 0 },
    { "stream_pass", NULL, 0 },
    { "stream_set", NULL, 0 },
    { "stream_upstream_hash", NULL, 0 },
    { "stream_upstream_least_conn", NULL, 0 },
    { "stream_upstream_random", NULL, 0 },
    { "stream_upstream_zone", NULL, 0 },
};

static bool has(const struct schema *s, const struct module *m)
{
    for (size_t f = 0; m->directive && f < s->nfeatures; f++) {
        for (size_t i = 0; i < s->features[f]->ndirectives; i++) {
            const struct directive *d = &s->features[f]->directives[i];
            if (slice_eq(slice_str(d->name), slice_str(m->directive)) &&
                (m->context == 0 || (d->contexts & m->context)))
                return true;
        }
    }
    return false;
}

static void list(struct strb *out, const struct schema *s, const struct module *m, size_t n, bool with)
{
    for (size_t i = 0; i < n; i++) {
        if (has(s, &m[i]) == with)
            strb_printf(out, " --with%s-%s_module", with ? "" : "out", m[i].name);
    }
}

void version_short(struct strb *out)
{
    strb_lit(out, "hinge version: hinge/" HINGE_VERSION "\n");
}

void version_long(struct strb *out, const struct schema *s)
{
    version_short(out);
    strb_lit(out, "nginx version: nginx/" HINGE_NGINX "\n");
#ifdef __clang__
    strb_lit(out, "built by clang " __clang_version__ "\n");
#else
    strb_lit(out, "built by gcc " __VERSION__ "\n");
#endif
    strb_lit(out,
             "configure arguments: --prefix=/etc/hinge --conf-path=" HINGE_CONF_PATH " --pid-path=" HINGE_PID_PATH
             " --error-log-path=" HINGE_ERROR_LOG " --user=" HINGE_USER " --with-threads --with-pcre --with-pcre-jit");
    list(out, s, optional, array_len(optional), true);
    list(out, s, standard, array_len(standard), false);
    list(out, s, stream, array_len(stream), false);
    strb_char(out, '\n');
}

void version_help(struct strb *out)
{
    version_short(out);
    strb_lit(out,
             "Usage: hinge [-?hvVtTq] [-s signal] [-p prefix] [-e filename] [-c filename] [-g directives]\n"
             "             [--strict] [--lenient] [--squid filename] [--demo [port]] [--docs]\n"
             "       hinge explain [--from address] [-H 'Name: value'] [METHOD] URL (more: hinge explain --help)\n\n"
             "Options:\n"
             "  -?,-h         : this help\n"
             "  -v            : show version and exit\n"
             "  -V            : show version and what is built in, then exit\n"
             "  -t            : test configuration and exit\n"
             "  -T            : test configuration, dump it and exit\n"
             "  -q            : suppress non-error messages during configuration testing\n"
             "  -s signal     : send signal to a master process: stop, quit, reopen, reload\n"
             "  -p prefix     : set prefix path (default: " HINGE_PREFIX ")\n"
             "  -e filename   : set error log file (default: " HINGE_ERROR_LOG "; stderr: the terminal)\n"
             "  -c filename   : set configuration file (default: " HINGE_CONF_PATH ")\n"
             "  -g directives : set global directives out of configuration file\n"
             "  --strict      : with -t and at start: warnings are errors\n"
             "  --lenient     : repair a file whose lines stand outside of the blocks they need, and tell each repair\n"
             "  --squid file  : be the forward proxy that this squid.conf describes; also with -t, -T, -s, explain\n"
             "  --demo [port] : a reverse proxy on that port (8080) over three small backends, and a forward proxy "
             "(3128), in\n"
             "                  the foreground\n"
             "  --docs        : print the manual of all directives, as Markdown\n");
}
