"""One field's view of a capture: its key presses and its reported state, page by page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidecar.domain.biometrics import Provenance
from sidecar.wire import Batch, FieldState, KeyClass


@dataclass(frozen=True, slots=True)
class Keypress:
    """One press. ``down``: ticks (0.1 ms) from the page's time origin; ``hold``: ticks, -1 where no
    release was seen.
    """

    key: KeyClass
    down: int
    hold: int


@dataclass(frozen=True, slots=True)
class PageView:
    """What one page told about one field. ``quantum``: the coarsest clock of its batches, in ticks."""

    presses: tuple[Keypress, ...]
    state: FieldState | None
    quantum: int

    @property
    def saw_input(self) -> bool:
        """Whether content came into the field here; tabbing through it or pressing Enter in it is no
        input.
        """
        if self.state is not None and self.state.p is not Provenance.NONE:
            return True
        return any(press.key in (KeyClass.CHARACTER, KeyClass.EDIT) for press in self.presses)


def pages_of(batches: Sequence[Batch], field: str) -> list[PageView]:
    """Collect one field's pages, oldest first, from batches in any order; pages that do not list it are left
    out.

    Of two batches with the same ``seq`` the first given counts. Never raises on decoded batches.
    """
    unique: dict[int, Batch] = {}
    for batch in batches:
        unique.setdefault(batch.seq, batch)
    grouped: dict[int, list[Batch]] = {}
    for _, batch in sorted(unique.items()):
        if field in batch.f:
            grouped.setdefault(batch.page, []).append(batch)
    return [_page(group, field) for _, group in sorted(grouped.items())]


def _page(batches: Sequence[Batch], field: str) -> PageView:
    presses = tuple(press for batch in batches for press in _presses(batch, field))
    states = [state for batch in batches for state in batch.s if state.f == _index(batch, field)]
    return PageView(presses, states[-1] if states else None, max(batch.q for batch in batches))


def _presses(batch: Batch, field: str) -> Iterator[Keypress]:
    """Rows of the field with absolute times; the steps of other fields' rows count towards them."""
    index = _index(batch, field)
    at = batch.t
    for owner, key, step, hold in zip(batch.k.f, batch.k.c, batch.k.d, batch.k.h, strict=False):
        at += step
        if owner == index:
            yield Keypress(key, at, hold)


def _index(batch: Batch, field: str) -> int:
    return [str(name) for name in batch.f].index(field)
