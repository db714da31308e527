"""Fit every constant of a detector on CMU repetitions 1-200, and say how well each fits out of fold.

``python -m sidecar.evaluation.fit_calibration --data FOLDER --detector NAME --json OUT``. The result is read by a
person and put into ``sidecar.scoring``; nothing at run time reads the file. ``nearest-recent-2`` (three minutes) also
gets its form, and is fitted twice more, on the even and on the odd subjects alone: what ``evaluate keystroke`` scores
the other half with, from ``keystroke/halves.json``. The first scorer's constants come from ``fit`` as it was.
"""

import argparse
import json
from dataclasses import asdict, is_dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from sidecar.domain.biometrics import Floats, Kind, Layout
from sidecar.evaluation import login_protocol, metrics
from sidecar.evaluation.datasets import hold_and_down_down, load_cmu
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.sets import UNIT_REPETITIONS, KeystrokeSet
from sidecar.evaluation.trials import (
    ANOTHER_DAY,
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
from sidecar.scoring.calibrations import Calibration
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.fitted import CONSTANTS
from sidecar.scoring.form import Five, Form, Four
from sidecar.scoring.nearest_recent import NearestRecent
from sidecar.scoring.nearest_recent_2 import PART_NAMES, NearestRecent2, transform

FOLDS = 5
GENUINE_AIM = 0.085  # share of genuine logins challenged by the shipped threshold in the windows it is chosen on
_SEED = 1
FIRST = NearestRecent()
LAYOUTS: tuple[Layout, ...] = ("positions", "summary")
# Quantiles have no usual holds and no rhythm: of the summary layout only nearness, with and without the tempo, counts.
USED: dict[Layout, tuple[int, ...]] = {"positions": (0, 1, 2, 3), "summary": (0, 2)}


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
    return {key: _figures(np.concatenate(g), np.concatenate(i)) for key, (g, i) in sorted(groups.items())}


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
    figures = _figures(after[y == 0], after[y == 1])
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


def _figures(genuine: Floats, impostor: Floats) -> dict[str, float]:
    return {
        "cllr": metrics.cllr(genuine, impostor),
        "min_cllr": metrics.min_cllr(genuine, impostor),
        "ece": metrics.expected_calibration_error(genuine, impostor),
    }


def fit_second(data: dict[str, Floats]) -> dict[str, object]:
    """Everything of ``nearest-recent-2``: from all subjects, and from each half alone with its quality on the other.

    Halves are the even and the odd places of the sorted subjects, as in ``evaluate keystroke``.
    """
    names = sorted(data)
    even, odd = ({name: data[name] for name in names[start::2]} for start in (0, 1))
    whole = second_constants(data)
    halves = {"even": second_constants(even), "odd": second_constants(odd)}
    found = {"all": whole, **halves}
    plain: dict[str, object] = {
        key: {"form": _plain(form), "calibrations": {k: _plain(v) for k, v in calibrations.items()}}
        for key, (form, calibrations) in found.items()
    }
    plain["quality on the other half"] = {
        "even": _second_quality(odd, *halves["even"]),
        "odd": _second_quality(even, *halves["odd"]),
    }
    plain["threshold"] = _second_threshold(data, *whole)
    return plain


def second_constants(data: dict[str, Floats]) -> tuple[Form, dict[Layout, Calibration]]:
    """Form and calibrations of ``nearest-recent-2`` from these subjects alone."""
    form = Form(
        scale={layout: _five(values, layout) for layout, values in scales(data).items()},
        hold=holds(data),
        weights=CONSTANTS.weights,
        provenance="",
    )
    measured: dict[Layout, list[Cell]] = {}
    weights: dict[Layout, Four] = {}
    for layout in LAYOUTS:
        detector = NearestRecent2(form)
        designs = position_designs() if layout == "positions" else (summary(),)
        measured[layout] = list(cells(data, detector, designs, grid=ANOTHER_DAY, measure=detector.parts))
        weights[layout] = part_weights(measured[layout], USED[layout])
    form = Form(form.scale, form.hold, weights, provenance="")
    made: dict[Layout, Calibration] = {}
    for layout, chosen in measured.items():
        weighed = [_weighed(cell, weights[layout]) for cell in chosen]
        constants = [float(round(value, 3)) for value in logistic(weighed)]
        sizes = [cell.design.features for cell in chosen]
        slope, offset = (constants[0], constants[1], constants[2]), (-constants[3], -constants[4], -constants[5])
        made[layout] = Calibration(slope, offset, (min(sizes), max(sizes)), "")
    return form, made


def part_weights(chosen: list[Cell], used: tuple[int, ...]) -> Four:
    """Logistic regression on the parts; cells and classes weigh the same. Parts of negative weight are left out."""
    rows = np.concatenate([part for cell in chosen for part in (cell.genuine, cell.impostor)])
    sizes = [len(part) for cell in chosen for part in (cell.genuine, cell.impostor)]
    labels = np.repeat(np.tile([0, 1], len(chosen)), sizes)
    weights = np.repeat(1.0 / np.array(sizes, dtype=np.float64), sizes)
    kept = list(used)
    while True:
        model = LogisticRegression(C=1e4, max_iter=2000)
        model.fit(rows[:, kept], labels, sample_weight=weights * weights.size / weights.sum())
        found = np.zeros(len(PART_NAMES))
        found[kept] = model.coef_[0]
        if (found >= 0).all():
            first, second, third, fourth = (float(round(value, 3)) for value in found)
            return first, second, third, fourth
        kept = [column for column in kept if found[column] >= 0]


def holds(data: dict[str, Floats]) -> dict[Layout, tuple[float, float]]:
    """Middle and spread of people's median holds, in the space of ``nearest-recent-2``."""
    found: dict[Layout, tuple[float, float]] = {}
    for design in (span(10, 0), summary()):
        chosen = design.kinds == 0
        rows = [
            np.median(
                transform(design.make(*hold_and_down_down(block[:FIT_REPETITIONS])), design.kinds)[:, chosen], axis=0
            )
            for block in data.values()
        ]
        middle = np.median(np.stack(rows)[:, :5] if design.layout == "summary" else np.stack(rows))
        spread = np.std(np.stack(rows)[:, :5] if design.layout == "summary" else np.stack(rows))
        found[design.layout] = float(round(middle, 4)), float(round(spread, 4))
    return found


def fit_any(data: dict[str, Floats], detector: OneClassDetector, grid: Grid = COARSE) -> dict[str, object]:
    """Calibration of any detector, on fewer cells: 6 and 10 keys, and the summary numbers."""
    found: dict[str, object] = {}
    for layout, designs in {"positions": (span(6, 0), span(6, 4), span(10, 0)), "summary": (summary(),)}.items():
        chosen = list(cells(data, detector, designs, grid=grid))
        found[layout] = {"constants": logistic(chosen).tolist(), "quality": quality(chosen)["all"]}
    return found


def touch_scales(data: KeystrokeSet, people: slice) -> tuple[float, float]:
    """Usual spread of pressure and size in the space of ``nearest-recent-2``: repetitions 6-35 of these people."""
    found = []
    for kind in (Kind.PRESSURE, Kind.SIZE):
        columns = data.touch_kinds == kind
        rows = [transform(p.values[UNIT_REPETITIONS, columns], data.touch_kinds[columns]) for p in data.people[people]]
        found.append(float(np.mean([np.abs(row - np.median(row, axis=0)).mean() for row in rows])))
    return round(found[0], 4), round(found[1], 4)


def _second_quality(
    data: dict[str, Floats], form: Form, calibrations: dict[Layout, Calibration]
) -> dict[str, dict[str, dict[str, float]]]:
    """Cllr, its minimum and ECE on subjects that the constants never saw, by features/samples and all pooled."""
    detector = NearestRecent2(form)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for layout in LAYOUTS:
        constants = calibrations[layout]
        row = np.array([*constants.slope, *(-value for value in constants.offset)])
        designs = position_designs() if layout == "positions" else (summary(),)
        groups: dict[str, tuple[list[Floats], list[Floats]]] = {}
        for cell in cells(data, detector, designs, grid=ANOTHER_DAY):
            for key in (f"{cell.design.features}/{cell.samples}", "all"):
                group = groups.setdefault(key, ([], []))
                group[0].append(basis(cell, cell.genuine) @ row)
                group[1].append(basis(cell, cell.impostor) @ row)
        found[layout] = {key: _figures(np.concatenate(g), np.concatenate(i)) for key, (g, i) in groups.items()}
    return found


def _second_threshold(
    data: dict[str, Floats], form: Form, calibrations: dict[Layout, Calibration]
) -> dict[str, object]:
    """Shares challenged at a few LLRs in the windows within 1-200 that thresholds are chosen in."""
    constants, detector = calibrations["positions"], NearestRecent2(form)
    parts = [login_protocol.score(data, detector, window=w, scale="distance") for w in login_protocol.CHOICE]
    shares: dict[str, object] = {}
    for llr in (0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5):
        at = (llr + constants.offset[0]) / constants.slope[0]
        shares[f"{llr}"] = [[float(np.mean(s >= at)) for s in (p.genuine, p.first, p.practised)] for p in parts]
    return shares


def _weighed(cell: Cell, weights: Four) -> Cell:
    row = np.array(weights)
    return Cell(cell.subject, cell.design, cell.samples, cell.genuine @ row, cell.impostor @ row)


def _five(times: list[float], layout: Layout) -> Five:
    hold, down_down, up_down = (float(round(value, 4)) for value in times)
    return hold, down_down, up_down, CONSTANTS.scale[layout][3], CONSTANTS.scale[layout][4]


def _plain(value: object) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def main() -> None:
    """Command line: ``--data`` CMU file or folder, ``--detector``, ``--json`` where the result goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--touch", help="a set with pressure and size: print its usual spreads, and of its halves")
    parser.add_argument("--detector", default=NearestRecent2.name, choices=sorted(DETECTORS))
    chosen = parser.parse_args()
    data = load_cmu(chosen.data)
    if chosen.detector == FIRST.name:
        found = fit(data)
    elif chosen.detector == NearestRecent2.name:
        found = {"digest": find_sets(Path(chosen.data))[0][0].digest, **fit_second(data)}
    else:
        found = fit_any(data, DETECTORS[chosen.detector])
    if chosen.touch:
        touch = find_sets(Path(chosen.touch))[0][0]
        halves = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}
        found["touch"] = {"digest": touch.digest, **{name: touch_scales(touch, part) for name, part in halves.items()}}
    Path(chosen.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
