// What a browser or a Node program does with fetch: JSON, bytes, a compressed body, a redirect, an error.
import assert from "node:assert/strict";

const address = process.argv[2];
const asJson = { "content-type": "application/json" };

async function ask(path, body, headers = asJson) {
  return fetch(address + path, { method: "POST", headers, body });
}

const health = await fetch(`${address}/v2/health/ready`);
assert.deepEqual([health.status, await health.json()], [200, { ready: true }]);
assert.deepEqual(await (await fetch(`${address}/v2/models/net/ready`)).json(), { name: "net", ready: true });

const page = await fetch(`${address}/`, { headers: { accept: "text/html" } });
assert.equal(new URL(page.url).pathname, "/docs");
assert.match(await page.text(), /<h1/);
assert.ok((await (await fetch(`${address}/`)).json()).paths.includes("/docs"));

const rows = JSON.stringify({ instances: [{ left: [1, 2, 3], right: [4, 5, 6] }] });
const wanted = { predictions: [{ scaled: [6, 9, 12], total: 27 }] };
assert.deepEqual(await (await ask("/v1/models/net:predict", rows)).json(), wanted);
for (const kind of ["gzip", "deflate"]) {
  const small = await new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream(kind))).arrayBuffer();
  const answer = await ask("/v1/models/net:predict", small, { ...asJson, "content-encoding": kind });
  assert.deepEqual([answer.status, await answer.json()], [200, wanted]);
}

const tensor = { shape: [1, 3], datatype: "FP32", parameters: { binary_data_size: 12 } };
const head = new TextEncoder().encode(JSON.stringify({
  id: "seven",
  inputs: [{ name: "left", ...tensor }, { name: "right", ...tensor }],
  outputs: [{ name: "scaled", parameters: { binary_data: true } }],
}));
const body = new Blob([head, new Float32Array([1, 2, 3]), new Float32Array([4, 5, 6])]);
const answer = await ask("/v2/models/net/infer", body, { "inference-header-content-length": String(head.length) });
const length = Number(answer.headers.get("inference-header-content-length"));
const bytes = await answer.arrayBuffer();
assert.equal(JSON.parse(new TextDecoder().decode(bytes.slice(0, length))).id, "seven");
assert.deepEqual([...new Float32Array(bytes.slice(length))], [6, 9, 12]);

const plain = { name: "x", shape: [1, 2], datatype: "FP32", data: [null, 2] };
const missing = await ask("/v2/models/missing/infer", JSON.stringify({ inputs: [plain] }));
assert.deepEqual((await missing.json()).outputs[0].data, [2]);

const refused = await ask("/v2/models/net/infer", "{", { "x-request-id": "mine" });
const told = await refused.json();
assert.deepEqual([refused.status, told.code, told.request_id], [400, "malformed", "mine"]);
assert.equal(typeof told.error, "string");
