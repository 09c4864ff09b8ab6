"""The style check finds what it should, and nothing in text that is fine."""
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))
import check_style  # noqa: E402

ESSAY = "/* What this is. */\n"


def findings(tmp_path, **files):
    """Writes files (path with __ for / and _dot_ for .) and returns the findings as text."""
    for path, text in files.items():
        file = tmp_path / path.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [f"{p}:{n}: {w}" for p, n, w in check_style.Checker(str(tmp_path)).run()]


def one(tmp_path, **files):
    found = findings(tmp_path, **files)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("room,target", [
    ("base", "conf/tree.h"), ("conf", "loop/loop.h"), ("loop", "net/addr.h"), ("net", "tls/ctx.h"),
    ("tls", "http/message.h"), ("http", "h1/codec.h"), ("h1", "proxy/step.h"), ("proxy", "cache/key.h"),
    ("cache", "policy/access.h"), ("policy", "stream/tcp.h"), ("stream", "admin/log.h"), ("admin", "app/main.h"),
    ("base", "app/main.h"),
])
def test_upward_include(tmp_path, room, target):
    got = one(tmp_path, **{f"src__{room}__x_dot_c": f'{ESSAY}#include "{target}"\n'})
    assert got == f"src/{room}/x.c:2: {room} includes upwards from {target.split('/')[0]}"


CODECS = ["h1", "h2", "h3", "fcgi", "socks"]


@pytest.mark.parametrize("room,other", [(a, b) for a in CODECS for b in CODECS if a != b])
def test_sideways_include(tmp_path, room, other):
    got = one(tmp_path, **{f"src__{room}__x_dot_h": f'{ESSAY}#include "{other}/x.h"\n'})
    assert got.endswith(f"{room} includes sideways from {other}")


@pytest.mark.parametrize("target", ["base/err.h", "http/message.h", "proxy/step.h", "proxy/balance/rr.h"])
def test_downward_and_own_room(tmp_path, target):
    text = f'{ESSAY}#include <stdio.h>\n  #  include "{target}"\n'
    assert findings(tmp_path, src__proxy__a_dot_c=text, src__proxy__balance__rr_dot_c=text,
                    src__proxy__a_test_dot_c=text) == []


def test_test_files_keep_the_layers_too(tmp_path):
    got = one(tmp_path, src__http__x_test_dot_c=f'{ESSAY}#include "proxy/step.h"\n')
    assert "upwards" in got


@pytest.mark.parametrize("target", ["err.h", "../base/err.h", "base/../app/main.h"])
def test_include_without_room(tmp_path, target):
    assert "write the room" in one(tmp_path, src__app__x_dot_c=f'{ESSAY}#include "{target}"\n')


def test_tools_of_unit_tests(tmp_path):
    text = f'{ESSAY}#include "failmalloc.h"\n'
    assert findings(tmp_path, src__base__x_test_dot_c=text, tests__tools__failmalloc_dot_h=ESSAY) == []
    assert "write the room" in one(tmp_path, src__base__x_dot_c=text)


def test_unknown_rooms(tmp_path):
    assert "no room" in one(tmp_path, src__app__x_dot_c=f'{ESSAY}#include "lib/x.h"\n')
    (tmp_path / "src/app/x.c").unlink()
    assert "not a room" in one(tmp_path, src__lib__x_dot_c=ESSAY)


def test_features_def_is_checked(tmp_path):
    assert findings(tmp_path, src__app__features_dot_def=f'{ESSAY}FEATURE(x, 1)\n') == []
    assert "opening comment" in one(tmp_path, src__app__features_dot_def="FEATURE(x, 1)\n")


def test_file_length(tmp_path):
    assert findings(tmp_path, src__base__x_dot_c=ESSAY + "int a;\n" * 799) == []
    assert "801 lines" in one(tmp_path, src__base__x_dot_c=ESSAY + "int a;\n" * 800)


def body(lines, head="static int f(void)"):
    """A function of so many lines, brace lines and head included."""
    return f"{head}\n{{\n" + "    g();\n" * (lines - 2 - 1 - head.count("\n")) + "}\n"


def test_function_length(tmp_path):
    assert findings(tmp_path, src__base__x_dot_c=ESSAY + body(80)) == []
    got = one(tmp_path, src__base__x_dot_c=ESSAY + "int a;\n" + body(81))
    assert got == "src/base/x.c:3: f has 81 lines; a function has at most 80"


