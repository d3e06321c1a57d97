// Compares the tokenizer.json that tools/convert writes with the tokenizer it was made from, by Hugging Face's own
// libraries, which npm has: in JavaScript, and in Rust if that is there too.
//
//     npm install --prefix /tmp/npm @huggingface/tokenizers [@anush008/tokenizers]
//     tools/convert MODEL.llama DIRECTORY
//     node tests/export_tokenizer.mjs /tmp/npm MODEL.llama DIRECTORY [TEXT ...]
//
// 4000 random texts, and pieces of each TEXT, a file, go through tools/tokenize with the model and through the
// libraries with the directory; printed is how many have other ids, and the shortest of them. Ends with 1 if there is
// any.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [where, model, directory, ...files] = process.argv.slice(2);
if (!directory) {
    console.error("usage: node tests/export_tokenizer.mjs NPM_PREFIX MODEL.llama DIRECTORY [TEXT ...]");
    process.exit(2);
}
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(join(resolve(where), "package.json"));

// ---- Texts ----

let seed = 1n;
const random = (n) => {
    seed = (seed * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number((seed >> 33n) % BigInt(n));
};
const words = ["the", "The", " ", "  ", "   ", "\n", "\n\n", "\t", "I'm", "we'll", "THEY'RE", "1", "12", "1234567", ".", "...", ",",
    "!?", "(", ")", "-", "_", "#", "//", "é", "e\u0301", "ß", "naïve", "Жук", "слово", "日本語", "ひらがな", "カタカナ",
    "한국어", "العربية", "हिन्दी", "😀", "👩‍👩‍👧", "\u2581", "\u00a0", "\u3000", "\u200b", "½", "²", "Ⅷ", "<s", "</", "a", "b",
    "aa", "aaaa", "ing", "tion", "Lily", "Mr. Darcy", "once upon a time", "x = y + 1;", "\r\n", "🇩🇪", "\u0000\u0001", "ﬁ"];
const texts = [];
for (let i = 0; i < 4000; i++) {
    let text = "";
    for (let n = 1 + random(12); n--;) text += (random(3) ? "" : " ") + words[random(words.length)];
    texts.push(text.replaceAll("\0", ""));
}
for (const file of files) {
    const all = readFileSync(file, "utf8").replaceAll("\0", "");
    for (let at = 0; at < all.length;) {
        const n = 1 + random(400);
        texts.push(all.slice(at, at + n).toWellFormed());
        at += n;
    }
}

// ---- Ids ----

const ours = spawnSync(join(root, "tools/tokenize"), [model, "-0"],
                       { input: texts.map((t) => t + "\0").join(""), maxBuffer: 1 << 30, encoding: "utf8" });
if (ours.status) {
    console.error(ours.stderr);
    process.exit(2);
}
const want = ours.stdout.split("\n").slice(0, texts.length);

const json = join(directory, "tokenizer.json"), config = join(directory, "tokenizer_config.json");
const libraries = {
    "@huggingface/tokenizers": async (name) => {
        const { Tokenizer } = require(name);
        const t = new Tokenizer(JSON.parse(readFileSync(json)), JSON.parse(readFileSync(config)));
        return (text) => t.encode(text, { add_special_tokens: false }).ids;
    },
    "@anush008/tokenizers": async (name) => {
        const { Tokenizer } = require(name);
        const t = Tokenizer.fromFile(json);
        return async (text) => (await t.encode(text, null, { addSpecialTokens: false })).getIds();
    },
};

let different = 0, ran = 0;
for (const [name, open] of Object.entries(libraries)) {
    let encode;
    try {
        require.resolve(name);
    } catch {
        console.log(`${name} is not installed`);
        continue;
    }
    encode = await open(name);
    const wrong = [];
    for (let i = 0; i < texts.length; i++) {
        const ids = Array.from(await encode(texts[i])).join(" ");
        if (ids !== want[i]) wrong.push([texts[i], ids, want[i]]);
    }
    wrong.sort((a, b) => a[0].length - b[0].length);
    console.log(`${name}: ${wrong.length} of ${texts.length} texts have other ids`);
    for (const [text, ids, want] of wrong.slice(0, 3))
        console.log(`  ${JSON.stringify(text)}\n    theirs ${ids}\n    ours   ${want}`);
    different += wrong.length;
    ran++;
}
process.exit(different || !ran ? 1 : 0);
