"""What other people who type the same text say about a login, where an administrator declared a field as one shared text.

Pure: learned from members' samples elsewhere (``usecases.cohorts``), applied here. The strict score stays the base; the more
members, the more their word counts.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from sidecar.domain.biometrics import Floats, Probe, Score, Template
from sidecar.features.liveness import Usual
from sidecar.scoring import calibration
from sidecar.scoring.cohort import Background, joined
from sidecar.scoring.contract import OneClassDetector

KEPT = 2000  # templates whose comparison with the members is remembered


@dataclass(frozen=True)
class SharedText:
    """A background with what is usual for the text. ``members``: pseudonyms, in the order of the background."""

    members: tuple[str, ...]
    background: Background
    usual: Usual
    near: dict[bytes, Floats] = field(default_factory=dict)

    def fits(self, template: Template, probe: Probe) -> bool:
        """Tell whether a profile and a probe are of this text, as far as their shape tells, and of its scorer."""
        shape = (self.background.tries.shape[-1],)
        same = template.detector == self.background.detector.name and template.layout == "positions"
        return same and template.kinds.shape == shape and probe.values.shape == shape

    def scored(self, probe: Probe, template: Template, strict: Score) -> Score:
        """Return a score joined with the members' word."""
        if not self.fits(template, probe):
            return strict
        llr = float(self.background.llr(template, probe.values[None, :], strangers=self._strangers(template))[0])
        if not np.isfinite(llr):
            return strict
        limit = calibration.LIMIT
        return replace(strict, llr=joined(strict.llr, float(np.clip(llr, -limit, limit)), len(self.members)))

    def others(self, subject: str, template: Template, detector: OneClassDetector) -> Floats | None:
        """Return how other members' tries score against a profile; None where it is not of this text."""
        tries = self.background.tries[[name != subject for name in self.members]]
        if template.detector != detector.name or template.kinds.shape != (tries.shape[-1],) or not len(tries):
            return None
        rows = tries.reshape(-1, tries.shape[-1])
        usable = rows[np.isfinite(rows).all(axis=1)]
        return np.array(
            [
                calibration.to_llr(
                    float(distance),
                    features=usable.shape[1],
                    samples=template.samples,
                    layout=template.layout,
                    detector=template.detector,
                )
                for distance in (detector.distances(template, usable) if len(usable) else ())
            ]
        )

    def _strangers(self, template: Template) -> Floats:
        name = template.center.tobytes()
        if name not in self.near:
            if len(self.near) >= KEPT:
                self.near.clear()
            self.near[name] = self.background.strangers(template)
        return self.near[name]
