"""Two-class classifiers as many papers evaluate them, and what is left of their figures when impostors are new.

One classifier for each person: their repetitions against other people's first five, min-max scaling and SMOTE (Chawla
et al. 2002) over all rows before they are split, stratified five-fold cross-validation, and the best of a small grid by
the same folds. Nothing of this can be used at a login: it needs impostors to train on, and here it is tested on the very
people it was trained with, on repetitions of the same sittings, after the scaling and the synthetic rows have seen the
test rows. ``Paper.unseen_*`` are of the same classifier trained honestly: own 1-200 and one half of the other people,
tested on own 201-400 and the other half.

Needs imbalanced-learn, the extra ``literature`` of the package.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from sidecar.domain.biometrics import Floats
from sidecar.errors import BadRequest
from sidecar.evaluation.keystroke.figures import Row
from sidecar.evaluation.keystroke.plans import others
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.scoring.explain import median_of

SETTING = "literature"
PUBLISHED_ACCURACY, PUBLISHED_MS = 0.962, 80.0
FOLDS = 5
FEWEST_ROWS = 2  # of each class, without which SMOTE has no neighbour
FEWEST = 20  # own repetitions: four a fold, and SMOTE needs neighbours
LEARNED = 200
NOT_APPLICABLE = "not applicable: fewer than three people with 20 repetitions, or of the others fewer than five"
TIMED = 5
WHY = (
    "Why this flatters: every impostor it is tested on is a person it was trained with, test rows lie among training rows"
    " of the same sittings, scaling and synthetic rows saw them all, the grid was chosen on the same folds, and half of all"
    " attempts being the owner's makes accuracy look like an error rate. A real impostor is somebody new, on another day."
)


@dataclass(frozen=True, slots=True)
class Classifier:
    """A two-class learner of the papers with the grid it is searched over."""

    name: str
    make: Callable[[int], Any]
    grid: dict[str, list[Any]]


CLASSIFIERS: dict[str, Classifier] = {
    each.name: each
    for each in (
        Classifier(
            "random-forest-two-class",
            lambda seed: RandomForestClassifier(n_estimators=100, random_state=seed),
            {"max_features": ["sqrt", 0.5]},
        ),
        Classifier(
            "svm-two-class", lambda seed: SVC(random_state=seed), {"C": [1.0, 10.0, 100.0], "gamma": ["scale", 0.5]}
        ),
        Classifier(
            "gradient-boosting-two-class",
            lambda seed: GradientBoostingClassifier(
                n_estimators=60, subsample=0.5, max_features="sqrt", random_state=seed
            ),
            {"max_depth": [2, 4]},
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Paper:
    """One person and classifier: as papers count (positive: the owner), and with people and days it never saw (or None)."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    inference_ms: float
    unseen_false_accepts: float | None
    unseen_false_rejects: float | None


def refuse_without_library() -> None:
    """Raise BadRequest, with what to install, where imbalanced-learn is missing."""
    try:
        import imblearn  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - optional
    except ImportError:
        raise BadRequest(
            "--baselines literature needs imbalanced-learn: pip install 'gaitkeeper[literature]'"
        ) from None


def users(data: KeystrokeSet) -> list[int]:
    """Who has repetitions enough, and five of others to tell them from; empty where fewer than three people do."""
    found = [
        user
        for user, person in enumerate(data.people)
        if len(person.values) >= FEWEST and len(others(data, user, 1, 5)) >= FOLDS
    ]
    return found if len(found) > 2 else []


