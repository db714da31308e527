"""The documented feature vector of a typed field: every timing by position, and what they add up to.

Pure functions of ``hold``, shape (..., n), and ``down_down``, shape (..., n) or (..., n - 1), in ms with NaN where a
timing is missing; leading axes are repetitions, and every row is treated alone. ``catalogue`` names each number, its
unit and its source, in the order in which ``vector`` gives them.

``quantum`` is the step of the clock in ms (16.7 in Firefox with resistFingerprinting). A timing from such a clock is off
by up to one step either way. So nothing here divides by a single short timing: ratios are of sums and medians, overlap
counts from a whole step on, and a pause is far longer than any step. What cannot be computed is NaN, never 0.

What is used where: the scorers compare ``hold``, ``down-down`` and ``up-down``, which determine the n-graphs; adding
those or the summaries did not help (docs/evaluation.md has the figures).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats

PAUSE_RATIO = 3.0  # times the median step ...
PAUSE_MS = 200.0  # ... and so much longer than it, from which a step is a pause
FEWEST = 3  # timings below which a summary of them is not given
_LEAST = 1e-6  # ms; what is shorter is no time at all


class Group(StrEnum):
    """What a number tells of."""

    HOLD = "hold"
    DOWN_DOWN = "down-down"
    UP_DOWN = "up-down"
    DIGRAPH = "digraph"
    TRIGRAPH = "trigraph"
    SPEED = "speed"
    CADENCE = "cadence"
    PAUSE = "pause"
    ROLLOVER = "rollover"


@dataclass(frozen=True, slots=True)
class Feature:
    """One number of the vector. ``source``: where the definition comes from."""

    name: str
    unit: str
    group: Group
    source: str


_KM = "Killourhy & Maxion 2009"
_GUNETTI = "Gunetti & Picardi 2005 (n-graph durations, press of the first to release of the last key)"
_BERGADANO = "Bergadano et al. 2002 (trigraph latencies)"
_PVI = "Grabe & Low 2002 (normalised pairwise variability index), on steps instead of vowels"
_TEH = "after Teh, Teoh & Yue 2013 (survey)"
_OWN = "own definition"

SUMMARIES: tuple[Feature, ...] = (
    Feature("duration", "ms", Group.SPEED, _TEH),  # first press to last press
    Feature("keys per second", "1/s", Group.SPEED, _TEH),
    Feature("median step", "ms", Group.SPEED, _TEH),
    Feature("median hold", "ms", Group.SPEED, _TEH),
    Feature("hold share", "ratio", Group.CADENCE, _OWN),  # sum of holds by sum of steps
    Feature("hold variation", "ratio", Group.CADENCE, _OWN),  # mean absolute deviation by mean
    Feature("step variation", "ratio", Group.CADENCE, _OWN),
    Feature("pairwise variability", "ratio", Group.CADENCE, _PVI),
    Feature("alternation", "ratio", Group.CADENCE, _OWN),  # lag-1 correlation of steps
    Feature("hold follows step", "ratio", Group.CADENCE, _OWN),  # correlation of a hold with the step out of it
    Feature("pauses", "count", Group.PAUSE, _OWN),
    Feature("pause share", "ratio", Group.PAUSE, _OWN),  # of the duration
    Feature("longest step", "ratio", Group.PAUSE, _OWN),  # by the median step
    Feature("rollover share", "ratio", Group.ROLLOVER, "Dhakal et al. 2018"),  # of steps
    Feature("mean overlap", "ms", Group.ROLLOVER, "Dhakal et al. 2018"),  # where keys overlap; 0 where none does
)


def catalogue(keys: int, steps: int) -> tuple[Feature, ...]:
    """Every number of the vector of a text of so many keys and steps, in order. Raises ValueError where they do not fit."""
    _check(keys, steps)
    found = [Feature(f"hold {i}", "ms", Group.HOLD, _KM) for i in range(1, keys + 1)]
    found += [Feature(f"down-down {_pair(i, keys)}", "ms", Group.DOWN_DOWN, _KM) for i in range(1, steps + 1)]
    found += [Feature(f"up-down {_pair(i, keys)}", "ms", Group.UP_DOWN, _KM) for i in range(1, steps + 1)]
    found += [Feature(f"digraph {i}-{i + 1}", "ms", Group.DIGRAPH, _GUNETTI) for i in range(1, keys)]
    found += [Feature(f"trigraph {i}-{i + 2}", "ms", Group.TRIGRAPH, _GUNETTI) for i in range(1, keys - 1)]
    found += [
        Feature(f"trigraph step {i}-{_end(i + 2, keys)}", "ms", Group.TRIGRAPH, _BERGADANO) for i in range(1, steps)
    ]
    return (*found, *SUMMARIES)


def vector(hold: Floats, down_down: Floats, *, quantum: float = 0.0) -> Floats:
    """The whole vector, shape (..., len(catalogue)). Raises ValueError on shapes that do not fit, or a negative quantum."""
    hold, step = _finite(hold), _finite(down_down)
    keys, steps = hold.shape[-1], step.shape[-1]
    _check(keys, steps)
    between = step[..., : keys - 1]
    gap = step - hold[..., :steps]
    digraph = between + hold[..., 1:]
    trigraph = between[..., :-1] + between[..., 1:] + hold[..., 2:]
    pairs = step[..., :-1] + step[..., 1:]
    parts = (hold, step, gap, digraph, trigraph, pairs, summaries(hold, step, quantum=quantum))
    return np.concatenate(parts, axis=-1)


def summaries(hold: Floats, down_down: Floats, *, quantum: float = 0.0) -> Floats:
    """The summaries alone, shape (..., 15), in the order of ``SUMMARIES``; see ``vector``."""
    if not (np.isfinite(quantum) and quantum >= 0):
        raise ValueError("the clock's step must be 0 or more")
    hold, step = _finite(hold), _finite(down_down)
    _check(hold.shape[-1], step.shape[-1])
    paired = hold[..., : step.shape[-1]]
    some_holds, some_steps = _enough(hold), _enough(step)
    duration = np.where(np.isfinite(step).all(axis=-1), step.sum(axis=-1), np.nan)
    mean_step, median_step = _mean(step), _median(step)
    both = np.isfinite(step) & np.isfinite(paired)
    count = both.sum(axis=-1)
    overlap = np.where(both, paired - step, 0.0)
    rolled = both & (overlap > quantum + _LEAST)
    paused = step > np.maximum(PAUSE_RATIO * median_step, median_step + PAUSE_MS)[..., None]
    total = np.where(np.isfinite(step), step, 0.0).sum(axis=-1)
    found = (
        duration,
        1000.0 / _positive(mean_step),
        np.where(some_steps, median_step, np.nan),
        np.where(some_holds, _median(hold), np.nan),
        np.where(both, paired, 0.0).sum(axis=-1) / _positive(np.where(both, step, 0.0).sum(axis=-1)),
        np.where(some_holds, _variation(hold), np.nan),
        np.where(some_steps, _variation(step), np.nan),
        _pairwise(step),
        _correlation(step[..., :-1], step[..., 1:]),
        _correlation(paired, step),
        np.where(some_steps, paused.sum(axis=-1).astype(np.float64), np.nan),
        np.where(some_steps, np.where(paused, step, 0.0).sum(axis=-1) / _positive(total), np.nan),
        np.where(some_steps, _largest(step) / _positive(median_step), np.nan),
        np.where(count > 0, rolled.sum(axis=-1) / np.maximum(count, 1), np.nan),
        np.where(count > 0, np.where(rolled, overlap, 0.0).sum(axis=-1) / np.maximum(rolled.sum(axis=-1), 1), np.nan),
    )
    return np.stack(found, axis=-1)


def _check(keys: int, steps: int) -> None:
    if keys < 1 or keys - steps not in (0, 1):
        raise ValueError(f"{keys} holds and {steps} steps are not of one text")


def _pair(i: int, keys: int) -> str:
    return f"{i}-{_end(i + 1, keys)}"


def _end(i: int, keys: int) -> str:
    return str(i) if i <= keys else "enter"


def _finite(timings: Floats) -> Floats:
    return np.where(np.isfinite(timings), timings, np.nan).astype(np.float64)


def _positive(values: Floats) -> Floats:
    return np.where(values > _LEAST, values, np.nan)


def _enough(timings: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isfinite(timings).sum(axis=-1) >= FEWEST
    return found


def _mean(timings: Floats) -> Floats:
    known = np.isfinite(timings)
    count = known.sum(axis=-1)
    mean: Floats = np.where(known, timings, 0.0).sum(axis=-1) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan).astype(np.float64)


def _median(timings: Floats) -> Floats:
    """Median along the last axis without gaps; a row of gaps gives NaN, without numpy's warning."""
    ordered = np.sort(timings, axis=-1)  # NaN goes last
    count = np.isfinite(timings).sum(axis=-1)
    if timings.shape[-1] == 0:
        return np.full(timings.shape[:-1], np.nan)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, timings.shape[-1] - 1)
    middle = [np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0] for place in (low, high)]
    found: Floats = np.where(count > 0, (middle[0] + middle[1]) / 2.0, np.nan)
    return found


