"""Scoring one person's trials with what people of other folds teach (``sidecar.scoring.cohort``)."""

from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np

from sidecar.domain.biometrics import Sample
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.models import scored
from sidecar.evaluation.keystroke.plans import FOLDS, LEARNED, Disjoint
from sidecar.evaluation.keystroke.play import MAIN, Played, Scores, single_ms
from sidecar.evaluation.keystroke.sets import Indices, KeystrokeSet
from sidecar.scoring.cohort import Background, learn
from sidecar.storage.arrays import pack_template

CONSTANTS = (
    "form, normalisation, fusion and calibration: people outside the user's and the impostor's fold, repetitions 1-200"
)
BackgroundOf = Callable[[int, int], Background]


def background(data: KeystrokeSet, folds: Indices, one: int, two: int) -> Background:
    """What the people outside two folds teach, from their repetitions 1-200. Raises DatasetInvalid on too few."""
    chosen = [
        person.values[:LEARNED] for person, fold in zip(data.people, folds, strict=True) if fold not in (one, two)
    ]
    found = learn(chosen, data.touch_kinds)
    if found is None:
        raise DatasetInvalid(f"{data.name}: {len(chosen)} people are too few for a background")
    return found


def play_disjoint(data: KeystrokeSet, plan: Disjoint, user: int, of: BackgroundOf) -> Played:
    """Genuine trials once under each impostor fold's background, impostors under that of their own fold."""
    values = [person.values for person in data.people]
    own = values[user]
    genuine, impostor = [], []
    for fold in range(FOLDS):
        found = of(int(plan.folds[user]), fold)
        for stage in plan.stages:
            samples = [Sample(row, float(at)) for at, row in enumerate(own[stage.template])]
            began = perf_counter()
            template = found.detector.enroll(samples, data.touch_kinds, "positions")
            enroll_ms = (perf_counter() - began) * 1000.0
            around = found.strangers(template)
            rows = np.array(
                [values[person][row] for person, row in stage.impostor.tolist() if plan.folds[person] == fold]
            )
            llr = partial(found.llr, template, strangers=around)
            genuine.append(scored(llr, own[stage.genuine]))
            if rows.size:
                impostor.append(scored(llr, rows))
    blocks = {MAIN: Scores.of(genuine, impostor)}
    single = single_ms(partial(scored, llr), own[stage.genuine])
    return Played(blocks, enroll_ms, single, len(pack_template(template)))
