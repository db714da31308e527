"""Recalibration by an installation's own decisions: counts that add up, and a correction that few counts hardly move.

Pure, and made for a job that runs now and then and may be stopped anywhere: a ``Tally`` of log-likelihood ratios is added
to decision by decision, merged with others in any order, and written as plain numbers; ``correction`` reads it and gives
llr' = scale llr + offset. Own logins are those that a second factor confirmed, which somebody chose at random or asked of
everybody: logins that were challenged *because* of their score tell nothing about scores below it (``Tally.add`` is given
only such logins by its caller). Strangers are other consenting people's attempts scored against the profile, where a text
is declared to be shared, or attempts that were reported as theft.

The fit is a logistic regression with a normal prior around (1, 0) (Gelman et al. 2008 for why a prior), classes weighed
the same. An installation with few counts stays at what was shipped; a fit outside the bounds is refused, never clipped
quietly, as it says that something other than calibration is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.scoring.calibration import LIMIT

BIN = 0.25  # of LLR; the limits are at +-6
FEWEST_OWN, FEWEST_STRANGE = 200, 200
PRIOR_SCALE, PRIOR_OFFSET = 0.25, 0.5  # standard deviations around 1 and 0
ALIKE = 10.0  # decisions that say as much as one of its own: a person's logins are alike
SCALES, OFFSETS = (0.4, 1.8), (-2.0, 2.0)
_BINS = round(2 * LIMIT / BIN)
_STEPS = 200
_LARGEST_STEP = 0.2
_VERSION = 1


@dataclass(slots=True)
class Tally:
    """Counts of LLRs in bins of .25, shape (48,) each. ``seen``: the last decision counted, by source, so that a job can
    go on where it stopped.
    """

    own: Floats = field(default_factory=lambda: np.zeros(_BINS))
    strange: Floats = field(default_factory=lambda: np.zeros(_BINS))
    seen: dict[str, str] = field(default_factory=dict)

    def add(self, llr: float, *, own: bool) -> None:
        """Count one decision. Raises ValueError on an LLR that is not finite."""
        if not np.isfinite(llr):
            raise ValueError("an LLR is not finite")
        place = min(max(int((llr + LIMIT) / BIN), 0), _BINS - 1)
        (self.own if own else self.strange)[place] += 1

    def merged(self, other: "Tally") -> "Tally":
        """Both together; where both saw a source, the later mark (as text) is kept."""
        marks = {name: max(self.seen.get(name, ""), other.seen.get(name, "")) for name in {*self.seen, *other.seen}}
        return Tally(self.own + other.own, self.strange + other.strange, marks)

    def plain(self) -> dict[str, object]:
        """The tally as values for JSON."""
        return {
            "version": _VERSION,
            "own": [int(count) for count in self.own],
            "strange": [int(count) for count in self.strange],
            "seen": dict(sorted(self.seen.items())),
        }

    @classmethod
    def of(cls, plain: Mapping[str, object]) -> "Tally":
        """Read ``plain`` back. Raises ValueError where it is not such a tally."""
        own, strange, seen = (plain.get(name) for name in ("own", "strange", "seen"))
        if plain.get("version") != _VERSION or not isinstance(seen, Mapping):
            raise ValueError("not a tally of this version")
        counts = []
        for values in (own, strange):
            if not isinstance(values, list) or len(values) != _BINS or any(not _count(value) for value in values):
                raise ValueError(f"a tally needs {_BINS} counts of each class")
            counts.append(np.array(values, dtype=np.float64))
        return cls(counts[0], counts[1], {str(name): str(mark) for name, mark in seen.items()})


@dataclass(frozen=True, slots=True)
class Correction:
    """llr' = scale llr + offset, and what it does to the tally's own counts: Cllr before and after, in bits."""

    scale: float
    offset: float
    own: int
    strange: int
    cllr_before: float
    cllr_after: float

    def of(self, llr: float) -> float:
        """The corrected LLR, within +-6; never falls as the LLR rises."""
        return min(max(self.scale * llr + self.offset, -LIMIT), LIMIT)

    def before(self, llr: float) -> float:
        """The uncorrected LLR at which a threshold on corrected ones lies."""
        return (llr - self.offset) / self.scale


AS_SHIPPED = Correction(1.0, 0.0, 0, 0, 0.0, 0.0)


def correction(tally: Tally) -> Correction | None:
    """Fit a correction; None where there are fewer than 200 decisions of a class.

    Raises ValueError where the best fit lies outside the bounds: that is no matter of calibration any more.
    """
    own, strange = int(tally.own.sum()), int(tally.strange.sum())
    if own < FEWEST_OWN or strange < FEWEST_STRANGE:
        return None
    at = ((np.arange(_BINS) + 0.5) * BIN - LIMIT).astype(np.float64)
    share = tally.own / own, tally.strange / strange
    trust = min(own, strange) / ALIKE  # beside the prior; the smaller class decides
    found: Floats = np.array([1.0, 0.0], dtype=np.float64)
    for _ in range(_STEPS):  # Newton's method on a convex cost, in steps that cannot run away
        gradient, curvature = _slopes(at, share, found, trust)
        step = np.linalg.solve(curvature, gradient)
        step = step / max(1.0, float(np.abs(step).max()) / _LARGEST_STEP)
        found = (found - step).astype(np.float64)
        if float(np.abs(step).max()) < 1e-10:
            break
    scale, offset = float(found[0]), float(found[1])
    if not (SCALES[0] <= scale <= SCALES[1] and OFFSETS[0] <= offset <= OFFSETS[1]):
        raise ValueError(f"scale {scale:.2f} and offset {offset:.2f} are outside what a recalibration may do")
    before, after = (_cllr(at, share, constants) for constants in (np.array([1.0, 0.0]), found))
    return Correction(scale, offset, own, strange, before, after)


def cost(tally: Tally, by: Correction) -> float:
    """Cllr in bits of a tally's counts under a correction, of other decisions perhaps. Raises ValueError on an empty class."""
    if not (tally.own.sum() and tally.strange.sum()):
        raise ValueError("a class without a count")
    at = ((np.arange(_BINS) + 0.5) * BIN - LIMIT).astype(np.float64)
    share = tally.own / tally.own.sum(), tally.strange / tally.strange.sum()
    return _cllr(at, share, np.array([by.scale, by.offset]))


def _slopes(at: Floats, share: tuple[Floats, Floats], constants: Floats, trust: float) -> tuple[Floats, Floats]:
    basis = np.stack([at, np.ones_like(at)], axis=1)
    said = np.exp(-np.logaddexp(0.0, -(basis @ constants)))
    weight = trust * (share[0] + share[1])
    gradient = basis.T @ (trust * (share[0] * said - share[1] * (1.0 - said)))
    curvature = basis.T @ (basis * (weight * said * (1.0 - said))[:, None])
    prior = np.array([1.0 / PRIOR_SCALE**2, 1.0 / PRIOR_OFFSET**2])
    return gradient + prior * (constants - np.array([1.0, 0.0])), curvature + np.diag(prior)


def _cllr(at: Floats, share: tuple[Floats, Floats], constants: Floats) -> float:
    moved = constants[0] * at + constants[1]
    cost = share[0] @ np.logaddexp(0.0, moved) + share[1] @ np.logaddexp(0.0, -moved)
    return float(cost / (2.0 * np.log(2.0)))


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
