#include "app/demo.h"

#include <stdio.h>
#include <string.h>

#include "base/strb.h"

enum { DEMO_BACKENDS = 3, HTTPS_BESIDE = 8443 - 8080, USUAL = 8080, USUAL_FORWARD = 3128 };

static const char *const names[DEMO_BACKENDS] = { "one", "two", "three" };

static void add_upstream(struct strb *b, unsigned port)
{
    strb_lit(b, "    upstream backends {\n");
    for (unsigned i = 0; i < DEMO_BACKENDS; i++)
        strb_printf(b, "        server 127.0.0.1:%u;\n", port + 1 + i);
    strb_lit(b, "        keepalive 16;\n    }\n");
}

uint16_t demo_https_port(uint16_t port)
{
    char path[512];
    return port <= UINT16_MAX - HTTPS_BESIDE && demo_certificate(path, sizeof(path)) ? (uint16_t)(port + HTTPS_BESIDE)
                                                                                     : 0;
}

/* 3128 is what is written everywhere for a forward proxy; who moved the others has a reason to keep them together. */
uint16_t demo_forward_port(uint16_t port)
{
    return port == USUAL ? USUAL_FORWARD : (uint16_t)(port + 1 + DEMO_BACKENDS);
}

static void add_https(struct strb *b, uint16_t port)
{
    char path[512];
    uint16_t https = demo_https_port(port);
    if (https && demo_certificate(path, sizeof(path)))
        strb_printf(b,
                    "        listen %u ssl;\n"
                    "        ssl_certificate \"%s\";\n"
                    "        ssl_certificate_key \"%s\";\n",
                    (unsigned)https, path, path);
}

static void add_proxy(struct strb *b, uint16_t port)
{
    strb_printf(b,
                "    server {\n"
                "        listen %u;\n",
                (unsigned)port);
    add_https(b, port);
    strb_printf(b, "        trusted_proxies none;\n"
                   "        location / {\n"
                   "            proxy_pass http://backends;\n"
                   "            proxy_set_header Host $http_host;\n"
                   "            proxy_set_header X-Forwarded-For $remote_addr;\n"
                   "            add_header X-Backend $upstream_addr always;\n"
                   "        }\n"
                   "    }\n");
}

static void add_backends(struct strb *b, unsigned port)
{
    for (unsigned i = 0; i < DEMO_BACKENDS; i++) {
        strb_printf(b,
                    "    server {\n"
                    "        listen 127.0.0.1:%u;\n"
                    "        access_log off;\n"
                    "        location / {\n"
                    "            demo_backend %s;\n"
                    "        }\n"
                    "    }\n",
                    port + 1 + i, names[i]);
    }
}

/* Only this machine reaches it, and the guard of forward blocks stands as it does by default. */
static void add_forward(struct strb *b, uint16_t port)
{
    strb_printf(b,
                "    forward {\n"
                "        listen 127.0.0.1:%u;\n"
                "        proxy_pac on;\n"
                "    }\n",
                (unsigned)demo_forward_port(port));
}

char *demo_config(uint16_t port)
{
    struct strb b;
    strb_init(&b, 0);
    strb_lit(&b, "daemon off;\n"
                 "worker_processes auto;\n"
                 "error_log stderr notice;\n"
                 "events { worker_connections 4096; }\n"
                 "http {\n"
                 "    access_log /dev/stdout;\n");
    add_upstream(&b, port);
    add_proxy(&b, port);
    add_backends(&b, port);
    add_forward(&b, port);
    strb_lit(&b, "}\n");
    strb_char(&b, 0);
    if (b.failed) {
        strb_done(&b);
        return NULL;
    }
    return b.p;
}

void demo_greet(uint16_t port)
{
    unsigned p = port, forward = demo_forward_port(port);
    printf("hinge " HINGE_VERSION " is running\n\n"
           "  http://127.0.0.1:%-5u     a reverse proxy, balancing over three backends\n",
           p);
    uint16_t https = demo_https_port(port);
    if (https)
        printf("  https://127.0.0.1:%-5u    the same over TLS, with a certificate made here: curl -k\n",
               (unsigned)https);
    for (unsigned i = 0; i < DEMO_BACKENDS; i++)
        printf("  http://127.0.0.1:%-5u     backend \"%s\": answers which backend it is and what it was asked\n",
               p + 1 + i, names[i]);
    printf("  http://127.0.0.1:%-5u     a forward proxy for clients of this machine; its PAC file is /proxy.pac\n",
           forward);
    printf("\nTry, in another terminal:\n\n"
           "  curl -i http://127.0.0.1:%u/            # again and again: each backend in its turn\n"
           "  curl -d 'some text' http://127.0.0.1:%u/form\n"
           "  curl -H 'Host: example.com' 'http://127.0.0.1:%u/a/path?with=query'\n"
           "  curl -x http://127.0.0.1:%u http://example.com/     # by the forward proxy; https:// goes by a tunnel\n"
           "  curl -x http://127.0.0.1:%u http://169.254.1.1/     # 403: it leads to public addresses only\n\n"
           "Ctrl-C stops it. The access log follows.\n\n",
           p, p, p, forward, forward);
    fflush(stdout);
}

void demo_advise(uint16_t port)
{
    unsigned other = port < 60000 ? port + 1000U : 8080U;
    unsigned last = port + DEMO_BACKENDS;
    char also[64] = "";
    uint16_t https = demo_https_port(port), forward = demo_forward_port(port);
    if (forward == last + 1)
        last = forward;
    else
        snprintf(also, sizeof(also), "%s %u", https ? "," : " and", (unsigned)forward);
    if (https)
        snprintf(also + strlen(also), sizeof(also) - strlen(also), " and %u", (unsigned)https);
    fprintf(stderr,
            "hinge: the ports %u to %u%s must be free%s; choose another first port: ./run %u (or hinge --demo %u)\n",
            (unsigned)port, last, also, port < 1024 ? ", and this user's to listen on" : "", other, other);
}
