import assert from "node:assert/strict";
import { test } from "node:test";
import { CHARACTER, type Row, SUBMIT } from "./batch";
import { bucket, describe, summarize } from "./summary";

const row = (_at: number, _hold?: number, _class = CHARACTER): Row => ({ _role: "password", _class, _at, _hold });

test("quantiles interpolate linearly, as numpy's do", () => {
  // numpy.quantile([0, 10, 20, 30], [.1, .25, .5, .75, .9]) = 3, 7.5, 15, 22.5, 27; mean 15; mean |x - 15| = 10
  assert.deepEqual(describe([30, 10, 0, 20]), [3, 8, 15, 23, 27, 15, 10]);
  assert.deepEqual(describe([5]), [5, 5, 5, 5, 5, 5, 0]);
});

test("holds, down-downs, up-downs in this order, computed by hand", () => {
  // presses at 0, 1000, 3000; holds 500, 700, 900: down-downs 1000, 2000; up-downs 500, 1300
  assert.deepEqual(summarize([row(0, 500), row(1000, 700), row(3000, 900)]), {
    s: [540, 600, 700, 800, 860, 700, 133, 1100, 1250, 1500, 1750, 1900, 1500, 500, 580, 700, 900, 1100, 1220, 900, 400],
    n: 1,
  });
});

test("the submit key and unseen releases stay out", () => {
  const typed = [row(0, 500), row(1000, 700), row(3000, 900)];
  assert.deepEqual(summarize([...typed, row(9000, -1, SUBMIT)]), summarize(typed));
  assert.equal(summarize([row(0), row(1000, -1), row(3000)]), undefined);
});

test("fewer than three characters have no summary", () => {
  assert.equal(summarize([row(0, 500), row(1000, 700), row(2000, -1, SUBMIT)]), undefined);
});

test("the key count is told in four buckets", () => {
  assert.deepEqual([3, 7, 8, 11, 12, 15, 16, 40].map(bucket), [1, 1, 2, 2, 3, 3, 4, 4]);
});
