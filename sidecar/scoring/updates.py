"""Which logins a profile may learn from, and how far it has moved since it was confirmed.

Pure rules; the caller keeps the counts. An update is worth more than any model (a profile that never learns is useless
after some weeks), and it is also how an impostor could wear a profile down; so a login that no second factor confirmed
must be *better* than what is accepted, only a few of them count a day, some confirmed samples stay for good (the
anchor), and a profile that has moved too far from its anchor learns confirmed logins alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sidecar.domain.biometrics import Floats, Template

QUANTILE = 0.9  # of a person's own scores, below which an unconfirmed login may be learned
PER_DAY = 5
FEWEST_SCORES = 10  # below this the quantile is unknown, and nothing unconfirmed is learned
FARTHEST = 2.0  # usual deviations between the centres of anchor and newest samples, mean over features; 5% of CMU's
# people are as far after 40 to 180 logins of their own, half of all other people are farther
FAR = 1.2  # from here on in one direction counts
FEWEST_COMPARED = 8
_STEADY = 0.7


class Learning(StrEnum):
    """Whether a login is learned, and if not, why."""

    LEARN = "learn"
    TOO_FAR = "too_far"  # accepted, but not near enough to learn from unconfirmed
    ENOUGH_TODAY = "enough_today"
    UNCONFIRMED = "unconfirmed"  # the profile is not ready, and no second factor confirmed
    MACHINE = "machine"  # typed as software types
    MOVED = "moved"  # the profile has moved far from its anchor; a second factor must confirm


@dataclass(frozen=True, slots=True)
class Movement:
    """How far a profile has moved from its anchor. ``deviations``: mean over features, in usual deviations.

    ``steady``: cosine between the movement up to now and the next step of it; near 1 is a pull in one direction.
    """

    deviations: float
    steady: float

    @property
    def alarming(self) -> bool:
        """Too far, or far and going on in the same direction."""
        return self.deviations > FARTHEST or (self.deviations > FAR and self.steady > _STEADY)


def learning(
    score: float, own: Sequence[float], *, confirmed: bool, learned_today: int, movement: Movement | None = None
) -> Learning:
    """Decide on one accepted login. ``own``: the person's earlier accepted scores (any scale, higher = farther).

    A confirmed login is always learned. Raises ValueError on a score that is not finite, or a negative count.
    """
    if not np.isfinite(score) or learned_today < 0:
        raise ValueError("a score is not finite, or a count is negative")
    if confirmed:
        return Learning.LEARN
    if movement is not None and movement.alarming:
        return Learning.MOVED
    if len(own) < FEWEST_SCORES or score > learn_below(own):
        return Learning.TOO_FAR
    return Learning.LEARN if learned_today < PER_DAY else Learning.ENOUGH_TODAY


def learn_below(own: Sequence[float], quantile: float = QUANTILE) -> float:
    """Score up to which an unconfirmed login may be learned: a quantile of the person's own accepted scores.

    Raises ValueError on none.
    """
    if not own:
        raise ValueError("no score to take a quantile of")
    return float(np.quantile(np.asarray(own, dtype=np.float64), quantile))


def movement(anchor: Template, before: Template, now: Template) -> Movement:
    """Compare three templates of one person and detector: the confirmed one, an earlier and the newest.

    Raises ValueError where they do not fit together.
    """
    if len({(each.detector, each.layout, each.center.shape) for each in (anchor, before, now)}) > 1:
        raise ValueError("templates of different detectors, layouts or lengths")
    until = _between(anchor, before)
    last = _between(before, now)
    whole = _between(anchor, now)
    size = float(np.linalg.norm(until) * np.linalg.norm(last))
    return Movement(float(np.abs(whole).mean()), float(until @ last / size) if size > 0 else 0.0)


def _between(one: Template, two: Template) -> Floats:
    return np.nan_to_num((two.center - one.center) / one.scale)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Whether scores have shifted: ``probability`` of a difference at least as large by chance (rank test)."""

    shifted: bool
    probability: float


def drifted(earlier: Sequence[float], recent: Sequence[float], *, level: float = 0.001) -> Alarm:
    """Compare recent accepted scores with earlier ones, of one person or of an installation.

    Mann and Whitney's rank test (1947) by its normal approximation, with the usual correction for ties. One-sided: an
    alarm says that scores rose. Raises ValueError where either has fewer than 8, or one is not finite.
    """
    one, two = np.asarray(recent, dtype=np.float64), np.asarray(earlier, dtype=np.float64)
    if min(one.size, two.size) < FEWEST_COMPARED or not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("too few scores to compare, or one that is not finite")
    above = (one[:, None] > two).sum() + 0.5 * (one[:, None] == two).sum()
    _, ties = np.unique(np.concatenate([one, two]), return_counts=True)
    count = one.size + two.size
    tied = float((ties**3 - ties).sum()) / (count * (count - 1))
    variance = one.size * two.size / 12.0 * (count + 1 - tied)
    if variance <= 0:
        return Alarm(False, 0.5)
    probability = 0.5 * math.erfc((above - one.size * two.size / 2.0 - 0.5) / math.sqrt(2.0 * variance))
    return Alarm(probability < level, probability)
