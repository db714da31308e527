"""What behaviour says about one login. Pure: a capture's batches and the stored profiles in, a ``Judgement`` out.

The outcome follows the deciding field (the password, or the user name where the client withholds the password): a
mismatch of that field, or of all scored fields together, is a mismatch; else, if the deciding field has no evidence, the
outcome is unavailable with its cause, whatever the other field looked like; so evidence cannot be improved by leaving
the hard part out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from sidecar.domain.biometrics import (
    Absence,
    Cause,
    Contribution,
    Floats,
    Kind,
    Probe,
    ProfileState,
    Provenance,
    Score,
    Template,
)
from sidecar.domain.consent import Consent
from sidecar.domain.decisions import Judgement, Outcome, SignalValue
from sidecar.features import keystroke
from sidecar.policy.bands import outcome_of
from sidecar.ports import Profile
from sidecar.risk.fusion import probability
from sidecar.risk.shared import SharedText
from sidecar.scoring import calibration
from sidecar.scoring.calibration import Circumstances
from sidecar.scoring.contract import OneClassDetector, comparable, mix
from sidecar.scoring.recalibrate import AS_SHIPPED, Correction
from sidecar.wire import Batch

FIELDS = ("username", "password")
SHOWN_CONTRIBUTIONS = 6
SPARED_HOLDS = 2
PAUSE_SECONDS = 6 * 3600.0  # after which samples are of another sitting
NO_NEWS = Consent()
NO_AGES: Mapping[str, Circumstances] = MappingProxyType({})

SecretMode = Literal["positions", "summary", "off"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the subject before this login: profiles by field, with their states and ages at this moment."""

    profiles: Mapping[str, Profile]
    states: Mapping[str, ProfileState]
    ages: Mapping[str, Circumstances] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known beside the person's own profiles, by field. ``muted``: scores that must not count, and why; ``shared``:
    what others say who type the same text. ``correction``: what scores are worth in this tenant.
    """

    muted: Mapping[str, Cause] = field(default_factory=dict)
    shared: Mapping[str, SharedText] = field(default_factory=dict)
    correction: Correction = AS_SHIPPED


NOTHING_BESIDE = Beside()


def judge(
    evidence: Sequence[Batch] | Cause,
    known: Known,
    detectors: Mapping[str, OneClassDetector],
    *,
    mode: SecretMode,
    mismatch_from: float,
    beside: Beside = NOTHING_BESIDE,
) -> Judgement:
    """Judge one login. ``evidence`` is the capture's batches, or the cause why there are none."""
    deciding = "username" if mode == "off" else "password"
    state = known.states.get(deciding, ProfileState.NONE)
    if isinstance(evidence, Cause):
        nothing = tuple(Absence(field, evidence) for field in FIELDS)
        return _without_scores(deciding, evidence, state, nothing)
    looked = {
        field: keystroke.extract(evidence, field, mode=mode if field == "password" else "positions") for field in FIELDS
    }
    scores: list[Score] = []
    uncounted: list[Score] = []
    absences = [found for found in looked.values() if isinstance(found, Absence)]
    probes = [found for found in looked.values() if isinstance(found, Probe)]
    for probe in probes:
        if known.states.get(probe.field) is ProfileState.READY:
            profile = known.profiles[probe.field]
            age = known.ages.get(probe.field)
            scored = score(probe, profile.template, detectors[profile.template.detector], age)
            if isinstance(scored, Score) and probe.field in beside.shared:
                scored = beside.shared[probe.field].scored(probe, profile.template, scored)
            if isinstance(scored, Score):
                scored = replace(scored, llr=beside.correction.of(scored.llr), raw=scored.llr)
            if isinstance(scored, Score) and probe.field in beside.muted:
                uncounted.append(scored)
                absences.append(Absence(probe.field, beside.muted[probe.field]))
            elif isinstance(scored, Score):
                scores.append(scored)
            else:
                absences.append(scored)
    llr = calibration.combine([found.llr for found in scores]) if scores else None
    absent = next((absence.cause for absence in absences if absence.field == deciding), None)
    own = next((found.llr for found in scores if found.field == deciding), None)
    outcome = outcome_of(llr, own, absent is not None, mismatch_from)
    return Judgement(
        deciding=deciding,
        outcome=outcome,
        cause=absent if outcome is Outcome.UNAVAILABLE else None,
        state=state,
        llr=llr,
        confidence=max((found.confidence for found in scores), default=0.0),
        scores=tuple(scores),
        absences=tuple(absences),
        probes=tuple(probes),
        provenance={field: keystroke.provenance(evidence, field) for field in FIELDS},
        context=evidence[0].ctx if evidence else "keyboard",
        muted=tuple(uncounted),
    )


def circumstances(at: Floats, now: float) -> Circumstances | None:
    """Say where a template's samples, (n,) in epoch seconds, oldest first, and a login lie in time; None without samples."""
    if not at.size:
        return None
    sittings = 1 + int((np.diff(at) > PAUSE_SECONDS).sum())
    return Circumstances(sittings, max(now - float(at[-1]), 0.0) / 86_400)


