#!/bin/sh
# coverage.sh DIRECTORY - lines and branches that the tests built there with --coverage have run. Many tests include what
# they test, so a line counts once it ran in any of them. With VERBOSE=1 every line that never ran is listed.
find "$1" -name '*.gcda' | while read -r data; do
    ${GCOV:-gcov} -t -b -c "$data" 2>/dev/null
done | awk -v verbose="$VERBOSE" '
BEGIN {
    n = split("llama.c tokenizer.c gguf.c gguf_head.c gguf_tokenizer.c gguf_types.c hf.c hf_config.c hf_tokenizer.c " \
              "json.c llama2c.c rope.c vocabulary.c writer.c files.c", names, " ")
    for (i = 1; i <= n; i++) wanted[names[i]] = 1
}
/^ *-: +0:Source:/ { file = $0; sub(/.*[\/:]/, "", file) }
!(file in wanted) { next }
/^ *[^: ]+: *[0-9]+:/ { # count, line, text; - is no code, # and = never ran
    split($0, part, ":")
    line = part[2] + 0
    count = part[1] + 0
    branch = 0
    if (part[1] ~ /-/ || !line) next
    if (!((file, line) in ran)) lines[file]++
    if (count && !ran[file, line]) hit[file]++
    ran[file, line] += count
    where[file, line] = file ":" line ":" substr($0, index($0, part[2] ":") + length(part[2]) + 1)
}
/^branch/ {
    key = file SUBSEP line SUBSEP branch++
    if (!(key in taken)) branches[file]++
    count = $3 == "taken" ? $4 + 0 : 0 # or "never executed"
    if (count && !taken[key]) branch_hit[file]++
    taken[key] += count
}
END {
    for (i = 1; i <= n; i++) {
        f = names[i]
        if (lines[f]) printf "%-15s lines %5.1f%% of %4d   branches %5.1f%% of %4d\n", f, 100 * hit[f] / lines[f], lines[f],
            branches[f] ? 100 * branch_hit[f] / branches[f] : 100, branches[f]
    }
    if (verbose) for (key in ran) if (!ran[key]) print where[key] | "sort -t: -k1,1 -k2,2n"
}'
