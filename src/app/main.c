/*
 * main: everything is in app.c, where tests can reach it.
 */
#include "app/app.h"
#include "proxy/run.h"

int main(int argc, char **argv)
{
    run_init();
    return app_main(&app_hinge, argc, argv);
}
