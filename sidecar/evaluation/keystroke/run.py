"""Playing every (set, setting, model, user) on several processes and gathering the figures."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sidecar.domain.biometrics import Floats
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke import cohorts, literature
from sidecar.evaluation.keystroke.baselines import BASELINES
from sidecar.evaluation.keystroke.figures import Measured, Row, figures, weights
from sidecar.evaluation.keystroke.models import Model, product_models
from sidecar.evaluation.keystroke.plans import SETTINGS, Confirmed, Disjoint, split_hash, users_of
from sidecar.evaluation.keystroke.play import MAIN, Played, Scores, play, play_confirmed, quiet_scores
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.scoring.cohort import Background
from sidecar.scoring.nearest_recent_2 import NearestRecent2
from sidecar.scoring.scaled_manhattan import ScaledManhattan

YARDSTICK = ScaledManhattan.name
MODELS: dict[str, Model] = {**product_models(), **{each.name: each for each in BASELINES}}
Result = TypeVar("Result")

LEARN_LIMIT = 0.90  # an attack is learned below this quantile of the other half's quiet genuine scores


class Task(NamedTuple):
    """One user of one set, setting and model. ``limit``: the quantile u, None while it is being found."""

    data: int
    setting: str
    model: str
    user: int
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One row of the report with the scores that its charts are drawn from; no scores where it says why."""

    row: Row
    measured: Measured | None = None


@dataclass(slots=True)
class _Workbench:
    """What a worker process keeps: the sets, the seed, and the backgrounds that it has learned."""

    sets: Sequence[KeystrokeSet] = ()
    seed: int = 0
    backgrounds: dict[tuple[int, int, int], Background] = field(default_factory=dict)
    here: ClassVar["_Workbench"]

    def background(self, data: int, plan: Disjoint, one: int, two: int) -> Background:
        """Learn what people outside two folds teach, once."""
        key = (data, min(one, two), max(one, two))
        if key not in self.backgrounds:
            self.backgrounds[key] = cohorts.background(self.sets[data], plan.folds, one, two)
        return self.backgrounds[key]


