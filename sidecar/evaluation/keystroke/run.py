"""Playing every (set, setting, model, user) on several processes and gathering the figures."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
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
from sidecar.evaluation.keystroke.play import MAIN, Played, play, play_confirmed, quiet_scores
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.scoring.cohort import Background
from sidecar.scoring.nearest_recent_2 import NearestRecent2
from sidecar.scoring.scaled_manhattan import ScaledManhattan

YARDSTICK = ScaledManhattan.name
MODELS: dict[str, Model] = {**product_models(), **{each.name: each for each in BASELINES}}
Result = TypeVar("Result")

LEARNING = "cold-10-confirmed"
FEWEST = 2  # people in a row
NOT_APPLICABLE = "not applicable: fewer than two people with enough repetitions, sessions or columns"
LEARN_LIMIT = 0.90  # an attack is learned below this quantile of the other half's quiet genuine scores


class Task(NamedTuple):
    """One user of one set, setting and model. ``limit``: the quantile u, None while it is being found."""

    data: int
    setting: str
    model: str
    user: int
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a person could not be scored."""

    words: str


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


def measure(
    work: Work, jobs: int, advance: Callable[[int], None], total: Callable[[int], None]
) -> Iterator[list[Part]]:
    """Play everything, set by set; rows of a set by setting (with its further blocks) and model.

    What one person's repetitions do not allow leaves that person out of the row, which says so.
    """
    tasks = work.tasks()
    learning = [task for task in tasks if task.setting == LEARNING]
    papers = work.paper_tasks()
    total(len(tasks) + len(learning) + len(papers))
    with _runner(work, jobs, advance) as runner:
        for data in range(len(work.sets)):
            quiet = dict(runner.run(_quiet, [task for task in learning if task.data == data]))
            mine = [task._replace(limit=_limit(quiet, task)) for task in tasks if task.data == data]
            played = list(runner.run(_play, mine))
            written = list(runner.run(_paper, [task for task in papers if task.data == data]))
            yield list(_of_set(work, data, played, written))


def _of_set(
    work: Work,
    data: int,
    played: list[tuple[Task, Played | Refused]],
    written: list[tuple[Task, literature.Paper | Refused]],
) -> Iterator[Part]:
    for (number, setting), users in work.users.items():
        if number == data and users:
            yield from _parts(work, data, setting, [(task, each) for task, each in played if task.setting == setting])
        elif number == data:
            for model in models_of(setting, work.models):
                yield Part(empty_row(work.sets[data].name, setting, model, NOT_APPLICABLE))
    if work.papers:
        own = {(task.model, task.user): paper for task, paper in written if not isinstance(paper, Refused)}
        yield from (Part(row) for row in literature.rows_of(work.sets[data], own, work.seed))


def empty_row(data: str, setting: str, model: str, reason: str) -> Row:
    """A row without figures."""
    names = ("eer", "geer", "far_at_frr1", "far_at_frr5", "cllr", "ece", "subjects", "split")
    return {"set": data, "setting": setting, "detector": model, "status": reason, **dict.fromkeys(names)}


def _limit(quiet: dict[Task, Floats | Refused], task: Task) -> float | None:
    """The quantile u of the other half (even and odd) of the people; None for settings that learn nothing."""
    if task.setting != LEARNING:
        return None
    others = [
        scores
        for key, scores in quiet.items()
        if key[:3] == task[:3] and key.user % 2 != task.user % 2 and not isinstance(scores, Refused) and scores.size
    ]
    return float(np.quantile(np.concatenate(others), LEARN_LIMIT)) if others else -np.inf


def _parts(work: Work, data: int, setting: str, played: list[tuple[Task, Played | Refused]]) -> Iterator[Part]:
    """Rows of one setting of one set: a block after the other, in each scaled Manhattan first."""
    name = work.sets[data].name
    by_model: dict[str, list[tuple[Task, Played]]] = {model: [] for model in models_of(setting, work.models)}
    refused: dict[str, list[str]] = {model: [] for model in by_model}
    for task, each in played:
        if isinstance(each, Refused):
            refused[task.model].append(each.words)
        else:
            by_model[task.model].append((task, each))
    origins = {model: _origin(work, data, setting, model) for model in by_model}
    blocks = dict.fromkeys(block for users in by_model.values() for _, each in users for block in each.blocks)
    for block in blocks or {MAIN: None}:
        drawn: dict[int, Floats] = {}
        yardstick: tuple[list[int], dict[str, Floats]] | None = None
        full = setting if block == MAIN else f"{setting} {block}"
        for model in sorted(by_model, key=lambda model: model != YARDSTICK):
            there = [(task.user, each.blocks[block]) for task, each in by_model[model] if block in each.blocks]
            scored = [(user, scores) for user, scores in there if scores.genuine.size and scores.impostor.size]
            if block != MAIN and not there and not refused[model]:
                continue  # a block that only others have
            left = len(refused[model]) + len(there) - len(scored)
            if len(scored) < FEWEST:
                yield Part(empty_row(name, full, model, _why_none(refused[model], left)))
                continue
            users = [user for user, _ in scored]
            measured = Measured([scores for _, scores in scored], MODELS[model].calibrated)
            weight = drawn.setdefault(len(users), weights(len(users), work.seed))
            paired = yardstick[1] if yardstick and yardstick[0] == users else None
            row, resampled = figures(measured, weight, paired)
            yardstick = (users, resampled) if model == YARDSTICK else yardstick
            head: Row = {"set": name, "setting": full, "detector": model, "status": "measured"}
            failed: Row = {"failed": sum(scores.failed for _, scores in there), "left_out": left}
            yield Part({**head, **row, **failed, **_cost(by_model[model]), **origins[model]}, measured)


