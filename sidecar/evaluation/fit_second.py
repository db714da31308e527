"""Fit the form and the calibration of ``nearest-recent-2``, so that they hold for other texts, keyboards and paces as well.

``python -m sidecar.evaluation.fit_second --data CMU --touch MEU --json OUT``; some five minutes. The result is read by
a person and put into ``sidecar.scoring``; ``fit_halves`` makes ``keystroke/halves.json`` of it. Everything is fitted on all people,
and twice more on the even and the odd places of the sorted subjects of both sets alone; impostors are of the same half.

The pool: templates and attempts of ``SCHEDULE`` (CMU repetitions 1-200 only) and ``TOUCH_SCHEDULE`` (MEU repetitions 6-35
only), each in several ``views``: shorter and longer texts, some kinds missing, other lengths of holds, other paces.
The text as it was typed weighs more than any one change of it. Every schedule entry and view counts as often as its
weight says, every person in it the same, and both classes the same.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from sidecar.domain.biometrics import Floats, Kind, Layout, Sample
from sidecar.evaluation import login_protocol, metrics
from sidecar.evaluation.datasets import hold_and_down_down, load_cmu
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.sets import UNIT_REPETITIONS, KeystrokeSet
from sidecar.evaluation.trials import FIT_REPETITIONS, Design, only, sixteen, span, stretched, summary
from sidecar.scoring.calibrations import Calibration
from sidecar.scoring.contract import WHOLE, Mix, mixes
from sidecar.scoring.form import Five, Form, Six
from sidecar.scoring.nearest_recent_2 import PART_NAMES, NearestRecent2, transform, units

LAYOUTS: tuple[Layout, ...] = ("positions", "summary")
# Quantiles have no usual holds and no rhythm: of the summary layout only nearness, with and without the tempo, counts.
USED: dict[Layout, tuple[int, ...]] = {"positions": (0, 1, 2, 3, 4, 5), "summary": (0, 3)}
HOLD, STEP, GAP = Kind.HOLD, Kind.DOWN_DOWN, Kind.UP_DOWN
OWN, STRANGE = 20, 40  # attempts of a person that are fitted on, spread evenly over those there are
_WINDOW = 30  # samples over which the usual spread is measured

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Turn:
    """One template of each person and what is tried on it, as rows counted from 0."""

    template: Rows
    own: Rows
    strange: Rows


@dataclass(frozen=True, slots=True)
class View:
    """One text as recorded: everybody's rows, (n, d) in ms each, and their kinds."""

    name: str
    weight: float
    layout: Layout
    kinds: NDArray[np.uint8]
    people: Sequence[Floats]


@dataclass(frozen=True, slots=True)
class Tried:
    """Parts of one person's attempts in one view and schedule entry, (g, 6) and (i, 6)."""

    group: str
    weight: float
    features: int
    mix: Mix
    samples: int
    own: Floats
    strange: Floats


def _rows(first: int, last: int) -> Rows:
    return np.arange(first - 1, last)


_FIRST, _LAST = _rows(1, 5), _rows(196, 200)  # strangers' first attempts, and practised ones
SCHEDULE: dict[str, tuple[float, tuple[Turn, ...]]] = {
    "many": (1.0, (Turn(_rows(1, 100), _rows(101, 200), _FIRST),)),
    "many, practised": (0.5, (Turn(_rows(1, 100), _rows(101, 200), _LAST),)),
    "known 10": (1.0, (Turn(_rows(91, 100), _rows(101, 200), _FIRST),)),
    "known 10, practised": (0.5, (Turn(_rows(91, 100), _rows(101, 200), _LAST),)),
    "one a day": (
        1.0,
        (
            Turn(np.array([0, 50]), _rows(101, 105), _FIRST),
            Turn(np.array([0, 50, 100]), _rows(151, 155), _FIRST),
        ),
    ),
    "days": (1.0, tuple(Turn(_rows(1, end), _rows(end + 1, end + 50), _FIRST) for end in (50, 100, 150))),
    **{f"first {n}": (0.4, (Turn(_rows(1, n), _rows(n + 1, 200), _FIRST),)) for n in (5, 10, 20)},
    **{f"first {n}, practised": (0.2, (Turn(_rows(1, n), _rows(n + 1, 200), _LAST),)) for n in (5, 10, 20)},
    **{f"late {n}": (0.7, (Turn(_rows(151, 150 + n), _rows(151 + n, 200), _rows(151, 155)),)) for n in (5, 10)},
}
TOUCH_SCHEDULE: dict[str, tuple[float, tuple[Turn, ...]]] = {
    "touch 5": (1.0, (Turn(_rows(1, 5), _rows(6, 30), _FIRST),)),
    "touch 10": (1.0, (Turn(_rows(1, 10), _rows(11, 30), _FIRST),)),
    "touch 20": (0.75, (Turn(_rows(1, 20), _rows(21, 30), _FIRST),)),
}


