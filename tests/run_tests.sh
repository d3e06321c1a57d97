#!/bin/sh
# run_tests.sh PROGRAM... - runs test programs and scripts, as many at once as there are cores (JOBS, if it is set), and
# adds up what they report. Those that failed are named once more at the end, so that the tail of a log shows them.
#
# Each prints "N passed, N failed, N skipped" as its last line and exits with 0 if and only if none
# failed. One that ends otherwise, by a crash say, counts as one failure more. EMULATOR, if it is set, runs the
# programs: those for another processor.

if [ "$1" != --one ]; then
    sums=$(mktemp) || exit 1
    trap 'rm -f "$sums" "$sums.failed"' EXIT
    export SUMS="$sums"
    jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
    at_once() { xargs -P "$jobs" -I PROGRAM sh "$0" --one PROGRAM; }
    chosen() { # KIND PROGRAM...: the longest scripts, scripts, programs, or what keeps all cores busy itself
        kind=$1
        shift
        for program; do
            case $program in
            */test_train.sh | */test_run.sh) of=longest ;;
            */test_busy.sh) of=busy ;;
            *.sh) of=scripts ;;
            *) of=programs ;;
            esac
            [ $of != "$kind" ] || echo "$program"
        done
    }
    for kind in longest scripts programs; do chosen $kind "$@"; done | at_once
    chosen busy "$@" | at_once
    # What left no sum behind was itself killed.
    for program; do
        grep -qF -e " $program;" "$sums" || echo "$program: was killed" >>"$sums.failed"
    done
    [ ! -s "$sums.failed" ] || { echo "FAILED:" && cat "$sums.failed"; }
    awk -v n=$# '{ passed += $1; failed += $2; skipped += $3 }
        END {
            failed += n - NR
            printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
            exit failed > 0
        }' "$sums"
    exit
fi

program=$2
limit=$(command -v timeout) && limit="$limit 900" # a test that hangs fails
begin=$(date +%s)
case $program in
*.sh) output=$($limit sh "$program" 2>&1) ;;
*) output=$($limit $EMULATOR "./$program" 2>&1) ;;
esac
status=$? seconds=$(($(date +%s) - begin))
last=$(printf '%s\n' "$output" | tail -n 1)
counts=$(printf '%s\n' "$last" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
details=$(printf '%s\n' "$output" | sed '$d')
if [ -z "$counts" ]; then
    details=$output counts="0 1 0" last="ended with status $status before its last line"
fi
IFS=' ' read -r p f s <<END
$counts
END
if [ "$f" -eq 0 ] && [ "$status" -ne 0 ]; then
    f=1 last="$last, but ended with status $status"
fi
[ "$seconds" -lt 5 ] || last="$last ($seconds s)"
echo "$p $f $s $program;" >>"$SUMS"
show() { # DETAILS: all at once, so that nothing of another comes between
    shown=$([ -z "$1" ] || printf '%s\n' "$1" | awk 'NR <= 30 { print "    " $0 }
        END { if (NR > 30) print "    ... and " NR - 30 " lines more" }')
    printf '%s\n' "$program: $last${shown:+
$shown}"
}
show "$details"
[ "$f" -eq 0 ] || show "$(printf '%s\n' "$details" | grep -v -e '^skipped: ' -e '^note: ')" >>"$SUMS.failed"
