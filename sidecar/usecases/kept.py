"""What of a decision is kept: the record, its row in the audit chain, what is sent, and the answer made of it again."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import structlog

from sidecar.domain.biometrics import Cause
from sidecar.domain.consent import Consent
from sidecar.domain.decisions import Action, Answer, Attempt, Consequence, Effect, Judgement, Source, Verdict
from sidecar.ports import AuditEntry, OutboxItem, StoredDecision
from sidecar.risk.context import history
from sidecar.usecases.gather import Gathered
from sidecar.wire import encode_batches

log = structlog.get_logger()


def body_of(
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
        # What the policy said; the answer differs where the user has no second factor to step up with.
        "verdict": _remembered(verdict.consequence),
        "policy": verdict.policy_id,
        "policy_digest": verdict.policy_digest,
        "facts": _kept(seen),
        "context": judgement.context,
        "scores": [asdict(score) for score in judgement.scores],
        "absences": [asdict(absence) for absence in judgement.absences],
        "trace": [asdict(rule) for rule in verdict.trace],
        "errors": list(verdict.errors),
        "shadow": [asdict(would) for would in verdict.shadow],
    }


def _kept(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as they are remembered: without the provider's user id, and with the network in place of the address."""
    return dict(seen) | {"user.id": None, "network.address": history.network_of(seen["network.address"])}


def entry_of(attempt: Attempt, subject: str, answer: Answer, policy: str, now: float) -> AuditEntry:
    """What the audit chain remembers of a decision: what was decided by which rule, and nothing that was measured."""
    details = {
        "decision": answer.decision_id,
        "client": attempt.client,
        "action": str(answer.consequence.action),
        "rule": answer.rule_id,
        "source": str(answer.source),
        "policy": policy,
    }
    return AuditEntry(attempt.tenant, "decision", attempt.issuer, subject, details, now)


def events_of(gathered: Gathered, consent: Consent, running: Sequence[str]) -> tuple[str, bytes] | None:
    """Return the event stream for a running recording that the person agreed to by name; else it is dropped here."""
    if consent.recording is None or consent.recording not in running or not consent.confirmed:
        return None
    if isinstance(gathered.evidence, Cause):
        return None
    return consent.recording, encode_batches(gathered.evidence)


def effects_of(attempt: Attempt, verdict: Verdict, decision: str, subject: str, now: float) -> list[OutboxItem]:
    """Return what a verdict's effects send; an effect on a session that the request did not name is left out, and logged."""
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


def is_unmet(wanted: Consequence, given: Consequence) -> bool:
    """Tell whether a second factor was wanted that the person does not have."""
    return wanted.action is Action.STEP_UP and given.action is not Action.STEP_UP


def consequence_of(kept: Mapping[str, Any]) -> Consequence:
    """Return a consequence as it was remembered."""
    effects = tuple(Effect(name) for name in kept["effects"])
    return Consequence(Action(kept["action"]), kept["acr_values"], kept["factor"], effects, bool(kept.get("trust")))


def _remembered(consequence: Consequence) -> dict[str, Any]:
    return {
        "action": consequence.action,
        "acr_values": consequence.acr_values,
        "factor": consequence.factor,
        "effects": list(consequence.effects),
        "trust": consequence.trust,
    }


def stored_answer(stored: StoredDecision) -> Answer:
    """Return the answer that a decision was given, without its cookie."""
    kept = stored.body["answer"]
    return Answer(
        stored.id,
        consequence_of(kept),
        Source(kept["source"]),
        kept["risk_level"],
        kept["rule_id"],
        kept["reason"],
        trust=bool(kept.get("trust")),
        unmet=is_unmet(consequence_of(stored.body["verdict"]), consequence_of(kept)),
    )
