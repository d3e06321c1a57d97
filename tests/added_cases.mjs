// Writes what test_added.c carries: the ids that Hugging Face's library gives for texts with an added token in them, by
// where spaces are put in front and what the token's flags are.
//
//     npm install --prefix /tmp/npm @anush008/tokenizers
//     node tests/added_cases.mjs /tmp/npm > tests/added_cases.inc

import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const { Tokenizer } = createRequire(join(resolve(process.argv[2]), "package.json"))("@anush008/tokenizers");

const escaped = (s) => [...Buffer.from(s)].map((b) => (b > 31 && b < 127 && b !== 34 && b !== 92 && b !== 63
    ? String.fromCharCode(b) : `\\${b.toString(8).padStart(3, "0")}`)).join("");

// A vocabulary of a few pieces, in the order of test_added.c, and a token added to it.
function small(prefix, flags) {
    const vocab = { "<unk>": 0, "<s>": 1 }, space = "\u2581";
    for (let b = 0; b < 256; b++) vocab[`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`] = 2 + b;
    for (const piece of [space, "a", "b", "ab", `${space}ab`]) vocab[piece] = Object.keys(vocab).length;
    const merges = ["a b", `${space} ab`];
    const model = { type: "BPE", unk_token: "<unk>", fuse_unk: true, byte_fallback: true, vocab, merges };
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

const prefixes = { NEVER: "replace", EACH: "prepend", MISSING: "always", FIRST: "first", NONE: "never" };
const everyFlag = { 0: {}, LSTRIP: { lstrip: true }, RSTRIP: { rstrip: true }, SINGLE_WORD: { single_word: true },
                    NORMALIZED: { normalized: true } };
const texts = ["ab", " ab", "  ab", "ab<tool>ab", "ab <tool> ab", "<tool>ab", "\n <tool>\t ab", " <tool>", "a<tool>.",
               "é<tool>", "<tool>_", "<tool><tool>", "<s>ab", "<s> ab<s>", "ab<s><tool>", "\u2581ab"];
console.log("/* Made by tests/added_cases.mjs: the ids that Hugging Face's library gives, special tokens included. */");
console.log("static const struct {\n    int prefix, flags;\n    const char *text, *ids;\n} added_cases[] = {");
for (const [prefix, scheme] of Object.entries(prefixes))
    for (const [flag, of_token] of Object.entries(everyFlag)) {
        const tokenizer = small(scheme, of_token);
        for (const text of texts) {
            if (flag !== "0" && !text.includes("<tool>")) continue;
            const ids = (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds().join(" ");
            const flags = flag === "0" ? 0 : `TOKENIZER_${flag}`;
            console.log(`    {TOKENIZER_PREFIX_${prefix}, ${flags}, "${escaped(text)}", "${ids}"},`);
        }
    }
console.log("};");
