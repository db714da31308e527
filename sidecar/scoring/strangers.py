"""How strangers usually score, for where an installation has no other people to compare with: 40 quantiles by detector.

CMU DSL-StrongPassword, repetitions 1-200 only: templates of 20, 30 and 50 samples (repetitions 1-20, 61-90, 101-150) of each of
51 people, tried by the other 50 with their repetitions 1, 5 and 200; log-likelihood ratios of the shipped calibration, 22,950
of them. Of one text and one keyboard: an estimate of the order of false accepts, not a promise.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from sidecar.domain.biometrics import Floats

_NEAREST_2 = (
    -1.98, -0.89, -0.26, 0.18, 0.54, 0.85, 1.13, 1.39, 1.61, 1.84, 2.05, 2.24, 2.43, 2.61, 2.77, 2.94, 3.09, 3.24, 3.39, 3.54,
    3.68, 3.81, 3.94, 4.06, 4.17, 4.28, 4.4, 4.51, 4.6, 4.71, 4.81, 4.9, 5.0, 5.1, 5.18, 5.28, 5.36, 5.45, 5.55, 5.67,
)  # fmt: skip

STRANGERS: Mapping[str, Floats] = MappingProxyType({"nearest-recent-2": np.array(_NEAREST_2)})
NOBODY = np.empty(0)


def usual_strangers(detector: str) -> Floats:
    """Return how strangers usually score by this detector; empty where that was not measured."""
    return STRANGERS.get(detector, NOBODY)
