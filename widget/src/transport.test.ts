import assert from "node:assert/strict";
import { test } from "node:test";
import { FakePage, type Request, settled } from "./browser.fake";
import { start } from "./index";

const OPTIONS = { site: "site", attempt: "attempt-1", endpoint: "https://sidecar.example/" };
const KEY = "gaitkeeper:site:attempt-1";

const numbers = (requests: Request[]) => requests.filter(({ body }) => body.batch).map(({ url, body }) => [url.split("/")[5], body.batch?.seq, body.batch?.page]);

test("nothing is sent before the first trusted input; then simple requests without credentials", async () => {
  const page = new FakePage();
  start(OPTIONS);
  page.down(page.password, "a", 900, { isTrusted: false });
  await settled();
  assert.equal(page.requests.length, 0);
  page.type(page.password, "abc");
  await settled();
  page.submit();
  await settled();
  const [open, batch] = page.requests;
  assert.equal(open?.url, "https://sidecar.example/v1/captures");
  assert.equal(open?.init.body, '{"site":"site","attempt":"attempt-1"}');
  assert.equal(batch?.url, "https://sidecar.example/v1/captures/cap0/batches");
  assert.match(batch?.init.body as string, /^\{"token":"tok","batch":\{"v":1,"seq":0,"page":0,/);
  assert.equal(batch?.init.keepalive, true);
  for (const { init } of page.requests) {
    assert.equal(init.credentials, "omit");
    assert.deepEqual(init.headers, { "Content-Type": "text/plain;charset=UTF-8" });
  }
  assert.equal(page.requests.length, 2);
});

test("the hidden field carries what is not acknowledged", async () => {
  const page = new FakePage();
  start(OPTIONS);
  page.type(page.password, "a");
  await settled();
  page.type(page.password, "b".repeat(48), 2000);
  await settled(); // 48 rows have gone and are acknowledged
  const field = page.submitRaw();
  assert.match(field, /^\{"v":1,"n":2,"c":"cap0","t":"tok","b":\[\{"v":1,"seq":1,/);
  assert.equal(JSON.parse(field).b.length, 1);
});

test("without an answer the hidden field is the whole capture", async () => {
  const page = new FakePage();
  page.answer = () => ({ status: 503 });
  start(OPTIONS);
  page.type(page.password, "abc");
  await settled();
  const field = page.submit();
  assert.deepEqual([field.n, field.c, field.t, field.b.length, field.b[0].k.c.length], [1, undefined, undefined, 1, 3]);
});

test("form transport sends nothing and stores nothing", async () => {
  const page = new FakePage();
  start({ ...OPTIONS, transport: "form" });
  page.type(page.password, "abc".repeat(40));
  const field = page.submit();
  await settled();
  assert.deepEqual([page.requests.length, page.storage.size, field.c, field.b.length], [0, 0, undefined, 1]);
});

test("after 409 a new capture is opened once and the page's batches count from 0", async () => {
  const page = new FakePage();
  const answer = page.answer;
  page.storage.set(KEY, JSON.stringify({ c: "old", t: "tok", seq: 7, page: 2, exp: Date.now() + 500_000 }));
  page.answer = (request) => (request.url.includes("/old/") && page.requests.length > 1 ? { status: 409 } : answer(request));
  start(OPTIONS);
  page.type(page.password, "a".repeat(48));
  await settled();
  page.submit();
  await settled();
  await settled();
  assert.deepEqual(numbers(page.requests), [["old", 7, 3], ["old", 8, 3], ["cap0", 0, 0], ["cap0", 1, 0]]);
  assert.equal(page.requests.filter(({ url }) => url.endsWith("/captures")).length, 1);
  const stored = JSON.parse(page.storage.get(KEY) as string);
  assert.deepEqual([stored.c, stored.seq, stored.page], ["cap0", 2, 0]);
});

test("a second refusal ends it: the hidden field takes over", async () => {
  const page = new FakePage();
  const answer = page.answer;
  page.answer = (request) => (request.body.batch ? { status: 410 } : answer(request));
  start(OPTIONS);
  page.type(page.password, "abc");
  await settled();
  const first = page.submit();
  for (let turn = 0; turn < 9; turn++) await settled();
  assert.equal(page.requests.filter(({ url }) => url.endsWith("/captures")).length, 2);
  const field = page.submit();
  assert.equal(first.c, "cap0");
  assert.deepEqual([field.n, field.c, field.b.length, field.b[0].seq], [1, undefined, 1, 0]);
});

test("one request at a time; a network error keeps the batch", async () => {
  const page = new FakePage();
  const answer = page.answer;
  start(OPTIONS);
  page.type(page.password, "a");
  await settled();
  page.answer = (request) => {
    if (request.body.batch) throw new TypeError("network");
    return answer(request);
  };
  page.type(page.password, "a".repeat(48), 2000);
  page.type(page.password, "a".repeat(48), 9000);
  assert.equal(page.requests.length, 2);
  await settled();
  assert.equal(page.submit().b.length, 3);
});

test("the next page goes on with the capture", async () => {
  const first = new FakePage();
  start(OPTIONS);
  first.type(first.username, "abc");
  await settled();
  first.submit();
  await settled();
  assert.deepEqual(Object.keys(JSON.parse(first.storage.get(KEY) as string)), ["c", "t", "seq", "page", "exp", "m"]);
  const second = new FakePage();
  second.storage.set(KEY, first.storage.get(KEY) as string);
  start(OPTIONS);
  second.type(second.password, "abc");
  const field = second.submit();
  await settled();
  assert.deepEqual([field.n, field.c], [2, "cap0"]);
  assert.deepEqual(numbers(second.requests), [["cap0", 1, 1]]);
  assert.equal(second.requests.length, 1);
});

test("a token with less than a minute to live is not carried on", async () => {
  const page = new FakePage();
  page.storage.set(KEY, JSON.stringify({ c: "old", t: "tok", seq: 7, page: 2, exp: Date.now() + 59_000 }));
  start(OPTIONS);
  page.type(page.password, "abc");
  await settled();
  assert.deepEqual([page.submit().c, page.submit().n], ["cap0", 1]);
});

test("storage that throws is done without", async () => {
  const page = new FakePage();
  Object.defineProperty(globalThis, "sessionStorage", { get: () => { throw new Error("SecurityError"); }, configurable: true });
  start(OPTIONS);
  page.type(page.password, "abc");
  await settled();
  assert.equal(page.submit().c, "cap0");
});

test("a stricter mode of the sidecar wins, here and on the next page", async () => {
  const page = new FakePage();
  const answer = page.answer;
  page.answer = (request) => {
    const { status, body } = answer(request);
    return { status, body: body && { ...body, secret: "summary" } };
  };
  start(OPTIONS);
  page.type(page.password, "abcd");
  await settled();
  const field = page.submit();
  assert.deepEqual(field.b[0].k.c, []);
  assert.equal(field.b[0].s[1].s.length, 21);
  const next = new FakePage();
  next.storage.set(KEY, page.storage.get(KEY) as string);
  start(OPTIONS);
  next.type(next.password, "abcd");
  assert.deepEqual(next.submit().b[0].k.c, []);
});

test("a laxer mode of the sidecar does not", async () => {
  const page = new FakePage();
  start({ ...OPTIONS, secret: "off" });
  page.type(page.password, "abcd");
  await settled();
  const [batch] = page.submit().b;
  assert.deepEqual([batch.k.c, batch.s], [[], [{ f: 0, p: "none", e: 0 }, { f: 1, p: "typed" }]]);
});

test("the hidden field stays below 40 KiB over many pages in one document", () => {
  const page = new FakePage();
  start({ transport: "form" });
  for (let turn = 0; turn < 120; turn++) {
    page.type(page.username, "abc".repeat(100), turn * 100_000);
    page.submitRaw();
  }
  const field = page.submitRaw();
  assert.ok(field.length > 35_000 && field.length <= 41_000, String(field.length));
  assert.equal(JSON.parse(field).n, JSON.parse(field).b.length);
});
