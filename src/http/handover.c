#include "http/handover.h"

#include <stdlib.h>
#include <unistd.h>

#include "net/transport.h"

void handover_refuse(struct worker *w, const struct handover *h)
{
    worker_count(w, COUNT_MEMORY_REFUSED);
    transport_free(h->tr);
    close(h->fd);
    free((void *)h->client.proxied);
    gen_drop(h->gen);
    worker_count(w, COUNT_CONN_CLOSED);
}
