// How batches reach the sidecar: by themselves, and in the hidden form field whatever has not been acknowledged.

import { type Batch, type Mode, MODES, stricter, withhold } from "./batch";

export interface Destination {
  site: string;
  attempt: string;
  endpoint: string;
  /** Nothing but the form field. */
  formOnly: boolean;
}

interface Capture {
  c: string;
  t: string;
  /** When the token ends, by this browser's wall clock. */
  exp: number;
}

interface Made {
  _batch: Batch;
  _acknowledged: boolean;
}

const MAX_PENDING = 40 * 1024; // bytes in the hidden field
const MAX_BATCHES = 200;
const MAX_SEQ = 999;
const MAX_PAGE = 99;
/** A token with less to live is not carried to the next page. */
const MIN_LIFE_MS = 60_000;

export class Transport {
  _mode: Mode;
  /** Number the next batch gets, and so how many were made in all. */
  _seq = 0;
  _page = 0;
  private readonly _to: Destination;
  private readonly _key: string;
  private _capture?: Capture;
  private _made: Made[] = [];
  private _bytes = 0;
  private _renewed = false;
  private _awake = false;
  private _busy = false;
  private _stopped = false;

  constructor(to: Destination, mode: Mode) {
    this._to = to;
    this._mode = mode;
    this._key = `gaitkeeper:${to.site}:${to.attempt}`;
    if (!to.formOnly) this._resume();
  }

  /** A trusted input came: only from now on may anything be sent. */
  _wake(): void {
    if (this._stopped || this._to.formOnly) return;
    if (this._capture && this._capture.exp < Date.now()) this._renew();
    if (this._awake) return;
    this._awake = true;
    if (!this._capture) this._open();
    this._send();
  }

  /** Whether batches may go out before the page ends. */
  _isOpen(): boolean {
    return !!this._capture;
  }

  /** No more rows: the hidden field would outgrow what the sidecar accepts. `waiting`: rows not in batches yet. */
  _isFull(waiting: number): boolean {
    return this._page > MAX_PAGE || this._bytes + waiting * 20 > MAX_PENDING - 1024;
  }

  _add(batches: Batch[]): void {
    this._number(batches);
    for (const batch of batches) withhold(batch, this._mode); // a draft may be older than the sidecar's answer
    const size = JSON.stringify(batches).length;
    const count = this._made.length + batches.length;
    if (this._bytes + size > MAX_PENDING || count > MAX_BATCHES || this._seq + batches.length > MAX_SEQ || this._page > MAX_PAGE) return;
    this._bytes += size;
    this._seq += batches.length;
    this._made.push(...batches.map((batch) => ({ _batch: batch, _acknowledged: false })));
    this._save();
    this._send();
  }

  /** The user goes on after a final flush. Acknowledged batches of finished pages are of no more use. */
  _nextPage(): void {
    this._page++;
    if (this._capture) this._keep((made) => !made._acknowledged);
  }

  /** The hidden field's content, with `draft` as if it had been added. */
  _field(draft: Batch[]): string {
    const capture = this._capture;
    this._number(draft);
    const made = capture ? this._made.filter(({ _acknowledged }) => !_acknowledged) : this._made;
    return JSON.stringify({
      v: 1,
      n: this._seq + draft.length,
      ...(capture && { c: capture.c, t: capture.t }),
      b: [...made.map(({ _batch }) => _batch), ...draft],
    });
  }

  _stop(): void {
    this._stopped = true;
  }

  private _open(): void {
    const { site, attempt } = this._to;
    this._post("", { site, attempt }, false)
      .then((response) => (response.status === 201 ? response.json() : undefined))
      .then((answer) => {
        if (!answer?.capture || !answer.token) return;
        this._capture = { c: answer.capture, t: answer.token, exp: Date.now() + answer.expires_in * 1000 };
        if (MODES.includes(answer.secret)) this._mode = stricter(this._mode, answer.secret);
        for (const { _batch } of this._made) withhold(_batch, this._mode);
        this._save();
        this._send();
      })
      .catch(() => {}); // then the form field carries everything
  }

  /** Send the oldest batch. One at a time: browsers share 64 KiB among all requests that outlive a page. */
  private _send(): void {
    const capture = this._capture;
    const next = this._made.find(({ _acknowledged }) => !_acknowledged);
    if (!capture || !next || this._busy || !this._awake || this._stopped) return;
    this._busy = true;
    this._post(`/${encodeURIComponent(capture.c)}/batches`, { token: capture.t, batch: next._batch }, true)
      .then(({ ok, status }) => {
        this._busy = false;
        if (capture !== this._capture) return this._send();
        if (ok) {
          next._acknowledged = true;
          this._send();
        } else if (status === 403 || status === 409 || status === 410) {
          this._renew();
        }
      })
      .catch(() => {
        this._busy = false; // the batch is kept, for the next attempt or the form field
      });
  }

  /** The capture is lost: what belongs to its unfinished pages becomes the beginning of another one, tried once. */
  private _renew(): void {
    const oldest = this._made.find(({ _acknowledged }) => !_acknowledged);
    const first = oldest ? oldest._batch.page : this._page;
    // A page that was acknowledged to its end may have been decided on; sent again it would look like a replay.
    const isOver = !oldest && this._made[this._made.length - 1]?._batch.end;
    this._capture = undefined;
    this._keep(({ _batch }) => !isOver && _batch.page >= first);
    this._made.forEach((made, index) => {
      made._batch.seq = index;
      made._batch.page -= first;
      made._acknowledged = false;
    });
    this._seq = this._made.length;
    this._page -= first;
    try {
      sessionStorage.removeItem(this._key);
    } catch {}
    if (this._renewed) return;
    this._renewed = true;
    this._open();
  }

  /** Numbers are given when a batch is added: a draft may outlive the capture it was made for. */
  private _number(batches: Batch[]): void {
    batches.forEach((batch, index) => {
      batch.seq = this._seq + index;
      batch.page = this._page;
    });
  }

  private _keep(which: (made: Made) => boolean): void {
    this._made = this._made.filter(which);
    this._bytes = JSON.stringify(this._made.map(({ _batch }) => _batch)).length;
  }

  private _post(path: string, body: unknown, keepalive: boolean): Promise<Response> {
    return fetch(`${this._to.endpoint}/v1/captures${path}`, {
      method: "POST",
      // text/plain keeps the request simple in the sense of CORS: no preflight before a login.
      headers: { "Content-Type": "text/plain;charset=UTF-8" },
      body: JSON.stringify(body),
      credentials: "omit",
      keepalive,
    });
  }

  /** Take over the capture of the page before. */
  private _resume(): void {
    try {
      const { c, t, seq, page, exp, m } = JSON.parse(sessionStorage.getItem(this._key) as string);
      if (!c || !t || !(exp - Date.now() >= MIN_LIFE_MS) || !(seq < MAX_SEQ) || !(page < MAX_PAGE)) return;
      this._capture = { c, t, exp };
      this._seq = seq;
      this._page = page + 1;
      this._awake = true; // the trusted input came on the page before
      if (MODES.includes(m)) this._mode = stricter(this._mode, m);
    } catch {} // storage is blocked, or empty
  }

  /** Numbers only, never timings: storage outlives the page. */
  private _save(): void {
    if (!this._capture) return;
    const { c, t, exp } = this._capture;
    try {
      sessionStorage.setItem(this._key, JSON.stringify({ c, t, seq: this._seq, page: this._page, exp, m: this._mode }));
    } catch {}
  }
}
