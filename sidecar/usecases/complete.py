"""Take the report of how a login ended, and learn from it when it may teach.

Only a login that succeeded as a whole teaches; what of it may teach is said in ``usecases.teaching``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.config import Settings
from sidecar.domain.biometrics import Probe, ProfileState
from sidecar.domain.decisions import Action, Evidence, Outcome
from sidecar.errors import BadRequest, NotFound
from sidecar.ports import Assertion, Decisions, Learning, Lesson, Profile, ProfileKey, Profiles, StoredDecision
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.updates import Learning as Verdict
from sidecar.usecases.in_force import InForce
from sidecar.usecases.running import SESSION_CHECK
from sidecar.usecases.teaching import Asked, may_teach

Taught = tuple[Sequence[Lesson], Mapping[str, str]]  # what is learned, and by field why the rest is not

OUTCOMES = ("succeeded", "failed", "abandoned")
COMPLETION_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Completer:
    """What completing needs; built once by ``main``."""

    settings: Settings
    decisions: Decisions
    profiles: Profiles
    learning: Learning
    clock: Callable[[], float]
    policies: InForce
    detectors: Mapping[str, OneClassDetector]

    async def complete(
        self,
        tenant: str,
        issuer: str,
        decision_id: str,
        *,
        outcome: str,
        second_factor: bool,
        sid: str | None,
        assertion: Assertion,
    ) -> bool:
        """Close a decision; True when this report closed it. Raises BadRequest, NotFound, TokenReplayed, StorageFailed."""
        if outcome not in OUTCOMES:
            raise BadRequest(f"outcome must be one of {', '.join(OUTCOMES)}")
        decision = await self.decisions.get(tenant, decision_id)
        now = self.clock()
        if decision is None or decision.issuer != issuer:
            raise NotFound("no such decision")
        lessons: Sequence[Lesson] = ()
        withheld: Mapping[str, str] = {}
        if outcome == "succeeded" and now - decision.at <= COMPLETION_SECONDS and not self.settings.learning.frozen:
            lessons, withheld = await self._lessons(decision, second_factor=second_factor, now=now)
        completion = {
            "outcome": outcome,
            "second_factor": second_factor,
            "sid": sid,
            "at": now,
            "taught": [lesson.key.field for lesson in lessons],
            "withheld": dict(withheld),
        }
        # Let in although a second factor was asked for: that may be a thief, who must not make a habit of anything.
        usual = second_factor or decision.body["answer"]["action"] == Action.ALLOW
        # A running session brings no password: only one that passed a second factor says where its owner is.
        usual = usual and (second_factor or decision.body["action"] != SESSION_CHECK)
        remember = usual and not self.settings.learning.frozen
        return await self.learning.complete(decision, completion, lessons, assertion, remember=remember)

    async def _lessons(self, decision: StoredDecision, *, second_factor: bool, now: float) -> Taught:
        idp = self.settings.idp(decision.issuer)
        client = idp.client(str(decision.body["client"]))
        rules = self.settings.learning
        remembered = await self.profiles.remembered(decision.tenant, decision.subject, now)
        consent = remembered.consent.under(idp.legal_basis)
        if consent.bars() or not (consent.confirmed or second_factor):
            return (), {}
        found = {(item.key.field, item.key.context): item for item in remembered.profiles if item.serving}
        taught = await self.learning.taught_since(decision.tenant, decision.subject, now - 86_400)
        context = str(decision.body["context"])
        lessons, withheld = [], {}
        for probe in await self.learning.waiting(decision.tenant, decision.id):
            profile = found.get((probe.field, context))
            state = (
                profile.state(now=now, ready_samples=rules.ready_samples, stale_days=rules.stale_days)
                if profile
                else ProfileState.NONE
            )
            asked = Asked(
                probe=probe,
                state=state,
                evidence=_evidence(decision, state, second_factor=second_factor),
                llr=_raw(decision.body["scores"], probe.field),
                matched=decision.body["facts"]["keystroke.outcome"] == Outcome.MATCH,
                machine=decision.body["facts"].get("bot.sign") not in (None, "none"),
                suffices=client.password_suffices,
                taught={kind: count for (field, kind), count in taught.items() if field == probe.field},
            )
            detector = self.detectors[profile.template.detector] if profile else None
            verdict = may_teach(asked, rules, remembered.entries.get((probe.field, context)), detector)
            if verdict is not Verdict.LEARN:
                withheld[probe.field] = str(verdict)
                continue
            key = ProfileKey(decision.tenant, decision.subject, "keystroke", probe.field, context)
            confirmed = _confirmed(profile, state, second_factor=second_factor)
            model = profile.template.detector if profile else ""
            fits = self._fits(decision, probe)
            lessons.append(Lesson(key, probe, asked.evidence, now, confirmed, model, fits))
        return lessons, withheld

    def _fits(self, decision: StoredDecision, probe: Probe) -> bool | None:
        """Tell whether the coming model would have asked for no more than the serving one; None where it said nothing."""
        coming = _llr(decision.body.get("shadow_models", []), probe.field)
        serving = _llr(decision.body["scores"], probe.field)
        if coming is None:
            return None
        limit = self.policies.enforced.mismatch_from
        return coming < limit or (serving is not None and serving >= limit)


def _llr(entries: Sequence[Mapping[str, Any]], field: str) -> float | None:
    return next((float(entry["llr"]) for entry in entries if entry["field"] == field), None)


def _raw(entries: Sequence[Mapping[str, Any]], field: str) -> float | None:
    """Return a score on the scale of the person's earlier ones: before the installation's decisions put it right."""
    found = next((entry for entry in entries if entry["field"] == field), None)
    if found is None:
        return None
    return float(found["llr"] if found.get("raw") is None else found["raw"])


def _evidence(decision: StoredDecision, state: ProfileState, *, second_factor: bool) -> Evidence:
    """Name what confirmed a sample. One that is unlike a ready profile is told apart, so that few of them a day can be a
    rule: whoever holds the second factor too must not replace a person's profile within an afternoon.
    """
    if not second_factor:
        return Evidence.PASSWORD_ONLY
    # Where typing does not count the outcome is no mismatch, and what is unlike must still not be learned at will.
    mismatched = decision.body["facts"]["keystroke.outcome"] == Outcome.MISMATCH or decision.body.get("unlike")
    return Evidence.UNLIKE if mismatched and state is ProfileState.READY else Evidence.SECOND_FACTOR


def _confirmed(profile: Profile | None, state: ProfileState, *, second_factor: bool) -> bool:
    """Tell whether the profile, with this sample, rests on second factors until it was ready."""
    if profile is None:
        return second_factor
    return profile.confirmed and (second_factor or state is ProfileState.READY)
