"""Assess one login: gather the behaviour, judge it, let the policy decide, make the decision durable, answer.

Bounded in time by the caller. When state cannot be loaded or the decision cannot be made durable, the answer is the
policy's own word for errors, labelled ``degraded``.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from sidecar.config import Settings
from sidecar.domain.biometrics import Cause, Probe
from sidecar.domain.decisions import Action, Answer, Attempt, Consequence, Effect, Judgement, Source, Verdict
from sidecar.errors import CaptureUsed, IdempotencyConflict, StorageFailed
from sidecar.keyring import Keyring
from sidecar.policy.evaluate import decide
from sidecar.policy.language import Policy
from sidecar.ports import (
    Assertion,
    Assertions,
    Captures,
    DecisionRecord,
    Decisions,
    Keys,
    OutboxItem,
    Profiles,
    StoredDecision,
)
from sidecar.risk.fusion import level
from sidecar.risk.judge import Known, facts, judge
from sidecar.scoring.contract import OneClassDetector
from sidecar.usecases.gather import Gathered, gather
from sidecar.usecases.reasons import reason

log = structlog.get_logger()

MODALITY = "keystroke"


@dataclass(frozen=True, slots=True)
class Assessor:
    """What assessing needs; built once by ``main``."""

    settings: Settings
    policy: Policy
    keyring: Keyring
    detectors: Mapping[str, OneClassDetector]
    keys: Keys
    captures: Captures
    assertions: Assertions
    decisions: Decisions
    profiles: Profiles
    clock: Callable[[], float]

    async def assess(self, attempt: Attempt, assertion: Assertion, idempotency: tuple[str, str] | None) -> Answer:
        """Decide one login. Raises TokenReplayed, IdempotencyConflict, StorageFailed; then nothing was kept."""
        if idempotency and (answer := self._again(attempt, idempotency)):
            await self.assertions.spend(assertion)
            return answer
        idp = self.settings.idp(attempt.issuer)
        gathered = await gather(self.captures, self.keyring.captures, idp, attempt, self.clock)
        try:
            try:
                return await self._conclude(attempt, gathered, assertion, idempotency)
            except CaptureUsed:
                # Another decision used this capture, or these very timings: what is left is a login without evidence.
                return await self._conclude(attempt, Gathered(Cause.REPLAYED), assertion, idempotency)
        except IdempotencyConflict:
            if idempotency and (answer := self._again(attempt, idempotency)):
                await self.assertions.spend(assertion)
                return answer
            raise

    def degraded(self) -> Answer:
        """Return the policy's word for errors; it leaves no row, so it has no decision id."""
        return Answer(None, self.policy.outcomes["error"], Source.DEGRADED, "unknown", "outcome.error", reason(None))

    async def _conclude(
        self,
        attempt: Attempt,
        gathered: Gathered,
        assertion: Assertion,
        idempotency: tuple[str, str] | None,
    ) -> Answer:
        now = self.clock()
        idp = self.settings.idp(attempt.issuer)
        subject = self.keyring.pseudonym(attempt.tenant, attempt.subject)
        context = gathered.evidence[0].ctx if not isinstance(gathered.evidence, Cause) else "keyboard"
        known = self._known(attempt.tenant, subject, context, now)
        judgement = self._judge(gathered.evidence, known, idp.secret_fields)
        digests = self._digests(attempt.tenant, subject, judgement.probes)
        if digests and self.decisions.seen(attempt.tenant, digests):
            judgement, digests = self._judge(Cause.REPLAYED, known, idp.secret_fields), ()
        seen = facts(
            judgement,
            known,
            action=attempt.action,
            client=attempt.client,
            usual=self.profiles.usual(attempt.tenant, subject),
            prior=self.policy.prior,
        )
        verdict = decide(self.policy, seen, now)
        answer = Answer(
            decision_id=secrets.token_urlsafe(12),
            consequence=verdict.consequence,
            source=Source.SCORED,
            risk_level=level(judgement),
            rule_id=verdict.rule_id,
            reason=reason(judgement),
            trust=verdict.consequence.trust,
        )
        record = DecisionRecord(
            id=str(answer.decision_id),
            tenant=attempt.tenant,
            issuer=attempt.issuer,
            subject=subject,
            at=now,
            body=_body(attempt, judgement, seen, verdict, answer),
            assertion=assertion,
            idempotency=idempotency,
            uses=gathered.uses,
            digests=digests,
            waiting=judgement.probes,
            outbox=tuple(_effects(attempt, verdict, str(answer.decision_id), subject, now)),
            directory={"id": attempt.subject, "name": attempt.name or ""},
        )
        await self.keys.ensure(attempt.tenant, subject)
        await self.decisions.record(record)
        return answer

    def _judge(self, evidence: Any, known: Known, mode: Any) -> Judgement:
        return judge(evidence, known, self.detectors, mode=mode, mismatch_from=self.policy.mismatch_from)

    def _known(self, tenant: str, subject: str, context: str, now: float) -> Known:
        found = {
            profile.key.field: profile
            for profile in self.profiles.find(tenant, subject)
            if profile.key.context == context and profile.key.modality == MODALITY
        }
        if any(profile.template.detector not in self.detectors for profile in found.values()):
            raise StorageFailed("a stored template is of a detector that this version does not have")
        learning = self.settings.learning
        states = {
            field: profile.state(now=now, ready_samples=learning.ready_samples, stale_days=learning.stale_days)
            for field, profile in found.items()
        }
        return Known(found, states)

    def _digests(self, tenant: str, subject: str, probes: Sequence[Probe]) -> tuple[str, ...]:
        return tuple(
            self.keyring.digest(tenant, subject, probe.layout.encode() + probe.values.tobytes()) for probe in probes
        )

    def _again(self, attempt: Attempt, idempotency: tuple[str, str]) -> Answer | None:
        key, digest = idempotency
        found = self.decisions.repeated(attempt.issuer, key)
        if found is None:
            return None
        if found[0] != digest:
            raise IdempotencyConflict("the idempotency key was used with another request")
        return _stored_answer(found[1])


