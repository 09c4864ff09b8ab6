#include "app/title.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char **title_keep(int argc, char **argv)
{
    char **words = calloc((size_t)argc + 1, sizeof(*words));
    for (int i = 0; words && i < argc; i++) {
        words[i] = strdup(argv[i]);
        if (!words[i]) {
            title_free(words);
            return NULL;
        }
    }
    return words;
}

void title_free(char **words)
{
    for (char **w = words; w && *w; w++)
        free(*w);
    free(words);
}

/* Behind the arguments lies the environment. It moves to the heap for good, and where it lay becomes room. */
static char *move_environment(char *end)
{
    for (char **e = environ; *e == end; e++) {
        size_t n = strlen(*e) + 1;
        char *copy = malloc(n);
        if (!copy)
            break;
        memcpy(copy, *e, n);
        end += n;
        *e = copy;
    }
    return end;
}

static bool append(char **at, char *end, const char *text)
{
    size_t n = strlen(text);
    if (n >= (size_t)(end - *at))
        return false;
    memcpy(*at, text, n);
    *at += n;
    return true;
}

void title_set(int argc, char **argv, const char *title, char *const *words)
{
    if (argc < 1)
        return;
    char *at = argv[0], *end = at + strlen(at) + 1;
    for (int i = 1; i < argc && argv[i] == end; i++)
        end += strlen(argv[i]) + 1;
    end = move_environment(end);
    memset(at, 0, (size_t)(end - at));
    bool more = append(&at, end, title);
    for (; more && *words; words++)
        more = append(&at, end, " ") && append(&at, end, *words);
}
