"""What other people who type the same text say about a login, where an administrator declared a field as one shared text.

Pure: learned from members' samples elsewhere (``usecases.cohorts``), applied here. The strict score stays the base;
the more members, the more their word counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Probe, Score, Template
from sidecar.features.keystroke import MINIMUM_FEATURES
from sidecar.features.liveness import Usual
from sidecar.scoring import calibration
from sidecar.scoring.cohort import Background, joined
from sidecar.scoring.contract import OneClassDetector, mixes

KEPT = 2000  # templates whose comparison with the members is remembered


@dataclass(frozen=True)
class SharedText:
    """A background with what is usual for the text. ``members``: pseudonyms, in the order of the background."""

    members: tuple[str, ...]
    background: Background
    usual: Usual
    near: dict[bytes, Floats] = field(default_factory=dict)
    told: dict[bytes, Floats] = field(default_factory=dict)

    def fits(self, template: Template, probe: Probe) -> bool:
        """Tell whether a profile and a probe are of this text, as far as their shape tells, and of its scorer."""
        return self._judges(template) and probe.values.shape == template.kinds.shape

    def _judges(self, template: Template) -> bool:
        same = template.detector == self.background.detector.name and template.layout == "positions"
        return same and template.kinds.shape == (self.background.tries.shape[-1],)

    def scored(self, probe: Probe, template: Template, strict: Score) -> Score:
        """Return a score joined with the members' word."""
        if not self.fits(template, probe):
            return strict
        llr = float(self.background.llr(template, probe.values[None, :], strangers=self._strangers(template))[0])
        if not np.isfinite(llr):
            return strict
        return replace(strict, llr=_joined(strict.llr, llr, len(self.members)))

    def others(self, subject: str, template: Template, detector: OneClassDetector) -> Floats | None:
        """Return how other members' tries score against a profile; None where it is not of this text.

        As their logins would, or by the strict score where that is nearer: a person's own scores are of both kinds, as some are
        older than the background.
        """
        tries = self.background.tries
        chosen = np.array([name != subject for name in self.members])
        if template.detector != detector.name or template.kinds.shape != (tries.shape[-1],) or not chosen.any():
            return None
        return _remembered(self.told, template, lambda: self._others(template, chosen, detector))

    def _others(self, template: Template, chosen: NDArray[np.bool_], detector: OneClassDetector) -> Floats:
        tries = self.background.tries
        words = np.full(tries.shape[:2], np.nan)
        if self._judges(template) and chosen.sum() > 1:
            words = self.background.tried(template, self._strangers(template), chosen)
        rows, said = tries[chosen].reshape(-1, tries.shape[-1]), words[chosen].reshape(-1)
        usable = (np.isfinite(rows) & np.isfinite(template.center)).sum(axis=1) >= MINIMUM_FEATURES
        if not usable.any():
            return np.empty(0)
        strict = _strict(template, rows[usable], detector)
        pairs = zip(strict, said[usable].tolist(), strict=True)
        return np.array(
            [min(one, _joined(one, word, len(self.members))) if np.isfinite(word) else one for one, word in pairs]
        )

    def _strangers(self, template: Template) -> Floats:
        return _remembered(self.near, template, lambda: self.background.strangers(template))


def _remembered(kept: dict[bytes, Floats], template: Template, make: Callable[[], Floats]) -> Floats:
    """Return what was made for this template, or make it; a profile's template changes with each sample it learns."""
    name = template.center.tobytes() + template.recent[-1:].tobytes()
    if name not in kept:
        if len(kept) >= KEPT:
            kept.clear()
        kept[name] = make()
    return kept[name]


def _joined(strict: float, word: float, members: int) -> float:
    return joined(strict, min(max(word, -calibration.LIMIT), calibration.LIMIT), members)


def _strict(template: Template, rows: Floats, detector: OneClassDetector) -> list[float]:
    there = np.isfinite(rows) & np.isfinite(template.center)
    mixed = mixes(template.kinds, template.layout, there)
    return [
        calibration.to_llr(
            float(distance),
            features=int(count),
            samples=template.samples,
            layout=template.layout,
            detector=template.detector,
            mix=mix,
        )
        for distance, count, mix in zip(detector.distances(template, rows), there.sum(axis=1), mixed, strict=True)
    ]
