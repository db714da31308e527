// Where the content of the watched fields came from: keys, the clipboard, a password manager.

import type { Notes, Provenance } from "../batch";
import { type Fields, isAutofilled, isEmpty } from "../fields";
import type { Handlers, Session } from "../session";

export function provenance(session: Session): Handlers {
  const onInput = (event: InputEvent) => {
    // Password managers write the value and dispatch an event of their own, which is not trusted.
    if (!event.isTrusted && event.type !== "input") return;
    const role = session._fields._watch(event);
    if (!role) return;
    if (event.isTrusted) session._wake();
    const notes = session._note(role);
    const kind = event.isTrusted ? event.inputType : "";
    notes._changed = true;
    if (/^insertFrom(Paste|Drop|Yank)/.test(kind)) {
      notes._pasted = true;
      // Chromium's own filling says nothing, Firefox's says replacement.
    } else if (!kind || kind === "insertReplacementText") {
      // Pages announce in the same way that they cleared a field.
      if (!isEmpty(event.composedPath()[0] as HTMLInputElement)) notes._filled = true;
      else if (notes._typed) notes._edited = true;
    } else if (/^(delete|history)/.test(kind)) {
      notes._edited = true;
    }
  };
  const onPaste = (event: Event) => {
    const role = event.isTrusted && session._fields._watch(event);
    if (role) session._note(role)._pasted = true;
  };
  return { beforeinput: onInput, input: onInput, paste: onPaste, drop: onPaste };
}

/** The one word for a field at the page's final flush; undefined when the page has no such field. */
export function judge(notes: Notes, element: HTMLInputElement | undefined, fields: Fields): Provenance | undefined {
  if (notes._pasted) return "pasted";
  const untouched = !notes._typed && !notes._changed;
  if (notes._filled || (element && (isAutofilled(element) || (untouched && fields._isFilledSilently(element))))) return "filled";
  if (notes._typed) return "typed";
  return element || !untouched || notes._edited ? "none" : undefined;
}
