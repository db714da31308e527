"""The checks of ``sidecar.features.liveness`` on many attempts at once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.evaluation.attacks.make import Timings
from sidecar.features.liveness import Sign, Usual, copied, machine_signs, shared_text_signs

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Checked:
    """Which attempts were flagged, shape (m,), and how often by which sign."""

    flagged: Flags
    signs: Counter[str]


def checked(attempts: Timings, usual: Usual, remembered: Timings | None, own: Sequence[int] | None = None) -> Checked:
    """Flag attempts; ``remembered``: earlier ones to be a copy of. ``own``: how many of them come before each attempt.

    Without ``own`` all remembered ones count for every attempt.
    """
    flags, signs = [], Counter[str]()
    for number, (hold, step) in enumerate(zip(*attempts, strict=True)):
        found = [str(sign) for sign in (*machine_signs(hold, step), *shared_text_signs(hold, step, usual))]
        if remembered is not None:
            first, last = (0, own[number]) if own is not None else (0, len(remembered[0]))
            first = max(first, last - MEMORY) if own is not None else first
            if copied(hold, step, remembered[0][first:last], remembered[1][first:last]):
                found.append(str(Sign.COPIED))
        flags.append(bool(found))
        signs.update(found)
    return Checked(np.array(flags, dtype=np.bool_), signs)


MEMORY = 200  # attempts of one person that a copy is looked for in
