#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/attr.h"

static const char *hex(const unsigned char *p, size_t n)
{
    static char text[2 * SHA1_BYTES + 1];
    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", p[i]);
    return text;
}

/* The vectors of RFC 1321 A.5 and RFC 3174 §7.3, and lengths around a block's end. */
static const struct {
    const char *text, *md5, *sha1;
} vectors[] = {
    { "", "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
    { "abc", "900150983cd24fb0d6963f7d28e17f72", "a9993e364706816aba3e25717850c26c9cd0d89d" },
    { "message digest", "f96b697d7cb7938d525a2f31aaf161d0", "c12252ceda8be8994d5fa0290a47231c1d16aae3" },
    { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "8215ef0796a20bcaaae116d3876c664a",
      "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
    { "1234567890123456789012345678901234567890123456789012345678901234567890123456789"
      "0",
      "57edf4a22be3c955ac49da2e2107b67a", "50abf5706a150990a08b2c5ea40fa0e585554732" },
    { "0123456789012345678901234567890123456789012345678901234567890123", "7f7bfd348709deeaace19e3f535f8c54",
      "cf0800f7644ace3cb4c3fa33388d3ba0ea3c8b6e" },
};

static void known_texts(void **state)
{
    for (size_t i = 0; i < array_len(vectors); i++) {
        slice text = slice_str(vectors[i].text);
        for (size_t cut = 0; cut <= text.n; cut++) {
            unsigned char out[SHA1_BYTES];
            struct digest d;
            md5_init(&d);
            digest_add(&d, slice_upto(text, cut));
            digest_add(&d, slice_from(text, cut));
            digest_done(&d, out);
            assert_string_equal(hex(out, MD5_BYTES), vectors[i].md5);
            sha1_init(&d);
            digest_add(&d, slice_upto(text, cut));
            digest_add(&d, slice_from(text, cut));
            digest_done(&d, out);
            assert_string_equal(hex(out, SHA1_BYTES), vectors[i].sha1);
        }
    }
}

static void a_million_bytes(void **state)
{
    char a[1000];
    unsigned char out[SHA1_BYTES];
    struct digest d, e;
    memset(a, 'a', sizeof(a));
    md5_init(&d);
    sha1_init(&e);
    for (int i = 0; i < 1000; i++) {
        digest_add(&d, slice_of(a, sizeof(a)));
        digest_add(&e, slice_of(a, sizeof(a)));
    }
    digest_done(&d, out);
    assert_string_equal(hex(out, MD5_BYTES), "7707d6ae4e027c70eea2a935c2296f21");
    digest_done(&e, out);
    assert_string_equal(hex(out, SHA1_BYTES), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

/* RFC 2202 §3, cases 1 and 2 */
static void keyed(void **state)
{
    char key[20];
    unsigned char out[SHA1_BYTES];
    struct digest d;
    memset(key, 0x0b, sizeof(key));
    hmac_sha1_init(&d, slice_of(key, sizeof(key)));
    digest_add(&d, SLICE("Hi There"));
    hmac_sha1_done(&d, slice_of(key, sizeof(key)), out);
    assert_string_equal(hex(out, SHA1_BYTES), "b617318655057264e28bc0b6fb378c8ef146be00");
    hmac_sha1_init(&d, SLICE("Jefe"));
    digest_add(&d, SLICE("what do ya want for nothing?"));
    hmac_sha1_done(&d, SLICE("Jefe"), out);
    assert_string_equal(hex(out, SHA1_BYTES), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

static void equality(void **state)
{
    assert_true(bytes_equal("abc", "abc", 3));
    assert_true(bytes_equal("abc", "xyz", 0));
    assert_false(bytes_equal("abc", "abd", 3));
    assert_false(bytes_equal("xbc", "abc", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts),
        cmocka_unit_test(a_million_bytes),
        cmocka_unit_test(keyed),
        cmocka_unit_test(equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
