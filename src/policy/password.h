/*
 * Stored passwords, as password files hold them: {PLAIN}, {SHA}, {SSHA}, Apache's $apr1$, and whatever crypt(3) of the
 * system knows ($1$, $5$, $6$, $2b$, $y$, traditional DES).
 *
 * Checking takes a time that does not tell where two values differ. All functions are safe to call from any thread.
 */
#ifndef POLICY_PASSWORD_H
#define POLICY_PASSWORD_H

#include <stdbool.h>

#include "base/slice.h"

enum password_kind {
    PASSWORD_UNKNOWN, /* nothing that can ever match */
    PASSWORD_PLAIN,
    PASSWORD_SHA,
    PASSWORD_SSHA,
    PASSWORD_APR1,
    PASSWORD_CRYPT,
};

enum {
    PASSWORD_MAX = 511,         /* bytes of a client's password: crypt(3) takes no more */
    PASSWORD_STORED_MAX = 1024, /* bytes of a stored one */
};

/* By its form alone. */
enum password_kind password_kind(slice stored);

/* Those that take long on purpose; the others cost about a microsecond. */
static inline bool password_slow(enum password_kind k)
{
    return k == PASSWORD_APR1 || k == PASSWORD_CRYPT;
}

/* Why a stored password should be replaced ("in plain text", ...), or NULL. */
const char *password_weakness(slice stored);

/* Does the client's password match? One that is too long or holds a NUL never does, nor does anything without memory.
 */
bool password_matches(slice stored, slice password);

#endif
