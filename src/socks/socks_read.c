/*
 * Reading, a byte at a time. A message is a row of fields; `at` is the field, `left` what it still wants. The messages
 * are short, so a switch per byte costs nothing that would be seen.
 */
#include "base/err.h"
#include "socks/socks.h"

/* Fields, in whatever message. */
enum field {
    F_VERSION,
    F_METHODS_N,
    F_METHODS,
    F4_COMMAND,
    F4_PORT,
    F4_IP,
    F4_USER,
    F4_NAME,
    F_LOGIN_VERSION,
    F_USER_N,
    F_USER,
    F_PASSWORD_N,
    F_PASSWORD,
    F_COMMAND,
    F_RESERVED,
    F_TYPE,
    F_NAME_N,
    F_NAME,
    F_IP,
    F_PORT,
    F_CODE, /* the last byte of a message that is two bytes */
    F4_ZERO,
    F4_CODE,
};

void socks_read(struct socks_reader *r, enum socks_kind kind)
{
    static const uint8_t first[] = {
        [SOCKS_GREETING] = F_VERSION, [SOCKS_LOGIN] = F_LOGIN_VERSION,        [SOCKS_REQUEST] = F_VERSION,
        [SOCKS_CHOICE] = F_VERSION,   [SOCKS_LOGIN_ANSWER] = F_LOGIN_VERSION, [SOCKS_ANSWER] = F_VERSION,
        [SOCKS4_ANSWER] = F4_ZERO,
    };
    *r = (struct socks_reader){ .kind = (uint8_t)kind, .at = first[kind] };
}

static int go(struct socks_reader *r, enum field at, unsigned left)
{
    r->at = (uint8_t)at;
    r->left = r->of = (uint8_t)left;
    return ERR_MORE;
}

static int version(struct socks_reader *r, uint8_t c)
{
    r->version = c;
    if (c == 4 && r->kind == SOCKS_GREETING)
        return go(r, F4_COMMAND, 1);
    if (c != 5)
        return ERR_SYNTAX;
    if (r->kind == SOCKS_GREETING)
        return go(r, F_METHODS_N, 1);
    return go(r, r->kind == SOCKS_CHOICE ? F_CODE : F_COMMAND, 1);
}

/* The count of a text: what follows it, or (for none) what comes then. */
static int counted(struct socks_reader *r, uint8_t n, enum field text, enum field behind)
{
    return n ? go(r, text, n) : go(r, behind, 1);
}

static void put(struct socks_text *t, uint8_t c)
{
    t->p[t->n++] = (char)c;
}

static int address_type(struct socks_reader *r, uint8_t c)
{
    r->dest.type = c;
    switch (c) {
    case SOCKS_IPV4:
        return go(r, F_IP, 4);
    case SOCKS_IPV6:
        return go(r, F_IP, 16);
    case SOCKS_NAME:
        return go(r, F_NAME_N, 1);
    default:
        return ERR_UNSUPPORTED;
    }
}

static int methods(struct socks_reader *r, uint8_t c)
{
    r->has_none |= c == SOCKS_NO_AUTH;
    r->has_password |= c == SOCKS_PASSWORD;
    return --r->left ? ERR_MORE : OK;
}

/* 4a: an address 0.0.0.x with x not 0 says that a name follows the user. */
static int ip4(struct socks_reader *r, uint8_t c)
{
    const uint8_t *ip = r->dest.ip;
    r->dest.ip[r->of - r->left] = c;
    if (--r->left)
        return ERR_MORE;
    r->dest.type = SOCKS_IPV4;
    if (r->kind == SOCKS4_ANSWER)
        return OK;
    r->is_4a = !ip[0] && !ip[1] && !ip[2] && ip[3];
    return go(r, F4_USER, 1);
}

/* A text that a NUL ends. */
static int text4(struct socks_reader *r, struct socks_text *t, uint8_t c, bool last)
{
    if (c == 0) {
        if (!last)
            return go(r, F4_NAME, 1);
        return t == &r->dest.name && t->n == 0 ? ERR_SYNTAX : OK;
    }
    if (t->n == SOCKS_TEXT_MAX)
        return ERR_LIMIT;
    put(t, c);
    return ERR_MORE;
}

static int port(struct socks_reader *r, uint8_t c)
{
    r->dest.port = (uint16_t)(r->dest.port << 8 | c);
    if (--r->left)
        return ERR_MORE;
    return r->at == F4_PORT ? go(r, F4_IP, 4) : OK;
}

static int login(struct socks_reader *r, uint8_t c)
{
    switch (r->at) {
    case F_LOGIN_VERSION:
        if (c != 1)
            return ERR_SYNTAX;
        return go(r, r->kind == SOCKS_LOGIN ? F_USER_N : F_CODE, 1);
    case F_USER_N:
        return counted(r, c, F_USER, F_PASSWORD_N);
    case F_USER:
        put(&r->user, c);
        return --r->left ? ERR_MORE : go(r, F_PASSWORD_N, 1);
    case F_PASSWORD_N:
        return c ? go(r, F_PASSWORD, c) : OK;
    default:
        put(&r->password, c);
        return --r->left ? ERR_MORE : OK;
    }
}

static int socks4(struct socks_reader *r, uint8_t c)
{
    switch (r->at) {
    case F4_ZERO: /* an answer begins with 0 */
        return c == 0 ? go(r, F4_CODE, 1) : ERR_SYNTAX;
    case F4_COMMAND:
    case F4_CODE:
        r->command = c;
        return go(r, F4_PORT, 2);
    case F4_PORT:
        return port(r, c);
    case F4_IP:
        return ip4(r, c);
    case F4_USER:
        return text4(r, &r->user, c, !r->is_4a);
    default:
        if (c == 0 && r->dest.name.n)
            r->dest.type = SOCKS_NAME;
        return text4(r, &r->dest.name, c, true);
    }
}

static int take(struct socks_reader *r, uint8_t c)
{
    switch (r->at) {
    case F_VERSION:
        return version(r, c);
    case F_METHODS_N:
        return c ? go(r, F_METHODS, c) : OK; /* none offered: nothing will do */
    case F_METHODS:
        return methods(r, c);
    case F_COMMAND:
        r->command = c;
        return go(r, F_RESERVED, 1);
    case F_RESERVED: /* "must be set to X'00'": what does not hold to it is another protocol */
        return c == 0 ? go(r, F_TYPE, 1) : ERR_SYNTAX;
    case F_TYPE:
        return address_type(r, c);
    case F_NAME_N:
        return c ? go(r, F_NAME, c) : ERR_SYNTAX;
    case F_NAME:
        put(&r->dest.name, c);
        return --r->left ? ERR_MORE : go(r, F_PORT, 2);
    case F_IP:
        r->dest.ip[r->of - r->left] = c;
        return --r->left ? ERR_MORE : go(r, F_PORT, 2);
    case F_PORT:
        return port(r, c);
    case F_CODE:
        r->command = c;
        return OK;
    case F_LOGIN_VERSION:
    case F_USER_N:
    case F_USER:
    case F_PASSWORD_N:
    case F_PASSWORD:
        return login(r, c);
    default:
        return socks4(r, c);
    }
}

int socks_feed(struct socks_reader *r, slice bytes, size_t *used)
{
    size_t n = 0;
    int rc = r->failed ? ERR_SYNTAX : r->done ? OK : ERR_MORE;
    while (rc == ERR_MORE && n < bytes.n)
        rc = take(r, (uint8_t)bytes.p[n++]);
    r->done = rc == OK;
    r->failed = rc != OK && rc != ERR_MORE;
    *used = n;
    return rc;
}
