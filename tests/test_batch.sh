#!/bin/sh
# test_batch.sh - tools/batch as its user sees it: texts that are the same in any company, bad lines, runs that are
# stopped in every way and gone on with, embeddings and scores.
. "$(dirname "$0")/lib.sh"
program=$TOOLS/batch model=tools/model/austen.llama
"$BUILD/tests/make_model" "$T" || exit 1

batch() { "$program" -j 1 "$@" >"$T/stdout" 2>"$T/stderr" </dev/null && status=0 || status=$?; }
is() { # NAME GOT WANT
    name=$1
    if [ "$2" = "$3" ]; then ok; else bad "got $(echo "$2" | head -c 600), not $(echo "$3" | head -c 600)"; fi
}
says() { # NAME WORD, in what batch wrote
    name=$1
    if grep -qF -e "$2" "$T/stdout"; then ok; else bad "no $2 in $(head -c 600 "$T/stdout" "$T/stderr")"; fi
}
sum() { sort "$1" | cksum; }

# ---- The same text whoever is beside it ----

preface="She was not in the least surprised; for she had seen and heard enough of the young man, and of what his father "
preface="$preface thought of him, and said to Mrs. Weston and to all of her friends whenever they met, to be sure that he would come to Hartfield, and stay there as long as they would have him, "
awk -v preface="$preface" 'BEGIN {
    split("Emma Mr. Knightley Harriet Miss Bates Anne She He", who)
    for (i = 1; i <= 16; i++)
        printf "{\"id\": \"%d\", \"prompt\": \"%s%s was\", \"n\": %d, \"seed\": %d%s}\n", i, i % 3 == 0 ? preface : i % 3 == 1 ? "No, " preface : "",
            who[1 + i % 9], 3 + i * 7 % 11, i, i % 4 ? "" : ", \"dry_multiplier\": 0.8, \"xtc_probability\": 0.5, \"logprobs\": true"
    }' >"$T/in"
batch "$model" "$T/in" -q --sequences 1
cp "$T/stdout" "$T/want"
all=$(sum "$T/want")
is "all lines, and nothing else" "$status, $(grep -c '"stopped"' "$T/want"), $(wc -l <"$T/stderr")" "0, 16, 0"
for how in "--sequences 2" "--sequences 5 -j 2" "--sequences 16" "-c 256" "--ordered"; do
    batch "$model" "$T/in" -q $how
    is "the same texts with $how" "$(sum "$T/stdout")" "$all"
done
is "in order" "$(cat "$T/stdout")" "$(cat "$T/want")"
while read -r line; do
    echo "$line" | "$program" "$model" -q -j 1
done <"$T/in" >"$T/alone"
is "and alone" "$(cat "$T/alone")" "$(cat "$T/want")"
batch "$model" "$T/in"
name="what is common is evaluated once"
if grep -q "and 576 in common" "$T/stderr"; then ok; else bad "$(cat "$T/stderr")"; fi
is "as run says it" "$(printf '{"prompt": "Emma was", "n": 20, "seed": 5, "repeat_penalty": 1.2}' | "$program" "$model" -q -j 1 |
    sed 's/.*"text": "\(.*\)", "tokens.*/\1/')" "$("$RUN" "$model" -q -j 1 -p "Emma was" -n 20 -s 5 --repeat-penalty 1.2 | sed -e ':a' -e 'N' -e '$!ba' -e 's/\n/\\n/g')"

if [ -r "$data/stories260K.bin" ]; then
    stories() { "$program" "$data/stories260K.bin" -z "$data/tok512.bin" -q "$@" <"$T/in"; }
    is "llama2.c's files too" "$(stories -j 1 --sequences 1)" "$(stories -j 2 --sequences 7 --ordered)"
else skip "llama2.c's files: no $data"; fi

# ---- What a line may say: a model whose text is known, a to z ----

