#include "conf/conf_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memfile.h"

static void paths(void **state)
{
    struct bundle *b = bundle_new(SLICE("/usr/local"));
    assert_string_equal(bundle_prefix(b).p, "/usr/local/");
    assert_string_equal(bundle_path(b, SLICE("a/b")).p, "/usr/local/a/b");
    assert_string_equal(bundle_path(b, SLICE("/a")).p, "/a");
    assert_string_equal(bundle_conf_path(b, SLICE("a")).p, "/usr/local/a");
    assert_int_equal(bundle_option_set(b, SLICE("conf_dir"), SLICE("/etc/hinge/")), OK);
    assert_string_equal(bundle_conf_path(b, SLICE("a")).p, "/etc/hinge/a");
    assert_string_equal(bundle_conf_path(b, SLICE("/a")).p, "/a");
    bundle_free(b);
    b = bundle_new(SLICE("/"));
    assert_string_equal(bundle_prefix(b).p, "/");
    bundle_free(b);
}

static void options(void **state)
{
    struct bundle *b = bundle_new(SLICE("/p"));
    assert_int_equal(bundle_option(b, SLICE("x")).n, 0);
    assert_int_equal(bundle_option_set(b, SLICE("x"), SLICE("1")), OK);
    assert_int_equal(bundle_option_set(b, SLICE("x"), SLICE("22")), OK);
    assert_string_equal(bundle_option(b, SLICE("x")).p, "22");
    assert_null(bundle_first(b)->next);
    bundle_free(b);
}

/* What was read once is not read again, and what failed once goes on failing. */
static void files(void **state)
{
    char dir[] = "/tmp/hinge-bundle-XXXXXX", path[256];
    slice text;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/f", dir);
    struct bundle *b = bundle_new(slice_str(dir));
    assert_int_equal(bundle_file(b, SLICE("f"), &text), ERR_SYS);
    assert_int_equal(errno, ENOENT);
    FILE *f = fopen(path, "w");
    fputs("text", f);
    fclose(f);
    errno = 0;
    assert_int_equal(bundle_file(b, SLICE("f"), &text), ERR_SYS);
    assert_int_equal(errno, ENOENT);
    bundle_free(b);
    b = bundle_new(slice_str(dir));
    assert_int_equal(bundle_file(b, SLICE("f"), &text), OK);
    assert_true(slice_eq(text, SLICE("text")));
    assert_int_equal(remove(path), 0);
    assert_int_equal(bundle_file(b, slice_str(path), &text), OK);
    assert_int_equal(bundle_file(b, SLICE("."), &text), ERR_SYS);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(bundle_file(b, SLICE("a\0b"), &text), ERR_SYS);
    assert_int_equal(errno, EINVAL);
    bundle_close(b);
    assert_int_equal(bundle_file(b, SLICE("f"), &text), OK);
    assert_int_equal(bundle_file(b, SLICE("other"), &text), ERR_NOTFOUND);
    bundle_free(b);
    assert_int_equal(rmdir(dir), 0);
}

static void too_large(void **state)
{
    char path[] = "/tmp/hinge-large-XXXXXX";
    slice text;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)CONF_MAX_FILE + 1), 0);
    struct bundle *b = bundle_new(SLICE("/"));
    assert_int_equal(bundle_file(b, slice_str(path), &text), ERR_LIMIT);
    assert_int_equal(bundle_file(b, slice_str(path), &text), ERR_LIMIT);
    bundle_free(b);
    b = bundle_new(SLICE("/"));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(bundle_file(b, slice_str(path), &text), OK);
    assert_int_equal(text.n, 0);
    bundle_free(b);
    close(fd);
    remove(path);
}

static unsigned asked;

static int resolve(void *ctx, slice name, struct strb *out)
{
    asked++;
    if (slice_eq(name, SLICE("none")))
        return ERR_NOTFOUND;
    if (slice_eq(name, SLICE("slow")))
        return ERR_TIMEOUT;
    strb_add(out, slice_str(ctx));
    strb_char(out, '\0');
    return OK;
}

static void names(void **state)
{
    slice text;
    struct bundle *b = bundle_new(SLICE("/p"));
    assert_int_equal(bundle_name(b, SLICE("early"), &text), ERR_SYS);
    bundle_set_resolver(b, resolve, "192.0.2.1");
    asked = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bundle_name(b, SLICE("a"), &text), OK);
        assert_true(slice_eq(text, slice_of("192.0.2.1", 10)));
        assert_int_equal(bundle_name(b, SLICE("none"), &text), ERR_NOTFOUND);
        assert_int_equal(bundle_name(b, SLICE("slow"), &text), ERR_SYS);
    }
    assert_int_equal(asked, 3);
    bundle_free(b);
}

