"""Constants that never saw the people they score: for the sets that the shipped ones were fitted on.

``halves.json`` is printed by ``sidecar.evaluation.fit_halves``. Of people who are not in its sets (``known`` knows
them again) the shipped constants know nobody, and they are used as they are.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sidecar.domain.biometrics import Layout
from sidecar.scoring.calibrations import Calibration
from sidecar.scoring.form import Form

FILE = Path(__file__).with_name("halves.json")


@dataclass(frozen=True, slots=True)
class Half:
    """Form and calibrations of ``nearest-recent-2`` from one half of a set's people."""

    form: Form
    calibrations: dict[Layout, Calibration]


def of_the_others(digest: str, user: int) -> Half | None:
    """Constants from the people of the other half than this user's; None where the set is in no fit."""
    halves = _read().get(digest)
    return halves["odd" if user % 2 == 0 else "even"] if halves else None


def digests() -> list[str]:
    """The sets that were fitted on."""
    return list(_read())


@cache
def _read() -> dict[str, dict[str, Half]]:
    raw = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        digest: {name: _half(half) for name, half in halves.items() if name in ("even", "odd")}
        for digest, halves in raw.items()
    }


def _half(raw: dict[str, dict[str, dict[str, object]]]) -> Half:
    return Half(Form(**raw["form"]), {k: Calibration(**v) for k, v in raw["calibrations"].items()})  # type: ignore[arg-type,misc]
