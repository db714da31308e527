// As much of a browser as the unit tests need. Reading `.value` throws: the widget must never do it.

type Listener = (event: object) => void;

class FakeTarget {
  readonly listeners = new Map<string, Set<Listener>>();

  addEventListener(type: string, listener: Listener, options: object) {
    if (!("capture" in options && "passive" in options)) throw new Error(`${type}: not capture and passive`);
    if (!this.listeners.has(type)) this.listeners.set(type, new Set());
    this.listeners.get(type)?.add(listener);
  }

  removeEventListener(type: string, listener: Listener) {
    this.listeners.get(type)?.delete(listener);
  }

  get count(): number {
    return [...this.listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }

  fire(type: string, init: object = {}) {
    for (const listener of [...(this.listeners.get(type) ?? [])]) listener({ type, isTrusted: true, ...init });
  }
}

export class FakeInput {
  readonly tagName = "INPUT";
  isConnected = true;
  empty = true;
  autofilled = false;
  form: object | null = null;

  constructor(
    public type: string,
    public name: string,
    public autocomplete = "",
  ) {}

  get value(): never {
    throw new Error(".value was read");
  }

  matches(selector: string): boolean {
    if (selector === ":autofill") return this.autofilled;
    const [, attribute, wanted] = /^input\[(\w+)~?=([\w-]+)/.exec(selector) ?? [];
    if (!attribute) throw new SyntaxError(selector);
    return this[attribute as "type" | "name" | "autocomplete"].split(" ").includes(wanted as string);
  }

  cloneNode() {
    const { empty } = this;
    return { required: false, get validity() { return { valueMissing: this.required && empty }; } };
  }
}

export interface Request {
  url: string;
  body: { site?: string; attempt?: string; token?: string; batch?: Record<string, never> };
  init: RequestInit;
}

/** A page with a login form, whose events the test writes by hand. Times are milliseconds. */
export class FakePage {
  readonly document: FakeTarget & { [key: string]: unknown };
  readonly window = new FakeTarget();
  readonly form = {};
  readonly username = new FakeInput("text", "username", "username");
  readonly password = new FakeInput("password", "password", "current-password");
  readonly storage = new Map<string, string>();
  readonly requests: Request[] = [];
  /** What the sidecar answers; by default every batch is accepted. */
  answer: (request: Request) => { status: number; body?: object } = ({ url }) =>
    url.endsWith("/captures")
      ? { status: 201, body: { capture: `cap${this.opened++}`, token: "tok", expires_in: 600, secret: "positions" } }
      : { status: 204 };
  private opened = 0;
  private now = 0;

  constructor(public inputs: FakeInput[] = []) {
    if (!inputs.length) this.inputs = [this.username, this.password];
    for (const input of this.inputs) input.form = this.form;
    this.document = Object.assign(new FakeTarget(), {
      visibilityState: "visible",
      querySelectorAll: (selector: string) => this.inputs.filter((input) => input.isConnected && input.matches(selector)),
    }) as object as FakePage["document"];
    const globals = {
      document: this.document,
      window: this.window,
      performance: { now: () => (this.now += 0.1) },
      matchMedia: () => ({ matches: false }),
      MutationObserver: undefined,
      sessionStorage: {
        getItem: (key: string) => this.storage.get(key) ?? null,
        setItem: (key: string, value: string) => this.storage.set(key, value),
        removeItem: (key: string) => this.storage.delete(key),
      },
      fetch: async (url: string, init: RequestInit) => {
        const request = { url, init, body: JSON.parse(init.body as string) };
        this.requests.push(request);
        const { status, body } = this.answer(request);
        return { status, ok: status < 300, json: async () => body };
      },
    };
    for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }

  down(input: FakeInput, key: string, at: number, init: object = {}) {
    this.document.fire("keydown", this.key(input, key, at, init));
    if (key.length === 1 && !("ctrlKey" in init || "isTrusted" in init)) this.input(input, "insertText");
  }

  up(input: FakeInput, key: string, at: number, init: object = {}) {
    this.document.fire("keyup", this.key(input, key, at, init));
  }

  /** Press each key 100 ms after the last and hold it for 70 ms. */
  type(input: FakeInput, keys: Iterable<string>, begin = 1000) {
    let at = begin;
    for (const key of keys) {
      this.down(input, key, at);
      this.up(input, key, at + 70);
      at += 100;
    }
  }

  input(input: FakeInput, inputType: string | undefined, init: object = {}) {
    input.empty = false;
    for (const type of ["beforeinput", "input"]) this.document.fire(type, { inputType, ...this.at(input), ...init });
  }

  /** Submit; the parsed content of the hidden field. */
  submit({ submitEvent = true } = {}) {
    return JSON.parse(this.submitRaw(submitEvent));
  }

  submitRaw(submitEvent = true): string {
    if (submitEvent) this.document.fire("submit", { target: this.form });
    let field = "";
    const formData = { set: (name: string, value: string) => (name === "gaitkeeper_capture" ? (field = value) : "") };
    this.document.fire("formdata", { target: this.form, formData });
    return field;
  }

  private key(input: FakeInput, key: string, at: number, init: object) {
    return { key, code: `Key${key.toUpperCase()}`, keyCode: 65, repeat: false, isComposing: false, ctrlKey: false, metaKey: false, getModifierState: () => false, timeStamp: at, ...this.at(input), ...init };
  }

  private at(input: FakeInput) {
    return { target: input, composedPath: () => [input] };
  }
}

/** Let fetch answers and their handlers run. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
