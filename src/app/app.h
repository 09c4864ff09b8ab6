/*
 * What the program is made of, handed to main's parts so that tests can put others in: the features that the
 * configuration language has, and the rooms that workers serve.
 */
#ifndef APP_APP_H
#define APP_APP_H

#include <stddef.h>

#include "conf/schema.h"
#include "http/worker.h"

struct app {
    struct feature *const *features;
    size_t nfeatures;
    const struct room_hooks *const *rooms;
    size_t nrooms;
};

/* features.def, as tables. */
extern const struct app app_hinge;

/* The whole program; the exit code. */
int app_main(const struct app *app, int argc, char **argv);

/* The room that serves accepted connections, or NULL. */
const struct room_hooks *app_server_room(const struct app *app);

#define HINGE_CONF_PATH "/etc/hinge/hinge.conf"
#define HINGE_PREFIX    "/etc/hinge/"
#define HINGE_PID_PATH  "/run/hinge.pid"
#define HINGE_ERROR_LOG "/var/log/hinge/error.log"
#define HINGE_USER      "nobody"
/* The level of nginx's language and behaviour that hinge speaks; scripts ask for it with -V. */
#define HINGE_NGINX "1.31.5"

#endif
