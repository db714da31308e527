"""Which typing a successful login may teach: the one place of that rule (``scoring.updates`` has its arithmetic).

Typing that looks like software's is never learned: it is nobody's. Until a profile is ready, a second factor must
confirm, unless the client says that the password suffices. A ready profile learns what a second factor confirmed, but
only a few a day that are unlike it; and without one, what is nearer than most of the person's own logins, a few a day,
while it has not moved away from what was confirmed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.config import LearningSettings
from sidecar.domain.biometrics import Probe, ProfileState, Sample, Template
from sidecar.domain.decisions import Evidence
from sidecar.domain.entries import ANCHORS, CONFIRMING, Entries
from sidecar.features.keystroke import interleave
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.updates import FEWEST_SCORES, Learning, Movement, learning, movement

ENOUGH_LLR = -1.0  # what counts as near while a person has too few scores of their own
COMPARED = 15  # newest samples whose centre is compared with the anchor's, and as many before them
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known when a login succeeded, of one field. ``llr``: None where it was not scored; ``matched``: the login's
    outcome was a match. ``taught``: how many samples the field got within a day, by evidence.
    """

    probe: Probe
    state: ProfileState
    evidence: Evidence
    llr: float | None
    matched: bool
    machine: bool
    suffices: bool
    taught: Mapping[Evidence, int]


def may_teach(
    asked: Asked, rules: LearningSettings, entries: Entries | None, detector: OneClassDetector | None
) -> Learning:
    """Decide. ``entries``: earlier ones of the field; ``detector``: of the profile's template."""
    if asked.machine:
        return Learning.MACHINE
    unlike = asked.evidence is Evidence.UNLIKE and asked.taught.get(Evidence.UNLIKE, 0) >= rules.unlike_per_day
    if unlike or sum(asked.taught.values()) >= rules.samples_per_day:
        return Learning.ENOUGH_TODAY
    if asked.evidence is not Evidence.PASSWORD_ONLY:
        return Learning.LEARN
    if asked.state is not ProfileState.READY:
        return Learning.LEARN if asked.suffices else Learning.UNCONFIRMED
    return _without_second_factor(asked, entries, detector)


def _without_second_factor(asked: Asked, entries: Entries | None, detector: OneClassDetector | None) -> Learning:
    if not asked.matched or asked.llr is None:
        return Learning.TOO_FAR
    own = [] if entries is None or detector is None else entries.accepted(detector.name).tolist()
    if len(own) < FEWEST_SCORES:
        if asked.llr > ENOUGH_LLR:
            return Learning.TOO_FAR
        own = [asked.llr] * FEWEST_SCORES
    moved = None if entries is None or detector is None else moved_from_anchor(entries, asked.probe, detector)
    today = asked.taught.get(Evidence.PASSWORD_ONLY, 0)
    return learning(asked.llr, own, confirmed=False, learned_today=today, movement=moved)


def moved_from_anchor(entries: Entries, probe: Probe, detector: OneClassDetector) -> Movement | None:
    """Return how far the newest samples have moved from the last confirmed ones; None where there are too few."""
    rows = np.flatnonzero((entries.stored == 1) & (entries.length == probe.values.size // 3))
    if probe.layout != "positions" or probe.values.size // 3 > entries.hold.shape[1]:
        return None
    sure = rows[np.isin(entries.ended[rows], CONFIRMING)][-ANCHORS:]
    after = rows[rows > sure[-1]] if sure.size else rows[:0]
    if sure.size < FEWEST or after.size < 2 * FEWEST:
        return None
    part = min(COMPARED, after.size // 2)
    anchor, before, now = (
        _template(entries, chosen, probe, detector) for chosen in (sure, after[-2 * part : -part], after[-part:])
    )
    return movement(anchor, before, now)


def _template(entries: Entries, rows: NDArray[np.int64], probe: Probe, detector: OneClassDetector) -> Template:
    n = probe.values.size // 3
    values = interleave(entries.hold[rows, :n].astype(np.float64), entries.down_down[rows, :n].astype(np.float64))
    samples = [Sample(row, float(number)) for number, row in enumerate(values)]
    return detector.enroll(samples, probe.kinds, probe.layout)
