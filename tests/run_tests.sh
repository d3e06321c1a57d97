#!/bin/sh
# run_tests.sh PROGRAM... - runs test programs and scripts and adds up what they report.
#
# Each prints "N passed, N failed, N skipped" as its last line and exits with 0 if and only if none
# failed. One that ends otherwise, by a crash say, counts as one failure more.
passed=0 failed=0 skipped=0
# EMULATOR, if it is set, runs the programs: those for another processor.
limit=$(command -v timeout) && limit="$limit 900" # a test that hangs fails

for program; do
    case $program in
    *.sh) output=$($limit sh "$program" 2>&1) ;;
    *) output=$($limit $EMULATOR "./$program" 2>&1) ;;
    esac
    status=$?
    last=$(printf '%s\n' "$output" | tail -n 1)
    counts=$(printf '%s\n' "$last" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    details=$(printf '%s\n' "$output" | sed '$d')
    if [ -z "$counts" ]; then
        details=$output counts="0 1 0" last="ended with status $status before its last line"
    fi
    IFS=' ' read -r p f s <<EOF
$counts
EOF
    if [ "$f" -eq 0 ] && [ "$status" -ne 0 ]; then
        f=1 last="$last, but ended with status $status"
    fi
    echo "$program: $last"
    [ -z "$details" ] || printf '%s\n' "$details" | awk 'NR <= 30 { print "    " $0 }
        END { if (NR > 30) print "    ... and " NR - 30 " lines more" }'
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
