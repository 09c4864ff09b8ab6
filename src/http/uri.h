/*
 * Targets, authorities and paths: one parse gives what rules match and what goes out, and the two agree.
 *
 * Strict on purpose (RFC 9112 §3.2, RFC 3986; design invariant 12). Nothing above this file decodes a path again.
 */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

/*
 * Checks an authority (host [":" port]) and gives its parts: host as written without the port (brackets of an IPv6
 * literal kept), port 0 when there is none. Accepted hosts: reg-names of letters, digits, '-', '.', '_' and no empty
 * label but a last one; strict dotted quads; bracketed IPv6 without zone. Refused: userinfo, '%', ',', white space,
 * an empty host, a port that is empty, begins with 0, or is above 65535, and every other spelling of an
 * IPv4 address than the quad: a last label of digits alone, or of 0x and hexadecimal digits (RFC 9110 §4.2.3,
 * reliability rows H2, H4, S2). OK or ERR_SYNTAX.
 */
int uri_authority(slice text, slice *host, uint16_t *port);

/*
 * Overwrites a password in the authority of a request line, a URL or an authority by stars, where it stands: for the
 * log of requests that are refused for it. The bytes are the caller's own.
 */
void uri_hide_password(char *text, size_t n);

/* host in lower case without one trailing dot, in the arena (no copy when it is that already). false: no memory. */
bool uri_host_normal(struct arena *a, slice host, slice *out);

struct uri_path {
    slice path;   /* decoded and normal */
    bool changed; /* the raw form had dot segments or merged slashes (plain or encoded): send `normal` instead */
    slice normal; /* the normal form, percent-encoded again, only when changed; `%2F` stays `%2F` */
};

/*
 * The path of a target (begins with '/', no '?', no '#'). Decodes percent escapes (a broken escape or a decoded
 * control character but TAB is ERR_SYNTAX: no field could carry it; so are overlong UTF-8 forms of '/', '.' and NUL),
 * resolves "." and ".." (above the root: ERR_SYNTAX), merges slashes when asked to. A dot segment with a parameter
 * ("/..;x/") is ERR_SYNTAX, because some servers resolve it and RFC 3986 does not. A raw path that holds nothing
 * special is returned as it is, without a copy. OK, ERR_SYNTAX or ERR_NOMEM.
 */
int uri_path_parse(struct arena *a, slice raw, bool merge_slashes, struct uri_path *out);

enum uri_escape { URI_ESCAPE_PATH, URI_ESCAPE_ARGS, URI_ESCAPE_COMPONENT };

/*
 * Percent-encodes what may not stand in a path (nginx's set for URIs built from decoded text), in arguments, or, for a
 * component, all but unreserved characters. No copy if nothing needs it. false: no memory.
 */
bool uri_escape(struct arena *a, slice s, enum uri_escape kind, slice *out);

#endif
