#!/bin/sh
# includes.sh - who may include whom in tools/: a folder itself, tools/shared and the two headers; batching those of
# JSON and training the writer's too; shared/inside.c, alone, llama.c. A program, any header. And nobody comes back to
# himself by what he includes, NAME.c and NAME.h being one. Prints what is wrong; ends with 1 if anything is.
cd "$(dirname "$0")/.." || exit 1
awk '
function plain(path) { # a/b/../c -> a/c
    while (match(path, /[^\/.]+\/\.\.\//)) path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
    return path
}
function folder(path) { return split(path, part, "/") > 2 ? part[2] : "" } # "" for the programs
function module(path) { sub(/\.[ch]$/, "", path); return path }
function allowed(from, to) {
    if (to == "llama.h" || to == "tokenizer.h") return 1
    if (to == "llama.c") return from == "tools/shared/inside.c"
    if (to !~ /^tools\/.*\.h$/) return 0
    if (folder(from) == "" || folder(to) == folder(from) || folder(to) == "shared") return 1
    if (folder(from) == "batching") return to ~ /^tools\/formats\/json(_writer)?\.h$/
    return folder(from) == "training" && to == "tools/formats/writer.h"
}
function follow(name, way,    list, n, i) { # way: from where to where we came here
    if (name in open) { print "a circle: " way name; return bad = 1 }
    if (name in done) return
    open[name]
    n = split(includes[name], list, " ")
    for (i = 1; i <= n; i++) follow(list[i], way name " -> ")
    delete open[name]
    done[name]
}
/^ *# *include *"/ {
    split($0, quoted, "\"")
    directory = FILENAME
    sub(/[^\/]*$/, "", directory)
    to = plain(directory quoted[2])
    if (!allowed(FILENAME, to)) { print FILENAME ":" FNR ": may not include " to; bad = 1 }
    if (module(to) != module(FILENAME)) includes[module(FILENAME)] = includes[module(FILENAME)] " " module(to)
}
END {
    if (!NR) { print "no files"; bad = 1 }
    for (name in includes) follow(name, "")
    exit bad
}' tools/*.c tools/*/*.c tools/*/*.h
