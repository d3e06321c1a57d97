// Prints the tables of tokenizer.c's last room:    node tests/unicode_tables.mjs
// What test_unicode.c is to expect of them:        node tests/unicode_tables.mjs --cases > tests/unicode_cases.inc
// More texts than a test has time for:             node tests/unicode_tables.mjs --check .build/tests/test_unicode
//
// They are of the Unicode version that Node has, and all is asked of its regular expressions and of normalize().

import { execFileSync } from "node:child_process";

function print(type, name, comment, values) {
    console.log(`static const ${type} ${name}[] = { /* ${comment} */`);
    let line = "   ";
    for (const v of values) {
        if (line.length + v.length + 2 > 120) {
            console.log(line);
            line = "   ";
        }
        line += ` ${v},`;
    }
    console.log(`${line}\n};`);
}

const all = []; // code points
for (let c = 0; c < 0x110000; c++) if (c < 0xd800 || c >= 0xe000) all.push(c);

const hex = (n) => n.toString(16).toUpperCase();
const packed = (a, b, digits) => `0x${hex(a)}${hex(b).padStart(digits, "0")}`;

// Of a value of each code point, where it changes: code point and value in one number, the value in the last digits.
function edges(value, digits, first = 0) {
    const list = [];
    for (let c = first, now = -1; c < 0x110000; c++) {
        const v = c >= 0xd800 && c < 0xe000 ? 0 : value(c);
        if (v !== now) list.push(packed(c, v, digits));
        now = v;
    }
    return list;
}

// ---- Categories ----

const names = [/\p{Lu}/u, /\p{Ll}/u, /\p{Lt}/u, /\p{Lm}/u, /\p{Lo}/u, /\p{M}/u, /[\p{Nd}\p{Nl}]/u, /\p{No}/u, /\p{P}/u,
               /\p{S}/u, /\p{White_Space}/u];
const pairs = names.length + 1; // Lu and Ll in turn
const category = new Uint8Array(0x110000);
for (const c of all) {
    const found = names.flatMap((name, i) => name.test(String.fromCodePoint(c)) ? [i + 1] : []);
    if (found.length > 1) throw new Error(`U+${c.toString(16)} is in two categories`);
    category[c] = found[0] ?? 0;
}

function paired() {
    const list = Uint8Array.from(category);
    for (let c = 128; c < 0x10ffff; c++)
        if (list[c] === 1 && list[c + 1] === 2) list[c++] = list[c] = pairs;
    return list;
}

function printCategories() {
    const list = paired();
    print("unsigned char", "tk_ascii", "categories of the first 128", Array.from(list.subarray(0, 128), String));
    print("uint32_t", "tk_categories", "code point, category: from 128 on, each to the next",
          edges((c) => list[c], 1, 128));
}

// ---- Normalisation ----

const text = String.fromCodePoint;
const nfd = (s) => s.normalize("NFD"), nfc = (s) => s.normalize("NFC");
const points = (s) => [...s].map((c) => c.codePointAt(0));
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
function check(ok, what) {
    if (!ok) throw new Error(`not so in this Unicode: ${what}`);
}

// Combining classes, numbered 1, 2, ... in order, which is all that counts. U+0334 has the lowest, U+0345 the highest.
const swaps = (a, b) => nfd(text(a, b)) !== text(a, b);
const marks = all.filter((c) => nfd(text(c)) === text(c) && (swaps(c, 0x334) || swaps(0x345, c)))
                 .sort((a, b) => swaps(a, b) - swaps(b, a) || a - b);
const classes = new Map();
let n_classes = 0;
marks.forEach((c, i) => classes.set(c, i && !swaps(c, marks[i - 1]) ? n_classes : ++n_classes));
check(n_classes < 64, "fewer than 64 combining classes");