cat >"$T/lines" <<'END'
{"id": "stop", "prompt": "a", "stop": ["fgh", "gh", "q"]}
{"id": "length", "prompt": "a", "n": 3, "temperature": 0.01}
{"id": "end", "prompt": "w"}
{"id": "zero", "prompt": "N", "n": 2}
{"id": "nan", "prompt": "X"}
{"id": "long", "prompt": "0123456789012345678901234567890123456789012345678901234567890123456789"}
{"id": "full", "prompt": "0", "n": 1000}
{"id": "chat", "messages": [{"role": "user", "content": "hi"}], "n": 1}
END
batch "$T/tiny.bin" "$T/lines" --temp 0 -q
says "a stop text, the first" '{"id": "stop", "text": "bcde", "tokens": 7, "stopped": "stop"}'
says "so many tokens" '{"id": "length", "text": "bcd", "tokens": 3, "stopped": "length"}'
says "the end" '{"id": "end", "text": "xyz", "tokens": 3, "stopped": "end"}'
says "a zero byte" '{"id": "zero", "text": "\u0000M", "tokens": 2, "stopped": "length"}'
says "nothing to draw" '{"id": "nan", "line": 5, "error": "the logit of token '
says "a prompt that is too long" '{"id": "long", "line": 6, "error": "the prompt has 72 tokens, the context only 64, the model'\''s most"}'
says "a full context" '"tokens": 62, "stopped": "context"}'
says "no template" '"line": 8, "error": "the model has no chat template; --template NAME chats all the same"}'
is "errors stop no others" "$status, $(wc -l <"$T/stdout")" "0, 8"
printf '{"messages": [{"role": "user", "content": "Emma"}], "n": 4, "logprobs": true}\n' >"$T/chat"
batch "$model" "$T/chat" -q --template llama2
says "messages" '"tokens": 4, "stopped": "length", "logprobs": [-'

# ---- Lines that are none ----

