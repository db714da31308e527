import assert from "node:assert/strict";
import { test } from "node:test";
import { FakePage } from "../browser.fake";
import { start } from "../index";

const fixtures: Record<string, [expected: string, (page: FakePage) => void]> = {
  "nothing happened": ["none", () => {}],
  "keys": ["typed", (page) => page.type(page.password, "abc")],
  "paste": ["pasted", (page) => page.input(page.password, "insertFromPaste")],
  "drop": ["pasted", (page) => page.input(page.password, "insertFromDrop")],
  "yank": ["pasted", (page) => page.input(page.password, "insertFromYank")],
  "a paste the page handles itself": ["pasted", (page) => page.document.fire("paste", { composedPath: () => [page.password] })],
  "keys, then paste": ["pasted", (page) => (page.type(page.password, "abc"), page.input(page.password, "insertFromPaste"))],
  "paste, then filled": ["pasted", (page) => (page.input(page.password, "insertFromPaste"), page.input(page.password, undefined))],
  "Chromium's autofill": ["filled", (page) => page.input(page.password, undefined)],
  "Firefox's autofill": ["filled", (page) => page.input(page.password, "insertReplacementText")],
  "a password manager's own event": ["filled", (page) => page.input(page.password, undefined, { isTrusted: false })],
  "keys, then filled": ["filled", (page) => (page.type(page.password, "abc"), page.input(page.password, undefined))],
  "the browser still marks it as filled": ["filled", (page) => (page.password.autofilled = true)],
  "content without any event": ["filled", (page) => (page.password.empty = false)],
  "content without any event, then Enter": ["filled", (page) => ((page.password.empty = false), page.down(page.password, "Enter", 1000))],
  "an input method or dictation": ["none", (page) => page.input(page.password, "insertText")],
  "a script clears the field and says so": ["typed", (page) => {
    page.document.fire("input", { isTrusted: false, composedPath: () => [page.password] });
    page.type(page.password, "abc");
  }],
};

for (const [name, [expected, act]] of Object.entries(fixtures)) {
  test(`${name}: ${expected}`, () => {
    const page = new FakePage();
    start({ transport: "form" });
    act(page);
    assert.equal(page.submit().b[0].s[1].p, expected);
  });
}

test("a field the page does not have has no state", () => {
  const whole = new FakePage();
  const page = new FakePage([whole.username]);
  start({ transport: "form" });
  page.type(whole.username, "abc");
  assert.deepEqual(page.submit().b[0].s, [{ f: 0, p: "typed", e: 0 }]);
});

test("content that an earlier final flush told of is not filled the second time", () => {
  const page = new FakePage();
  start({ transport: "form" });
  page.type(page.password, "abc");
  page.submit(); // prevented by the page
  page.type(page.username, "abc", 5000);
  const batches = page.submit().b;
  assert.deepEqual(batches.map((batch: { page: number; s: { p: string }[] }) => [batch.page, ...batch.s.map(({ p }) => p)]), [[0, "none", "typed"], [1, "typed", "none"]]);
});
