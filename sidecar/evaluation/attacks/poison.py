"""Poisoning pressure: impostors who log in as often as the person, and a profile that learns what scores low enough.

A profile of repetitions 1-200; then for each of the person's logins 201-400 one or two impostor attempts (every other
person's first five, once each, in a drawn order). Whatever scores at most the person's own quantile is learned. The
quantile is of the scores of repetitions 101-200 under the template of 1-100. A login is scored before it is learned.

``Rule.guarded`` plays the same with what a login's learning obeys besides (``sidecar.scoring.updates``): nothing with a
sign of software or copied from a stored sample or the newest 200 attempts, five a day (a session), and nothing while the
newest samples have moved away from the last ten of the enrolled ones, which count as confirmed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Sample, Template
from sidecar.domain.entries import ANCHORS
from sidecar.evaluation import metrics
from sidecar.evaluation.attacks.check import MEMORY
from sidecar.evaluation.attacks.measure import TESTED as END
from sidecar.evaluation.attacks.measure import attacked, named, timings
from sidecar.evaluation.keystroke.models import Model, scored
from sidecar.evaluation.keystroke.plans import others
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.features.liveness import copied, machine_signs
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.updates import QUANTILE, Learning, Movement, learning, movement

START = END // 2
COMPARED, FEWEST = 15, 5  # newest samples whose centre is compared with the anchor's, at most and at least


@dataclass(frozen=True, slots=True)
class Rule:
    """What is learned. ``quantile`` None: nothing; ``guarded``: by the whole rule of a login, at its own quantile."""

    quantile: float | None
    guarded: bool = False


RULES = (*(Rule(quantile) for quantile in (None, 0.8, QUANTILE, 0.95, 0.99)), Rule(QUANTILE, guarded=True))


@dataclass(frozen=True, slots=True)
class Worn:
    """What a rule let through: error rates of 201-400 against the attempts, and what was learned, mean a person."""

    rule: Rule
    eer: float
    geer: float
    absorbed: float
    own_learned: float


def wear(
    data: KeystrokeSet,
    model: Model,
    rule: Rule,
    seed: int,
    advance: Callable[[int], None],
    detector: OneClassDetector | None = None,
) -> Worn:
    """Play the pressure on everybody. ``detector``: of the product, needed where the rule is guarded."""
    genuine, impostor, absorbed, learned = [], [], [], []
    for user in attacked(data):
        with named(data, user):
            worn = _Wearing(data, model.unseen(data, user), user, seed, detector if rule.guarded else None)
            worn.play(rule)
        genuine.append(np.array(worn.scores[True]))
        impostor.append(np.array(worn.scores[False]))
        absorbed.append(worn.kept[False])
        learned.append(worn.kept[True])
        advance(1)
    rates = [metrics.equal_error_rate(*pair) for pair in zip(genuine, impostor, strict=True)]
    pooled = metrics.equal_error_rate(np.concatenate(genuine), np.concatenate(impostor))
    return Worn(rule, float(np.mean(rates)), pooled, float(np.mean(absorbed)), float(np.mean(learned)))


class _Wearing:
    """One person under pressure: what is stored, what was scored, and what was learned, by whether it was their own."""

    def __init__(
        self, data: KeystrokeSet, model: Model, user: int, seed: int, detector: OneClassDetector | None
    ) -> None:
        self._data, self._user, self._model, self._seed, self._detector = data, user, model, seed, detector
        values = data.people[user].values
        before = scored(model.fit(values[: START // 2], data.kinds, seed).scores, values[START // 2 : START])
        self._usual: list[float] = before[np.isfinite(before)].tolist()
        self._stored = list(values[:START])
        self._seen = list(values[START - MEMORY : START])
        self._learned: list[Floats] = []
        self._today: Counter[int] = Counter()
        self.scores: dict[bool, list[float]] = {True: [], False: []}
        self.kept: Counter[bool] = Counter()

    def play(self, rule: Rule) -> None:
        """Every own login of 201-400 with the attempts that come after it."""
        rng = np.random.default_rng([self._seed, 0xD0, self._user])
        people = self._data.people
        pool = others(self._data, self._user, 1, 5)
        order = rng.permutation(len(pool))
        fitted = self._model.fit(np.stack(self._stored), self._data.kinds, self._seed)
        limit = -np.inf if rule.quantile is None else float(np.quantile(self._usual, rule.quantile))
        own = people[self._user]
        tried = 0
        for place, row in enumerate(own.values[START:END]):
            until = round((place + 1) * len(pool) / (END - START))
            attempts = [(people[person].values[rep], False) for person, rep in pool[order[tried:until]].tolist()]
            tried = until
            for attempt, is_own in [(row, True), *attempts]:
                score = float(scored(fitted.scores, attempt[None, :])[0])
                if not np.isfinite(score):
                    continue
                self.scores[is_own].append(score)
                day = int(own.sessions[START + place])
                learns = self._may_teach(score, attempt, day) if rule.guarded else score <= limit
                self._seen = [*self._seen[1 - MEMORY :], attempt]
                if learns:
                    self.kept[is_own] += 1
                    self._today[day] += 1
                    self._learned.append(attempt)
                    self._stored = [*self._stored[1 - START :], attempt]
                    fitted = self._model.fit(np.stack(self._stored), self._data.kinds, self._seed)

    def _may_teach(self, score: float, attempt: Floats, day: int) -> bool:
        hold, step = timings(self._data, attempt[None, :])
        earlier = timings(self._data, np.stack(self._seen + self._stored))
        if machine_signs(hold[0], step[0]) or copied(hold[0], step[0], *earlier):
            return False
        found = learning(score, self._usual, confirmed=False, learned_today=self._today[day], movement=self._moved())
        return found is Learning.LEARN

    def _moved(self) -> Movement | None:
        after = self._learned
        if self._detector is None or len(after) < 2 * FEWEST:
            return None
        part = min(COMPARED, len(after) // 2)
        anchor = self._data.people[self._user].values[START - ANCHORS : START]
        kinds = self._data.kinds
        return movement(
            *(_template(self._detector, rows, kinds) for rows in (anchor, after[-2 * part : -part], after[-part:]))
        )


def _template(detector: OneClassDetector, rows: Sequence[Floats] | Floats, kinds: NDArray[np.uint8]) -> Template:
    return detector.enroll([Sample(row, float(at)) for at, row in enumerate(rows)], kinds, "positions")
