"""``nearest-recent-1``: robust recency-weighted nearest neighbours, the first scorer of fixed text.

Samples go to a space where spreads are comparable (root of hold and down-down, inverse hyperbolic sine of
up-down, in seconds). The template keeps a recency-weighted median, a scale shrunk towards what people have in
common, and the 30 newest samples. The distance is the mean over the nearest of them of a weighted mean of
clipped, scaled deviations.

Source: own design after the project's study of the CMU set (section 11), checked there on reps 1-200 only.
Two things differ from it: down-down weighs 0.2, because it is the sum of the hold and up-down that stand next
to it, and at most 5 (not 10) neighbours count. Templates of reps 1-100 tested on 101-200 had an EER of .045
instead of .054, and with 10 samples 4 to 8 of 100 practised impostors more were found. This name stays for
good: later scorers compare with it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Contribution, Floats, Kind, Layout, Sample, Template
from sidecar.scoring import contract

RECENT = 30
NEIGHBOURS = 5
CLIP = 3.0
HALF_LIFE = 25.0  # samples
PRIOR_SAMPLES = 20.0  # how many samples the common scale is worth

# Common scale per kind (hold, down-down, up-down) in the transformed space: mean over 51 CMU subjects,
# features and windows of 30 within reps 1-200 of the mean absolute deviation from the median (python -m
# sidecar.evaluation.fit_calibration --data cmu, part "scales").
SCALE_PRIOR: dict[Layout, tuple[float, float, float]] = {
    "positions": (0.0165, 0.0516, 0.2355),
    "summary": (0.0096, 0.0370, 0.1733),
}
WEIGHT: dict[Layout, tuple[float, float, float]] = {
    "positions": (1.0, 0.2, 1.0),
    "summary": (1.0, 0.2, 1.0),
}


class NearestRecent:
    """Detector ``nearest-recent-1``; stateless. Distances lie in 0..3."""

    name = "nearest-recent-1"

    def enroll(self, samples: Sequence[Sample], kinds: NDArray[np.uint8], layout: Layout) -> Template:
        """See ``OneClassDetector.enroll``; any 1 to 200 samples, of which the newest 30 are kept as they
        are.
        """
        if kinds.size and kinds.max() in (Kind.PRESSURE, Kind.SIZE):
            raise ValueError(f"{self.name} knows neither pressure nor size")
        rows = transform(contract.newest(samples, kinds), kinds)
        age = np.arange(rows.shape[0])[::-1]
        weights = np.where(np.isfinite(rows), np.exp2(-age / HALF_LIFE)[:, None], 0.0)
        center = _weighted_median(rows, weights)
        scale = _shrunk_scale(rows, weights, center, np.array(SCALE_PRIOR[layout])[kinds])
        return Template(self.name, layout, center, scale, rows[-RECENT:].copy(), kinds.copy(), rows.shape[0])

    def distance(self, template: Template, values: Floats) -> float:
        """See ``OneClassDetector.distance``."""
        return float(self.distances(template, values[None, :] if values.ndim == 1 else values)[0])

    def distances(self, template: Template, probes: Floats) -> Floats:
        """See ``OneClassDetector.distances``."""
        rows, _ = self._to_recent(template, probes)
        nearest = np.sort(rows, axis=1)[:, : _neighbours(rows.shape[1])]
        usable = np.isfinite(nearest)  # samples without a common feature lie at infinity
        contract.refuse_incomparable(usable.sum(axis=1))
        means: Floats = np.where(usable, nearest, 0.0).sum(axis=1) / usable.sum(axis=1)
        return means

    def contributions(self, template: Template, values: Floats, labels: Sequence[str]) -> tuple[Contribution, ...]:
        """See ``OneClassDetector.contributions``; deviations are from the weighted median."""
        if len(labels) != template.center.size:
            raise ValueError(f"{len(labels)} labels for {template.center.size} features")
        rows, parts = self._to_recent(template, values[None, :] if values.ndim == 1 else values)
        order = np.argsort(rows[0], kind="stable")[: _neighbours(rows.shape[1])]
        order = order[np.isfinite(rows[0][order])]
        contract.refuse_incomparable(np.array([float(order.size)]))
        share = parts[0, order].mean(axis=0)
        total = share.sum()
        share = share / total if total > 0 else share
        point = transform(contract.finite_or_nan(values), template.kinds)
        deviation = (point - template.center) / template.scale
        return tuple(
            Contribution(label, Kind(int(kind)), float(away), float(part))
            for label, kind, away, part in zip(labels, template.kinds, deviation, share, strict=True)
            if np.isfinite(away)
        )

    def _to_recent(self, template: Template, probes: Floats) -> tuple[Floats, Floats]:
        """Distance of m probes to each recent sample, (m, k), and its parts by feature, (m, k, d)."""
        contract.check_template(template, self.name)
        contract.check_probes(template, probes)
        points = transform(contract.finite_or_nan(probes), template.kinds)
        gaps = np.abs(points[:, None, :] - template.recent[None, :, :]) / template.scale
        present = np.isfinite(gaps)
        weight = np.where(present, np.array(WEIGHT[template.layout])[template.kinds], 0.0)
        total = weight.sum(axis=2)
        parts = np.where(present, np.minimum(gaps, CLIP), 0.0) * weight
        parts /= np.where(total > 0, total, 1.0)[:, :, None]
        return np.where(total > 0, parts.sum(axis=2), np.inf), parts


def transform(values: Floats, kinds: NDArray[np.uint8]) -> Floats:
    """To the space of the template: shape (..., d) in ms to (..., d); NaN stays NaN. Negative hold counts
    as 0.
    """
    seconds = values / 1000.0
    return np.where(kinds == Kind.UP_DOWN, np.arcsinh(seconds / 0.1), np.sqrt(np.maximum(seconds, 0.0)))


def _neighbours(rows: int) -> int:
    return min(NEIGHBOURS, -(-rows // 2))


def _weighted_median(rows: Floats, weights: Floats) -> Floats:
    """Lower weighted median of each column, (n, d) to (d,); a column of NaN gives NaN."""
    order = np.argsort(rows, axis=0, kind="stable")  # NaN goes last, and weighs nothing
    heaped = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    middle = np.argmax(heaped >= heaped[-1] / 2.0, axis=0)
    median: Floats = np.take_along_axis(rows, order, axis=0)[middle, np.arange(rows.shape[1])]
    return median


def _shrunk_scale(rows: Floats, weights: Floats, center: Floats, prior: Floats) -> Floats:
    """Weighted mean absolute deviation, (d,), pulled to the common scale by the Kish effective sample
    size.
    """
    total = weights.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    away = np.where(np.isfinite(rows), np.abs(rows - center), 0.0)
    own = (weights * away).sum(axis=0) / safe
    effective = total**2 / np.where(total > 0, (weights**2).sum(axis=0), 1.0)
    shrunk: Floats = (effective * own + PRIOR_SAMPLES * prior) / (effective + PRIOR_SAMPLES)
    return shrunk
