"""Scores put right by an installation's own decisions: one straight line, fitted to what its people really scored.

Genuine scores are those of logins that succeeded; strangers' are those that strangers usually have, as nobody knows the
installation's own. Every person weighs the same. The line is drawn towards "as shipped" by a prior of so many people, is
kept within bounds, and counts only where it helps people it was not fitted to. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.scoring.calibration import LIMIT

BINS = 121  # of genuine scores from -6 to 6, each .1 wide
FEWEST_PEOPLE = 20
FEWEST_SCORES = 5  # of a person
PRIOR_PEOPLE = 20.0
SLOPES = (0.5, 1.5)
LARGEST_SHIFT = 1.0
BETTER = 0.005  # bits of Cllr that it must help, in either half of the people
_CENTERS = np.linspace(-LIMIT, LIMIT, BINS)
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Recalibration:
    """LLR = slope * raw + shift, within the limits of any LLR. ``people``: how many it was fitted to; ``at``: when."""

    slope: float = 1.0
    shift: float = 0.0
    people: int = 0
    at: float = 0.0

    def llr(self, raw: float) -> float:
        """Return what a raw LLR is worth here."""
        return min(max(self.slope * raw + self.shift, -LIMIT), LIMIT)

    def raw(self, llr: float) -> float:
        """Return the raw LLR at which a threshold lies."""
        return (llr - self.shift) / self.slope


AS_SHIPPED = Recalibration()


@dataclass(frozen=True, slots=True)
class Fitted:
    """The outcome of a fit. ``chosen``: None where there are too few people, or where it does not help. ``before``,
    ``after``: Cllr (bits) of people it was not fitted to, halves crosswise; None with too few people.
    """

    chosen: Recalibration | None
    people: int
    before: float | None
    after: float | None


def counted(scores: Floats) -> Floats | None:
    """Return a person's scores as shares of the bins, (121,), sum 1; None where there are too few."""
    known = scores[np.isfinite(scores)]
    if known.size < FEWEST_SCORES:
        return None
    places = np.clip(np.rint((known + LIMIT) / (2 * LIMIT) * (BINS - 1)), 0, BINS - 1).astype(int)
    return np.bincount(places, minlength=BINS) / known.size


def fitted(halves: Sequence[Floats], people: Sequence[int], strangers: Floats, at: float) -> Fitted:
    """Fit to two halves of the people, each the sum of their shares, (121,). Raises ValueError on other shapes."""
    if len(halves) != 2 or len(people) != 2 or any(half.shape != (BINS,) for half in halves):
        raise ValueError("two halves of people, each counted in 121 bins")
    total = int(sum(people))
    if total < FEWEST_PEOPLE or min(people) < FEWEST_PEOPLE // 4 or not strangers.size:
        return Fitted(None, total, None, None)
    lines = [_line(half, count, strangers) for half, count in zip(halves, people, strict=True)]
    pairs = [(halves[1 - i], lines[i]) for i in range(2)]
    before = [_cllr(half, strangers, (1.0, 0.0)) for half, _ in pairs]
    after = [_cllr(half, strangers, line) for half, line in pairs]
    slope, shift = _line(halves[0] + halves[1], total, strangers)
    helps = all(one - two >= BETTER for one, two in zip(before, after, strict=True))
    chosen = Recalibration(slope, shift, total, at) if helps else None
    return Fitted(chosen, total, float(np.mean(before)), float(np.mean(after)))


def _line(genuine: Floats, people: int, strangers: Floats) -> tuple[float, float]:
    """Return slope and shift by Newton's method: logistic regression, both kinds of scores as heavy, prior towards (1, 0)."""
    values = np.concatenate([_CENTERS, strangers])
    labels = np.concatenate([np.zeros(BINS), np.ones(strangers.size)])
    heft = np.concatenate([genuine / genuine.sum(), np.full(strangers.size, 1.0 / strangers.size)]) * people
    rows = np.stack([values, np.ones_like(values)], axis=1)
    prior, now = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    pull = PRIOR_PEOPLE * np.diag([1.0, 0.25])
    for _ in range(_ROUNDS):
        guess = 1.0 / (1.0 + np.exp(-np.clip(rows @ now, -30, 30)))
        slope = rows.T @ (heft * (labels - guess)) - pull @ (now - prior)
        curve = (rows * (heft * guess * (1.0 - guess))[:, None]).T @ rows + pull
        step = np.linalg.solve(curve, slope)
        now = now + step
        if float(np.abs(step).max()) < 1e-9:
            break
    return (
        float(np.clip(now[0], *SLOPES)),
        float(np.clip(now[1], -LARGEST_SHIFT, LARGEST_SHIFT)),
    )


def _cllr(genuine: Floats, strangers: Floats, line: tuple[float, float]) -> float:
    """Return the cost of LLRs (Bruemmer & du Preez 2006) in bits; positive speaks for an impostor."""
    own = line[0] * _CENTERS + line[1]
    theirs = line[0] * strangers + line[1]
    miss = float((genuine / genuine.sum()) @ np.logaddexp(0.0, own))
    false = float(np.logaddexp(0.0, -theirs).mean())
    return (miss + false) / (2.0 * math.log(2.0))
