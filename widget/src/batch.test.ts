import assert from "node:assert/strict";
import { test } from "node:test";
import { CHARACTER, type Head, Page, type Row, SUBMIT, toBatches, withhold } from "./batch";

const head: Head = { q: 1, ctx: "keyboard" };
const row = (_role: Row["_role"], _at: number, _hold?: number): Row => ({ _role, _class: CHARACTER, _at, _hold });

test("columns count from the first press; unseen releases are -1", () => {
  const [batch] = toBatches([row("username", 1000, 700), row("password", 3000), row("username", 4000, 0)], [["password", { p: "typed", e: 0 }]], head, true);
  assert.equal(
    JSON.stringify(batch),
    '{"v":1,"seq":0,"page":0,"q":1,"ctx":"keyboard","t":1000,"f":["username","password"],' +
      '"k":{"f":[0,1,0],"c":[0,0,0],"d":[0,2000,1000],"h":[700,-1,0]},"s":[{"f":1,"p":"typed","e":0}],"end":1}',
  );
});

test("the largest page there can be is split into batches of at most 16 KiB", () => {
  const rows = Array.from({ length: 1000 }, (_, index) => row("password", 30_000_000 * index, 600_000));
  const slow = toBatches(rows, [["password", { p: "typed", e: 0 }]], head, true);
  const fast = toBatches(rows.map((one, index) => row("password", 10 ** 12 + 36_000 * index, one._hold)), [["password", { p: "typed", e: 0 }]], head, true);
  for (const batches of [slow, fast]) {
    assert.ok(batches.length > 1);
    assert.equal(batches.flatMap((batch) => batch.k.d).length, 1000);
    assert.deepEqual(batches.map((batch) => batch.end), [...batches.slice(1).map(() => undefined), 1]);
    for (const batch of batches) {
      assert.ok(JSON.stringify(batch).length <= 16_384);
      assert.ok(batch.k.d.reduce((sum, d) => sum + d, 0) <= 36_000_000, "no batch spans more than an hour");
    }
  }
  const worst = Array.from({ length: 1000 }, (_, index) => row("password", 51_000 * index + 10 ** 9, 600_000));
  const states: Parameters<typeof toBatches>[1] = [
    ["username", { p: "pasted", e: 1 }],
    ["password", { p: "typed", e: 1, s: Array(21).fill(-36_000_000), n: 4 }],
  ];
  for (const batch of toBatches(worst.slice(0, 700), states, head, true)) assert.ok(JSON.stringify(batch).length <= 16_384);
});

test("only the prefix whose releases were seen is taken before the end", () => {
  const page = new Page();
  const [first, second, third] = [0, 1, 2].map((index) => page._press("username", CHARACTER, index * 1000) as Row);
  (first as Row)._hold = 500;
  (third as Row)._hold = 500;
  assert.equal(page._complete(), 1);
  assert.deepEqual(page._take(head, "positions")[0]?.k.h, [500]);
  assert.deepEqual(page._take(head, "positions"), []);
  (second as Row)._hold = 600;
  page._press("username", SUBMIT, 3000);
  assert.deepEqual(page._take(head, "positions")[0]?.k, { f: [0, 0, 0], c: [0, 0, 4], d: [0, 1000, 1000], h: [600, 500, -1] });
});

test("a page holds at most 1000 rows, and says that it is cut off", () => {
  const page = new Page();
  for (let index = 0; index < 1001; index++) page._press("username", CHARACTER, index);
  assert.equal(page._size(), 1000);
  assert.equal(page._notes.username._edited, true);
});

test("a finished batch obeys a stricter mode that comes late", () => {
  const rows = [row("password", 0, 1), row("username", 1000, 2), row("password", 2000, 3), row("username", 5000, 4)];
  const [batch] = toBatches(rows, [["username", { p: "typed", e: 0 }], ["password", { p: "typed", e: 1 }]], head, true);
  assert.ok(batch);
  withhold(batch, "off");
  assert.deepEqual(batch.k, { f: [0, 0], c: [0, 0], d: [1000, 4000], h: [2, 4] });
  assert.deepEqual(batch.s, [{ f: 0, p: "typed", e: 0 }, { f: 1, p: "typed" }]);
});
