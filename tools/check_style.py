#!/usr/bin/python3
"""check_style.py - the rules of the source tree that a script can check.

    check_style.py [ROOT]

Prints `FILE:LINE: what` for every finding and exits 1 when there is one. ROOT is the checkout (default: the one that
this file stands in). What is checked:

  layers      src/ROOM/ includes "room/file.h" of its own room and of rooms below, never upwards or sideways; unit tests
              may include "file.h" of tests/tools
  size        C files of at most 800 lines, functions of at most 80
  forbidden   functions that copy or convert without a limit or without saying that they failed
  essay       a C file opens with a comment, or its header of the same name (the tested file's, for a test) does
  text        no tabs in C, no trailing blanks, a newline at the end, no leftover markers
"""
import os
import re
import sys

# From the ground up. Rooms in one tuple are siblings: they do not know each other.
ROOMS = [("base",), ("conf",), ("loop",), ("net",), ("tls",), ("http",), ("h1", "h2", "h3", "fcgi", "socks"),
         ("forward",), ("proxy",), ("cache",), ("policy",), ("stream",), ("admin",), ("app",)]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}

MAX_FILE = 800
MAX_FUNCTION = 80

FORBIDDEN = {
    "strcpy": "slices", "strncpy": "slices", "stpcpy": "slices", "stpncpy": "slices", "strcat": "strb",
    "strncat": "strb", "sprintf": "snprintf or strb", "vsprintf": "vsnprintf or strb", "strtok": "slices",
    "strtok_r": "slices", "atoi": "a checked parser", "atol": "a checked parser", "atoll": "a checked parser",
    "atof": "a checked parser", "gets": "a bounded read", "alloca": "an arena",
}
FORBIDDEN_CALL = re.compile(r"\b(" + "|".join(FORBIDDEN) + r")\s*\(")
MARKER = re.compile(r"\b(TO" "DO|FIX" "ME|X" r"XX)\b")
INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]+)"')

C_SUFFIXES = (".c", ".h", ".def")
TEXT_SUFFIXES = C_SUFFIXES + (".py", ".sh", ".build", ".txt", ".md", ".conf", ".service", ".cfg", ".dict", ".8")
TEXT_NAMES = ("run", "test", "Makefile", ".clang-format", ".clang-tidy", ".editorconfig", ".gitignore")
# Inputs of tests are what they are; the relays of bench/limit measure the machine and are no part of the product.
SKIPPED_DIRS = ("tests/fuzz/corpus", "tests/bench/limit", "tests/cases/data")


def blank_out(text, comments=True):
    """The C text with strings, characters and preprocessor lines replaced by blanks, and comments too unless told
    otherwise; lines stay lines."""
    out = []
    i, n = 0, len(text)
    while i < n:
        c = text[i]
        if text.startswith("/*", i):
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
        elif text.startswith("//", i):
            end = text.find("\n", i)
            end = n if end < 0 else end
        elif c in "\"'":
            end = i + 1
            while end < n and text[end] not in (c, "\n"):
                end += 2 if text[end] == "\\" else 1
            end = min(end + 1, n)
        elif c == "#" and text[text.rfind("\n", 0, i) + 1:i].strip() == "":
            end = i
            while end < n and not (text[end] == "\n" and text[end - 1] != "\\"):
                end += 1
        else:
            out.append(c)
            i += 1
            continue
        keep = text.startswith(("/*", "//"), i) and not comments
        out.append(text[i:end] if keep else re.sub(r"[^\n]", " ", text[i:end]))
        i = end
    return "".join(out)


def functions(code):
    """Yields (name, first line, number of lines) of every function body in text that blank_out has seen."""
    depth = 0
    start = 0           # where the text since the last complete outer declaration begins
    head = None         # (name, first line) of the function that we are inside of
    line = 1
    for i, c in enumerate(code):
        if c == "\n":
            line += 1
        elif c == "{":
            if depth == 0:
                head = function_head(code[start:i], line)
            depth += 1
        elif c == "}":
            # A brace in the first column ends the function, whatever #if branches did to the count.
            depth = 0 if code[i - 1:i] == "\n" else max(depth - 1, 0)
            if depth == 0:
                if head:
                    yield head[0], head[1], line - head[1] + 1
                head = None
                start = i + 1
        elif c == ";" and depth == 0:
            start = i + 1


