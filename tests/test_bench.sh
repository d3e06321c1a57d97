#!/bin/sh
# test_bench.sh - tools/bench as its user sees it: what it prints, not how fast anything is.
. "$(dirname "$0")/lib.sh"
BENCH=$TOOLS/bench program=$TOOLS/bench

tiny="--shape stories260k -j 1 -n 8"

succeeds() { # NAME ARGUMENTS: and says nothing on stderr
    name=$1
    shift
    "$BENCH" "$@" >"$T/stdout" 2>"$T/stderr" && status=0 || status=$?
    if [ "$status" -eq 0 ] && [ ! -s "$T/stderr" ]; then ok; else bad "status $status: $(head -c 300 "$T/stderr")"; fi
}
says() { # PATTERN: a line of it, and what else stands in the way
    if grep -q -e "$1" "$T/stdout"; then ok; else bad "no $1 in $(cat "$T/stdout")"; fi
}

# ---- One build ----

succeeds "several lengths" $tiny -r 2 -p 16,1,64
for row in "prompt 16" "prompt 1" "prompt 64" "decode 8 at 64"; do
    says "^$row  *[0-9.]* *[0-9.]* *[0-9.]* *[0-9.]*%\$"
done
says "^memory .*MB of it the context's$"
says "^start .*no file"
succeeds "at a position, from a file" tools/model/austen.llama -j 1 -n 8 -r 2 -p 4,8 --position 100
for row in "prompt 4 at 100 " "prompt 8 at 100 " "decode 8 at 108 "; do says "^$row"; done
says "^start *[0-9.]* ms from load to first logits ([0-9.]* to [0-9.]*)"

succeeds "--json" $tiny -r 2 -p 4,16 --position 10 --json
check='import json, sys
j = json.load(sys.stdin)
p = j["prompts"]
assert [x["tokens"] for x in p] == [4, 16] and all(0 < x["min"] <= x["tok_s"] <= x["max"] for x in p)
assert j["prompt"] == 4 and j["prompt_tok_s"] == p[0]["tok_s"] and j["prompt_share"] == p[0]["share"]
assert j["decode"] == 8 and j["decode_position"] == 26 and j["decode_min"] <= j["decode_tok_s"] <= j["decode_max"]
assert j["load_s"] is None and j["peak_bytes"] >= 0 and j["context_bytes"] > 0 and j["weight_bytes"] > 0
assert j["rounds"] == 2 and j["threads"] == 1 and j["type"] == "q8" and j["model"] == "stories260k"'
if ! python3 -c pass 2>/dev/null; then skip "what --json says: there is no python3"
elif python3 -c "$check" <"$T/stdout" 2>"$T/stderr"; then ok; else bad "$(tail -n 2 "$T/stderr") $(cat "$T/stdout")"; fi

refuses "no model" 2 "give a model or --shape"
refuses "both" 2 "give a model or --shape" tools/model/austen.llama $tiny
refuses "an unknown shape" 1 "no shape nonsense" --shape nonsense
refuses "an unknown type" 2 "--type q9" $tiny --type q9
refuses "no such file" 1 "$T/none" "$T/none"
seventeen=1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1
for lengths in "" 0 16, ,16 16,,16 16x "16 32" -16 +16 1e3 1048577 99999999999999999999 $seventeen; do
    refuses "-p '$lengths'" 2 "-p $lengths: expected at most 16 whole numbers from 1 to 1048576" $tiny -p "$lengths"
done

# ---- Two builds ----

# On a machine that does much else a ratio may be anything once, but not three times.
near_one() { # ROW: it is there, and the median of its ratios near 1
    awk -v row="$1" 'index($0, row "  ") == 1 { n++; ok = $3 > 0.2 && $3 < 5 && $4 <= $3 && $5 >= $3 && $6 * $7 > 0 }
        END { exit n != 1 || !ok }' "$T/stdout"
}
for try in 1 2 3; do
    "$BENCH" $tiny -r 3 -p 16,64 --compare "$BENCH" >"$T/stdout" 2>&1
    near_one "prompt 16" && near_one "prompt 64" && near_one "decode 8" && break
done
name="--compare with itself"
says "^this / other  *median  *min  *max  *this  *other$"
for row in "prompt 16" "prompt 64" "decode 8"; do
    if near_one "$row"; then ok; else bad "$row: $(cat "$T/stdout")"; fi
done
succeeds "--compare, a file" -r 1 -p 4 -n 4 -j 1 --kernels plain --compare="$BENCH" -- tools/model/austen.llama
says "^start, ms "
says "^memory, MB "
succeeds "--compare --json" $tiny -r 2 -p 4,8 --position 10 --json --compare "$BENCH"
check='import json, sys
j = json.load(sys.stdin)
r = j["ratios"]
assert j["rounds"] == 2 and [x["figure"] for x in r][:3] == ["prompt 4", "prompt 8", "decode 8"]
assert all(0 < x["min"] <= x["median"] <= x["max"] and x["this"] > 0 and x["other"] > 0 for x in r)'
if ! python3 -c pass 2>/dev/null; then skip "what --compare --json says: there is no python3"
elif python3 -c "$check" <"$T/stdout" 2>"$T/stderr"; then ok; else bad "$(tail -n 2 "$T/stderr") $(cat "$T/stdout")"; fi

# Other programs that are no bench, or none of ours. other NAME COMMANDS
other() {
    printf '#!/bin/sh\n%s\n' "$2" >"$T/other"
    chmod +x "$T/other"
    name=$1
}
older='{"prompt_tok_s": 2, "decode_tok_s": 4}'
other "an older build" "echo a message >&2; echo '$older'"
succeeds "$name" $tiny -r 1 --compare "$T/other"
says "^decode 8 "
refused() { refuses "$name" 1 "$T/other: $1" $tiny -r 1 -p 4,8 --compare "$T/other"; }
other "an older build and two lengths" "echo '$older'" && refused "printed no speed of a prompt"
two='"prompts": [{"tok_s": 1}, {"tok_s": 2}]'
other "no decode" "echo '{$two}'" && refused "printed no speed of decode"
for number in -1 1e300 '"4"'; do
    other "decode $number" "echo '{$two, \"decode_tok_s\": $number}'" && refused "printed no speed of decode"
done
other "other types" "echo '{\"prompt_tok_s\": [], \"prompts\": [1, []]}'" && refused "printed no speed of a prompt"
other "nothing" : && refused "printed something else than bench --json does"
other "damaged JSON" "printf '{\"prompt_tok_s\": 2, '" && refused "printed something else"
other "a zero byte" "printf '{\"a\": 1\\0}'" && refused "printed something else"
line=$(printf %064d 0)
other "without end" "while echo $line; do :; done" && refused "printed more than 65536 bytes"
other "a failure" "printf 'no\\033 luck\\nat all\\n' >&2; exit 3" && refused "ended with status 3: no? luck"
other "a silent failure" "exit 4" && refused "ended with status 4: without a word"
other "a signal" 'kill -9 $$' && refused "ended with status 137"
name="no program" && rm "$T/other" && refused "cannot run: No such file or directory"
refuses "an option that both refuse" 1 "status 1: bench: no shape nonsense" --shape nonsense --compare "$BENCH"

finish
