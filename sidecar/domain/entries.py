"""Earlier entries of one field: what was typed, how it scored, how the login ended. A bounded list of values.

Kept of everybody who is scored: the newest 200 entries, whether or not a profile learned from them, and the samples
that a profile rests on. From it a copy of an earlier entry is known, and how well scores tell this person from others.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind, Probe

ATTEMPTS = 200
STORED = 300
LONGEST = 64  # characters that are compared; what follows is not kept
_WIDTHS = (16, 32, LONGEST)  # a row is as long as one of these, so that the size of the list does not tell a password's


class Ended(IntEnum):
    """How the login of an entry ended."""

    OPEN = 0
    ALLOWED = 1  # it succeeded, and was allowed without a second factor
    CONFIRMED = 2  # it succeeded, with a second factor
    NOT = 3  # refused, abandoned, let in although more was asked for, or taken back
    IMPORTED = 4  # a sample that came from no login


ACCEPTED = (Ended.ALLOWED, Ended.CONFIRMED)
CONFIRMING = (Ended.CONFIRMED, Ended.IMPORTED)
ANCHORS = 10  # stored samples that a second factor confirmed are kept however many came after them


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry on its way into the list. ``llr``: of the model ``model``, before it was put
    right by the installation's decisions; None where it was not scored.
    """

    field: str
    context: str
    probe: Probe
    at: float
    llr: float | None
    model: str


@dataclass(frozen=True, slots=True)
class Entries:
    """m entries, oldest first. ``hold``, ``down_down``: (m, w), ms, NaN beyond the text and where missing; half
    precision, of which a copy needs no more. ``length``: (m,), characters, 0 where timings by position were not measured.
    ``llr``: (m,), NaN where not scored by ``model``. ``ended``: (m,), ``Ended``. ``stored``: (m,), 1 for samples.
    """

    model: str
    at: Floats
    llr: Floats
    ended: NDArray[np.uint8]
    stored: NDArray[np.uint8]
    length: NDArray[np.int32]
    hold: NDArray[np.float16]
    down_down: NDArray[np.float16]

    def __len__(self) -> int:
        return int(self.at.size)

    def like(self, length: int) -> tuple[Floats, Floats]:
        """Return holds and down-downs, (k, n) each, of entries of a text of that length (in characters)."""
        n = min(length, LONGEST)
        rows = self.length == length
        if n > self.hold.shape[1]:
            return np.empty((0, n)), np.empty((0, n))
        return self.hold[rows, :n].astype(np.float64), self.down_down[rows, :n].astype(np.float64)

    def typed(self, samples: int) -> Floats:
        """Return when the newest stored samples were typed, so many at most, oldest first."""
        return np.sort(self.at[self.stored == 1])[-samples:]

    def accepted(self, model: str) -> Floats:
        """Return the scores of logins that succeeded, oldest first, where they are of this model."""
        if model != self.model:
            return np.empty(0)
        return self.llr[np.isin(self.ended, ACCEPTED) & np.isfinite(self.llr)]


def nothing(model: str = "") -> Entries:
    """Return an empty list."""
    return Entries(
        model, np.empty(0), np.empty(0), np.empty(0, np.uint8), np.empty(0, np.uint8), np.empty(0, np.int32),
        np.empty((0, _WIDTHS[0]), np.float16), np.empty((0, _WIDTHS[0]), np.float16),
    )  # fmt: skip


def timings(probe: Probe) -> tuple[Floats, Floats]:
    """Return hold and down-down times of a probe by position, (n,) each in ms; n = 0 in the summary layout."""
    if probe.layout != "positions":
        return np.empty(0), np.empty(0)
    return probe.values[probe.kinds == Kind.HOLD], probe.values[probe.kinds == Kind.DOWN_DOWN]


def added(entries: Entries, entry: Entry) -> Entries:
    """Return the list with one entry more, without those that are beyond its bounds."""
    return _appended(entries, entry, Ended.OPEN, stored=False)


