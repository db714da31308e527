"""What the detectors have in common that scikit-learn trains: the space, few samples, and scoring from plain arrays.

A subclass trains an estimator on standardised rows, takes the numbers out of it, and scores with numpy alone; nothing
of scikit-learn is stored or needed at a login. Rows are the person's newest 50 samples in the space of
``nearest-recent-2``, less their median, by their shrunk mean absolute deviation, cut at 10. A missing timing counts as
the median. Columns are put in the order of their medians, so that the order of the features does not matter to
estimators that draw; every seed is fixed.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Contribution, Floats, Kind, Layout, Parts, Sample, Template
from sidecar.scoring import contract
from sidecar.scoring.nearest_recent_2 import transform

NEWEST = 50  # every model of the project's study gained from a window, and 50 was the one it used
FEWEST = 12  # rows an estimator gets at least; the rest are usual deviations in fixed patterns
LARGEST = 10.0
PRIOR_SAMPLES = 20.0  # how many samples the usual deviation is worth
# Usual mean absolute deviation by kind, which the calibrations of these detectors were fitted with: CMU repetitions 1-200,
# of pressure and size MEU repetitions 6-35.
USUAL: dict[Layout, tuple[float, ...]] = {
    "positions": (0.0165, 0.0516, 0.2355, 0.3614, 0.149),
    "summary": (0.0096, 0.037, 0.1733, 0.3614, 0.149),
}
SEED = 0
_JITTER = 0.05  # of a usual deviation, in fixed patterns: constant samples must not divide by nothing


class Trained(ABC):
    """Base of the trained detectors; stateless, like every detector."""

    name: ClassVar[str]

    @abstractmethod
    def train(self, rows: Floats) -> Parts:
        """Numbers of an estimator trained on standardised rows, (n, d) with n >= 12."""

    @abstractmethod
    def score(self, parts: Parts, rows: Floats) -> Floats:
        """Distances of standardised rows, (m, d), shape (m,); finite, never negative, higher = less like the person."""

    def enroll(self, samples: Sequence[Sample], kinds: NDArray[np.uint8], layout: Layout) -> Template:
        """See ``OneClassDetector.enroll``; up to 200 samples count, of which the newest 50 train the estimator."""
        every = transform(contract.newest(samples, kinds), kinds)
        rows = every[-NEWEST:]
        seen = np.isfinite(rows).any(axis=0)
        center = np.full(kinds.size, np.nan)
        center[seen] = np.nanmedian(rows[:, seen], axis=0)
        count = np.isfinite(rows).sum(axis=0)
        away = np.where(np.isfinite(rows), np.abs(rows - center), 0.0).sum(axis=0)
        common = np.array(USUAL[layout])[kinds]
        scale = (away + PRIOR_SAMPLES * common) / (count + PRIOR_SAMPLES)
        center, scale = (part.astype(np.float32).astype(np.float64) for part in (center, scale))
        parts = self.train(_filled_up(_standardised(rows, center, scale)))
        none = np.empty((0, kinds.size), dtype=np.float64)
        return Template(self.name, layout, center, scale, none, kinds.copy(), every.shape[0], parts)

    def distance(self, template: Template, values: Floats) -> float:
        """See ``OneClassDetector.distance``."""
        return float(self.distances(template, values[None, :] if values.ndim == 1 else values)[0])

    def distances(self, template: Template, probes: Floats) -> Floats:
        """See ``OneClassDetector.distances``."""
        return self.score(template.parts, self._rows(template, probes))

    def contributions(self, template: Template, values: Floats, labels: Sequence[str]) -> tuple[Contribution, ...]:
        """See ``OneClassDetector.contributions``: how much nearer the probe would be with a feature at its median."""
        if len(labels) != template.center.size:
            raise ValueError(f"{len(labels)} labels for {template.center.size} features")
        row = self._rows(template, values[None, :] if values.ndim == 1 else values)[0]
        without = np.tile(row, (row.size, 1))
        np.fill_diagonal(without, 0.0)
        gain = np.maximum(self.score(template.parts, row[None, :])[0] - self.score(template.parts, without), 0.0)
        gain[row == 0.0] = 0.0
        share = np.empty(row.size)
        share[_order(template.center)] = gain / gain.sum() if gain.sum() > 0 else gain
        away = (transform(values, template.kinds) - template.center) / template.scale
        return tuple(
            Contribution(label, Kind(int(kind)), float(far), float(part))
            for label, kind, far, part in zip(labels, template.kinds, away, share, strict=True)
            if np.isfinite(far)
        )

    def _rows(self, template: Template, probes: Floats) -> Floats:
        contract.check_template(template, self.name)
        contract.check_probes(template, probes)
        points = transform(probes, template.kinds)
        contract.refuse_incomparable((np.isfinite(points) & np.isfinite(template.center)).sum(axis=1))
        return _standardised(points, template.center, template.scale)


def patterns(rows: int, columns: int) -> Floats:
    """Rows of +1 and -1 that differ from each other in half of the columns (Walsh functions): fixed, not drawn."""
    both = np.arange(1, rows + 1)[:, None] & np.arange(1, columns + 1)
    parity = np.zeros_like(both)
    while both.any():
        parity ^= both & 1
        both = both >> 1
    return 1.0 - 2.0 * parity


def _standardised(points: Floats, center: Floats, scale: Floats) -> Floats:
    away = (points - center) / scale
    away = np.where(np.isfinite(away), np.minimum(np.maximum(away, -LARGEST), LARGEST), 0.0)
    found: Floats = away[:, _order(center)]
    return found


def _order(center: Floats) -> NDArray[np.int64]:
    return np.argsort(center, kind="stable")


def _filled_up(rows: Floats) -> Floats:
    moved = rows + _JITTER * patterns(rows.shape[0], rows.shape[1])
    lacking = FEWEST - rows.shape[0]
    return np.concatenate([moved, patterns(lacking, rows.shape[1])]) if lacking > 0 else moved
