/* Processes, from the outside: what happens when one dies, and when sockets, logs or descriptors run out. */
#include "app/test_server.h"

/* ---- crashes ---- */

static void test_engine_killed(void **state)
{
    struct server *s = prepare();
    configure(s, "worker_processes 2; greet %1 one;");
    start(s);
    pid_t before = engine_of(s);
    put_file(s, "c.conf", "nonsense;"); /* what is on the disk is of no interest to a restart */
    kill(before, SIGSTOP);              /* nobody accepts: the connection waits in the queue */
    wait_until(all_stopped(before));
    int fd = dial(s, 0);
    assert_true(fd >= 0);
    kill(before, SIGKILL);
    assert_string_equal(word(fd), "one");
    assert_int_not_equal(engine_of(s), before);
    assert_int_equal(log_count(s, "exited on signal 9"), 1);
    close(fd);
    wait_until(log_count(s, "serves with") == 2);
    reload(s, "worker_processes 2; greet %1 two;");
    assert_greets(s, 0, "two");
    stop(s, SIGQUIT);
}

static void test_crash_loop_backs_off(void **state)
{
    struct server *s = prepare();
    configure(s, "greet %1 one;");
    start(s);
    for (int i = 0; i < 3; i++) {
        pid_t before = engine_of(s);
        kill(before, SIGKILL);
        wait_until(i == 2 || (engine_of(s) != before && strcmp(greeting(s, 0), "one") == 0));
    }
    wait_until(log_count(s, "engines end too often") == 1);
    assert_greets(s, 0, "one"); /* after a second */
    stop(s, SIGTERM);
}

static void test_engine_told_to_quit(void **state)
{
    struct server *s = prepare();
    configure(s, "greet %1 one;");
    start(s);
    int fd = dial(s, 0);
    assert_string_equal(word(fd), "one");
    pid_t before = engine_of(s);
    kill(before, SIGQUIT);
    wait_until(log_count(s, "start engine process") == 2);
    assert_greets(s, 0, "one");
    assert_string_equal(again(fd), "one"); /* still with the old one */
    close(fd);
    wait_until(log_count(s, "exited with code 0") >= 2); /* its generation, and itself */
    stop(s, SIGTERM);
}

static void test_master_killed(void **state)
{
    struct server *s = prepare();
    configure(s, "greet %1 one;");
    start(s);
    pid_t engine = engine_of(s);
    int fd = dial(s, 0);
    assert_string_equal(word(fd), "one");
    murder(s);
    wait_until(log_count(s, "the master is gone") == 1);
    assert_greets(s, 0, "one");
    assert_string_equal(again(fd), "one");
    kill(engine, SIGTERM);
    assert_string_equal(word(fd), "");
    close(fd);
    wait_until(strcmp(greeting(s, 0), "refused") == 0);
}

/* Not one connection is refused while a new master takes over from one that was killed. */
static void test_next_master_takes_over(void **state)
{
    struct server *s = prepare();
    configure(s, "worker_processes 2; greet %1 one; greet unix:%d/s local;");
    start(s);
    pid_t old = engine_of(s);
    int fd = dial(s, 0);
    assert_string_equal(word(fd), "one");
    murder(s);
    wait_until(log_count(s, "the master is gone") == 1);
    configure(s, "nonsense;"); /* a start that fails leaves the old engine alone */
    assert_int_equal(command(s, NULL, NULL), 1);
    configure(s, "worker_processes 2; greet %1 two; greet unix:%d/s local;");
    s->pid = run(s, NULL, NULL);
    while (!pid_file_says(s, s->pid)) {
        const char *text = greeting(s, 0);
        assert_true(strcmp(text, "one") == 0 || strcmp(text, "two") == 0);
    }
    int twos = 0; /* both engines accept from the same sockets until the old one was told to stop */
    wait_until((twos = strcmp(greeting(s, 0), "two") == 0 ? twos + 1 : 0) >= 20);
    assert_int_equal(log_count(s, "gracefully shutting down"), 1);
    assert_string_equal(again(fd), "one");
    assert_int_equal(kill(old, 0), 0);
    close(fd);
    wait_until(kill(old, 0) < 0 || engine_is_zombie(old));
    fd = dial_unix(s);
    assert_string_equal(word(fd), "local");
    close(fd);
    reload(s, "worker_processes 2; greet %1 three;");
    assert_greets(s, 0, "three");
    stop(s, SIGTERM);
}

