#!/bin/sh
# test_families_tokens.sh - the tokenizers and chat templates of tiny checkpoints of Llama's relatives, against the ids and
# the text that Hugging Face's own library gives: see tokens.c, which compares.
# Each folder of the data's `families` has a tokenizer and tokens.jsonl; families/gguf has the same as GGUF.
. "$(dirname "$0")/lib.sh"
TOKENS=$BUILD/tests/tokens data=$data/families

# A text of some GGUF files has other ids by their nature: they cannot say that text is brought into NFC, nor that the
# space in front goes only where none is; and Gemma's pieces are not told from text that has U+2581.
by_nature() { # FAMILY
    case $1 in
    qwen*) echo 2 ;;
    llama-null) echo 6 ;;
    gemma*) echo 1 ;;
    *) echo 0 ;;
    esac
}
check() { # NAME INPUT TOKENS.jsonl HOW MANY DIFFER
    "$TOKENS" "$2" "$3" >"$T/out" 2>&1 || true
    name=$1 chats="^$( [ "$4" -eq 6 ] && echo 4 || echo 0) of [0-9]* chats differ$" # a space in front is in all of llama-null's
    if grep -q "^$4 of 61 differ$" "$T/out" && { grep -q "$chats" "$T/out" || ! grep -q chats "$T/out"; }
    then ok; else bad "$(tail -n 1 "$T/out"): $(head -c 300 "$T/out")"; fi
}

[ -d "$data" ] || skip "tokens of families: no $data"
for tokens in "$data"/*/tokens.jsonl; do
    [ -f "$tokens" ] || continue
    folder=${tokens%/tokens.jsonl}
    family=${folder##*/}
    check "$family" "$folder" "$tokens" 0
    gguf=$data/gguf/$family.gguf
    [ -f "$gguf" ] && check "$family, GGUF" "$gguf" "$tokens" "$(by_nature "$family")"
done

finish
