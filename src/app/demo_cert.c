/*
 * The certificate of the demonstration: made at its first start and kept in the user's state directory, so that a
 * browser that was told to trust it goes on doing so.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/demo.h"

enum { DAYS = 825, PATH_LONGEST = 512 };

/* $XDG_STATE_HOME/hinge, else ~/.local/state/hinge; the directories on the way are made. */
static bool state_dir(char *dst, size_t n)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int len = state && *state == '/' ? snprintf(dst, n, "%s/hinge", state)
                                     : snprintf(dst, n, "%s/.local/state/hinge", home && *home ? home : "/var/tmp");
    if (len < 0 || (size_t)len >= n)
        return false;
    for (char *p = strchr(dst + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        mkdir(dst, 0700);
        *p = '/';
    }
    return mkdir(dst, 0700) == 0 || errno == EEXIST;
}

static bool add_names(X509 *x)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
    bool ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static X509 *make(EVP_PKEY *key)
{
    X509 *x = X509_new();
    if (!x)
        return NULL;
    X509_NAME *name = X509_get_subject_name(x);
    bool ok = X509_set_version(x, X509_VERSION_3) && ASN1_INTEGER_set_int64(X509_get_serialNumber(x), 1) &&
              X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
              X509_time_adj_ex(X509_getm_notAfter(x), DAYS, 0, NULL) && X509_set_pubkey(x, key) &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0) &&
              X509_set_issuer_name(x, name) && add_names(x) && X509_sign(x, key, EVP_sha256());
    if (ok)
        return x;
    X509_free(x);
    return NULL;
}

/* Key and certificate in one file, there only when whole. */
static bool write_both(const char *path, EVP_PKEY *key, X509 *x)
{
    char fresh[PATH_LONGEST + 8];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool ok = PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && PEM_write_X509(f, x);
    ok = fclose(f) == 0 && ok;
    return ok && rename(fresh, path) == 0;
}

/* Whether a start can use the file: what is not whole, or has run out, is made anew instead of standing in the way. */
static bool is_good(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    X509 *x = key ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    bool good = x && X509_check_private_key(x, key) == 1 && X509_cmp_current_time(X509_get0_notAfter(x)) > 0;
    X509_free(x);
    EVP_PKEY_free(key);
    fclose(f);
    ERR_clear_error();
    return good;
}

bool demo_certificate(char *path, size_t n)
{
    char dir[PATH_LONGEST - 16];
    if (!state_dir(dir, sizeof(dir)) || snprintf(path, n, "%s/demo.pem", dir) >= (int)n)
        return false;
    if (is_good(path))
        return true;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key ? make(key) : NULL;
    bool ok = x && write_both(path, key, x);
    X509_free(x);
    EVP_PKEY_free(key);
    return ok;
}
