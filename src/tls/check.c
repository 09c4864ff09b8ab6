#include "tls/check.h"

#include <string.h>
#include <sys/stat.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "tls/client.h"
#include "tls/decode.h"
#include "tls/worker.h"

/* ---- warnings ---- */

static bool plain_path(slice path)
{
    return !slice_starts(path, SLICE("data:"));
}

static void warn_mode(struct conf_ctx *cf, const struct tls_file *key)
{
    struct stat st;
    slice path = bundle_conf_path(cf->bundle, key->path);
    if (!plain_path(key->path) || !path.p || stat(path.p, &st) != 0 || !(st.st_mode & S_IROTH))
        return;
    conf_diag_add(cf->diag, CONF_WARN, key->node->pos, SLICE("chmod o-r keeps other users of this machine from it"),
                  "the private key \"%.*s\" can be read by everybody", SLICE_FMT(key->path));
}

static void warn_weak(struct conf_ctx *cf, const struct tls_conf *c)
{
    if (c->protocols & (TLS_V1_0 | TLS_V1_1))
        conf_warn(cf, c->certs->node, -1, "TLSv1 and TLSv1.1 are broken protocols: \"ssl_protocols TLSv1.2 TLSv1.3\"");
    static const char *const weak[] = { "RC4", "3DES", "DES-CBC", "MD5", "NULL", "EXP", "LOW", "MEDIUM" };
    for (size_t i = 0; i < sizeof(weak) / sizeof(*weak); i++) {
        const char *at = strstr(c->ciphers.p, weak[i]);
        if (at && (at == c->ciphers.p || (at[-1] != '!' && at[-1] != '-' && at[-1] != 'a' && at[-1] != 'e'))) {
            conf_warn(cf, c->certs->node, -1, "\"ssl_ciphers\" names weak ciphers (%s)", weak[i]);
            return;
        }
    }
}

int tls_check(struct conf_ctx *cf, const struct tls_conf *c)
{
    if (bundle_closed(cf->bundle))
        return OK;
    warn_weak(cf, c);
    for (const struct tls_file *k = c->keys; k; k = k->next)
        warn_mode(cf, k);
    return tls_decode_later(cf, c);
}

/* Whose line a failure is: the file that it names (cut short there). */
static const struct conf_node *node_of(const struct tls_origin *o, const char *why, const struct conf_node *otherwise)
{
    const struct tls_file *files[] = { o->certs, o->keys, o->trusted, o->crl };
    for (size_t i = 0; i < array_len(files); i++) {
        slice path = files[i] ? slice_upto(files[i]->path, files[i]->path.n < 60 ? files[i]->path.n : 60) : SLICE_NONE;
        if (path.n && memmem(why, strlen(why), path.p, path.n))
            return files[i]->node;
    }
    return otherwise;
}

int tls_check_origin(struct conf_ctx *cf, const struct conf_node *node, const struct tls_origin *o)
{
    struct tls_context t = { 0 };
    bool plain = !o->certs && !o->trusted && !o->crl && !o->commands && slice_eq(o->ciphers, SLICE("DEFAULT"));
    if (plain || bundle_closed(cf->bundle) || tls_decoded(o->key))
        return OK;
    int rc = tls_origin_make(o, &t);
    SSL_CTX_free(t.ctx);
    if (rc == OK)
        tls_decoded_note(o->key);
    return rc == ERR_SYNTAX ? conf_error(cf, node_of(o, t.why, node), -1, "%s", t.why) : rc;
}
