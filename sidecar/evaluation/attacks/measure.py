"""Playing attacks against everybody of a set: what is accepted where 5% of a person's own logins are rejected.

The threshold is one for each person, on the genuine tests of km09 (repetitions 201-400), and the 5% includes what the
checks reject themselves. Everything is measured twice: by the score alone, and with the checks.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from sidecar.domain.biometrics import Floats, Kind
from sidecar.evaluation.attacks import make
from sidecar.evaluation.attacks.check import Flags, checked
from sidecar.evaluation.attacks.make import Timings
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.models import Fitted, Model, scored
from sidecar.evaluation.keystroke.sets import Extra, KeystrokeSet
from sidecar.features.liveness import usual_of

FRR = 0.05
ENROLLED, TESTED = 200, 400


@dataclass(slots=True)
class Found:
    """Shares by attack: accepted by the score alone, and with the checks, one number a person; and what was flagged.

    ``flagged``: share of genuine attempts, by person; ``signs``: how often which sign flagged a genuine attempt;
    ``odd``: shares of genuine attempts flagged when typed in an unusual way, by the way.
    """

    alone: dict[str, list[float]] = field(default_factory=dict)
    guarded: dict[str, list[float]] = field(default_factory=dict)
    flagged: list[float] = field(default_factory=list)
    signs: Counter[str] = field(default_factory=Counter)
    odd: dict[str, list[float]] = field(default_factory=dict)


def attacked(data: KeystrokeSet) -> list[int]:
    """Who is attacked: those with 400 repetitions of holds and down-downs; nobody where there are fewer than three people."""
    counts = [int(((data.kinds == kind) & (data.extra == Extra.NONE)).sum()) for kind in (Kind.HOLD, Kind.DOWN_DOWN)]
    if len(data.people) < 3 or counts[0] - counts[1] not in (0, 1) or counts[1] < 1:
        return []
    return [user for user, person in enumerate(data.people) if len(person.values) >= TESTED]


def attack(data: KeystrokeSet, model: Model, seed: int, advance: Callable[[int], None]) -> Found:
    """Attack whom ``attacked`` names, which must be somebody. Raises DatasetInvalid, naming who cannot be."""
    people = [timings(data, person.values) for person in data.people]
    found = Found()
    for user in attacked(data):
        with named(data, user):
            rng = np.random.default_rng([seed, 0xA77A, user])
            _attack_one(data, people, user, model.unseen(data, user), rng, found)
        advance(1)
    return found


@contextmanager
def named(data: KeystrokeSet, user: int) -> Iterator[None]:
    """Say whose repetitions no attack can be made of."""
    try:
        yield
    except (ValueError, np.linalg.LinAlgError) as wrong:
        where = f"{data.name}, attacks, subject {data.people[user].name}"
        raise DatasetInvalid(f"{where}: {wrong}") from wrong


def _attack_one(
    data: KeystrokeSet, people: list[Timings], user: int, model: Model, rng: np.random.Generator, found: Found
) -> None:
    own = people[user]
    enrolled, tested = _rows(own, slice(0, ENROLLED)), _rows(own, slice(ENROLLED, TESTED))
    others = [_rows(people[i], slice(0, ENROLLED)) for i in range(len(people)) if i != user]
    pooled = tuple(np.concatenate([each[part] for each in others]) for part in (0, 1))
    usual = usual_of(others)
    fitted = model.fit(data.people[user].values[:ENROLLED], data.kinds, int(rng.integers(2**31)))
    score = _scorer(data, fitted)
    known = np.isfinite(score(tested))  # the others ask for the second factor, whatever the threshold
    tested = _rows(tested, known)
    genuine = score(tested)
    if not genuine.size:
        raise ValueError("none of the repetitions 201-400 has a timing in common with 1-200")
    seen = checked(tested, usual, own, (ENROLLED + np.flatnonzero(known)).tolist())
    plain, guarded = _threshold(genuine, np.zeros_like(seen.flagged)), _threshold(genuine, seen.flagged)
    found.flagged.append(float(seen.flagged.mean()))
    found.signs += seen.signs

    def tell(name: str, attempts: Timings, remembered: Timings | None) -> None:
        if not len(attempts[0]):
            return
        scores, signs = score(attempts), checked(attempts, usual, remembered)
        found.alone.setdefault(name, []).append(float(np.mean(scores < plain)))
        found.guarded.setdefault(name, []).append(float(np.mean((scores < guarded) & ~signs.flagged)))

    for name, attempts in make.invented((pooled[0], pooled[1]), enrolled, rng).items():
        tell(name, attempts, enrolled)
    tell("exact replay of a stored sample", enrolled, enrolled)
    allowed = (genuine < guarded) & ~seen.flagged
    tell("exact replay of an allowed login", _rows(tested, allowed), _rows(tested, allowed))
    for sigma in make.JITTERS:
        tell(f"replay, jitter {sigma:g} ms", make.jittered(enrolled, sigma, rng), enrolled)
    for name, typed in (
        ("slow", make.slow(tested)),
        ("a key held until it repeats", make.repeated_key(tested, rng)),
        ("sticky keys", make.sticky_keys(tested)),
    ):
        odd = checked(typed, usual, enrolled)
        found.odd.setdefault(name, []).append(float(odd.flagged.mean()))


def _threshold(genuine: Floats, flagged: Flags) -> float:
    """Score from which an attempt is rejected, so that with the flagged ones 5% are.

    Where more than that are flagged, everything above what the person reached unflagged is still rejected.
    """
    wanted = float(np.quantile(np.where(flagged, np.inf, genuine), 1.0 - FRR, method="higher"))
    if np.isfinite(wanted) or flagged.all():
        return wanted
    return float(np.nextafter(genuine[~flagged].max(), np.inf))


def _scorer(data: KeystrokeSet, fitted: Fitted) -> Callable[[Timings], Floats]:
    def score(attempts: Timings) -> Floats:
        hold, step = attempts
        columns = {Kind.HOLD: hold, Kind.DOWN_DOWN: step, Kind.UP_DOWN: step - hold[:, : step.shape[1]]}
        values = np.full((len(hold), data.kinds.size), np.nan)
        for kind, part in columns.items():
            places = np.flatnonzero((data.kinds == kind) & (data.extra == Extra.NONE))
            values[:, places] = part[:, : places.size]
        return scored(fitted.scores, values)

    return score


def timings(data: KeystrokeSet, values: Floats) -> Timings:
    """Holds and down-downs of rows (n, d) of a set."""
    times = data.extra == Extra.NONE
    return values[:, times & (data.kinds == Kind.HOLD)], values[:, times & (data.kinds == Kind.DOWN_DOWN)]


def _rows(timings: Timings, rows: slice | Flags) -> Timings:
    return timings[0][rows], timings[1][rows]