def learned(entries: Entries, entry: Entry) -> Entries:
    """Return the list in which an entry counts as a stored sample: the one of these timings, or else a new one."""
    hold, down_down = (_row(part, entries.hold.shape[1]) for part in timings(entry.probe))
    length = entry.probe.values.size // 3 if entry.probe.layout == "positions" else 0
    if length and length <= entries.hold.shape[1]:
        same = _same(entries.hold, hold) & _same(entries.down_down, down_down) & (entries.length == length)
        if same.any():
            return bounded(replace(entries, stored=np.where(same, 1, entries.stored).astype(np.uint8)))
    return _appended(entries, entry, Ended.IMPORTED, stored=True)


def ended(entries: Entries, at: float, how: Ended) -> Entries:
    """Return the list in which the entry of a moment ended in this way; the very same one where it has none."""
    if not (entries.at == at).any():
        return entries
    return replace(entries, ended=np.where(entries.at == at, how, entries.ended).astype(np.uint8))


def taken_back(entries: Entries, since: float) -> Entries:
    """Return the list in which nothing since a moment counts as the person's own. It still tells copies."""
    late = entries.at >= since
    return replace(
        entries,
        ended=np.where(late, Ended.NOT, entries.ended).astype(np.uint8),
        stored=np.where(late, 0, entries.stored).astype(np.uint8),
    )


def since(entries: Entries, moment: float) -> Entries:
    """Return the list without what is older than a moment."""
    return _of(entries, entries.at >= moment)


def bounded(entries: Entries) -> Entries:
    """Return the newest 200, and beyond them the newest 300 that are stored samples, and the anchors."""
    keep = np.zeros(len(entries), dtype=bool)
    keep[-ATTEMPTS:] = True
    stored = np.flatnonzero(entries.stored)
    keep[stored[-STORED:]] = True
    keep[stored[np.isin(entries.ended[stored], CONFIRMING)][-ANCHORS:]] = True
    return entries if keep.all() else _of(entries, keep)


def _appended(entries: Entries, entry: Entry, how: Ended, *, stored: bool) -> Entries:
    hold, down_down = timings(entry.probe)
    width = next((width for width in _WIDTHS if width >= hold.size), LONGEST)
    wide = _widened(entries, max(width, entries.hold.shape[1]))
    if entry.llr is not None and entry.model != wide.model:  # scores of two models do not compare
        wide = replace(wide, model=entry.model, llr=np.full(len(wide), np.nan))
    llr = np.nan if entry.llr is None else entry.llr
    return bounded(
        Entries(
            wide.model,
            np.append(wide.at, entry.at),
            np.append(wide.llr, llr),
            np.append(wide.ended, np.uint8(how)),
            np.append(wide.stored, np.uint8(stored)),
            np.append(wide.length, np.int32(hold.size)),
            np.vstack([wide.hold, _row(hold, wide.hold.shape[1])]),
            np.vstack([wide.down_down, _row(down_down, wide.hold.shape[1])]),
        )
    )


def _row(part: Floats, width: int) -> NDArray[np.float16]:
    row = np.full(width, np.nan, dtype=np.float16)
    with np.errstate(over="ignore"):
        kept = part[:width].astype(np.float16)
    row[: kept.size] = np.where(np.isfinite(kept), kept, np.float16(np.nan))
    return row


def _widened(entries: Entries, width: int) -> Entries:
    more = width - entries.hold.shape[1]
    if more <= 0:
        return entries
    pad = np.full((len(entries), more), np.nan, dtype=np.float16)
    return replace(entries, hold=np.hstack([entries.hold, pad]), down_down=np.hstack([entries.down_down, pad]))


def _same(rows: NDArray[np.float16], row: NDArray[np.float16]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = ((rows == row) | (np.isnan(rows) & np.isnan(row))).all(axis=1)
    return found


def _of(entries: Entries, rows: NDArray[np.bool_]) -> Entries:
    return Entries(
        entries.model, entries.at[rows], entries.llr[rows], entries.ended[rows], entries.stored[rows],
        entries.length[rows], entries.hold[rows], entries.down_down[rows],
    )  # fmt: skip