/* A bundle with an entry of every kind, and two descriptors. */
static struct bundle *sample(int fds[3])
{
    slice text;
    struct bundle *b = bundle_new(SLICE("/p"));
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fds[2] = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(bundle_file_set(b, SLICE("a.conf"), SLICE("a;\0b")), OK);
    assert_int_equal(bundle_option_set(b, SLICE("g"), SLICE("daemon off;")), OK);
    bundle_set_resolver(b, resolve, "192.0.2.1");
    assert_int_equal(bundle_name(b, SLICE("host"), &text), OK);
    assert_int_equal(bundle_name(b, SLICE("none"), &text), ERR_NOTFOUND);
    assert_int_equal(bundle_glob(b, SLICE("/proc/self/no*such"), &text), OK);
    struct bundle_entry *e = bundle_descriptor(b, BUNDLE_LISTEN, SLICE("127.0.0.1:80"));
    e->fds = malloc(2 * sizeof(int));
    e->fds[0] = fds[0];
    e->fds[1] = fds[1];
    e->nfds = 2;
    e = bundle_descriptor(b, BUNDLE_LOG, SLICE("/p/log"));
    e->fds = malloc(sizeof(int));
    e->fds[0] = fds[2];
    e->nfds = 1;
    assert_ptr_equal(bundle_descriptor(b, BUNDLE_LOG, SLICE("/p/log")), e);
    return b;
}

static void same(struct bundle *a, struct bundle *b)
{
    const struct bundle_entry *x = bundle_first(a), *y = bundle_first(b);
    for (; x && y; x = x->next, y = y->next) {
        assert_int_equal(x->kind, y->kind);
        assert_true(slice_eq(x->key, y->key));
        assert_true(slice_eq(x->text, y->text));
        assert_int_equal(x->error, y->error);
        assert_int_equal(x->nfds, y->nfds);
    }
    assert_null(x);
    assert_null(y);
    assert_true(slice_eq(bundle_prefix(a), bundle_prefix(b)));
}

static void travel(void **state)
{
    int fd, *list, own[3];
    size_t n;
    slice text;
    struct bundle *a = sample(own), *b;
    assert_int_equal(bundle_seal(a, &fd, &list, &n), OK);
    assert_int_equal(n, 3);
    assert_memory_equal(list, own, sizeof(own));
    assert_int_equal(write(fd, "x", 1), -1); /* sealed */
    assert_int_equal(ftruncate(fd, 0), -1);
    for (size_t i = 0; i < n; i++)
        list[i] = dup(list[i]);
    assert_int_equal(bundle_load(fd, list, n, &b), OK);
    same(a, b);
    assert_int_equal(bundle_file(b, SLICE("a.conf"), &text), OK);
    assert_true(slice_eq(text, SLICE("a;\0b")));
    assert_int_equal(bundle_file(b, SLICE("/etc/passwd"), &text), ERR_NOTFOUND);
    assert_int_equal(bundle_name(b, SLICE("none"), &text), ERR_NOTFOUND);
    assert_int_equal(bundle_name(b, SLICE("host"), &text), OK);
    assert_null(bundle_descriptor(b, BUNDLE_LISTEN, SLICE("other")));
    assert_int_equal(bundle_descriptor(b, BUNDLE_LOG, SLICE("/p/log"))->fds[0], list[2]);
    bundle_free(b);
    assert_int_equal(fcntl(list[0], F_GETFD), -1); /* the bundle owned them */
    free(list);
    close(fd);
    bundle_free(a);
    assert_int_equal(fcntl(own[0], F_GETFD), -1);
}

static void unsealed(void **state)
{
    struct bundle *b = NULL;
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(bundle_load(fd, NULL, 0, &b), ERR_SYNTAX);
    assert_int_equal(write(fd, "HINGEBDL", 8), 8);
    assert_int_equal(bundle_load(fd, NULL, 0, &b), ERR_SYNTAX);
    close(fd);
    assert_int_equal(bundle_load(-1, NULL, 0, &b), ERR_SYS);
    assert_null(b);
}

/* Cut anywhere, or changed in any byte, the bytes are refused or mean something; they never crash a reader. */
static void hostile(void **state)
{
    int fd, *list, own[3];
    size_t n;
    struct bundle *a = sample(own), *b = NULL;
    assert_int_equal(bundle_seal(a, &fd, &list, &n), OK);
    off_t size = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)size);
    assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
    int none[3] = { -1, -1, -1 };
    for (size_t cut = 0; cut < (size_t)size; cut++) {
        char *copy = malloc(cut + 1); /* exact but for the byte that malloc(0) would lack */
        memcpy(copy, bytes, cut);
        assert_int_equal(bundle_load_bytes(slice_of(copy, cut), none, 3, &b), ERR_SYNTAX);
        free(copy);
    }
    for (size_t at = 0; at < (size_t)size; at++) {
        char keep = bytes[at];
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] = (char)(keep ^ 1 << bit);
            if (bundle_load_bytes(slice_of(bytes, (size_t)size), none, 3, &b) == OK)
                bundle_free(b);
        }
        bytes[at] = keep;
    }
    assert_int_equal(bundle_load_bytes(slice_of(bytes, (size_t)size), none, 2, &b), ERR_SYNTAX);
    assert_int_equal(bundle_load_bytes(slice_of(bytes, (size_t)size), none, 3, &b), OK);
    bundle_free(b);
    free(bytes);
    free(list);
    close(fd);
    bundle_free(a);
}

