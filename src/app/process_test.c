/* Processes, from the outside: starting, ending, reloading. */
#include "app/test_server.h"

/* ---- start and end ---- */

static void test_start_and_stop(void **state)
{
    struct server *s = prepare();
    configure(s, "worker_processes 2; greet %1 one;");
    start(s);
    for (int i = 0; i < 20; i++)
        assert_greets(s, 0, "one");
    assert_int_not_equal(engine_of(s), 0);
    stop(s, SIGTERM);
    assert_string_equal(get_file(s, "p.pid"), "");
    start(s);
    stop(s, SIGINT);
}

static void test_one_process(void **state)
{
    struct server *s = prepare();
    configure(s, "master_process off; greet %1 one;");
    start(s);
    assert_greets(s, 0, "one");
    assert_int_equal(engine_of(s), 0);
    configure(s, "master_process off; greet %1 two;");
    kill(s->pid, SIGHUP);
    wait_until(strcmp(greeting(s, 0), "two") == 0);
    stop(s, SIGQUIT);
}

static void test_daemon(void **state)
{
    struct server *s = prepare();
    char text[256];
    uint64_t pid;
    snprintf(text, sizeof(text), "error_log error.log info; pid p.pid; events { }\ngreet 127.0.0.1:%u one;\n",
             s->port[0]);
    put_file(s, "c.conf", text);
    assert_int_equal(command(s, NULL, NULL), 0); /* it has returned, so it serves */
    assert_greets(s, 0, "one");
    slice number = slice_str(get_file(s, "p.pid"));
    assert_int_equal(slice_to_u64(slice_upto(number, number.n - 1), &pid), OK);
    assert_int_equal(command(s, "-s", "quit"), 0);
    wait_until(kill((pid_t)pid, 0) < 0 && errno == ESRCH);
}

static void test_bad_start(void **state)
{
    struct server *s = prepare();
    configure(s, "greet nowhere one;\nnonsense;\n");
    assert_int_equal(command(s, NULL, NULL), 1);
    assert_non_null(strstr(get_file(s, "stderr"), "hinge: [emerg] bad address in "));
    assert_non_null(strstr(get_file(s, "stderr"), "c.conf:5"));
    assert_non_null(strstr(get_file(s, "stderr"), "unknown directive \"nonsense\""));
    assert_int_equal(log_count(s, "[emerg]"), 2);
    assert_int_equal(command(s, "-t", NULL), 1);
    assert_non_null(strstr(get_file(s, "stderr"), "test failed"));
}

static void test_port_in_use(void **state)
{
    struct server *s = prepare();
    configure(s, "greet %1 one;");
    start(s);
    struct server other = *s;
    memcpy(other.dir, "/tmp/hinge-process-XXXXXX", 26);
    assert_non_null(mkdtemp(other.dir));
    configure(&other, "greet %1 other;");
    assert_int_equal(command(&other, "-t", NULL), 0);
    assert_int_equal(command(&other, NULL, NULL), 1);
    const char *said = get_file(&other, "stderr");
    assert_non_null(strstr(said, "[emerg] bind() to 127.0.0.1:"));
    assert_non_null(strstr(said, "failed (98: Address already in use)"));
    assert_non_null(strstr(said, "still could not bind()"));
    assert_greets(s, 0, "one");
    stop(s, SIGTERM);
    remove_tree(other.dir);
}

static void test_quit_waits(void **state)
{
    struct server *s = prepare();
    configure(s, "worker_processes 2; greet %1 one;");
    start(s);
    int fd = dial(s, 0);
    assert_string_equal(word(fd), "one");
    kill(s->pid, SIGQUIT);
    wait_until(strcmp(greeting(s, 0), "refused") == 0);
    assert_string_equal(again(fd), "one");
    assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
    close(fd);
    ended(s);
}

static void test_shutdown_timeout(void **state)
{
    struct server *s = prepare();
    configure(s, "worker_shutdown_timeout 100ms; greet %1 one;");
    start(s);
    int fd = dial(s, 0);
    assert_string_equal(word(fd), "one");
    stop(s, SIGQUIT);
    assert_string_equal(word(fd), "");
    close(fd);
}

/* ---- reload ---- */

