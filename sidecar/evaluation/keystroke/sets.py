"""A fixed-text keystroke set as values: people, their repetitions in order, and what each column measures."""

import hashlib
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind
from sidecar.scoring.nearest_recent import SCALE_PRIOR, transform

Indices = NDArray[np.int64]

UNIT_REPETITIONS = slice(5, 35)  # 6-35: as long a window as the scale prior's; no impostor attempt (1-5) is in it


class Extra(IntEnum):
    """Columns that are not times. For some detectors they are holds, after a change of unit (``KeystrokeSet.view``)."""

    NONE = 0
    PRESSURE = 1
    SIZE = 2


@dataclass(frozen=True, slots=True)
class Person:
    """One subject: ``values``, shape (n, d), in order of session and repetition; ``sessions``, shape (n,)."""

    name: str
    values: Floats
    sessions: Indices


@dataclass(frozen=True)
class KeystrokeSet:
    """All people of one set. Times in ms, NaN where missing; ``kinds`` and ``extra``: shape (d,).

    ``notes``: what reading it found worth saying.
    """

    name: str
    layout: str
    kinds: NDArray[np.uint8]
    extra: NDArray[np.uint8]
    people: tuple[Person, ...]
    notes: tuple[str, ...] = ()

    def noting(self, words: str) -> "KeystrokeSet":
        """The same set with one note more."""
        return replace(self, notes=(*self.notes, words))

    @cached_property
    def digest(self) -> str:
        """Hash of the content; the name and the place of the file do not matter."""
        found = hashlib.sha256(self.kinds.tobytes() + self.extra.tobytes())
        for person in self.people:
            found.update(person.name.encode() + person.sessions.tobytes() + person.values.tobytes())
        return found.hexdigest()

    @cached_property
    def touch_kinds(self) -> NDArray[np.uint8]:
        """Kinds for detectors that know pressure and size, with the values as they are; shape (d,)."""
        kinds = self.kinds.copy()
        kinds[self.extra == Extra.PRESSURE] = Kind.PRESSURE
        kinds[self.extra == Extra.SIZE] = Kind.SIZE
        return kinds

    def view(self, user: int) -> list[Floats]:
        """Everybody's values as a detector of this user sees them that knows times only.

        Pressure and size are multiplied by a number that gives them the spread of a hold. It is taken from the
        other half of the people (even and odd numbers), so that nobody's own attempts are in it.
        """
        if not self.extra.any():
            return [person.values for person in self.people]
        return self._views[user % 2]

    @cached_property
    def _views(self) -> tuple[list[Floats], list[Floats]]:
        return self._scaled_by(self.people[1::2]), self._scaled_by(self.people[0::2])

    def _scaled_by(self, half: tuple[Person, ...]) -> list[Floats]:
        factor = np.ones(self.kinds.size)
        for extra in (Extra.PRESSURE, Extra.SIZE):
            columns = self.extra == extra
            if columns.any():
                factor[columns] = _unit(half, columns)
        return [person.values * factor for person in self.people]


def _unit(half: tuple[Person, ...], columns: NDArray[np.bool_]) -> float:
    """The factor after which these columns spread as holds do in the detector's space."""
    kinds = np.full(int(columns.sum()), Kind.HOLD, dtype=np.uint8)
    spreads = []
    for person in half:
        rows = transform(person.values[UNIT_REPETITIONS, columns], kinds)
        if rows.shape[0] > 1 and np.isfinite(rows).any(axis=0).all():
            spreads.append(float(np.nanmean(np.abs(rows - np.nanmedian(rows, axis=0)))))
    spread = float(np.mean(spreads)) if spreads else 0.0
    return float((SCALE_PRIOR["positions"][Kind.HOLD] / spread) ** 2) if spread > 0 else 1.0
