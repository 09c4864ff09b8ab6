/*
 * Spilling: what a buffer cannot hold of a body waits in an unlinked file. Request bodies larger than
 * client_body_buffer_size, and answers as far as proxy_max_temp_file_size allows.
 */
#ifndef PROXY_SPILL_H
#define PROXY_SPILL_H

#include "proxy/step.h"

/* The request pipe is full: moves it to the exchange's file and has the client go on. The next step, as a step says. */
enum step spill_request(struct exchange *x);
/* The response pipe is full: the same for the backend, or back-pressure when the limit is reached or the disk fails. */
void spill_answer(struct exchange *x);
/* Closes the files. */
void spill_done(struct exchange *x);

#endif