def _why_none(refused: list[str], left: int) -> str:
    if not left:  # a further block of a setting, for which hardly anybody has repetitions
        return NOT_APPLICABLE
    reason = refused[0] if refused else "their attempts have no timing in common with their samples"
    return f"failed: fewer than two people could be scored: {reason}"


def _cost(played: list[tuple[Task, Played]]) -> Row:
    return {
        "enroll_ms": float(np.median([each.enroll_ms for _, each in played])),
        "score_ms": float(np.median([each.score_ms for _, each in played])),
        "template_bytes": int(np.median([each.stored_bytes for _, each in played])),
    }


def uses_cohort(setting: str, model: str) -> bool:
    """Whether this model learns from other people in this setting; the others are scored as they are."""
    return setting.startswith("cohort") and model == NearestRecent2.name


def _origin(work: Work, data: int, setting: str, model: str) -> Row:
    """Where the constants come from with which these people were scored, and of how many of them they were fitted."""
    held, users, chosen = work.sets[data], work.users[data, setting], MODELS[model]
    if uses_cohort(setting, model):
        used, saw = {cohorts.CONSTANTS: len(users)}, 0
    else:
        used = Counter(chosen.unseen(held, user).constants for user in users)
        saw = sum(chosen.saw(held, user) for user in users)
    words = [f"{words} ({count} people)" if len(used) > 1 else words for words, count in used.items()]
    return {
        "split": split_hash(held, SETTINGS[setting], users, work.seed),
        "seed": work.seed,
        "constants": "; ".join(words),
        "constants_saw": saw,
        "trained_every": chosen.cadence,
    }


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
        try:
            yield _Runner(executor, advance)
        except BaseException:  # Ctrl-C, above all: what nobody waits for any more must not be scored first
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _prepare(sets: Sequence[KeystrokeSet], seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command hears it, and says so once
    threadpool_limits(1)
    _Workbench.here = _Workbench(sets, seed)


def _spared(do: Callable[[Task], Result]) -> Callable[[Task], Result | Refused]:
    """What one person's repetitions do not allow ends nothing else."""

    @wraps(do)
    def tried(task: Task) -> Result | Refused:
        try:
            return do(task)
        except (ValueError, FloatingPointError, np.linalg.LinAlgError, DatasetInvalid) as wrong:
            name = _Workbench.here.sets[task.data].people[task.user].name
            return Refused(f"{task.model}, subject {name}: {wrong}")

    return tried


@_spared
def _quiet(task: Task) -> Floats:
    here = _Workbench.here
    return quiet_scores(here.sets[task.data], MODELS[task.model], task.user, here.seed)


@_spared
def _paper(task: Task) -> literature.Paper:
    here = _Workbench.here
    return literature.play_paper(here.sets[task.data], task.user, task.model, here.seed)


@_spared
def _play(task: Task) -> Played:
    here = _Workbench.here
    data, model = here.sets[task.data], MODELS[task.model]
    plan = SETTINGS[task.setting].plan(data, task.user, here.seed)
    if plan is None:
        raise ValueError(f"{task.setting} has no plan for user {task.user}")
    if isinstance(plan, Confirmed):
        limit = -np.inf if task.limit is None else task.limit
        return play_confirmed(data, plan, model, task.user, here.seed, limit=limit)
    if isinstance(plan, Disjoint):
        if uses_cohort(task.setting, task.model):
            of = partial(here.background, task.data, plan)
            return cohorts.play_disjoint(data, plan, task.user, of, model.unseen(data, task.user))
        plan = plan.stages
    return play(data, plan, model, task.user, here.seed)
