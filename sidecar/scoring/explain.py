"""Why a login scored as it did, in the field's terms, and what would have made it pass: checked by scoring again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.domain.biometrics import Floats, Template
from sidecar.scoring.contract import OneClassDetector


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Few features, by label, that would have had to be as usual for the distance to fall below the limit.

    None of them could be left out; that no other set is smaller is not said. ``distance``: what scoring gave with them
    replaced. Not for the person who logs in: it would teach an impostor.
    """

    labels: tuple[str, ...]
    distance: float


def counterfactual(
    detector: OneClassDetector,
    template: Template,
    values: Floats,
    labels: Sequence[str],
    *,
    usual: Floats,
    below: float,
    most: int | None = None,
) -> Counterfactual | None:
    """Find what would have passed: features are made usual one by one, each time the one that helps most, and those that
    turn out not to be needed go back.

    ``values``, ``usual``: shape (d,), ms; ``usual`` is what the person does (``median_of`` their samples), ``below`` the
    limit, ``most`` how many may be changed. Every step is a real score of the detector. None where the login passes as it
    is, or not even with all of them. Raises ValueError on shapes that do not fit.
    """
    if values.shape != usual.shape or len(labels) != values.size:
        raise ValueError("values, usual timings and labels need the same length")
    now = values.astype(np.float64)
    distance = detector.distance(template, now)
    if distance < below:
        return None
    changed: list[int] = []
    left = [i for i in range(values.size) if np.isfinite(usual[i]) and np.isfinite(values[i])]
    while left and distance >= below and (most is None or len(changed) < most):
        tried = np.tile(now, (len(left), 1))
        tried[np.arange(len(left)), left] = usual[left]
        distances = detector.distances(template, tried)
        best = int(np.argmin(distances))
        changed.append(left.pop(best))
        now, distance = tried[best], float(distances[best])
    for place in list(changed) if distance < below else ():
        without = now.copy()
        without[place] = values[place]
        if detector.distance(template, without) < below:
            now = without
            changed.remove(place)
    confirmed = detector.distance(template, now)
    return Counterfactual(tuple(labels[i] for i in sorted(changed)), confirmed) if confirmed < below else None


def median_of(samples: Sequence[Floats]) -> Floats:
    """What a person usually does: the median of samples of shape (d,), NaN where none has a value. Raises ValueError."""
    rows = np.stack(samples) if samples else np.empty((0, 0))
    if rows.size == 0:
        raise ValueError("no sample")
    found = np.full(rows.shape[1], np.nan)
    some = np.isfinite(rows).any(axis=0)
    found[some] = np.nanmedian(rows[:, some], axis=0)
    return found
