"""Signs that typing was made by software or typed before, apart from the question whose typing it is.

Pure functions over the timings of one field: ``hold``, shape (n,), and ``down_down``, shape (n,) or (n - 1,), in ms,
NaN where missing. They speak of one attempt at a time and never of a person's worth: a sign asks for a second factor,
nothing more. Thresholds were set on repetitions 1-200 of the CMU set (Killourhy & Maxion 2009) and hold for the MEU set
(touch) too; docs/evaluation.md has the shares of real people that are flagged, also where typing is slow, keys repeat
or stick. Slowness is no sign, and neither is a long hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sidecar.domain.biometrics import Floats

FEWEST = 4  # timings of a kind below which nothing is said
FEWEST_EVEN = 6  # below which their spread says nothing: with four, one login of twenty is that even by chance
REGULAR_HOLD = 0.04  # coefficient of variation; the least of 10,200 logins of 51 people is .046
REGULAR_STEP = 0.10  # least of the same logins .172; on a touch keyboard .097 of 2,856
EVEN_HOLD_MS, EVEN_STEP_MS = 3.5, 40.0  # standard deviations from which timings are not even, however long they are
FASTEST_STEP = 40.0  # ms, median of a login; the least of 10,200 is 101 on a hard text, expert text goes to 60
FEWEST_DISTINCT = 3  # different hold times, to 0.1 ms; the least of eleven that people had is 8
COPY_MS = 0.27  # mean deviation from an earlier attempt, by compared timing ...
LARGEST_COPY_MS = 5.5  # ... and at most; 0.1% of logins are that near to one of up to 200 earlier ones
TYPICAL = 0.11  # mean |ln(timing / usual timing)|; .05% of logins are nearer to what is usual; with .12 it was .18%
UNRELATED = 1.16  # ``_rhythm``; .25% of logins are below, and 52% of the uniform ones that scoring accepts. The
# correlation alone found 20% at the same price, with the longest step 33%.
AGAINST = -0.5  # correlation below which no addend helps: fast where others are slow; none of 10,200 logins is
FEWEST_RELATED = 8  # steps below which that says nothing
VARIED = 0.3  # standard deviation of ln(usual step) from which a text has a rhythm of its own


class Sign(StrEnum):
    """What is strange about an attempt."""

    TOO_REGULAR = "too_regular"  # all holds or all steps nearly alike
    QUANTISED = "quantised"  # hold times from a list of one or two values
    IMPOSSIBLE_SPEED = "impossible_speed"
    COPIED = "copied"  # nearly the same timings as an earlier attempt
    TOO_USUAL = "too_usual"  # nearer to what everybody does than anybody is
    UNRELATED = "unrelated"  # no step is hard, or other ones than the text's


@dataclass(frozen=True, slots=True)
class Usual:
    """What people usually do with one text that is known to be shared: medians by position, ms, shape (n,) and (s,)."""

    hold: Floats
    down_down: Floats


def machine_signs(hold: Floats, down_down: Floats) -> tuple[Sign, ...]:
    """Signs in the attempt itself, in the order of ``Sign``. Raises ValueError on other shapes than (n,)."""
    held, steps = _present(hold), _present(down_down)
    found = []
    if _even(held, REGULAR_HOLD, EVEN_HOLD_MS) or _even(steps, REGULAR_STEP, EVEN_STEP_MS):
        found.append(Sign.TOO_REGULAR)
    if held.size > FEWEST_DISTINCT and np.unique(np.round(held, 1)).size < FEWEST_DISTINCT:
        found.append(Sign.QUANTISED)
    if steps.size >= FEWEST and float(np.median(steps)) < FASTEST_STEP:
        found.append(Sign.IMPOSSIBLE_SPEED)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Nearest:
    """The earlier attempt that is most like this one. ``away``: mean deviation, ms. ``copied``: nearer than people are."""

    away: float
    copied: bool


def nearest(hold: Floats, down_down: Floats, earlier_hold: Floats, earlier_down_down: Floats) -> Nearest | None:
    """Compare with k earlier attempts, stored or merely seen: holds (k, n), down-downs (k, s). None where none can be.

    Jitter of up to about 5 ms a timing is seen through. The more attempts are remembered, the more often people repeat
    themselves by chance; 200 are what the threshold was set for. Raises ValueError on shapes that do not fit.
    """
    own = np.concatenate([hold, down_down])
    earlier = np.concatenate([earlier_hold, earlier_down_down], axis=1)
    if earlier.shape[1] != own.size:
        raise ValueError(f"earlier attempts of shape {earlier.shape} do not fit one of {own.size} timings")
    away = np.abs(earlier - own)
    known = np.isfinite(away)
    count = known.sum(axis=1)
    comparable = count >= FEWEST
    if not comparable.any():
        return None
    mean = np.where(known, away, 0.0).sum(axis=1) / np.maximum(count, 1)
    near = comparable & (mean <= np.minimum(COPY_MS * count, LARGEST_COPY_MS))
    return Nearest(float(mean[comparable].min()), bool(near.any()))


def copied(hold: Floats, down_down: Floats, earlier_hold: Floats, earlier_down_down: Floats) -> bool:
    """Tell whether the attempt nearly repeats an earlier one (``nearest``)."""
    found = nearest(hold, down_down, earlier_hold, earlier_down_down)
    return found is not None and found.copied


def shared_text_signs(hold: Floats, down_down: Floats, usual: Usual) -> tuple[Sign, ...]:
    """Signs against what is usual for a shared text: nearer to it than people are, or nothing like it.

    Raises ValueError where the shapes differ from those of ``usual``.
    """
    if (hold.shape, down_down.shape) != (usual.hold.shape, usual.down_down.shape):
        raise ValueError("the usual timings are of another text")
    found = []
    holds, steps = _logarithms(hold, usual.hold), _logarithms(down_down, usual.down_down)
    known = np.concatenate([holds[0] - holds[1], steps[0] - steps[1]])
    if known.size >= 2 * FEWEST and float(np.abs(known).mean()) < TYPICAL:
        found.append(Sign.TOO_USUAL)
    if steps[0].size >= FEWEST_RELATED and float(steps[1].std()) >= VARIED and _rhythm(*steps) < UNRELATED:
        found.append(Sign.UNRELATED)
    return tuple(found)


def usual_of(people: Sequence[tuple[Floats, Floats]]) -> Usual:
    """Medians over people's attempts at a shared text: holds (m, n) and down-downs (m, s) of each, every one as heavy.

    Only for people who agreed to be part of it. Raises ValueError on nobody, or on shapes that differ.
    """
    if not people:
        raise ValueError("nobody to learn the usual timings from")
    holds = np.stack([_medians(hold) for hold, _ in people])
    steps = np.stack([_medians(step) for _, step in people])
    return Usual(_medians(holds), _medians(steps))


def _medians(rows: Floats) -> Floats:
    """Median of each column without its gaps; a column of gaps gives NaN."""
    found = np.full(rows.shape[1], np.nan)
    some = np.isfinite(rows).any(axis=0)
    found[some] = np.nanmedian(rows[:, some], axis=0)
    return found


def _logarithms(timings: Floats, usual: Floats) -> tuple[Floats, Floats]:
    """Logarithms of both where both are there, of at least 1 ms."""
    known = np.isfinite(timings) & np.isfinite(usual)
    return np.log(np.maximum(timings[known], 1.0)), np.log(np.maximum(usual[known], 1.0))


def _rhythm(steps: Floats, usual: Floats) -> float:
    """How much of the text's rhythm logarithms of steps have, from -1 to any number; each addend is a way of having some.

    Steps that are hard for everybody are slow (correlation), one is much longer than most (up to 1), or all of it is far
    from what is usual: who types in another tempo need not have the same hard steps, who types in the usual one does.
    """
    along = _correlation(steps, usual)
    if along < AGAINST:
        return along
    longest = min(float(steps.max() - np.median(steps)), 1.0)
    return along + longest + float(np.abs(steps - usual).mean())


def _correlation(one: Floats, two: Floats) -> float:
    one, two = one - one.mean(), two - two.mean()
    size = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / size if size > 0 else 0.0


def _even(timings: Floats, least: float, beyond_ms: float) -> bool:
    """Whether a spread is below that share of the mean, and below so many ms: long or slow is not even."""
    if timings.size < FEWEST_EVEN:
        return False
    mean = float(timings.mean())
    return mean > 0 and float(timings.std()) < min(least * mean, beyond_ms)


def _present(timings: Floats) -> Floats:
    if timings.ndim != 1:
        raise ValueError(f"timings need shape (n,), not {timings.shape}")
    return timings[np.isfinite(timings)]