def request_digest(body: bytes) -> str:
    """Return what tells two requests under one idempotency key apart."""
    return hashlib.sha256(body).hexdigest()


def _body(
    attempt: Attempt, judgement: Judgement, seen: Mapping[str, Any], verdict: Verdict, answer: Answer
) -> dict[str, Any]:
    """What is remembered of a decision. No timing of a secret field is in it: shares and directions only."""
    return {
        "action": attempt.action,
        "client": attempt.client,
        "sid": attempt.sid,
        "answer": {
            "action": answer.consequence.action,
            "acr_values": answer.consequence.acr_values,
            "factor": answer.consequence.factor,
            "effects": list(answer.consequence.effects),
            "source": answer.source,
            "risk_level": answer.risk_level,
            "rule_id": answer.rule_id,
            "reason": answer.reason,
            "trust": answer.trust,
        },
        "policy": verdict.policy_id,
        "policy_digest": verdict.policy_digest,
        "facts": dict(seen),
        "context": judgement.context,
        "scores": [asdict(score) for score in judgement.scores],
        "absences": [asdict(absence) for absence in judgement.absences],
        "trace": [asdict(rule) for rule in verdict.trace],
        "errors": list(verdict.errors),
        "shadow": [asdict(would) for would in verdict.shadow],
    }


def _effects(attempt: Attempt, verdict: Verdict, decision: str, subject: str, now: float) -> list[OutboxItem]:
    items = []
    for effect in verdict.consequence.effects:
        if effect is Effect.REVOKE_SESSION and attempt.sid is None:
            log.warning("effect_without_session", decision=decision, rule=verdict.rule_id)
            continue
        body = {"subject": subject, "sid": attempt.sid, "reason": verdict.rule_id, "decision": decision}
        body["scope"] = "all" if effect is Effect.REVOKE_ALL else "session"
        kind = "notify" if effect is Effect.NOTIFY else "revoke"
        items.append(OutboxItem(secrets.token_urlsafe(12), attempt.tenant, attempt.issuer, kind, body, 0, now))
    return items


def _stored_answer(stored: StoredDecision) -> Answer:
    kept = stored.body["answer"]
    consequence = Consequence(
        Action(kept["action"]), kept["acr_values"], kept["factor"], tuple(Effect(name) for name in kept["effects"])
    )
    return Answer(
        stored.id,
        consequence,
        Source(kept["source"]),
        kept["risk_level"],
        kept["rule_id"],
        kept["reason"],
        trust=bool(kept.get("trust")),
    )
