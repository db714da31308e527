"""Fit every constant of a detector on CMU repetitions 1-200, and say how well each fits out of fold.

``python -m sidecar.evaluation.fit_calibration --data FOLDER --detector NAME --json OUT``. The result is read by a
person and put into ``sidecar.scoring``; nothing at run time reads the file. The shipped scorer has a fit of its own,
``fit_second``.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from sidecar.domain.biometrics import Floats, Layout
from sidecar.evaluation import login_protocol, metrics
from sidecar.evaluation.datasets import hold_and_down_down, load_cmu
from sidecar.evaluation.trials import (
    COARSE,
    FIT_REPETITIONS,
    Cell,
    Design,
    Grid,
    cells,
    position_designs,
    span,
    summary,
)
from sidecar.scoring import DETECTORS
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.nearest_recent import NearestRecent
from sidecar.scoring.nearest_recent_2 import NearestRecent2, transform

FOLDS = 5
GENUINE_AIM = 0.085  # share of genuine logins challenged by the shipped threshold in the windows it is chosen on
_SEED = 1
FIRST = NearestRecent()


def fit(data: dict[str, Floats]) -> dict[str, object]:
    """All fits as plain values for JSON. ``data`` as from ``load_cmu``."""
    detector = FIRST
    positions = list(cells(data, detector, position_designs()))
    summaries = list(cells(data, detector, (summary(),)))
    constants = logistic(positions)
    return {
        "scales": scales(data),
        "positions": {"constants": constants.tolist(), **quality(positions)},
        "summary": {"constants": logistic(summaries).tolist(), **quality(summaries)},
        "evidence": evidence(positions),
        "combination": combination(data, constants),
        "threshold": threshold(data, constants),
    }


def basis(cell: Cell, distance: Floats) -> Floats:
    """Columns d, d F, d N, 1, F, N of distances (m,), shape (m, 6); see ``Calibration``."""
    f, n = np.log(cell.design.features / 30.0), np.log(cell.samples / 10.0)
    one = np.ones_like(distance)
    f = 0.0 if cell.design.layout == "summary" else f
    return np.stack([distance, distance * f, distance * n, one, one * f, one * n], axis=1)


def logistic(chosen: list[Cell]) -> Floats:
    """Logistic regression on the basis, (6,): cells and classes weigh the same. Negative slope trends are
    left out.
    """
    rows = np.concatenate([basis(cell, part) for cell in chosen for part in (cell.genuine, cell.impostor)])
    sizes = [part.size for cell in chosen for part in (cell.genuine, cell.impostor)]
    labels = np.repeat(np.tile([0, 1], len(chosen)), sizes)
    weights = np.repeat(1.0 / np.array(sizes, dtype=np.float64), sizes)
    kept = [column for column in range(6) if np.ptp(rows[:, column]) > 0 or column == 3]
    while True:
        model = LogisticRegression(C=1e6, fit_intercept=False, max_iter=2000)
        model.fit(rows[:, kept], labels, sample_weight=weights * weights.size / weights.sum())
        found = np.zeros(6)
        found[kept] = model.coef_[0]
        negative = [column for column in (1, 2) if found[column] < 0]
        if not negative:
            return found
        kept = [column for column in kept if column not in negative]


def quality(chosen: list[Cell]) -> dict[str, dict[str, float]]:
    """Cllr, its minimum and ECE out of fold (subjects), by features/samples and all trials pooled."""
    fold_of = np.random.default_rng(_SEED).permutation(51) % FOLDS
    groups: dict[str, tuple[list[Floats], list[Floats]]] = {}
    for fold in range(FOLDS):
        constants = logistic([cell for cell in chosen if fold_of[cell.subject] != fold])
        for cell in chosen:
            if fold_of[cell.subject] != fold:
                continue
            scored = [basis(cell, part) @ constants for part in (cell.genuine, cell.impostor)]
            for key in (f"{cell.design.features}/{cell.samples}", "all"):
                group = groups.setdefault(key, ([], []))
                group[0].append(scored[0])
                group[1].append(scored[1])
    return {key: figures_of(np.concatenate(g), np.concatenate(i)) for key, (g, i) in sorted(groups.items())}


def evidence(chosen: list[Cell]) -> dict[str, float]:
    """Least-squares fit of 1 - min Cllr over cells by ceiling * f / (f + a) * n / (n + b)."""
    found = quality(chosen)
    points = []
    for key, figures in found.items():
        if key != "all":
            features, samples = key.split("/")
            points.append((float(features), float(samples), 1.0 - figures["min_cllr"]))
    f, n, y = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    best = (np.inf, 0.0, 0.0, 0.0)
    for a in np.arange(0.5, 30.0, 0.5):
        for b in np.arange(0.0, 10.0, 0.1):
            x = f / (f + a) * n / (n + b)
            ceiling = min(float(x @ y / (x @ x)), 0.99)
            best = min(best, (float(np.sqrt(np.mean((ceiling * x - y) ** 2))), ceiling, float(a), float(b)))
    return dict(zip(("rmse", "ceiling", "feature_half", "sample_half"), best, strict=True))


def combination(data: dict[str, Floats], constants: Floats) -> dict[str, float]:
    """Overlap of two fields: the password's halves as two fields of one login; one weight for the sum, no
    intercept.
    """
    detector = FIRST
    halves = [[c for c in cells(data, detector, (span(5, start),)) if c.samples in (5, 10, 20)] for start in (0, 5)]
    rows, labels, weights = [], [], []
    for one, two in zip(*halves, strict=True):
        for label, name in enumerate(("genuine", "impostor")):
            pair = [basis(cell, getattr(cell, name)) @ constants for cell in (one, two)]
            rows.append(np.sum(pair, axis=0))
            labels.append(np.full(rows[-1].size, label))
            weights.append(np.full(rows[-1].size, 1.0 / rows[-1].size))
    x, y, w = np.concatenate(rows)[:, None], np.concatenate(labels), np.concatenate(weights)
    model = LogisticRegression(C=1e6, fit_intercept=False).fit(x, y, sample_weight=w * w.size / w.sum())
    weight = float(model.coef_[0, 0])
    after = weight * x[:, 0]
    figures = figures_of(after[y == 0], after[y == 1])
    plain = metrics.cllr(x[y == 0, 0], x[y == 1, 0])
    return {"weight": weight, "overlap": 1.0 / weight - 1.0, "sum_cllr": plain, **figures}


def threshold(data: dict[str, Floats], constants: Floats) -> dict[str, object]:
    """Distance and LLR at which the aimed share of genuine logins is challenged, in windows within 1-200."""
    found: dict[str, object] = {}
    parts = [login_protocol.score(data, FIRST, window=w, scale="distance") for w in login_protocol.CHOICE]
    genuine = np.concatenate([part.genuine for part in parts])
    for aim in (0.06, 0.07, 0.08, GENUINE_AIM, 0.09, 0.10):
        at = float(np.quantile(genuine, 1.0 - aim))
        shares = [[float(np.mean(s >= at)) for s in (p.genuine, p.first, p.practised)] for p in parts]
        found[f"{aim:.3f}"] = {
            "distance": at,
            "llr": float(constants[0] * at + constants[3]),
            "shares": shares,
        }
    return found


def scales(data: dict[str, Floats]) -> dict[Layout, list[float]]:
    """Common scale by kind: mean of the mean absolute deviations from the median in windows of 30
    repetitions.
    """
    found: dict[Layout, list[float]] = {}
    for design in (span(10, 0), summary()):
        found[design.layout] = _scales(data, design)
    return found


def _scales(data: dict[str, Floats], design: Design) -> list[float]:
    away = []
    for block in data.values():
        moved = transform(design.make(*hold_and_down_down(block[:FIT_REPETITIONS])), design.kinds)
        for end in range(30, FIT_REPETITIONS + 1, 10):
            window = moved[end - 30 : end]
            away.append(np.abs(window - np.median(window, axis=0)).mean(axis=0))
    mean = np.mean(away, axis=0)
    return [float(mean[design.kinds == kind].mean()) for kind in range(3)]


def figures_of(genuine: Floats, impostor: Floats) -> dict[str, float]:
    return {
        "cllr": metrics.cllr(genuine, impostor),
        "min_cllr": metrics.min_cllr(genuine, impostor),
        "ece": metrics.expected_calibration_error(genuine, impostor),
    }


def fit_any(data: dict[str, Floats], detector: OneClassDetector, grid: Grid = COARSE) -> dict[str, object]:
    """Calibration of any detector, on fewer cells: 6 and 10 keys, and the summary numbers."""
    found: dict[str, object] = {}
    for layout, designs in {"positions": (span(6, 0), span(6, 4), span(10, 0)), "summary": (summary(),)}.items():
        chosen = list(cells(data, detector, designs, grid=grid))
        found[layout] = {"constants": logistic(chosen).tolist(), "quality": quality(chosen)["all"]}
    return found


def main() -> None:
    """Command line: ``--data`` CMU file or folder, ``--detector``, ``--json`` where the result goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--json", required=True)
    others = sorted(name for name in DETECTORS if name != NearestRecent2.name)
    parser.add_argument("--detector", default=FIRST.name, choices=others)
    chosen = parser.parse_args()
    data = load_cmu(chosen.data)
    found = fit(data) if chosen.detector == FIRST.name else fit_any(data, DETECTORS[chosen.detector])
    Path(chosen.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