@pytest.mark.parametrize("text,name,line", [
    (body(90, "int over(int a,\n         int b)"), "over", 2),
    (body(90, "__attribute__((cold, format(printf, 1, 2))) void attr(const char *f, ...)"), "attr", 2),
    (body(90).replace(")\n{", ") {"), "f", 2),
    (body(90).replace("    g();\n", "    if (a) {\n", 1).replace("    g();\n", "    }\n", 1), "f", 2),
    ("#define M(x) \\\n    do { \\\n    } while (0)\n" + body(90), "f", 5),
    ("struct s {\n    int (*call)(void);\n};\n" + body(90), "f", 5),
    ("static const struct s table[] = {\n    {1}, {2}};\n" + body(90), "f", 4),
    ("static int g(void)\n{\n#if A\n    if (x) {\n#else\n    if (y) {\n#endif\n    }\n}\n" + body(90), "f", 11),
    (body(90).replace("    g();\n", "    p = '{'; s = \"}\\\"\"; /* { */ // }\n", 1), "f", 2),
])
def test_function_length_in_real_text(tmp_path, text, name, line):
    got = one(tmp_path, src__base__x_dot_c=ESSAY + text)
    assert got.startswith(f"src/base/x.c:{line}: {name} has ")


def test_long_tables_and_structs_are_no_functions(tmp_path):
    text = (ESSAY + "static const int table[] = {\n" + "    F(1),\n" * 200 + "};\n"
            + "struct s {\n" + "    int (*f)(int);\n" * 200 + "};\n")
    assert findings(tmp_path, src__base__x_dot_c=text) == []


@pytest.mark.parametrize("name", sorted(check_style.FORBIDDEN))
def test_forbidden_function(tmp_path, name):
    got = one(tmp_path, src__base__x_dot_c=f"{ESSAY}void f(void)\n{{\n    {name} (a, b);\n}}\n")
    assert got.startswith(f"src/base/x.c:4: {name} is not used here")


def test_forbidden_names_in_text_are_fine(tmp_path):
    text = (ESSAY + '/* unlike strcpy(a, b) */\nvoid f(void)\n{\n    log("sprintf(x)"); // atoi(x)\n'
            "    my_strcpy(a);\n    snprintf(a, 1, b);\n    a.atoi_count = 1;\n}\n")
    assert findings(tmp_path, src__base__x_dot_c=text) == []


@pytest.mark.parametrize("marker", ["TO" "DO", "FIX" "ME", "X" "XX"])
def test_leftover_marker(tmp_path, marker):
    assert f"leftover marker {marker}" in one(tmp_path, docs__x_dot_md=f"text\nsome {marker}: later\n")


@pytest.mark.parametrize("text,found", [
    ('const char *s = "X' 'XX";\n', 0), ("/* X" "XX */\n", 1), ("int a; // FIX" "ME\n", 1), ("#define A 1 /* b */\n", 0)])
def test_markers_in_c_stand_in_comments(tmp_path, text, found):
    assert len(findings(tmp_path, src__base__x_dot_c=ESSAY + text)) == found


def test_templates_are_no_markers(tmp_path):
    assert findings(tmp_path, tools__x_dot_sh="mktemp /tmp/hinge.X" "XXXXX\n") == []


def test_white_space(tmp_path):
    assert "blanks at the end" in one(tmp_path, src__base__x_dot_c=ESSAY + "int a; \n")
    assert "blanks at the end" in one(tmp_path, src__base__x_dot_c=ESSAY + "int a;\r\n")
    assert "no newline" in one(tmp_path, src__base__x_dot_c=ESSAY + "int a;")
    assert "tab in C" in one(tmp_path, src__base__x_dot_c=ESSAY + "\tint a;\n")
    assert findings(tmp_path, src__base__x_dot_c=ESSAY, Makefile="all:\n\ttrue\n") == []


def test_opening_comment(tmp_path):
    bare = "int a;\n"
    assert "opening comment" in one(tmp_path, src__base__x_dot_c=bare)
    assert "opening comment" in one(tmp_path, src__base__x_dot_c=ESSAY, src__base__y_dot_h=bare)
    # The header of the same name speaks for both, and the tested file for its test.
    assert findings(tmp_path, src__base__y_dot_h=ESSAY, src__base__y_dot_c=bare, src__base__y_test_dot_c=bare) == []
    assert len(findings(tmp_path, src__base__y_dot_h=bare)) == 3


def test_bytes_that_are_no_text(tmp_path):
    assert "not UTF-8" in one(tmp_path, src__base__x_dot_c=b"/* \xff */\n")


def test_skipped_places(tmp_path):
    bad = "\tint a; \n"
    assert findings(tmp_path, build__x_dot_c=bad, **{"build-asan__x_dot_c": bad, "tests__fuzz__corpus__h1__x_dot_c": bad,
                                                    "_dot_git__x_dot_c": bad}) == []


def test_command_line(tmp_path):
    run = [sys.executable, str(TOOLS / "check_style.py"), str(tmp_path)]
    (tmp_path / "src/base").mkdir(parents=True)
    (tmp_path / "src/base/x.c").write_text(ESSAY)
    assert subprocess.run(run, capture_output=True).returncode == 0
    (tmp_path / "src/base/x.c").write_text(ESSAY + "\n\tint a;\n")
    done = subprocess.run(run, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "src/base/x.c:3: tab in C\n")
