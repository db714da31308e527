"""``nearest-recent-2``: nearest recent samples beside what would be near anyway, the shipped scorer of fixed text.

``nearest-recent-1`` asks one question: how near is the probe to the newest samples? People differ in how near
*anybody* comes to them, so that one threshold serves them unequally. Here six parts, each bounded and 0 at its most
genuine, are added with fitted weights:

* ``nearest``: logarithm of the mean clipped, scaled deviation from the nearest of the 30 newest samples.
* ``pattern``: how usual it is among people to hold these keys in these proportions, whatever the length of a hold. Nearness
  to a person who holds keys unusually says more than nearness to one who types like everybody (the background term of a
  likelihood ratio). A login is as unusual as the person's own samples at most: software that holds keys at random gains nothing.
* ``typical``: how usual the length of the holds is. Keyboards and texts differ in it, so it weighs little.
* ``rhythm``: deviation after the mean deviation of each kind was taken off: a login that is slower as a whole counts
  less than one with another rhythm.
* ``flat``: how much rhythm the probe has at all. Whoever types evenly is near to every even template.
* ``pace``: whether the probe is faster or slower than few samples. People to whom a text is new get faster.

The distance is higher for impostors and never negative. Centre and recency are those of ``nearest-recent-1``, but for a
shorter half-life and a smaller weight of down-down. What is usual as a spread is in proportion to the timing itself, so that
neither the tempo nor the length of holds changes how near somebody is; pressure and size go to logarithms, so that their
units do not matter. Source: own design, chosen on CMU repetitions 1-200 and MEU repetitions 6-35 by halves of the people
(docs/evaluation.md says what was tried). The numbers in a template are rounded when it is made, so that a stored one
scores exactly as a fresh one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Contribution, Floats, Kind, Layout, Sample, Template
from sidecar.scoring import contract
from sidecar.scoring.fitted import CONSTANTS
from sidecar.scoring.form import Form

RECENT = 50  # samples that are kept: what a background (``cohort``) compares with
COMPARED = 30  # the newest of them, which alone count here
NEIGHBOURS = 5
CLIP = 3.5
HALF_LIFE = 15.0  # samples
PRIOR_SAMPLES = np.array([20.0, 20.0, 20.0, 4.0, 4.0])  # how many samples the common scale is worth, by kind
WEIGHT = np.array([1.0, 0.1, 1.0, 0.5, 0.5])  # by kind; down-down is the sum of the hold and up-down beside it
ALONE = 1.0  # weight of down-down where no up-down says the same
PART_NAMES = ("nearest", "pattern", "typical", "rhythm", "flat", "pace")
FEW = 30  # samples from which a template no longer belongs to somebody to whom the text is new

_FAR = 2.0 * CLIP
_MOST_USUAL = 2.0  # of ln(1 + z^2 / 3): 4.4 spreads from the middle of all people
_SOFT = 0.1  # below this, logarithms of deviations grow evenly
_SOFT_NEAREST = 0.3
_NEUTRAL = _MOST_USUAL - 0.25  # where no hold can be compared: about what people have on average
_MOST_FLAT = float(np.log1p(_FAR / _SOFT))
_BROAD = 2.0  # texts and keyboards differ in the length of holds about as much as people do
_MOST_PACE = 0.7  # of the logarithm of the tempo: twice as fast
_SLOWER = 0.4  # how much slower counts of what faster does
_FEWEST = 3
_SHORTEST = 0.05  # root of 2.5 ms: no spread is in proportion to less
_TEMPO = 0.44  # root of the usual down-down, where a text has none


class NearestRecent2:
    """Detector ``nearest-recent-2``; stateless. ``form``: its fitted constants, the shipped ones if left out."""

    name = "nearest-recent-2"

    def __init__(self, form: Form = CONSTANTS) -> None:
        self._form = form

    def enroll(self, samples: Sequence[Sample], kinds: NDArray[np.uint8], layout: Layout) -> Template:
        """See ``OneClassDetector.enroll``; 1 to 200 samples, of which the newest 50 are kept as they are."""
        rows = transform(contract.newest(samples, kinds), kinds)
        age = np.arange(rows.shape[0])[::-1]
        present = np.isfinite(rows)
        weights = np.where(present, np.exp2(-age / HALF_LIFE)[:, None], 0.0)
        center = _weighted_median(rows, weights)
        common = np.array(self._form.scale[layout])[kinds] * units(center, kinds)
        scale = _shrunk_scale(rows, weights, center, common, PRIOR_SAMPLES[kinds])
        recent = rows[-RECENT:].astype(np.float16).astype(np.float64)
        single = [array.astype(np.float32).astype(np.float64) for array in (center, scale)]
        return Template(self.name, layout, single[0], single[1], recent, kinds.copy(), rows.shape[0])

    def distance(self, template: Template, values: Floats) -> float:
        """See ``OneClassDetector.distance``."""
        return float(self.distances(template, values[None, :] if values.ndim == 1 else values)[0])

    def distances(self, template: Template, probes: Floats) -> Floats:
        """See ``OneClassDetector.distances``."""
        found: Floats = self.parts(template, probes) @ np.array(self._form.weights[template.layout])
        return found

    def parts(self, template: Template, probes: Floats) -> Floats:
        """The parts of m probes, shape (m, 6), in the order of ``PART_NAMES``; each 0 or more, and bounded."""
        compared = self._compared(template, probes)
        near = self._to_recent(template, compared)[0]
        near.sort(axis=1)
        near = near[:, : _neighbours(near.shape[1])]
        nearest = near.mean(axis=1)
        if not np.isfinite(nearest).all():  # samples without a common feature lie at infinity
            usable = np.isfinite(near)
            contract.refuse_incomparable(usable.sum(axis=1))
            nearest = np.where(usable, near, 0.0).sum(axis=1) / usable.sum(axis=1)
        columns, scale, share = compared.columns, template.scale, compared.share
        limit = CLIP * scale
        away = np.minimum(np.maximum(compared.away, -limit), limit)
        held = compared.center + away
        means = np.maximum(compared.present @ columns.indicator, 1.0) if compared.gaps else columns.count
        level = (away @ columns.indicator / means)[:, columns.kinds]
        tempo = ((held * compared.present) @ columns.indicator / means)[:, columns.kinds]
        rhythm = (np.minimum(np.abs(away - level) / scale, CLIP) * share).sum(axis=1)
        flat = (np.minimum(np.abs(held - tempo) / scale, _FAR) * share).sum(axis=1)
        found = np.empty((nearest.size, len(PART_NAMES)))
        found[:, 0] = np.log1p(nearest / _SOFT_NEAREST)
        found[:, 1:3] = self._usual(template.layout, held, compared)
        found[:, 3] = np.log1p(rhythm / _SOFT)
        found[:, 4] = _MOST_FLAT - np.log1p(flat / _SOFT)
        found[:, 5] = _pace(template.samples, compared)
        return found

    def contributions(self, template: Template, values: Floats, labels: Sequence[str]) -> tuple[Contribution, ...]:
        """See ``OneClassDetector.contributions``: shares of the part ``nearest``; deviations from the centre."""
        if len(labels) != template.center.size:
            raise ValueError(f"{len(labels)} labels for {template.center.size} features")
        compared = self._compared(template, values[None, :] if values.ndim == 1 else values)
        rows, shares = self._to_recent(template, compared)
        order = np.argsort(rows[0], kind="stable")[: _neighbours(rows.shape[1])]
        order = order[np.isfinite(rows[0][order])]
        contract.refuse_incomparable(np.array([float(order.size)]))
        share = shares[0, order].mean(axis=0)
        total = share.sum()
        share = share / total if total > 0 else share
        deviation = (compared.points[0] - template.center) / template.scale
        return tuple(
            Contribution(label, Kind(int(kind)), float(far), float(part))
            for label, kind, far, part in zip(labels, template.kinds, deviation, share, strict=True)
            if np.isfinite(far)
        )

    def _compared(self, template: Template, probes: Floats) -> "_Compared":
        contract.check_template(template, self.name)
        contract.check_probes(template, probes)
        columns = _columns_of(template.kinds.tobytes())
        points = transform(probes, template.kinds)
        away = points - template.center
        if np.isfinite(away).all():
            return _Compared(columns, points, template.center, away, np.ones_like(away), columns.share, False)
        present = np.isfinite(away)
        weight = columns.weight * present
        total = weight.sum(axis=1, keepdims=True)
        contract.refuse_incomparable(total)
        center = np.where(np.isfinite(template.center), template.center, 0.0)
        points = np.where(present, points, np.nan)
        away = np.where(present, away, 0.0)
        return _Compared(columns, points, center, away, present.astype(np.float64), weight / total, True)

    def _to_recent(self, template: Template, compared: "_Compared") -> tuple[Floats, Floats]:
        """Distance of m points to each recent sample, (m, k), and its parts by feature, (m, k, d)."""
        parts = np.abs(compared.points[:, None, :] - template.recent[-COMPARED:])
        parts /= template.scale
        np.minimum(parts, CLIP, out=parts)  # keeps NaN
        if not compared.gaps:
            parts *= compared.share
            rows = parts.sum(axis=2)
            if np.isfinite(rows).all():
                return rows, parts
            parts /= compared.share
        both = np.isfinite(parts)
        weights = np.where(both, compared.columns.weight, 0.0)
        total = weights.sum(axis=2)
        parts = np.where(both, parts, 0.0) * weights / np.where(total > 0, total, 1.0)[:, :, None]
        return np.where(total > 0, parts.sum(axis=2), np.inf), parts

    def _usual(self, layout: Layout, held: Floats, compared: "_Compared") -> Floats:
        """How usual the proportions of the holds and their length are, (m, 2): 0 where hardly anybody holds keys so, 2 where
        everybody does.
        """
        middle, spread, proportions = self._form.hold[layout]
        chosen = compared.columns.holds
        if not chosen.size:
            return np.full((held.shape[0], 2), _NEUTRAL)
        own = compared.center[chosen]
        there = np.vstack([compared.present[:, chosen], own > 0])
        count = there.sum(axis=1, keepdims=True)
        some = np.maximum(count, 1.0)
        length = np.log(np.maximum(np.vstack([held[:, chosen], own]), _SHORTEST))
        away = np.empty((2, *length.shape))
        away[0] = (length - (length * there).sum(axis=1, keepdims=True) / some) / proportions
        away[1] = (length - middle) / (_BROAD * spread)
        unusual = np.minimum(np.log1p(away * away / 3.0), _MOST_USUAL)
        mean = (unusual * there).sum(axis=2) / some[:, 0]
        mean[0] = np.minimum(mean[0], mean[0, -1])
        return np.where(count[:-1] > 0, _MOST_USUAL - mean[:, :-1].T, _NEUTRAL)


@dataclass(frozen=True, slots=True)
class _Columns:
    """What follows from the kinds alone. ``indicator``: (d, 5), 1 where column and kind belong together.

    ``weight``, ``share`` (which adds up to 1), ``kinds``: (d,). ``count``: columns by kind, at least 1. ``holds``:
    the columns that are holds. ``steps``: those that are down-downs.
    """

    indicator: Floats
    weight: Floats
    share: Floats
    kinds: NDArray[np.int64]
    count: Floats
    holds: NDArray[np.int64]
    steps: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Compared:
    """m probes beside a template, in its space. ``away`` is 0 and ``present`` is 0 where a feature is missing.

    ``points``: (m, d), NaN where missing; ``center``: (d,); ``away``, ``present``: (m, d); ``share``: (d,) or (m, d),
    weights that add up to 1; ``gaps``: whether anything is missing.
    """

    columns: _Columns
    points: Floats
    center: Floats
    away: Floats
    present: Floats
    share: Floats
    gaps: bool


@lru_cache(maxsize=256)
def _columns_of(raw: bytes) -> _Columns:
    kinds = np.frombuffer(raw, dtype=np.uint8).astype(np.int64)
    indicator = (kinds[:, None] == np.arange(len(Kind))).astype(np.float64)
    weight = WEIGHT[kinds]
    if not (kinds == Kind.UP_DOWN).any():
        weight = np.where(kinds == Kind.DOWN_DOWN, ALONE, weight)
    return _Columns(
        indicator=indicator,
        weight=weight,
        share=weight / weight.sum(),
        kinds=kinds,
        count=np.maximum(indicator.sum(axis=0), 1.0),
        holds=np.flatnonzero(kinds == Kind.HOLD),
        steps=np.flatnonzero(kinds == Kind.DOWN_DOWN),
    )


_UP_DOWN, _PRESSURE = int(Kind.UP_DOWN), int(Kind.PRESSURE)  # the members themselves are slow to look up
_LARGEST = 6e4  # what a half-precision number holds


def transform(values: Floats, kinds: NDArray[np.uint8]) -> Floats:
    """To the space of the template: shape (..., d) in ms (pressure, size: any unit) to (..., d); NaN stays NaN.

    Root of hold and down-down, inverse hyperbolic sine of up-down in units of 0.1 s, logarithm of pressure and size.
    What is not finite becomes NaN. Negative holds count as 0, pressures below 1e-6 as 1e-6.
    """
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, np.nan)
    seconds = values / 1000.0
    times = np.where(kinds == _UP_DOWN, np.arcsinh(seconds / 0.1), np.sqrt(np.maximum(seconds, 0.0)))
    touched = kinds >= _PRESSURE
    if touched.any():
        times = np.where(touched, np.log(np.maximum(values, 1e-6)), times)
    bounded: Floats = np.minimum(times, _LARGEST)
    return bounded


def units(center: Floats, kinds: NDArray[np.uint8]) -> Floats:
    """What a usual spread is in proportion to, (..., d) to (..., d), in the space of the template: the hold or down-down
    itself, the median down-down for up-down, 1 for pressure and size.
    """
    steps = np.where(kinds == Kind.DOWN_DOWN, center, np.nan)
    found = np.isfinite(steps)
    tempo = np.full(center.shape[:-1], _TEMPO)
    some = found.any(axis=-1)
    if some.all():
        tempo = np.nanmedian(steps, axis=-1)
    elif some.any():
        tempo[some] = np.nanmedian(steps[some], axis=-1)
    own = np.where(kinds == Kind.UP_DOWN, tempo[..., None], np.where(np.isfinite(center), center, _TEMPO))
    return np.where(kinds >= Kind.PRESSURE, 1.0, np.maximum(own, _SHORTEST))


def _pace(samples: int, compared: "_Compared") -> Floats:
    """How much slower a probe is than few samples, shape (m,): 0 where it is twice as fast, or where samples are many."""
    steps = compared.columns.steps
    few = math.log(FEW / max(samples, _FEWEST)) if samples < FEW else 0.0
    if few <= 0.0 or not steps.size:
        return np.zeros(compared.points.shape[0])
    there = compared.present[:, steps]
    usual = np.maximum((compared.center[steps] * there).sum(axis=1), _SHORTEST)
    typed = np.maximum(((compared.center[steps] + compared.away[:, steps]) * there).sum(axis=1), _SHORTEST)
    slower = 2.0 * np.log(typed / usual)
    slower = np.minimum(np.maximum(slower, -_MOST_PACE), _MOST_PACE)
    found: Floats = few * (_MOST_PACE + np.where(slower > 0, _SLOWER * slower, slower))
    return found


def _neighbours(rows: int) -> int:
    return min(NEIGHBOURS, -(-rows // 2))


def _weighted_median(rows: Floats, weights: Floats) -> Floats:
    """Lower weighted median of each column, (n, d) to (d,); a column of NaN gives NaN."""
    order = np.argsort(rows, axis=0, kind="stable")  # NaN goes last, and weighs nothing
    heaped = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    middle = np.argmax(heaped >= heaped[-1] / 2.0, axis=0)
    columns = np.arange(rows.shape[1])
    median: Floats = rows[order[middle, columns], columns]
    return median


def _shrunk_scale(rows: Floats, weights: Floats, center: Floats, common: Floats, worth: Floats) -> Floats:
    """Weighted mean absolute deviation, (d,), pulled to the common scale by the Kish effective sample size."""
    total = weights.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    away = np.where(weights > 0, np.abs(rows - center), 0.0)
    own = (weights * away).sum(axis=0) / safe
    effective = total**2 / np.where(total > 0, (weights**2).sum(axis=0), 1.0)
    shrunk: Floats = (effective * own + worth * common) / (effective + worth)
    return shrunk
