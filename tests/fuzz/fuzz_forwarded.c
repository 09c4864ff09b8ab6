/*
 * Forwarding lists. Addresses are split by a second reader that goes from left to right. Of Forwarded, a field that
 * such a reader finds well-formed must have the same elements; and whatever stands on the left, an element that is
 * appended is the last one.
 */
#include "h1/test_feed.h"
#include "http/forwarded.h"

enum { MOST = 4096 };

static slice found[MOST];

static void check_addresses(slice in)
{
    size_t n = 0, at = 0;
    slice list = in, element;
    struct addr_ip ip;
    while (at < in.n) {
        size_t start = at;
        while (at < in.n && in.p[at] != ',' && in.p[at] != ' ')
            at++;
        if (at > start)
            found[n++] = slice_of(in.p + start, at - start);
        at++;
    }
    while (forwarded_last_address(&list, &element)) {
        TEST_CHECK(n > 0);
        n--;
        TEST_CHECK(found[n].p == element.p && found[n].n == element.n);
        forwarded_address(element, &ip);
    }
    TEST_CHECK(n == 0);
}

/* Splits at commas outside of quoted strings; false when a quote is left open or a '"' stands where none may. */
static bool split_forward(slice in, size_t *n)
{
    size_t start = 0;
    *n = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] == ',') {
            found[(*n)++] = slice_of(in.p + start, i - start);
            start = i + 1;
        } else if (in.p[i] == '"') {
            if (i == 0 || in.p[i - 1] != '=')
                return false;
            for (i++; i < in.n && in.p[i] != '"'; i++)
                i += in.p[i] == '\\';
            if (i >= in.n)
                return false;
        }
    }
    found[(*n)++] = slice_from(in, start);
    return true;
}

static void check_elements(slice in)
{
    size_t n;
    slice list = in, element;
    struct forwarded f;
    bool good = split_forward(in, &n);
    for (size_t i = 0; i < n && good; i++)
        good = forwarded_parse(found[i], &f) == OK;
    size_t total = 0, count = 0;
    while (forwarded_last_element(&list, &element)) {
        TEST_CHECK(element.p + element.n <= in.p + in.n && element.p >= in.p);
        total += element.n;
        count++;
        if (good && count <= n)
            TEST_CHECK(element.p == found[n - count].p && element.n == found[n - count].n);
    }
    TEST_CHECK(total + count >= in.n && (in.n == 0 || count > 0));
    if (good && in.n)
        TEST_CHECK(count == n);
}

/* An element of a proxy that writes what it should, behind anything at all. */
static void check_append(slice in)
{
    static const slice own = SLICE(", for=\"[2001:db8::7]:8\";proto=http");
    static char line[MOST + 64];
    slice element;
    struct forwarded f;
    struct addr_ip ip;
    memcpy(line, in.p, in.n);
    memcpy(line + in.n, own.p, own.n);
    slice list = slice_of(line, in.n + own.n);
    TEST_CHECK(forwarded_last_element(&list, &element) && forwarded_parse(element, &f) == OK);
    TEST_CHECK(slice_eq(f.proto, SLICE("http")) && forwarded_node(f.for_, &ip) == OK && ip.sa.sa_family == AF_INET6);
    TEST_CHECK(list.n == in.n);
}

static void check_walk(slice in, enum forwarded_form form)
{
    static const struct cidr all[] = { { .v6 = 0, .bits = 0 }, { .v6 = 1, .bits = 0 } };
    const struct cidr_set set = { .v = all, .n = 2 };
    struct forwarded_walk w = { .trusted = &set, .recursive = true };
    w.addr.in.sin_family = AF_INET;
    forwarded_walk(&w, form, in);
    TEST_CHECK(w.addr.sa.sa_family == AF_INET || w.addr.sa.sa_family == AF_INET6);
    TEST_CHECK(w.found || w.over);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= MOST)
        return 0;
    slice in = slice_of((const char *)data, size);
    check_addresses(in);
    check_elements(in);
    check_append(in);
    check_walk(in, FORWARDED_ADDRESSES);
    check_walk(in, FORWARDED_ELEMENTS);
    forwarded_is_field(&(struct field){ .name = in });
    return 0;
}
