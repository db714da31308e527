// One page's recording from start to stop: owns the listeners, decides when to flush.

import { type Batch, type Head, type Mode, type Notes, Page, type Role, ROLES, SECRET } from "./batch";
import { Clock } from "./clock";
import { Fields } from "./fields";
import { keyboard } from "./signals/keyboard";
import { judge, provenance } from "./signals/provenance";
import { type Destination, Transport } from "./transport";

/** What a signal listens to on the document, by event type. */
export type Handlers = Record<string, (event: any) => void>;

/** Every signal there is; each lives in its own file under signals/. */
const SIGNALS: ((session: Session) => Handlers)[] = [keyboard, provenance];

const FIELD_NAME = "gaitkeeper_capture";
const ROWS_PER_FLUSH = 48;

export class Session {
  readonly _clock = new Clock();
  readonly _fields: Fields;
  _page = new Page();
  private readonly _transport: Transport;
  private readonly _context: "keyboard" | "touch" = matches("(pointer: coarse)") && !matches("(any-hover: hover)") ? "touch" : "keyboard";
  private readonly _listeners: [EventTarget, string, (event: Event) => void][] = [];
  /** The final batches as the form took them, before it is known that the page really ends. */
  private _draft?: Batch[];
  /** Something happened on this page. */
  private _used = false;

  constructor(to: Destination, mode: Mode, username: string | undefined, password: string | undefined, restart: () => void) {
    this._fields = new Fields(username, password);
    this._transport = new Transport(to, mode);
    for (const signal of SIGNALS) this._listen(document, signal(this));
    this._listen(document, {
      // Before `formdata` and before the page's own handler, which may read the form.
      submit: (event) => this._fields._isIn(event.target) && this._finish(),
      formdata: (event: FormDataEvent) => {
        if (!this._fields._isIn(event.target)) return;
        // Without a submit event this is form.submit(), or a script that merely reads the form, perhaps on every key:
        // the page may go on, so nothing is final yet.
        if (!this._page._closed) this._draft ??= this._final();
        event.formData.set(FIELD_NAME, this._transport._field(this._draft ?? []));
      },
      // The last event a phone is sure to deliver; the tab may well come back.
      visibilitychange: () => document.visibilityState === "hidden" && this._flush(),
    });
    this._listen(window, {
      pagehide: () => (this._used || this._draft) && this._finish(),
      // Back from the back/forward cache: other pages have gone on with the capture since.
      pageshow: (event: PageTransitionEvent) => event.persisted && restart(),
    });
  }

  _stop(): void {
    for (const [target, type, listener] of this._listeners) target.removeEventListener(type, listener, true);
    this._fields._stop();
    this._transport._stop();
  }

  /** Trusted input arrived in a watched field. */
  _wake(): void {
    this._transport._wake();
  }

  _isClosed(): boolean {
    return this._page._closed;
  }

  /** The notes on a field, to be added to: whoever asks has seen something happen. */
  _note(role: Role): Notes {
    this._used = true;
    this._draft = undefined;
    if (this._page._closed) {
      this._page = new Page();
      this._transport._nextPage();
    }
    this._fields._loose = false;
    return this._page._notes[role];
  }

  _press(role: Role, keyClass: number, event: KeyboardEvent): void {
    if (role === SECRET && this._transport._mode === "off") return;
    const page = this._page;
    if (this._transport._isFull(page._size())) {
      page._notes[role]._edited = true;
      return;
    }
    const row = page._press(role, keyClass, this._clock._stamp(event));
    if (!row || row._hold !== undefined) return;
    const lost = page._down.get(event.code);
    if (lost) lost._hold = -1; // pressed again: its release went elsewhere
    page._down.set(event.code, row);
  }

  _flushIfDue(): void {
    if (this._page._complete() >= ROWS_PER_FLUSH) this._flush();
  }

  /** Send what is complete. Without a capture it waits: it would only wait elsewhere. */
  _flush(): void {
    if (this._page._closed || this._draft || !this._transport._isOpen()) return;
    const batches = this._page._take(this._head(), this._transport._mode);
    if (batches.length) this._transport._add(batches);
  }

  /** The page ends here, unless the user goes on: then another page number begins. */
  _finish(): void {
    if (this._page._closed) return;
    const batches = this._draft ?? this._final();
    this._draft = undefined;
    this._page._closed = true;
    this._page._down.clear();
    this._fields._loose = true;
    for (const role of ROLES) this._fields._settle(role);
    this._transport._add(batches);
  }

  /** The hidden field's content for pages that post by script. */
  _field(): string {
    this._finish();
    return this._transport._field([]);
  }

  private _final(): Batch[] {
    return this._page._finish(this._head(), this._transport._mode, (role) =>
      judge(this._page._notes[role], this._fields._find(role), this._fields),
    );
  }

  private _head(): Head {
    return { q: this._clock._quantum(), ctx: this._context };
  }

  /** Listen first and disturb nothing; a fault of ours never reaches the page. */
  private _listen(target: EventTarget, handlers: Handlers): void {
    for (const type of Object.keys(handlers)) {
      const listener = (event: Event) => {
        try {
          handlers[type]?.(event);
        } catch {}
      };
      target.addEventListener(type, listener, { capture: true, passive: true });
      this._listeners.push([target, type, listener]);
    }
  }
}

const matches = (query: string): boolean => matchMedia(query).matches;
