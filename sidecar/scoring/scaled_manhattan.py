"""``scaled-manhattan``: the field's yardstick (Araujo et al. 2004; best of Killourhy & Maxion 2009, .0962
there).

Absolute deviations from the mean, each divided by the feature's mean absolute deviation, on untransformed
times. Here their mean, not their sum, so that a missing feature does not bring a probe closer; the order is
the same.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Contribution, Floats, Kind, Layout, Sample, Template
from sidecar.scoring import contract

SMALLEST_SCALE = 0.1  # ms: one tick of the wire, so that constant timings divide by something


class ScaledManhattan:
    """Detector ``scaled-manhattan``; stateless. Distances have no upper bound."""

    name = "scaled-manhattan"

    def enroll(self, samples: Sequence[Sample], kinds: NDArray[np.uint8], layout: Layout) -> Template:
        """See ``OneClassDetector.enroll``; all samples weigh the same, none is kept."""
        rows = contract.newest(samples, kinds)
        present = np.isfinite(rows)
        count = present.sum(axis=0)
        some = np.maximum(count, 1)
        mean = np.where(present, rows, 0.0).sum(axis=0) / some
        scale = np.where(present, np.abs(rows - mean), 0.0).sum(axis=0) / some
        center = np.where(count > 0, mean, np.nan)
        recent = np.empty((0, kinds.size), dtype=np.float64)
        return Template(
            self.name, layout, center, np.maximum(scale, SMALLEST_SCALE), recent, kinds.copy(), rows.shape[0]
        )

    def distance(self, template: Template, values: Floats) -> float:
        """See ``OneClassDetector.distance``."""
        return float(self.distances(template, values[None, :] if values.ndim == 1 else values)[0])

    def distances(self, template: Template, probes: Floats) -> Floats:
        """See ``OneClassDetector.distances``."""
        gaps = np.abs(self._deviations(template, probes))
        present = np.isfinite(gaps)
        count = present.sum(axis=1)
        contract.refuse_incomparable(count)
        means: Floats = np.where(present, gaps, 0.0).sum(axis=1) / count
        return means

    def contributions(self, template: Template, values: Floats, labels: Sequence[str]) -> tuple[Contribution, ...]:
        """See ``OneClassDetector.contributions``."""
        if len(labels) != template.center.size:
            raise ValueError(f"{len(labels)} labels for {template.center.size} features")
        deviation = self._deviations(template, values[None, :] if values.ndim == 1 else values)[0]
        present = np.isfinite(deviation)
        contract.refuse_incomparable(np.array([float(present.sum())]))
        total = np.abs(deviation[present]).sum() or 1.0
        return tuple(
            Contribution(label, Kind(int(kind)), float(away), float(abs(away) / total))
            for label, kind, away in zip(labels, template.kinds, deviation, strict=True)
            if np.isfinite(away)
        )

    def _deviations(self, template: Template, probes: Floats) -> Floats:
        contract.check_template(template, self.name)
        contract.check_probes(template, probes)
        return (contract.finite_or_nan(probes) - template.center) / template.scale
