/*
 * The embedded default of `hinge --demo`: a reverse proxy over three small backends of our own, and a forward proxy for
 * this machine.
 */
#ifndef APP_DEMO_H
#define APP_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The configuration as text (malloc), or NULL. */
char *demo_config(uint16_t port);
/* Where https is spoken beside `port`: 8443 beside 8080; 0: nowhere. */
uint16_t demo_https_port(uint16_t port);
/* Where the forward proxy listens: 3128 beside 8080, else on the port behind the backends. */
uint16_t demo_forward_port(uint16_t port);
/* demo_cert.c: the path of a file of key and certificate, made when there is no good one. false: it cannot be. */
bool demo_certificate(char *path, size_t n);
/* What listens where, and what to try, on stdout. */
void demo_greet(uint16_t port);
/* After a start that failed on a port that is in use, or that is not for this user: how to choose another. */
void demo_advise(uint16_t port);

#endif
