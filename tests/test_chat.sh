#!/bin/sh
# test_chat.sh - run --chat through a pipe.
. "$(dirname "$0")/lib.sh"
"$BUILD/tests/make_model" "$T" || exit 1
tiny=$T/tiny.bin

# says NAME STATUS LINES WORD INPUT ARGUMENTS: so many lines on stdout; WORD on stderr, or nothing there.
says() {
    name=$1 want_status=$2 want_lines=$3 word=$4
    printf -- "$5" >"$T/in"
    shift 5
    "$RUN" "$@" <"$T/in" >"$T/out" 2>"$T/err" && status=0 || status=$?
    lines=$(wc -l <"$T/out")
    if [ "$status" != "$want_status" ]; then bad "status $status, not $want_status: $(head -c 300 "$T/err")"
    elif [ "$lines" -ne "$want_lines" ]; then bad "$((lines)) lines, not $want_lines: $(head -c 300 "$T/out")"
    elif [ -z "$word" ] && [ -s "$T/err" ]; then bad "said $(head -c 300 "$T/err")"
    elif ! grep -q -- "$word" "$T/err" && [ -n "$word" ]; then bad "said $(head -c 300 "$T/err"), not $word"
    else ok; fi
}

says "no template" 1 0 "tiny.bin has no chat template: -p TEXT continues a text, --template NAME" 'a\n' "$tiny" --chat
says "an unknown template" 2 0 "expected llama2, llama3" 'a\n' "$tiny" --chat --template alpaca
says "a prompt" 2 0 "takes no --prompt" 'a\n' "$tiny" --chat -p x
says "a template without a chat" 2 0 "are for --chat" '' "$tiny" --template llama2
says "a system prompt without a chat" 2 0 "are for --chat" '' "$tiny" --system x
says "no input" 0 0 "" '' "$tiny" --chat --template zephyr
says "a line, an answer" 0 1 "" 'a\n' "$tiny" --chat --template zephyr -n 3 -t 0
says "the last line need not end" 0 2 "" 'a\nb' "$tiny" --chat --template zephyr -n 3 -t 0 -c 500
says "an empty line is a turn too" 0 3 "" '\n\n\r\n' "$tiny" --chat --template zephyr -n 3 -t 0 -c 500
says "old turns go" 0 6 "forgotten)" 'a\nb\nc\nd\ne\nf\n' "$tiny" --chat --template mistral -n 1 -t 0 -c 64
says "too long a line is skipped" 0 2 "too long for the context of 64 tokens" "a%0100d\\nb\\n" \
    "$tiny" --chat --template mistral -n 3
for template in llama2 llama3 chatml zephyr mistral; do
    says "$template, with a system prompt" 0 3 "" 'a\nb\nc\n' \
        "$tiny" --chat --template $template --system s -n 2 -c 1000
done

says "a stop string ends an answer" 0 1 "" 'a\n' "$tiny" --chat --template zephyr -n 30 -t 0 -c 500 --stop K
name="and is not part of it"
if ! grep -q K "$T/out"; then ok; else bad "$(cat "$T/out")"; fi
says "through a pipe a command is text" 0 3 "" '/help\n/exit\nb\n' "$tiny" --chat --template zephyr -n 3 -t 0 -c 500

# What is typed: a terminal of its own, from util-linux.
if has_terminal; then
    # typed INPUT ARGUMENTS: what the terminal shows is in $T/out.
    typed() {
        printf -- "$1" >"$T/in"
        shift
        script -qec "$RUN $tiny --chat --template zephyr -n 3 -t 0 -c 500 $*" /dev/null <"$T/in" | tr -d '\r' >"$T/out"
    }
    shows() { # NAME COUNT PATTERN
        name=$1
        if [ "$(grep -c -- "$3" "$T/out")" = "$2" ]; then ok; else bad "not $2 times $3: $(cat "$T/out")"; fi
    }
    typed "a\n/help\n/retry\n/foo\n/save $T/chat.jsonl\n/save $T/chat.jsonl\n/clear\n/retry\n/exit\nnever said\n" --system s
    shows "the opening line" 1 '^chat with .*tiny.bin, template zephyr; /help lists commands'
    shows "/help" 1 'rlwrap'
    shows "/save" 1 '(5 messages in .*chat.jsonl)$'
    shows "/save where a file is" 1 '(cannot write .*chat.jsonl: File exists)$'
    shows "/clear" 1 '(forgotten)$'
    shows "/retry after it" 1 '(nothing was answered yet)$'
    name="what was saved"
    if [ "$(head -n 1 "$T/chat.jsonl")" = '{"role": "system", "content": "s"}' ] &&
        [ "$(sed -n 2p "$T/chat.jsonl")" = '{"role": "user", "content": "a"}' ] &&
        [ "$(sed -n 4p "$T/chat.jsonl")" = '{"role": "user", "content": "/foo"}' ] &&
        [ "$(grep -c '^{"role": "assistant", "content": ".*"}$' "$T/chat.jsonl")" = 2 ]
    then ok; else bad "$(cat "$T/chat.jsonl")"; fi
    name="/exit leaves"
    if grep -q 'at the end of the conversation' "$T/out"; then ok; else bad "$(cat "$T/out")"; fi
    typed "say \"a\" \\\\ \t \303 \303\244 \377\n/save $T/odd.jsonl\n/exit\n"
    printf '{"role": "user", "content": "say \\"a\\" \\\\ \\u0009 \\ufffd \303\244 \\ufffd"}\n' >"$T/want"
    name="what JSON has to write in another way"
    if head -n 1 "$T/odd.jsonl" | cmp -s - "$T/want"
    then ok; else bad "$(head -n 1 "$T/odd.jsonl")"; fi
