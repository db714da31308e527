"""What differs about a login as a whole, in plain words: speed, cadence, pauses and rollover beside the person's own.

A detector's contributions name single timings. Somebody who reads a decision asks first whether the person was slower,
hesitated, or did not let keys overlap as usual; that is in the summaries of ``sidecar.features.vector``. They decide
nothing: added to the scorers they did not help (docs/evaluation.md).
"""

from dataclasses import dataclass

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.features.vector import SUMMARIES, summaries

FEWEST = 5  # samples below which nothing is called usual
FROM = 3.0  # usual deviations from which a difference is told
SHOWN = 3

_LESS_MORE = {
    "keys per second": ("typed more slowly", "typed faster"),
    "median hold": ("keys held shorter", "keys held longer"),
    "hold variation": ("keys held more evenly", "keys held less evenly"),
    "step variation": ("a more even rhythm", "a more uneven rhythm"),
    "pauses": ("fewer pauses", "more pauses"),
    "longest step": ("no pause as long", "a longer pause"),
    "rollover share": ("fewer keys overlap", "more keys overlap"),
}
_LEAST_SPREAD = {"1/s": 0.2, "ms": 4.0, "count": 0.4, "ratio": 0.04}  # a difference smaller than three of these is none


@dataclass(frozen=True, slots=True)
class Difference:
    """One summary that is unusual. ``value``, ``usual``: in its unit; ``deviation``: signed, in usual deviations."""

    name: str
    unit: str
    value: float
    usual: float
    deviation: float

    def sentence(self) -> str:
        """In plain words: ``typed more slowly than usual (2.1 keys per second, usually 4.0)``."""
        words = _LESS_MORE[self.name][self.deviation > 0]
        if self.name == "keys per second":
            return f"{words} than usual ({self.value:.1f} keys per second, usually {self.usual:.1f})"
        if self.name in ("pauses", "longest step"):
            return f"{words} than usual"
        shown = [f"{each:.0f} ms" if self.unit == "ms" else f"{each:.0%}" for each in (self.value, self.usual)]
        return f"{words} than usual ({shown[0]}, usually {shown[1]})"


def differences(
    hold: Floats, down_down: Floats, earlier_hold: Floats, earlier_down_down: Floats, *, quantum: float = 0.0
) -> tuple[Difference, ...]:
    """The largest differences first, at most three. ``hold``, (n,), and ``down_down``, (n,) or (n - 1,), ms, NaN where
    missing; ``earlier_*``: the person's own samples, (k, ...). Nothing is told below 5 samples. Raises ValueError on
    shapes that do not fit.
    """
    if earlier_hold.shape[1:] != hold.shape or earlier_down_down.shape[1:] != down_down.shape:
        raise ValueError("earlier samples are of another text")
    now = summaries(hold, down_down, quantum=quantum)
    earlier = summaries(earlier_hold, earlier_down_down, quantum=quantum)
    found = []
    for place, feature in enumerate(SUMMARIES):
        known = earlier[np.isfinite(earlier[:, place]), place]
        if feature.name not in _LESS_MORE or known.size < FEWEST or not np.isfinite(now[place]):
            continue
        usual = float(np.median(known))
        spread = max(1.4826 * float(np.median(np.abs(known - usual))), _LEAST_SPREAD[feature.unit])
        deviation = (float(now[place]) - usual) / spread
        if abs(deviation) >= FROM:
            found.append(Difference(feature.name, feature.unit, float(now[place]), usual, deviation))
    return tuple(sorted(found, key=lambda each: -abs(each.deviation))[:SHOWN])
