/*
 * The inside of a geo, from anybody: read, and asked for the addresses in it and their neighbours.
 */
#include "block_world.h"

#include "net/cidr.h"

static bool holds(const struct cidr *net, const struct cidr *address)
{
    for (unsigned i = 0; i < net->bits; i++) {
        if ((net->ip[i / 8] ^ address->ip[i / 8]) & 0x80 >> i % 8)
            return false;
    }
    return net->v6 == address->v6;
}

/* The line of the longest network, of equal ones the last, unless it was deleted behind that. */
static const struct conf_node *by_network(const struct conf_node *block, const struct cidr *address)
{
    const struct conf_node *best = NULL;
    for (int bits = address->bits; bits >= 0 && !best; bits--) {
        for (const struct conf_node *l = block->children; l; l = l->next) {
            struct cidr net = { .v6 = address->v6 };
            bool loose, deletes = slice_eq(l->name, SLICE("delete"));
            if (l->nargs == 0 || slice_eq(l->name, SLICE("proxy")))
                continue;
            if (!slice_eq(l->name, SLICE("default")))
                CHECK(cidr_parse(deletes ? l->args[0].text : l->name, &net, &loose) == OK);
            if (net.bits == bits && holds(&net, address))
                best = deletes ? NULL : l;
        }
    }
    return best;
}

static uint32_t number_of(slice text)
{
    struct addr a;
    CHECK(addr_parse_ip(text, 0, &a) == OK);
    return ntohl(a.in.sin_addr.s_addr);
}

/* Of what was accepted, the last line that holds the address: what comes later is cut out of what was there. */
static const struct conf_node *by_range(const struct conf_node *block, uint32_t address, bool *unsure)
{
    const struct conf_node *best = NULL, *fallback = NULL;
    for (const struct conf_node *l = block->children; l; l = l->next) {
        slice first, last;
        if (l->nargs == 0 || slice_eq(l->name, SLICE("proxy")))
            continue;
        *unsure = *unsure || slice_eq(l->name, SLICE("delete"));
        if (slice_eq(l->name, SLICE("default")))
            fallback = l;
        else if (slice_cut(l->name, '-', &first, &last) && number_of(first) <= address && address <= number_of(last))
            best = l;
    }
    return best ? best : fallback;
}

static void ask(struct world *w, const struct cidr *address)
{
    const struct conf_node *block = w->conf->block, *line = NULL;
    struct addr a = { .len = sizeof(a.in) };
    char text[ADDR_TEXT_MAX];
    bool ranges = false, unsure = false;
    a.sa.sa_family = address->v6 ? AF_INET6 : AF_INET;
    memcpy(address->v6 ? (void *)&a.in6.sin6_addr : (void *)&a.in.sin_addr, address->ip, address->v6 ? 16 : 4);
    a.len = address->v6 ? sizeof(a.in6) : sizeof(a.in);
    for (const struct conf_node *l = block->children; l; l = l->next)
        ranges = ranges || (l->nargs == 0 && slice_eq(l->name, SLICE("ranges")));
    slice got = world_read(w, slice_of(text, addr_text_ip(text, &a)));
    if (address->v6 && IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr))
        return; /* asked as IPv4, too */
    if (ranges)
        line = by_range(block, address->v6 ? UINT32_MAX : ntohl(a.in.sin_addr.s_addr), &unsure);
    else
        line = by_network(block, address);
    CHECK(unsure || slice_eq(got, line ? line->args[0].text : SLICE("")));
}

/* A network's first and last address, and those beside them. */
static void ask_around(struct world *w, slice text)
{
    struct cidr net, c;
    bool loose;
    if (cidr_parse(text, &net, &loose) != OK)
        return;
    c = net;
    c.bits = net.v6 ? 128 : 32;
    ask(w, &c);
    for (unsigned i = net.bits; i < c.bits; i++)
        c.ip[i / 8] = (uint8_t)(c.ip[i / 8] | 0x80 >> i % 8);
    ask(w, &c);
    for (unsigned i = c.bits / 8; i-- > 0 && ++c.ip[i] == 0;)
        ;
    ask(w, &c);
    memcpy(c.ip, net.ip, sizeof(c.ip));
    for (unsigned i = c.bits / 8; i-- > 0 && c.ip[i]-- == 0;)
        ;
    ask(w, &c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    slice input = slice_of((const char *)data, size), rest = input, word;
    if (size > 4096)
        return 0;
    world_open(&w, "geo $key $v", input);
    if (w.gen) {
        slice first, last;
        world_read(&w, SLICE("no address"));
        for (unsigned n = 0; n < 40 && next_word(&rest, &word); n++) {
            ask_around(&w, word);
            if (slice_cut(word, '-', &first, &last)) {
                ask_around(&w, first);
                ask_around(&w, last);
            }
        }
    }
    world_close(&w);
    return 0;
}
