"""Whether typing tells this person from others at all: estimated error rates, and a warning where it does not.

Everything is estimated from scores that were really given: the person's own accepted logins, and other people's logins
scored against this profile where the installation has one shared text, or else the detector's usual scores of
strangers. A signal that carries nothing is muted for the person, never trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sidecar.domain.biometrics import Floats, Kind

FEWEST_OWN = 5
FEWEST_OTHERS = 20
WORST_OVERLAP = 0.35  # equal error rate from which typing is muted: two of three verdicts right is no evidence
COARSE_MS = 8.0  # smallest step between different timings from which the clock is called coarse
_Z = 1.96


class Concern(StrEnum):
    """What is wrong with a signal."""

    ALIKE = "alike"  # this person's scores and strangers' overlap
    CONSTANT = "constant"  # the same timings again and again
    COARSE_CLOCK = "coarse_clock"
    TOO_LITTLE = "too_little"  # nothing can be said yet


@dataclass(frozen=True, slots=True)
class Rate:
    """An estimated rate with its 95% interval (Wilson 1927)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Distinguishability:
    """False rejects and false accepts at one threshold, the rate where they meet, and what to warn of."""

    false_rejects: Rate | None
    false_accepts: Rate | None
    equal_error: float | None
    concerns: tuple[Concern, ...]

    @property
    def muted(self) -> bool:
        """Whether the signal must not count for this person."""
        return any(each is not Concern.TOO_LITTLE for each in self.concerns)


def distinguishability(
    own: Sequence[float],
    others: Sequence[float],
    *,
    threshold: float,
    samples: Sequence[Floats] = (),
    kinds: Floats | None = None,
) -> Distinguishability:
    """Estimate from scores (higher = more impostor-like), and look at the samples themselves.

    ``samples``: of shape (d,), ms; ``kinds``: (d,), needed with them. Raises ValueError on scores that are not finite.
    """
    mine, theirs = np.asarray(own, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if not (np.isfinite(mine).all() and np.isfinite(theirs).all()):
        raise ValueError("a score is not finite")
    found = _of_samples(samples, kinds)
    enough = mine.size >= FEWEST_OWN and theirs.size >= FEWEST_OTHERS
    meet = equal_error_rate(mine, theirs) if enough else None
    if meet is None:
        found.append(Concern.TOO_LITTLE)
    elif meet >= WORST_OVERLAP:
        found.append(Concern.ALIKE)
    return Distinguishability(
        rate(int((mine >= threshold).sum()), mine.size) if mine.size else None,
        rate(int((theirs < threshold).sum()), theirs.size) if theirs.size else None,
        meet,
        tuple(found),
    )


def rate(count: int, of: int) -> Rate:
    """A share with Wilson's interval. Raises ValueError unless 0 <= count <= of and of > 0."""
    if not 0 <= count <= of or of == 0:
        raise ValueError("a share needs 0 <= count <= of, of > 0")
    share = count / of
    middle = (share + _Z**2 / (2 * of)) / (1 + _Z**2 / of)
    half = _Z / (1 + _Z**2 / of) * float(np.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2)))
    return Rate(share, max(0.0, middle - half), min(1.0, middle + half))


def equal_error_rate(genuine: Floats, impostor: Floats) -> float:
    """Equal error rate of scores of shapes (g,) and (i,), by linear interpolation to miss = false alarm.

    As in Killourhy & Maxion's published evaluation: ROC points lie at the distinct scores (and above them all). Raises
    ValueError where either is empty or not finite.
    """
    for name, scores in (("genuine", genuine), ("impostor", impostor)):
        if scores.ndim != 1 or scores.size == 0 or not np.isfinite(scores).all():
            raise ValueError(f"{name} scores need shape (n,), n >= 1, all finite")
    thresholds = np.append(np.unique(np.concatenate([genuine, impostor])), np.inf)
    miss = np.searchsorted(np.sort(impostor), thresholds, side="left") / impostor.size
    alarm = 1.0 - np.searchsorted(np.sort(genuine), thresholds, side="left") / genuine.size
    difference = miss - alarm  # rises with the threshold, from -1 to 1
    right = int(np.argmax(difference >= 0))
    left = right - 1
    part = -difference[left] / (difference[right] - difference[left])
    return float(miss[left] + part * (miss[right] - miss[left]))


def _of_samples(samples: Sequence[Floats], kinds: Floats | None) -> list[Concern]:
    if len(samples) < FEWEST_OWN or kinds is None:
        return []
    rows = np.stack(samples)[:, np.asarray(kinds) <= Kind.DOWN_DOWN]
    rows = rows[:, np.isfinite(rows).any(axis=0)]  # the key that sends the form is released on the next page
    known = rows[np.isfinite(rows)]
    found = []
    spread = np.nanmax(rows, axis=0) - np.nanmin(rows, axis=0) if known.size else np.zeros(1)
    if known.size and float(np.nanmax(spread)) < 0.5:
        found.append(Concern.CONSTANT)
    steps = np.diff(np.unique(np.round(known, 1)))
    if steps.size and float(steps.min()) >= COARSE_MS:
        found.append(Concern.COARSE_CLOCK)
    return found
