// Time on the wire: integers of 0.1 ms, and how coarse this browser's clock is.

/** 60 Hz: the coarsest clock in use (Firefox with privacy.resistFingerprinting), assumed until a finer one is seen. */
const COARSEST = 167;
const SPIN_MS = 3;
/** A clock that does not step also never tells that 3 ms have passed, so the spin is bounded by calls too. */
const SPIN_CALLS = 50_000;
const ENOUGH_STEPS = 6;
const FINE = 10;

export const toTicks = (milliseconds: number): number => Math.round(milliseconds * 10);

/** The smallest step of `now` in ticks, at least 1; undefined when it took no step. */
export function spin(now: () => number): number | undefined {
  const begin = now();
  let last = begin;
  let smallest = Infinity;
  let steps = 0;
  for (let calls = 0; calls < SPIN_CALLS && steps < ENOUGH_STEPS && last - begin < SPIN_MS; calls++) {
    const step = now() - last;
    if (step > 0) {
      smallest = Math.min(smallest, step);
      last += step;
      steps++;
    }
  }
  return steps ? Math.max(1, toTicks(smallest)) : undefined;
}

/** Measures the clock; where that fails, learns from the stamps of key events. */
export class Clock {
  private _measured = spin(() => performance.now()) ?? Infinity;
  private _learned = COARSEST;
  private _last = 0;

  /** Ticks of an event: its creation, which is earlier than the moment a busy page hands it to us. */
  _stamp(event: Event): number {
    const at = toTicks(event.timeStamp);
    if (at > this._last) this._learned = Math.min(this._learned, at - this._last);
    this._last = at;
    return at;
  }

  _quantum(): number {
    // A busy machine can stop the spin in the middle, which looks like a coarse clock: then it is measured once more.
    if (this._measured > FINE) this._measured = Math.min(this._measured, spin(() => performance.now()) ?? Infinity);
    return Math.min(this._measured, this._learned);
  }
}
