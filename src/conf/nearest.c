#include "conf/nearest.h"

enum { NAME_MAX_LEN = 64, DISTANCE_MAX = 3 };

void nearest_init(struct nearest *n, slice wanted)
{
    unsigned third = wanted.n > NAME_MAX_LEN ? 0 : (unsigned)wanted.n / 3;
    *n = (struct nearest){ .wanted = wanted, .within = third > DISTANCE_MAX ? DISTANCE_MAX : third };
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

unsigned name_distance(slice a, slice b, unsigned limit)
{
    unsigned rows[3][NAME_MAX_LEN + 1];
    unsigned *before = rows[0], *prev = rows[1], *row = rows[2];
    size_t gap = a.n > b.n ? a.n - b.n : b.n - a.n;
    if (a.n > NAME_MAX_LEN || b.n > NAME_MAX_LEN || gap > limit)
        return limit + 1;
    for (unsigned j = 0; j <= b.n; j++)
        prev[j] = before[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            char ca = ascii_lower(a.p[i - 1]), cb = ascii_lower(b.p[j - 1]);
            row[j] = min3(prev[j] + 1, row[j - 1] + 1, prev[j - 1] + (ca != cb));
            bool swapped = i > 1 && j > 1 && ca == ascii_lower(b.p[j - 2]) && ascii_lower(a.p[i - 2]) == cb;
            if (swapped && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        unsigned *t = before;
        before = prev;
        prev = row;
        row = t;
    }
    return prev[b.n] > limit ? limit + 1 : prev[b.n];
}

void nearest_offer(struct nearest *n, slice name)
{
    if (n->within == 0)
        return;
    unsigned d = name_distance(n->wanted, name, n->within);
    if (d <= n->within) {
        n->best = name;
        n->within = d > 0 ? d - 1 : 0;
    }
}
