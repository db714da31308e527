"""Signs that a machine typed: a rhythm without spread, or an entry that was seen before."""

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind

FEWEST_INTERVALS = 5
FEWEST_SHARED = 8


def timing_spread(values: Floats, kinds: NDArray[np.uint8]) -> float | None:
    """Return the median absolute deviation of the down-down times over their median; None below five of them.

    ``values``, ``kinds``: shape (d,), as in ``Probe``. A script that waits the same time after each key is at 0; the
    figure says nothing about one that draws its waits from a distribution.
    """
    intervals = values[(kinds == Kind.DOWN_DOWN) & np.isfinite(values)]
    if intervals.size < FEWEST_INTERVALS:
        return None
    middle = float(np.median(intervals))
    if middle <= 0.0:
        return None
    return float(np.median(np.abs(intervals - middle))) / middle


def nearest_entry(values: Floats, earlier: Floats) -> float | None:
    """Return the mean absolute difference (ms) to the most similar earlier entry; None where none can be compared.

    ``values``: shape (d,), ms; ``earlier``: shape (k, d), ms, of the same field and layout. Entries that share fewer than
    eight timings with this one are left out.
    """
    if earlier.ndim != 2 or earlier.shape[0] == 0 or earlier.shape[1] != values.shape[0]:
        return None
    apart = np.abs(earlier - values)
    known = np.isfinite(apart)
    enough = known.sum(axis=1) >= FEWEST_SHARED
    if not enough.any():
        return None
    sums = np.where(known, apart, 0.0).sum(axis=1)
    return float((sums[enough] / known.sum(axis=1)[enough]).min())
