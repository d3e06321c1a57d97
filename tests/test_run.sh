#!/bin/sh
# test_run.sh - the command line as its user sees it, the README's example and the other ways to embed.
#
# The model that make_model.c writes says, greedily and from nothing, the alphabet; digits go round for ever; "A" is
# followed by BOS, "N" by a zero byte; "X" gives nan.
. "$(dirname "$0")/lib.sh"
case $RUN in /*) ;; *) RUN=$PWD/$RUN ;; esac
"$BUILD/tests/make_model" "$T" || exit 1
tiny=$T/tiny.bin

# run ARGUMENTS: leaves $T/out, $T/err and $status; $input, if set, is what it reads.
run() { "$RUN" "$@" <"${input:-/dev/null}" >"$T/out" 2>"$T/err" && status=0 || status=$?; }

# gives NAME STATUS TEXT ARGUMENTS: exactly this text (printf's escapes) on stdout, nothing on stderr.
gives() {
    name=$1 want_status=$2
    printf -- "$3" >"$T/want"
    shift 3
    run "$@"
    if [ "$status" != "$want_status" ]; then
        bad "status $status, not $want_status: $(head -c 300 "$T/err")"
    elif ! cmp -s "$T/out" "$T/want"; then
        bad "printed $(head -c 300 "$T/out" | od -c | head -n 8)"
    elif [ -s "$T/err" ]; then
        bad "said $(head -c 300 "$T/err")"
    else
        ok
    fi
}

# warns NAME TEXT WORD ARGUMENTS: this text on stdout, status 0, and each line of WORD in some line on stderr; as many lines.
warns() {
    name=$1 words=$3
    printf -- "$2" >"$T/want"
    shift 3
    run "$@"
    missing=$(printf '%s\n' "$words" | while read -r word; do grep -qF -e "$word" "$T/err" || echo "$word"; done)
    if [ "$status" != 0 ]; then bad "status $status: $(head -c 300 "$T/err")"
    elif ! cmp -s "$T/out" "$T/want"; then bad "printed $(head -c 300 "$T/out" | od -c | head -n 8)"
    elif [ -n "$missing" ] || [ "$(wc -l <"$T/err")" -ne "$(printf '%s\n' "$words" | wc -l)" ]; then bad "said $(cat "$T/err")"
    else ok; fi
}

# refuses NAME STATUS LINES WORD ARGUMENTS: so many short lines on stderr, WORD among them, nothing on stdout.
refuses() {
    name=$1 want_status=$2 lines=$3 word=$4
    shift 4
    run "$@"
    if [ "$status" != "$want_status" ]; then
        bad "status $status, not $want_status: $(head -c 300 "$T/err")"
    elif [ "$(wc -l <"$T/err")" -ne "$lines" ] || [ "$(wc -c <"$T/err")" -gt 1000 ]; then
        bad "said $(head -c 500 "$T/err")"
    elif ! grep -q "^run: " "$T/err" || ! grep -qF -e "$word" "$T/err" || LC_ALL=C grep -q '[^ -~]' "$T/err"; then
        bad "said $(head -c 500 "$T/err")"
    elif [ -s "$T/out" ]; then
        bad "printed $(head -c 300 "$T/out")"
    else
        ok
    fi
}
wrong_use() { # WORD ARGUMENTS
    word=$1
    shift
    refuses "wrong use: $*" 2 2 "$word" "$@"
    name="usage line: $*"
    if grep -q "^usage: run " "$T/err"; then ok; else bad "no usage line"; fi
}
check() { # NAME COMMAND...: the command succeeds
    name=$1
    shift
    if "$@"; then ok; else bad "failed: $*"; fi
}

# ---- What it prints ----

alphabet=abcdefghijklmnopqrstuvwxyz
gives "no prompt" 0 "$alphabet\n" "$tiny" -t 0
gives "options before the model" 0 "$alphabet\n" -t 0 "$tiny"
gives "the model after --" 0 "$alphabet\n" -t 0 -- "$tiny"
gives "n tokens" 0 "abcd\n" "$tiny" -t 0 -n 5 # the first is the space that decoding takes off
gives "a prompt" 0 "xyz\n" "$tiny" -t 0 -p x
gives "-i" 0 "xyz\n" "$tiny" -t 0 -i x
gives "quiet" 0 "yz\n" "$tiny" -t 0 -p x -q
gives "long options" 0 "yz\n" "$tiny" --temp 0 --prompt x --quiet
gives "--option=value" 0 "a=yz\n" "$tiny" --temp=0 --prompt=a=y
gives "a prompt that looks like an option" 0 "-n\n" "$tiny" -n 0 -p -n
gives "the repetition penalty counts the prompt" 0 "213\n" "$tiny" -t 0 -p 21 -n 1 --repeat-penalty 1.1
gives "the last of two counts" 0 "xy\n" "$tiny" -t 0 -p q -n 9 -n 1 -p x
gives "an empty prompt is none" 0 "$alphabet\n" "$tiny" -t 0 -p ""
gives "end of text at once" 0 "z\n" "$tiny" -t 0 -p z
gives "end of text at once, quiet" 0 "\n" "$tiny" -t 0 -p z -q
gives "BOS ends a text" 0 "A\n" "$tiny" -t 0 -p A
gives "a zero byte in the text" 0 "N\000M\n" "$tiny" -t 0 -p N -n 2
gives "only the prompt" 0 "x\n" "$tiny" -n 0 -p x
gives "only the prompt, quiet" 0 "\n" "$tiny" -n 0 -p x -q
gives "the prompt's bytes as they are" 0 "  a   \377<s> x\n" "$tiny" -n 0 -p "$(printf '  a   \377<s> x')"
gives "a context as long as needed" 0 "0123456789012345\n" "$tiny" -t 0 -p 0 -n 15
warns "a short context" "012345678\n" "ended after 8 of 256 tokens: the context of 10 is full" "$tiny" -t 0 -p 0 -c 10
warns "a context of one token" "\n" "ended after 1 of 256 tokens: the context of 1 is full" "$tiny" -t 0 -c 1
gives "one thread" 0 "$alphabet\n" "$tiny" -t 0 -j 1
gives "the model read whole" 0 "$alphabet\n" "$tiny" -t 0 --no-mmap
gives "three threads" 0 "$alphabet\n" "$tiny" -t 0 -j 3

digits=0123456789
digits=$digits$digits$digits$digits$digits$digits
warns "the model's context" "${digits}012\n" "run: ended after 62 of 256 tokens: the context of 64 is full (trained for 64" \
    "$tiny" -t 0 -p 0
gives "a number of tokens that just fits" 0 "${digits}012\n" "$tiny" -t 0 -p 0 -n 62
gives "a context beyond the model's" 0 "$digits${digits}0\n" "$tiny" -t 0 -p 0 -n 120 -c 130
name="and what the statistics say of it"
run "$tiny" -t 0 -p 0 -n 120 -c 130 -v
if grep -q 'context 130, trained for 64' "$T/err" && grep -q '^warning  a text of 1[0-9]* tokens is longer' "$T/err"; then ok
else bad "$(cat "$T/err")"; fi
# What was asked for beyond the limit is clamped to it, not to less.
for n in 126 127 1000000; do
    run "$tiny" -t 0 -p 0 -n $n
    name="-n $n: as much as there is room for"
    if [ "$status" = 0 ] && [ "$(tr -d '\n' <"$T/out" | wc -c)" -eq 127 ]; then ok; else bad "$(wc -c <"$T/out")"; fi
    name="-n $n: what it says of that"
    case $n in 126) want=0 ;; *) want=1 ;; esac
    if [ "$(grep -c "ended after 126 of $n tokens: the context of 128 is full" "$T/err")" = $want ]; then ok
    else bad "$(cat "$T/err")"; fi
done

# Stop strings: across tokens, the first that comes, never half printed.
gives "a stop string across tokens" 0 "0123\n" "$tiny" -t 0 -n 30 -p 0 --stop 456
gives "the first of several" 0 "01\n" "$tiny" -t 0 -n 30 -p 0 --stop 456 --stop=234 --stop 9
gives "one that never comes is not held back for ever" 0 "0123456\n" "$tiny" -t 0 -n 6 -p 0 --stop 567x --stop 56x
gives "the one that begins first, of two that end together" 0 "012\n" "$tiny" -t 0 -n 30 -p 0 --stop 45 --stop 345
gives "one that begins the text" 0 "0\n" "$tiny" -t 0 -n 30 -p 0 --stop 1
wrong_stop() { refuses "$1" 2 2 "$2" "$tiny" -t 0 --stop "$3"; }
wrong_stop "an empty stop string" "not empty" ""

printf 'N\000' >"$T/prompt"
gives "a prompt from a file" 0 "N\000M\n" "$tiny" -t 0 -n 1 -f "$T/prompt"
input=$T/prompt
gives "a prompt from standard input" 0 "N\000M\n" "$tiny" -t 0 -n 1 -f -
gives "standard input is the prompt if nothing else is" 0 "N\000M\n" "$tiny" -t 0 -n 1
gives "standard input, if -p is given, is not" 0 "xyz\n" "$tiny" -t 0 -p x
gives "a file, quiet" 0 "M\n" "$tiny" -t 0 -n 1 --file - --quiet
input=
gives "an empty standard input" 0 "$alphabet\n" "$tiny" -t 0 -f -
awk 'BEGIN { for (i = 0; i < 100000; i++) printf "%s", "0123456789" }' >"$T/digits"
refuses "a long file is read whole" 1 1 "1000002 tokens, the context only 64" "$tiny" -f "$T/digits"

# What is typed, or not: standard input that gives nothing for a second, and a terminal that ends once.
name="what it waits for"
: >"$T/err"
(await "$T/err"; printf x) | "$RUN" "$tiny" -t 0 >"$T/out" 2>"$T/err"
if grep -q "waiting for a prompt on standard input; -p TEXT gives one" "$T/err" && [ "$(cat "$T/out")" = xyz ]; then ok
else bad "$(cat "$T/out" "$T/err")"; fi
name="the first Ctrl-D ends what is typed"
if has_terminal; then
    : >"$T/out"
    (printf 'x\n\004'; await "$T/out" done) | timeout 50 script -qec "$RUN $tiny -t 0 -n 2 -f -; echo done" /dev/null >"$T/out"
    if grep -q done "$T/out"; then ok; else bad "$(cat "$T/out")"; fi
else skip "a terminal: no script of util-linux"; fi

name="the count of decoded tokens explains itself"
run "$tiny" -t 0 -n 20 -v
if grep -q "^decode   19 tokens .* (the first came with the prompt)" "$T/err"; then ok; else bad "$(cat "$T/err")"; fi

run "$tiny" -t 0 -n 3 -v
name="statistics"
if [ "$(cat "$T/out")" = "ab" ] && grep -q "^model .*tiny.bin" "$T/err" && grep -q "^load .* ms" "$T/err" &&
    grep -q "^prompt .*tokens/s" "$T/err" && grep -q "^decode   2 tokens .*tokens/s" "$T/err" &&
    ! grep -q "^seed" "$T/err"; then ok; else bad "said $(cat "$T/err")"; fi
stops() { # WHY ARGUMENTS
    name="stops $1"
    shift
    run "$tiny" -t 0 -v "$@"
    if grep -q "^stopped  ${name#stops }" "$T/err"; then ok; else bad "said $(cat "$T/err")"; fi
}
stops "after the number of tokens" -n 3
stops "at the end of the text" -p y
stops "where another text begins" -p A
stops "because the context is full" -p 0 -c 9

# ---- Chance ----

seeded() { # FILE ARGUMENTS
    run "$tiny" -t 100 -k 0 --top-p 1 -n 50 -v "$@"
    grep "^seed" "$T/err"
    cat "$T/out"
}
check "the same seed, the same text" test "$(seeded -s 7)" = "$(seeded -s 7)"
check "whatever the number of threads" test "$(seeded -s 7 -j 1)" = "$(seeded -s 7 -j 2)"
check "another seed, another text" test "$(seeded -s 7)" != "$(seeded -s 8)"
check "the largest seed" test "$(seeded -s 18446744073709551615 | head -n 1)" = "seed     18446744073709551615"
text=$(seeded)
check "a seed from the clock is shown" test "$(seeded -s "$(echo "$text" | sed -n 's/^seed *//p')")" = "$text"
check "top-k of 1 is greedy" test "$(seeded -k 1 | tail -n 1)" = "$alphabet"

