"""Scoring one person's trials with what people of other folds teach (``sidecar.scoring.cohort``)."""

from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np

from sidecar.domain.biometrics import Floats, Sample
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.models import Model, scored
from sidecar.evaluation.keystroke.plans import FOLDS, LEARNED, Disjoint
from sidecar.evaluation.keystroke.play import MAIN, Played, Scores, single_ms
from sidecar.evaluation.keystroke.sets import Indices, KeystrokeSet
from sidecar.scoring.calibration import LIMIT
from sidecar.scoring.cohort import Background, joined, learn
from sidecar.storage.arrays import pack_template

CONSTANTS = (
    "form, normalisation, fusion and calibration: people outside the user's and the impostor's fold, repetitions 1-200"
)
AS_A_LOGIN = "as a login"
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


def play_disjoint(data: KeystrokeSet, plan: Disjoint, user: int, of: BackgroundOf, model: Model) -> Played:
    """Genuine trials once under each impostor fold's background, impostors under that of their own fold.

    The setting's own figure is the background's word alone, as the protocol has it; ``AS_A_LOGIN`` is joined with the strict
    score of ``model``, whose constants come from the other half of the people.
    """
    values = [person.values for person in data.people]
    own = values[user]
    strict = [model.fit(own[stage.template], data.touch_kinds, 0).scores for stage in plan.stages]
    genuine: dict[str, list[Floats]] = {MAIN: [], AS_A_LOGIN: []}
    impostor: dict[str, list[Floats]] = {MAIN: [], AS_A_LOGIN: []}
    for fold in range(FOLDS):
        found = of(int(plan.folds[user]), fold)
        for stage, base in zip(plan.stages, strict, strict=True):
            samples = [Sample(row, float(at)) for at, row in enumerate(own[stage.template])]
            began = perf_counter()
            template = found.detector.enroll(samples, data.touch_kinds, "positions")
            enroll_ms = (perf_counter() - began) * 1000.0
            around = found.strangers(template)
            rows = np.array(
                [values[person][row] for person, row in stage.impostor.tolist() if plan.folds[person] == fold]
            )
            llr = partial(_limited, partial(found.llr, template, strangers=around))
            for tried, into in ((own[stage.genuine], genuine), (rows, impostor)):
                if tried.size:
                    word = scored(llr, tried)
                    into[MAIN].append(word)
                    into[AS_A_LOGIN].append(joined(scored(base, tried), word, len(found.members)))
    blocks = {name: Scores.of(genuine[name], impostor[name]) for name in (MAIN, AS_A_LOGIN)}
    single = single_ms(partial(scored, llr), own[stage.genuine])
    return Played(blocks, enroll_ms, single, len(pack_template(template)))


def _limited(llr: Callable[[Floats], Floats], probes: Floats) -> Floats:
    """As a login limits them."""
    return np.clip(llr(probes), -LIMIT, LIMIT)
