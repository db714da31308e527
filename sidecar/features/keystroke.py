"""Keystroke features: batches of one capture to a probe, or to the named reason why there is none.

All functions are pure and total over decoded batches: no clock, no randomness, no input or output, and
nothing raises on what ``sidecar.wire`` accepts. Feature values are milliseconds; a missing timing is NaN.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Absence, Cause, Floats, Kind, Probe, Provenance
from sidecar.features.pages import Keypress, PageView, pages_of
from sidecar.wire import Batch, KeyClass

Mode = Literal["positions", "summary", "off"]

TICKS_PER_MS = 10.0
COARSE_TICKS = 100  # a clock of 10 ms and more cannot tell one typist's hold from another's
MINIMUM_CHARACTERS = 4
MINIMUM_FEATURES = 8  # comparable ones below which no score is made: 4 characters lacking Enter and one release
SUMMARY_QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)
SUMMARY_NAMES = ("q10", "q25", "q50", "q75", "q90", "mean", "spread")
SUMMARY_SIZE = 21

_KIND_NAMES = ("hold", "down-down", "up-down")
_REFUSED = {
    Provenance.PASTED: Cause.PASTED,
    Provenance.FILLED: Cause.FILLED,
    Provenance.NONE: Cause.NOT_TYPED,
}


def extract(batches: Sequence[Batch], field: str, *, mode: Mode, minimum: int = MINIMUM_CHARACTERS) -> Probe | Absence:
    """Make the probe of one field from all batches of a capture, in any order.

    The newest page on which the field saw input counts; what was typed into it on earlier pages (a wrong
    password) is ignored. Layout ``positions`` has d = 3n values for n characters, ``summary`` has 21. Never
    raises on decoded batches.
    """
    if mode == "off":
        return Absence(field, Cause.WITHHELD)
    views = pages_of(batches, field)
    if mode == "summary" and any(view.presses for view in views):
        return Absence(field, Cause.WITHHELD)  # rows the client was told not to send are not used
    touched = [view for view in views if view.saw_input]
    if not touched:
        return Absence(field, Cause.NOT_TYPED if views else Cause.NO_CAPTURE)
    view = touched[-1]
    cause = _refusal(view)
    if cause is not None:
        return Absence(field, cause)
    made = _summary_probe(view, field) if mode == "summary" else _positions_probe(view, field, minimum)
    if isinstance(made, Probe) and view.quantum >= COARSE_TICKS:
        return Absence(field, Cause.COARSE_CLOCK)
    return made


def provenance(batches: Sequence[Batch], field: str) -> Provenance | None:
    """Say how the field got its content on the newest page that reported a state of it; None where no page
    did.
    """
    states = [view.state for view in pages_of(batches, field) if view.state is not None]
    return states[-1].p if states else None


def span_ms(batches: Sequence[Batch]) -> float:
    """Typing time a capture claims, in ms: over its pages, the sum of last minus first event (press or
    release).

    Times count from each page's own origin, so only differences inside a page mean anything.
    """
    bounds: dict[int, tuple[int, int]] = {}
    for batch in batches:
        at = batch.t
        for step, hold in zip(batch.k.d, batch.k.h, strict=False):
            at += step
            first, last = bounds.get(batch.page, (at, at))
            bounds[batch.page] = (min(first, at), max(last, at + max(hold, 0)))
    return sum(last - first for first, last in bounds.values()) / TICKS_PER_MS


def from_timings(field: str, hold: Floats, down_down: Floats) -> Probe:
    """Make a positions probe from measured timings, as a browser would have seen them.

    ``hold``, ``down_down``: shape (n,), ms; ``down_down[-1]`` leads to Enter, NaN where none was pressed.
    Raises ValueError where the shapes differ or are empty.
    """
    values = interleave(hold, down_down)
    if values.ndim != 1 or values.size == 0:
        raise ValueError("hold and down-down need shape (n,) with n >= 1")
    n = values.size // 3
    return Probe(field, "positions", values, positions_kinds(n), positions_labels(n))


def interleave(hold: Floats, down_down: Floats) -> Floats:
    """Put timings of shape (..., n) in the positions layout (..., 3n): hold, down-down, up-down = down-down -
    hold.

    ms in, ms out; NaN stays NaN and spreads to the up-down that rests on it. Raises ValueError where shapes
    differ.
    """
    if hold.shape != down_down.shape:
        raise ValueError(f"hold {hold.shape} and down-down {down_down.shape} differ in shape")
    stacked = np.stack([hold, down_down, down_down - hold], axis=-1)
    return stacked.reshape(*hold.shape[:-1], 3 * hold.shape[-1]).astype(np.float64)


def summarize(hold: Floats, down_down: Floats) -> Floats:
    """Make the 21 numbers of the summary layout, as the widget does: shape (..., n) each to (..., 21), ms.

    For hold, down-down and up-down in turn: quantiles .1 .25 .5 .75 .9 (linear), mean, mean absolute
    deviation from it. NaN timings are left out; at least one of each is needed, else numpy warns and the
    number is NaN.
    """
    parts = []
    for timings in (hold, down_down, down_down - hold):
        mean = np.nanmean(timings, axis=-1, keepdims=True)
        spread = np.nanmean(np.abs(timings - mean), axis=-1, keepdims=True)
        quantiles = np.moveaxis(np.nanquantile(timings, SUMMARY_QUANTILES, axis=-1), 0, -1)
        parts += [quantiles, mean, spread]
    return np.concatenate(parts, axis=-1).astype(np.float64)


def positions_kinds(n: int) -> NDArray[np.uint8]:
    """Kinds of the positions layout for n characters, shape (3n,)."""
    return np.tile(np.array([Kind.HOLD, Kind.DOWN_DOWN, Kind.UP_DOWN], dtype=np.uint8), n)


def positions_labels(n: int) -> tuple[str, ...]:
    """Labels of the positions layout for n characters: positions, never characters."""
    labels: list[str] = []
    for i in range(1, n + 1):
        following = str(i + 1) if i < n else "enter"
        labels += [f"hold {i}", f"down-down {i}-{following}", f"up-down {i}-{following}"]
    return tuple(labels)


def summary_kinds() -> NDArray[np.uint8]:
    """Kinds of the summary layout, shape (21,)."""
    return np.repeat(np.array([Kind.HOLD, Kind.DOWN_DOWN, Kind.UP_DOWN], dtype=np.uint8), len(SUMMARY_NAMES))


def summary_labels() -> tuple[str, ...]:
    """Labels of the summary layout, 21 of them: ``hold q10`` to ``up-down spread``."""
    return tuple(f"{kind} {name}" for kind in _KIND_NAMES for name in SUMMARY_NAMES)


def _refusal(view: PageView) -> Cause | None:
    """Cause named by the field's own state; a page that never reported one counts as typed."""
    if view.state is None:
        return None
    refused = _REFUSED.get(view.state.p)
    if refused is not None:
        return refused
    return Cause.CORRECTED if view.state.e else None