# ---- Sooner, and by beams ----

# sooner NAME MODEL ARGUMENTS: the same bytes with lookups, and with the model as its own draft.
sooner() {
    name=$1 model=$2
    shift 2
    run "$model" "$@" && cp "$T/out" "$T/plain"
    for way in --lookup "--draft $model" "--lookup --draft $model"; do
        run "$model" "$@" $way -v
        if [ "$status" = 0 ] && cmp -s "$T/out" "$T/plain" && grep -q '^guesses  [0-9]* of [0-9]* were right' "$T/err"
        then ok; else bad "$way: status $status: $(cat "$T/err")"; fi
    done
}
# guessed NAME LEAST: of the last run at least so many guesses were right.
guessed() {
    name=$1
    if awk -v least="$2" '/^guesses/ { right = $2 } END { exit right < least }' "$T/err"; then ok; else bad "$(cat "$T/err")"; fi
}
sooner "greedily" "$tiny" -t 0 -p 0 -n 62
run "$tiny" -t 0 -p 0 -n 62 --lookup -v
guessed "digits that go round are looked up" 30
sooner "up to the end of the text" "$tiny" -t 0 -p 0123abc012
sooner "up to a stop string" "$tiny" -t 0 -p 01 -n 60 --stop 3456
sooner "up to the end of the context" "$tiny" -t 0 -p 0 -n 30 -c 30
for seed in 1 2; do
    sooner "noise, seed $seed" "$tiny" -t 100 -k 0 --top-p 1 -n 50 -s $seed
    [ ! -r tools/model/austen.llama ] || {
        sooner "words, seed $seed" tools/model/austen.llama -n 60 -s $seed -j 1 -p "She was"
        sooner "words with a penalty, seed $seed" tools/model/austen.llama -n 60 -s $seed --repeat-penalty 1.3 -j 1
    }
