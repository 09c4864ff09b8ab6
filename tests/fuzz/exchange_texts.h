/*
 * What the requests and answers of fuzz_exchange are made of: an operation of the script names each by its number.
 */
#ifndef EXCHANGE_TEXTS_H
#define EXCHANGE_TEXTS_H

#include <stddef.h>

static const size_t sizes[16] = { 0,     1,     10,    100,   1000,  1499,   4096,   5000,
                                  16384, 17000, 33000, 65536, 70000, 100000, 140000, 200000 };
static const char *const paths[] = { "/",
                                     "/stream",
                                     "/flow",
                                     "/spill",
                                     "/next",
                                     "/limit",
                                     "/page",
                                     "/old",
                                     "/own",
                                     "/moved",
                                     "/merge",
                                     "/a/../own",
                                     "/%2f//x",
                                     "/instead",
                                     "/disk",
                                     "/method",
                                     "/none",
                                     "/rewritten/own",
                                     "/rewritten/disk?x",
                                     "/choose",
                                     "/choose?a=xy",
                                     "/again",
                                     "/asked",
                                     "/any",
                                     "/trail",
                                     "/file/f101",
                                     "/file/f102",
                                     "/file/f103",
                                     "/file/f105",
                                     "/file/f100",
                                     "/file/none",
                                     "/kept/f102",
                                     "/kept/f104",
                                     "/kept/f105",
                                     "/kept/f999",
                                     "/zip/f100",
                                     "/zip/f102",
                                     "/zip/f104",
                                     "/zip/f105",
                                     "/list/",
                                     "/list",
                                     "/try/it",
                                     "/zipped",
                                     "/zipflow",
                                     "/ranges" };

/* Fields that change what the answer to a request is made of. */
static const char *const wishes[8] = { "",
                                       "Accept-Encoding: gzip\r\n",
                                       "Range: bytes=7-90\r\n",
                                       "Range: bytes=0-0,-5,20-21,100-70000\r\n",
                                       "Range: bytes=-1000000\r\nAccept-Encoding: gzip\r\n",
                                       "Range: bytes=999-\r\nIf-Range: \"0\"\r\n",
                                       "If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT\r\nAccept-Encoding: gzip\r\n",
                                       "If-None-Match: *\r\n" };
static const char *const methods[] = { "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE" };

#endif
