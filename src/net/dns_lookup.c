#include "net/dns_lookup.h"

#include <ares.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"

enum { SERVERS_MAX = 16, READS_MAX = 64 };

struct question {
    struct dns_lookup *of;
    enum dns_type type;
    struct dns_answer *answer;
};

struct dns_lookup {
    struct loop *loop;
    ares_channel channel;
    struct timer timer;
    struct task finish;
    struct list sockets;
    struct reap reap;
    unsigned pending; /* questions without an outcome */
    struct question questions[2];
    struct dns_found found;
    char name[DNS_NAME_MAX + 1];
    size_t name_len;
    dns_found_fn fn;
    void *ctx;
};

/* A descriptor of c-ares, as the loop knows it. c-ares opens and closes it. */
struct dns_socket {
    struct io io;
    struct list link;
    struct dns_lookup *of;
    struct reap reap;
};

/* ---- sockets and time ---- */

static void arm(struct dns_lookup *k)
{
    struct timeval tv;
    if (!k->channel || !ares_timeout(k->channel, NULL, &tv))
        timer_clear(&k->timer);
    else
        timer_set(k->loop, &k->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
}

static void on_time(struct timer *t)
{
    struct dns_lookup *k = container_of(t, struct dns_lookup, timer);
    ares_process_fd(k->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm(k);
}

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, 0) == 1;
}

/* The loop reports edges and c-ares takes one read at a time: it is called until nothing is left. */
static void on_io(struct io *io, unsigned events)
{
    struct dns_socket *s = container_of(io, struct dns_socket, io);
    struct dns_lookup *k = s->of;
    if (io->fd < 0)
        return;
    if (events & IO_OUT)
        ares_process_fd(k->channel, ARES_SOCKET_BAD, io->fd);
    for (unsigned i = 0; i < READS_MAX && io->fd >= 0 && readable(io->fd); i++)
        ares_process_fd(k->channel, io->fd, ARES_SOCKET_BAD);
    arm(k);
}

static void free_socket(struct reap *r)
{
    free(container_of(r, struct dns_socket, reap));
}

static void on_socket(void *data, ares_socket_t fd, int in, int out)
{
    struct dns_lookup *k = data;
    struct dns_socket *s = NULL;
    for (struct list *at = k->sockets.next; at != &k->sockets && !s; at = at->next) {
        s = list_entry(at, struct dns_socket, link);
        if (s->io.fd != fd)
            s = NULL;
    }
    if (!in && !out) {
        if (!s)
            return;
        io_unwatch(k->loop, &s->io);
        s->io.fd = -1;
        list_del(&s->link);
        loop_reap(k->loop, &s->reap, free_socket);
        return;
    }
    if (s || !(s = calloc(1, sizeof(*s)))) /* without memory the question will run out of time */
        return;
    s->of = k;
    io_init(&s->io, fd, on_io);
    list_add(&k->sockets, &s->link);
    io_watch(k->loop, &s->io);
}

/* ---- outcomes ---- */

static unsigned status_of(int code)
{
    switch (code) {
    case ARES_ETIMEOUT:
        return DNS_TIMEDOUT;
    case ARES_ENOTIMP:
        return DNS_NOTIMP;
    case ARES_EREFUSED:
        return DNS_REFUSED;
    case ARES_EFORMERR:
        return DNS_FORMERR;
    default:
        return DNS_SERVFAIL;
    }
}

static void on_answer(void *arg, int code, int timeouts, unsigned char *buf, int len)
{
    struct question *q = arg;
    struct dns_lookup *k = q->of;
    if (code == ARES_EDESTRUCTION || code == ARES_ECANCELLED)
        return;
    slice name = slice_of(k->name, k->name_len);
    q->answer->status = status_of(code);
    if (code == ARES_SUCCESS &&
        (len < 0 || dns_answer_parse(slice_of((const char *)buf, (size_t)len), name, q->type, q->answer) != OK))
        q->answer->status = DNS_FORMERR;
    k->found.silent |= timeouts > 0 || (code != ARES_SUCCESS);
    assert(k->pending);
    if (--k->pending == 0)
        task_post(k->loop, &k->finish);
}

