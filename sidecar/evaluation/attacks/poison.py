"""Poisoning pressure: impostors who log in as often as the person, and a profile that learns what scores low enough.

A profile of repetitions 1-200; then for each of the person's logins 201-400 one or two impostor attempts (every other
person's first five, once each, in a drawn order). Whatever scores at most the person's own quantile is learned. The
quantile is of the scores of repetitions 101-200 under the template of 1-100. A login is scored before it is learned.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.evaluation import metrics
from sidecar.evaluation.keystroke.models import Model
from sidecar.evaluation.keystroke.plans import others
from sidecar.evaluation.keystroke.sets import KeystrokeSet

START, END = 200, 400


@dataclass(frozen=True, slots=True)
class Worn:
    """What a rule let through. ``quantile`` None: nothing is learned. Error rates of 201-400 against the attempts."""

    quantile: float | None
    eer: float
    geer: float
    absorbed: float
    own_learned: float


def wear(data: KeystrokeSet, model: Model, quantile: float | None, seed: int, advance: Callable[[int], None]) -> Worn:
    """Play the pressure on everybody; ``absorbed`` and ``own_learned``: attempts and own logins learned, mean a person."""
    genuine, impostor, absorbed, learned = [], [], [], []
    for user in range(len(data.people)):
        own, strange, taken, kept = _wear_one(data, model.unseen(data, user), user, quantile, seed)
        genuine.append(own)
        impostor.append(strange)
        absorbed.append(taken)
        learned.append(kept)
        advance(1)
    rates = [metrics.equal_error_rate(*pair) for pair in zip(genuine, impostor, strict=True)]
    pooled = metrics.equal_error_rate(np.concatenate(genuine), np.concatenate(impostor))
    return Worn(quantile, float(np.mean(rates)), pooled, float(np.mean(absorbed)), float(np.mean(learned)))


def _wear_one(
    data: KeystrokeSet, model: Model, user: int, quantile: float | None, seed: int
) -> tuple[Floats, Floats, int, int]:
    rng = np.random.default_rng([seed, 0xD0, user])
    values = data.people[user].values
    pool = others(data, user, 1, 5)
    order = rng.permutation(len(pool))
    before = model.fit(values[: START // 2], data.kinds, seed).scores(values[START // 2 : START])
    limit = -np.inf if quantile is None else float(np.quantile(before, quantile))
    stored = list(values[:START])
    fitted = model.fit(np.stack(stored), data.kinds, seed)
    genuine: list[float] = []
    impostor: list[float] = []
    taken = kept = tried = 0
    for place, row in enumerate(values[START:END]):
        until = round((place + 1) * len(pool) / (END - START))
        attempts = [(data.people[person].values[rep], False) for person, rep in pool[order[tried:until]].tolist()]
        tried = until
        for attempt, own in [(row, True), *attempts]:
            score = float(fitted.scores(attempt[None, :])[0])
            (genuine if own else impostor).append(score)
            if score <= limit:
                kept, taken = kept + own, taken + (not own)
                stored = [*stored[-START + 1 :], attempt]
                fitted = model.fit(np.stack(stored), data.kinds, seed)
    return np.array(genuine), np.array(impostor), taken, kept
