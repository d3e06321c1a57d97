// Prints the tables of tokenizer.c's last room:    node tests/unicode_tables.mjs
// What test_unicode.c is to expect of them:        node tests/unicode_tables.mjs --cases > tests/unicode_cases.inc
//
// They are of the Unicode version that Node has, and all is asked of its regular expressions and of normalize().

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

// Of a value of each code point, where it changes: code point and value in one number, the value in the last digits.
function edges(value, digits, first = 0) {
    const list = [];
    for (let c = first, now = -1; c < 0x110000; c++) {
        const v = c >= 0xd800 && c < 0xe000 ? 0 : value(c);
        if (v !== now) list.push(`0x${c.toString(16).toUpperCase()}${v.toString(16).toUpperCase().padStart(digits, "0")}`);
        now = v;
    }
    return list;
}

// ---- Categories ----

const names = [/\p{Lu}/u, /\p{Ll}/u, /\p{Lt}/u, /\p{Lm}/u, /\p{Lo}/u, /\p{M}/u, /\p{N}/u, /\p{P}/u, /\p{S}/u, /\p{White_Space}/u];
const pairs = names.length + 1; // Lu and Ll in turn
const category = new Uint8Array(0x110000);
for (const c of all) {
    const found = names.flatMap((name, i) => name.test(String.fromCodePoint(c)) ? [i + 1] : []);
    if (found.length > 1) throw new Error(`U+${c.toString(16)} is in two categories`);
    category[c] = found[0] ?? 0;
}

// What the table has: for c and c + 1, if they are Lu and Ll, that these take turns.
function paired() {
    const list = Uint8Array.from(category);
    for (let c = 128; c < 0x10ffff; c++)
        if (list[c] === 1 && list[c + 1] === 2) list[c++] = list[c] = pairs;
    return list;
}

function printCategories() {
    const list = paired();
    print("unsigned char", "tk_ascii", "categories of the first 128", Array.from(list.subarray(0, 128), String));
    print("uint32_t", "tk_categories", "from 128 on, each to the next: code point, category", edges((c) => list[c], 1, 128));
}

function printCategoryCases() {
    let hash = 2166136261;
    const counts = new Array(pairs).fill(0);
    for (const c of category) {
        hash = Math.imul(hash ^ c, 16777619) >>> 0;
        counts[c]++;
    }
    console.log(`static const uint32_t category_hash = ${hash}u;`);
    print("int", "category_counts", "none, Lu, Ll, Lt, Lm, Lo, M, N, P, S, White_Space", counts.map(String));
}

// ---- Main ----

const version = `Unicode ${process.versions.unicode}, made by tests/unicode_tables.mjs`;
if (process.argv[2] === "--cases") {
    console.log(`/* ${version} --cases. */`);
    printCategoryCases();
} else {
    console.log(`/* ${version}. */`);
    printCategories();
}