static void test_reload(void **state)
{
    struct server *s = prepare();
    configure(s, "worker_processes 2; greet %1 one;");
    start(s);
    int fd = dial(s, 0);
    assert_string_equal(word(fd), "one");
    reload(s, "worker_processes 2; greet %1 two;");
    for (int i = 0; i < 10; i++)
        assert_greets(s, 0, "two");
    assert_string_equal(again(fd), "one"); /* lives on in its generation */
    assert_int_equal(log_count(s, "exited with code 0"), 0);
    close(fd);
    wait_until(log_count(s, "exited with code 0") == 1);
    stop(s, SIGTERM);
}

static void test_reload_cuts_after_timeout(void **state)
{
    struct server *s = prepare();
    configure(s, "worker_shutdown_timeout 100ms; greet %1 one;");
    start(s);
    int fd = dial(s, 0);
    assert_string_equal(word(fd), "one");
    reload(s, "greet %1 two;");
    assert_string_equal(word(fd), "");
    close(fd);
    wait_until(log_count(s, "exited with code 0") == 1);
    stop(s, SIGTERM);
}

static void test_bad_reload(void **state)
{
    struct server *s = prepare();
    configure(s, "greet %1 one;");
    start(s);
    configure(s, "greet %1 two; nonsense;");
    kill(s->pid, SIGHUP);
    wait_until(log_count(s, "unknown directive \"nonsense\" in ") == 1);
    assert_greets(s, 0, "one");
    reload(s, "greet %1 three;");
    assert_greets(s, 0, "three");
    stop(s, SIGTERM);
}

static void test_listeners_come_and_go(void **state)
{
    struct server *s = prepare();
    configure(s, "worker_processes 2; greet %1 one; greet %2 second;");
    start(s);
    int kept = dial(s, 1);
    assert_string_equal(word(kept), "second");
    reload(s, "worker_processes 2; greet %1 one; greet %3 third;");
    assert_greets(s, 2, "third");
    wait_until(strcmp(greeting(s, 1), "refused") == 0);
    assert_string_equal(again(kept), "second");
    reload(s, "worker_processes 2; greet %1 one; greet %2 back;");
    assert_greets(s, 1, "back");
    assert_string_equal(again(kept), "second");
    close(kept);
    stop(s, SIGTERM);
}

static void test_worker_numbers_change(void **state)
{
    static const char *const numbers[] = { "4", "1", "3", "2", "4" };
    struct server *s = prepare();
    char text[64];
    configure(s, "worker_processes 2; greet %1 2;");
    start(s);
    int kept[8];
    for (size_t i = 0; i < array_len(kept); i++) {
        kept[i] = dial(s, 0);
        assert_string_equal(word(kept[i]), "2");
    }
    for (size_t i = 0; i < array_len(numbers); i++) {
        snprintf(text, sizeof(text), "worker_processes %s; greet %%1 %s;", numbers[i], numbers[i]);
        reload(s, text);
        for (int k = 0; k < 30; k++)
            assert_greets(s, 0, numbers[i]);
    }
    for (size_t i = 0; i < array_len(kept); i++) {
        assert_string_equal(again(kept[i]), "2");
        close(kept[i]);
    }
    wait_until(log_count(s, "exited with code 0") == 5);
    stop(s, SIGQUIT);
}

static void test_storm(void **state)
{
    struct server *s = prepare();
    char text[64];
    configure(s, "worker_processes 2; greet %1 0;");
    start(s);
    for (int i = 1; i <= 20; i++) {
        snprintf(text, sizeof(text), "worker_processes 2; greet %%1 %d;", i);
        configure(s, text);
        kill(s->pid, SIGHUP);
    }
    wait_until(strcmp(greeting(s, 0), "20") == 0);
    stop(s, SIGTERM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_start_and_stop),
        SERVER_TEST(test_one_process),
        SERVER_TEST(test_daemon),
        SERVER_TEST(test_bad_start),
        SERVER_TEST(test_port_in_use),
        SERVER_TEST(test_quit_waits),
        SERVER_TEST(test_shutdown_timeout),
        SERVER_TEST(test_reload),
        SERVER_TEST(test_reload_cuts_after_timeout),
        SERVER_TEST(test_bad_reload),
        SERVER_TEST(test_listeners_come_and_go),
        SERVER_TEST(test_worker_numbers_change),
        SERVER_TEST(test_storm),
    };
    return test_server_main(argc, argv, tests, array_len(tests));
}
