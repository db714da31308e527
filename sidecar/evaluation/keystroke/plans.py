"""Which repetitions take part in which setting, drawn before anything is scored.

The settings are defined for a set of people who typed one text many times. A person without enough
repetitions is left out of a setting; where fewer than two people remain, the setting is not applicable.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sidecar.evaluation.keystroke.sets import Indices, KeystrokeSet

START = 10  # samples with which cold-10-confirmed begins
BLOCKS = ((51, 100), (11, 50), (101, 200), (201, 400))  # the first is the setting's own figure
ATTACK_RATE = 0.05
PLACES, DRAWS = 25, 10
FOLDS = 5
LEARNED = 200  # repetitions of everybody else that a background is learned from
SMALLEST_COHORT = 15  # people: three folds of them are 9, one more than the smallest background
QUANTILE_END = 200  # the no-attack run that gives the quantile u stops here: later repetitions are for tests


@dataclass(frozen=True, slots=True)
class Stage:
    """One frozen template and what is tried on it. Rows count from 0; ``impostor``: (person, row), (m, 2)."""

    template: Indices
    genuine: Indices
    impostor: Indices


@dataclass(frozen=True, slots=True)
class Confirmed:
    """cold-10-confirmed for one user: ``attacks`` by row (one attempt), ``draws`` by row (ten attempts)."""

    attacks: dict[int, tuple[int, int]]
    draws: dict[int, Indices]


@dataclass(frozen=True, slots=True)
class Disjoint:
    """A cohort setting for one user: the stages, and the fold of every person, shape (people,).

    Whatever is learned from others for this user and an impostor sees neither's fold, and of the rest only
    repetitions 1-200.
    """

    stages: tuple[Stage, ...]
    folds: Indices


Plan = tuple[Stage, ...] | Confirmed | Disjoint
Planner = Callable[[KeystrokeSet, int, int], Plan | None]


@dataclass(frozen=True, slots=True)
class Setting:
    """A named setting; ``words`` say in short what template, genuine and impostor tests are."""

    name: str
    words: str
    plan: Planner


def others(data: KeystrokeSet, user: int, first: int, last: int) -> Indices:
    """Repetitions first to last (from 1, both included) of everybody else, as far as there are any; (m, 2)."""
    pairs = [
        (number, row)
        for number, person in enumerate(data.people)
        if number != user
        for row in range(first - 1, min(last, len(person.values)))
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _frozen(template: tuple[int, int], genuine: tuple[int, int], impostor: tuple[int, int]) -> Planner:
    def plan(data: KeystrokeSet, user: int, _seed: int) -> Plan | None:
        if len(data.people[user].values) < genuine[1]:
            return None
        return (Stage(_span(*template), _span(*genuine), others(data, user, *impostor)),)

    return plan


def _meu(data: KeystrokeSet, user: int, seed: int) -> Plan | None:
    if not data.extra.any():
        return None
    return _frozen((1, 10), (11, 51), (1, 5))(data, user, seed)


def _first(count: int) -> Planner:
    def plan(data: KeystrokeSet, user: int, _seed: int) -> Plan | None:
        have = len(data.people[user].values)
        if have <= count:
            return None
        return (Stage(_span(1, count), _span(count + 1, have), others(data, user, 1, 5)),)

    return plan


def _by_day(stored: int | None, tested: int | None) -> Planner:
    """Templates of earlier sessions, days 5 to 8; of each session ``stored`` and ``tested`` first rows (or all)."""

    def plan(data: KeystrokeSet, user: int, _seed: int) -> Plan | None:
        sessions = data.people[user].sessions
        days = [np.flatnonzero(sessions == day) for day in np.unique(sessions)]
        if len(days) < 8:
            return None
        return tuple(
            Stage(np.concatenate([each[:stored] for each in days[:day]]), days[day][:tested], others(data, user, 1, 5))
            for day in range(4, 8)
        )

    return plan


def _disjoint(inner: Planner) -> Planner:
    """The stages of another setting, with folds of people; for sets that leave a background to learn from."""

    def plan(data: KeystrokeSet, user: int, seed: int) -> Plan | None:
        stages = inner(data, user, seed)
        grown = [len(person.values) >= LEARNED for person in data.people]
        if not isinstance(stages, tuple) or not all(grown) or len(grown) < SMALLEST_COHORT:
            return None
        order = np.random.default_rng([seed, 0xF01D]).permutation(len(grown))
        folds = np.empty(len(grown), dtype=np.int64)
        folds[order] = np.arange(len(grown)) % FOLDS
        return Disjoint(stages, folds)

    return plan


def _confirmed(data: KeystrokeSet, user: int, seed: int) -> Plan | None:
    have = len(data.people[user].values)
    if have < BLOCKS[0][1]:
        return None
    rng = np.random.default_rng([seed, 0xC01D, user])
    pool = others(data, user, 1, 5)
    if not len(pool):
        return None
    tried = rng.random(have) < ATTACK_RATE
    chosen = pool[rng.integers(len(pool), size=have)]
    attacks = {row: (int(chosen[row, 0]), int(chosen[row, 1])) for row in range(START, have) if tried[row]}
    draws = {}
    for first, last in sorted(BLOCKS):
        if have >= last:
            for row in np.linspace(first - 1, last - 1, PLACES).round().astype(int):
                draws[int(row)] = pool[rng.integers(len(pool), size=DRAWS)]
    return Confirmed(attacks, draws)


def _span(first: int, last: int) -> Indices:
    return np.arange(first - 1, last, dtype=np.int64)


_KM09 = _frozen((1, 200), (201, 400), (1, 5))
_PRACTISED = _frozen((1, 200), (201, 400), (396, 400))
_ALL = (
    Setting("km09", "own 1-200 / 201-400 / others' 1-5", _KM09),
    Setting("km09-practised", "own 1-200 / 201-400 / others' 396-400", _PRACTISED),
    Setting("known-10", "own 191-200 / 201-400 / others' 1-5", _frozen((191, 200), (201, 400), (1, 5))),
    Setting("cold-10-confirmed", "own 1-10 and every confirmed login, 5% attacks / 51-100 / 1-5", _confirmed),
    Setting("one-a-day", "first login of each earlier day / first 5 of days 5-8 / 1-5", _by_day(1, 5)),
    Setting("day-lagged", "all logins of earlier days / days 5-8 / 1-5", _by_day(None, None)),
    Setting("cohort", "km09, and what people of other folds teach", _disjoint(_KM09)),
    Setting("cohort-practised", "km09-practised, and what people of other folds teach", _disjoint(_PRACTISED)),
    Setting("cohort-day-lagged", "day-lagged, and what people of other folds teach", _disjoint(_by_day(None, None))),
    Setting("meu-10", "own 1-10 / 11-51 / 1-5, with pressure and size", _meu),
    Setting("first-5", "own first 5 / the rest / others' first 5", _first(5)),
    Setting("first-10", "own first 10 / the rest / others' first 5", _first(10)),
    Setting("first-20", "own first 20 / the rest / others' first 5", _first(20)),
)
SETTINGS: dict[str, Setting] = {each.name: each for each in _ALL}


def users_of(data: KeystrokeSet, setting: Setting, seed: int) -> list[int]:
    """The people who can take part; empty where fewer than two can, or where one would have no impostor."""
    plans = {user: setting.plan(data, user, seed) for user in range(len(data.people))}
    users = [user for user, plan in plans.items() if plan is not None and _has_impostors(plan)]
    return users if len(users) > 1 else []


def split_hash(data: KeystrokeSet, setting: Setting, users: list[int], seed: int) -> str:
    """Hash of the set's content and of every repetition that is learned or tried, in 16 hexadecimal digits."""
    found = hashlib.sha256(f"{data.digest} {setting.name}".encode())
    for user in users:
        plan = setting.plan(data, user, seed)
        if isinstance(plan, Confirmed):
            found.update(repr((user, plan.attacks, [(k, v.tolist()) for k, v in plan.draws.items()])).encode())
        elif plan is not None:
            if isinstance(plan, Disjoint):
                found.update(repr(plan.folds.tolist()).encode())
            lists = [[s.template.tolist(), s.genuine.tolist(), s.impostor.tolist()] for s in stages_of(plan)]
            found.update(repr((user, lists)).encode())
    return found.hexdigest()[:16]


def _has_impostors(plan: Plan) -> bool:
    return isinstance(plan, Confirmed) or all(len(stage.impostor) for stage in stages_of(plan))


def stages_of(plan: tuple[Stage, ...] | Disjoint) -> tuple[Stage, ...]:
    """The frozen templates of a plan and what is tried on them."""
    return plan.stages if isinstance(plan, Disjoint) else plan