static char *many_bytes(const char *path, size_t n)
{
    FILE *f = fopen(path, "w");
    char *bytes = malloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)('a' + i % 23);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    return bytes;
}

/* A large file is not in the sealed text: it travels as a descriptor, and ends in a NUL wherever a page does. */
static void large(void **state)
{
    static const size_t sizes[] = { BUNDLE_LARGE - 1, BUNDLE_LARGE, BUNDLE_LARGE + 1, 50 * 4096 };
    char path[] = "/tmp/hinge-large-XXXXXX";
    close(mkstemp(path));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bundle *a = bundle_new(SLICE("/")), *b;
        char *bytes = many_bytes(path, sizes[i]);
        int fd, *fds;
        size_t n;
        slice text;
        assert_int_equal(bundle_file(a, slice_str(path), &text), OK);
        assert_true(slice_eq(text, slice_of(bytes, sizes[i])));
        assert_int_equal(text.p[text.n], 0);
        assert_int_equal(bundle_seal(a, &fd, &fds, &n), OK);
        assert_int_equal(n, sizes[i] >= BUNDLE_LARGE);
        assert_int_equal(lseek(fd, 0, SEEK_END) < (off_t)BUNDLE_LARGE, n == 1);
        for (size_t k = 0; k < n; k++)
            fds[k] = dup(fds[k]);
        bundle_free(a);
        assert_int_equal(bundle_load(fd, fds, n, &b), OK);
        assert_int_equal(bundle_file(b, slice_str(path), &text), OK);
        assert_true(slice_eq(text, slice_of(bytes, sizes[i])));
        assert_int_equal(text.p[text.n], 0);
        bundle_free(b);
        close(fd);
        free(fds);
        free(bytes);
    }
    remove(path);
}

/* A descriptor that is no sealed text is refused, and stays its giver's. */
static void no_text(void **state)
{
    char path[] = "/tmp/hinge-large-XXXXXX";
    int sealed, *fds, other;
    size_t n;
    slice text;
    struct bundle *a = bundle_new(SLICE("/")), *b = NULL;
    close(mkstemp(path));
    free(many_bytes(path, BUNDLE_LARGE));
    assert_int_equal(bundle_file(a, slice_str(path), &text), OK);
    assert_int_equal(bundle_seal(a, &sealed, &fds, &n), OK);
    assert_int_equal(memfile_new("other", &other), OK);
    assert_int_equal(memfile_put(other, SLICE("no NUL")), OK);
    assert_int_equal(bundle_load(sealed, &other, 1, &b), ERR_SYNTAX);
    assert_int_equal(memfile_seal(other), OK);
    assert_int_equal(bundle_load(sealed, &other, 1, &b), ERR_SYNTAX);
    assert_int_equal(close(other), 0);
    assert_int_equal(bundle_load(sealed, &other, 1, &b), ERR_SYS);
    assert_null(b);
    bundle_free(a);
    close(sealed);
    free(fds);
    remove(path);
}

static int take(void *ctx, slice piece)
{
    struct strb *all = ctx;
    strb_add(all, piece);
    return all->n > 150000 ? ERR_REFUSED : OK;
}

/* Whoever takes a file in pieces leaves nothing of it in the bundle. */
static void in_pieces(void **state)
{
    char path[] = "/tmp/hinge-large-XXXXXX";
    struct bundle *b = bundle_new(SLICE("/"));
    struct strb all;
    strb_init(&all, 0);
    close(mkstemp(path));
    char *bytes = many_bytes(path, 140000);
    assert_int_equal(bundle_pieces(b, slice_str(path), take, &all), OK);
    assert_true(slice_eq(strb_slice(&all), slice_of(bytes, 140000)));
    assert_int_equal(bundle_pieces(b, slice_str(path), take, &all), ERR_REFUSED);
    assert_null(bundle_first(b));
    remove(path);
    assert_int_equal(bundle_pieces(b, slice_str(path), take, &all), ERR_SYS);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(bundle_file_set(b, slice_str(path), SLICE("held")), OK);
    all.n = 0;
    assert_int_equal(bundle_pieces(b, slice_str(path), take, &all), OK);
    assert_true(slice_eq(strb_slice(&all), SLICE("held")));
    bundle_close(b);
    assert_int_equal(bundle_pieces(b, SLICE("/none"), take, &all), ERR_NOTFOUND);
    strb_done(&all);
    bundle_free(b);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths), cmocka_unit_test(options), cmocka_unit_test(files),     cmocka_unit_test(too_large),
        cmocka_unit_test(names), cmocka_unit_test(travel),  cmocka_unit_test(unsealed),  cmocka_unit_test(hostile),
        cmocka_unit_test(large), cmocka_unit_test(no_text), cmocka_unit_test(in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