done
[ ! -r tools/model/austen.llama ] || {
    run tools/model/austen.llama -n 100 -s 1 -j 1 --draft tools/model/austen.llama -v # whose time, that of the whole, is soon saved
    guessed "a draft draws with the same numbers" 2
    run tools/model/austen.llama -p "It is" -n 12 -j 1 --beams 3 -v
    name="all beams are shown"
    if [ "$(grep -c '^beam     score -[0-9.]*, sum -[0-9.]*, 12 tokens: ' "$T/err")" = 3 ] && ! grep -q '^seed' "$T/err"
    then ok; else bad "$(cat "$T/err")"; fi
}
gives "one beam" 0 "$alphabet\n" "$tiny" --beams 1
gives "beams that all but one lose" 0 "xyz\n" "$tiny" --beams 4 --length-penalty 0 -p x
gives "beams and no tokens" 0 "x\n" "$tiny" --beams 4 -n 0 -p x
gives "beams and a stop string" 0 "0123\n" "$tiny" --beams 2 -n 9 -p 0 --stop 45
warns "beams and a short context" "012345678\n" "ended after 8 of 256 tokens: the context of 10 is full" \
    "$tiny" --beams 2 -p 0 -c 10
wrong_use "--beams excludes --chat" "$tiny" --beams 2 --chat
wrong_use "--beams excludes" "$tiny" --beams 2 --lookup
wrong_use "so --temp has no meaning" "$tiny" --beams 2 -t 0
wrong_use "so --seed has no meaning" "$tiny" --beams 2 -s 4
wrong_use "--length-penalty is for --beams" "$tiny" --length-penalty 1
wrong_use "generated" "$tiny" --lookup --perplexity "$tiny"
for value in 0 -1 256 2.5 x; do wrong_use "whole number" "$tiny" --beams "$value"; done
for value in -1 10.1 nan x; do wrong_use "number from 0 to 10" "$tiny" --beams 2 --length-penalty "$value"; done
LC_ALL=C tr N '^' <"$T/tokenizer.bin" >"$T/other.bin"
"$TOOLS/convert" "$tiny" "$T/other.llama" --type f32 -z "$T/other.bin" >/dev/null
refuses "a draft with another tokenizer" 1 1 "its tokenizer is another, of token" "$tiny" --draft "$T/other.llama"
refuses "a draft that is not there" 1 1 "no-draft" "$tiny" --draft "$T/no-draft.llama"
[ ! -r tools/model/austen.llama ] || refuses "a draft with another vocabulary" 1 1 "its vocabulary has 2048 tokens, not 300" \
    "$tiny" --draft tools/model/austen.llama

