/*
 * What `ps` shows for the process. The kernel shows the bytes that the arguments lay in at start, and what follows them
 * when these are filled. So a title is written over the arguments, which are copied before, and over the environment,
 * which moves: once, before there are threads.
 */
#ifndef APP_TITLE_H
#define APP_TITLE_H

/* A copy of the arguments, NULL-terminated, or NULL. */
char **title_keep(int argc, char **argv);
void title_free(char **words);
/* The title, and behind it as many of the words (a title_keep) as fit. */
void title_set(int argc, char **argv, const char *title, char *const *words);

#endif
