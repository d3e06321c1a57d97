// Compares GGUF files that are written here with llama.cpp, as npm's node-llama-cpp has it:
//
//     npm install --prefix /tmp/npm --ignore-scripts node-llama-cpp@3.22.1
//     make .build/tests/peer
//     node tests/export_gguf.mjs /tmp/npm [MODEL[:TOKENIZER] ...]
//
// Each model (tools/model/austen.llama, and ../shared/data/stories260K.bin if it is there) goes through tests/peer,
// which writes an F32 GGUF and continues a text with it, greedily. llama.cpp loads the file, makes ids of the same text,
// and gives the probabilities of each token that follows. Printed is the largest difference of log-probabilities, which
// may be 1e-3. Its cache of keys and values is F32 here: F16, which release 3.15 always has, makes it 5e-3. Ends with 1
// if ids, tokens or log-probabilities differ.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [where, ...rest] = process.argv.slice(2);
if (!where) {
    console.error("usage: node tests/export_gguf.mjs NPM_PREFIX [MODEL[:TOKENIZER] ...]");
    process.exit(2);
}
const entry = join(resolve(where), "node_modules/node-llama-cpp/dist/index.js");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry));
const peer = process.env.PEER ?? ".build/tests/peer", data = process.env.LLAMA_TEST_DATA ?? "../shared/data";
const most = 1e-3, count = 100;
const texts = ["It is a truth universally acknowledged, that", "Once upon a time, there was"];
const models = rest.length ? rest : ["tools/model/austen.llama"];
const stories = join(data, "stories260K.bin");
if (!rest.length && existsSync(stories)) models.push(`${stories}:${join(data, "tok512.bin")}`);

const directory = mkdtempSync(join(tmpdir(), "gguf-"));
process.on("exit", () => rmSync(directory, { recursive: true }));
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });

// The log-probability that llama.cpp gives each of the tokens that follow those of the prompt, and its best ones.
async function evaluate(model, prompt, tokens) {
    const cache = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
    const context = await model.createContext({ contextSize: 1024, batchSize: 1024, flashAttention: false, ...cache });
    const generateNext = { probabilities: true, token: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } };
    const input = [...prompt, ...tokens].map((id, i) => i + 1 < prompt.length ? id : [id, { generateNext }]);
    const output = (await context.getSequence().controlledEvaluate(input)).slice(prompt.length - 1, -1);
    const best = output.map((o) => [...o.next.probabilities].reduce((a, b) => (b[1] > a[1] ? b : a))[0]);
    await context.dispose();
    return { logprobs: output.map((o, i) => Math.log(o.next.probabilities.get(tokens[i]) ?? 0)), best };
}

async function compare(path, text) {
    const [file, tokenizer = file] = path.split(":"), gguf = join(directory, "model.gguf");
    const made = spawnSync(peer, [file, gguf, tokenizer, String(count)], { input: text, encoding: "utf8" });
    if (made.status !== 0) throw new Error(made.stderr || String(made.error));
    const ours = JSON.parse(made.stdout);
    const model = await llama.loadModel({ modelPath: gguf });
    const bos = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
    const prompt = [...bos, ...model.tokenize(text)];
    const theirs = await evaluate(model, ours.prompt, ours.tokens);
    await model.dispose();
    const worst = Math.max(...ours.logprobs.map((x, i) => Math.abs(x - theirs.logprobs[i])));
    const sameIds = prompt.join() === ours.prompt.join(), sameTokens = theirs.best.join() === ours.tokens.join();
    const failed = !sameIds || !sameTokens || !(worst <= most);
    console.log(`${failed ? "FAILED" : "ok"} ${file}, "${text}": ids ` +
        `${sameIds ? "the same" : `${prompt} for ${ours.prompt}`}, ${count} tokens ${sameTokens ? "the same" : "differ"}, ` +
        `log-probabilities within ${worst.toExponential(1)}`);
    return failed;
}

let failed = 0;
for (const model of models) for (const text of texts) failed += await compare(model, text);
await llama.dispose();
process.exit(failed ? 1 : 0);
