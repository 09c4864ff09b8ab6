#!/bin/sh
# fuzz_one.sh - runs one fuzzer for a while.
#
#   tools/fuzz_one.sh SECONDS OUTDIR build-fuzz/tests/fuzz/fuzz_NAME
#
# The corpus tests/fuzz/corpus/NAME is only read: new inputs go to a scratch directory. Leaves OUTDIR/NAME.log and
# OUTDIR/NAME.status (the exit status); an input that breaks something stays in build-fuzz/findings/.
set -eu

seconds=$1
out=$2
program=$3
name=${program##*/fuzz_}
source=$(cd -- "$(dirname -- "$0")/.." && pwd)/tests/fuzz
mkdir -p "$out/$name.corpus" build-fuzz/findings

# An empty corpus directory would not be in the repository, so it may be absent.
seeds=""
[ -d "$source/corpus/$name" ] && seeds=$source/corpus/$name
dict=""
[ -f "$source/$name.dict" ] && dict=-dict=$source/$name.dict
calm=""
if setarch -R true 2>/dev/null; then
    calm="setarch -R"
fi

status=0
# shellcheck disable=SC2086
$calm "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="build-fuzz/findings/$name-" $dict "$out/$name.corpus" $seeds >"$out/$name.log" 2>&1 </dev/null ||
    status=$?
echo "$status" >"$out/$name.status"
