// What summary mode tells of a secret field: 21 numbers from which the position of no key can be read.

import { CHARACTER, type Row } from "./batch";

const QUANTILES = [0.1, 0.25, 0.5, 0.75, 0.9];
const LONGEST = 36_000_000; // the wire's bound, one hour

/** Holds, down-downs, up-downs of the characters, seven numbers each; undefined where there is too little to tell. */
export function summarize(rows: Row[]): { s: number[]; n: number } | undefined {
  const keys = rows.filter((row) => row._class === CHARACTER);
  const holds: number[] = [];
  const downDowns: number[] = [];
  const upDowns: number[] = [];
  keys.forEach((key, index) => {
    if ((key._hold ?? -1) >= 0) holds.push(key._hold as number);
    const before = keys[index - 1];
    if (!before) return;
    downDowns.push(key._at - before._at);
    if ((before._hold ?? -1) >= 0) upDowns.push(key._at - before._at - (before._hold as number));
  });
  if (keys.length < 3 || !holds.length || !upDowns.length) return undefined;
  return { s: [holds, downDowns, upDowns].flatMap(describe), n: bucket(keys.length) };
}

/** Five quantiles (linear interpolation, as numpy's default), mean, mean absolute deviation from the mean. */
export function describe(values: number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  const quantiles = QUANTILES.map((q) => {
    const place = (sorted.length - 1) * q;
    const low = Math.floor(place);
    const below = sorted[low] as number;
    return below + ((sorted[low + 1] ?? below) - below) * (place - low);
  });
  const mean = average(values);
  const deviation = average(values.map((value) => Math.abs(value - mean)));
  return [...quantiles, mean, deviation].map((value) => Math.round(Math.max(-LONGEST, Math.min(LONGEST, value))));
}

/** The exact length of a password is not told: 1 up to 7, 2 for 8-11, 3 for 12-15, 4 from 16. */
export const bucket = (count: number): number => (count < 8 ? 1 : count < 12 ? 2 : count < 16 ? 3 : 4);

const average = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
