"""How strangers usually score, for where an installation has no other people to compare with: 40 quantiles by detector.

CMU DSL-StrongPassword, repetitions 1-200 only: templates of 20, 30 and 50 samples (repetitions 1-20, 61-90, 101-150) of each of
51 people, tried by the other 50 with their repetitions 1, 5 and 200; log-likelihood ratios of the shipped calibration, 22,950
of them. Of one text and one keyboard: an estimate of the order of false accepts, not a promise. Printed, and compared, by
`python -m sidecar.evaluation.usual --data CMU`, for every detector that has a calibration.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from sidecar.domain.biometrics import Floats

QUANTILES = (np.arange(40) + 0.5) / 40

# fmt: off
_TABLE: Mapping[str, tuple[float, ...]] = {
    "nearest-recent-2": (
        -2.37, -1.27, -0.69, -0.25, 0.09, 0.42, 0.69, 0.95, 1.17, 1.39, 1.59, 1.78, 1.96, 2.14, 2.31, 2.48, 2.64, 2.79, 2.95, 3.09,
        3.25, 3.39, 3.54, 3.66, 3.79, 3.92, 4.05, 4.17, 4.3, 4.42, 4.53, 4.65, 4.76, 4.87, 4.99, 5.11, 5.22, 5.33, 5.47, 5.62,
    ),
    "nearest-recent-1": (
        -1.98, -1.06, -0.54, -0.1, 0.25, 0.56, 0.84, 1.1, 1.33, 1.56, 1.78, 1.99, 2.2, 2.4, 2.6, 2.79, 2.97, 3.14, 3.32,
        3.5, 3.66, 3.82, 3.97, 4.12, 4.26, 4.41, 4.54, 4.66, 4.78, 4.9, 5.02, 5.12, 5.23, 5.33, 5.42, 5.51, 5.6, 5.68,
        5.76, 5.85,
    ),
    "one-class-svm-1": (
        -1.89, -1.47, -1.2, -0.97, -0.78, -0.59, -0.4, -0.23, -0.07, 0.07, 0.23, 0.39, 0.54, 0.69, 0.84, 1.0, 1.16, 1.32,
        1.48, 1.65, 1.82, 1.99, 2.18, 2.38, 2.58, 2.77, 2.98, 3.21, 3.45, 3.7, 3.95, 4.21, 4.47, 4.73, 4.95, 5.19, 5.38,
        5.56, 5.72, 5.85,
    ),
    "isolation-forest-1": (
        -2.27, -1.72, -1.4, -1.18, -0.99, -0.83, -0.68, -0.54, -0.41, -0.29, -0.16, -0.05, 0.07, 0.17, 0.28, 0.39, 0.5,
        0.61, 0.72, 0.85, 0.97, 1.09, 1.22, 1.35, 1.5, 1.65, 1.8, 1.96, 2.13, 2.3, 2.48, 2.68, 2.89, 3.1, 3.32, 3.53, 3.75,
        4.01, 4.31, 4.73,
    ),
    "local-outlier-factor-1": (
        -1.86, -1.54, -1.3, -1.1, -0.91, -0.75, -0.6, -0.46, -0.32, -0.18, -0.05, 0.08, 0.21, 0.33, 0.47, 0.61, 0.73, 0.87,
        1.0, 1.14, 1.29, 1.42, 1.58, 1.73, 1.88, 2.05, 2.22, 2.41, 2.59, 2.79, 3.0, 3.22, 3.46, 3.69, 3.97, 4.25, 4.58,
        4.89, 5.21, 5.61,
    ),
    "gaussian-mixture-1": (
        -2.01, -1.61, -1.38, -1.2, -1.05, -0.91, -0.79, -0.67, -0.54, -0.42, -0.31, -0.19, -0.08, 0.04, 0.15, 0.27, 0.39,
        0.51, 0.63, 0.76, 0.9, 1.04, 1.18, 1.33, 1.49, 1.66, 1.84, 2.02, 2.23, 2.46, 2.68, 2.92, 3.17, 3.47, 3.76, 4.09,
        4.45, 4.8, 5.16, 5.56,
    ),
    "ledoit-wolf-1": (
        -2.09, -1.69, -1.42, -1.22, -1.03, -0.88, -0.72, -0.58, -0.44, -0.31, -0.18, -0.04, 0.08, 0.21, 0.34, 0.47, 0.6,
        0.74, 0.89, 1.03, 1.17, 1.32, 1.47, 1.62, 1.79, 1.97, 2.14, 2.33, 2.52, 2.75, 2.96, 3.19, 3.44, 3.71, 3.99, 4.28,
        4.55, 4.88, 5.23, 5.58,
    ),
    "autoencoder-1": (
        -1.85, -1.54, -1.32, -1.14, -0.98, -0.83, -0.68, -0.53, -0.4, -0.25, -0.11, 0.04, 0.18, 0.33, 0.49, 0.65, 0.82,
        0.98, 1.16, 1.35, 1.55, 1.74, 1.95, 2.19, 2.44, 2.7, 2.97, 3.28, 3.58, 3.92, 4.25, 4.58, 4.89, 5.17, 5.4, 5.59,
        5.73, 5.85, 5.92, 5.97,
    ),
}
# fmt: on

STRANGERS: Mapping[str, Floats] = MappingProxyType({name: np.array(values) for name, values in _TABLE.items()})
NOBODY = np.empty(0)


def usual_strangers(detector: str) -> Floats:
    """Return how strangers usually score by this detector; empty where that was not measured."""
    return STRANGERS.get(detector, NOBODY)
