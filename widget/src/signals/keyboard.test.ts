import assert from "node:assert/strict";
import { test } from "node:test";
import { FakePage, settled } from "../browser.fake";
import { start } from "../index";
import { classify } from "./keyboard";

const key = (name: string, init: object = {}) => ({ key: name, ctrlKey: false, metaKey: false, getModifierState: () => false, ...init }) as unknown as KeyboardEvent;

/** Type into the password field what the presses say, submit with Enter; everything that leaves the browser. */
async function payload(presses: [key: string, down: number, up: number][]): Promise<string> {
  const page = new FakePage();
  start({ site: "site", attempt: "attempt-1", endpoint: "https://sidecar.example" });
  const events = presses.flatMap(([name, down, up]) => [
    { at: down, run: () => page.down(page.password, name, down, { shiftKey: /[A-Z!]/.test(name) }) },
    { at: up, run: () => page.up(page.password, name, up) },
  ]);
  for (const { run } of events.sort((a, b) => a.at - b.at)) {
    run();
    await settled();
  }
  page.down(page.password, "Enter", 60_000);
  const field = page.submitRaw();
  await settled();
  return JSON.stringify([field, page.requests]);
}

test("two passwords of equal length and timing leave byte for byte the same", async () => {
  const timing = Array.from({ length: 60 }, (_, index) => [1000 + 130.04 * index, 1000 + 130.04 * index + 61.3 + (index % 7) * 19] as const);
  const press = (password: string) => timing.map(([down, up], index) => [password[index % password.length] as string, down, up] as [string, number, number]);
  const shift: [string, number, number][] = [["Shift", 990, 1075], ["Shift", 1300, 1500]];
  const lower = await payload(press("corect horse!"));
  assert.equal(await payload(press("zq93-;'/ml5x,")), lower);
  assert.equal(await payload([...shift, ...press("CORECT horse!")]), lower);
  assert.equal(await payload([...shift, ...press("R2-D2!C3-PO!9")]), lower);
  assert.match(lower, /cap0\/batches.*cap0\/batches/); // more than one flush took part
  assert.doesNotMatch(lower, /Key|Shift|corect/);
  assert.notEqual(await payload(press("corect horse!").slice(1)), lower);
});

test("keys are classes", () => {
  assert.deepEqual(["a", "Z", "7", " ", "é", "Dead"].map((name) => classify(key(name))), [0, 0, 0, 0, 0, 0]);
  assert.deepEqual(["Backspace", "Delete"].map((name) => classify(key(name))), [1, 1]);
  assert.deepEqual(["ArrowLeft", "Home", "PageUp", "Tab"].map((name) => classify(key(name))), [2, 2, 2, 2]);
  assert.deepEqual(["Shift", "Control", "CapsLock", "AltGraph"].map((name) => classify(key(name))), [3, 3, 3, 3]);
  assert.equal(classify(key("Enter")), 4);
  assert.deepEqual(["Escape", "F5", "Unidentified", "Process"].map((name) => classify(key(name))), [undefined, undefined, undefined, undefined]);
});

test("shortcuts are no characters, AltGraph's characters are", () => {
  const control = { ctrlKey: true };
  assert.equal(classify(key("v", control)), undefined);
  assert.equal(classify(key("c", { metaKey: true })), undefined);
  assert.equal(classify(key("X", control)), 1);
  assert.equal(classify(key("Backspace", control)), 1);
  assert.equal(classify(key("a", control)), 5);
  assert.equal(classify(key("@", { ctrlKey: true, getModifierState: (name: string) => name === "AltGraph" })), 0);
});

test("the submit key's hold and an unseen release are -1, rollover is kept in press order", () => {
  const page = new FakePage();
  start({ transport: "form" });
  page.down(page.password, "a", 1000);
  page.down(page.password, "b", 1050);
  page.up(page.password, "b", 1100);
  page.up(page.password, "a", 1130.04);
  page.down(page.password, "c", 1200);
  page.down(page.password, "Enter", 1300);
  const [batch] = page.submit().b;
  page.up(page.password, "c", 1310);
  page.up(page.password, "Enter", 1380);
  assert.deepEqual(batch.k, { f: [1, 1, 1, 1], c: [0, 0, 0, 4], d: [0, 500, 1500, 1000], h: [1300, 500, -1, -1] });
  assert.equal(batch.t, 10_000);
  assert.deepEqual(page.submit().b, [batch]);
});

test("the username tells all classes; its Tab is released in the password field", () => {
  const page = new FakePage();
  start({ transport: "form" });
  page.down(page.username, "Shift", 1000);
  page.type(page.username, "A", 1050);
  page.up(page.username, "Shift", 1150);
  page.down(page.username, "Tab", 1200);
  page.up(page.password, "Tab", 1260);
  page.down(page.password, "Tab", 1300);
  const [batch] = page.submit().b;
  assert.deepEqual(batch.k, { f: [0, 0, 0], c: [3, 0, 2], d: [0, 500, 1500], h: [1500, 700, 600] });
  assert.deepEqual(batch.s, [{ f: 0, p: "typed", e: 0 }, { f: 1, p: "none", e: 0 }]);
});

for (const [name, edit] of Object.entries({
  backspace: (page: FakePage) => page.type(page.password, ["Backspace"], 2000),
  "an arrow": (page: FakePage) => page.type(page.password, ["ArrowLeft"], 2000),
  "select all": (page: FakePage) => page.down(page.password, "a", 2000, { ctrlKey: true }),
  "a cut by mouse": (page: FakePage) => page.input(page.password, "deleteByCut"),
  undo: (page: FakePage) => page.input(page.password, "historyUndo"),
})) {
  test(`a secret field says that it was edited, and no more: ${name}`, () => {
    const page = new FakePage();
    start({ transport: "form" });
    page.type(page.password, "abc");
    edit(page);
    const [batch] = page.submit().b;
    assert.deepEqual(batch.k.c, [0, 0, 0]);
    assert.deepEqual(batch.s[1], { f: 1, p: "typed", e: 1 });
  });
}

test("typing onto content of an earlier page counts as edited", () => {
  const page = new FakePage();
  page.password.empty = false;
  start({ transport: "form" });
  page.type(page.password, "abc");
  assert.deepEqual(page.submit().b[0].s[1], { f: 1, p: "typed", e: 1 });
});

test("an edit of the username is a row as well", () => {
  const page = new FakePage();
  start({ transport: "form" });
  page.type(page.username, ["a", "Backspace", "ArrowLeft"]);
  const [batch] = page.submit().b;
  assert.deepEqual(batch.k.c, [0, 1, 2]);
  assert.equal(batch.s[0].e, 1);
});

test("repeats, input methods and scripted keys leave nothing", () => {
  const page = new FakePage();
  start({ transport: "form" });
  page.down(page.password, "x", 1000, { isTrusted: false });
  page.down(page.password, "x", 1000, { repeat: true });
  page.down(page.password, "x", 1000, { isComposing: true });
  page.down(page.password, "x", 1000, { keyCode: 229 });
  const [batch] = page.submit().b;
  assert.deepEqual(batch.k.c, []);
  assert.equal(batch.s[1].p, "none");
});

test("a key pressed again before its release was seen does not block the rows behind it", () => {
  const page = new FakePage();
  start({ transport: "form" });
  page.down(page.password, "a", 1000);
  page.type(page.password, "a", 1500);
  assert.deepEqual(page.submit().b[0].k.h, [-1, 700]);
});
