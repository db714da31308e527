"""Keystroke evidence as values: key events, probes, templates, scores and named absences.

Units: times in milliseconds (float) once decoded; the wire carries integers of 0.1 ms.
A missing timing is NaN inside ``Probe.values``; it is never zero and never imputed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Layout = Literal["positions", "summary"]
Parts = Mapping[str, NDArray[Any]]


class Kind(IntEnum):
    """What one number of a keystroke feature vector measures."""

    HOLD = 0
    DOWN_DOWN = 1
    UP_DOWN = 2
    PRESSURE = 3  # of a finger on a touch screen, in whatever unit: only ratios count
    SIZE = 4  # of its contact area, likewise


class Provenance(StrEnum):
    """How a field got its content, as far as the widget can tell."""

    TYPED = "typed"
    PASTED = "pasted"
    FILLED = "filled"
    NONE = "none"


class Cause(StrEnum):
    """Why there is no evidence. Every cause must be named by every policy."""

    NO_CAPTURE = "no_capture"  # JavaScript off, script blocked, or the field was withheld
    MALFORMED = "malformed"  # the browser sent something that is not a capture
    EXPIRED = "expired"  # the capture is older than its ten minutes
    FOREIGN = "foreign"  # other site, origin or login attempt than the one the identity provider names
    REPLAYED = "replayed"  # capture already used for a decision, or the very same timings were scored before
    INCOMPLETE = "incomplete"  # a batch is missing and did not arrive in time
    IMPLAUSIBLE = "implausible"  # more typing claimed than the wall clock can hold
    PASTED = "pasted"
    FILLED = "filled"
    NOT_TYPED = "not_typed"  # the field saw no input at all
    CORRECTED = "corrected"  # edited while typed: positions no longer line up
    TOO_SHORT = "too_short"
    LENGTH_DIFFERS = "length_differs"  # another number of key presses than the enrolled ones
    COARSE_CLOCK = "coarse_clock"  # the browser's clock is too coarse to measure typing (10 ms and more)
    WITHHELD = "withheld"  # the client's configuration keeps this field out of behaviour
    NO_CONSENT = "no_consent"  # the person has not agreed, or has taken it back; nothing was looked at
    INDISTINCT = "indistinct"  # typing does not tell this person from others: nothing is scored by it
    PAUSED = "paused"  # the person paused it; nothing was looked at


class ProfileState(StrEnum):
    """How far one profile (tenant, subject, modality, field, input context) has come."""

    NONE = "none"
    LEARNING = "learning"
    READY = "ready"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Absence:
    """No evidence from one field, and why."""

    field: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Probe:
    """Captured behaviour of one field, ready to be compared.

    ``values``: shape (d,), milliseconds, NaN where a timing is missing. ``kinds``: shape (d,), ``Kind`` codes.
    ``labels``: d names such as ``hold 3`` or ``down-down 3-4`` (positions, never characters).
    """

    field: str
    layout: Layout
    values: Floats
    kinds: NDArray[np.uint8]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One enrolled probe with the time (epoch seconds) it was confirmed."""

    values: Floats
    at: float


@dataclass(frozen=True, slots=True)
class Template:
    """What is stored of a person for one field: plain arrays, in the feature space of the detector.

    ``center``, ``scale``: shape (d,). ``recent``: shape (k, d), newest last. ``kinds``: shape (d,).
    ``samples``: how many confirmed samples the template rests on. ``parts``: what else a detector needs, by name;
    arrays of float32, float64, uint8 or int32.
    """

    detector: str
    layout: Layout
    center: Floats
    scale: Floats
    recent: Floats
    kinds: NDArray[np.uint8]
    samples: int
    parts: Parts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contribution:
    """One feature's share of a distance. ``deviation`` is signed, in units of the person's own usual spread."""

    label: str
    kind: Kind
    deviation: float
    share: float


@dataclass(frozen=True, slots=True)
class Score:
    """Calibrated comparison of a probe with a template.

    ``llr``: natural-log likelihood ratio, higher = more impostor-like. ``confidence``: amount of evidence in 0..1,
    from the number of features and samples only, never from the score itself. ``raw``: the LLR before it was put right by the
    installation's own decisions.
    """

    field: str
    llr: float
    confidence: float
    distance: float
    features: int
    samples: int
    contributions: tuple[Contribution, ...]
    raw: float | None = None
