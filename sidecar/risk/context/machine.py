"""What speaks for software in one login: signs in the typing itself, and an earlier entry that it nearly repeats.

The checks and their thresholds are those of ``sidecar/features/liveness.py``; here they meet a login's deciding field.
Slow typing, long holds and gaps are no signs. A sign asks for a second factor under the shipped policies, never more.
"""

from dataclasses import dataclass

import numpy as np

from sidecar.domain.biometrics import Floats, Probe
from sidecar.domain.decisions import SignalValue
from sidecar.domain.entries import Entries, timings
from sidecar.features import liveness
from sidecar.features.liveness import Nearest, Sign, Usual

SIGNS = ("none", *(str(sign) for sign in Sign if sign is not Sign.COPIED))


@dataclass(frozen=True, slots=True)
class Liveness:
    """What was found. ``signs``: None where too little was typed, or not by position. ``nearest``: None where no earlier
    entry can be compared.
    """

    signs: tuple[Sign, ...] | None = None
    nearest: Nearest | None = None

    @property
    def copied(self) -> bool:
        """Whether this nearly repeats an earlier entry."""
        return self.nearest is not None and self.nearest.copied

    def facts(self) -> dict[str, SignalValue]:
        """Name what was found for the policy: the first sign that holds."""
        first = None if self.signs is None else str(next(iter(self.signs), "none"))
        return {"bot.sign": first, "replay.nearest": None if self.nearest is None else self.nearest.away}


def look(probe: Probe | None, earlier: Entries | None, usual: Usual | None = None) -> Liveness:
    """Look at the deciding field's probe. ``earlier``: entries of that field; ``usual``: of a text declared as shared."""
    if probe is None or probe.layout != "positions":
        return Liveness()
    hold, down_down = timings(probe)
    signs: tuple[Sign, ...] | None = None
    if int(np.isfinite(down_down).sum()) >= liveness.FEWEST:
        signs = liveness.machine_signs(hold, down_down)
        if usual is not None and (usual.hold.shape, usual.down_down.shape) == (hold.shape, down_down.shape):
            signs += liveness.shared_text_signs(hold, down_down, usual)
    return Liveness(signs, _nearest(hold, down_down, earlier))


def is_copy(probe: Probe, earlier: Entries) -> bool:
    """Tell whether a probe nearly repeats one of earlier entries."""
    return look(probe, earlier).copied


def _nearest(hold: Floats, down_down: Floats, earlier: Entries | None) -> Nearest | None:
    if earlier is None or not len(earlier):
        return None
    holds, steps = earlier.like(hold.size)
    n = holds.shape[1]
    return liveness.nearest(hold[:n], down_down[:n], holds, steps)
