#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tls/pem.h"
#include "tls/ticket.h"

/* nginx's layout of both kinds of files. */
static void files(void **state)
{
    char text[80];
    struct ticket_key k;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    assert_true(ticket_key_read(slice_of(text, 48), &k));
    assert_int_equal(k.aes_n, 16);
    assert_memory_equal(k.name, text, 16);
    assert_memory_equal(k.aes, text + 16, 16);
    assert_memory_equal(k.hmac, text + 32, 16);
    assert_true(ticket_key_read(slice_of(text, 80), &k));
    assert_int_equal(k.aes_n, 32);
    assert_memory_equal(k.hmac, text + 16, 32);
    assert_memory_equal(k.aes, text + 48, 32);
    for (size_t n = 0; n < 80; n++) {
        if (n != 48)
            assert_false(ticket_key_read(slice_of(text, n), &k));
    }
}

/* One secret and one epoch are one key, on every worker and after every reload; another epoch is another key. */
static void derived(void **state)
{
    unsigned char secret[TICKET_SECRET] = { 1, 2, 3 };
    struct ticket_key a, b, c;
    ticket_key_derive(secret, 7, &a);
    ticket_key_derive(secret, 7, &b);
    ticket_key_derive(secret, 8, &c);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_memory_not_equal(a.name, c.name, TICKET_NAME);
    assert_memory_not_equal(a.aes, c.aes, 32);
    assert_memory_not_equal(a.hmac, c.hmac, 32);
    secret[31] = 1;
    ticket_key_derive(secret, 7, &b);
    assert_memory_not_equal(a.aes, b.aes, 32);
}

static void frames(void **state)
{
    assert_true(
        pem_framed(SLICE("x\n-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"), SLICE("CERTIFICATE")));
    assert_true(
        pem_framed(SLICE("-----BEGIN EC PRIVATE KEY-----\nAA\n-----END EC PRIVATE KEY-----"), SLICE("PRIVATE KEY")));
    assert_false(
        pem_framed(SLICE("-----BEGIN EC PRIVATE KEY-----\nAA\n-----END EC PRIVATE KEY-----"), SLICE("CERTIFICATE")));
    assert_false(pem_framed(SLICE("-----BEGIN CERTIFICATE-----\nAA\n"), SLICE("CERTIFICATE")));
    assert_false(pem_framed(SLICE("-----BEGIN "), SLICE("CERTIFICATE")));
    assert_false(pem_framed(SLICE_NONE, SLICE("CERTIFICATE")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(derived),
        cmocka_unit_test(frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
