#!/bin/sh
# test_train.sh - tools/train as its user sees it: a model of a text that the test makes, stopped in every way, gone on
# with, and run.
. "$(dirname "$0")/lib.sh"
TRAIN=$TOOLS/train CONVERT=$TOOLS/convert

train() {
    "$TRAIN" "$@" >"$T/stdout" 2>"$T/stderr" && status=0 || status=$?
    if grep -q "WARNING: AddressSanitizer failed to allocate" "$T/stderr"; then # it says so of every refusal
        said=$(grep -v "WARNING: AddressSanitizer failed to allocate" "$T/stderr")
        echo "$said" >"$T/stderr"
    fi
}
same() { if cmp -s "$1" "$2"; then ok; else bad "$1 and $2 differ"; fi; }
succeeds() { # NAME ARGUMENTS: and says nothing on stderr
    name=$1
    shift
    train "$@"
    if [ "$status" -eq 0 ] && [ ! -s "$T/stderr" ]; then ok; else bad "status $status: $(head -c 300 "$T/stderr")"; fi
}
done_line() { sed -n 's/^done .*, mean50/mean50/p' "$T/stdout"; }
held_out() { done_line | sed 's/.*held-out \([0-9.]*\),.*/\1/'; }

# Twenty chapters of sentences that a small model can learn.
awk 'BEGIN { srand(7)
    split("cat dog bird child king queen house tree river mountain", noun)
    split("saw liked found heard followed", verb)
    for (c = 1; c <= 20; c++) {
        printf "CHAPTER %d\n\n", c
        for (i = 0; i < 60; i++)
            printf "The %s %s the %s%s", noun[1 + int(rand() * 10)], verb[1 + int(rand() * 5)],
                noun[1 + int(rand() * 10)], i % 4 == 3 ? ".\n" : ". "
        printf "\n"
    } }' >"$T/text"
small="--vocab 320 --dim 16 --layers 2 --heads 4 --kv-heads 2 --hidden 24 --ctx 32 --batch 4 -j 1"
run60="$small --steps 60 --sample-every 0 --dropout 0.1"

# ---- A run, and what it made ----

succeeds "training" "$T/text" "$T/a.llama" $run60 --held-out "$T/held" --type q8
a=$(done_line)
name="what is printed"
for word in "every 10. of 20 chapters" "step    60/60" "bits/byte" "tokens/s" "held-out"; do
    if grep -q -e "$word" "$T/stdout"; then ok; else bad "no \"$word\" in $(cat "$T/stdout")"; fi
done
name="lines of 80 columns"
if awk 'length > 79 && !/^  > / { exit 1 }' "$T/stdout"; then ok; else bad "$(cat "$T/stdout")"; fi
name="the held-out share"
if [ "$(grep CHAPTER "$T/held" | tr '\n' ' ')" = "CHAPTER 10 CHAPTER 20 " ]; then ok; else bad "$(grep CHAPTER "$T/held")"; fi
name="it learned"
if awk "BEGIN { exit !($(held_out) < 4.6) }"; then ok; else bad "$a"; fi # log 320 is 5.77
name="run --perplexity agrees"
said=$("$RUN" "$T/a.llama" --perplexity "$T/held" 2>&1 | sed 's/.*bits_per_byte //')
if awk "BEGIN { exit !($said - $(done_line | sed 's/.*, \([0-9.]*\) bits.*/\1/') < 0.1) }"; then ok; else bad "$said, $a"; fi
name="run"
if "$RUN" "$T/a.llama" -p "The cat" -n 20 -s 1 >"$T/said" 2>&1 && grep -q "^The cat" "$T/said"; then ok; else bad "$(cat "$T/said")"; fi
name="no other files"
if [ "$(ls "$T" | tr '\n' ' ')" = "a.llama a.llama.state held said stderr stdout text " ]; then ok; else bad "$(ls "$T")"; fi
succeeds "the same again, with two threads" "$T/text" "$T/b.llama" $run60 --type q8 -j 2
same "$T/a.llama" "$T/b.llama"

