#!/bin/sh
# test_export.sh - tools/convert the other way round: a model of ours in other formats, and back again.
# What make_model.c's model says is explained there.
. "$(dirname "$0")/lib.sh"
CONVERT=$TOOLS/convert program=$TOOLS/convert
"$BUILD/tests/make_model" "$T" || exit 1
mkdir "$T/out"
"$CONVERT" -q --type f32 "$T/tiny.bin" "$T/tiny.llama" || exit 1
want=$("$RUN" "$T/tiny.llama" -t 0 -n 12 -p K 2>/dev/null)

# exports NAME OUTPUT FILES ARGUMENTS: writes those files alone, and says so.
exports() {
    name=$1 output=$2 files=$3
    shift 3
    "$CONVERT" "$@" "$output" >"$T/stdout" 2>"$T/stderr" && status=0 || status=$?
    left=$(cd "$T/out" && find . -type f | sort | tr '\n' ' ')
    if [ "$status" -ne 0 ] || [ -s "$T/stderr" ]; then bad "status $status: $(head -c 300 "$T/stderr")"
    elif [ "$left" != "$files" ]; then bad "wrote $left"
    elif ! grep -q "^output  *$output, " "$T/stdout"; then bad "said $(cat "$T/stdout")"
    else ok; fi
}
# What was written is read again, and says the same; --type f32 loses nothing more.
returns() { # INPUT
    name="$name, and back"
    "$CONVERT" -q --type f32 "$1" "$T/again.llama" 2>"$T/stderr" && status=0 || status=$?
    got=$("$RUN" "$T/again.llama" -t 0 -n 12 -p K 2>>"$T/stderr")
    if [ "$status" -eq 0 ] && [ -n "$want" ] && [ "$got" = "$want" ]; then ok; else bad "said $got, $(cat "$T/stderr")"; fi
    rm -rf "$T/out" && mkdir "$T/out"
}
directory='./config.json ./generation_config.json ./model.safetensors ./tokenizer.json ./tokenizer_config.json '
nested=$(printf %s "$directory" | sed 's,\./,./m/,g')

exports "GGUF" "$T/out/m.gguf" "./m.gguf " "$T/tiny.llama" && returns "$T/out/m.gguf"
exports "a directory" "$T/out/m/" "$nested" "$T/tiny.llama" && returns "$T/out/m"
exports "a directory in bf16" "$T/out/m/" "$nested" --type bf16 "$T/tiny.llama"
rm -r "$T/out/m"
exports "a directory that is there" "$T/out" "$directory" "$T/tiny.llama" && returns "$T/out"
exports "llama2.c" "$T/out/m.bin" "./m.bin ./tokenizer.bin " "$T/tiny.llama" && returns "$T/out/m.bin"
exports "of llama2.c's" "$T/out/m.gguf" "./m.gguf " "$T/tiny.bin" && returns "$T/out/m.gguf"
exports "ONNX" "$T/out/m.onnx" "./m.onnx " "$T/tiny.llama"
rm "$T/out/m.onnx"
exports "without a tokenizer" "$T/out/m.gguf" "./m.gguf " --no-tokenizer "$T/tiny.llama"
exports "a GGUF file is replaced by another" "$T/out/m.gguf" "./m.gguf " "$T/tiny.llama"
for type in q8 q4; do
    "$CONVERT" -q --type $type "$T/tiny.bin" "$T/$type.llama"
    exports "GGUF of $type" "$T/out/m.gguf" "./m.gguf " --type f32 "$T/$type.llama"
done

# Refused, in one line, and nothing is written or changed.
unchanged() {
    before=$after after=$(cd "$T" && find . -type f ! -name 'std*' -exec cksum {} + | sort)
    name="$name: nothing is written"
    if [ "$before" = "$after" ]; then ok; else bad "$after"; fi
}
no() { # NAME STATUS WORD ARGUMENTS
    refuses "$@"
    unchanged
}
echo "a text" >"$T/out/text.gguf" && echo "a graph" >"$T/out/m.onnx" && echo "a tokenizer" >"$T/out/tokenizer.bin"
echo "weights" >"$T/out/y.onnx.data"
mkdir "$T/foreign" && echo "a letter" >"$T/foreign/letter.txt"
after=$(cd "$T" && find . -type f ! -name 'std*' -exec cksum {} + | sort)
no "a text under that name" 1 "text.gguf: exists; not replaced" "$T/tiny.llama" "$T/out/text.gguf"
no "a graph under that name" 1 "m.onnx: exists; not replaced" "$T/tiny.llama" "$T/out/m.onnx"
no "weights beside a graph" 1 "y.onnx.data: exists, weights of another graph; not replaced" "$T/tiny.llama" "$T/out/y.onnx"
no "another tokenizer.bin" 1 "tokenizer.bin: there is another one already" "$T/tiny.llama" "$T/out/m.bin"
no "a directory with other files" 1 "letter.txt" "$T/tiny.llama" "$T/foreign/"
no "no such directory" 1 "cannot" "$T/tiny.llama" "$T/none/m.gguf"
no "no such directory for one" 1 "cannot" "$T/tiny.llama" "$T/none/m/"
no "no such directory for ONNX" 1 "cannot" "$T/tiny.llama" "$T/none/m.onnx"
no "a type of ours" 1 "q4" --type q4 "$T/tiny.llama" "$T/out/x.gguf"
no "a type that a directory has not" 1 "q8_0" --type q8_0 "$T/tiny.llama" "$T/out/x/"
no "a type that ONNX has not" 1 "bf16" --type bf16 "$T/tiny.llama" "$T/out/x.onnx"
no "a type that llama2.c has not" 1 "type f16: expected f32" --type f16 "$T/tiny.llama" "$T/out/x.bin"
no "numbers that a half cannot hold" 1 "output.weight has numbers beyond 65504, which F16 cannot hold; --type f32 can" "$T/q8.llama" "$T/out/x.gguf"
no "of a GGUF file" 1 "make a .llama file of it first: tools/convert" "$T/out/m.gguf" "$T/out/x.gguf"
no "of a directory" 1 "make a .llama file of it first" "$T/foreign" "$T/out/x.gguf"
no "a text as a model" 1 "text.gguf" "$T/out/text.gguf" "$T/out/x.gguf"
no "no input" 1 "none.llama: cannot open" "$T/none.llama" "$T/out/x.gguf"
for output in x.gguf x/ x.onnx; do # a disk that fills: no file may have more than 8 kB
    name="a full disk, $output"
    (trap '' XFSZ && ulimit -f 8 && "$CONVERT" "$T/tiny.llama" "$T/out/$output") >"$T/stdout" 2>"$T/stderr" && status=0 || status=$?
    if [ "$status" -eq 1 ] && [ "$(wc -l <"$T/stderr")" -eq 1 ] && grep -q "^convert: .*cannot write" "$T/stderr"
    then ok; else bad "status $status: $(cat "$T/stderr" "$T/stdout")"; fi
    unchanged
done

finish
