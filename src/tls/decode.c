/*
 * Whoever gathers a bundle (start, -t, reload) decodes what it has not decoded before: what server blocks ask for
 * stands in a queue, and when the file has been read several threads empty it. A job is read-only for them except for
 * its results; what they found is reported by the thread that gathers, in the order of the file.
 *
 * A start and a reload have only a short time for it: what is left over is decoded when it is first used. Most servers
 * differ in nothing but their certificates, so a thread keeps a context and puts one pair after the other into it.
 */
#include "tls/decode.h"

#include <openssl/err.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "conf/bundle.h"
#include "tls/pem.h"
#include "tls/worker.h"

enum { BUDGET_MS = 200, SOON_DAYS = 14, THREADS_MAX = 8, JOBS_A_THREAD = 32 };

/* ---- what was looked at before ---- */

/* Digests of configurations that were found good: a reload looks at what has changed. One thread compiles with an open
 * bundle, so there is no lock. */
struct seen {
    char key[TLS_KEY];
};
static struct map good;

bool tls_decoded(const char key[TLS_KEY])
{
    return map_get(&good, slice_of(key, TLS_KEY)) != NULL;
}

void tls_decoded_note(const char key[TLS_KEY])
{
    struct seen *s = malloc(sizeof(*s));
    if (!s)
        return;
    memcpy(s->key, key, TLS_KEY);
    if (map_put(&good, slice_of(s->key, TLS_KEY), s) != OK)
        free(s);
}

/* ---- jobs ---- */

/* What a certificate's dates come to. */
struct dates {
    bool expired, early;
    int days; /* that are left */
};

struct tls_decode_job {
    const struct tls_conf *c;
    struct tls_decode_job *next;
    bool looked;
    int rc;
    const struct tls_file *file; /* whose fault it is; NULL: none of the pairs' */
    const char *what;
    char why[200];
    struct dates *dates; /* of each certificate, in order */
};

int tls_decode_later(struct conf_ctx *cf, const struct tls_conf *c)
{
    struct tls_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &ssl_feature);
    size_t n = 0;
    if (!m)
        return ERR_NOMEM;
    if (tls_decoded(c->key) || (m->ready && map_get(&m->by_key, slice_of(c->key, TLS_KEY))))
        return OK;
    struct tls_decode_job *j = arena_new(cf->arena, struct tls_decode_job);
    for (const struct tls_file *f = c->certs; f; f = f->next)
        n++;
    if (!j || !(j->dates = arena_new_n(cf->arena, struct dates, n)))
        return ERR_NOMEM;
    j->c = c;
    if (!m->jobs_end)
        m->jobs_end = &m->jobs;
    *m->jobs_end = j;
    m->jobs_end = &j->next;
    m->njobs++;
    return OK;
}

/* ---- a thread ---- */

struct pool {
    struct tls_decode_job **jobs;
    uint32_t n, next;
    uint64_t deadline; /* mono ms; 0: none */
};

/* What one thread keeps between jobs. */
struct reader {
    struct pem_reader pem;
    const struct tls_conf *like; /* ctx was made for this one */
    SSL_CTX *ctx;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Do they differ in certificates alone? */
static bool alike(const struct tls_conf *a, const struct tls_conf *b)
{
    return a && a->client_ca == b->client_ca && a->trusted == b->trusted && a->crl == b->crl &&
           a->dhparam == b->dhparam && a->staple_file == b->staple_file && a->ticket_keys == b->ticket_keys &&
           a->commands == b->commands && a->protocols == b->protocols && a->verify == b->verify &&
           a->verify_depth == b->verify_depth && slice_eq(a->ciphers, b->ciphers) && slice_eq(a->curves, b->curves) &&
           a->prefer_server == b->prefer_server && a->tickets == b->tickets && a->stapling == b->stapling &&
           a->cache.mode == b->cache.mode && a->cache.size == b->cache.size && a->session_timeout == b->session_timeout;
}

static void fault(struct tls_decode_job *j, const struct tls_file *f, const char *what)
{
    j->rc = ERR_SYNTAX;
    j->file = f;
    j->what = what;
    tls_error_text(j->why, sizeof(j->why));
}

static void note_dates(struct dates *d, const X509 *x)
{
    int days = 0, seconds = 0;
    d->days = SOON_DAYS;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)))
        return;
    d->expired = days < 0 || seconds < 0;
    d->days = days;
    d->early = ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notBefore(x)) && (days > 0 || seconds > 0);
}