# A run that was finished is not gone on with: nothing is encoded, scored or written, unless it is asked for.
succeeds "finished" "$T/text" "$T/b.llama" --resume
if [ "$(cat "$T/stdout")" = "finished   all 60 steps were made before; $T/b.llama stays as it is" ]; then ok; else bad "$(cat "$T/stdout")"; fi
same "$T/a.llama" "$T/b.llama"
succeeds "finished, in another type" "$T/text" "$T/b.llama" --resume --type f32
name="which is written"
if [ "$(wc -l <"$T/stdout")" -eq 1 ] && ! cmp -s "$T/a.llama" "$T/b.llama"; then ok; else bad "$(cat "$T/stdout")"; fi
rm "$T/b.llama"
succeeds "finished, and the model is gone" "$T/text" "$T/b.llama" --resume
same "$T/a.llama" "$T/b.llama"
succeeds "few pieces" "$T/text" "$T/b.llama" --vocab 300 --dim 8 --layers 1 --heads 2 --kv-heads 1 --hidden 8 --ctx 8 --steps 2
if grep -q "^  *256 are bytes, which spell what the other 41 cannot: see --vocab" "$T/stdout"; then ok; else bad "$(cat "$T/stdout")"; fi
succeeds "a sample" "$T/text" "$T/b.llama" $small --steps 4 --sample-every 4
if grep -q "^  > " "$T/stdout"; then ok; else bad "$(cat "$T/stdout")"; fi

# ---- Stopped, and gone on with ----

name="killed at random moments"
rm -f "$T"/b.llama*
kills=0
while [ "$kills" -lt 4 ]; do
    [ -f "$T/b.llama.state" ] && resume=--resume || resume=
    "$TRAIN" "$T/text" "$T/b.llama" $run60 --type q8 --save-every 3 $resume >"$T/stdout" 2>"$T/stderr" &
    sleep "0.0$(awk "BEGIN { srand($kills + $$); print 2 + int(rand() * 7) }")"
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    kills=$((kills + 1))
done
[ -f "$T/b.llama.state" ] && resume=--resume || resume=
train "$T/text" "$T/b.llama" $run60 --type q8 $resume
[ "$status" -eq 0 ] && grep -q "^finished" "$T/stdout" && echo "done 0 s, $a" >"$T/stdout" # before it was killed
if [ "$status" -eq 0 ] && [ "$(done_line)" = "$a" ]; then ok; else bad "$(done_line) $(cat "$T/stderr"), not $a"; fi
same "$T/a.llama" "$T/b.llama"

# ended SIGNAL FROM ARGUMENTS: when step FROM or a later one was printed.
ended() {
    signal=$1 from=$2 i=0
    shift 2
    rm -f "$T/stdout"
    (trap - INT; exec "$TRAIN" "$@" >"$T/stdout" 2>"$T/stderr") &
    pid=$!
    while [ "$(awk '/^step/ { n = $2 + 0 } END { print n + 0 }' "$T/stdout" 2>/dev/null)" -lt "$from" ] && [ $i -lt 600 ]; do
        sleep 0.05
        i=$((i + 1))
    done
    kill -"$signal" $pid 2>/dev/null
    wait $pid 2>/dev/null
}
saved_step() { od -An -tu1 -j64 -N4 "$T/k.llama.state" | awk '{ print $1 + 256 * ($2 + 256 * ($3 + 256 * $4)) }'; }
name="a run that goes on keeps its options"
long="$small --steps 2000 --eval-every 2"
ended KILL 2 "$T/text" "$T/k.llama" $long --sample-every 0 --save-every 1 --type q8
before=$(saved_step)
ended KILL $((before + 4)) "$T/text" "$T/k.llama" --resume
after=$(saved_step) # without --save-every nothing would be saved in less than two minutes
if grep -q "^resumed .*$before of 2000" "$T/stdout" && ! grep -q "^  > " "$T/stdout" && [ "$after" -gt "$before" ]
then ok; else bad "from $before to $after: $(cat "$T/stdout" "$T/stderr")"; fi
name="but those that change no loss may be given"
ended KILL $((after + 4)) "$T/text" "$T/k.llama" --resume --sample-every 1 -j 2
if grep -q "^  > " "$T/stdout"; then ok; else bad "$(cat "$T/stdout" "$T/stderr")"; fi
name="a state of an older program"
before=$(saved_step)
"$BUILD/tests/test_train" older "$T/k.llama.state" 25
ended TERM $((before + 4)) "$T/text" "$T/k.llama" --resume
if grep -q "^resumed .*$before of 2000" "$T/stdout" && grep -q "^  > " "$T/stdout" && grep -q "^stopped" "$T/stdout"
then ok; else bad "$(cat "$T/stdout" "$T/stderr")"; fi