# ---- Perplexity ----

line="nll 0.000000 perplexity 1.000000 bits_per_byte 0.000000\n"
printf abc >"$T/abc"
gives "perplexity of what it would say" 0 "tokens 4 $line" "$tiny" --perplexity "$T/abc"
input=$T/abc
gives "perplexity of standard input" 0 "tokens 4 $line" "$tiny" --perplexity -
input=
# In windows of two: [BOS space a] [BOS b c] [BOS]. The b, whose place is its predecessor's on the circle
# of 300 tokens, is 259 places from BOS, and all other tokens are certain.
run "$tiny" -c 3 --perplexity "$T/abc"
name="perplexity in windows"
if [ "$status" -eq 0 ] && awk '{
    nll = 2e5 / sqrt(1 + 4e-5) * (1 - cos(8 * atan2(1, 1) * 259 / 300))
    exit !($2 == 4 && ($4 * 4 / nll - 1)^2 < 1e-6 && $6 == "inf" && ($8 * 3 * log(2) / nll - 1)^2 < 1e-6)
}' "$T/out"; then ok; else bad "printed $(cat "$T/out" "$T/err")"; fi
: >"$T/empty"
refuses "a text that is not there" 1 1 "no-text: No such file" "$tiny" -f "$T/no-text"
refuses "perplexity of nothing" 1 1 "empty" "$tiny" --perplexity "$T/empty"
refuses "perplexity without room" 1 1 "context of 1" "$tiny" --perplexity "$T/abc" -c 1
printf XX >"$T/nan"
refuses "perplexity of nan" 1 1 "not numbers" "$tiny" --perplexity "$T/nan"

# ---- The model that comes along ----

# found NAME COMMAND...: the command, run somewhere else, says the alphabet.
found() {
    name="no model named: $1"
    shift
    (cd "$T/elsewhere" && "$@" -t 0 -n 5) >"$T/out" 2>"$T/err"
    if [ "$(cat "$T/out")" = abcd ]; then ok; else bad "$(cat "$T/out" "$T/err")"; fi
}
mkdir -p "$T/elsewhere" "$T/some where/bin" "$T/some where/share/llama.c" "$T/some where/tools/model"
cp "$RUN" "$T/some where/bin/run"
"${TOOLS:-./tools}/convert" "$tiny" "$T/some where/share/llama.c/austen.llama" --type f32 >/dev/null
found "installed" "$T/some where/bin/run"
found "installed, by a relative name" "../some where/bin/run"
found "installed, found in PATH" env PATH="/nowhere::$T/some where/bin:$PATH" run
mv "$T/some where/bin/run" "$T/some where/run"
mv "$T/some where/share/llama.c/austen.llama" "$T/some where/tools/model/austen.llama"
found "source tree" "$T/some where/run"
mv "$T/some where/tools/model/austen.llama" "$T/some where/austen.llama"
found "beside the program" "$T/some where/run"

