"""Verification trials for fitting, from CMU repetitions 1-200 only: genuine and impostor distances by design
cell.

A design is what would be a different password or field: a span of consecutive keys of the password, a 16-key
text made of two repetitions, or the summary numbers of the whole. Each is tried at several template sizes and
points in time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind, Layout, Sample, Template
from sidecar.evaluation.datasets import hold_and_down_down
from sidecar.features.keystroke import interleave, positions_kinds, summarize, summary_kinds
from sidecar.scoring.contract import OneClassDetector

FIT_REPETITIONS = 200
WINDOW_ENDS = (30, 50, 80, 100, 130, 150, 180)  # the template's last repetition; 50, 100, 150 end a day
SAMPLES = (3, 5, 10, 20, 30, 100)
GENUINE_NEXT = 5
JOIN_STEP = 7  # repetitions between the two parts of a 16-key text

_SPANS = ((4, 0), (4, 3), (4, 6), (6, 0), (6, 4), (8, 0), (8, 2), (10, 0))


@dataclass(frozen=True, slots=True)
class Design:
    """A kind of text: ``make`` turns a subject's holds and down-downs (200, 10) into values (200, d)."""

    name: str
    layout: Layout
    kinds: NDArray[np.uint8]
    make: Callable[[Floats, Floats], Floats]

    @property
    def features(self) -> int:
        """Number of features d."""
        return int(self.kinds.size)


@dataclass(frozen=True, slots=True)
class Cell:
    """Trials of one subject, design and template size. ``genuine``, ``impostor``: distances, shapes (g,)
    and (i,).
    """

    subject: int
    design: Design
    samples: int
    genuine: Floats
    impostor: Floats


def span(keys: int, start: int) -> Design:
    """``keys`` consecutive keys of the password; the key after them plays Enter."""
    part = slice(start, start + keys)

    def make(hold: Floats, down_down: Floats) -> Floats:
        return interleave(hold[:, part], down_down[:, part])

    return Design(f"{keys}@{start}", "positions", positions_kinds(keys), make)


def sixteen() -> Design:
    """16 characters: ten of one repetition, six of another of the same person (7 later, cyclic within the
    session).
    """

    def make(hold: Floats, down_down: Floats) -> Floats:
        other = _partner(hold.shape[0])
        joined = np.concatenate([hold, hold[other, 4:10]], axis=1)
        return interleave(joined, np.concatenate([down_down, down_down[other, 4:10]], axis=1))

    return Design("16", "positions", positions_kinds(16), make)


def summary() -> Design:
    """The 21 summary numbers of the password's ten characters; the widget leaves Enter out of them."""

    def make(hold: Floats, down_down: Floats) -> Floats:
        between = down_down.copy()
        between[:, -1] = np.nan
        return summarize(hold, between)

    return Design("summary", "summary", summary_kinds(), make)


def stretched(design: Design, *, hold: float = 1.0, tempo: float = 1.0) -> Design:
    """Another keyboard, or another pace: every hold times ``hold``, and every timing times ``tempo``."""

    def make(holds: Floats, down_down: Floats) -> Floats:
        return design.make(holds * hold * tempo, down_down * tempo)

    return Design(f"{design.name} holds x{hold:g} all x{tempo:g}", design.layout, design.kinds, make)


def only(design: Design, *kinds: Kind) -> Design:
    """A text of which only these kinds were recorded."""
    chosen = np.isin(design.kinds, kinds)

    def make(holds: Floats, down_down: Floats) -> Floats:
        return design.make(holds, down_down)[:, chosen]

    return Design(f"{design.name} {'+'.join(kind.name for kind in kinds)}", design.layout, design.kinds[chosen], make)


def position_designs() -> tuple[Design, ...]:
    """All designs of the positions layout: 4, 6, 8, 10 and 16 keys."""
    return (*(span(keys, start) for keys, start in _SPANS), sixteen())


@dataclass(frozen=True, slots=True)
class Grid:
    """Which trials are made. ``ends``: the templates' last repetitions; ``samples``: their sizes; ``later``: genuine
    are the next 5 and the 5 so many repetitions after them, as far as they lie within 1-200.
    """

    ends: tuple[int, ...] = WINDOW_ENDS
    samples: tuple[int, ...] = SAMPLES
    later: tuple[int, ...] = (0,)


FULL = Grid()
COARSE = Grid(ends=(50, 100, 150), samples=(5, 10, 30), later=(0, 50))

Measure = Callable[[Template, Floats], Floats]


def cells(
    data: dict[str, Floats],
    detector: OneClassDetector,
    designs: tuple[Design, ...],
    *,
    grid: Grid = FULL,
    measure: Measure | None = None,
) -> Iterator[Cell]:
    """Every cell's trials; impostors are the other subjects' repetitions 1, 3 and 5 and 160, 180 and 200.

    ``data`` as from ``load_cmu``; only repetitions 1-200 are read. ``measure``: what is kept of a template and probes
    (m, d), an array whose first axis is m; the detector's distances if left out.
    """
    kept = measure or detector.distances
    subjects = sorted(data)
    for design in designs:
        values = [design.make(*hold_and_down_down(data[s][:FIT_REPETITIONS])) for s in subjects]
        foreign = [v[[0, 2, 4, 159, 179, 199]] for v in values]
        for number, own in enumerate(values):
            others = np.concatenate([v for i, v in enumerate(foreign) if i != number])
            for samples in grid.samples:
                genuine, impostor = [], []
                for turn, end in enumerate(e for e in grid.ends if e >= samples):
                    chosen = [Sample(own[i], float(i)) for i in range(end - samples, end)]
                    template = detector.enroll(chosen, design.kinds, design.layout)
                    starts = [end + after for after in grid.later if end + after + GENUINE_NEXT <= FIT_REPETITIONS]
                    tried = np.concatenate([own[start : start + GENUINE_NEXT] for start in starts])
                    genuine.append(kept(template, tried))
                    impostor.append(kept(template, others[turn % 2 :: 2]))
                yield Cell(number, design, samples, np.concatenate(genuine), np.concatenate(impostor))


def _partner(repetitions: int) -> NDArray[np.int64]:
    index = np.arange(repetitions)
    return (index // 50) * 50 + (index % 50 + JOIN_STEP) % 50
