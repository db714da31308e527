import assert from "node:assert/strict";
import { test } from "node:test";
import { FakePage, settled } from "./browser.fake";
import { field, flush, start, stop } from "./index";

const OPTIONS = { site: "site", attempt: "attempt-1", endpoint: "https://sidecar.example" };

test("stop removes every listener and ends the sending", async () => {
  const page = new FakePage();
  start(OPTIONS);
  assert.ok(page.document.count > 5 && page.window.count === 2);
  stop();
  assert.deepEqual([page.document.count, page.window.count, field()], [0, 0, ""]);
  flush();
  await settled();
  assert.equal(page.requests.length, 0);
});

test("a form without watched fields is left alone", () => {
  const page = new FakePage();
  start(OPTIONS);
  let touched = false;
  page.document.fire("formdata", { target: {}, formData: { set: () => (touched = true) } });
  assert.equal(touched, false);
});

test("single-page applications ask for the field; the next input begins another page", async () => {
  const page = new FakePage();
  start(OPTIONS);
  page.type(page.password, "abc");
  await settled();
  const first = JSON.parse(field());
  await settled();
  assert.deepEqual([first.b[0].page, first.b[0].end], [0, 1]);
  page.down(page.password, "Enter", 3000); // nothing new: no page of its own
  assert.deepEqual([JSON.parse(field()).n, JSON.parse(field()).b], [1, []]);
  page.password.empty = true;
  page.type(page.password, "abcd", 4000);
  const second = JSON.parse(field());
  assert.deepEqual([second.n, second.b.length, second.b[0].page, second.b[0].k.c.length, second.b[0].s[1].e], [2, 1, 1, 4, 0]);
});

test("a script that reads the form on every key does not end the page", async () => {
  const page = new FakePage();
  start(OPTIONS);
  for (const [index, key] of [..."abc"].entries()) {
    page.type(page.password, key, 1000 + 100 * index);
    page.submitRaw(false); // new FormData(form)
  }
  await settled();
  const drafted = page.submitRaw(false); // form.submit()
  assert.deepEqual([JSON.parse(drafted).n, JSON.parse(drafted).b[0].k.c.length], [1, 3]);
  page.window.fire("pagehide");
  await settled();
  assert.deepEqual(page.requests.map(({ body }) => body.batch).filter(Boolean), JSON.parse(drafted).b);
});

test("a hidden page sends what is complete, a page that goes away ends", async () => {
  const page = new FakePage();
  start(OPTIONS);
  page.type(page.password, "ab");
  page.down(page.password, "c", 2000);
  await settled();
  page.document.visibilityState = "hidden";
  page.document.fire("visibilitychange");
  await settled();
  page.window.fire("pagehide");
  page.window.fire("pagehide");
  await settled();
  const batches = page.requests.map(({ body }) => body.batch as unknown as { k: { h: number[] }; end?: 1 }).filter(Boolean);
  assert.deepEqual(batches.map(({ k, end }) => [k.h, end]), [[[700, 700], undefined], [[-1], 1]]);
});

test("leaving an untouched page sends nothing", async () => {
  const page = new FakePage();
  start(OPTIONS);
  page.window.fire("pagehide");
  await settled();
  assert.deepEqual([page.requests.length, page.storage.size], [0, 0]);
});

test("a page back from the cache begins anew with what storage says", async () => {
  const page = new FakePage();
  start(OPTIONS);
  page.type(page.password, "abc");
  await settled();
  page.window.fire("pagehide");
  await settled();
  page.window.fire("pageshow", { persisted: true });
  page.password.empty = true;
  page.type(page.password, "abc", 9000);
  const field = page.submit();
  assert.deepEqual([field.n, field.b.length, field.b[0].seq, field.b[0].page], [2, 1, 1, 1]);
  assert.equal(page.window.count, 2);
});

test("summary mode: no rows of the secret field, a misspelt mode tells least", () => {
  const page = new FakePage();
  start({ transport: "form", secret: "summary" });
  page.type(page.username, "ab");
  page.type(page.password, "abcdefgh", 3000);
  page.down(page.password, "Enter", 5000);
  const [batch] = page.submit().b;
  assert.deepEqual(batch.k.f, [0, 0]);
  assert.deepEqual(batch.s[1], { f: 1, p: "typed", e: 0, s: [...Array(6).fill(700), 0, ...Array(6).fill(1000), 0, ...Array(6).fill(300), 0], n: 2 });
  const other = new FakePage();
  start({ transport: "form", secret: "sumary" as "summary" });
  other.type(other.password, "abc");
  assert.deepEqual(other.submit().b[0].s[1], { f: 1, p: "typed" });
});

test("a fault of ours does not reach the page", () => {
  const page = new FakePage();
  start(OPTIONS);
  page.document.fire("keydown", { key: "a", composedPath: () => assert.fail("boom") });
  start({ username: "input[[", transport: "form" });
  page.type(page.username, "a");
  page.submitRaw();
  Object.assign(globalThis, { matchMedia: undefined });
  start(OPTIONS);
});