_Workbench.here = _Workbench()


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be measured. ``users`` by set and setting; empty where the setting is not applicable."""

    sets: Sequence[KeystrokeSet]
    settings: Sequence[str]
    models: Sequence[str]
    seed: int
    users: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    papers: bool = False

    def paper_tasks(self) -> list[Task]:
        """One for each user and two-class classifier of the literature, if they are asked for."""
        sets = enumerate(self.sets) if self.papers else ()
        return [
            Task(number, literature.SETTING, name, user)
            for number, data in sets
            for name in literature.CLASSIFIERS
            for user in literature.users(data)
        ]

    def tasks(self) -> list[Task]:
        """One for each user who takes part, by set, setting and model."""
        return [
            Task(data, setting, model, user)
            for (data, setting), users in self.users.items()
            for model in models_of(setting, self.models)
            for user in users
        ]


def models_of(setting: str, models: Sequence[str]) -> list[str]:
    """Who takes part in a setting: in those of the cohort only who learns from one, and the yardstick.

    The others would be scored as in the setting of that name without a cohort.
    """
    return [name for name in models if not setting.startswith("cohort") or name in (NearestRecent2.name, YARDSTICK)]


def planned(
    sets: Sequence[KeystrokeSet], settings: Sequence[str], models: Sequence[str], seed: int, *, papers: bool = False
) -> Work:
    """Say who takes part in what. ``papers``: the two-class classifiers of the literature as well."""
    users = {(i, name): users_of(data, SETTINGS[name], seed) for i, data in enumerate(sets) for name in settings}
    return Work(sets, settings, models, seed, users, papers)


def measure(work: Work, jobs: int, advance: Callable[[int], None], total: Callable[[int], None]) -> list[Part]:
    """Play everything; rows by set, setting (with its further blocks) and model."""
    tasks = work.tasks()
    learning = [task for task in tasks if task.setting == "cold-10-confirmed"]
    papers = work.paper_tasks()
    total(len(tasks) + len(learning) + len(papers))
    with _runner(work, jobs, advance) as runner:
        quiet = dict(runner.run(_quiet, learning))
        limits = {task: _limit(quiet, task) for task in learning}
        played = list(runner.run(_play, [task._replace(limit=limits.get(task)) for task in tasks]))
        written = list(runner.run(_paper, papers))
    parts: list[Part] = []
    for (data, setting), users in work.users.items():
        if users:
            chosen = [(task, result) for task, result in played if task[:2] == (data, setting)]
            parts += _parts(work, data, setting, chosen)
        else:
            reason = "not applicable: fewer than two people with enough repetitions, sessions or columns"
            absent = models_of(setting, work.models)
            parts += [Part(empty_row(work.sets[data].name, setting, model, reason)) for model in absent]
    for number, data_set in enumerate(work.sets if work.papers else ()):
        own = {(task.model, task.user): paper for task, paper in written if task.data == number}
        parts += [Part(row) for row in literature.rows_of(data_set, own, work.seed)]
    return parts


def empty_row(data: str, setting: str, model: str, reason: str) -> Row:
    """A row without figures."""
    names = ("eer", "geer", "far_at_frr1", "far_at_frr5", "cllr", "ece", "subjects", "split")
    return {"set": data, "setting": setting, "detector": model, "status": reason, **dict.fromkeys(names)}


def _limit(quiet: dict[Task, Floats], task: Task) -> float:
    """The quantile u of the other half (even and odd) of the people."""
    others = [scores for key, scores in quiet.items() if key[:3] == task[:3] and key.user % 2 != task.user % 2]
    return float(np.quantile(np.concatenate(others), LEARN_LIMIT)) if others else -np.inf


def _parts(work: Work, data: int, setting: str, played: list[tuple[Task, Played]]) -> Iterator[Part]:
    split = split_hash(work.sets[data], SETTINGS[setting], work.users[data, setting], work.seed)
    by_model = {name: [p for _, p in group] for name, group in groupby(played, key=lambda pair: pair[0].model)}
    for block in dict.fromkeys(name for users in by_model.values() for each in users for name in each.blocks):
        drawn: Floats | None = None
        yardstick: dict[str, Floats] | None = None
        for name in sorted(by_model, key=lambda name: name != YARDSTICK):
            users: list[Scores] = [each.blocks[block] for each in by_model[name] if block in each.blocks]
            drawn = weights(len(users), work.seed) if drawn is None else drawn
            measured = Measured(users, MODELS[name].calibrated)
            row, resampled = figures(measured, drawn, yardstick)
            yardstick = resampled if name == YARDSTICK else yardstick
            head: Row = {
                "set": work.sets[data].name,
                "setting": setting if block == MAIN else f"{setting} {block}",
                "detector": name,
                "status": "measured",
            }
            origin = _origin(MODELS[name], split, work.seed, learned=uses_cohort(setting, name))
            yield Part({**head, **row, **_cost(by_model[name]), **origin}, measured)


def _cost(played: list[Played]) -> Row:
    return {
        "enroll_ms": float(np.median([each.enroll_ms for each in played])),
        "score_ms": float(np.median([each.score_ms for each in played])),
        "template_bytes": int(np.median([each.stored_bytes for each in played])),
    }


def uses_cohort(setting: str, model: str) -> bool:
    """Whether this model learns from other people in this setting; the others are scored as they are."""
    return setting.startswith("cohort") and model == NearestRecent2.name


def _origin(model: Model, split: str, seed: int, *, learned: bool) -> Row:
    constants = cohorts.CONSTANTS if learned else model.constants
    return {"split": split, "seed": seed, "constants": constants, "trained_every": model.cadence}


class _Runner:
    """Runs tasks in order: here for one job, else on processes that share nothing but the sets."""

    def __init__(self, executor: ProcessPoolExecutor | None, advance: Callable[[int], None]) -> None:
        self._executor = executor
        self._advance = advance

    def run(self, do: Callable[[Task], Result], tasks: list[Task]) -> Iterator[tuple[Task, Result]]:
        """Each task with its result."""
        results = self._executor.map(do, tasks, chunksize=4) if self._executor else map(do, tasks)
        for task, result in zip(tasks, results, strict=True):
            self._advance(1)
            yield task, result


@contextmanager
def _runner(work: Work, jobs: int, advance: Callable[[int], None]) -> Iterator[_Runner]:
    if jobs == 1:
        _Workbench.here = _Workbench(work.sets, work.seed)
        with threadpool_limits(1):
            yield _Runner(None, advance)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_prepare, initargs=(work.sets, work.seed)) as executor:
        yield _Runner(executor, advance)


def _prepare(sets: Sequence[KeystrokeSet], seed: int) -> None:
    threadpool_limits(1)
    _Workbench.here = _Workbench(sets, seed)


def _quiet(task: Task) -> Floats:
    here = _Workbench.here
    with _named(here.sets[task.data], task):
        return quiet_scores(here.sets[task.data], MODELS[task.model], task.user, here.seed)


def _paper(task: Task) -> literature.Paper:
    here = _Workbench.here
    return literature.play_paper(here.sets[task.data], task.user, task.model, here.seed)


def _play(task: Task) -> Played:
    here = _Workbench.here
    data, model = here.sets[task.data], MODELS[task.model]
    plan = SETTINGS[task.setting].plan(data, task.user, here.seed)
    if plan is None:
        raise ValueError(f"{task.setting} has no plan for user {task.user}")
    with _named(data, task):
        if isinstance(plan, Confirmed):
            limit = -np.inf if task.limit is None else task.limit
            return play_confirmed(data, plan, model, task.user, here.seed, limit=limit)
        if isinstance(plan, Disjoint):
            if uses_cohort(task.setting, task.model):
                return cohorts.play_disjoint(data, plan, task.user, partial(here.background, task.data, plan))
            plan = plan.stages
        return play(data, plan, model, task.user, here.seed)


@contextmanager
def _named(data: KeystrokeSet, task: Task) -> Iterator[None]:
    """Say whose data a detector refused: logins without a timing in common cannot be compared."""
    try:
        yield
    except ValueError as wrong:
        where = f"{data.name}, {task.setting}, {task.model}, subject {data.people[task.user].name}"
        raise DatasetInvalid(f"{where}: {wrong}") from wrong