# What ships knows its own language: the same words shuffled cost it 2.6 bits a byte.
if [ -r tools/model/austen.llama ]; then
    printf 'Mr. Darcy was not at all in the humour for conversation, and she was obliged to walk with her aunt.\n' >"$T/austen"
    run tools/model/austen.llama --perplexity "$T/austen"
    check "the shipped model scores English" awk '{ exit !($8 > 0 && $8 < 2) }' "$T/out"
    # In f32, where nothing else is rounded.
    "$RUN" tools/model/austen.llama -s 1 -n 400 </dev/null >"$T/page"
    "${TOOLS:-./tools}/convert" -q tools/model/austen.llama "$T/floats.llama" --type f32
    for kv in f16 q8; do run "$T/floats.llama" --perplexity "$T/page" --kv-type $kv && cat "$T/out"; done >"$T/kvs"
    check "a cache in int8 costs less than a thousandth of perplexity" \
        awk '{ p[NR] = $6 } END { exit !(NR == 2 && p[1] != p[2] && p[2] / p[1] < 1.001 && p[2] / p[1] > 0.999) }' "$T/kvs"
    name="a text from nothing begins where it can be seen"
    for seed in 1 2 3 4; do
        run tools/model/austen.llama -n 9 -s $seed
        case $(head -c 1 "$T/out") in [!' ']) ok ;; *) bad "seed $seed: $(cat "$T/out")" ;; esac
    done
    gives "the shipped model, on one thread as on all" 0 "$("$RUN" tools/model/austen.llama -q -t 0 -n 9 -p "She was")\n" \
        tools/model/austen.llama -q -t 0 -n 9 -j 1 -p "She was"
fi

# ---- Wrong use ----

# The program alone, with no model near.
mkdir -p "$T/nowhere/bin" "$T/nowhere/share"
cp "$RUN" "$T/nowhere/bin/run"
kept=$RUN RUN=$T/nowhere/bin/run
wrong_use "no model"
wrong_use "tokenizer.bin" -t 0
RUN=$kept
wrong_use "two models" "$tiny" "$tiny"
wrong_use "--foo" "$tiny" --foo
wrong_use "-x" "$tiny" -x
gives "a value behind its letter" 0 "0123\n" "$tiny" -t0 -n3 -p0
wrong_use "--n-predict x" "$tiny" -nx
wrong_use "--" "$tiny" --=3
wrong_use "--n-predic" "$tiny" --n-predic 3
wrong_use "--n-predict abc" "$tiny" -n abc
wrong_use "needs a value" "$tiny" -n
wrong_use "needs a value" "$tiny" --n-predict
wrong_use "--n-predict" "$tiny" --n-predict=
wrong_use "takes no value" "$tiny" --quiet=1
for value in "" " 1" "1 " 1x 0x10 1.5 1e3 -1 -0x1 nan 99999999999 99999999999999999999999; do
    wrong_use "whole number" "$tiny" -n "$value"
done
for value in 0 -1 2147483648; do wrong_use "whole number" "$tiny" -c "$value"; done
for value in 0 -1 1025; do wrong_use "whole number" "$tiny" -j "$value"; done
for value in "" -1 -0.1 nan -nan inf 1e999 1,5 x "0 "; do wrong_use "number" "$tiny" -t "$value"; done
for value in 7 1.001 0 -1 1e-60 nan; do wrong_use "number above 0" "$tiny" --top-p "$value"; done
for value in 1.1 -0.1 nan; do wrong_use "number from 0 to 1" "$tiny" --min-p "$value"; done
for value in 0 -1 inf; do wrong_use "number above 0" "$tiny" --repeat-penalty "$value"; done
for value in -1 +1 1.5 18446744073709551616 ""; do wrong_use "2^64" "$tiny" -s "$value"; done
wrong_use "-k" "$tiny" -k
wrong_use "exclude" "$tiny" -p x -f "$T/abc"
wrong_use "expected f32, f16 or q8" "$tiny" -p x --kv-type q9
wrong_use "exclude" "$tiny" -p x --perplexity "$T/abc"
wrong_use "expected" "$tiny" -n "$(printf '1\n\033[31m%01000d' 1)"

