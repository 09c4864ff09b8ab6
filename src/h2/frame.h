/*
 * HTTP/2 frames: bytes in, events out, and the writing of frames (RFC 9113 §4, §6; RFC 9218 §7). No I/O, no allocation.
 *
 * The reader takes the bytes as they come and may be stopped behind any of them. What is long and passed on (the data
 * of DATA, the fragments of a header block) is given in runs that point into the input; what is short is gathered first
 * and given whole. Everything about a frame that needs no knowledge of streams is checked here: its length, its stream
 * number, its padding, and that nothing comes between the frames of a header block.
 */
#ifndef H2_FRAME_H
#define H2_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum h2_type {
    H2_DATA,
    H2_HEADERS,
    H2_PRIORITY,
    H2_RST_STREAM,
    H2_SETTINGS,
    H2_PUSH_PROMISE,
    H2_PING,
    H2_GOAWAY,
    H2_WINDOW_UPDATE,
    H2_CONTINUATION,
    H2_PRIORITY_UPDATE = 16,
};

enum h2_flag { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4, H2_PADDED = 8, H2_PRIO = 32 };

enum h2_error {
    H2_NO_ERROR,
    H2_PROTOCOL_ERROR,
    H2_INTERNAL_ERROR,
    H2_FLOW_CONTROL_ERROR,
    H2_SETTINGS_TIMEOUT,
    H2_STREAM_CLOSED,
    H2_FRAME_SIZE_ERROR,
    H2_REFUSED_STREAM,
    H2_CANCEL,
    H2_COMPRESSION_ERROR,
    H2_CONNECT_ERROR,
    H2_ENHANCE_YOUR_CALM,
    H2_INADEQUATE_SECURITY,
    H2_HTTP_1_1_REQUIRED,
};

enum h2_setting {
    H2_SET_TABLE_SIZE = 1,
    H2_SET_ENABLE_PUSH = 2,
    H2_SET_MAX_STREAMS = 3,
    H2_SET_WINDOW = 4,
    H2_SET_MAX_FRAME = 5,
    H2_SET_MAX_LIST = 6,
    H2_SET_CONNECT = 8,
    H2_SET_NO_PRIORITIES = 9,
};

enum {
    H2_HEAD = 9,          /* bytes of a frame's head */
    H2_FRAME_MAX = 16384, /* payload that we take: the smallest that may be allowed */
    H2_WINDOW = 65535,    /* of streams and connections, before anybody says otherwise */
    H2_SETTINGS_MAX = 32, /* entries of one frame; more is an attack (row A6) */
    H2_CONTINUATIONS = 8, /* of one header block; more is an attack (row A4) */
    H2_GATHER = H2_SETTINGS_MAX * 6,
};

#define H2_WINDOW_MAX INT32_MAX
#define H2_STREAM_MAX INT32_MAX

#define H2_PREFACE SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

struct h2_reader {
    enum { H2_AT_HEAD, H2_AT_PREFIX, H2_AT_RUN, H2_AT_PADDING, H2_AT_GATHER, H2_AT_SKIP } state;
    enum h2_error error; /* of ERR_SYNTAX: what ends the connection */
    uint32_t length;     /* of the payload */
    uint32_t left;       /* of it, not read yet (padding left out while data is read) */
    uint32_t stream, block_stream;
    uint32_t depends; /* of a HEADERS frame with priority: on whom */
    uint8_t type, flags;
    uint8_t pad, want, have; /* padding; bytes to gather, gathered */
    uint8_t continuations;
    bool in_block;  /* between HEADERS and END_HEADERS */
    bool ends;      /* the HEADERS of the block had END_STREAM */
    bool first_run; /* nothing of the frame was given yet */
    bool no_push;   /* a PUSH_PROMISE is an error: we are a server, or have forbidden it */
    uint8_t bytes[H2_GATHER];
};

struct h2_event {
    uint8_t type;       /* enum h2_type; runs of CONTINUATION have H2_HEADERS */
    uint8_t flags;      /* as on the wire; of a header block: those of HEADERS that still mean something */
    bool first;         /* the first run of a frame (data) or of a block (headers) */
    bool last;          /* the last run of it */
    uint32_t stream;    /* number */
    uint32_t length;    /* of the frame's payload, padding and all: what flow control counts, at `first` */
    slice run;          /* data, fragment, or the whole payload (cut at H2_GATHER bytes) */
    enum h2_error soft; /* the frame is broken, but only its stream suffers */
};

void h2_reader_init(struct h2_reader *r);
/*
 * Reads on. OK: *e is the next event, *used bytes are taken; ERR_MORE: all is taken and there is no event;
 * ERR_SYNTAX: r->error.
 */
int h2_read(struct h2_reader *r, slice in, size_t *used, struct h2_event *e);

/* Numbers of the wire. */
static inline uint32_t h2_u32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint16_t h2_u16(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

char *h2_put_u32(char *at, uint32_t v);
/* A frame's head into H2_HEAD bytes; gives the place behind it. */
char *h2_put_head(char *at, size_t length, enum h2_type type, unsigned flags, uint32_t stream);
char *h2_put_setting(char *at, enum h2_setting id, uint32_t value);

/* What the peer asks for; the values of RFC 9113 §6.5.2 until it does. */
struct h2_settings {
    uint32_t table_size, max_streams, window, max_frame, max_list;
    bool push;
};
void h2_settings_init(struct h2_settings *s);
/* Takes a SETTINGS payload over. H2_NO_ERROR, or what ends the connection. */
enum h2_error h2_settings_read(struct h2_settings *s, slice payload);

/* RFC 9218 §4: urgency 0 to 7 and incremental, of a Priority field or a PRIORITY_UPDATE; unknown members and what is
 * out of range are left out. */
struct h2_priority {
    uint8_t urgency;
    bool incremental;
};
void h2_priority_read(slice text, struct h2_priority *p);

#endif
