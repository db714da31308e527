"""The fitted numbers of ``nearest-recent-2``, as one value, so that folds can be scored with numbers of their own."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.domain.biometrics import Layout

Five = tuple[float, float, float, float, float]
Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Form:
    """``scale``: usual mean absolute deviation by kind, in the detector's space, as a share of its ``units``. ``hold``:
    logarithms there, middle and spread of people's usual holds, and spread of one person's keys about their mean.
    ``weights``: of the parts, in the order of ``PART_NAMES``, none negative.
    """

    scale: Mapping[Layout, Five]
    hold: Mapping[Layout, tuple[float, float, float]]
    weights: Mapping[Layout, Six]
    provenance: str