run --help
name=help
if [ "$status" -eq 0 ] && [ ! -s "$T/err" ] && [ "$(wc -l <"$T/out")" -le 30 ] &&
    [ "$(awk '{ if (length > n) n = length } END { print n + 0 }' "$T/out")" -le 80 ] &&
    grep -q "^usage: run " "$T/out"; then ok; else bad "printed $(cat "$T/out")"; fi
gives "--version" 0 "llama.c $(sed -n 's/^#define LLAMA_VERSION "\(.*\)"/\1/p' llama.h)\n" --version
gives "-h beside other options" 0 "$("$RUN" -h)\n" -p x -h

# ---- Wrong files ----

# What people name by mistake: what it is, and what to do instead.
mkdir "$T/Some-Model" "$T/nothing"
echo '{"architectures": ["LlamaForCausalLM"]}' >"$T/Some-Model/config.json"
printf '\100\0\0\0\0\0\0\0{"weight"' >"$T/Some-Model/model.safetensors"
printf 'GGUF\3\0\0\0' >"$T/some.Q4_K_M.gguf"
command="tools/convert \"$T/Some-Model\" \"Some-Model.llama\""
refuses "a Hugging Face directory" 1 1 "$command" "$T/Some-Model"
refuses "the same with a slash" 1 1 "$command" "$T/Some-Model/"
refuses "its weights" 1 1 "$command" "$T/Some-Model/model.safetensors"
refuses "its configuration" 1 1 "$command" "$T/Some-Model/config.json"
refuses "a GGUF file" 1 1 "tools/convert \"$T/some.Q4_K_M.gguf\" \"some.Q4_K_M.llama\"" "$T/some.Q4_K_M.gguf"
cp "$T/Some-Model/model.safetensors" "$T/alone.safetensors"
refuses "weights alone" 1 1 "is a safetensors file, part of a directory; get the rest of it, config.json first" "$T/alone.safetensors"
# not_read NAME BYTES WORDS: a file that begins so.
not_read() {
    { printf "$2" && printf %0999d 0; } >"$T/other"
    refuses "$1" 1 1 "$T/other is $3" "$T/other"
}
not_read "a zip archive" 'PK\3\4' "a zip archive, perhaps of PyTorch weights; get the model as safetensors or GGUF"
not_read "a pickle of PyTorch" '\200\2\212\12l' "old PyTorch weights; get the model as safetensors or GGUF"
not_read "a gzip file" '\37\213\10' "packed by gzip; unpack it and name what was in it"
: >"$T/nothing at all"
for file in /dev/null "$T/nothing at all"; do refuses "$file" 1 1 "$file is empty; get the model again" "$file"; done
refuses "a tokenizer" 1 1 "is a tokenizer, not a model; it goes after -z: run MODEL -z \"$T/tokenizer.bin\"" "$T/tokenizer.bin"
refuses "a prompt without -p" 1 1 "a prompt goes after -p: run -p \"Once upon a time\"" "Once upon a time"
refuses "one word without -p" 1 1 "a prompt goes after -p: run -p \"Once\"" Once
refuses "no such file" 1 1 "cannot open: No such file" "$T/none.bin"

echo "<!DOCTYPE html><html><body>Not found</body></html>" >"$T/page"
for file in "$T/none" "$T/empty" "$T/page" "$T" "$T/tokenizer.bin"; do
    refuses "as a model: ${file#"$T"}" 1 1 "$file" "$file"
done
for file in "$T/none" "$T/empty" "$T/page" "$T" "$tiny"; do
    refuses "as a tokenizer: ${file#"$T"}" 1 1 "$file" "$tiny" -z "$file"
done
for file in "$T/none" "$T"; do
    refuses "as a prompt: ${file#"$T"}" 1 1 "$file" "$tiny" -f "$file"
    refuses "as a text to score: ${file#"$T"}" 1 1 "$file" "$tiny" --perplexity "$file"
done
refuses "a name with control characters" 1 1 "no?such?[31mfile" "$(printf 'no\nsuch\033[31mfile')"
refuses "a long name" 1 1 "aaaaaaaa" "$(awk 'BEGIN { while (i++ < 5000) printf "a" }')"
head -c 1000 "$T/tokenizer.bin" >"$T/short"
refuses "a short tokenizer" 1 1 "$T/short" "$tiny" -z "$T/short"
mkdir "$T/alone" && cp "$tiny" "$T/alone"
refuses "no tokenizer: the first tried" 1 1 "$T/alone/tokenizer.bin" "$T/alone/tiny.bin"
refuses "no tokenizer: the second tried" 1 1 "$T/alone/tokenizer.model" "$T/alone/tiny.bin"
refuses "no tokenizer: what to do" 1 1 "-z" "$T/alone/tiny.bin"
refuses "a prompt too long" 1 1 "8 tokens, the context only 4" "$tiny" -c 4 -p abcdef
refuses "a prompt too long for the model" 1 1 "101 tokens, the context only 64" "$tiny" -p "$(printf %099d 0)"
refuses "a context too large" 1 1 "2147483647" "$tiny" -c 2147483647

