/*
 * What `ps` shows for the process. The kernel shows the bytes that the arguments lay in at start, so a title is written
 * over them, and the arguments are copied before.
 */
#ifndef APP_TITLE_H
#define APP_TITLE_H

/* A copy of the arguments, NULL-terminated, or NULL. */
char **title_keep(int argc, char **argv);
void title_free(char **words);
/* Writes over the arguments as much of the title as fits. */
void title_set(int argc, char **argv, const char *title);

#endif
