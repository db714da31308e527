"""Scoring typing against a person's template. ``DETECTORS`` is the one list of detectors; names are
forever.
"""

from types import MappingProxyType

from sidecar.scoring.calibrations import CALIBRATIONS
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.nearest_recent import NearestRecent
from sidecar.scoring.nearest_recent_2 import NearestRecent2
from sidecar.scoring.scaled_manhattan import ScaledManhattan

SHIPPED = NearestRecent2.name

_ALL: tuple[OneClassDetector, ...] = (NearestRecent2(), NearestRecent(), ScaledManhattan())
DETECTORS: MappingProxyType[str, OneClassDetector] = MappingProxyType({each.name: each for each in _ALL})
CALIBRATED = tuple(name for name in DETECTORS if name in CALIBRATIONS)  # detectors whose distances ``calibration`` can turn into an LLR
