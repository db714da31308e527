"""Take the report of how a login ended, and learn from it when it may teach.

Only a login that succeeded as a whole teaches. Until a profile is ready, its samples must be confirmed by a second
factor, unless the client says that the password suffices: a thief of a password must not enroll himself. A ready profile
also learns from logins that matched clearly (``ENOUGH_LLR``), a stricter bar than accepting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sidecar.config import Settings
from sidecar.domain.biometrics import Probe, ProfileState
from sidecar.domain.decisions import Action, Evidence, Outcome
from sidecar.errors import BadRequest, NotFound
from sidecar.ports import Assertion, Decisions, Learning, Lesson, Profile, ProfileKey, Profiles, StoredDecision

OUTCOMES = ("succeeded", "failed", "abandoned")
ENOUGH_LLR = -1.0
COMPLETION_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Completer:
    """What completing needs; built once by ``main``."""

    settings: Settings
    decisions: Decisions
    profiles: Profiles
    learning: Learning
    clock: Callable[[], float]

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
        decision = self.decisions.get(tenant, decision_id)
        now = self.clock()
        if decision is None or decision.issuer != issuer:
            raise NotFound("no such decision")
        lessons: Sequence[Lesson] = ()
        if outcome == "succeeded" and now - decision.at <= COMPLETION_SECONDS and not self.settings.learning.frozen:
            lessons = self._lessons(decision, second_factor=second_factor, now=now)
        completion = {
            "outcome": outcome,
            "second_factor": second_factor,
            "sid": sid,
            "at": now,
            "taught": [lesson.key.field for lesson in lessons],
        }
        # Let in although a second factor was asked for: that may be a thief, who must not make a habit of anything.
        remember = second_factor or decision.body["answer"]["action"] == Action.ALLOW
        return await self.learning.complete(decision, completion, lessons, assertion, remember=remember)

    def _lessons(self, decision: StoredDecision, *, second_factor: bool, now: float) -> list[Lesson]:
        client = self.settings.idp(decision.issuer).client(str(decision.body["client"]))
        rules = self.settings.learning
        found = {
            (item.key.field, item.key.context): item for item in self.profiles.find(decision.tenant, decision.subject)
        }
        taught = self.learning.taught_since(decision.tenant, decision.subject, now - 86_400)
        context = str(decision.body["context"])
        lessons = []
        for probe in self.learning.waiting(decision.id):
            profile = found.get((probe.field, context))
            state = (
                profile.state(now=now, ready_samples=rules.ready_samples, stale_days=rules.stale_days)
                if profile
                else ProfileState.NONE
            )
            allowed = second_factor or (
                _matched_clearly(decision, probe) if state is ProfileState.READY else client.password_suffices
            )
            if allowed and taught.get(probe.field, 0) < rules.samples_per_day:
                evidence = Evidence.SECOND_FACTOR if second_factor else Evidence.PASSWORD_ONLY
                key = ProfileKey(decision.tenant, decision.subject, "keystroke", probe.field, context)
                confirmed = _confirmed(profile, state, second_factor=second_factor)
                lessons.append(Lesson(key, probe, evidence, now, confirmed))
        return lessons


def _matched_clearly(decision: StoredDecision, probe: Probe) -> bool:
    if decision.body["facts"]["keystroke.outcome"] != Outcome.MATCH:
        return False
    return any(score["field"] == probe.field and score["llr"] <= ENOUGH_LLR for score in decision.body["scores"])


def _confirmed(profile: Profile | None, state: ProfileState, *, second_factor: bool) -> bool:
    """Tell whether the profile, with this sample, rests on second factors until it was ready."""
    if profile is None:
        return second_factor
    return profile.confirmed and (second_factor or state is ProfileState.READY)
