#include "h2/frame.h"

#include "base/err.h"

void h2_reader_init(struct h2_reader *r)
{
    memset(r, 0, sizeof(*r));
}

static int fail(struct h2_reader *r, enum h2_error e)
{
    r->error = e;
    return ERR_SYNTAX;
}

/* ---- the head of a frame ---- */

/* What a frame's number must be: a stream's, the connection's (0), or either. */
static bool stream_fits(const struct h2_reader *r)
{
    switch (r->type) {
    case H2_DATA:
    case H2_HEADERS:
    case H2_PRIORITY:
    case H2_RST_STREAM:
    case H2_CONTINUATION:
    case H2_PUSH_PROMISE:
        return r->stream != 0;
    case H2_SETTINGS:
    case H2_PING:
    case H2_GOAWAY:
    case H2_PRIORITY_UPDATE:
        return r->stream == 0;
    default:
        return true;
    }
}

static bool length_fits(const struct h2_reader *r)
{
    switch (r->type) {
    case H2_RST_STREAM:
    case H2_WINDOW_UPDATE:
        return r->length == 4;
    case H2_PING:
        return r->length == 8;
    case H2_GOAWAY:
        return r->length >= 8;
    case H2_PRIORITY_UPDATE:
        return r->length >= 4;
    case H2_SETTINGS:
        return r->length % 6 == 0 && !((r->flags & H2_ACK) && r->length);
    default:
        return true;
    }
}

/* Row A4: a header block is one run of frames, and not too many. */
static int check_block(struct h2_reader *r)
{
    if (r->in_block != (r->type == H2_CONTINUATION) || (r->in_block && r->stream != r->block_stream))
        return fail(r, H2_PROTOCOL_ERROR);
    if (r->type == H2_CONTINUATION && ++r->continuations > H2_CONTINUATIONS)
        return fail(r, H2_ENHANCE_YOUR_CALM);
    return OK;
}

static int gather(struct h2_reader *r)
{
    if (r->type == H2_SETTINGS && r->length > H2_SETTINGS_MAX * 6)
        return fail(r, H2_ENHANCE_YOUR_CALM);
    r->want = (uint8_t)(r->length < H2_GATHER ? r->length : H2_GATHER);
    r->state = H2_AT_GATHER;
    return OK;
}

static int begin_frame(struct h2_reader *r)
{
    const char *b = (const char *)r->bytes;
    r->length = h2_u32(b) >> 8;
    r->type = r->bytes[3];
    r->flags = r->bytes[4];
    r->stream = h2_u32(b + 5) & H2_STREAM_MAX;
    r->left = r->length;
    r->have = r->pad = 0;
    r->first_run = true;
    if (r->length > H2_FRAME_MAX || !length_fits(r))
        return fail(r, H2_FRAME_SIZE_ERROR);
    if (!stream_fits(r) || (r->type == H2_PUSH_PROMISE && r->no_push))
        return fail(r, H2_PROTOCOL_ERROR);
    int rc = check_block(r);
    if (rc != OK)
        return rc;
    switch (r->type) {
    case H2_HEADERS:
        r->in_block = true;
        r->block_stream = r->stream;
        r->continuations = 0;
        r->ends = r->flags & H2_END_STREAM;
        r->depends = 0;
        r->want = (uint8_t)((r->flags & H2_PADDED ? 1 : 0) + (r->flags & H2_PRIO ? 5 : 0));
        r->state = H2_AT_PREFIX;
        return OK;
    case H2_DATA:
        r->want = r->flags & H2_PADDED ? 1 : 0;
        r->state = H2_AT_PREFIX;
        return OK;
    case H2_CONTINUATION:
        r->want = 0;
        r->state = H2_AT_PREFIX;
        return OK;
    case H2_PRIORITY:
    case H2_RST_STREAM:
    case H2_SETTINGS:
    case H2_PING:
    case H2_GOAWAY:
    case H2_WINDOW_UPDATE:
    case H2_PRIORITY_UPDATE:
        return gather(r);
    default: /* RFC 9113 §4.1: what is not known is skipped */
        r->want = 0;
        r->state = H2_AT_GATHER;
        return OK;
    }
}