def function_head(text, line):
    """The name and the first line of a function, given the text before its brace and the brace's line, or None."""
    flat = re.sub(r"__attribute__\s*\(\(.*?\)\)", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)
    names = re.findall(r"\b([A-Za-z_]\w*)\s*\(", flat)
    if not names or "=" in flat or ")" not in flat:
        return None
    return names[0], line - text.lstrip().count("\n")


def allowed_include(room, target):
    """None when a file of `room` may include "target", otherwise why not."""
    other = target.split("/")[0] if "/" in target else None
    if other is None or ".." in target:
        return 'write the room too: #include "room/file.h"'
    if other not in LEVEL:
        return f'there is no room "{other}"'
    if LEVEL[other] > LEVEL[room]:
        return f"{room} includes upwards from {other}"
    if LEVEL[other] == LEVEL[room] and other != room:
        return f"{room} includes sideways from {other}"
    return None


def has_essay(text):
    return text.lstrip().startswith("/*")


class Checker:
    def __init__(self, root):
        self.root = root
        self.findings = []

    def report(self, path, line, what):
        self.findings.append((path, line, what))

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", newline="") as f:
            return f.read()

    def essay_elsewhere(self, path):
        """Whether the header of the same name, or what a test tests, carries the comment."""
        stem = path[:-2]
        stems = [stem] + ([stem[:-5]] if stem.endswith("_test") else [])
        for other in [s + e for s in stems for e in (".h", ".c")]:
            if other != path and os.path.exists(os.path.join(self.root, other)) and has_essay(self.read(other)):
                return True
        return False

    def check_text(self, path, text):
        if text and not text.endswith("\n"):
            self.report(path, text.count("\n") + 1, "no newline at the end of the file")
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                self.report(path, number, "blanks at the end of the line")
        prose = blank_out(text, comments=False) if path.endswith(C_SUFFIXES) else text
        for number, line in enumerate(prose.split("\n"), 1):
            marker = MARKER.search(line)
            if marker:
                self.report(path, number, f"leftover marker {marker.group()}")

    def check_c(self, path, text):
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line:
                self.report(path, number, "tab in C")
        if not has_essay(text) and not (path.endswith(".c") and self.essay_elsewhere(path)):
            self.report(path, 1, "no opening comment that says what this file is")
        count = text.count("\n")
        if count > MAX_FILE:
            self.report(path, count, f"{count} lines; a file has at most {MAX_FILE}")
        code = blank_out(text)
        for name, first, size in functions(code):
            if size > MAX_FUNCTION:
                self.report(path, first, f"{name} has {size} lines; a function has at most {MAX_FUNCTION}")
        for number, line in enumerate(code.split("\n"), 1):
            for call in FORBIDDEN_CALL.finditer(line):
                self.report(path, number, f"{call.group(1)} is not used here; use {FORBIDDEN[call.group(1)]}")

    def is_test_tool(self, path, target):
        """What unit tests share stands in tests/tools, outside the rooms."""
        test = path.endswith(("_test.c", "_test.h")) and "/" not in target
        return test and os.path.exists(os.path.join(self.root, "tests/tools", target))

    def check_layers(self, path, text):
        room = path.split("/")[1]
        if room not in LEVEL:
            self.report(path, 1, f'"{room}" is not a room of the house')
            return
        for number, line in enumerate(text.split("\n"), 1):
            include = INCLUDE.match(line)
            if include and self.is_test_tool(path, include.group(1)):
                continue
            why = allowed_include(room, include.group(1)) if include else None
            if why:
                self.report(path, number, why)

    def check_file(self, path):
        try:
            text = self.read(path)
        except UnicodeDecodeError:
            self.report(path, 1, "not UTF-8")
            return
        self.check_text(path, text)
        if path.endswith(C_SUFFIXES):
            self.check_c(path, text)
            if path.startswith("src/") and path.count("/") >= 2:
                self.check_layers(path, text)

    def files(self):
        for directory, subdirs, names in os.walk(self.root):
            here = os.path.relpath(directory, self.root)
            here = "" if here == "." else here + "/"
            subdirs[:] = sorted(d for d in subdirs if here + d not in SKIPPED_DIRS and d not in (".git", "__pycache__")
                                and not (here == "" and d.startswith("build")))
            for name in sorted(names):
                if name.endswith(TEXT_SUFFIXES) or name in TEXT_NAMES:
                    yield here + name

    def run(self):
        for path in self.files():
            self.check_file(path)
        return self.findings


def main(argv):
    root = argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    checker = Checker(root)
    for path, line, what in checker.run():
        print(f"{path}:{line}: {what}")
    return 1 if checker.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
