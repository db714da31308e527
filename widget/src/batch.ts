// What one page saw, and its form on the wire (sidecar/wire.py is the schema).

import { summarize } from "./summary";

export const CHARACTER = 0;
export const EDIT = 1;
export const NAVIGATION = 2;
export const MODIFIER = 3;
export const SUBMIT = 4;

export const ROLES = ["username", "password"] as const;
export type Role = (typeof ROLES)[number];
/** The role whose content is secret. */
export const SECRET: Role = "password";

/** How much the secret field tells, the strictest last. */
export const MODES = ["positions", "summary", "off"] as const;
export type Mode = (typeof MODES)[number];
export const stricter = (a: Mode, b: Mode): Mode => (MODES.indexOf(b) > MODES.indexOf(a) ? b : a);

export type Provenance = "typed" | "pasted" | "filled" | "none";

/** One key press. No name of a key is in here: two keys of one class are told apart by their times alone. */
export interface Row {
  _role: Role;
  _class: number;
  _at: number;
  /** Ticks held; undefined until the release, -1 where none is waited for. */
  _hold?: number;
}

/** What was noticed of one field on this page. */
export interface Notes {
  /** At least one character key. */
  _typed?: boolean;
  _pasted?: boolean;
  _filled?: boolean;
  /** Content changed by an input event, whatever its source. */
  _changed?: boolean;
  /** The key presses do not spell the content one to one any more. */
  _edited?: boolean;
}

export interface FieldState {
  f: number;
  p: Provenance;
  e?: number;
  s?: number[];
  n?: number;
}

export interface Batch {
  v: 1;
  seq: number;
  page: number;
  q: number;
  ctx: "keyboard" | "touch";
  t: number;
  f: Role[];
  k: { f: number[]; c: number[]; d: number[]; h: number[] };
  s?: FieldState[];
  end?: 1;
}

/** What all batches of a flush have in common; their numbers come from the transport. */
export interface Head {
  q: number;
  ctx: "keyboard" | "touch";
}

const MAX_ROWS = 1000;
/** 700 rows of at most 20 characters each, two field states and the head stay below the 16 KiB of a batch. */
const MAX_BATCH_ROWS = 700;
const MAX_SPAN = 36_000_000; // ticks in an hour

/** From the page's first input to its final flush. */
export class Page {
  readonly _notes: Record<Role, Notes> = { username: {}, password: {} };
  /** Keys that are down now, by `event.code`; the code is forgotten with the release. */
  readonly _down = new Map<string, Row>();
  private _waiting: Row[] = [];
  /** Rows of the secret field that only its summary will tell of. */
  private _withheld: Row[] = [];
  private _count = 0;
  /** The final flush has been made. */
  _closed = false;

  /** Keep a key press; undefined when the page is full. */
  _press(role: Role, keyClass: number, at: number): Row | undefined {
    if (this._count >= MAX_ROWS) {
      this._notes[role]._edited = true;
      return undefined;
    }
    this._count++;
    const row: Row = { _role: role, _class: keyClass, _at: at };
    if (keyClass === SUBMIT) row._hold = -1; // its release falls on the next page
    this._waiting.push(row);
    return row;
  }

  /** How many rows wait to become batches. */
  _size(): number {
    return this._waiting.length;
  }

  /** How many waiting rows, from the oldest on, are complete. */
  _complete(): number {
    const open = this._waiting.findIndex((row) => row._hold === undefined);
    return open < 0 ? this._waiting.length : open;
  }

  /** Take the complete rows away as batches that do not end the page. */
  _take(head: Head, mode: Mode): Batch[] {
    const rows = this._waiting.slice(0, this._complete());
    const shown = rows.filter((row) => isShown(row, mode));
    if (!shown.length) return [];
    this._waiting = this._waiting.slice(rows.length);
    this._withheld.push(...rows.filter((row) => !isShown(row, mode)));
    return toBatches(shown, [], head, false);
  }

  /** All rows that wait and the field states, as the batches that end the page. Changes nothing. */
  _finish(head: Head, mode: Mode, provenance: (role: Role) => Provenance | undefined): Batch[] {
    const states: [Role, Omit<FieldState, "f">][] = [];
    for (const role of ROLES) {
      const p = provenance(role);
      if (!p) continue;
      const state: Omit<FieldState, "f"> = { p };
      if (role !== SECRET || mode !== "off") state.e = this._notes[role]._edited ? 1 : 0;
      if (role === SECRET && mode === "summary") {
        Object.assign(state, summarize([...this._withheld, ...this._waiting].filter((row) => row._role === SECRET)));
      }
      states.push([role, state]);
    }
    return toBatches(this._waiting.filter((row) => isShown(row, mode)), states, head, true);
  }
}

const isShown = (row: Row, mode: Mode): boolean => row._role !== SECRET || mode === "positions";

/** Rows in columns, split so that no batch exceeds the size or the hour the sidecar accepts. */
export function toBatches(rows: Row[], states: [Role, Omit<FieldState, "f">][], head: Head, end: boolean): Batch[] {
  const batches: Batch[] = [];
  let start = 0;
  do {
    const first = rows[start];
    let stop = start;
    while (stop < rows.length && stop - start < MAX_BATCH_ROWS && (rows[stop] as Row)._at - (first as Row)._at <= MAX_SPAN) stop++;
    const piece = rows.slice(start, stop);
    const last = end && stop === rows.length;
    const names = ROLES.filter((role) => piece.some((row) => row._role === role) || (last && states.some((state) => state[0] === role)));
    batches.push({
      v: 1,
      seq: 0,
      page: 0,
      ...head,
      t: first ? first._at : 0,
      f: names,
      k: {
        f: piece.map((row) => names.indexOf(row._role)),
        c: piece.map((row) => row._class),
        d: piece.map((row, index) => row._at - (piece[index - 1] ?? row)._at),
        h: piece.map((row) => row._hold ?? -1),
      },
      ...(last && { s: states.map(([role, state]) => ({ f: names.indexOf(role), ...state })), end: 1 as const }),
    });
    start = stop;
  } while (start < rows.length);
  return batches;
}

/** Take the secret field's rows and summary out of a batch that was made before the sidecar asked for it. */
export function withhold(batch: Batch, mode: Mode): void {
  const secret = batch.f.indexOf(SECRET);
  if (secret < 0 || mode === "positions") return;
  const { f, c, d, h } = batch.k;
  const k: Batch["k"] = { f: [], c: [], d: [], h: [] };
  let since = 0;
  f.forEach((field, index) => {
    since += d[index] as number;
    if (field === secret) return;
    k.f.push(field);
    k.c.push(c[index] as number);
    k.d.push(since);
    k.h.push(h[index] as number);
    since = 0;
  });
  batch.k = k;
  for (const state of batch.s ?? []) {
    if (state.f !== secret || mode !== "off") continue;
    delete state.e;
    delete state.s;
    delete state.n;
  }
}
