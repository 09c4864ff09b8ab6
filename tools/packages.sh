#!/bin/sh
# packages.sh - the Debian packages that hinge's scripts need, and how they get installed.
#
#   tools/packages.sh build|try|test|bench|lint...
#
# This is the one list: `run`, `test` and the Makefile all come here. Only what is missing is installed, as root or by
# sudo; when everything is there nothing is touched, not even the package index. On a system without dpkg it says what
# is needed and leaves the rest to the build, which names what it does not find.
set -eu

build="gcc libc6-dev libcrypt-dev make meson ninja-build pkg-config libpcre2-dev zlib1g-dev libisal-dev libssl-dev
 libc-ares-dev libnghttp2-dev"
try="ca-certificates curl"
test="chromium clang libclang-rt-14-dev llvm libcmocka-dev curl git nginx-core openssl
 dante-server dnsmasq-base haproxy iproute2 microsocks netcat-openbsd nghttp2-client nghttp2-server npm openssh-client
 openssh-server python3 python3-h2 python3-httpx python3-pytest python3-pytest-timeout python3-pytest-xdist
 python3-websockets squid sslscan testssl.sh tinyproxy tor wget"
bench="nginx-core haproxy libssl-dev microsocks python3 openssl squid tinyproxy"
lint="clang-format clang-tidy cppcheck"

# Daemons that come along as test peers, as PACKAGE or PACKAGE:SERVICE. They must neither start at installation nor at
# the next boot.
daemons="dante-server:danted nginx-core:nginx haproxy squid tinyproxy tor microsocks openssh-server:ssh"

# What people also have from elsewhere, as PACKAGE:PROGRAM: the package is not wanted where the program is there already
# (a nodejs that is not Debian's brings its own npm, and the two refuse each other).
elsewhere="npm:npm"

say() {
    echo "packages: $*" >&2
}

wanted=""
for set in "$@"; do
    case $set in
    build) wanted="$wanted $build" ;;
    try) wanted="$wanted $try" ;;
    test) wanted="$wanted $build $test" ;;
    bench) wanted="$wanted $build $bench" ;;
    lint) wanted="$wanted $build $lint libcmocka-dev clang" ;;
    *)
        echo "usage: packages.sh build|try|test|bench|lint..." >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    say "this system has no dpkg; on Debian 12 the following would be installed now:$wanted"
    exit 0
fi

# A name that dpkg has never heard of is an error of dpkg-query, but the others are printed all the same.
# shellcheck disable=SC2086,SC2016
present=$(dpkg-query -W -f='${Package}=${db:Status-Status}\n' $wanted 2>/dev/null || true)
missing=""
for p in $wanted; do
    case "
$present
" in
    *"
$p=installed
"*) continue ;;
    esac
    case " $missing " in
    *" $p "*) continue ;;
    esac
    case " $elsewhere " in
    *" $p:"*)
        program=${elsewhere##*"$p:"}
        ! command -v "${program%% *}" >/dev/null 2>&1 || continue
        ;;
    esac
    missing="$missing $p"
done
[ -n "$missing" ] || exit 0

say "installing:$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    say "there is no apt-get here; install these packages by hand:$missing"
    exit 1
fi
become=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        say "not root, and there is no sudo; as root, run: apt-get install$missing"
        exit 1
    fi
    become="sudo"
    [ -t 0 ] || become="sudo -n"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Package scripts start their daemon through one of two helpers, which they find by PATH. For this one apt run each is
# shadowed by a filter that lets every service through but our peers. Nothing is left behind on the system.
mkdir "$work/path"
fresh=""
for d in $daemons; do
    case "$missing " in
    *" ${d%:*} "*) fresh="$fresh ${d#*:}" ;;
    esac
done
for helper in invoke-rc.d deb-systemd-invoke; do
    real=$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v "$helper" || true)
    if [ -z "$real" ] || [ -z "$fresh" ]; then
        continue
    fi
    # shellcheck disable=SC2016
    {
        echo '#!/bin/sh'
        echo 'for a do case $a in'
        for d in $fresh; do
            echo "$d|$d.service) exit 0 ;;"
        done
        echo 'esac; done'
        echo "exec $real \"\$@\""
    } >"$work/path/$helper"
    chmod 755 "$work/path/$helper"
done
chmod 755 "$work" "$work/path"

# Output is kept and shown only when something fails.
apt() {
    # shellcheck disable=SC2086
    $become env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o "DPkg::Path=$work/path:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@" \
        >>"$work/log" 2>&1 </dev/null
}

# An index that cannot be refreshed is no reason to stop: the old one may do.
apt update || say "the package index could not be refreshed; trying with the one at hand"
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $missing; then
    cat "$work/log" >&2
    say "installation failed (see above); needed:$missing"
    exit 1
fi
if command -v update-rc.d >/dev/null 2>&1; then
    for d in $fresh; do
        $become update-rc.d "$d" disable >/dev/null 2>&1 || true
    done
fi
