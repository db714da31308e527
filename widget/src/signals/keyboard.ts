// Key presses and releases in the watched fields.

import { CHARACTER, EDIT, MODIFIER, NAVIGATION, SECRET, SUBMIT } from "../batch";
import { isEmpty } from "../fields";
import type { Handlers, Session } from "../session";

/** Not a wire class: a shortcut that moves the caret, selects or undoes. It leaves no row. */
const SHORTCUT = 5;
const LONGEST_HOLD = 600_000; // the wire's bound, one minute

/** The class of a key, the only thing its name is looked at for; undefined for keys that are none of our business. */
export function classify(event: KeyboardEvent): number | undefined {
  const { key } = event;
  // AltGraph counts as Control and Alt together on Windows, but it writes characters.
  const held = (event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph");
  if (/^(Shift|Control|Alt|Meta|AltGraph|CapsLock|NumLock|Fn)$/.test(key)) return MODIFIER;
  if (/^(Backspace|Delete|Cut|Clear|Undo|Redo)$/.test(key) || (held && /^x$/i.test(key))) return EDIT;
  if (held) return /^[ayz]$|^Arrow|^Home$|^End$/i.test(key) ? SHORTCUT : undefined;
  if (/^(Arrow.*|Home|End|PageUp|PageDown|Tab)$/.test(key)) return NAVIGATION;
  if (key === "Enter") return SUBMIT;
  return key.length === 1 || key === "Dead" ? CHARACTER : undefined;
}

export function keyboard(session: Session): Handlers {
  return {
    keydown(event: KeyboardEvent) {
      // 229: an input method or a touch keyboard handles the key and its name means nothing.
      if (!event.isTrusted || event.repeat || event.isComposing || event.keyCode === 229) return;
      const role = session._fields._watch(event);
      const keyClass = classify(event);
      if (!role || keyClass === undefined) return;
      const secret = role === SECRET;
      // Shift would tell upper case from lower; not even the moment of the first request may depend on it.
      if (secret && keyClass === MODIFIER) return;
      session._wake();
      if (secret && keyClass !== CHARACTER && keyClass !== SUBMIT) {
        // Tab leaves the field as it is; after anything else positions do not line up any more.
        if (event.key !== "Tab") session._note(role)._edited = true;
        return;
      }
      if (keyClass === SHORTCUT || (keyClass === SUBMIT && session._isClosed())) return;
      const notes = session._note(role);
      if (keyClass === EDIT) notes._edited = true;
      if (keyClass === CHARACTER) {
        // Typing onto content that was there before: what this page sees is not the whole password.
        if (secret && !notes._typed && !isEmpty(event.composedPath()[0] as HTMLInputElement)) notes._edited = true;
        notes._typed = true;
      }
      session._press(role, keyClass, event);
    },

    keyup(event: KeyboardEvent) {
      // Wherever it comes from: Tab is released in the next field.
      if (!event.isTrusted) return;
      const down = session._page._down;
      // Some keyboards name no physical key: then nothing tells whose release this is, and the hold stays absent.
      const row = event.code ? down.get(event.code) : undefined;
      if (!row) return;
      down.delete(event.code);
      const hold = session._clock._stamp(event) - row._at;
      row._hold = hold >= 0 && hold <= LONGEST_HOLD ? hold : -1;
      session._flushIfDue();
    },
  };
}
