"""What is measured: the product's detectors as they are, and anything else that learns from one person's rows."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Sample, Template
from sidecar.scoring import CALIBRATED, DETECTORS
from sidecar.scoring.calibration import CALIBRATIONS, to_llr
from sidecar.scoring.contract import OneClassDetector
from sidecar.storage.arrays import pack_template


class Fitted(Protocol):
    """A person's template, ready to score."""

    def scores(self, probes: Floats) -> Floats:
        """Scores of m probes, shape (m, d); higher = more impostor-like."""
        ...

    def stored_bytes(self) -> int:
        """How much a template takes, before encryption and padding."""
        ...


class Model(Protocol):
    """Something that learns one person from rows of shape (n, d), oldest first.

    ``calibrated``: scores are log-likelihood ratios. ``cadence``: how many logins pass before it is trained
    anew in the settings that learn from each one; 1 unless training takes too long.
    """

    @property
    def name(self) -> str: ...
    @property
    def calibrated(self) -> bool: ...
    @property
    def cadence(self) -> int: ...
    @property
    def constants(self) -> str: ...

    def fit(self, rows: Floats, kinds: NDArray[np.uint8], seed: int) -> Fitted:
        """Learn from one person's rows."""
        ...


@dataclass(frozen=True, slots=True)
class ProductModel:
    """A detector of ``sidecar.scoring``: what a login runs. Calibrated ones are scored by their LLR."""

    detector: OneClassDetector
    calibrated: bool
    cadence: int = 1

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.detector.name

    @property
    def constants(self) -> str:
        """Where the constants come from."""
        if not self.calibrated:
            return "none fitted"
        return f"scale prior and calibration: {CALIBRATIONS['positions'].provenance}"

    def fit(self, rows: Floats, kinds: NDArray[np.uint8], seed: int) -> Fitted:  # noqa: ARG002 - nothing is drawn
        """See ``Model.fit``."""
        samples = [Sample(row, float(at)) for at, row in enumerate(rows)]
        return _ProductFitted(self.detector, self.detector.enroll(samples, kinds, "positions"), self.calibrated)


@dataclass(frozen=True, slots=True)
class _ProductFitted:
    detector: OneClassDetector
    template: Template
    calibrated: bool

    def scores(self, probes: Floats) -> Floats:
        distances = self.detector.distances(self.template, probes)
        if not self.calibrated:
            return distances
        counts = (np.isfinite(probes) & np.isfinite(self.template.center)).sum(axis=1)
        samples = self.template.samples
        pairs = zip(distances, counts, strict=True)
        return np.array(
            [to_llr(float(d), features=int(f), samples=samples, layout=self.template.layout) for d, f in pairs]
        )

    def stored_bytes(self) -> int:
        return len(pack_template(self.template))


def product_models() -> dict[str, Model]:
    """Every detector of the product by name."""
    return {name: ProductModel(detector, name in CALIBRATED) for name, detector in DETECTORS.items()}
