"""What a rehearsal plays: who is enrolled with what, and the attempts that follow, in a fixed order.

The protocol (docs/rehearsal.md): enroll repetitions 191 to 200, each as if confirmed by the second factor, then freeze
the templates; genuine attempts 201 to 210; every other subject tries with their repetition 1 ("first") and 400
("practised"). The user name is filled, not typed. Of the set's 31 timings a browser sees 30: the hold of Return falls on
the next page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.errors import BadRequest
from sidecar.evaluation.datasets import hold_and_down_down, load_cmu
from sidecar.evaluation.synthetic import Row, typist

PASSWORD = ".tie5Roanl"  # noqa: S105 - the public data set's one password
ENROLLED = range(191, 201)
GENUINE = range(201, 211)
FIRST, PRACTISED = 1, 400

Repetitions = dict[str, dict[int, list[Row]]]
Kind = Literal["genuine", "first", "practised"]


@dataclass(frozen=True, slots=True)
class Login:
    """One attempt on ``victim``'s account by ``actor``. ``rows``: (down ms, hold ms), Enter last with hold NaN."""

    victim: str
    actor: str
    kind: Kind
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Script:
    """Who is enrolled with which rows, and what is tried. ``label`` says where the timings come from."""

    label: str
    enrolled: dict[str, list[list[Row]]]
    logins: list[Login]


def recorded(path: Path, subjects: int, seed: int, *, impostors: int | None = None) -> Script:
    """Make the script of a CMU-layout set. ``impostors`` limits the others a subject meets (None: everybody).

    Raises BadRequest when the set holds fewer subjects, DatasetInvalid when it cannot be read.
    """
    data = load_cmu(path)
    if subjects > len(data):
        raise BadRequest(f"the set has {len(data)} subjects, not {subjects}")
    chosen = sorted(np.random.default_rng(seed).permutation(sorted(data))[:subjects].tolist())
    needed = (FIRST, *ENROLLED, *GENUINE, PRACTISED)
    rows: Repetitions = {}
    for subject in chosen:
        hold, down_down = hold_and_down_down(data[subject])
        rows[subject] = {rep: _rows(hold[rep - 1], down_down[rep - 1]) for rep in needed}
    enrolled = {subject: [rows[subject][rep] for rep in ENROLLED] for subject in chosen}
    return Script(f"CMU, {subjects} of {len(data)} subjects", enrolled, list(_logins(chosen, rows, impostors)))


def synthetic(subjects: int, seed: int, *, impostors: int | None = None) -> Script:
    """Make the script of generated people; it shows that the parts work, never how people do."""
    names = [f"synthetic-{number:02d}" for number in range(1, subjects + 1)]
    rows: Repetitions = {}
    for number, name in enumerate(names):
        person, rng = typist(seed * 1000 + number), np.random.default_rng([seed, number])
        rows[name] = {rep: person.login(rng, len(PASSWORD)) for rep in (FIRST, *ENROLLED, *GENUINE, PRACTISED)}
    enrolled = {name: [rows[name][rep] for rep in ENROLLED] for name in names}
    return Script("synthetic people (generated, not recorded)", enrolled, list(_logins(names, rows, impostors)))


def _logins(chosen: Sequence[str], rows: Repetitions, impostors: int | None) -> Iterator[Login]:
    for victim in chosen:
        for rep in GENUINE:
            yield Login(victim, victim, "genuine", rows[victim][rep])
        others = [subject for subject in chosen if subject != victim][:impostors]
        for other in others:
            yield Login(victim, other, "first", rows[other][FIRST])
            yield Login(victim, other, "practised", rows[other][PRACTISED])


def _rows(hold: Floats, down_down: Floats) -> list[Row]:
    downs = np.concatenate([[0.0], np.cumsum(down_down)])
    held = [*hold.tolist(), float("nan")]
    return [(round(float(down), 1), round(float(kept), 1)) for down, kept in zip(downs, held, strict=True)]