def _summary_probe(view: PageView, field: str) -> Probe | Absence:
    if view.state is None or view.state.s is None:
        return Absence(field, Cause.WITHHELD)
    values = np.array(view.state.s, dtype=np.float64) / TICKS_PER_MS
    return Probe(field, "summary", values, summary_kinds(), summary_labels())


def _positions_probe(view: PageView, field: str, minimum: int) -> Probe | Absence:
    presses = view.presses
    characters = [i for i, press in enumerate(presses) if press.key is KeyClass.CHARACTER]
    if not characters and view.state is not None and view.state.s is not None:
        return Absence(field, Cause.WITHHELD)  # a client in summary mode where positions are asked for
    if len(characters) < max(minimum, 1):
        return Absence(field, Cause.TOO_SHORT)
    if any(press.key is KeyClass.EDIT for press in presses):
        return Absence(field, Cause.CORRECTED)
    enter = next((p for p in presses[characters[-1] + 1 :] if p.key is KeyClass.SUBMIT), None)
    typed = [presses[i] for i in characters]
    down = np.array([press.down for press in typed] + [enter.down if enter else np.nan], dtype=np.float64)
    return from_timings(field, _holds(typed), np.diff(down) / TICKS_PER_MS)


def _holds(typed: Sequence[Keypress]) -> Floats:
    ticks = np.array([press.hold for press in typed], dtype=np.float64)
    return np.where(ticks < 0, np.nan, ticks / TICKS_PER_MS)
