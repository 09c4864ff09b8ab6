/*
 * Writing: every message is made whole, in memory of the caller that holds any of them.
 */
#include "base/err.h"
#include "socks/socks.h"

struct out {
    uint8_t *p;
    size_t n;
    bool failed;
};

static void byte(struct out *o, unsigned v)
{
    o->p[o->n++] = (uint8_t)v;
}

static void bytes(struct out *o, const void *p, size_t n)
{
    memcpy(o->p + o->n, p, n);
    o->n += n;
}

static void counted(struct out *o, slice s)
{
    if (s.n == 0 || s.n > SOCKS_TEXT_MAX) {
        o->failed = true;
        return;
    }
    byte(o, (unsigned)s.n);
    bytes(o, s.p, s.n);
}

static void port(struct out *o, uint16_t v)
{
    byte(o, v >> 8);
    byte(o, v & 255);
}

static void dest(struct out *o, const struct socks_dest *d)
{
    static const struct socks_dest none = { .type = SOCKS_IPV4 };
    if (!d)
        d = &none;
    byte(o, d->type);
    if (d->type == SOCKS_NAME)
        counted(o, socks_text(&d->name));
    else
        bytes(o, d->ip, d->type == SOCKS_IPV6 ? 16 : 4);
    port(o, d->port);
}

static size_t result(const struct out *o)
{
    return o->failed ? 0 : o->n;
}

size_t socks_write_choice(uint8_t *p, enum socks_method m)
{
    struct out o = { p, 0, false };
    byte(&o, 5);
    byte(&o, m);
    return result(&o);
}

size_t socks_write_login_answer(uint8_t *p, bool good)
{
    struct out o = { p, 0, false };
    byte(&o, 1);
    byte(&o, !good);
    return result(&o);
}

static size_t message5(uint8_t *p, unsigned code, const struct socks_dest *d)
{
    struct out o = { p, 0, false };
    byte(&o, 5);
    byte(&o, code);
    byte(&o, 0);
    dest(&o, d);
    return result(&o);
}

size_t socks_write_answer(uint8_t *p, enum socks_reply code, const struct socks_dest *bound)
{
    return message5(p, code, bound);
}

size_t socks_write_request(uint8_t *p, enum socks_command command, const struct socks_dest *d)
{
    return message5(p, command, d);
}

size_t socks4_write_answer(uint8_t *p, enum socks4_reply code, const struct socks_dest *bound)
{
    static const uint8_t none[4];
    struct out o = { p, 0, false };
    bool has = bound && bound->type == SOCKS_IPV4;
    byte(&o, 0);
    byte(&o, code);
    port(&o, has ? bound->port : 0);
    bytes(&o, has ? bound->ip : none, 4);
    return result(&o);
}

size_t socks_write_greeting(uint8_t *p, bool password)
{
    struct out o = { p, 0, false };
    byte(&o, 5);
    byte(&o, password ? 2 : 1);
    byte(&o, SOCKS_NO_AUTH);
    if (password)
        byte(&o, SOCKS_PASSWORD);
    return result(&o);
}

size_t socks_write_login(uint8_t *p, slice user, slice password)
{
    struct out o = { p, 0, false };
    byte(&o, 1);
    counted(&o, user);
    if (!o.failed)
        counted(&o, password);
    return result(&o);
}

size_t socks4_write_request(uint8_t *p, enum socks_command command, const struct socks_dest *d, slice user)
{
    static const uint8_t named[4] = { 0, 0, 0, 1 };
    struct out o = { p, 0, false };
    slice name = socks_text(&d->name);
    bool is_name = d->type == SOCKS_NAME;
    if (d->type == SOCKS_IPV6 || user.n > SOCKS_TEXT_MAX || slice_find(user, '\0') >= 0)
        return 0;
    if (is_name && (name.n == 0 || slice_find(name, '\0') >= 0))
        return 0;
    byte(&o, 4);
    byte(&o, command);
    port(&o, d->port);
    bytes(&o, is_name ? named : d->ip, 4);
    if (user.n)
        bytes(&o, user.p, user.n);
    byte(&o, 0);
    if (is_name) {
        bytes(&o, name.p, name.n);
        byte(&o, 0);
    }
    return result(&o);
}

enum socks4_reply socks4_reply_of(enum socks_reply code)
{
    return code == SOCKS_DONE ? SOCKS4_GRANTED : SOCKS4_REJECTED;
}
