#!/bin/sh
# test_convert.sh - tools/convert as its user sees it, and what the models that it writes say.
# What make_model.c's model says is explained there.
. "$(dirname "$0")/lib.sh"
CONVERT=$TOOLS/convert
"$BUILD/tests/make_model" "$T" || exit 1
mkdir "$T/out"
out=$T/out/model.llama

convert() { "$CONVERT" "$@" >"$T/stdout" 2>"$T/stderr" && status=0 || status=$?; }

# converts NAME ARGUMENTS: succeeds, says nothing on stderr, leaves no other file.
converts() {
    name=$1
    shift
    rm -f "$T/out"/*
    convert "$@"
    if [ "$status" -ne 0 ] || [ -s "$T/stderr" ]; then bad "status $status: $(head -c 300 "$T/stderr")"
    elif [ "$(ls -A "$T/out")" != model.llama ]; then bad "left $(ls -A "$T/out")"
    else ok; fi
}
reports() { # PATTERN...: the report has a line for each
    for pattern; do
        name="report: $pattern"
        if grep -q -e "$pattern" "$T/stdout"; then ok; else bad "is $(cat "$T/stdout")"; fi
    done
}
says() { # TEXT ARGUMENTS: so does the model, greedily
    name="$name, run"
    want=$1
    shift
    got=$("$RUN" "$out" -t 0 "$@" 2>"$T/stderr") # which may say that the text is longer than the model is used to
    if [ "$got" = "$want" ]; then ok; else bad "said $got, $(cat "$T/stderr")"; fi
}

# refuses NAME STATUS LINES WORD ARGUMENTS: so many lines on stderr, WORD among them, and no file written or changed.
refuses() {
    name=$1 want_status=$2 lines=$3 word=$4
    shift 4
    ls -lAR "$T/out" "$T/in" >"$T/before"
    convert "$@"
    ls -lAR "$T/out" "$T/in" >"$T/after"
    if [ "$status" != "$want_status" ]; then
        bad "status $status, not $want_status: $(head -c 300 "$T/stderr")"
    elif [ "$(wc -l <"$T/stderr")" -ne "$lines" ] || ! grep -q "^convert: " "$T/stderr" || ! grep -qF -e "$word" "$T/stderr" ||
        LC_ALL=C grep -q '[^ -~]' "$T/stderr"; then
        bad "said $(head -c 500 "$T/stderr")"
    elif [ -s "$T/stdout" ]; then
        bad "printed $(head -c 300 "$T/stdout")"
    elif ! cmp -s "$T/before" "$T/after"; then
        bad "left $(cat "$T/after")"
    else
        ok
    fi
}
wrong_use() { # WORD ARGUMENTS
    word=$1
    shift
    refuses "wrong use: $*" 2 2 "$word" "$@"
}

# ---- What it writes ----

mkdir "$T/in"
tiny=$T/in/tiny.bin
cp "$T/tiny.bin" "$T/tokenizer.bin" "$T/in"
alphabet=abcdefghijklmnopqrstuvwxyz
for type in f32 bf16 q8; do
    converts "$type" "$tiny" "$out" --type $type
    reports "^type  *$type, " "^tokenizer  *SentencePiece, chat template none$"
done
converts "options first" --type=f32 -j 2 -- "$tiny" "$out"
says $alphabet
converts "a value right behind its letter" "$tiny" "$out" --type f32 -j2 "-z$T/in/tokenizer.bin"
says $alphabet
name="a name without an ending"
convert -q "$tiny" "$T/plain"
if [ "$status" -eq 0 ] && [ -s "$T/plain" ]; then ok; else bad "status $status: $(cat "$T/stderr")"; fi
converts "a tokenizer elsewhere" "$T/tiny.bin" "$out" -z "$T/in/tokenizer.bin" --type f32
says $alphabet
converts "the default" "$tiny" "$out"
reports "^type  *q8 (the default), " "^input  *$tiny, llama2.c version 0, f32$" "^error  *mean square .*%" "^time  *.* MB/s$" \
    "^shape  *1 layers, dim 4, hidden .* heads and .* kv heads of .*, vocabulary 300, context 64$"
cp "$out" "$T/default"
converts "as often as one likes" "$tiny" "$out" -j 1
name="the same file with any number of threads"
if cmp -s "$out" "$T/default"; then ok; else bad "differs"; fi
converts "quiet" "$tiny" "$out" -q --type f32
name="quiet"
if [ -s "$T/stdout" ]; then bad "printed $(cat "$T/stdout")"; else ok; fi
cp "$out" "$T/in/f32.llama"
converts "from a .llama file" "$T/in/f32.llama" "$out" --type f32
name="the same file from a .llama file"
if cmp -s "$out" "$T/in/f32.llama"; then ok; else bad "differs"; fi
name="in place of a model"
convert "$tiny" "$out" --type bf16
if [ "$status" -eq 0 ] && [ "$(ls -A "$T/out")" = model.llama ] && ! cmp -s "$out" "$T/in/f32.llama"; then ok; else bad "status $status"; fi
mv "$T/in/tokenizer.bin" "$T/in/t"
converts "without a tokenizer" "$tiny" "$out" --type f32
reports "^tokenizer  *none"
says $alphabet -z "$T/in/t"
mv "$T/in/t" "$T/in/tokenizer.bin"

# ---- Calibration; what it computes is in test_quantize.c ----

for i in 1 2 3 4 5 6 7 8 9 10; do echo "$alphabet 0123456789 $alphabet"; done >"$T/in/text"
converts "calibrated" "$tiny" "$out" --type q4 --embedding f32 --calibrate
reports "^calibrated  on 16384 tokens that the model wrote$" "^change  *KL .*, perplexity .* to .*, on 2048 tokens more$"
says $alphabet
cp "$out" "$T/in/calibrated"
converts "calibrated by one thread" "$tiny" "$out" --type q4 --embedding f32 --calibrate -j 1
name="calibrated: the same file with any number of threads"
if cmp -s "$out" "$T/in/calibrated"; then ok; else bad "differs"; fi
converts "calibrated with a text" "$tiny" "$out" --type q4 --calibrate-text "$T/in/text"
reports "^calibrated  on .* tokens of $T/in/text$" "^change  *KL "
converts "checked" "$tiny" "$out" --type bf16 --check
reports "^change  *KL .*, perplexity .* to .*, on 2048 tokens$"
converts "the embedding of another type" "$tiny" "$out" --type q4 --embedding q4
reports "^type  *q4, "
wrong_use "--calibrate is for --type q4" "$tiny" "$out" --calibrate
wrong_use "--calibrate is for --type q4" "$tiny" "$T/out/x.gguf" --type q4_0 --calibrate
wrong_use "--calibrate and --calibrate-text" "$tiny" "$out" --type q4 --calibrate --calibrate-text "$T/in/text"
wrong_use "--embedding q5: expected f32, bf16, q8" "$tiny" "$out" --embedding q5
wrong_use "--embedding and --check are for .llama files" "$tiny" "$T/out/x.gguf" --check
refuses "no such text" 1 1 "$T/in/none" "$tiny" "$out" --type q4 --calibrate-text "$T/in/none"
echo short >"$T/in/short"
refuses "a short text" 1 1 "$T/in/short: 7 tokens are too few, at least 128 needed" "$tiny" "$out" --type q4 \
    --calibrate-text "$T/in/short"
refuses "a text without a tokenizer" 1 1 "$T/in/text: the model has no tokenizer to read it with" "$tiny" "$out" --type q4 \
    --calibrate-text "$T/in/text" --no-tokenizer
name="Ctrl-C while it calibrates"
if can_interrupt; then
    cp "$out" "$T/default" # -q: without a word on how long it would take, which a slow machine has
    interrupted "$T/stderr" "$CONVERT" -q tools/model/austen.llama "$out" --type q4 --calibrate >"$T/stdout" 2>"$T/stderr"
    if [ $status -eq 130 ] && [ "$(ls -A "$T/out")" = model.llama ] && cmp -s "$out" "$T/default" &&
        [ "$(wc -l <"$T/stderr")" -eq 1 ]; then ok; else bad "status $status, said $(cat "$T/stderr"), left $(ls -A "$T/out")"; fi
else
    skip "Ctrl-C while it calibrates: no timeout"
fi

# ---- What it refuses: the model that is there stays ----

wrong_use "no INPUT"
wrong_use "no OUTPUT" "$tiny"
wrong_use "too many" "$tiny" "$out" "$out"
wrong_use "--foo" "$tiny" "$out" --foo
wrong_use "needs a value" "$tiny" "$out" --type
wrong_use "takes no value" "$tiny" "$out" --quiet=1
wrong_use "unknown option -qx" "$tiny" "$out" -qx
wrong_use "--threads 2x: expected a whole number" "$tiny" "$out" -j2x
for type in "" q5 F32 q8x; do wrong_use "expected f32, bf16, q8, q6, q4" "$tiny" "$out" --type "$type"; done
for n in "" 0 -1 1x 1025 99999999999999999999; do wrong_use "whole number" "$tiny" "$out" -j "$n"; done
for option in -h --help; do
    convert $option
    name="$option"
    if [ "$status" -eq 0 ] && [ ! -s "$T/stderr" ] && [ "$(wc -l <"$T/stdout")" -le 24 ] && grep -q "^usage: convert " "$T/stdout" &&
        [ "$(awk '{ if (length > n) n = length } END { print n + 0 }' "$T/stdout")" -le 80 ]; then ok; else bad "printed $(cat "$T/stdout")"; fi
done

echo "<!DOCTYPE html>" >"$T/in/page"
: >"$T/in/empty"
mkdir "$T/in/directory"
head -c 1000 "$tiny" >"$T/in/short"
for file in none page empty directory short; do refuses "input: $file" 1 1 "$T/in/$file" "$T/in/$file" "$out"; done
printf 'GGUF\003' >"$T/in/gguf"
refuses "a short GGUF file" 1 1 "$T/in/gguf" "$T/in/gguf" "$out"
printf '\2\0\0\0\0\0\0\0{}' >"$T/in/model.safetensors"
refuses "safetensors alone" 1 1 "seems to be safetensors; name the directory that it is in: tools/convert \"$T/in\" \"$out\"" \
    "$T/in/model.safetensors" "$out"
echo '{"version": "1.0"}' >"$T/in/tokenizer.json"
refuses "JSON" 1 1 "seems to be JSON; name the directory that it is in: tools/convert \"$T/in\" \"$out\"" \
    "$T/in/tokenizer.json" "$out"
for ending in ggml pt safetensors; do
    refuses "output: .$ending" 1 1 "what is written is a .llama file, whatever its name: tools/convert \"$tiny\" \"$T/out/x.llama\"" \
        "$tiny" "$T/out/x.$ending"
done
for file in none page empty directory "tiny.bin"; do refuses "tokenizer: $file" 1 1 "$T/in/$file" "$tiny" "$out" -z "$T/in/$file"; done
refuses "a name with control characters" 1 1 "no?such?[31mfile" "$(printf 'no\nsuch\033[31mfile')" "$out"
cp "$tiny" "$T/in/tiny"
refuses "output: the input" 1 1 "not replaced" "$T/in/tiny" "$T/in/tiny"
refuses "output: another file" 1 1 "not replaced" "$tiny" "$T/in/page"
refuses "output: a directory" 1 1 "which was not written here; not replaced" "$tiny" "$T/out"
refuses "output: a device" 1 1 "not replaced" "$tiny" /dev/null
refuses "output: no such directory" 1 1 "$T/none/x.llama" "$tiny" "$T/none/x.llama"
if [ "$(id -u)" -ne 0 ]; then
    chmod a-w "$T/out"
    refuses "output: a directory without write permission" 1 1 "$T/out/other.llama" "$tiny" "$T/out/other.llama"
    chmod u+w "$T/out"
else
    skip "a directory without write permission: root may write anywhere"
fi
name="a full disk"
(
    trap '' XFSZ
    ulimit -f 8
    "$CONVERT" "$tiny" "$T/out/full.llama" --type f32 >"$T/stdout" 2>"$T/stderr"
)
status=$?
if [ $status -eq 1 ] && [ "$(wc -l <"$T/stderr")" -eq 1 ] && grep -q "^convert: $T/out/full.llama: cannot write" "$T/stderr" &&
    [ "$(ls -A "$T/out")" = model.llama ]; then ok; else bad "status $status, said $(cat "$T/stderr"), left $(ls -A "$T/out")"; fi

# Ctrl-C while a file of 17 GB, a hole but for its header, is read: version 1, dim 1024, hidden 4096, 256 layers.
name="Ctrl-C"
mkdir "$T/hole"
printf '24ka\1\0\0\0\0\4\0\0\0\20\0\0\0\1\0\0\20\0\0\0\20\0\0\0\100\37\0\0\0\2\0\0\1' >"$T/hole/model.bin"
if can_interrupt &&
    truncate -s $((256 + 4 * (1024 * 513 + 1024 * 8000 + 256 * (4 * 1024 * 1024 + 3 * 1024 * 4096)))) "$T/hole/model.bin" 2>/dev/null; then
    cp "$out" "$T/default"
    interrupted "$T/stderr" "$CONVERT" "$T/hole/model.bin" "$out" >"$T/stdout" 2>"$T/stderr"
    if [ $status -eq 130 ] && [ "$(ls -A "$T/out")" = model.llama ] && cmp -s "$out" "$T/default" && [ "$(wc -l <"$T/stderr")" -eq 1 ]
    then ok; else bad "status $status, said $(cat "$T/stderr"), left $(ls -A "$T/out")"; fi
else
    skip "Ctrl-C: no timeout or truncate"
fi

# ---- Real models ----

if [ -d "$data/gguf" ]; then
    story=$(sed -n 's/^> Once/Once/p' "$data/README.md" | sed 's/\\n/\
/g')
    sed -n 's/^text: //p' "$data/GOLDEN.txt" | tr -d '\n' >"$T/text"
    perplexity() { "$RUN" "$out" --perplexity "$1" | awk '{ print $6 }'; }
    near() { # NAME GOT WANT SHARE
        name=$1
        if awk "BEGIN { exit !(($2 / $3 - 1)^2 <= $4^2) }"; then ok; else bad "$2, not $3"; fi
    }
    for input in hf-stories260K gguf/stories260K-f32.gguf "stories260K.bin -z $data/tok512.bin"; do
        converts "$input" $data/$input "$out" --type f32
        says "$story" -n 200
        near "perplexity of $input" "$(perplexity "$T/text")" 1.382785 1e-5
    done
    for type in bf16 q8; do
        converts "stories260K as $type" "$data/hf-stories260K" "$out" --type $type
        near "perplexity as $type" "$(perplexity "$T/text")" 1.382785 0.005
    done
    converts "stories260K as q4" "$data/hf-stories260K" "$out" --type q4
    near "perplexity as q4" "$(perplexity "$T/text")" 1.382785 0.2
    cp -r "$data/hf-stories260K" "$T/in/odd" && chmod -R u+w "$T/in/odd"
    echo '{"model": {"type": "Unigram"}}' >"$T/in/odd/tokenizer.json"
    refuses "a tokenizer that is not understood" 1 1 \
        "odd/tokenizer.json: model's type is Unigram, not BPE (--no-tokenizer converts without)" "$T/in/odd" "$out"
    converts "... and is not wanted" "$T/in/odd" "$out" --no-tokenizer
    reports "^tokenizer  *none: run will need one after -z$"
    converts "... or is replaced" "$T/in/odd" "$out" --type f32 -z "$data/hf-stories260K/tokenizer.model"
    says "$story" -n 200
    wrong_use "-z and --no-tokenizer" "$T/in/odd" "$out" --no-tokenizer -z "$data/hf-stories260K/tokenizer.model"
    echo '{"added_tokens": [{"id": 512, "content": "<pad>", "special": true}], "model": {"type": "BPE", "byte_fallback": true}}' \
        >"$T/in/odd/tokenizer.json"
    converts "a special token beyond the embedding" "$T/in/odd" "$out"
    reports "^skipped  *token <pad>: its id is 512, the embedding has 512 rows$"
    grep '^random' "$data/gguf/GOLDEN.txt" >"$T/golden"
    while read -r file want rest; do
        converts "$file" "$data/gguf/$file" "$out" --type f32
        near "perplexity of $file" "$(perplexity "$T/text")" "$want" 1e-6
    done <"$T/golden"
    converts "hf-llama3-tiny" "$data/hf-llama3-tiny" "$out" --type f32
    reports "^tokenizer  *byte-level, chat template its own$" \
        "^shape .* 8 heads and 2 kv heads of 16, vocabulary 407, context 131072$"
else
    skip "real models: no ../shared/data"
fi

finish