{
    printf '{"id": 1, "prompt": "a", "n": 1}\nnot JSON\n\n{"id": 4, "prompt": "\377"}\n'
    printf '{"id": 1, "prompt": "a"}\n{"prompt": "a", "n": 0}\n{"id": 7, "prompt": "a", "temprature": 1}\n'
    printf '{"id": 8, "prompt": "a\0"}\n{"id": 9, "prompt": "\\ud800"}\n[1]\n'
    head -c 5000000 /dev/zero | tr '\0' 'x'
    printf '\n{"id": 12, "prompt": "a", "n": 1}\n'
    head -c 2000000 /dev/zero | tr '\0' '['
} >"$T/bad" # the last without an end
batch "$T/tiny.bin" "$T/bad" -q --ordered
sed 's/"error.*/"error"/; s/"text.*/"text"/' "$T/stdout" >"$T/got"
cat >"$T/expected" <<'END'
{"id": 1, "text"
{"id": null, "line": 2, "error"
{"id": null, "line": 4, "error"
{"id": 1, "line": 5, "error"
{"id": 6, "line": 6, "error"
{"id": 7, "line": 7, "error"
{"id": null, "line": 8, "error"
{"id": null, "line": 9, "error"
{"id": null, "line": 10, "error"
{"id": null, "line": 11, "error"
{"id": 12, "text"
{"id": null, "line": 13, "error"
END
is "bad lines" "$status $(cat "$T/got")" "0 $(cat "$T/expected")"
says "an id twice" '"line": 5, "error": "line 1 has this id too"}'
says "an unknown key" '"error": "unknown key \"temprature\""}'
says "a long line" '"line": 11, "error": "longer than 4194304 bytes"}'
printf '\357\273\277{"prompt": "a", "n": 1}\r\n\r\n \t\n{"prompt": "b", "n": 1}\n\n' >"$T/blank"
batch "$T/tiny.bin" "$T/blank" --temp 0 -q --ordered -o -
is "a mark of UTF-8, and blank lines" "$(sed 's/, "text.*//' "$T/stdout")" "$(printf '{"id": 1\n{"id": 4')"

# ---- Stopped, and gone on with ----

# killed TIMES SIGNAL OUT ARGUMENTS: starts, kills after a moment, goes on, until it is done.
killed() {
    times=$1 signal=$2 out=$3
    shift 3
    rm -f "$out"
    for i in $(seq "$times"); do
        (trap - INT; exec "$program" "$model" "$T/in" -o "$out" --resume -q "$@" >"$T/stdout" 2>"$T/stderr") &
        sleep "0.$(awk "BEGIN { srand($i + $$); printf \"%02d\", 2 + int(rand() * 30) }")"
        kill -"$signal" $! 2>/dev/null
        wait $! 2>/dev/null
    done
    batch "$model" "$T/in" -o "$out" --resume -q "$@"
}
for signal in KILL INT; do
    killed 3 $signal "$T/out" -j 1 --sequences 3
    is "resumed after $signal" "$status $(sum "$T/out")" "0 $all"
done
killed 2 KILL "$T/out" -j 1 --ordered
is "in order too" "$status $(cat "$T/out")" "0 $(cat "$T/want")"
batch "$model" "$T/in" -o "$T/out" --resume
name="done before"
if [ "$status" -eq 0 ] && grep -q "^batch: 0 lines .* 16 done before" "$T/stderr"; then ok; else bad "$(cat "$T/stderr")"; fi
head -c 700 "$T/want" >"$T/out"
batch "$model" "$T/in" -o "$T/out" --resume -q
is "a part of a line" "$status $(sum "$T/out")" "0 $all"
(trap - INT; exec "$program" "$model" "$T/in" -o "$T/interrupted" -q -n 5 -j 1 2>"$T/stderr") &
while [ ! -s "$T/interrupted" ] && kill -0 $! 2>/dev/null; do sleep 0.01; done
kill -INT $! 2>/dev/null
wait $! && status=0 || status=$?
name="Ctrl-C"
if [ "$status" -eq 130 ] || [ "$status" -eq 0 ] && ! grep -vq '}$' "$T/interrupted"; then ok; else bad "status $status"; fi

refused_out() { # NAME WORD CONTENT: with --resume, and the file stays as it is
    printf "$3" >"$T/out"
    printf "$3" >"$T/copy"
    refuses "$1" 1 "$2" "$model" "$T/in" -o "$T/out" --resume
    name="$1: untouched"
    if cmp -s "$T/out" "$T/copy"; then ok; else bad "changed"; fi
}
refused_out "ids of another run" "\"77\" is not in" '{"id": "77", "text": "", "tokens": 1, "stopped": "end"}\n{"id": '
refused_out "no results" "line 1 is no result" 'Dear diary\n'
refused_out "another kind" "line 1 is no result of such a run" '{"id": "1", "embedding": [1], "tokens": 1}\n'
refused_out "no part of one" "its last line is no part of a result" 'Dear diary'
refused_out "an id twice" "line 2 has the id" '{"id": "1", "text": "", "stopped": "end"}\n{"id": "1", "text": "", "stopped": "end"}\n'
refuses "a file that is there" 1 "exists: remove it to start anew, or go on with it by --resume" "$model" "$T/in" -o "$T/out"
refuses "the input as the output" 2 "in: that is IN" "$model" "$T/in" -o "$T/in"
refuses "the input as the output by another name" 1 "is no result" "$model" "$T/in" -o "$T/../${T##*/}/in" --resume

# What shows that it is of other options.
printf '{"id": "a", "prompt": "a"}\n{"id": "b", "prompt": "w"}\n\n' >"$T/lines"
rm -f "$T/out"
batch "$T/tiny.bin" "$T/lines" -o "$T/out" -q --temp 0 -n 4
cp "$T/out" "$T/copy"
differs() { # NAME WORD OPTIONS
    name=$1 word=$2
    shift 2
    refuses "$name" 1 "$word" "$T/tiny.bin" "$T/lines" -o "$T/out" --resume --temp 0 "$@"
}
differs "more tokens" "line 1 is to have 5 tokens, its result has 4" -n 5
differs "fewer" "is to have 3 tokens at most, its result has 4" -n 3
differs "logprobs" "line 1 is to be with logprobs, its result is not" -n 4 --logprobs
sed 's/"w"/1/' "$T/lines" >"$T/other"
refuses "a line that cannot be done" 1 'line 2 has a result, but: "prompt" is a number' "$T/tiny.bin" "$T/other" -o "$T/out" --resume -n 4
batch "$T/tiny.bin" "$T/lines" -o "$T/out" --temp 0 -n 4 --resume
is "and the same ones" "$status $(cat "$T/stderr") $(cat "$T/out")" "0 batch: 0 lines in 0.0 s, 2 done before $(cat "$T/copy")"
printf '{"id": 1, "prompt": "a", "answers": ["b", "c"]}\n' >"$T/asked"
printf '{"id": 1, "scores": [{"logprob": -1, "tokens": 1, "greedy": true}]}\n' >"$T/out"
refuses "another number of answers" 1 "line 1 has 2 answers, its result 1 scores" "$T/tiny.bin" "$T/asked" -o "$T/out" --score --resume

# Two at once: the first waits for its second line.
rm -f "$T/out" "$T/pipe"
case $(uname -s) in
*_NT*) skip "two at once: no locks" 2 ;;
*)
    mkfifo "$T/pipe"
    "$program" "$T/tiny.bin" "$T/pipe" -o "$T/out" -q -n 4 --temp 0 &
    exec 3>"$T/pipe"
    head -n 1 "$T/lines" >&3
    await "$T/out"
    refuses "a second one that goes on" 1 "out: another program is writing it" "$T/tiny.bin" "$T/lines" -o "$T/out" --resume
    sed -n 2p "$T/lines" >&3
    exec 3>&-
    wait
    is "and the first ends" "$(sum "$T/out")" "$(sum "$T/copy")"
    ;;
esac

printf '{"id": "a", "prompt": "a", "n": 1}\n{"id": "b", "prompt": 1}\n{"id": "a", "prompt": "b", "n": 1}\n' >"$T/lines"
rm -f "$T/out"
batch "$T/tiny.bin" "$T/lines" -o "$T/out" -q
before=$(cat "$T/out")
batch "$T/tiny.bin" "$T/lines" -o "$T/out" -q --resume
is "errors are done" "$(cat "$T/out")" "$before"
batch "$T/tiny.bin" "$T/lines" -o "$T/out" --resume
is "and counted" "$(cat "$T/stderr")" "batch: 0 lines in 0.0 s, 3 done before, 2 of those errors (--retry does them again)"
for had in error text; do
    echo "$before" | grep $had >"$T/out"
    batch "$T/tiny.bin" "$T/lines" -o "$T/out" -q --resume
    is "an id twice, of which there was the $had" "$(sum "$T/out")" "$(echo "$before" | sort | cksum)"
done
sed 's/"prompt": 1/"prompt": "b", "n": 1/' "$T/lines" >"$T/mended"
batch "$T/tiny.bin" "$T/mended" -o "$T/out" -q --resume --retry --temp 0
is "--retry" "$(grep -c '"b", "text": "c"' "$T/out") $(grep -c error "$T/out") $(grep -c text "$T/out")" "1 1 2"
# What was an error stood in a line that another has taken the place of.
grep '"b"' "$T/lines" >"$T/other"
batch "$T/tiny.bin" "$T/other" -o "$T/gone" -q
refuses "an error's line that is another now" 1 "line 1 is not the one that was an error" "$T/tiny.bin" "$T/lines" \
    -o "$T/gone" --resume

if [ -w /dev/full ]; then
    refuses "a full disk" 1 "/dev/full: cannot write: " "$model" "$T/in" -o /dev/full
else skip "a full disk: no /dev/full"; fi
rm -f "$T/out"
(trap '' XFSZ; ulimit -f 1; "$program" "$model" "$T/in" -o "$T/out" -q -j 1 >"$T/stdout" 2>"$T/stderr") && status=0 || status=$?
name="a disk that fills"
if [ "$status" -eq 1 ] && [ "$(wc -l <"$T/stderr")" -eq 1 ]; then ok; else bad "status $status: $(cat "$T/stderr")"; fi
batch "$model" "$T/in" -o "$T/out" -q --resume
is "and is there again" "$status $(sum "$T/out")" "0 $all"

# ---- Vectors and scores ----

awk 'BEGIN { for (i = 1; i <= 9; i++) { printf "{\"id\": %d, \"text\": \"", i
    for (k = 0; k < i * 20; k++) printf "%s ", k % 3 ? "Emma" : "was"
    print "\"}" } }' >"$T/texts"
batch "$model" "$T/texts" --embed -q --ordered
vectors=$(cat "$T/stdout")
is "vectors of length 1" "$(sed 's/.*\[//; s/\].*//' "$T/stdout" | awk -F, '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i; printf "%d %.4f ", NF, s }')" \
    "$(for i in 1 2 3 4 5 6 7 8 9; do printf '192 1.0000 '; done)"
is "of any company" "$(while read -r line; do echo "$line" | "$program" "$model" -j 1 --embed -q; done <"$T/texts")" "$vectors"
batch "$model" "$T/texts" --embed --last --raw -q --ordered
name="others"
if [ "$status" -eq 0 ] && [ "$(cat "$T/stdout")" != "$vectors" ]; then ok; else bad "$(head -c 200 "$T/stdout")"; fi

text="It is a truth universally acknowledged, that a single man must be in want of a wife."
printf '%s' "$text" >"$T/text"
cat >"$T/asked" <<END
{"id": 1, "prompt": "", "answers": ["$text"]}
{"id": 2, "prompt": "${text% in want*} ", "answers": ["in want of a wife.", "at home", "in"]}
{"id": 3, "prompt": "$preface$text She", "answers": [" was", " had been", "pherd", " was"]}
{"id": 4, "prompt": "$preface$text He", "answers": [" was"]}
END
batch "$model" "$T/asked" --score -q --ordered
cp "$T/stdout" "$T/scores"
set -- $("$RUN" "$model" --perplexity "$T/text")
name="a text's score is its perplexity's"
if sed -n 's/.*"logprob": \([-0-9.]*\).*/\1/p;1q' "$T/scores" | awk "{ exit !(\$1 + $2 * $4 < 1e-3 && \$1 + $2 * $4 > -1e-3) }"
then ok; else bad "$(head -n 1 "$T/scores"), not $2 times $4"; fi
# An answer's is the difference of two texts'.
value() { sed -n "$1p" "$T/scores" | sed 's/.*scores": //' | tr '{' '\n' | sed -n "$(($2 + 1))s/.*logprob\": \([-0-9.]*\).*/\1/p"; }
printf '{"id": 1, "prompt": "", "answers": ["%s", "%s"]}\n' "${text% in want*}" "$text" | "$program" "$model" -j 1 --score -q >"$T/two"
whole=$(sed 's/.*logprob": \([-0-9.]*\).*/\1/' "$T/two") part=$(sed 's/.*scores": \[{"logprob": \([-0-9.]*\).*/\1/' "$T/two")
name="an answer's score"
if awk "BEGIN { d = $whole - $part - ($(value 2 1)); exit !(d * d < 1e-6) }"; then ok; else bad "$whole - $part, $(value 2 1)"; fi
is "the same answer twice" "$(value 3 1)" "$(value 3 4)"
is "scores of any company" "$(while read -r line; do echo "$line" | "$program" "$model" --score -q -j 1; done <"$T/asked")" "$(cat "$T/scores")"
name="a prompt once for all answers"
sed -n 3p "$T/asked" | "$program" "$model" --score -j 1 2>"$T/stderr" >"$T/stdout"
if [ "$(sed 's/.*; \([0-9]*\) tokens of prompts.*/\1/' "$T/stderr")" -lt 160 ]; then ok; else bad "$(cat "$T/stderr")"; fi
printf '{"prompt": "a", "answers": ["bcd", "bd", "b"]}' >"$T/asked"
batch "$T/tiny.bin" "$T/asked" --score -q
is "the likeliest" "$(grep -o '"greedy": [a-z]*' "$T/stdout" | tr '\n' ' ')" '"greedy": true "greedy": false "greedy": true '

# Answers that join the prompt's last piece, around a page's end, go back by that page, which other lines would share.
awk 'BEGIN { for (i = 116; i < 132; i++) {
    text = "agreeab"
    for (k = 0; k < i; k++) text = "go " text
    printf "{\"prompt\": \"%s\", \"answers\": [\" x\", \" x y\", \"le, which\"]}\n", text
    printf "{\"prompt\": \"%s x\", \"answers\": [\" y\", \" z\", \" q\", \" r\", \" s\", \" t y z\"]}\n", text } }' >"$T/asked"
batch "$model" "$T/asked" --score -q --ordered --sequences 1
cp "$T/stdout" "$T/scores"
for context in 256 320 512; do
    batch "$model" "$T/asked" --score -q --ordered -c $context
    is "answers that go back, in a context of $context" "$status $(cat "$T/stdout")" "0 $(cat "$T/scores")"
done

# ---- Stop texts: the one that begins first, in whichever order ----

for stops in '"cd", "bcd"' '"bcd", "cd"'; do echo "{\"prompt\": \"a\", \"temperature\": 0, \"stop\": [$stops]}"; done |
    "$program" "$T/tiny.bin" -q -j 1 >"$T/stdout"
is "stop texts that end together" "$(grep -c '"text": ""' "$T/stdout")" 2

# ---- Many processes: half of the lines each ----

if command -v parallel >/dev/null; then
    parallel --will-cite --pipe -j 2 -N 8 "$program" "$model" -q -j 1 <"$T/in" >"$T/out" 2>"$T/stderr"
    is "two workers of parallel" "$(sum "$T/out")" "$all"
else skip "workers: no parallel"; fi

# ---- Wrong usage ----

refuses "nothing" 2 "no MODEL"
refuses "two kinds" 2 "exclude each other" "$model" --embed --score
refuses "--last" 2 "are for --embed" "$model" --last
refuses "--resume without files" 2 "needs IN and -o OUT" "$model" --resume
refuses "--retry" 2 "is for --resume" "$model" --retry
refuses "a template" 2 "expected llama2" "$model" --template none
refuses "a temperature" 2 "--temperature -1: expected a number from 0 to 1000" "$model" -t -1
refuses "no MODEL" 2 "in has lines of JSON, but there is no MODEL" "$T/in"
refuses "the wrong way round" 2 "in has lines of JSON, but MODEL comes first" "$T/in" "$model"
printf 'GGUF\3\0\0\0' >"$T/a.gguf"
refuses "a GGUF file" 1 "is a GGUF file; this makes a model of it: tools/convert \"$T/a.gguf\" \"a.llama\"" "$T/a.gguf"
mkdir "$T/hf"
printf '{}' >"$T/hf/config.json"
refuses "a directory for a model" 1 "this makes a model of it: tools/convert \"$T/hf\" \"hf.llama\"" "$T/hf"
refuses "no input" 1 "cannot open" "$model" "$T/none"
refuses "no model" 1 "cannot open" "$T/none"
refuses "a directory" 1 "is a directory" "$model" "$T/in" -o "$T"
is "no lines" "$("$program" "$model" </dev/null 2>&1)" "batch: 0 lines in 0.0 s"
printf '{"prompt": 1}\n{"text": "a"}\n' >"$T/lines"
batch "$T/tiny.bin" "$T/lines" -q --ordered
is "nothing but errors" "$status $(wc -l <"$T/stdout") $(cat "$T/stderr")" "1 2 batch: every line is an error, as this: $(head -n 1 "$T/stdout")"
batch "$T/tiny.bin" "$T/lines" -o "$T/errors" -q
batch "$T/tiny.bin" "$T/lines" -o "$T/errors" -q --resume
is "from before" "$status $(cat "$T/stderr")" "1 batch: every line is an error, from before; --retry does them again"
printf '{"prompt": "a"}' | "$program" "$T/tiny.bin" --n-predict 1 >"$T/stdout" 2>"$T/stderr"
name="one line, and n by its other name"
if grep -q '"tokens": 1,' "$T/stdout" && grep -q '^batch: 1 line in ' "$T/stderr"; then ok; else bad "$(cat "$T/stdout" "$T/stderr")"; fi
if has_terminal; then
    printf '{"prompt": "a", "n": 1}\n\004' | script -qec "$program $T/tiny.bin" /dev/null >"$T/stdout"
    says "lines that are typed" "batch: reads lines of JSON from the terminal; Ctrl-D ends them"
    says "and their results" '"tokens": 1'
else skip "lines that are typed: no terminal" 2; fi
finish