def _largest(timings: Floats) -> Floats:
    if timings.shape[-1] == 0:
        return np.full(timings.shape[:-1], np.nan)
    found = np.where(np.isfinite(timings), timings, -np.inf).max(axis=-1)
    return np.where(np.isfinite(found), found, np.nan)


def _variation(timings: Floats) -> Floats:
    mean = _mean(timings)
    spread: Floats = _mean(np.abs(timings - mean[..., None])) / _positive(mean)
    return spread


def _pairwise(step: Floats) -> Floats:
    """Sum of the differences of neighbouring steps by the sum of their means: no single short step can blow it up."""
    one, two = step[..., :-1], step[..., 1:]
    known = np.isfinite(one) & np.isfinite(two)
    apart = np.where(known, np.abs(one - two), 0.0).sum(axis=-1)
    whole = np.where(known, (one + two) / 2.0, 0.0).sum(axis=-1)
    return np.where(known.sum(axis=-1) >= FEWEST - 1, apart / _positive(whole), np.nan)


def _correlation(one: Floats, two: Floats) -> Floats:
    known = np.isfinite(one) & np.isfinite(two)
    one, two = np.where(known, one, np.nan), np.where(known, two, np.nan)
    left = np.where(known, one - _mean(one)[..., None], 0.0)
    right = np.where(known, two - _mean(two)[..., None], 0.0)
    size = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    flat = size <= 1e-9 * np.maximum(known.sum(axis=-1), 1)
    enough = known.sum(axis=-1) > FEWEST
    return np.where(enough & ~flat, np.clip((left * right).sum(axis=-1) / np.where(flat, 1.0, size), -1.0, 1.0), np.nan)
