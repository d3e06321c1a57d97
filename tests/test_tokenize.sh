#!/bin/sh
# test_tokenize.sh - tools/tokenize as its user sees it, and what all programs of tools/ have in common.
# What make_model.c's model and tokenizer are is explained there.
. "$(dirname "$0")/lib.sh"
program=$TOOLS/tokenize
"$BUILD/tests/make_model" "$T" || exit 1
mkdir "$T/in" "$T/alone" "$T/Some-Model"
mv "$T/tokenizer.bin" "$T/in"
cp "$T/tiny.bin" "$T/in"

# gives NAME WANT ARGUMENTS: of standard input, and says nothing on stderr.
gives() {
    name=$1
    printf "$2" >"$T/want"
    shift 2
    "$TOOLS/tokenize" "$@" >"$T/stdout" 2>"$T/stderr" && status=0 || status=$?
    if [ "$status" -ne 0 ] || [ -s "$T/stderr" ]; then bad "status $status: $(head -c 300 "$T/stderr")"
    elif cmp -s "$T/stdout" "$T/want"; then ok; else bad "gave $(head -c 300 "$T/stdout")"; fi
}

# ---- Text to ids, and back: a space is 259, a is 260 ----

t=$T/in/tokenizer.bin
printf abc | gives "ids" "259 260 261 262\n" "$t"
printf 'abc\0\0ab\0' | gives "many texts" "259 260 261 262\n\n259 260 261\n" "$t" -0
printf 'a\0b' | gives "the long name" "259 260\n259 261\n" "$t" --null
echo 259 260 261 262 | gives "text" abc "$t" -d
echo 259 260 | gives "and its long name" a "$t" --decode
"$TOOLS/convert" -q "$T/in/tiny.bin" "$T/tiny.llama" --type f32
printf abc | gives "of a .llama file" "259 260 261 262\n" "$T/tiny.llama"
awk 'BEGIN { for (i = 0; i < 70000; i++) printf "a" }' >"$T/long"
name="a long text"
if [ "$("$TOOLS/tokenize" "$t" <"$T/long" | wc -w)" -eq 70001 ]; then ok; else bad "not 70001 ids"; fi

# Typed: at the first end the program is done, and what follows is somebody else's.
if has_terminal; then
    name="a terminal's first Ctrl-D"
    : >"$T/out"
    (printf 'ab\n\004'; await "$T/out" then; printf 'cd\n\004') | script -qec "$TOOLS/tokenize $t; echo then; cat" /dev/null >"$T/out"
    if [ "$(tr -d '\r' <"$T/out" | sed -n '/^259 260 261 13$/,$p' | sed 2q | tr '\n' ' ')" = "259 260 261 13 then " ]
    then ok; else bad "$(cat "$T/out")"; fi
else skip "Ctrl-D: no script of util-linux"; fi

# ---- What people name by mistake: what it is, and what to do instead ----

refuses "nothing" 2 "no TOKENIZER"
refuses "an unknown option" 2 "unknown option --ids" "$t" --ids
refuses "an unknown letter" 2 "unknown option -x" "$t" -x
refuses "a letter too many" 2 "unknown option -dx" "$t" -dx
refuses "a value" 2 "--decode takes no value" "$t" --decode=3
refuses "two names" 2 "one name too many: text" "$t" text
echo '{"architectures": ["LlamaForCausalLM"]}' >"$T/Some-Model/config.json"
echo '{"version": "1.0"}' >"$T/Some-Model/tokenizer.json"
printf '\100\0\0\0\0\0\0\0{"weight"' >"$T/Some-Model/model.safetensors"
printf 'GGUF\3\0\0\0' >"$T/some.Q4_K_M.gguf"
commands="tools/convert \"$T/Some-Model\" \"Some-Model.llama\", then tools/tokenize \"Some-Model.llama\""
refuses "a Hugging Face directory" 1 "is a directory, perhaps from Hugging Face; its tokenizer comes with the model: $commands" "$T/Some-Model"
refuses "its tokenizer" 1 "$commands" "$T/Some-Model/tokenizer.json"
refuses "its weights" 1 "is a safetensors file, part of a directory; its tokenizer comes with the model: $commands" \
    "$T/Some-Model/model.safetensors"
refuses "the same with a slash" 1 "\"Some-Model.llama\", then" "$T/Some-Model/"
refuses "a directory without a name" 1 'tools/convert "." "model.llama", then tools/tokenize "model.llama"' .
refuses "a GGUF file" 1 \
    "is a GGUF file; its tokenizer comes with the model: tools/convert \"$T/some.Q4_K_M.gguf\" \"some.Q4_K_M.llama\", then" \
    "$T/some.Q4_K_M.gguf"
refuses "a model beside its tokenizer" 1 "is a model without a tokenizer; beside it is one: tools/tokenize \"$t\"" "$T/in/tiny.bin"
cp "$T/tiny.bin" "$T/alone"
"$TOOLS/convert" -q "$T/alone/tiny.bin" "$T/alone/tiny.llama"
refuses "a model alone" 1 "name the file that goes with it: tools/tokenize tokenizer.bin" "$T/alone/tiny.bin"
refuses "a .llama file without a tokenizer" 1 "is a model without a tokenizer; name the file that goes with it: tools/tokenize" \
    "$T/alone/tiny.llama"
refuses "no file" 1 "cannot open: No such file or directory; there is a tokenizer in tools/model: tools/tokenize tools/model/" \
    "$T/none.bin"
refuses "a text" 1 "a text comes on standard input: printf '%s' \"Once upon a time\" | tools/tokenize tools/model/" "Once upon a time"
refuses "one word" 1 "no file is named \"Once\"" Once
echo "<!DOCTYPE html>" >"$T/page"
refuses "another file" 1 "$T/page" "$T/page"

# ---- Every program ----

version="llama.c $(sed -n 's/^#define LLAMA_VERSION "\(.*\)"/\1/p' llama.h)"
for program in bench convert tokenize train; do
    name="$program --version"
    if [ "$("$TOOLS/$program" --version 2>&1)" = "$version" ]; then ok; else bad "$("$TOOLS/$program" --version 2>&1)"; fi
    for option in -h --help; do
        name="$program $option"
        "$TOOLS/$program" $option >"$T/stdout" 2>"$T/stderr" && status=0 || status=$?
        size=$(awk '{ if (length > n) n = length } END { print n <= 80 && NR <= 40 }' "$T/stdout")
        if [ "$status$size" = 01 ] && [ ! -s "$T/stderr" ] && grep -q "^usage: $program " "$T/stdout"
        then ok; else bad "$(cat "$T/stdout" "$T/stderr")"; fi
    done
    name="$program, an unknown option"
    "$TOOLS/$program" --nonsense >"$T/stdout" 2>"$T/stderr" && status=0 || status=$?
    if [ "$status" -eq 2 ] && [ ! -s "$T/stdout" ] && grep -q "^$program: unknown option --nonsense$" "$T/stderr"
    then ok; else bad "status $status: $(cat "$T/stderr")"; fi
done

finish
