/*
 * The embedded default of `hinge --demo`: a reverse proxy over three small backends of our own.
 */
#ifndef APP_DEMO_H
#define APP_DEMO_H

#include <stdint.h>

/* The configuration as text (malloc), or NULL. */
char *demo_config(uint16_t port);
/* What listens where, and what to try, on stdout. */
void demo_greet(uint16_t port);
/* After a start that failed on a port in use: how to choose another. */
void demo_advise(uint16_t port);

#endif
