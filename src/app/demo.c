#include "app/demo.h"

#include <stdio.h>

#include "base/strb.h"

enum { DEMO_BACKENDS = 3 };

static const char *const names[DEMO_BACKENDS] = { "one", "two", "three" };

static void add_upstream(struct strb *b, unsigned port)
{
    strb_lit(b, "    upstream backends {\n");
    for (unsigned i = 0; i < DEMO_BACKENDS; i++)
        strb_printf(b, "        server 127.0.0.1:%u;\n", port + 1 + i);
    strb_lit(b, "        keepalive 16;\n    }\n");
}

static void add_proxy(struct strb *b, unsigned port)
{
    strb_printf(b,
                "    server {\n"
                "        listen %u;\n"
                "        trusted_proxies none;\n"
                "        location / {\n"
                "            proxy_pass http://backends;\n"
                "            proxy_set_header Host $http_host;\n"
                "            proxy_set_header X-Forwarded-For $remote_addr;\n"
                "            add_header X-Backend $upstream_addr always;\n"
                "        }\n"
                "    }\n",
                port);
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
    unsigned p = port;
    printf("hinge " HINGE_VERSION " is running\n\n"
           "  http://127.0.0.1:%-5u     a reverse proxy, balancing over three backends\n",
           p);
    for (unsigned i = 0; i < DEMO_BACKENDS; i++)
        printf("  http://127.0.0.1:%-5u     backend \"%s\": answers which backend it is and what it was asked\n",
               p + 1 + i, names[i]);
    printf("\nTry, in another terminal:\n\n"
           "  curl -i http://127.0.0.1:%u/            # again and again: each backend in its turn\n"
           "  curl -d 'some text' http://127.0.0.1:%u/form\n"
           "  curl -H 'Host: example.com' 'http://127.0.0.1:%u/a/path?with=query'\n\n"
           "Ctrl-C stops it. The access log follows.\n\n",
           p, p, p);
    fflush(stdout);
}

void demo_advise(uint16_t port)
{
    fprintf(stderr,
            "hinge: the ports %u to %u must be free; choose another first port: ./run %u (or hinge --demo %u)\n",
            (unsigned)port, port + 3U, port < 60000 ? port + 1000U : 8080U, port < 60000 ? port + 1000U : 8080U);
}