name="nan: the text so far, then the reason"
run "$tiny" -p X
if [ "$status" -eq 1 ] && [ "$(cat "$T/out")" = X ] && [ "$(wc -l <"$T/err")" -eq 1 ] && grep -q nan "$T/err"
then ok; else bad "status $status, said $(cat "$T/err")"; fi
name="a model named without a directory"
text=$(cd "$T" && "$RUN" tiny.bin -t 0 2>&1)
if [ "$text" = "$alphabet" ]; then ok; else bad "said $text"; fi

# ---- Where the text goes ----

name="a full disk"
if [ -w /dev/full ]; then
    for arguments in "$tiny -t 0" "$tiny --perplexity $T/abc" --help --version; do
        "$RUN" $arguments >/dev/full 2>"$T/err"
        if [ $? -eq 1 ] && [ "$(wc -l <"$T/err")" -eq 1 ] && grep -q "^run: cannot write" "$T/err"
        then ok; else bad "$arguments: $(cat "$T/err")"; fi
    done
else skip "$name: no /dev/full"; fi

endless="$tiny -t 0 -p 0 -c 4000000 -n 4000000"
name="a closed pipe ends it quietly"
text=$({ "$RUN" $endless 2>"$T/err"; echo $? >"$T/status"; } | head -c 5)
if [ "$text" = 01234 ] && [ ! -s "$T/err" ] && [ "$(cat "$T/status")" -ne 0 ]; then ok; else bad "$(cat "$T/err")"; fi
name="a closed pipe ends it quietly, with -v too"
text=$({ "$RUN" $endless -v 2>"$T/err"; echo $? >"$T/status"; } | head -c 5)
if [ "$text" = 01234 ] && [ ! -s "$T/err" ] && [ "$(cat "$T/status")" -ne 0 ]; then ok; else bad "$(cat "$T/err")"; fi
name="a closed pipe with SIGPIPE ignored"
text=$({ trap '' PIPE; "$RUN" $endless 2>"$T/err"; echo $? >"$T/status"; } | head -c 5)
if [ "$text" = 01234 ] && [ ! -s "$T/err" ] && [ "$(cat "$T/status")" -eq 1 ]; then ok; else bad "$(cat "$T/err")"; fi

if can_interrupt; then
    for i in 1 2 3 4; do cat "$T/digits"; done >"$T/many"
    interrupt() { # ARGUMENTS
        interrupted "$T/err" "$RUN" "$@" -v >"$T/out" 2>"$T/err"
        grep -q "^stopped  by Ctrl-C" "$T/err" || status="$status, $(cat "$T/err")"
    }
    name="Ctrl-C while it writes"
    interrupt $endless
    if [ "$status" = 130 ] && [ "$(head -c 5 "$T/out")" = 01234 ] && [ "$(tail -c 1 "$T/out" | od -An -c | tr -d ' ')" = '\n' ]
    then ok; else bad "status $status"; fi
    name="Ctrl-C while it reads the prompt"
    interrupt "$tiny" -f "$T/digits" -c 1100000
    if [ "$status" = 130 ] && [ "$(od -An -c <"$T/out" | tr -d ' ')" = '\n' ]; then ok; else bad "status $status"; fi
    name="Ctrl-C while it scores: what was scored, marked as a part"
    interrupted "$T/out" "$RUN" "$tiny" --perplexity "$T/many" -c 64 >"$T/out" 2>"$T/err" # it has scored something
    if [ "$status" = 130 ] && [ "$(wc -l <"$T/out")" = 1 ] &&
        grep -q '^tokens [0-9]* nll [0-9.]* perplexity [0-9.]* bits_per_byte [0-9.]* partial [0-9.]*% of 4000001 tokens$' "$T/out"
    then ok; else bad "status $status: $(cat "$T/out")"; fi
else skip "Ctrl-C: no timeout program"; fi

name="a model read whole may be cut off while it is in use"
cp "$tiny" "$T/cut.bin"
: >"$T/out"
{
    echo a
    await "$T/out"
    : >"$T/cut.bin"
    echo a
} | "$RUN" "$T/cut.bin" --no-mmap --chat --template mistral -c 200 -t 0 -n 2 -z "$T/tokenizer.bin" >"$T/out" 2>"$T/err"
status=$?
if [ $status -eq 0 ] && [ "$(wc -l <"$T/out")" -eq 2 ]; then ok; else bad "status $status: $(cat "$T/out" "$T/err")"; fi

# ---- A real model ----