// What decomposes, in one step: into two, or into one other and 0. (Hangul does by arithmetic.)
const decomposable = all.filter((c) => (c < 0xac00 || c >= 0xd7a4) && nfd(text(c)) !== text(c));
const whole = (c) => nfc(text(c)) === text(c); // what it decomposes into comes together again
const named = new Map(decomposable.map((c) => [nfd(text(c)), c]));
for (const c of decomposable) if (whole(c)) named.set(nfd(text(c)), c);
function step(c) {
    const full = points(nfd(text(c))), again = points(nfc(text(c)));
    check(full.length <= 4, "at most four parts");
    if (again.length === 1 && again[0] !== c) return [again[0], 0];
    if (full.length === 1) return [full[0], 0];
    const front = full.slice(0, -1);
    const first = front.length === 1 ? front[0] : named.get(text(...front));
    check(first !== undefined, "what is left without the last part is a character");
    return [first, full.at(-1)];
}
const steps = new Map(decomposable.map((c) => [c, step(c)]));
const seconds = [...new Set([...steps.values()].map(([, second]) => second))].sort((a, b) => a - b);
check(seconds.length <= 256 && seconds[0] === 0, "few second parts");
check(!seconds.some((c) => steps.has(c)), "second parts do not decompose");

const key = (c) => steps.get(c)[0] * 256 + seconds.indexOf(steps.get(c)[1]);
const composites = decomposable.filter(whole).sort((a, b) => key(a) - key(b));
const size = (c) => Buffer.byteLength(text(c));
for (const c of composites) {
    const [first, second] = steps.get(c);
    check(size(c) >= size(first) && size(c) <= size(first) + size(second), "composites take the bytes of their parts");
}

// The class, and 64 for what NFC may change even where the classes are in order.
const joins = new Set([...composites.map((c) => steps.get(c)[1]), ...range(0x1161, 0x1176), ...range(0x11a8, 0x11c3)]);
function property(c) {
    const first = nfd(text(c)).codePointAt(0);
    const changes = !whole(c) || joins.has(first) || (first !== c && classes.has(first));
    return (classes.get(c) ?? 0) + (changes ? 64 : 0);
}

function printNormalisation() {
    const starts = decomposable.flatMap((c, i) => c === decomposable[i - 1] + 1 ? [] : [packed(c, i, 3)]);
    starts.push(packed(0xf0000, decomposable.length, 3));
    print("uint32_t", "tk_nfc_edges", "code point, property: each to the next", edges(property, 2));
    print("uint32_t", "tk_part_edges", "code point, index in tk_parts: those in a row, and where it ends", starts);
    print("uint32_t", "tk_parts", "first part, index in tk_seconds", decomposable.map((c) =>
        packed(steps.get(c)[0], seconds.indexOf(steps.get(c)[1]), 2)));
    print("uint32_t", "tk_seconds", "second parts, 0 for none", seconds.map((c) => `0x${hex(c)}`));
    print("uint32_t", "tk_composites", "what two parts compose, in order of these",
          composites.map((c) => `0x${hex(c)}`));
}

// ---- Cases ----

function hash(bytes) { // FNV-1a
    let h = 2166136261;
    for (const b of bytes) h = Math.imul(h ^ b, 16777619);
    return `${h >>> 0}u`;
}

let state = 1;
function below(n) { // xorshift
    state ^= state << 13, state ^= state >>> 17, state ^= state << 5;
    return (state >>> 0) % n;
}
const pick = (list) => list[below(list.length)];

const kinds = [marks, marks, [...joins], composites, decomposable, [...steps.values()].map(([first]) => first),
               range(0x1100, 0x1113), range(0x1161, 0x1176), range(0x11a8, 0x11c3), range(0xac00, 0xd7a4),
               range(0x61, 0x7b), all.slice(1)];
const common = [0x300, 0x301, 0x302, 0x316, 0x323, 0x327, 0x328, 0x345, 0x334, 0x61, 0x65, 0x41, 0x4f, 0xea, 0x1ea1,
                0x3b1, 0x344, 0xf73, 0x9c7, 0x9be, 0x1100, 0x1161, 0x11a8, 0xac00, 0xac01];
