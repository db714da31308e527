// The ES module: what a single-page application calls. The script tag (script.ts) calls `start` alone.

import { type Mode, MODES } from "./batch";
import { Session } from "./session";

export interface Options {
  /** Site key. */
  site?: string;
  /** The opaque id of this login attempt, from the identity provider's server. */
  attempt?: string;
  /** Origin of the sidecar. Without it, a site key or an attempt everything goes by the form field. */
  endpoint?: string;
  /** How much the password field tells; the sidecar may be stricter, never laxer. */
  secret?: Mode;
  transport?: "direct" | "form";
  /** CSS selectors, where the fields cannot be found by their type and autocomplete. */
  username?: string;
  password?: string;
}

let session: Session | undefined;

/** Start recording, once per page; a second call begins anew. */
export function start(options: Options = {}): void {
  stop();
  guarded(() => {
    const { site = "", attempt = "", endpoint = "", secret = "positions", transport, username, password } = options;
    const to = { site, attempt, endpoint: endpoint.replace(/\/+$/, ""), formOnly: transport === "form" || !site || !attempt || !endpoint };
    // A misspelt mode must not tell more than was meant.
    const mode = MODES.includes(secret) ? secret : "off";
    session = new Session(to, mode, username, password, () => start(options));
  });
}

/** Stop recording and sending; all listeners are removed. */
export function stop(): void {
  guarded(() => session?._stop());
  session = undefined;
}

/** Send what is complete, without ending the page. */
export function flush(): void {
  guarded(() => session?._flush());
}

/** End the page and return the content of the `gaitkeeper_capture` field, to be posted with the credentials. */
export function field(): string {
  return guarded(() => session?._field()) ?? "";
}

/** A login must never fail for our sake. */
function guarded<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
