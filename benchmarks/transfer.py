"""How the shipped scorer does where something is other than in the sets it was fitted on, beside two simpler ones.

``python -m benchmarks.transfer --data DIR [--setting NAME ...]``. Every set of the folder is measured as it is, and changed: other
lengths of holds, other paces, missing kinds, a shorter text, late repetitions alone. EER / gEER; of the shipped scorer Cllr, its
minimum and ECE. Constants of the sets that the shipped ones were fitted on are those of the other half of the people.
Some minutes.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Kind
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.plans import SETTINGS
from sidecar.evaluation.keystroke.run import measure, planned
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.scoring import SHIPPED

MODELS = (SHIPPED, "nearest-recent-1", "scaled-manhattan")
LATE = slice(300, 350)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--setting", nargs="+", default=["known-10", "km09", "meu-10", "first-10"], choices=SETTINGS)
    chosen = parser.parse_args()
    for data in find_sets(chosen.data).sets:
        for changed in changes(data):
            for setting in chosen.setting:
                tell(changed, setting)


def tell(data: KeystrokeSet, setting: str) -> None:
    """Print one line, if the setting fits the set."""
    work = planned([data], [setting], MODELS, 1)
    parts = [part for found in measure(work, 1, lambda _: None, lambda _: None) for part in found]
    rows = {str(part.row["detector"]): part.row for part in parts}
    if any(row["status"] != "measured" for row in rows.values()):
        return
    words = [f"{rows[name]['eer']:.3f}/{rows[name]['geer']:.3f}" for name in MODELS]
    ours = rows[SHIPPED]
    words.insert(1, f"Cllr {ours['cllr']:.3f} ({ours['min_cllr']:.3f}) ECE {ours['ece']:.3f}")
    sys.stdout.write(f"{data.name:<32}{setting:<12}{'  '.join(words)}\n")
    sys.stdout.flush()


def changes(data: KeystrokeSet) -> Iterator[KeystrokeSet]:
    """The set as it is, and what else it might have been."""
    every = np.arange(data.kinds.size)
    of = {kind: np.flatnonzero((data.kinds == kind) & (data.extra == 0)) for kind in Kind}
    hold, step, gap = of[Kind.HOLD], of[Kind.DOWN_DOWN], of[Kind.UP_DOWN]
    yield data
    for by in (0.6, 0.8, 1.5):
        yield changed(data, f"holds x{by:g}", every, hold=by)
    for by in (0.6, 1.6):
        yield changed(data, f"all x{by:g}", every, tempo=by)
    yield changed(data, "holds only", hold)
    yield changed(data, "down-downs only", step)
    yield changed(data, "7 down-downs only", step[:7])
    yield changed(data, "no up-downs", np.sort(np.concatenate([hold, step])))
    yield changed(data, "no holds", np.sort(np.concatenate([step, gap])))
    yield changed(data, "4 keys", np.sort(np.concatenate([hold[:4], step[:4], gap[:4]])))
    if all(len(person.values) >= LATE.stop for person in data.people):
        late = [replace(p, values=p.values[LATE], sessions=p.sessions[LATE]) for p in data.people]
        yield same_people(replace(data, name=f"{data.name}, 301-350", people=tuple(late)), data)


def changed(
    data: KeystrokeSet, words: str, columns: NDArray[np.int64], *, hold: float = 1.0, tempo: float = 1.0
) -> KeystrokeSet:
    """Some columns, and timings multiplied; up-down stays down-down less hold where all three are there in equal number."""
    times = data.extra == 0
    factor = np.where(times, tempo, 1.0)
    holds = np.flatnonzero(times & (data.kinds == Kind.HOLD))
    steps, gaps = (np.flatnonzero(data.kinds == kind) for kind in (Kind.DOWN_DOWN, Kind.UP_DOWN))
    people = []
    for person in data.people:
        values = person.values * factor
        values[:, holds] *= hold
        values[:, gaps] = values[:, steps] - values[:, holds[: gaps.size]]
        people.append(replace(person, values=values[:, columns]))
    made = replace(
        data,
        name=f"{data.name}, {words}",
        kinds=data.kinds[columns],
        extra=data.extra[columns],
        people=tuple(people),
    )
    return same_people(made, data)


def same_people(made: KeystrokeSet, data: KeystrokeSet) -> KeystrokeSet:
    """Let constants that never saw these people be found, whatever was done to their timings."""
    vars(made)["digest"] = data.digest
    return made


if __name__ == "__main__":
    main()
