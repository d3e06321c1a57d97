# lib.sh - what the test scripts have in common. Each begins with
#
#     . "$(dirname "$0")/lib.sh"
#
# and ends with finish. RUN is the program (./run), TOOLS where the others are (./tools), BUILD where `make test` puts
# its helpers (.build), LLAMA_TEST_DATA the development data (../shared/data). T is a directory that goes when the script
# ends.
RUN=${RUN:-./run} TOOLS=${TOOLS:-./tools} BUILD=${BUILD:-.build} data=${LLAMA_TEST_DATA:-../shared/data}
passed=0 failed=0 skipped=0
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)) && echo "$name: $1"; }            # WHAT WENT WRONG: with the test that is called $name
skip() { skipped=$((skipped + ${2:-1})) && echo "skipped: $1"; } # WHAT: WHY [HOW MANY TESTS]

has_terminal() { # script of util-linux, which gives a command a terminal of its own
    [ "$(script -qec 'echo yes' /dev/null </dev/null 2>/dev/null | tr -d '\r')" = yes ]
}

await() { # FILE [PATTERN]: until the file has such a line, or anything at all; a minute at most
    tries=0
    until grep -q -e "${2:-}" "$1" 2>/dev/null || [ $tries -ge 600 ]; do sleep 0.1; tries=$((tries + 1)); done
}

can_interrupt() { timeout --foreground --preserve-status 1 true 2>/dev/null; }
# interrupted FILE COMMAND...: Ctrl-C after a second, or later where a busy machine was not so far by then that FILE had
# anything. In the foreground, or timeout sends the signal twice, and the second one kills. Leaves $status.
interrupted() {
    file=$1
    shift
    for delay in 1 4 16 64; do
        timeout --foreground --preserve-status -s INT $delay "$@" && status=0 || status=$?
        [ ! -s "$file" ] || break
    done
}

# refuses NAME STATUS WORD ARGUMENTS: of $program. One line, two for wrong usage, with WORD, and nothing on stdout.
refuses() {
    name=$1 want=$2 word=$3
    shift 3
    "$program" "$@" >"$T/stdout" 2>"$T/stderr" </dev/null && status=0 || status=$?
    if [ "$status" -ne "$want" ] || [ -s "$T/stdout" ]; then bad "status $status: $(cat "$T/stderr" "$T/stdout")"
    elif [ "$(wc -l <"$T/stderr")" -ne "$want" ] || ! grep "^${program##*/}: " "$T/stderr" | grep -qF -e "$word"
    then bad "said $(head -c 400 "$T/stderr")"
    else ok; fi
}

# The last line, and the status.
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}
