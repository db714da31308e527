"""Fit what a template of few samples from one sitting is worth later: ``Calibration.aging`` of ``nearest-recent-2``.

``python -m sidecar.evaluation.fit_aging --data CMU --touch MEU --json OUT``; a minute. From CMU repetitions 1-200:
templates of 3 to 20 samples of one sitting, the first of all or the last of a sitting, and own attempts 0 to 3 sittings
later; strangers' repetitions 1, 3, 5, 160, 180 and 200. From MEU: the first samples of everybody, own later attempts,
strangers' first five, once with and once without pressure and size. Subjects are scored with constants of the other
half; a half is fitted on the CMU and MEU people of that half alone, and impostors of MEU are of the same half.
Every kind of template (first ones, later ones, MEU with and without pressure) weighs the same, and so do the classes.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]

from sidecar.domain.biometrics import Floats, Sample
from sidecar.evaluation import metrics
from sidecar.evaluation.keystroke import halves
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.sets import Extra, KeystrokeSet
from sidecar.scoring.calibration import ENOUGH_SAMPLES, LIMIT, llr_by
from sidecar.scoring.contract import mixes
from sidecar.scoring.nearest_recent_2 import NearestRecent2

SAMPLES = (3, 5, 10, 20)
FITTED = 200
SITTING = 50
LATER_ENDS = (50, 100, 150)
STRANGE = [0, 2, 4, 159, 179, 199]
START = (-0.3, 0.05)


@dataclass(frozen=True, slots=True)
class Trial:
    """One template at one age: LLRs without aging. ``kind``: which of the four kinds of template."""

    kind: str
    user: int
    samples: int
    age: int
    genuine: Floats
    impostor: Floats


def trials(cmu: KeystrokeSet, touch: KeystrokeSet) -> list[Trial]:
    """All trials of both sets."""
    with_touch = np.ones(touch.kinds.size, dtype=np.bool_)
    return [
        *_of_cmu(cmu),
        *_of_touch(touch, with_touch, "touch"),
        *_of_touch(touch, touch.extra == Extra.NONE, "touch, times alone"),
    ]


def fit(chosen: list[Trial]) -> tuple[float, float, float]:
    """Shift by age and loss by age that give the least Cllr, loss not negative; on the same day nothing is shifted, so that the
    threshold stays what it was chosen for.
    """
    count = Counter((each.kind, each.samples, each.age) for each in chosen)
    sizes = Counter(kind for kind, _, _ in count)
    heft = [1.0 / (sizes[each.kind] * count[each.kind, each.samples, each.age]) for each in chosen]

    def cost(constants: Floats) -> float:
        total = 0.0
        for each, weight in zip(chosen, heft, strict=True):
            own, strange = (moved(np.array([0.0, *constants]), each, part) for part in (each.genuine, each.impostor))
            total += weight * float(np.logaddexp(0.0, own).mean() + np.logaddexp(0.0, -strange).mean())
        return total

    options = {"maxiter": 150, "xatol": 0.005, "fatol": 1e-5}
    late, loss = minimize(cost, np.array(START), method="Nelder-Mead", options=options).x
    return 0.0, round(float(late), 3), round(max(float(loss), 0.0), 3)


def moved(constants: Floats, trial: Trial, llrs: Floats) -> Floats:
    """``calibration.aged`` of a trial's LLRs, all of one sitting."""
    few = max(0.0, float(np.log(ENOUGH_SAMPLES / trial.samples)))
    late = float(np.log1p(trial.age))
    shift, shift_late, loss = constants
    found: Floats = np.clip(
        llrs * np.exp(-max(loss, 0.0) * late * few) + (shift + shift_late * late) * few, -LIMIT, LIMIT
    )
    return found