def designs() -> dict[Layout, tuple[tuple[float, Design], ...]]:
    """How CMU is looked at, with weights."""
    whole, part = span(10, 0), span(7, 2)
    positions = (
        (3.0, whole),
        (0.7, span(4, 0)),
        (0.7, part),
        (0.5, sixteen()),
        *((0.5, stretched(whole, hold=by)) for by in (0.6, 0.8, 1.5)),
        *((0.5, stretched(whole, tempo=by)) for by in (0.6, 1.6)),
        (0.5, only(whole, STEP)),
        (0.5, only(part, STEP)),
        (0.5, only(whole, HOLD)),
        (0.3, only(whole, STEP, GAP)),
        (0.3, only(whole, HOLD, STEP)),
    )
    return {"positions": positions, "summary": ((1.0, summary()),)}


def views_of_cmu(people: Sequence[Floats], layout: Layout) -> Iterator[View]:
    """Views of repetitions 1-200; ``people``: CMU rows of each."""
    split = [hold_and_down_down(block[:FIT_REPETITIONS]) for block in people]
    for weight, design in designs()[layout]:
        yield View(design.name, weight, layout, design.kinds, [design.make(*parts) for parts in split])


def views_of_touch(data: KeystrokeSet, people: slice) -> Iterator[View]:
    """Views of MEU repetitions 6-35: with and without pressure and size, and of some kinds."""
    kinds = data.touch_kinds
    rows = [person.values[UNIT_REPETITIONS] for person in data.people[people]]
    longer = [np.where(kinds == HOLD, 0.6, 1.0) * each for each in rows]
    times = kinds <= GAP
    chosen: tuple[tuple[str, float, NDArray[np.bool_], Sequence[Floats]], ...] = (
        ("touch", 2.0, np.ones(kinds.size, dtype=np.bool_), rows),
        ("touch, times alone", 2.0, times, rows),
        ("touch, holds x0.6", 0.5, np.ones(kinds.size, dtype=np.bool_), longer),
        ("touch DOWN_DOWN", 0.5, kinds == STEP, rows),
        ("touch HOLD", 0.5, kinds == HOLD, rows),
    )
    for name, weight, columns, values in chosen:
        yield View(name, weight, "positions", kinds[columns], [each[:, columns] for each in values])


def tried(
    view: View, schedule: dict[str, tuple[float, tuple[Turn, ...]]], detector: NearestRecent2, cap: bool = True
) -> Iterator[Tried]:
    """Everybody's attempts in one view. ``cap``: as many as are fitted on, else all."""
    mix = mixes(view.kinds, view.layout, np.ones((1, view.kinds.size), dtype=np.bool_))[0]
    for name, (weight, turns) in schedule.items():
        for user, own in enumerate(view.people):
            near, far = [], []
            for turn in turns:
                samples = [Sample(own[row], float(row)) for row in turn.template]
                template = detector.enroll(samples, view.kinds, view.layout)
                strange = np.concatenate([each[turn.strange] for at, each in enumerate(view.people) if at != user])
                near.append(detector.parts(template, own[turn.own]))
                far.append(detector.parts(template, strange))
            parts = [np.concatenate(each) for each in (near, far)]
            if cap:
                parts = [_spread(part, most) for part, most in zip(parts, (OWN, STRANGE), strict=True)]
            share = weight * view.weight / len(view.people)
            count = turns[-1].template.size
            yield Tried(f"{name} | {view.name}", share, view.kinds.size, mix, count, parts[0], parts[1])


def _spread(rows: Floats, most: int) -> Floats:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def circumstances(each: Tried, layout: Layout) -> Floats:
    """F, N and M of ``Calibration``, (3,)."""
    if layout == "summary":
        return np.array([0.0, np.log(each.samples / 10.0), 0.0])
    features = np.log(each.features * each.mix.worth / 30.0)
    return np.array([features, np.log(max(each.samples, 3) / 10.0), each.mix.holds - WHOLE.holds])


def part_weights(chosen: Sequence[Tried], layout: Layout) -> Six:
    """Logistic regression on the parts beside the circumstances. Parts of negative weight are left out."""
    rows, beside, labels, heft = _stacked(chosen, layout)
    kept = list(USED[layout])
    while True:
        columns = np.concatenate([rows[:, kept], beside], axis=1)
        model = LogisticRegression(C=1e4, max_iter=2000).fit(columns, labels, sample_weight=heft)
        found = np.zeros(len(PART_NAMES))
        found[kept] = model.coef_[0][: len(kept)]
        if (found >= 0).all():
            first, second, third, fourth, fifth, sixth = (float(round(value, 3)) for value in found)
            return first, second, third, fourth, fifth, sixth
        kept = [column for column in kept if found[column] >= 0]