story=$(printf '%s\n' 'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.' \
    "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. She said, \"I want to play with your ball, but I can't find it.\"" \
    "Lily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"" \
    "Lily didn't want to help her mom, so she")
start="Once upon a time"
real() { # NAME TEXT ARGUMENTS
    name=$1 text=$2
    shift 2
    if [ -r "$data/stories260K.bin" ]; then gives "$name" 0 "$text\n" "$data/stories260K.bin" "$@"
    else skip "$name: no $data"; fi
}
real "the story" "$story" -z "$data/tok512.bin" -t 0 -n 200
real "the story with a .model" "$story" -z "$data/tok512.model" -t 0 -n 200
real "the story on one thread" "$story" -z "$data/tok512.bin" -t 0 -n 200 -j 1
real "the story on two threads" "$story" -z "$data/tok512.bin" -t 0 -n 200 -j 2
# The story's first 200 tokens hold the 4 of this prompt.
real "the story from a prompt" "$story" -z "$data/tok512.bin" -t 0 -n 196 -p "$start"
real "the story after a prompt" "${story#"$start"}" -z "$data/tok512.bin" -t 0 -n 196 -p "$start" -q
printf '%s' "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, \
she saw a big, red ball." >"$T/golden"
real "golden perplexity" "tokens 44 nll 0.324100 perplexity 1.382785 bits_per_byte 0.163281" -z "$data/tok512.bin" \
    --perplexity "$T/golden"
if [ -r "$data/stories260K.bin" ] && [ -e /dev/stdin ]; then # more than the megabyte that is tried first
    text=$(cat "$data/stories260K.bin" | "$RUN" /dev/stdin -z "$data/tok512.bin" -t 0 -n 4 2>&1)
    name="a model from a pipe"
    if [ "$text" = "$start" ]; then ok; else bad "printed $text"; fi
fi
if [ -r "$data/stories260K.bin" ]; then
    cp "$data/stories260K.bin" "$data/tok512.model" "$T/alone" && mv "$T/alone/tok512.model" "$T/alone/tokenizer.model"
    gives "tokenizer.model beside the model" 0 "$story\n" "$T/alone/stories260K.bin" -t 0 -n 200
    refuses "the tokenizer of another model" 1 1 "32000" "$data/stories260K.bin" -z "$data/llama2-tokenizer.bin"
else skip "tokenizer.model beside the model, the tokenizer of another model: no $data"; fi

# ---- Embedding ----

awk -v to="$T/readme" '/^```/ { inside = /^```c$/; n += inside; next } inside { print > (to n ".c") }' README.md
name="the README shows tests/example.c"
if cmp -s "$T/readme1.c" tests/example.c; then ok; else bad "$(diff "$T/readme1.c" tests/example.c | head -n 5)"; fi
name="the README shows tests/forks.c"
if cmp -s "$T/readme2.c" tests/forks.c; then ok; else bad "$(diff "$T/readme2.c" tests/forks.c | head -n 5)"; fi
name="the README shows what tests/forks.c prints"
sed -n '/^\$ .\/forks/,/^```$/p' README.md | sed '1d;$d' >"$T/readme.txt"
"$BUILD/tests/forks" tools/model/austen.llama "It is" >"$T/out"
# The words depend on the last bits of the kernels; the last line does not.
if [ "$(tail -n 1 "$T/readme.txt")" = "$(tail -n 1 "$T/out")" ] && [ "$(wc -l <"$T/out")" -eq 4 ]; then ok; else
    bad "$(cat "$T/out")"
fi
name="the README shows tests/ahead.c"
if cmp -s "$T/readme3.c" tests/ahead.c; then ok; else bad "$(diff "$T/readme3.c" tests/ahead.c | head -n 5)"; fi
name="the README shows what tests/ahead.c prints"
sed -n '/^\$ .\/ahead/,/^```$/p' README.md | sed '1d;$d' >"$T/readme.txt"
"$BUILD/tests/ahead" tools/model/austen.llama "It is" >"$T/out"
shape() { sed -n 's/[0-9.]*[0-9]/N/g; /guesses\|^-N/p' "$1" | cut -c 1-9; } # the words depend on the kernels' last bits
if [ "$(shape "$T/readme.txt")" = "$(shape "$T/out")" ] && [ "$(shape "$T/out" | wc -l)" -eq 5 ]; then ok; else
    bad "$(cat "$T/out")"
fi
name="the README shows the help"
sed -n '/^usage: run/,/^```$/p' README.md | sed '$d' >"$T/readme.txt"
"$RUN" --help >"$T/out"
if cmp -s "$T/readme.txt" "$T/out"; then ok; else bad "$(diff "$T/readme.txt" "$T/out" | head -n 5)"; fi
check "the README's example runs" test "$("$BUILD/tests/example" "$tiny" "$T/tokenizer.bin" x)" = yz
if [ -x "$BUILD/tests/host" ]; then
    check "a C++ host" test "$("$BUILD/tests/host" "$tiny" "$T/tokenizer.bin")" = $alphabet
else skip "a C++ host: no C++ compiler"; fi

finish