static void free_lookup(struct reap *r)
{
    free(container_of(r, struct dns_lookup, reap));
}

static void end(struct dns_lookup *k)
{
    task_cancel(k->loop, &k->finish);
    timer_drop(k->loop, &k->timer);
    if (k->channel)
        ares_destroy(k->channel);
    k->channel = NULL;
    loop_reap(k->loop, &k->reap, free_lookup);
}

static void on_finish(struct task *t)
{
    struct dns_lookup *k = container_of(t, struct dns_lookup, finish);
    if (k->pending) /* the first question failed before the second was asked */
        return;
    end(k); /* freed at the end of the turn */
    k->fn(k->ctx, &k->found);
}

void dns_lookup_cancel(struct dns_lookup *k)
{
    end(k);
}

/* ---- asking ---- */

static void library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

static int set_servers(struct dns_lookup *k, const struct dns_servers *s, uint32_t first)
{
    struct ares_addr_port_node nodes[SERVERS_MAX];
    uint32_t n = s->n < SERVERS_MAX ? s->n : SERVERS_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const struct addr *a = &s->v[(first + i) % n];
        struct ares_addr_port_node *node = &nodes[i];
        *node = (struct ares_addr_port_node){ .next = i + 1 < n ? node + 1 : NULL, .family = a->sa.sa_family };
        node->udp_port = node->tcp_port = addr_port(a);
        if (a->sa.sa_family == AF_INET)
            memcpy(&node->addr.addr4, &a->in.sin_addr, 4);
        else
            memcpy(&node->addr.addr6, &a->in6.sin6_addr, 16);
    }
    return ares_set_servers_ports(k->channel, nodes) == ARES_SUCCESS ? OK : ERR_NOMEM;
}

static int open_channel(struct dns_lookup *k, const struct dns_servers *s, uint32_t first)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static char lookups[] = "b";
    struct in_addr unused = { 0 };
    struct ares_options o = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = (int)(s->try_ms < 60000 ? s->try_ms : 60000),
        .tries = (int)s->tries,
        .ndots = 1,
        .servers = &unused, /* replaced below; given, so that nothing is read from files */
        .nservers = 1,
        .lookups = lookups,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = k,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_SERVERS |
               ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_SORTLIST | ARES_OPT_NOROTATE;
    pthread_once(&once, library_init);
    if (ares_init_options(&k->channel, &o, mask) != ARES_SUCCESS) {
        k->channel = NULL;
        return ERR_NOMEM;
    }
    return set_servers(k, s, first);
}

static int ask(struct dns_lookup *k, enum dns_type type, struct dns_answer *answer)
{
    unsigned char *buf;
    uint16_t id;
    int len;
    struct question *q = &k->questions[k->pending];
    *q = (struct question){ k, type, answer };
    rand_bytes(&id, sizeof(id));
    k->name[k->name_len] = '\0';
    if (ares_create_query(k->name, 1, type, id, 1, &buf, &len, 0) != ARES_SUCCESS)
        return ERR_NOMEM;
    k->pending++;
    ares_send(k->channel, buf, len, on_answer, q);
    ares_free_string(buf);
    return OK;
}

struct dns_lookup *dns_lookup_start(struct loop *l, const struct dns_servers *s, uint32_t first, slice name, bool a,
                                    bool aaaa, dns_found_fn fn, void *ctx)
{
    assert(s->n && name.n && name.n <= DNS_NAME_MAX && (a || aaaa));
    struct dns_lookup *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->loop = l;
    k->fn = fn;
    k->ctx = ctx;
    k->name_len = name.n;
    memcpy(k->name, name.p, name.n);
    list_init(&k->sockets);
    timer_init(&k->timer, on_time);
    task_init(&k->finish, on_finish);
    int rc = open_channel(k, s, first);
    if (rc == OK && (k->found.asked_a = a))
        rc = ask(k, DNS_A, &k->found.a);
    if (rc == OK && (k->found.asked_aaaa = aaaa))
        rc = ask(k, DNS_AAAA, &k->found.aaaa);
    if (rc != OK) {
        end(k);
        return NULL;
    }
    arm(k);
    return k;
}
