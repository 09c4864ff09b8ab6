/*
 * The one list of error codes.
 *
 * A function that can fail returns `int`: 0 or one of these negative codes, with its outputs untouched on failure.
 * "Would block" is a result of I/O and not an error, but it travels in the same integer, so it has its code here.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
    OK = 0,
    ERR_NOMEM = -1,       /* no memory, or over a memory budget */
    ERR_AGAIN = -2,       /* would block; ask again after readiness */
    ERR_CLOSED = -3,      /* orderly end of stream */
    ERR_SYS = -4,         /* a system call failed; errno tells */
    ERR_SYNTAX = -5,      /* the input breaks its grammar */
    ERR_LIMIT = -6,       /* the input is larger than a configured limit */
    ERR_RANGE = -7,       /* a number does not fit, or is out of its range */
    ERR_UNSUPPORTED = -8, /* well-formed, but not something that we do */
    ERR_NOTFOUND = -9,
    ERR_TIMEOUT = -10,
    ERR_REFUSED = -11, /* a policy or a peer said no */
    ERR_MORE = -12,    /* the input is incomplete; nothing is wrong with it so far */
};

/* A short English name of a code, for logs; never NULL. */
const char *err_name(int code);

#endif
