"""What every one-class detector does, and the checks they share.

A detector sees only the person's own samples. It is pure: the same samples make the same template, and
neither the clock nor a random generator takes part. Values are ms as in ``Probe.values``; NaN or infinity
means missing.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Contribution, Floats, Kind, Layout, Sample, Template

MAX_SAMPLES = 200  # older ones tell of a person who typed differently


class OneClassDetector(Protocol):
    """A scorer of probes against one person's template. Higher distance = less like the person.

    Every method raises ValueError on shapes that do not fit, and where no feature can be compared.
    """

    @property
    def name(self) -> str:
        """Stable name; a template carries it, and only the detector of that name reads the template."""
        ...

    def enroll(self, samples: Sequence[Sample], kinds: NDArray[np.uint8], layout: Layout) -> Template:
        """Make a template from 1 or more samples of shape (d,), in any order; ``kinds``: shape (d,)."""
        ...

    def distance(self, template: Template, values: Floats) -> float:
        """Distance of one probe, shape (d,), to the template; finite, never negative."""
        ...

    def distances(self, template: Template, probes: Floats) -> Floats:
        """Distances of m probes, shape (m, d), to the template; shape (m,)."""
        ...

    def contributions(self, template: Template, values: Floats, labels: Sequence[str]) -> tuple[Contribution, ...]:
        """Shares of the distance, one per comparable feature in layout order; shares add up to 1, or are
        all 0.
        """
        ...


def comparable(template: Template, values: Floats) -> int:
    """Count the features that both the template and the probe, shape (d,), hold. Raises ValueError on
    other shapes.
    """
    check_probes(template, values[None, :] if values.ndim == 1 else values)
    return int(np.count_nonzero(np.isfinite(values) & np.isfinite(template.center)))


class Mix(NamedTuple):
    """What kinds of timings were compared. ``worth``: how many there would be if holds, down-downs and up-downs were all there
    and said as much, by how many there are; ``holds``: share of holds among those that do not follow from others.
    """

    worth: float
    holds: float


WHOLE = Mix(1.0, 0.5)  # as a browser gives them


def mixes(kinds: NDArray[np.uint8], layout: Layout, there: NDArray[np.bool_]) -> list[Mix]:
    """Return the mixes of m comparisons; ``there``: which of d features were compared, shape (m, d).

    Of hold, down-down and up-down any two give the third, so as many as the rarest kind has say nothing new. Pressure and
    size count half. Of summary numbers the kinds are always the same.
    """
    if layout == "summary":
        return [WHOLE] * there.shape[0]
    counts = there @ (kinds[:, None] == np.arange(len(Kind))).astype(np.float64)
    times = counts[:, :3]
    new = times.sum(axis=1) - times.min(axis=1) + counts[:, 3:].sum(axis=1) / 2.0
    some, all_ = np.maximum(new, 1.0), np.maximum(counts.sum(axis=1), 1.0)
    return [Mix(float(w), float(h)) for w, h in zip(1.5 * new / all_, counts[:, Kind.HOLD] / some, strict=True)]


def mix(template: Template, values: Floats) -> Mix:
    """Return the mix of what both the template and one probe, shape (d,), hold."""
    return mixes(template.kinds, template.layout, (np.isfinite(values) & np.isfinite(template.center))[None, :])[0]


def newest(samples: Sequence[Sample], kinds: NDArray[np.uint8]) -> Floats:
    """Values of the newest 200 samples, oldest first, shape (n, d); missing is NaN; empty samples are left
    out.

    Only the order of the times matters; equal times are ordered by value, so that the given order never does.
    Raises ValueError where there is none, or one does not fit ``kinds``.
    """
    if kinds.ndim != 1 or kinds.size == 0:
        raise ValueError("kinds need shape (d,) with d >= 1")
    if kinds.max() > max(Kind):
        raise ValueError("a kind is not one of hold, down-down, up-down, pressure, size")
    for sample in samples:
        if sample.values.shape != kinds.shape:
            raise ValueError(f"sample of shape {sample.values.shape} does not fit kinds of shape {kinds.shape}")
    rows = finite_or_nan(np.array([sample.values for sample in samples], dtype=np.float64).reshape(-1, kinds.size))
    at = np.array([sample.at for sample in samples], dtype=np.float64)
    if not np.isfinite(at).all():
        raise ValueError("a sample's time is not finite")
    usable = np.isfinite(rows).any(axis=1)
    if not usable.any():
        raise ValueError("no sample with a timing to enroll")
    rows, at = rows[usable], at[usable]
    tied = np.unique(at).size < at.size
    order = np.lexsort((*np.nan_to_num(rows, nan=-1e300).T[::-1], at)) if tied else np.argsort(at)
    return rows[order[-MAX_SAMPLES:]]


def finite_or_nan(values: Floats) -> Floats:
    """Same values as float64, with NaN for everything that is not finite."""
    return np.where(np.isfinite(values), values, np.nan).astype(np.float64)


def check_probes(template: Template, probes: Floats) -> None:
    """Refuse probes that are not of shape (m, d). Raises ValueError."""
    if probes.ndim != 2 or probes.shape[1] != template.center.shape[0]:
        raise ValueError(f"probe of shape {probes.shape[1:]} does not fit a template of shape {template.center.shape}")


def check_template(template: Template, name: str) -> None:
    """Refuse the template of another detector. Raises ValueError."""
    if template.detector != name:
        raise ValueError(f"template of {template.detector!r} given to {name!r}")


def refuse_incomparable(weight: Floats) -> None:
    """Raise ValueError where any probe's total weight of comparable features is zero."""
    if not (weight > 0).all():
        raise ValueError("no feature that both the template and the probe hold")
