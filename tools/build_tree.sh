#!/bin/sh
# build_tree.sh - configures and builds one tree of the checkout.
#
#   tools/build_tree.sh release|asan|tsan|fuzz [tests]
#
#   release  build/       gcc, optimised; holds build/hinge
#   asan     build-asan/  gcc, AddressSanitizer and UndefinedBehaviorSanitizer, the first finding ends the process
#   tsan     build-tsan/  gcc, ThreadSanitizer
#   fuzz     build-fuzz/  clang, libFuzzer with both of the above
#
# asan and fuzz have the debug information that reports need, lines and functions, and asan is optimised a little only:
# its cases mostly start and end processes, so what the compiler would do longer for it never comes back.
#
# With "tests" the unit tests are required and built too. A tree is configured once, and again only when this file's
# idea of it has changed. Build output is shown live on a terminal; otherwise only when the build fails.
set -eu

cd -- "$(dirname -- "$0")/.."
kind=${1:-}
tests=${2:-}
cc=gcc
case $kind in
release)
    dir=build
    set -- --buildtype=release -Ddebug=true
    ;;
asan)
    dir=build-asan
    set -- --buildtype=debugoptimized -Doptimization=1 -Db_sanitize=address,undefined \
        "-Dc_args=-fno-sanitize-recover=all -g1"
    ;;
tsan)
    dir=build-tsan
    set -- --buildtype=debugoptimized -Db_sanitize=thread
    ;;
fuzz)
    dir=build-fuzz
    cc=clang
    set -- --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dfuzzers=enabled \
        -Dtests=disabled -Dc_args=-g1
    ;;
*)
    echo "usage: build_tree.sh release|asan|tsan|fuzz [tests]" >&2
    exit 2
    ;;
esac

# The stamp says how the tree was configured: first the options, a change of which makes the tree anew, then what
# configuring it once more takes in: unit tests (a tree that has them keeps them), fuzzers that have appeared.
stamp=$dir/.configured
plan="$cc $*"
detail=$tests
[ "$kind" != fuzz ] || detail=$(cd tests/fuzz && echo fuzz_*.c)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

feature() {
    if [ -n "$tests" ]; then echo enabled; else echo disabled; fi
}

quietly() {
    if [ -t 1 ]; then
        "$@"
    elif ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        return 1
    fi
}

if [ ! -f "$dir/build.ninja" ] || [ "$(sed -n 1p "$stamp" 2>/dev/null)" != "$plan" ]; then
    rm -rf "$dir"
    [ "$kind" = fuzz ] || set -- "$@" "-Dtests=$(feature)"
    CC=$cc quietly meson setup "$@" "$dir"
    printf '%s\n%s\n' "$plan" "$detail" >"$stamp"
elif [ -n "$detail" ] && [ "$(sed -n 2p "$stamp")" != "$detail" ]; then
    [ "$kind" = fuzz ] || set -- -Dtests=enabled
    quietly meson setup --reconfigure "$@" "$dir"
    printf '%s\n%s\n' "$plan" "$detail" >"$stamp"
fi
case $kind-$tests in
fuzz-* | *-tests) quietly ninja -C "$dir" all ;;
*) quietly ninja -C "$dir" hinge ;;
esac