def play_paper(data: KeystrokeSet, user: int, name: str, seed: int) -> Paper:
    """Cross-validate one person's classifier as papers do, then train and test it honestly."""
    chosen = CLASSIFIERS[name]
    rows, labels = _rows(data, user)
    scaled = MinMaxScaler().fit_transform(rows)
    balanced, balanced_labels = _smote(scaled, labels, seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    names = ("accuracy", "precision", "recall", "f1")
    search = GridSearchCV(
        chosen.make(seed), chosen.grid, scoring=names, refit="accuracy", cv=folds, error_score="raise"
    )
    search.fit(balanced, balanced_labels)
    best = search.best_index_
    scores = {each: float(search.cv_results_[f"mean_test_{each}"][best]) for each in names}
    accepts, rejects = _unseen(data, user, clone(search.best_estimator_), seed)
    return Paper(
        **scores,
        inference_ms=_inference_ms(search.best_estimator_, scaled),
        unseen_false_accepts=accepts,
        unseen_false_rejects=rejects,
    )


def rows_of(data: KeystrokeSet, played: dict[tuple[str, int], Paper], seed: int) -> Iterator[Row]:
    """One row of the report for each classifier: means over people."""
    for name in CLASSIFIERS:
        papers = [paper for (each, _), paper in played.items() if each == name]
        head: Row = {"set": data.name, "setting": SETTING, "detector": name}
        empty: Row = dict.fromkeys(("eer", "geer", "far_at_frr1", "far_at_frr5", "cllr", "ece"))
        wanted = users(data)
        if not papers:
            none = "failed: nobody could be scored" if wanted else NOT_APPLICABLE
            yield {**head, **empty, "status": none}
            continue
        figures: Row = {each: _mean([getattr(paper, each) for paper in papers]) for each in Paper.__slots__}
        yield {
            **head,
            "status": "two classes, as papers count",
            **empty,
            **figures,
            "published_accuracy": PUBLISHED_ACCURACY,
            "published_ms": PUBLISHED_MS,
            "subjects": len(papers),
            "left_out": len(wanted) - len(papers),
            "split": split_hash(data, seed),
            "why": WHY,
        }


def split_hash(data: KeystrokeSet, seed: int) -> str:
    """Hash of the set's content and of what decides the folds, in 16 hexadecimal digits."""
    return hashlib.sha256(f"{data.digest} {SETTING} {FOLDS} {LEARNED} {seed}".encode()).hexdigest()[:16]


def _rows(data: KeystrokeSet, user: int) -> tuple[Floats, NDArray[np.int64]]:
    """The owner's repetitions (1) and the others' first five (0); gaps are the column's median, as papers fill them."""
    own = data.people[user].values
    strange = _taken(data, others(data, user, 1, 5).tolist())
    rows = _filled(np.concatenate([own, strange]))
    return rows, np.repeat(np.array([1, 0]), [len(own), len(strange)])


def _unseen(data: KeystrokeSet, user: int, model: Any, seed: int) -> tuple[float | None, float | None]:
    """False accepts of people, and false rejects of later own repetitions, that training never saw."""
    own = data.people[user].values
    learned = min(LEARNED, len(own) // 2)
    pairs = others(data, user, 1, 5).tolist()
    known = [pair for pair in pairs if pair[0] % 2 == user % 2]
    new = [pair for pair in pairs if pair[0] % 2 != user % 2]
    if len(known) < FEWEST_ROWS or not new:
        return None, None
    rows = np.concatenate([own[:learned], _taken(data, known)])
    labels = np.repeat(np.array([1, 0]), [learned, len(known)])
    scaler = MinMaxScaler().fit(_filled(rows))
    balanced, balanced_labels = _smote(scaler.transform(_filled(rows)), labels, seed)
    model.fit(balanced, balanced_labels)
    said = [model.predict(scaler.transform(_filled(part, rows))) for part in (_taken(data, new), own[learned:])]
    return float(np.mean(said[0] == 1)), float(np.mean(said[1] == 0))


def _smote(rows: Floats, labels: NDArray[np.int64], seed: int) -> tuple[Floats, NDArray[np.int64]]:
    from imblearn.over_sampling import SMOTE  # type: ignore[import-untyped]  # noqa: PLC0415 - optional

    fewest = int(np.bincount(labels).min())
    if fewest < FEWEST_ROWS:
        raise ValueError(f"{fewest} repetitions of one side are too few to make synthetic ones from")
    found: tuple[Floats, NDArray[np.int64]] = SMOTE(random_state=seed, k_neighbors=min(5, fewest - 1)).fit_resample(
        rows, labels
    )
    return found


def _taken(data: KeystrokeSet, pairs: list[list[int]]) -> Floats:
    return np.stack([data.people[person].values[row] for person, row in pairs])


def _filled(rows: Floats, by: Floats | None = None) -> Floats:
    source = rows if by is None else by
    return np.where(np.isfinite(rows), rows, np.nan_to_num(median_of(list(source))))


def _inference_ms(model: Any, rows: Floats) -> float:
    times = []
    for row in rows[:TIMED]:
        began = perf_counter()
        model.predict(row[None, :])
        times.append((perf_counter() - began) * 1000.0)
    return float(np.median(times))


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