def line(chosen: Sequence[Tried], weights: Six, layout: Layout) -> Calibration:
    """Calibration of the weighed parts: logistic regression on distance and circumstances, and their products."""
    rows, beside, labels, heft = _stacked(chosen, layout)
    ones = np.concatenate([np.ones((len(beside), 1)), beside], axis=1)
    columns = np.concatenate([ones * (rows @ np.array(weights))[:, None], ones], axis=1)
    kept = [column for column in range(8) if np.ptp(columns[:, column]) > 0 or column == 4]
    model = LogisticRegression(C=1e6, fit_intercept=False, max_iter=3000)
    model.fit(columns[:, kept], labels, sample_weight=heft)
    found = np.zeros(8)
    found[kept] = model.coef_[0]
    slope, offset = found[:4].round(3).tolist(), (0.0 - found[4:]).round(3).tolist()
    sizes = [each.features * each.mix.worth for each in chosen]
    return Calibration(
        (slope[0], slope[1], slope[2]),
        (offset[0], offset[1], offset[2]),
        (round(min(sizes)), round(max(sizes))),
        "",
        mix=(slope[3], offset[3]),
    )


def _stacked(chosen: Sequence[Tried], layout: Layout) -> tuple[Floats, Floats, Floats, Floats]:
    parts = [part for each in chosen for part in (each.own, each.strange)]
    sizes = np.array([len(part) for part in parts])
    beside = np.repeat(np.stack([circumstances(each, layout) for each in chosen]), sizes[::2] + sizes[1::2], axis=0)
    labels = np.repeat(np.tile([0.0, 1.0], len(chosen)), sizes)
    heft = np.repeat(np.repeat([each.weight for each in chosen], 2) / sizes, sizes)
    return np.concatenate(parts), beside, labels, heft * heft.size / heft.sum()


def scales(people: Sequence[Floats], touch: tuple[float, float]) -> dict[Layout, Five]:
    """Common scale by kind: mean over windows of 30 repetitions of the mean absolute deviation from the median, as a share of
    ``units``; pressure and size as given.
    """
    found: dict[Layout, Five] = {}
    for design in (span(10, 0), summary()):
        away = []
        for block in people:
            moved = transform(design.make(*hold_and_down_down(block[:FIT_REPETITIONS])), design.kinds)
            for end in range(_WINDOW, FIT_REPETITIONS + 1, 10):
                window = moved[end - _WINDOW : end]
                middle = np.median(window, axis=0)
                away.append(np.abs(window - middle).mean(axis=0) / units(middle, design.kinds))
        mean = np.mean(away, axis=0)
        hold, step, gap = (round(float(mean[design.kinds == kind].mean()), 4) for kind in (HOLD, STEP, GAP))
        found[design.layout] = (hold, step, gap, *touch)
    return found


def holds(people: Sequence[Floats]) -> dict[Layout, tuple[float, float, float]]:
    """Logarithms of people's usual holds in the detector's space: middle, spread, spread of a person's keys about their mean."""
    found: dict[Layout, tuple[float, float, float]] = {}
    for design in (span(10, 0), summary()):
        chosen = np.flatnonzero(design.kinds == HOLD)[: 5 if design.layout == "summary" else None]
        usual = np.stack(
            [
                np.log(
                    np.median(transform(design.make(*hold_and_down_down(block[:200])), design.kinds)[:, chosen], axis=0)
                )
                for block in people
            ]
        )
        own = usual - usual.mean(axis=1, keepdims=True)
        found[design.layout] = tuple(round(float(x), 4) for x in (np.median(usual), usual.std(), own.std()))  # type: ignore[assignment]
    return found


def touch_scales(data: KeystrokeSet, people: slice) -> tuple[float, float]:
    """Usual spread of pressure and size in the space of ``nearest-recent-2``: repetitions 6-35 of these people."""
    found = []
    for kind in (Kind.PRESSURE, Kind.SIZE):
        columns = data.touch_kinds == kind
        rows = [transform(p.values[UNIT_REPETITIONS, columns], data.touch_kinds[columns]) for p in data.people[people]]
        found.append(round(float(np.mean([np.abs(row - np.median(row, axis=0)).mean() for row in rows])), 4))
    return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Fit:
    """What people of one half, or all, teach."""

    form: Form
    calibrations: dict[Layout, Calibration]


