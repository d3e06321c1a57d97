// Prints tk_letters and tk_numbers of tokenizer.c: node tests/unicode_tables.mjs
// Each is a list of code points at which the category begins or ends, in turn.

function edges(category) {
    const list = [];
    for (let c = 0, inside = false; c <= 0x110000; c++) {
        const now = c < 0x110000 && !(c >= 0xd800 && c < 0xe000) && category.test(String.fromCodePoint(c));
        if (now !== inside) list.push(c);
        inside = now;
    }
    return list;
}

function print(name, comment, list) {
    console.log(`static const uint32_t ${name}[] = { /* ${comment} */`);
    let line = "   ";
    for (const c of list) {
        if (line.length + String(c).length + 2 > 120) {
            console.log(line);
            line = "   ";
        }
        line += ` ${c},`;
    }
    console.log(`${line}\n};`);
}

console.log(`/* Unicode ${process.versions.unicode}, made by tests/unicode_tables.mjs. */`);
print("tk_letters", "\\p{L}", edges(/\p{L}/u));
print("tk_numbers", "\\p{N}", edges(/\p{N}/u));
