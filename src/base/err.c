#include "base/err.h"

const char *err_name(int code)
{
    switch ((enum err)code) {
    case OK:
        return "ok";
    case ERR_NOMEM:
        return "out of memory";
    case ERR_AGAIN:
        return "would block";
    case ERR_CLOSED:
        return "closed";
    case ERR_SYS:
        return "system error";
    case ERR_SYNTAX:
        return "syntax error";
    case ERR_LIMIT:
        return "over a limit";
    case ERR_RANGE:
        return "out of range";
    case ERR_UNSUPPORTED:
        return "unsupported";
    case ERR_NOTFOUND:
        return "not found";
    case ERR_TIMEOUT:
        return "timed out";
    case ERR_REFUSED:
        return "refused";
    case ERR_MORE:
        return "incomplete";
    }
    return "unknown error";
}
