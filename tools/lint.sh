#!/bin/sh
# lint.sh - clang-format, clang-tidy and cppcheck over the C sources. Silent and 0 when none of them complains, else 1.
#
#   tools/lint.sh [FILE...]      all C files when none is named
#
# What clang-tidy checks stands in .clang-tidy. It reads how files are compiled from a tree of its own, build-lint/,
# which is configured for clang and never built.
set -eu

cd -- "$(dirname -- "$0")/.."
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046
    set -- $(git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' | grep -v '^tests/bench/limit/')
fi
failed=0

clang-format --dry-run -Werror "$@" || failed=1

rm -rf build-lint
CC=clang meson setup -Dtests=enabled -Dwerror=false build-lint >/dev/null
# Only what is compiled can be checked; headers are checked through the files that include them. One file a call: the
# analyser's va_list check keeps state from one file to the next and then sees ghosts.
sources=""
for f in "$@"; do
    case $f in
    src/*.c) sources="$sources $f" ;;
    esac
done
# How many warnings of system headers it did not show goes to stderr, with errors that have no place in a file.
# shellcheck disable=SC2086
{ printf '%s\n' $sources | xargs -r -n 1 -P "$(nproc)" clang-tidy -p build-lint --quiet --warnings-as-errors='*' 2>&1 || echo failed; } |
    awk '$0 == "failed" { failed = 1; next } !/^[0-9]+ warnings? (generated|treated as errors?)\.?$/ { print } END { exit failed }' >&2 || failed=1

# memleak: this version does not follow a pointer into a compound literal, and LeakSanitizer watches every test.
# shellcheck disable=SC2086
cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr -j "$(nproc)" \
    --suppress=missingIncludeSystem --suppress=missingInclude --suppress=unknownMacro --suppress=memleak -Isrc -D_GNU_SOURCE \
    '-DHINGE_VERSION="lint"' $sources || failed=1

[ "$failed" -eq 0 ] || echo "lint: complaints above" >&2
exit "$failed"
