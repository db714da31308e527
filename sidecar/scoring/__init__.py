"""Scoring typing against a person's template. ``DETECTORS`` is the one list of detectors; names are
forever.
"""

from types import MappingProxyType

from sidecar.scoring.autoencoder import Autoencoder
from sidecar.scoring.calibrations import CALIBRATIONS
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.gaussian_mixture import GaussianMixture
from sidecar.scoring.isolation_forest import IsolationForest
from sidecar.scoring.ledoit_wolf import LedoitWolf
from sidecar.scoring.local_outlier import LocalOutlierFactor
from sidecar.scoring.nearest_recent import NearestRecent
from sidecar.scoring.nearest_recent_2 import NearestRecent2
from sidecar.scoring.one_class_svm import OneClassSvm
from sidecar.scoring.scaled_manhattan import ScaledManhattan

SHIPPED = NearestRecent2.name

_ALL: tuple[OneClassDetector, ...] = (
    NearestRecent2(),
    NearestRecent(),
    ScaledManhattan(),
    OneClassSvm(),
    IsolationForest(),
    LocalOutlierFactor(),
    GaussianMixture(),
    LedoitWolf(),
    Autoencoder(),
)
DETECTORS: MappingProxyType[str, OneClassDetector] = MappingProxyType({each.name: each for each in _ALL})
CALIBRATED = tuple(name for name in DETECTORS if name in CALIBRATIONS)  # those that a login can be decided with
