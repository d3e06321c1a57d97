// Compares what onnxruntime makes of an ONNX file with what llama.c makes of the model it was made of, step by step,
// each with its cache:
//
//     npm install --prefix /tmp/npm --ignore-scripts onnxruntime-node@1.23.2
//     make && make .build/tests/steps
//     node tests/export_onnx.mjs /tmp/npm MODEL FILE.onnx [N [ID ...]]
//
// Printed is the greatest difference of any log-probability after any of N tokens (32): ID ..., or 1, and what llama.c
// finds the likeliest each time; all at once as a prompt, and one by one. Ends with 1 where it is more than 1e-3, or
// onnxruntime finds another token clearly likelier.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [where, model, file, count = "32", ...ids] = process.argv.slice(2);
if (!file) {
    console.error("usage: node tests/export_onnx.mjs NPM_PREFIX MODEL FILE.onnx [N [ID ...]]");
    process.exit(2);
}
const ort = createRequire(join(resolve(where), "package.json"))("onnxruntime-node");
const allowed = 1e-3;

// What llama.c says: tokens, and logits after each.
function reference() {
    const steps = process.env.STEPS ?? ".build/tests/steps", args = [model, count, ...(ids.length ? ids : ["1"])];
    const out = spawnSync(steps, args, { maxBuffer: 2 ** 31 - 1, stdio: ["ignore", "pipe", "inherit"] });
    if (out.status !== 0) throw new Error(`${steps} failed`);
    const bytes = out.stdout, row = bytes.length / Number(count), list = [];
    for (let at = 0; at < bytes.length; at += row) {
        const floats = bytes.buffer.slice(bytes.byteOffset + at + 4, bytes.byteOffset + at + row);
        list.push({ id: bytes.readInt32LE(at), logits: new Float32Array(floats) });
    }
    return list;
}

function logprobs(logits) {
    const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const sum = Math.log(logits.reduce((a, b) => a + Math.exp(b - max), 0)) + max;
    return Float64Array.from(logits, (x) => x - sum);
}

const worst = { difference: 0, other: 0 };

function compare(got, want) {
    const a = logprobs(got), b = logprobs(want), best = (x) => x.reduce((at, v, i) => (v > x[at] ? i : at), 0);
    for (let i = 0; i < b.length; i++) {
        const d = Math.abs(a[i] - b[i]);
        if (!(d <= worst.difference)) worst.difference = d; // a NaN stays
    }
    const [mine, theirs] = [best(a), best(b)];
    if (mine !== theirs && b[theirs] - b[mine] > 2 * allowed) worst.other++;
}

const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 2, logSeverityLevel: 3 });
const pasts = session.inputNames.filter((name) => name.startsWith("past_key_values."));

// The cache as it is before anything.
function emptyCache() {
    const inputs = session.inputMetadata.filter((input) => pasts.includes(input.name));
    return Object.fromEntries(inputs.map(({ name, shape: [, heads, , width] }) =>
        [name, new ort.Tensor("float32", [], [1, heads, 0, width])]));
}

const int64 = (list, dims) => new ort.Tensor("int64", BigInt64Array.from(list, BigInt), dims);

async function call(past, tokens, position) {
    const out = await session.run({ input_ids: int64(tokens, [1, tokens.length]), position: int64([position], [1]), ...past });
    const next = Object.fromEntries(pasts.map((p) => [p, out[p.replace("past_key_values", "present")]]));
    return { logits: out.logits.data, next };
}

const want = reference(), size = want[0].logits.length, empty = emptyCache();
const all = (await call(empty, want.map((step) => step.id), 0)).logits;
want.forEach((step, i) => compare(all.subarray(i * size, (i + 1) * size), step.logits));
const atOnce = worst.difference;
const start = performance.now();
let past = empty;
for (const [i, step] of want.entries()) {
    const { logits, next } = await call(past, [step.id], i);
    compare(logits, step.logits);
    past = next;
}
const speed = want.length / ((performance.now() - start) / 1000);
console.log(`${file}: ${want.length} tokens, differences up to ${worst.difference.toExponential(1)} ` +
    `(at once ${atOnce.toExponential(1)}), other tokens ${worst.other}, ${speed.toFixed(1)} tokens/s`);
process.exit(worst.difference <= allowed && !worst.other ? 0 : 1);
