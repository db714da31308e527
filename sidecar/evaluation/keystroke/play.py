"""Scoring one person's trials of a setting with one model. Pure but for the clock that measures costs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats
from sidecar.evaluation.keystroke.models import Fitted, Model, scored, seen
from sidecar.evaluation.keystroke.plans import BLOCKS, QUANTILE_END, START, Confirmed, Stage
from sidecar.evaluation.keystroke.sets import Indices, KeystrokeSet
from sidecar.scoring.contract import MAX_SAMPLES

MAIN = ""  # the block that is the setting's own figure
TIMED = 5  # single logins timed per template


@dataclass(frozen=True, slots=True)
class Scores:
    """One person's scores of one block, shapes (g,) and (i,); higher = more impostor-like.

    ``failed``: attempts that could not be compared (failures to acquire); they are in neither.
    """

    genuine: Floats
    impostor: Floats
    failed: int = 0

    @classmethod
    def of(cls, genuine: Sequence[Floats], impostor: Sequence[Floats]) -> "Scores":
        """Those of several templates, of which NaN are the failed ones."""
        own, strange = np.concatenate(genuine), np.concatenate(impostor)
        known = np.isfinite(own), np.isfinite(strange)
        return cls(own[known[0]], strange[known[1]], int(sum((~each).sum() for each in known)))


@dataclass(frozen=True, slots=True)
class Played:
    """One person's blocks by name, and what it cost: one enrolment, one score (ms) and one template (bytes)."""

    blocks: dict[str, Scores]
    enroll_ms: float
    score_ms: float
    stored_bytes: int


def play(data: KeystrokeSet, stages: tuple[Stage, ...], model: Model, user: int, seed: int) -> Played:
    """Frozen templates, one a stage; the scores of all stages are one person's scores."""
    model = model.unseen(data, user)
    values, kinds = seen(model, data, user)
    own = values[user]
    genuine, impostor = [], []
    for stage in stages:
        fitted, enroll_ms = _fit(model, own[stage.template], kinds, seed + user)
        sittings, ages = _ages(data.people[user].sessions, stage)
        genuine.append(fitted.aged(scored(fitted.scores, own[stage.genuine]), sittings, ages))
        strange = scored(fitted.scores, _rows(values, stage.impostor))
        impostor.append(fitted.aged(strange, sittings, spread_evenly(ages, strange.size)))
    blocks = {MAIN: Scores.of(genuine, impostor)}
    return Played(
        blocks, enroll_ms, single_ms(partial(scored, fitted.scores), own[stages[-1].genuine]), fitted.stored_bytes()
    )


def spread_evenly(ages: Floats, count: int) -> Floats:
    """Ages for ``count`` impostor attempts, as often each as among the own ones: an age must not tell who it is."""
    turn = 0.6180339887498949  # the golden ratio's fraction: any stretch of attempts gets its share of all ages
    places = np.floor(np.sort(ages).size * np.mod((np.arange(count) + 0.5) * turn, 1.0)).astype(np.int64)
    found: Floats = np.sort(ages)[places]
    return found


def _ages(sessions: Indices, stage: Stage) -> tuple[int, Floats]:
    """On how many sittings the samples were typed, and how many lie between the newest and each own test."""
    _, order = np.unique(sessions, return_inverse=True)
    learned = order[stage.template]
    later: Floats = np.maximum(order[stage.genuine] - learned[-1], 0).astype(np.float64)
    return int(np.unique(learned).size), later


def quiet_scores(data: KeystrokeSet, model: Model, user: int, seed: int) -> Floats:
    """Genuine scores of repetitions 11-200 where every login is added and nobody attacks, in order."""
    model = model.unseen(data, user)
    values, kinds = seen(model, data, user)
    own = values[user][:QUANTILE_END]
    parts = []
    for first, last in _turns(data, user, model.cadence, len(own)):
        fitted, _ = _fit(model, own[max(0, first - MAX_SAMPLES) : first], kinds, seed + user)
        parts.append(scored(fitted.scores, own[first:last]))
    found = np.concatenate(parts)
    return found[np.isfinite(found)]