else skip "what is typed: no script of util-linux" 9; fi

# The same conversation as text: stories260K has no special tokens for chatml, so that turns are only text.
if [ -r "$data/stories260K.bin" ]; then
    story() { "$RUN" "$data/stories260K.bin" -z "$data/tok512.bin" -t 0 -n 20 "$@"; }
    trimmed() { printf '%s' "$1" | sed 's/^ *//; s/ *$//'; }
    head1='<|im_start|>user
Lily saw a dog.<|im_end|>
<|im_start|>assistant
'
    name="the first answer is the one to the same text"
    printf 'Lily saw a dog.\nThe dog ran.\n' | story --chat --template chatml -c 512 >"$T/answers"
    first=$(story -q -p "$head1" </dev/null)
    if [ -n "$first" ] && [ "$(trimmed "$first" | head -n 1)" = "$(head -n 1 "$T/answers")" ]
    then ok; else bad "$first / $(cat "$T/answers")"; fi
    # With lookups, and with a draft, through turns that are dropped.
    printf 'Lily saw a dog.\nLily saw a dog.\nWho saw a dog?\nLily saw a dog.\nAnd then?\n' >"$T/in"
    for arguments in "-t 0" "-t 0.7 -s 3" "-t 1 -s 4 --repeat-penalty 1.2"; do
        "$RUN" "$data/stories260K.bin" -z "$data/tok512.bin" -n 40 $arguments --chat --template zephyr -c 250 \
            <"$T/in" >"$T/want" 2>/dev/null
        for way in --lookup "--draft $data/stories260K.bin"; do
            name="the same answers with $way, $arguments"
            "$RUN" "$data/stories260K.bin" -z "$data/tok512.bin" -n 40 $arguments --chat --template zephyr -c 250 $way -v \
                <"$T/in" >"$T/out" 2>"$T/err"
            if cmp -s "$T/out" "$T/want" && [ "$(wc -l <"$T/out")" -ge 5 ] && grep -q 'forgotten)' "$T/err" &&
                grep -q '^guesses' "$T/err"
            then ok; else bad "$(cat "$T/err" "$T/out")"; fi
        done
    done
    name="a system prompt survives when turns go"
    for i in 1 2 3 4 5 6 7 8 9; do echo "Tell me more about $i."; done |
        story --chat --template chatml --system "Be a story." -c 200 >"$T/out" 2>"$T/err"
    if [ $? = 0 ] && [ "$(wc -l <"$T/out")" -ge 9 ] && grep -q forgotten "$T/err"
    then ok; else bad "$(cat "$T/err")"; fi
    name="an answer longer than the context goes on"
    echo "Once" | story --chat --template llama2 -c 64 -n 300 >"$T/out" 2>"$T/err"
    if [ $? = 0 ] && [ "$(wc -c <"$T/out")" -gt 50 ] && grep -q "the context is full" "$T/err"
    then ok; else bad "$(cat "$T/err")"; fi
else skip "answers of stories260K: no $data" 9; fi

# Five turns, with templates of the model's own: one that only adds, one that leaves out what earlier answers thought, one
# that has the system's text before the last question. What is kept in the context must not show.
if [ -d "$data/hf-stories260K" ]; then
    turns="{% for m in messages %}{% set text = m.content"
    ends=" %}{{ m.role ~ ': ' ~ text ~ '\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    mkdir "$T/hf" && cp "$data/hf-stories260K/"* "$T/hf"
    for template in "$turns$ends" "$turns.split('</think>')[-1]$ends" \
        "{% set system = '' %}{% if messages[0].role == 'system' %}{% set system = messages[0].content ~ '/' %}{% set messages
        = messages[1:] %}{% endif %}$turns%}{% set text = (system if loop.last else '') ~ text$ends"; do
        name="five turns with $(printf '%s' "$template" | tr '\n' ' ' | head -c 90)"
        printf '%s' "$template" >"$T/hf/chat_template.jinja"
        "$TOOLS/convert" --type f32 "$T/hf" "$T/own.llama" >"$T/report" 2>&1
        printf 'Lily saw a dog.\nThe dog ran away.\nWho?\nTell me more.\nWhy?\n' >"$T/in"
        "$BUILD/tests/talk" "$T/own.llama" 12 "Be kind." <"$T/in" 2>&1 | sed 's/ *$//' >"$T/want" # run shows no space there
        "$RUN" "$T/own.llama" --chat --system "Be kind." -t 0 -n 12 <"$T/in" >"$T/out" 2>"$T/err"
        if grep -q 'template its own$' "$T/report" && cmp -s "$T/want" "$T/out" && [ "$(wc -l <"$T/out")" -ge 5 ]
        then ok; else bad "$(cat "$T/report" "$T/err" "$T/want" "$T/out")"; fi
    done
else skip "templates of a model's own: no $data" 3; fi

finish
