"""Key presses played into a page of a real Chromium, on time.

Each event is dispatched when it is due and carries that moment as its operating-system time, as a keyboard driver's
events do; so the page sees the recorded timeline, and how late the machine was in delivering it is measured beside it.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

from sidecar.evaluation.synthetic import Row

LEAD_SECONDS = 0.05
SPIN_SECONDS = 0.004


def play(cdp: Any, text: str, rows: Sequence[Row]) -> float:
    """Type ``text`` with these rows (one a character, Enter last if its hold is NaN); return the worst lag in ms.

    ``cdp`` is a Playwright CDP session of the page. Enter is pressed and, as on a real page, released elsewhere.
    Raises ValueError when rows and text differ in length.
    """
    if not len(text) <= len(rows) <= len(text) + 1:
        raise ValueError(f"{len(rows)} rows do not fit {len(text)} characters")
    events = []
    for character, (down, hold) in zip([*text, "\r"], rows, strict=False):
        events.append((down, "keyDown", character))
        if not math.isnan(hold):
            events.append((down + hold, "keyUp", character))
    events.sort(key=lambda event: event[0])
    began = time.time() + LEAD_SECONDS
    worst = 0.0
    for at, kind, character in events:
        due = began + at / 1000
        _until(due)
        worst = max(worst, time.time() - due)
        cdp.send("Input.dispatchKeyEvent", _event(kind, character, due))
    return worst * 1000


def _event(kind: str, character: str, due: float) -> dict[str, object]:
    if character == "\r":
        return {
            "type": kind,
            "key": "Enter",
            "code": "Enter",
            "text": "\r",
            "windowsVirtualKeyCode": 13,
            "timestamp": due,
        }
    event: dict[str, object] = {"type": kind, "key": character, "code": _code(character), "timestamp": due}
    return event | {"text": character} if kind == "keyDown" else event


def _code(character: str) -> str:
    """Return the physical key on a US keyboard; browsers pair press and release by it."""
    if character.isdigit():
        return f"Digit{character}"
    return {".": "Period", "-": "Minus", " ": "Space"}.get(character, f"Key{character.upper()}")


def _until(due: float) -> None:
    while (left := due - time.time()) > 0:
        if left > SPIN_SECONDS:
            time.sleep(left - SPIN_SECONDS)
