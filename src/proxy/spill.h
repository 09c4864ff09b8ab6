/*
 * Spilling: what a buffer cannot hold of a body waits in an unlinked file. Request bodies larger than
 * client_body_buffer_size, and answers as far as proxy_max_temp_file_size allows.
 */
#ifndef PROXY_SPILL_H
#define PROXY_SPILL_H

#include "proxy/step.h"

/* The request pipe is full, or a write of it has failed: has it written to the exchange's file, after which the client
 * goes on. The next step, as a step says. */
enum step spill_request(struct exchange *x);
/* The response pipe may be full: the same for the backend, or back-pressure when the limit is reached or the disk
 * fails.
 */
void spill_answer(struct exchange *x);
/* Closes the files, at once or when the write that is under way has ended. */
void spill_done(struct exchange *x);

#endif