function mixed() {
    const style = below(3);
    const c = () => style === 0 || (style === 1 && below(2)) ? pick(common) : pick(pick(kinds));
    return text(...Array.from({ length: 1 + below(12) }, c));
}

const cString = (s) => `"${[...Buffer.from(s)].map((b) => (b > 31 && b < 127 && b !== 34 && b !== 92 && b !== 63
    ? String.fromCharCode(b) : `\\${b.toString(8).padStart(3, "0")}`)).join("")}"`;

function printCases() {
    const counts = Array.from({ length: pairs }, (_, i) => category.filter((c) => c === i).length);
    console.log(`static const uint32_t category_hash = ${hash(category)};`);
    print("int", "category_counts", "none, Lu, Ll, Lt, Lm, Lo, M, Nd and Nl, No, P, S, White_Space", counts.map(String));
    // \w of the regular expressions in Rust
    const word = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
    const isWord = Uint8Array.from(category, (_, c) => word.test(text(c)));
    console.log(`static const uint32_t word_hash = ${hash(isWord)};`);
    const each = all.slice(1).map((c) => text(c));
    console.log(`static const uint32_t nfd_hash = ${hash(Buffer.from(each.map(nfd).join("")))};`);
    console.log(`static const uint32_t nfc_hash = ${hash(Buffer.from(each.map(nfc).join("")))};`);
    console.log("static const char *const nfc_cases[][2] = {");
    for (let i = 0; i < 200; i++) {
        const s = mixed();
        console.log(`    {${cString(s)},\n     ${cString(nfc(s))}},`);
    }
    console.log("};");
}

function compare(what, program, texts) {
    const input = texts.map((s) => s + "\0").join("");
    const out = execFileSync(program, ["--nfc"], { input, maxBuffer: 1 << 30 }).toString().split("\0");
    const wrong = texts.filter((s, i) => out[i] !== nfc(s));
    const shown = (s) => points(s).map(hex).join(" ");
    for (const s of wrong.slice(0, 5)) console.log(shown(s), "->", shown(nfc(s)));
    console.log(`${what}: ${texts.length - wrong.length} of ${texts.length} the same`);
    if (wrong.length) process.exitCode = 1;
}

function compareAll(program) {
    const lines = execFileSync(program, ["--categories"], { maxBuffer: 1 << 30 }).toString().split("\n");
    const same = all.filter((c) => Number(lines[c]) === category[c]);
    console.log(`categories: ${same.length} of ${all.length} the same`);
    if (same.length !== all.length) process.exitCode = 1;
    compare("NFC of code points", program, all.slice(1).map((c) => text(c)));
    compare("of a code point and marks", program, all.slice(1).flatMap((c) => [text(c, 0x301), text(c, 0x345, 0x323)]));
    const starters = [...new Set([...steps.values()].flat()), ...range(0x1100, 0x1113), ...range(0xac00, 0xac39)];
    compare("of a starter and what joins it", program,
            starters.filter((c) => c).flatMap((c) => [...joins].map((d) => text(c, d))));
    compare("of the parts of code points", program, all.slice(1).map((c) => nfd(text(c))));
    compare("of Hangul with all that may follow", program, range(0xac00, 0xd7a4).flatMap((c) =>
        [0x1161, 0x11a7, 0x11a8, 0x11c2, 0x11c3].map((d) => text(c, d))));
    for (let i = 0; i < 10; i++) compare("of random texts", program, Array.from({ length: 100000 }, mixed));
}

// ---- Main ----

const version = `Unicode ${process.versions.unicode}, made by tests/unicode_tables.mjs`;
if (process.argv[2] === "--check") {
    compareAll(process.argv[3]);
} else if (process.argv[2] === "--cases") {
    console.log(`/* ${version} --cases. */`);
    printCases();
} else {
    console.log(`/* ${version}. */`);
    printCategories();
    printNormalisation();
}
