"""The fitted numbers of ``nearest-recent-2``, as one value, so that folds can be scored with numbers of their own."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.domain.biometrics import Layout

Five = tuple[float, float, float, float, float]
Four = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Form:
    """``scale``: usual mean absolute deviation by kind, in the detector's space. ``hold``: middle and spread of
    people's usual holds there. ``weights``: of the parts, in the order of ``PART_NAMES``, none negative.
    """

    scale: Mapping[Layout, Five]
    hold: Mapping[Layout, tuple[float, float]]
    weights: Mapping[Layout, Four]
    provenance: str
