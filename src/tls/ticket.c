#include "tls/ticket.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

bool ticket_key_read(slice text, struct ticket_key *out)
{
    if (text.n != 48 && text.n != 80)
        return false;
    struct ticket_key k = { .aes_n = text.n == 48 ? 16 : 32 };
    k.hmac_n = k.aes_n;
    memcpy(k.name, text.p, TICKET_NAME);
    /* nginx's order: 48 bytes are name, AES key, HMAC key; 80 are name, HMAC key, AES key */
    const char *second = text.p + TICKET_NAME, *third = second + k.aes_n;
    memcpy(k.aes, k.aes_n == 16 ? second : third, k.aes_n);
    memcpy(k.hmac, k.aes_n == 16 ? third : second, k.hmac_n);
    *out = k;
    return true;
}

void ticket_key_derive(const unsigned char secret[TICKET_SECRET], uint64_t epoch, struct ticket_key *out)
{
    unsigned char in[9], mac[64];
    unsigned int n = 0;
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < 8; i++)
        in[i] = (unsigned char)(epoch >> (8 * i));
    in[8] = 1;
    HMAC(EVP_sha512(), secret, TICKET_SECRET, in, sizeof(in), mac, &n);
    memcpy(out->aes, mac, 32);
    memcpy(out->hmac, mac + 32, 32);
    in[8] = 2;
    HMAC(EVP_sha512(), secret, TICKET_SECRET, in, sizeof(in), mac, &n);
    memcpy(out->name, mac, TICKET_NAME);
    OPENSSL_cleanse(mac, sizeof(mac));
    out->aes_n = out->hmac_n = 32;
}

static uint64_t epoch_now(const struct tls_tickets *t)
{
    return (uint64_t)time(NULL) / (t->epoch_seconds ? t->epoch_seconds : 1);
}

/* The key of an epoch, at the place that its parity says: this one's and the one's before never share one. */
static const struct ticket_key *key_of(struct tls_tickets *t, uint64_t epoch)
{
    unsigned i = epoch & 1;
    if (!t->has[i] || t->derived_at[i] != epoch) {
        ticket_key_derive(t->secret, epoch, &t->keys[i]);
        t->derived_at[i] = epoch;
        t->has[i] = true;
    }
    return &t->keys[i];
}

static const struct ticket_key *key_to_seal(struct tls_tickets *t)
{
    return t->derived ? key_of(t, epoch_now(t)) : &t->keys[0];
}

/* 1: the key that seals now; 2: an older one, the ticket is to be replaced; 0: none of ours. */
static int key_to_open(struct tls_tickets *t, const unsigned char *name, const struct ticket_key **k)
{
    uint64_t now = t->derived ? epoch_now(t) : 0;
    uint32_t n = t->derived ? 2 : t->n;
    for (uint32_t i = 0; i < n; i++) {
        *k = t->derived ? key_of(t, now - i) : &t->keys[i];
        if (memcmp((*k)->name, name, TICKET_NAME) == 0)
            return i ? 2 : 1;
    }
    return 0;
}

static int set_mac(EVP_MAC_CTX *mac, const struct ticket_key *k)
{
    char digest[] = "SHA256";
    OSSL_PARAM p[] = { OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->hmac, k->hmac_n),
                       OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end() };
    return EVP_MAC_CTX_set_params(mac, p);
}

static void forget(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    struct tls_tickets *t = ptr;
    if (!t)
        return;
    EVP_CIPHER_free(t->aes[0]);
    EVP_CIPHER_free(t->aes[1]);
    OPENSSL_cleanse(t, sizeof(*t));
    free(t);
}

static int slot(void)
{
    static int index = -1;
    int i = __atomic_load_n(&index, __ATOMIC_ACQUIRE);
    if (i >= 0)
        return i;
    i = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, forget);
    int none = -1;
    if (!__atomic_compare_exchange_n(&index, &none, i, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        i = none;
    return i;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int seal)
{
    /* of the server that the name found: it is known before OpenSSL looks at a ticket (tls/server.c, on_hello) */
    struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), slot());
    const struct ticket_key *k = NULL;
    int r = 1;
    if (!t)
        return -1;
    if (seal)
        k = key_to_seal(t);
    else
        r = key_to_open(t, name, &k);
    if (r == 0)
        return 0;
    const EVP_CIPHER *aes = t->aes[k->aes_n == 32];
    if (seal) {
        memcpy(name, k->name, TICKET_NAME);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1 || !EVP_EncryptInit_ex(cipher, aes, NULL, k->aes, iv))
            r = -1;
    } else if (!EVP_DecryptInit_ex(cipher, aes, NULL, k->aes, iv)) {
        r = -1;
    }
    if (r > 0 && !set_mac(mac, k))
        r = -1;
    /* TLS 1.3 answers every resumption with a new ticket; "renew" is how OpenSSL is told to */
    return !seal && r == 1 && SSL_version(ssl) == TLS1_3_VERSION ? 2 : r;
}

int tickets_install(SSL_CTX *ctx, const struct tls_conf *c)
{
    struct tls_tickets *t = calloc(1, sizeof(*t));
    if (!t)
        return ERR_NOMEM;
    t->derived = !c->ticket_keys;
    t->epoch_seconds = c->session_timeout / 1000;
    memcpy(t->secret, c->ticket_secret, TICKET_SECRET);
    for (const struct tls_file *f = c->ticket_keys; f && t->n < TICKET_KEYS; f = f->next) {
        if (ticket_key_read(f->text, &t->keys[t->n]))
            t->n++;
    }
    t->aes[0] = EVP_CIPHER_fetch(NULL, "AES-128-CBC", NULL);
    t->aes[1] = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (!t->aes[0] || !t->aes[1] || slot() < 0 || !SSL_CTX_set_ex_data(ctx, slot(), t)) {
        forget(NULL, t, NULL, 0, 0, NULL);
        return ERR_NOMEM;
    }
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    return OK;
}