def play_confirmed(data: KeystrokeSet, plan: Confirmed, model: Model, user: int, seed: int, *, limit: float) -> Played:
    """cold-10-confirmed: each login is scored, then added; an attack is added where it scores at most ``limit``."""
    model = model.unseen(data, user)
    values, kinds = seen(model, data, user)
    own = values[user]
    stored: list[Floats] = list(own[:START])
    genuine: dict[int, float] = {}
    impostor: dict[int, Floats] = {}
    earlier: dict[str, dict[int, Floats]] = {"genuine": {}, "impostor": {}}
    sessions = data.people[user].sessions
    for first, last in _turns(data, user, model.cadence, len(own)):
        fitted, enroll_ms = _fit(model, np.stack(stored[-MAX_SAMPLES:]), kinds, seed + user)
        if sessions[first] != sessions[first - 1]:
            day = first + np.flatnonzero(sessions[first:] == sessions[first])
            earlier["genuine"] |= dict(zip(day.tolist(), scored(fitted.scores, own[day])[:, None], strict=True))
            earlier["impostor"] |= _drawn(fitted, values, plan, day)
        turn = np.arange(first, last)
        genuine |= dict(zip(turn.tolist(), scored(fitted.scores, own[turn]).tolist(), strict=True))
        impostor |= _drawn(fitted, values, plan, turn)
        for row in turn.tolist():
            stored.append(own[row])
            if row in plan.attacks:
                person, tried = plan.attacks[row]
                attempt = values[person][tried]
                if scored(fitted.scores, attempt[None, :])[0] <= limit:
                    stored.append(attempt)
    own_scores = {row: np.array([score]) for row, score in genuine.items()}
    blocks = {**_blocks(own_scores, impostor, ""), **_blocks(earlier["genuine"], earlier["impostor"], " earlier days")}
    return Played(blocks, enroll_ms, single_ms(partial(scored, fitted.scores), own[turn]), fitted.stored_bytes())


def _blocks(genuine: dict[int, Floats], impostor: dict[int, Floats], suffix: str) -> dict[str, Scores]:
    """Scores by block; a block counts where every one of its repetitions was scored."""
    found = {}
    for number, (first, last) in enumerate(BLOCKS):
        rows = range(first - 1, last)
        drawn = [impostor[row] for row in rows if row in impostor]
        if drawn and all(row in genuine for row in rows):
            name = MAIN if number == 0 and not suffix else f"{first}-{last}{suffix}"
            found[name] = Scores.of([genuine[row] for row in rows], drawn)
    return found


def _turns(data: KeystrokeSet, user: int, cadence: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches of rows that meet the same template; a new day always begins one."""
    sessions = data.people[user].sessions
    first = START
    while first < end:
        last = first + 1
        while last < min(first + cadence, end) and sessions[last] == sessions[first]:
            last += 1
        yield first, last
        first = last


def _drawn(fitted: Fitted, values: list[Floats], plan: Confirmed, rows: Indices) -> dict[int, Floats]:
    """Scores of the impostor draws of these rows, by row."""
    chosen = [row for row in rows.tolist() if row in plan.draws]
    if not chosen:
        return {}
    scores = scored(fitted.scores, np.concatenate([_rows(values, plan.draws[row]) for row in chosen]))
    ends = np.cumsum([len(plan.draws[row]) for row in chosen])
    return dict(zip(chosen, np.split(scores, ends[:-1]), strict=True))


def _rows(values: list[Floats], pairs: Indices) -> Floats:
    return np.stack([values[person][row] for person, row in pairs.tolist()])


def _fit(model: Model, rows: Floats, kinds: NDArray[np.uint8], seed: int) -> tuple[Fitted, float]:
    began = perf_counter()
    fitted = model.fit(rows, kinds, seed)
    return fitted, (perf_counter() - began) * 1000.0


def single_ms(score: Callable[[Floats], object], probes: Floats) -> float:
    """Median time to score one login."""
    times = []
    for probe in probes[:TIMED]:
        began = perf_counter()
        score(probe[None, :])
        times.append((perf_counter() - began) * 1000.0)
    return float(np.median(times))