name="the time left counts evaluations"
rm -f "$T"/k.llama*
train "$T/text" "$T/k.llama" --vocab 320 --dim 64 --layers 4 --heads 2 --kv-heads 1 --hidden 128 --ctx 32 --batch 1 -j 1 --hold-out 2 \
    --steps 40 --eval-every 1 --sample-every 0 # of which each takes as long as many steps
left=$(sed -n 's/^step *10\/40 .*bits\/byte  \([0-9]*\) s left.*/\1/p' "$T/stdout")
took=$(sed -n 's/^done *\([0-9]*\) s,.*/\1/p' "$T/stdout")
if awk "BEGIN { exit !(${left:-0} > ${took:-0} / 4) }"; then ok; else bad "$left s left, of $took: $(cat "$T/stdout")"; fi

name="two threads beside other programs"
# Each of their loops would wait for the one that is kept from its core. Others may disturb this: one of three is enough.
seconds() { # THREADS
    rm -f "$T"/k.llama*
    begin=$(date +%s%N)
    "$TRAIN" "$T/text" "$T/k.llama" --vocab 320 --dim 64 --layers 2 --heads 2 --kv-heads 1 --hidden 128 --ctx 64 --batch 4 \
        --steps 150 --eval-every 150 --sample-every 0 --hold-out 0 -j "$1" >"$T/stdout" 2>&1
    echo $((($(date +%s%N) - begin) / 1000000))
}
case $(date +%s%N) in
*[!0-9]*) skip "two threads beside other programs: no nanoseconds" ;;
*)
    loops=
    for i in $(seq "$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)"); do
        while :; do :; done &
        loops="$loops $!"
    done
    for try in 1 2 3; do
        one=$(seconds 1) two=$(seconds 2)
        [ "$two" -gt $((one * 3 / 2 + 300)) ] || break
    done
    kill $loops
    if [ "$two" -le $((one * 3 / 2 + 300)) ]; then ok; else bad "one: $one ms, two: $two ms"; fi
    ;;
esac

name="stopped by a signal"
rm -f "$T"/b.llama* "$T/stdout"
(trap - INT; exec "$TRAIN" "$T/text" "$T/b.llama" $small --steps 100000 >"$T/stdout" 2>"$T/stderr") &
pid=$!
await "$T/stdout" # until it catches the signal
kill -TERM $pid
wait $pid
if [ $? -eq 143 ] && grep -q "^stopped .*--resume" "$T/stdout" && [ -f "$T/b.llama" ]; then ok; else bad "$(cat "$T/stdout" "$T/stderr")"; fi

