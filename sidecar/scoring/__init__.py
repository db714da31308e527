"""Scoring typing against a person's template. ``DETECTORS`` is the one list of detectors; names are
forever.
"""

from types import MappingProxyType

from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.nearest_recent import NearestRecent
from sidecar.scoring.scaled_manhattan import ScaledManhattan

SHIPPED = NearestRecent.name

_ALL: tuple[OneClassDetector, ...] = (NearestRecent(), ScaledManhattan())
DETECTORS: MappingProxyType[str, OneClassDetector] = MappingProxyType({each.name: each for each in _ALL})
CALIBRATED = (NearestRecent.name,)  # detectors whose distances ``calibration`` can turn into an LLR
