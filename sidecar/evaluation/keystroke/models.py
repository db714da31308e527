"""What is measured: the product's detectors as they are, and anything else that learns from one person's rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Sample, Template
from sidecar.evaluation.keystroke import halves, known
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.scoring import DETECTORS
from sidecar.scoring.calibration import Circumstances, aged, llr_by
from sidecar.scoring.calibrations import CALIBRATIONS, Calibration
from sidecar.scoring.contract import OneClassDetector, mixes
from sidecar.scoring.nearest_recent import NearestRecent
from sidecar.scoring.nearest_recent_2 import NearestRecent2
from sidecar.scoring.scaled_manhattan import ScaledManhattan
from sidecar.scoring.trained import Trained
from sidecar.storage.arrays import pack_template

SLOW = 25  # logins between two trainings of scikit-learn's estimators, where each login is learned
LARGEST = 8_000_000  # numbers in one comparison of probes with samples


class Fitted(Protocol):
    """A person's template, ready to score."""

    def scores(self, probes: Floats) -> Floats:
        """Scores of m probes, shape (m, d); higher = more impostor-like."""
        ...

    def aged(self, scores: Floats, sittings: int, ages: Floats) -> Floats:
        """Scores, (m,), of attempts so many sittings after the newest sample, (m,); samples of so many sittings."""
        ...

    def stored_bytes(self) -> int:
        """How much a template takes, before encryption and padding."""
        ...


class Model(Protocol):
    """Something that learns one person from rows of shape (n, d), oldest first.

    ``calibrated``: scores are log-likelihood ratios. ``cadence``: how many logins pass before it is trained
    anew in the settings that learn from each one; 1 unless training takes too long. ``touch``: it knows pressure and
    size as what they are, and is given their kinds.
    """

    @property
    def name(self) -> str: ...
    @property
    def calibrated(self) -> bool: ...
    @property
    def cadence(self) -> int: ...
    @property
    def touch(self) -> bool: ...
    @property
    def constants(self) -> str: ...

    def unseen(self, data: KeystrokeSet, user: int) -> "Model":
        """The model with constants that never saw this user, where there are such; else the model as it is."""
        ...

    def saw(self, data: KeystrokeSet, user: int) -> bool:
        """Whether the constants with which this user is scored were fitted on this very person."""
        ...

    def fit(self, rows: Floats, kinds: NDArray[np.uint8], seed: int) -> Fitted:
        """Learn from one person's rows."""
        ...


def scored(score: Callable[[Floats], Floats], probes: Floats) -> Floats:
    """Scores of m probes, (m, d); NaN for each that cannot be compared: it has no timing that the template knows."""
    try:
        found = score(probes)
    except ValueError:  # one of them; which, only trying each tells
        if len(probes) == 1:
            return np.array([np.nan])
        found = np.concatenate([scored(score, probe[None, :]) for probe in probes])
    return np.where(np.isfinite(found), found, np.nan)


def parted(probes: Floats, rows: int) -> list[Floats]:
    """Probes, (m, d), in parts whose comparison with so many rows fits into memory; a long text is not compared at once."""
    parts = -(-probes.size * max(rows, 1) // LARGEST)
    return np.array_split(probes, parts) if parts > 1 else [probes]


def seen(model: Model, data: KeystrokeSet, user: int) -> tuple[list[Floats], NDArray[np.uint8]]:
    """Everybody's values and their kinds, as this model of this user sees them."""
    if model.touch:
        return [person.values for person in data.people], data.touch_kinds
    return data.view(user), data.kinds


@dataclass(frozen=True, slots=True)
class ProductModel:
    """A detector of ``sidecar.scoring``: what a login runs. Calibrated ones are scored by their LLR."""

    detector: OneClassDetector
    calibration: Calibration | None
    cadence: int = 1

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.detector.name

    @property
    def calibrated(self) -> bool:
        """Whether scores are log-likelihood ratios."""
        return self.calibration is not None

    @property
    def touch(self) -> bool:
        """Whether it knows pressure and size; the first two detectors know times only."""
        return self.name not in (NearestRecent.name, ScaledManhattan.name)

    @property
    def constants(self) -> str:
        """Where the constants come from."""
        if self.calibration is None:
            return "none fitted"
        return f"scale prior and calibration: {self.calibration.provenance}"

    def unseen(self, data: KeystrokeSet, user: int) -> Model:
        """See ``Model.unseen``; of the second scorer there are constants from halves of the sets it was fitted on."""
        person = known.recognised(data)[user]
        half = halves.of_the_others(*person) if person and self.name == NearestRecent2.name else None
        if half is None:
            return self
        return ProductModel(NearestRecent2(half.form), half.calibrations["positions"], self.cadence)

    def saw(self, data: KeystrokeSet, user: int) -> bool:
        """See ``Model.saw``. Touch sets gave spreads of pressure and size alone."""
        fitted = self.calibration is not None and self.unseen(data, user) is self
        person = known.recognised(data)[user] if fitted else None
        return person is not None and (person[0] != known.TOUCH or (self.touch and bool(data.extra.any())))

    def fit(self, rows: Floats, kinds: NDArray[np.uint8], seed: int) -> Fitted:  # noqa: ARG002 - nothing is drawn
        """See ``Model.fit``."""
        samples = [Sample(row, float(at)) for at, row in enumerate(rows)]
        return _ProductFitted(self.detector, self.detector.enroll(samples, kinds, "positions"), self.calibration)


@dataclass(frozen=True, slots=True)
class _ProductFitted:
    detector: OneClassDetector
    template: Template
    calibration: Calibration | None

    def scores(self, probes: Floats) -> Floats:
        parts = parted(probes, len(self.template.recent))
        distances = np.concatenate([self.detector.distances(self.template, part) for part in parts])
        if self.calibration is None:
            return distances
        template = self.template
        there = np.isfinite(probes) & np.isfinite(template.center)
        found = [
            llr_by(self.calibration, float(distance), features=int(count), samples=template.samples, mix=mix)
            for distance, count, mix in zip(
                distances, there.sum(axis=1), mixes(template.kinds, template.layout, there), strict=True
            )
        ]
        return np.array(found)

    def aged(self, scores: Floats, sittings: int, ages: Floats) -> Floats:
        constants, samples = self.calibration, self.template.samples
        if constants is None:
            return scores
        found = [
            aged(constants, float(score), samples=samples, when=Circumstances(sittings, float(age)))
            if np.isfinite(score)
            else np.nan
            for score, age in zip(scores, ages, strict=True)
        ]
        return np.array(found)

    def stored_bytes(self) -> int:
        return len(pack_template(self.template))


def product_models() -> dict[str, Model]:
    """Every detector of the product by name."""
    found: dict[str, Model] = {}
    for name, detector in DETECTORS.items():
        found[name] = ProductModel(
            detector, CALIBRATIONS.get(name, {}).get("positions"), SLOW if isinstance(detector, Trained) else 1
        )
    return found