/* Pad length and priority, which stand before data and fragments. */
static int take_prefix(struct h2_reader *r)
{
    const uint8_t *b = r->bytes;
    r->left -= r->want;
    if (r->type != H2_CONTINUATION && (r->flags & H2_PADDED))
        r->pad = *b++;
    if (r->type == H2_HEADERS && (r->flags & H2_PRIO))
        r->depends = h2_u32((const char *)b) & H2_STREAM_MAX;
    if (r->pad > r->left)
        return fail(r, H2_PROTOCOL_ERROR);
    r->left -= r->pad;
    r->state = H2_AT_RUN;
    return OK;
}

/* ---- events ---- */

static void give_run(struct h2_reader *r, slice run, struct h2_event *e)
{
    bool block = r->type != H2_DATA, over = r->left == 0;
    *e = (struct h2_event){
        .type = block ? H2_HEADERS : H2_DATA,
        .flags = block ? (r->ends ? H2_END_STREAM : 0) : r->flags,
        .stream = r->stream,
        .length = r->length,
        .run = run,
        .first = r->first_run && r->type != H2_CONTINUATION,
        .last = over && (!block || (r->flags & H2_END_HEADERS)),
    };
    if (block && r->type == H2_HEADERS && (r->flags & H2_PRIO) && r->depends == r->stream)
        e->soft = H2_PROTOCOL_ERROR; /* a stream cannot depend on itself (RFC 7540 §5.3.1) */
    r->first_run = false;
    if (over)
        r->state = r->pad ? H2_AT_PADDING : H2_AT_HEAD;
    if (block && e->last)
        r->in_block = false;
}

static void give_gathered(struct h2_reader *r, struct h2_event *e)
{
    *e = (struct h2_event){
        .type = r->type,
        .flags = r->flags,
        .stream = r->stream,
        .length = r->length,
        .run = slice_of((const char *)r->bytes, r->have),
        .first = true,
        .last = true,
        .soft = r->type == H2_PRIORITY && r->length != 5 ? H2_FRAME_SIZE_ERROR : H2_NO_ERROR,
    };
    r->left -= r->have;
    r->state = r->left ? H2_AT_SKIP : H2_AT_HEAD;
}

/* Gathers up to n bytes; true when they are there. */
static bool collect(struct h2_reader *r, slice in, size_t *used, size_t n)
{
    size_t k = n - r->have, there = in.n - *used;
    if (k > there)
        k = there;
    if (k)
        memcpy(r->bytes + r->have, in.p + *used, k);
    r->have = (uint8_t)(r->have + k);
    *used += k;
    return r->have == n;
}

static void skip(struct h2_reader *r, slice in, size_t *used, uint32_t *n)
{
    size_t there = in.n - *used, k = *n < there ? *n : there;
    *n -= (uint32_t)k;
    *used += k;
    if (!*n)
        r->state = H2_AT_HEAD;
}

int h2_read(struct h2_reader *r, slice in, size_t *used, struct h2_event *e)
{
    int rc = OK;
    *used = 0;
    for (;;) {
        bool none = *used == in.n;
        switch (r->state) {
        case H2_AT_HEAD:
            if (none || !collect(r, in, used, H2_HEAD))
                return ERR_MORE;
            rc = begin_frame(r);
            break;
        case H2_AT_PREFIX:
            if (r->want > r->length)
                return fail(r, H2_FRAME_SIZE_ERROR);
            if (!collect(r, in, used, r->want))
                return ERR_MORE;
            r->have = 0;
            rc = take_prefix(r);
            break;
        case H2_AT_RUN: {
            if (none && r->left)
                return ERR_MORE;
            size_t there = in.n - *used, k = r->left < there ? r->left : there;
            r->left -= (uint32_t)k;
            *used += k;
            give_run(r, slice_of(in.p + *used - k, k), e);
            return OK;
        }
        case H2_AT_PADDING: {
            uint32_t left = r->pad;
            if (none)
                return ERR_MORE;
            skip(r, in, used, &left);
            r->pad = (uint8_t)left;
            break;
        }
        case H2_AT_GATHER:
            if (!collect(r, in, used, r->want))
                return ERR_MORE;
            give_gathered(r, e);
            r->have = 0;
            return OK;
        case H2_AT_SKIP:
            if (none)
                return ERR_MORE;
            skip(r, in, used, &r->left);
            break;
        }
        if (rc != OK)
            return rc;
    }
}