static void decode_pair(struct reader *r, struct tls_decode_job *j, const struct tls_file *cert,
                        const struct tls_file *key, struct dates *d)
{
    STACK_OF(X509) *rest = NULL;
    ERR_clear_error();
    X509 *leaf = pem_chain(cert->text, &rest);
    if (!leaf) {
        fault(j, cert, "cannot load certificate");
        return;
    }
    EVP_PKEY *k = pem_key(&r->pem, key->text, j->c->passwords ? j->c->passwords->text : SLICE_NONE);
    if (!k)
        fault(j, key, "cannot load certificate key");
    else if (X509_check_private_key(leaf, k) != 1)
        fault(j, key, "the certificate's public key does not match: SSL_CTX_use_PrivateKey() failed for");
    else if (r->ctx && alike(r->like, j->c) && SSL_CTX_use_certificate(r->ctx, leaf) != 1)
        fault(j, cert, "cannot use certificate");
    else if (r->ctx && alike(r->like, j->c) && SSL_CTX_use_PrivateKey(r->ctx, k) != 1)
        fault(j, key, "cannot use certificate key");
    else
        note_dates(d, leaf);
    EVP_PKEY_free(k);
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
}

/* Everything else that a context needs: lists, commands, authorities. */
static void decode_rest(struct reader *r, struct tls_decode_job *j)
{
    struct tls_context t = { 0 };
    if (r->ctx && alike(r->like, j->c))
        return;
    j->rc = tls_context_make(j->c, &t);
    memcpy(j->why, t.why, sizeof(j->why));
    if (!t.ctx)
        return;
    SSL_CTX_free(r->ctx);
    r->ctx = t.ctx;
    r->like = j->c;
}

static void decode(struct reader *r, struct tls_decode_job *j)
{
    const struct tls_file *cert = j->c->certs, *key = j->c->keys; /* as many of either, and some */
    for (struct dates *d = j->dates; cert && j->rc == OK; d++) {
        decode_pair(r, j, cert, key, d);
        cert = cert->next;
        key = key->next;
    }
    if (j->rc == OK)
        decode_rest(r, j);
    j->looked = true;
}

static void *work(void *arg)
{
    struct pool *p = arg;
    struct reader r = { .ctx = NULL };
    for (;;) {
        uint32_t i = __atomic_fetch_add(&p->next, 1, __ATOMIC_RELAXED);
        if (i >= p->n || (p->deadline && now_ms() >= p->deadline))
            break;
        decode(&r, p->jobs[i]);
    }
    pem_reader_done(&r.pem);
    SSL_CTX_free(r.ctx);
    ERR_clear_error();
    return NULL;
}

/* ---- all of it ---- */

static uint32_t threads_for(uint32_t jobs)
{
    cpu_set_t set;
    uint32_t n = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
    if (n > THREADS_MAX)
        n = THREADS_MAX;
    return n > jobs / JOBS_A_THREAD ? jobs / JOBS_A_THREAD : n;
}

/* This thread is one of them. Signals are for it alone; a thread that cannot be made is not missed. */
static void run(struct pool *p)
{
    pthread_t threads[THREADS_MAX];
    uint32_t made = 0, want = threads_for(p->n);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (made + 1 < want && pthread_create(&threads[made], NULL, work, p) == 0)
        made++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    work(p);
    for (uint32_t i = 0; i < made; i++)
        pthread_join(threads[i], NULL);
}

static void warn_dates(struct conf_ctx *cf, const struct tls_decode_job *j)
{
    const struct dates *d = j->dates;
    for (const struct tls_file *f = j->c->certs; f; f = f->next, d++) {
        if (d->expired)
            conf_warn(cf, f->node, 0, "the certificate \"%.*s\" has expired", SLICE_FMT(f->path));
        else if (d->days < SOON_DAYS)
            conf_warn(cf, f->node, 0, "the certificate \"%.*s\" expires in %d days", SLICE_FMT(f->path), d->days);
        if (d->early)
            conf_warn(cf, f->node, 0, "the certificate \"%.*s\" does not hold yet", SLICE_FMT(f->path));
    }
}

static int report(struct conf_ctx *cf, const struct tls_decode_job *j)
{
    if (j->rc == ERR_NOMEM || !j->looked)
        return j->rc;
    if (j->rc == ERR_SYNTAX && j->file)
        return conf_error(cf, j->file->node, 0, "%s \"%.*s\": %s", j->what, SLICE_FMT(j->file->path), j->why);
    if (j->rc != OK)
        return conf_error(cf, j->c->certs->node, -1, "%s", j->why);
    warn_dates(cf, j);
    tls_decoded_note(j->c->key);
    return OK;
}

int tls_decode_queue(struct conf_ctx *cf, struct tls_main *m)
{
    int rc = OK;
    struct pool p = { .n = m->njobs };
    if (!m->njobs)
        return OK;
    p.jobs = arena_new_n(cf->arena, struct tls_decode_job *, m->njobs);
    if (!p.jobs)
        return ERR_NOMEM;
    if (!bundle_option(cf->bundle, SLICE("test")).n)
        p.deadline = now_ms() + BUDGET_MS;
    uint32_t n = 0;
    for (struct tls_decode_job *j = m->jobs; j; j = j->next)
        p.jobs[n++] = j;
    run(&p);
    for (struct tls_decode_job *j = m->jobs; j && rc != ERR_NOMEM; j = j->next) {
        int one = report(cf, j);
        rc = one != OK ? one : rc;
    }
    m->jobs = NULL;
    m->njobs = 0;
    m->jobs_end = NULL;
    return rc;
}
