"""How unusual an hour is for one person, by circular statistics on the person's own completed logins.

The times of day lie on a circle, so 23:50 and 00:10 are neighbours. Their density is a mean of von Mises kernels (N. I.
Fisher, Statistical Analysis of Circular Data, 1993, section 2.2); how rare a moment is among the person's own is a
conformal rank (Laxhammar and Falkman, Conformal prediction for distribution-independent anomaly detection, 2010): every
login, this one included, is measured against all others, so a login like the person's own is above 1 - a in at most a
share a of cases, whatever the person's habits are.
"""

from collections.abc import Sequence

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.domain.surroundings import PastLogin

DAY_SECONDS = 86_400.0
CONCENTRATION = 12.0  # of the von Mises kernel: a standard deviation of 1.1 hours
NEEDED = 10
NEWEST = 200


def usual_share(past: Sequence[PastLogin], now: float) -> float | None:
    """Return the share (0..1) of the person's own completed logins at more usual hours than this; near 1 is unusual.

    ``now``: epoch seconds. Times of day are UTC, which a person's habits only turn around the circle. None with fewer than
    ten completed logins; the newest 200 count.
    """
    times = sorted((login.at for login in past if login.completed and login.at <= now), reverse=True)[:NEWEST]
    if len(times) < NEEDED:
        return None
    density = _densities(np.array([now, *times]))
    return float((density[1:] > density[0] + 1e-12).sum() / len(density))


def _densities(times: Floats) -> Floats:
    """Return the kernel density at each time of day, from all others. Shape (n,) to (n,)."""
    angles = 2 * np.pi * (times % DAY_SECONDS) / DAY_SECONDS
    points = np.stack([np.cos(angles), np.sin(angles)])
    kernels = np.exp(CONCENTRATION * (points.T @ points - 1.0))  # the cosine of a difference, without a cosine a pair
    np.fill_diagonal(kernels, 0.0)
    found: Floats = kernels.sum(axis=1)
    return found
