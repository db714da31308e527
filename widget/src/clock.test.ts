import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock, spin, toTicks } from "./clock";

const stepping = (step: number, every: number) => {
  let calls = 0;
  return () => Math.floor(calls++ / every) * step;
};

test("ticks are tenths of a millisecond, rounded", () => {
  assert.equal(toTicks(12.34), 123);
  assert.equal(toTicks(12.35000001), 124);
});

test("the smallest step of the clock is found, and is never below one tick", () => {
  assert.equal(spin(stepping(0.1, 50)), 1);
  assert.equal(spin(stepping(0.005, 50)), 1);
  assert.equal(spin(stepping(1, 500)), 10);
  assert.equal(spin(stepping(16.667, 4000)), 167);
});

test("a clock that stands still ends the spin", () => {
  assert.equal(spin(() => 5), undefined);
});

test("where the clock stood still, key stamps tell", () => {
  Object.defineProperty(globalThis, "performance", { value: { now: () => 5 }, configurable: true, writable: true });
  const clock = new Clock();
  assert.equal(clock._quantum(), 167);
  for (const timeStamp of [1000, 1000, 1020, 1090]) clock._stamp({ timeStamp } as Event);
  assert.equal(clock._quantum(), 167);
  clock._stamp({ timeStamp: 1092 } as Event);
  assert.equal(clock._quantum(), 20);
});