Pool = Callable[[Layout, NearestRecent2, bool], Iterator[Tried]]


def pool(people: Sequence[Floats], touch: KeystrokeSet, half: slice) -> Pool:
    """All attempts of some people by layout, detector and whether they are capped."""

    def of(layout: Layout, detector: NearestRecent2, cap: bool) -> Iterator[Tried]:
        for view in views_of_cmu(people, layout):
            yield from tried(view, SCHEDULE, detector, cap)
        for view in views_of_touch(touch, half) if layout == "positions" else ():
            yield from tried(view, TOUCH_SCHEDULE, detector, cap)

    return of


def fit(people: Sequence[Floats], touch: KeystrokeSet, half: slice) -> Fit:
    """Form and calibrations from these people alone."""
    scale, hold = scales(people, touch_scales(touch, half)), holds(people)
    none: Six = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    detector = NearestRecent2(Form(scale, hold, dict.fromkeys(LAYOUTS, none), ""))
    weights: dict[Layout, Six] = {}
    calibrations: dict[Layout, Calibration] = {}
    for layout in LAYOUTS:
        chosen = list(pool(people, touch, half)(layout, detector, True))
        weights[layout] = part_weights(chosen, layout)
        calibrations[layout] = line(chosen, weights[layout], layout)
    return Fit(Form(scale, hold, weights, ""), calibrations)


def quality(found: Fit, attempts: Pool) -> dict[str, list[float]]:
    """EER, gEER, Cllr, its minimum and ECE by schedule entry and view of people that the constants never saw."""
    figures: dict[str, list[float]] = {}
    for layout in LAYOUTS:
        groups: dict[str, list[tuple[Floats, Floats]]] = {}
        for each in attempts(layout, NearestRecent2(found.form), False):
            f, n, m = circumstances(each, layout)
            constants = found.calibrations[layout]
            steep = np.array(constants.slope) @ [1.0, f, n] + constants.mix[0] * m
            flat = np.array(constants.offset) @ [1.0, f, n] + constants.mix[1] * m
            weights = np.array(found.form.weights[layout])
            pair = (steep * (each.own @ weights) - flat, steep * (each.strange @ weights) - flat)
            groups.setdefault(each.group, []).append(pair)
        figures |= {name: _figures(pairs) for name, pairs in groups.items()}
    return figures


def _figures(pairs: list[tuple[Floats, Floats]]) -> list[float]:
    own, strange = (np.clip(np.concatenate(each), -6.0, 6.0) for each in zip(*pairs, strict=True))
    eer = float(np.mean([metrics.equal_error_rate(*pair) for pair in pairs]))
    found = [eer, metrics.equal_error_rate(own, strange), metrics.cllr(own, strange), metrics.min_cllr(own, strange)]
    return [round(value, 4) for value in (*found, metrics.expected_calibration_error(own, strange))]


def threshold(data: dict[str, Floats], found: Fit) -> dict[str, object]:
    """Shares challenged at a few LLRs in the windows within 1-200 that thresholds are chosen in."""
    constants, detector = found.calibrations["positions"], NearestRecent2(found.form)
    parts = [login_protocol.score(data, detector, window=w, scale="distance") for w in login_protocol.CHOICE]
    shares: dict[str, object] = {}
    for llr in (0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5):
        at = (llr + constants.offset[0]) / constants.slope[0]
        shares[f"{llr}"] = [
            [round(float(np.mean(s >= at)), 4) for s in (p.genuine, p.first, p.practised)] for p in parts
        ]
    return shares


def everything(data: dict[str, Floats], touch: KeystrokeSet) -> dict[str, object]:
    """All fits, and how each half's constants do on the other half."""
    people = [data[name] for name in sorted(data)]
    halves = {"even": slice(0, None, 2), "odd": slice(1, None, 2)}
    fits = {"all": fit(people, touch, slice(None)), **{n: fit(people[half], touch, half) for n, half in halves.items()}}
    other = {"even": halves["odd"], "odd": halves["even"]}
    return {
        **{name: {"form": asdict(each.form), "calibrations": _plain(each)} for name, each in fits.items()},
        "quality on the other half": {
            name: quality(fits[name], pool(people[half], touch, half)) for name, half in other.items()
        },
        "threshold": threshold(data, fits["all"]),
    }


def _plain(found: Fit) -> dict[str, object]:
    return {layout: asdict(constants) for layout, constants in found.calibrations.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--data", "--touch", "--json"):
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    text, touch = (find_sets(Path(path)).sets[0] for path in (chosen.data, chosen.touch))
    digests = {"digest": text.digest, "touch digest": touch.digest}
    found = digests | everything(load_cmu(chosen.data), touch)
    Path(chosen.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