/* ---- writing ---- */

char *h2_put_u32(char *at, uint32_t v)
{
    at[0] = (char)(v >> 24);
    at[1] = (char)(v >> 16);
    at[2] = (char)(v >> 8);
    at[3] = (char)v;
    return at + 4;
}

char *h2_put_head(char *at, size_t length, enum h2_type type, unsigned flags, uint32_t stream)
{
    h2_put_u32(at, (uint32_t)length << 8 | (uint32_t)type);
    at[4] = (char)flags;
    return h2_put_u32(at + 5, stream);
}

char *h2_put_setting(char *at, enum h2_setting id, uint32_t value)
{
    at[0] = (char)((unsigned)id >> 8);
    at[1] = (char)id;
    return h2_put_u32(at + 2, value);
}

/* ---- settings ---- */

void h2_settings_init(struct h2_settings *s)
{
    *s = (struct h2_settings){
        .table_size = 4096,
        .max_streams = UINT32_MAX,
        .window = H2_WINDOW,
        .max_frame = H2_FRAME_MAX,
        .max_list = UINT32_MAX,
        .push = true,
    };
}

static enum h2_error take_setting(struct h2_settings *s, unsigned id, uint32_t v)
{
    switch (id) {
    case H2_SET_TABLE_SIZE:
        s->table_size = v;
        return H2_NO_ERROR;
    case H2_SET_ENABLE_PUSH:
        s->push = v;
        return v > 1 ? H2_PROTOCOL_ERROR : H2_NO_ERROR;
    case H2_SET_MAX_STREAMS:
        s->max_streams = v;
        return H2_NO_ERROR;
    case H2_SET_WINDOW:
        s->window = v;
        return v > H2_WINDOW_MAX ? H2_FLOW_CONTROL_ERROR : H2_NO_ERROR;
    case H2_SET_MAX_FRAME:
        s->max_frame = v;
        return v < H2_FRAME_MAX || v > 0xffffff ? H2_PROTOCOL_ERROR : H2_NO_ERROR;
    case H2_SET_MAX_LIST:
        s->max_list = v;
        return H2_NO_ERROR;
    case H2_SET_CONNECT:
    case H2_SET_NO_PRIORITIES:
        return v > 1 ? H2_PROTOCOL_ERROR : H2_NO_ERROR;
    default:
        return H2_NO_ERROR;
    }
}

enum h2_error h2_settings_read(struct h2_settings *s, slice payload)
{
    struct h2_settings next = *s;
    for (; payload.n >= 6; payload = slice_from(payload, 6)) {
        enum h2_error e = take_setting(&next, h2_u16(payload.p), h2_u32(payload.p + 2));
        if (e != H2_NO_ERROR)
            return e;
    }
    *s = next;
    return H2_NO_ERROR;
}

void h2_priority_read(slice text, struct h2_priority *p)
{
    slice rest = text, one;
    bool more = true;
    while (more) {
        slice tail = SLICE_NONE;
        one = rest;
        more = slice_cut(rest, ',', &one, &tail);
        rest = tail;
        one = slice_trim(one);
        if (one.n == 3 && one.p[0] == 'u' && one.p[1] == '=' && one.p[2] >= '0' && one.p[2] <= '7')
            p->urgency = (uint8_t)(one.p[2] - '0');
        else if (slice_eq(one, SLICE("i")) || slice_eq(one, SLICE("i=?1")))
            p->incremental = true;
        else if (slice_eq(one, SLICE("i=?0")))
            p->incremental = false;
    }
}
