#include "app/title.h"

#include <stdlib.h>
#include <string.h>

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

void title_set(int argc, char **argv, const char *title)
{
    if (argc < 1)
        return;
    char *end = argv[0] + strlen(argv[0]) + 1;
    for (int i = 1; i < argc && argv[i] == end; i++)
        end += strlen(argv[i]) + 1;
    size_t room = (size_t)(end - argv[0]), n = strlen(title);
    if (n > room - 1)
        n = room - 1;
    memset(argv[0], 0, room);
    memcpy(argv[0], title, n);
}