def fitted(chosen: list[Trial]) -> dict[str, object]:
    """Constants of everybody and of each half, and how each half's do on the other, before and after."""
    of = {"even": [t for t in chosen if t.user % 2 == 0], "odd": [t for t in chosen if t.user % 2 == 1]}
    found = {"all": fit(chosen), **{name: fit(part) for name, part in of.items()}}
    constants = {0: np.array(found["odd"]), 1: np.array(found["even"])}
    quality: dict[str, dict[str, list[float]]] = {}
    for kind, samples in dict.fromkeys((trial.kind, trial.samples) for trial in chosen):
        part = [trial for trial in chosen if (trial.kind, trial.samples) == (kind, samples)]
        after = [_moved(constants[trial.user % 2], trial) for trial in part]
        quality[f"{kind}, {samples}"] = {"before": _quality(part), "after": _quality(after)}
    return {**found, "Cllr and ECE out of half": quality}


def _moved(constants: Floats, trial: Trial) -> Trial:
    own, strange = (moved(constants, trial, part) for part in (trial.genuine, trial.impostor))
    return replace(trial, genuine=own, impostor=strange)


def _quality(chosen: list[Trial]) -> list[float]:
    genuine = np.concatenate([trial.genuine for trial in chosen])
    impostor = np.concatenate([trial.impostor for trial in chosen])
    return [metrics.cllr(genuine, impostor), metrics.expected_calibration_error(genuine, impostor)]


def _of_cmu(data: KeystrokeSet) -> Iterator[Trial]:
    values = [person.values[:FITTED] for person in data.people]
    for user, own in enumerate(values):
        strange = np.concatenate([each[STRANGE] for other, each in enumerate(values) if other != user])
        for samples in SAMPLES:
            for end in (samples, *LATER_ENDS):
                scorer = _Scorer.of(data, user, own[end - samples : end], data.touch_kinds)
                impostor = scorer.llrs(strange)
                sitting = (end - 1) // SITTING
                for day in range(sitting, FITTED // SITTING):
                    first, last = max(end, day * SITTING), (day + 1) * SITTING
                    if first < last:
                        kind = "first samples" if end == samples else "later samples"
                        yield Trial(kind, user, samples, day - sitting, scorer.llrs(own[first:last]), impostor)


def _of_touch(data: KeystrokeSet, columns: NDArray[np.bool_], kind: str) -> Iterator[Trial]:
    values = [person.values[:, columns] for person in data.people]
    for user, own in enumerate(values):
        alike = [each[:5] for other, each in enumerate(values) if other != user and other % 2 == user % 2]
        for samples in SAMPLES:
            scorer = _Scorer.of(data, user, own[:samples], data.touch_kinds[columns])
            yield Trial(kind, user, samples, 0, scorer.llrs(own[samples:]), scorer.llrs(np.concatenate(alike)))


@dataclass(frozen=True, slots=True)
class _Scorer:
    half: halves.Half
    rows: Floats
    kinds: NDArray[np.uint8]

    @classmethod
    def of(cls, data: KeystrokeSet, user: int, rows: Floats, kinds: NDArray[np.uint8]) -> "_Scorer":
        half = halves.of_the_others(data.digest, user)
        if half is None:
            raise ValueError(f"{data.name}: no constants of halves for this set")
        return cls(half, rows, kinds)

    def llrs(self, probes: Floats) -> Floats:
        detector, constants = NearestRecent2(self.half.form), self.half.calibrations["positions"]
        samples = [Sample(row, float(at)) for at, row in enumerate(self.rows)]
        found = detector.distances(detector.enroll(samples, self.kinds, "positions"), probes)
        mix = mixes(self.kinds, "positions", np.ones((1, self.kinds.size), dtype=np.bool_))[0]
        count, size = len(self.rows), self.kinds.size
        return np.array([llr_by(constants, float(each), features=size, samples=count, mix=mix) for each in found])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--data", "--touch", "--json"):
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    sets = [find_sets(Path(path))[0][0] for path in (chosen.data, chosen.touch)]
    Path(chosen.json).write_text(json.dumps(fitted(trials(sets[0], sets[1])), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