# refuses NAME STATUS WORD ARGUMENTS: a line on stderr with WORD, two for wrong usage, and no file changed.
refuses() {
    name=$1 want=$2 word=$3
    shift 3
    ls -lA "$T/in" >"$T/before" && cat "$T"/in/* >"$T/before2" 2>/dev/null
    train "$@"
    ls -lA "$T/in" >"$T/after" && cat "$T"/in/* >"$T/after2" 2>/dev/null
    if [ "$status" -ne "$want" ]; then bad "status $status, not $want: $(head -c 300 "$T/stderr")"
    elif [ "$(wc -l <"$T/stderr")" -ne "$want" ] || ! grep "^train: " "$T/stderr" | grep -qF -e "$word"; then
        bad "said $(head -c 300 "$T/stderr")"
    elif ! cmp -s "$T/before" "$T/after" || ! cmp -s "$T/before2" "$T/after2"; then bad "changed $(cat "$T/after")"
    else ok; fi
}
mkdir "$T/in"
cp "$T/text" "$T/in/text"
cp "$T/b.llama" "$T/in/m.llama" && cp "$T/b.llama.state" "$T/in/m.llama.state"
in="$T/in/text $T/in/m.llama"
refuses "an unfinished run is not started anew" 1 "--resume goes on" $in $small
refuses "a state of another shape" 1 "has --dim 16, not 32" $in --resume --dim 32
refuses "a state of other settings" 1 "has --lr 0.002" $in --resume --lr 0.5
echo "More." >>"$T/in/text"
refuses "a state of another text" 1 "another text" $in --resume
printf 'x' | dd of="$T/in/m.llama.state" bs=1 seek=5000 conv=notrunc 2>/dev/null
refuses "a damaged state" 1 "checksum" $in --resume
head -c 3000 "$T/b.llama.state" >"$T/in/m.llama.state"
refuses "a state cut short" 1 "cut short" $in --resume
rm "$T/in/m.llama.state"
refuses "no state" 1 "cannot open" $in --resume

# ---- Bad input ----

: >"$T/in/empty"
head -c 2000 "$T/text" >"$T/in/short"
printf 'a\0b' >"$T/in/binary"
refuses "no arguments" 2 "no TEXT"
refuses "no output" 2 "no OUT" "$T/in/text"
refuses "an empty text" 1 "is empty" "$T/in/empty" "$T/in/n.llama"
refuses "no text" 1 "cannot open" "$T/in/none" "$T/in/n.llama"
refuses "bytes" 1 "zero bytes" "$T/in/binary" "$T/in/n.llama"
refuses "a directory" 1 "not a file" "$T/in" "$T/in/n.llama"
refuses "a text shorter than a step" 1 "fewer than a step" "$T/in/short" "$T/in/n.llama" --vocab 290
refuses "a vocabulary larger than the text" 1 "too large" "$T/in/short" "$T/in/n.llama" --vocab 20000
refuses "a vocabulary without room" 1 "too small" "$T/in/text" "$T/in/n.llama" --vocab 100
refuses "heads that do not divide" 1 "does not divide" "$T/in/text" "$T/in/n.llama" --dim 100 --heads 3
refuses "kv heads that do not divide" 1 "no multiple" "$T/in/text" "$T/in/n.llama" --dim 64 --heads 4 --kv-heads 3
refuses "odd heads" 1 "not even" "$T/in/text" "$T/in/n.llama" --dim 15 --heads 3
for number in "--lr nan" "--lr -1" "--lr inf" "--lr 0x1" "--lr 1e99" "--dim 0" "--dim 1.5" "--steps 0" "--steps 99999999999" "--clip nan" \
    "--dropout 1" "--seed -1" "--batch ''" "--epochs 0" "-j 0"; do
    refuses "$number" 2 "expected a" "$T/in/text" "$T/in/n.llama" $number
done
refuses "an option without its value" 2 "needs a value" "$T/in/text" "$T/in/n.llama" --lr
refuses "an unknown option" 2 "unknown option" "$T/in/text" "$T/in/n.llama" --layer 3
refuses "a type" 2 "expected f32" "$T/in/text" "$T/in/n.llama" --type f16
refuses "steps and epochs" 2 "exclude" "$T/in/text" "$T/in/n.llama" --steps 3 --epochs 3
refuses "a text as output" 1 "not a .llama file" "$T/text" "$T/in/text"
refuses "an output of another format" 1 "tools/train \"$T/text\" \"$T/in/n.llama\"" "$T/text" "$T/in/n.gguf"
refuses "a device as output" 1 "not a file" "$T/text" /dev/null
refuses "a directory that is not there" 1 "cannot write there" "$T/text" "$T/in/no/n.llama"
refuses "a damaged model" 1 "train: " "$T/text" "$T/in/n.llama" --init "$T/in/text"
refuses "too much memory" 1 "memory" "$T/text" "$T/in/n.llama" --vocab 300 --dim 65536 --heads 64 --kv-heads 64 --hidden 262144 \
    --layers 1024 --ctx 64 --batch 1
refuses "a loss that is no number" 1 "at step" "$T/text" "$T/in/m.llama" $small --steps 50 --lr 1000 --clip 0 --warmup 0 \
    --decay 1000
if [ -e /dev/full ]; then
    cp "$T/a.llama" "$T/in/m.llama" && cp "$T/a.llama.state" "$T/in/m.llama.state"
    for part in m.llama.state.part; do
        rm -f "$T/full" && ln -s /dev/full "$T/in/$part"
        train "$T/text" "$T/in/m.llama" $small --steps 3
        name="a full disk"
        if [ "$status" -eq 1 ] && grep -q "^train: .*m.llama.state: cannot write" "$T/stderr"; then ok; else bad "$(cat "$T/stderr")"; fi
        same "$T/a.llama" "$T/in/m.llama"
        same "$T/a.llama.state" "$T/in/m.llama.state"
    done
else
    skip "a full disk: no /dev/full"
fi

# ---- From another model ----

tr 'a-z' 'b-za' <"$T/text" | sed 's/^CIBQUFS/CHAPTER/' >"$T/other" # the same in another alphabet
succeeds "steps on another text" "$T/other" "$T/c.llama" --init "$T/a.llama" --steps 1 --lr 1e-9 --ctx 32 --batch 4 --sample-every 0
before=$(held_out)
rm -f "$T"/c.llama*
succeeds "fine-tuning" "$T/other" "$T/c.llama" --init "$T/a.llama" --steps 40 --lr 3e-3 --ctx 32 --batch 4 --sample-every 0
if awk "BEGIN { exit !($(held_out) < $before - 0.3) }"; then ok; else bad "held-out loss from $before to $(held_out)"; fi
refuses "a shape that the model does not have" 1 "--dim 32" "$T/text" "$T/in/n.llama" --init "$T/a.llama" --dim 32
succeeds "frozen embedding" "$T/other" "$T/d.llama" --init "$T/a.llama" --steps 3 --ctx 32 --batch 4 --freeze-embeddings --keep-best --sample-every 0
if [ -f "$data/stories260K.bin" ]; then
    "$CONVERT" -q "$data/stories260K.bin" "$T/stories.llama" -z "$data/tok512.bin" --type f32
    succeeds "fine-tuning stories260K" "$T/text" "$T/s.llama" --init "$T/stories.llama" --steps 20 --lr 1e-3 --ctx 64 --batch 4 \
        --sample-every 0 --eval-every 5
    name="which learns"
    first=$(sed -n 's/^step *5\/20.*held-out \([0-9.]*\),.*/\1/p' "$T/stdout")
    if awk "BEGIN { exit !($(held_out) < $first) }"; then ok; else bad "$(cat "$T/stdout")"; fi
    name="its output"
    if "$RUN" "$T/s.llama" -p "The" -n 10 >"$T/said" 2>&1; then ok; else bad "$(cat "$T/said")"; fi
else
    skip "fine-tuning stories260K: no $data"
fi

finish