static void test_stuck_worker(void **state)
{
    struct server *s = prepare();
    if (!getenv("HINGE_TEST_FULL"))
        skip();
    configure(s, "greet %1 one;");
    start(s);
    int fd = dial(s, 0);
    assert_string_equal(word(fd), "one");
    assert_int_equal(write(fd, "!", 1), 1);
    const char *last = word(fd);
    assert_true(*last == 0 || *last == '-'); /* closed by the death of the engine, with or without a reset */
    wait_until(strcmp(greeting(s, 0), "one") == 0);
    assert_int_equal(log_count(s, "has not come back to its loop"), 1);
    assert_int_equal(log_count(s, "the stack of the worker"), 1);
    close(fd);
    stop(s, SIGTERM);
}

/* ---- sockets, logs, limits ---- */

static void test_unix_socket(void **state)
{
    struct server *s = prepare();
    char path[128];
    configure(s, "worker_processes 3; greet unix:%d/s one;");
    path_of(s, "s", path, sizeof(path));
    start(s);
    for (int i = 0; i < 10; i++) {
        int fd = dial_unix(s);
        assert_string_equal(word(fd), "one");
        close(fd);
    }
    reload(s, "worker_processes 2; greet unix:%d/s two;");
    int fd = dial_unix(s);
    assert_string_equal(word(fd), "two");
    close(fd);
    reload(s, "worker_processes 2; greet %1 three;");
    wait_until(access(path, F_OK) < 0);
    reload(s, "worker_processes 2; greet unix:%d/s four;");
    pid_t engine = engine_of(s);
    murder(s); /* leaves the file behind, and the next start is not bothered by it */
    kill(engine, SIGKILL);
    wait_until(dial_unix(s) < 0);
    assert_int_equal(access(path, F_OK), 0);
    configure(s, "greet unix:%d/s five;");
    start(s);
    fd = dial_unix(s);
    assert_string_equal(word(fd), "five");
    close(fd);
    stop(s, SIGTERM);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_reopen(void **state)
{
    struct server *s = prepare();
    char from[128], to[128];
    configure(s, "greet %1 one;");
    start(s);
    path_of(s, "error.log", from, sizeof(from));
    path_of(s, "old.log", to, sizeof(to));
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(command(s, "-s", "reopen"), 0);
    wait_until(access(from, F_OK) == 0);
    reload(s, "greet %1 two;"); /* waits for a line of the engine in the new file */
    assert_int_equal(log_count(s, "SIGHUP"), 1);
    stop(s, SIGTERM);
}

static void test_too_many_connections(void **state)
{
    struct server *s = prepare();
    int fd[4];
    configure(s, "greet %1 one;");
    char *text = strdup(get_file(s, "c.conf"));
    char *at = strstr(text, "events { }");
    char *whole = NULL;
    assert_true(asprintf(&whole, "%.*sevents { worker_connections 3; }%s", (int)(at - text), text, at + 10) > 0);
    put_file(s, "c.conf", whole);
    free(whole);
    free(text);
    start(s);
    for (int i = 0; i < 3; i++) {
        fd[i] = dial(s, 0);
        assert_string_equal(word(fd[i]), "one");
    }
    fd[3] = dial(s, 0);
    assert_string_equal(word(fd[3]), "");
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    wait_until(strcmp(greeting(s, 0), "one") == 0);
    assert_int_equal(log_count(s, "worker_connections are not enough"), 1);
    stop(s, SIGTERM);
}

static void test_out_of_descriptors(void **state)
{
    struct server *s = prepare();
    enum { MANY = 64 };
    int fd[MANY];
    configure(s, "worker_rlimit_nofile 48; greet %1 one;");
    start(s);
    for (int i = 0; i < MANY; i++)
        assert_true((fd[i] = dial(s, 0)) >= 0);
    wait_until(log_count(s, "Too many open files") == 1);
    for (int i = 0; i < MANY / 2; i++) /* the oldest were served; their end makes room for the rest */
        close(fd[i]);
    for (int i = MANY / 2; i < MANY; i++) {
        assert_string_equal(word(fd[i]), "one");
        close(fd[i]);
    }
    stop(s, SIGTERM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_engine_killed),
        SERVER_TEST(test_crash_loop_backs_off),
        SERVER_TEST(test_engine_told_to_quit),
        SERVER_TEST(test_master_killed),
        SERVER_TEST(test_next_master_takes_over),
        SERVER_TEST(test_stuck_worker),
        SERVER_TEST(test_unix_socket),
        SERVER_TEST(test_reopen),
        SERVER_TEST(test_too_many_connections),
        SERVER_TEST(test_out_of_descriptors),
    };
    return test_server_main(argc, argv, tests, array_len(tests));
}
