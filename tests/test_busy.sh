#!/bin/sh
# test_busy.sh - threads on a machine that is busy with something else: with a busy loop on each core, two threads must
# not be much slower than one. A ratio, and a wide margin: it was a thirtieth where threads waited by spinning.
. "$(dirname "$0")/lib.sh"
BENCH=$TOOLS/bench
loops=
trap 'kill $loops 2>/dev/null; rm -rf "$T"' EXIT

speed() { # THREADS: tokens a second of decode
    "$BENCH" --shape stories15m -p 4 -n 50 -r 1 -j "$1" --json |
        sed -n 's/.*"decode_tok_s": \([0-9.]*\).*/\1/p'
}
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
if [ "$cores" -lt 2 ] || ! "$BENCH" --shape stories260k -r 1 -n 1 | grep -q " [2-9][0-9]* threads"; then
    skip "threads beside busy loops: one core, or a build without threads"
else
    while [ "$cores" -gt 0 ]; do
        (while kill -0 $$ 2>/dev/null; do :; done) & # ends with this script, however that ends
        loops="$loops $!" cores=$((cores - 1))
    done
    # The middle of three ratios; three tries, for the machine may have other work, too.
    for try in 1 2 3; do
        for i in 1 2 3; do echo "$(speed 1) $(speed 2)"; done >"$T/speeds"
        ratio=$(awk '{ print $2 / $1 }' "$T/speeds" | sort -n | sed -n 2p)
        echo "note: beside busy loops two threads have $ratio of the speed of one"
        if awk "BEGIN { exit !($ratio > 0.4) }"; then ok && break; fi
    done
    name="two threads beside busy loops"
    [ "$passed" -gt 0 ] || bad "tokens/s of one and two: $(tr '\n' ',' <"$T/speeds")"
fi

finish
