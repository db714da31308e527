// Which element is the username, which the password; and two questions about their content that never read it.

import { type Role, ROLES, SECRET } from "./batch";

/** In order of preference when nobody has typed yet. */
const USERNAME = ["input[autocomplete~=username i]", "input[name=username]", "input[type=email]"];
const PASSWORD = ["input[type=password]", "input[autocomplete~=current-password i]"];

export class Fields {
  private readonly _selectors: Record<Role, string[]>;
  private readonly _custom: boolean;
  /** Every element that was ever a password; true where it is the watched one. Show-password toggles do not remove it. */
  private readonly _secrets = new WeakMap<Element, boolean>();
  /** Elements whose content an earlier final flush has told of. */
  private readonly _settled = new WeakSet<Element>();
  private _bound: Partial<Record<Role, HTMLInputElement>> = {};
  private _observer?: MutationObserver;
  /** The page has been closed: another element may take over a role. */
  _loose = true;

  constructor(username?: string, password?: string) {
    this._selectors = { username: username ? [username] : USERNAME, password: password ? [password] : PASSWORD };
    this._custom = !!password;
    // A toggle may come before the first key: the old type tells what the element was.
    if (typeof MutationObserver === "function") {
      this._observer = new MutationObserver((records) => {
        for (const { target, oldValue } of records) {
          if (/^password$/i.test(oldValue ?? "")) this._remember(target as Element, !this._custom);
        }
      });
      this._observer.observe(document, { subtree: true, attributes: true, attributeFilter: ["type"], attributeOldValue: true });
    }
    this._find(SECRET);
  }

  _stop(): void {
    this._observer?.disconnect();
  }

  /** The role of the element an event came from, which from now on is that role's element on this page. */
  _watch(event: Event): Role | undefined {
    // Inside shadow roots `target` is the host; the path begins with the input itself.
    const element = event.composedPath()[0] as HTMLInputElement;
    const role = this._role(element);
    if (!role) return undefined;
    const bound = this._bound[role];
    if (bound && bound !== element && bound.isConnected && !this._loose) return undefined;
    this._bound[role] = element;
    return role;
  }

  /** The element of a role: the one that was used, else the likeliest on the page. */
  _find(role: Role): HTMLInputElement | undefined {
    const bound = this._bound[role];
    if (bound?.isConnected) return bound;
    for (const selector of this._selectors[role]) {
      for (const element of document.querySelectorAll<HTMLInputElement>(selector)) {
        if (this._role(element) === role) return element;
      }
    }
    return undefined;
  }

  _isIn(form: EventTarget | null): boolean {
    return ROLES.some((role) => {
      const element = this._find(role);
      return !!element && element.form === form;
    });
  }

  /** The final flush has told of the field's content. */
  _settle(role: Role): void {
    const element = this._find(role);
    if (element) this._settled.add(element);
  }

  /** Content that no event announced: a script's, the server's, a password manager's. */
  _isFilledSilently(element: HTMLInputElement): boolean {
    return !this._settled.has(element) && !isEmpty(element);
  }

  private _role(element: HTMLInputElement): Role | undefined {
    if (element?.tagName !== "INPUT" || element.type === "hidden") return undefined; // second steps carry the username hidden
    const is = (role: Role) => this._selectors[role].some((selector) => element.matches(selector));
    if (is(SECRET)) this._remember(element, true);
    else if (element.type === "password") this._remember(element, false);
    const secret = this._secrets.get(element);
    if (secret !== undefined) return secret ? SECRET : undefined;
    return is("username") ? "username" : undefined;
  }

  private _remember(element: Element, watched: boolean): void {
    this._secrets.set(element, watched || !!this._secrets.get(element));
  }
}

/**
 * Whether an input is empty, without reading `.value`: a clone carries the content along, and its own constraint
 * validation tells whether a required one is missing. The clone is never put into the document.
 */
export function isEmpty(element: HTMLInputElement): boolean {
  const clone = element.cloneNode() as HTMLInputElement;
  clone.readOnly = clone.disabled = false; // such inputs are exempt from validation
  clone.required = true;
  return clone.validity.valueMissing;
}

export function isAutofilled(element: Element): boolean {
  return [":autofill", ":-webkit-autofill"].some((selector) => {
    try {
      return element.matches(selector);
    } catch {
      return false; // the browser does not know this spelling
    }
  });
}
