#!/bin/sh
# test_families.sh - tiny checkpoints of Llama's relatives, converted and compared with values that a reference computed
# from their formulas: see golden.c, which compares. Without their tokenizers, which have tests of their own.
#
# Each folder of the data's `families` has a checkpoint as Hugging Face writes it, config.json twice, of transformers 4
# and 5, and golden.json; families/gguf has the same as GGUF.
. "$(dirname "$0")/lib.sh"
CONVERT=$TOOLS/convert GOLDEN=$BUILD/tests/golden data=$data/families

convert() { # INPUT OUTPUT TYPE
    rm -f "$2"
    "$CONVERT" "$1" "$2" --type "$3" --no-tokenizer -q 2>"$T/stderr" && return
    bad "$(head -c 300 "$T/stderr")"
    return 1
}
agrees() { # MODEL GOLDEN.json [short]
    if "$GOLDEN" "$@" >"$T/stdout" 2>&1; then ok; else bad "$(head -n 4 "$T/stdout" | tr '\n' ';')"; fi
}
perplexity() { # MODEL GOLDEN.json
    "$GOLDEN" "$@" | sed -n 's/^perplexity \([0-9.e+-]*\)$/\1/p'
}

check_model() { # INPUT GOLDEN.json
    convert "$1" "$T/model.llama" f32 || return
    agrees "$T/model.llama" "$2"
    if grep -q '"short"' "$2"; then
        name="$name, a short text"
        agrees "$T/model.llama" "$2" short
    fi
}

# With weights and activations of 8 bits the mean nll stays within 1%. That is 9% of these perplexities of 10^4: weights
# are random, logits far apart, and a router in doubt sends a token elsewhere. (VERBOSE=1 shows by how much each moves.)
check_q8() { # INPUT GOLDEN.json
    convert "$1" "$T/q8.llama" q8 || return
    want=$(sed -n 's/^ *"perplexity": *\([0-9.e+]*\),*$/\1/p' "$2" | head -n 1) got=$(perplexity "$T/q8.llama" "$2")
    if awk "BEGIN { exit !((log($got) / log($want) - 1)^2 <= 0.01^2) }"; then ok
    else bad "perplexity $got, not $want"; fi
    [ -z "$VERBOSE" ] || awk "BEGIN { printf \"$name: perplexity %+.2f%%\n\", 100 * ($got / $want - 1) }"
}

if [ ! -d "$data" ]; then
    skip "families: no $data"
fi
for golden in "$data"/*/golden.json; do
    folder=${golden%/golden.json} family=${golden%/golden.json}
    family=${family##*/}
    [ -f "$golden" ] || continue
    name="$family"
    check_model "$folder" "$golden"
    name="$family, q8"
    check_q8 "$folder" "$golden"
    if [ -f "$folder/config.v5.json" ]; then
        rm -rf "$T/v5" && mkdir "$T/v5" && cp "$folder"/* "$T/v5" && mv -f "$T/v5/config.v5.json" "$T/v5/config.json"
        name="$family, config.json of transformers 5"
        check_model "$T/v5" "$golden"
    fi
    if [ -f "$data/gguf/$family.gguf" ]; then
        name="$family, GGUF"
        check_model "$data/gguf/$family.gguf" "$golden"
    fi
done

finish
