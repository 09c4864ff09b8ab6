/*
 * The causes of refusal as the log and the answer need them; errors.def is the list.
 */
#include "h1/parse.h"

#include "base/attr.h"

static const struct {
    uint16_t status;
    const char *text;
} errors[H1_ERRORS] = {
    [H1_OK] = { 200, "no error" },
#define H1_ERROR(id, status, text) [H1_E_##id] = { status, text },
#include "h1/errors.def"
#undef H1_ERROR
};

unsigned h1_error_status(enum h1_error e)
{
    return errors[e].status;
}

const char *h1_error_text(enum h1_error e)
{
    return errors[e].text;
}