def score(
    probe: Probe, template: Template, detector: OneClassDetector, age: Circumstances | None = None
) -> Score | Absence:
    """Compare a probe with a ready template; another shape than the enrolled one is an absence, never a score."""
    if (
        probe.layout != template.layout
        or probe.kinds.shape != template.kinds.shape
        or (probe.kinds != template.kinds).any()
    ):
        return Absence(probe.field, Cause.LENGTH_DIFFERS)
    if _withheld_holds(probe, template) > SPARED_HOLDS:
        return Absence(probe.field, Cause.INCOMPLETE)
    features = comparable(template, probe.values)
    if features < keystroke.MINIMUM_FEATURES:
        return Absence(probe.field, Cause.TOO_SHORT)
    distance = detector.distance(template, probe.values)
    return Score(
        field=probe.field,
        llr=calibration.to_llr(
            distance,
            features=features,
            samples=template.samples,
            layout=template.layout,
            detector=template.detector,
            mix=mix(template, probe.values),
            when=age,
        ),
        confidence=calibration.confidence(features, template.samples),
        distance=distance,
        features=features,
        samples=template.samples,
        contributions=ranked(detector.contributions(template, probe.values, probe.labels)),
    )


def _withheld_holds(probe: Probe, template: Template) -> int:
    """Count the hold times that the template has and the probe lacks.

    Without holds three times as many strangers pass (CMU, shipped threshold: 55% of the practised instead of 16%), and a
    browser that is not ours may leave them out. One or two are missing honestly: keys still down when the form goes.
    """
    holds = probe.kinds == Kind.HOLD
    return int((np.isnan(probe.values) & ~np.isnan(template.center))[holds].sum())


def ranked(contributions: Sequence[Contribution]) -> tuple[Contribution, ...]:
    """Return the largest shares first, as many as a person reads."""
    return tuple(sorted(contributions, key=lambda part: -part.share)[:SHOWN_CONTRIBUTIONS])


def shadow_scores(
    probes: Sequence[Probe],
    shadows: Sequence[Profile],
    detectors: Mapping[str, OneClassDetector],
    ages: Mapping[str, Circumstances] = NO_AGES,
) -> list[dict[str, str | float]]:
    """Score probes by templates of a coming model, which decide nothing yet; {field, model, llr} of each that can be scored."""
    found: list[dict[str, str | float]] = []
    for probe in probes:
        for profile in shadows:
            if profile.key.field == probe.field:
                detector = detectors[profile.template.detector]
                scored = score(probe, profile.template, detector, ages.get(probe.field))
                if isinstance(scored, Score):
                    found.append({"field": probe.field, "model": profile.template.detector, "llr": scored.llr})
    return found


def facts(
    judgement: Judgement,
    known: Known,
    *,
    action: str,
    client: str,
    usual: Sequence[Provenance | None],
    prior: float,
    consent: Consent = NO_NEWS,
    gpc: bool = False,
) -> dict[str, SignalValue]:
    """Name what is known, signal by signal, for the policy. What is not known is None, never a stand-in number."""
    deciding = known.profiles.get(judgement.deciding)
    own = next((found.llr for found in judgement.scores if found.field == judgement.deciding), None)
    absence = next((found.cause for found in judgement.absences if found.field == judgement.deciding), None)
    return {
        "action": action,
        "client.id": client,
        "keystroke.outcome": str(judgement.outcome),
        "keystroke.llr": judgement.llr,
        "keystroke.deciding_llr": own,
        "keystroke.confidence": judgement.confidence,
        "keystroke.cause": str(judgement.cause) if judgement.cause else None,
        "keystroke.absence": str(absence) if absence else None,
        "profile.state": str(judgement.state),
        "profile.samples": deciding.samples if deciding else 0,
        "profile.confirmed": deciding.confirmed if deciding else False,
        "provenance.username": _told(judgement.provenance.get("username")),
        "provenance.password": _told(judgement.provenance.get("password")),
        "provenance.usual": usual_provenance(usual),
        "risk.probability": probability(judgement.llr, prior),
        "consent.state": str(consent.state),
        "consent.gpc": gpc,
    }


def usual_provenance(newest: Sequence[Provenance | None], needed: int = 5) -> str:
    """Return how the password always got into its field, ``mixed``, or ``unknown`` before enough logins completed."""
    if len(newest) < needed or all(how is None for how in newest):
        return "unknown"
    return _told(newest[0]) if len(set(newest)) == 1 else "mixed"


def _without_scores(deciding: str, cause: Cause, state: ProfileState, absences: tuple[Absence, ...]) -> Judgement:
    return Judgement(
        deciding=deciding,
        outcome=Outcome.UNAVAILABLE,
        cause=cause,
        state=state,
        llr=None,
        confidence=0.0,
        scores=(),
        absences=absences,
        probes=(),
        provenance={},
        context="keyboard",
    )


def _told(how: Provenance | None) -> str:
    return str(how) if how else "unknown"
