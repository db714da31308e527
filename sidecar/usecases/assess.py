"""Assess one login: gather the behaviour, judge it, let the policy decide, make the decision durable, answer.

Bounded in time by the caller. When state cannot be loaded or the decision cannot be made durable, the answer is the
policy's own word for errors, labelled ``degraded``.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from sidecar.config import ClientSettings, Settings
from sidecar.domain.biometrics import Cause, Probe
from sidecar.domain.consent import Consent
from sidecar.domain.decisions import (
    Action,
    Answer,
    Attempt,
    Consequence,
    DeviceCookie,
    Facts,
    Judgement,
    Outcome,
    Source,
    Verdict,
    strictness,
)
from sidecar.errors import AuditFull, CaptureUsed, IdempotencyConflict, StorageFailed
from sidecar.keyring import Keyring
from sidecar.policy.evaluate import FLOORS, decide
from sidecar.policy.language import Policy, outcome_key
from sidecar.ports import (
    Assertion,
    Assertions,
    Audit,
    AuditEntry,
    Captures,
    DecisionRecord,
    Decisions,
    Keys,
    Profile,
    Profiles,
    Remembered,
    Running,
    Sessions,
)
from sidecar.risk.explained import would_pass
from sidecar.risk.fusion import level
from sidecar.risk.judge import NOTHING_BESIDE, Beside, Known, circumstances, facts, judge, shadow_scores
from sidecar.risk.muting import muted
from sidecar.scoring.contract import OneClassDetector
from sidecar.usecases.cohorts import Cohorts
from sidecar.usecases.entered import entered, looked_at, unlike
from sidecar.usecases.gather import Gathered, gather
from sidecar.usecases.in_force import InForce
from sidecar.usecases.kept import body_of, effects_of, entry_of, events_of, is_unmet, stored_answer
from sidecar.usecases.reasons import reason
from sidecar.usecases.running import SESSION_CHECK, as_judged, kept_of, running, typed_at
from sidecar.usecases.surroundings import Seen, Watcher
from sidecar.usecases.watching import TypingWatch

log = structlog.get_logger()

MODALITY = "keystroke"
WITHOUT_CONSENT = tuple(
    f"outcome.{outcome_key(Outcome.UNAVAILABLE, cause)}" for cause in (Cause.NO_CONSENT, Cause.PAUSED)
)


@dataclass(frozen=True, slots=True)
class _Looked:
    """One login as it was looked at, before the policy speaks. ``facts``: all of it, signal by signal."""

    judgement: Judgement
    known: Known
    beside: Beside
    digests: tuple[str, ...]
    facts: Facts
    around: Seen
    running: Running
    consent: Consent


@dataclass(frozen=True, slots=True)
class Assessor:
    """What assessing needs; built once by ``main``."""

    settings: Settings
    policies: InForce
    keyring: Keyring
    detectors: Mapping[str, OneClassDetector]
    keys: Keys
    captures: Captures
    assertions: Assertions
    decisions: Decisions
    sessions: Sessions
    profiles: Profiles
    audit: Audit
    clock: Callable[[], float]
    watcher: Watcher
    watch: TypingWatch
    cohorts: Cohorts

    async def assess(self, attempt: Attempt, assertion: Assertion, idempotency: tuple[str, str] | None) -> Answer:
        """Decide one login. Raises TokenReplayed, IdempotencyConflict, StorageFailed; then nothing was kept."""
        if idempotency and (answer := await self._again(attempt, idempotency)):
            await self.assertions.spend(assertion)
            return answer
        idp = self.settings.idp(attempt.issuer)
        subject = self.keyring.pseudonym(attempt.tenant, attempt.subject)
        remembered = await self.profiles.remembered(attempt.tenant, subject, self.clock())
        consent = self._consent(attempt, remembered)
        news = consent if consent != remembered.consent else None
        barred = consent.under(idp.legal_basis).bars()
        gathered = await gather(self.captures, self.keyring.captures, idp, attempt, self.clock, barred=barred)
        known = replace(remembered, consent=consent)
        try:
            try:
                return await self._conclude(attempt, known, news, gathered, assertion, idempotency)
            except CaptureUsed:
                # Another decision used this capture, or these very timings: what is left is a login without evidence.
                nothing = Gathered(barred or Cause.REPLAYED, gpc=gathered.gpc)
                return await self._conclude(attempt, known, news, nothing, assertion, idempotency)
        except IdempotencyConflict:
            if idempotency and (answer := await self._again(attempt, idempotency)):
                await self.assertions.spend(assertion)
                return answer
            raise

    def degraded(self, attempt: Attempt) -> Answer:
        """Return the policy's word for errors; it leaves no row, so it has no decision id."""
        policy = self.policies.of(self.keyring.pseudonym(attempt.tenant, attempt.subject), attempt.groups)
        asked, floor = policy.outcomes["error"], FLOORS[self._client(attempt).floor]
        if strictness(floor) > strictness(asked):
            asked = floor
        consequence = self._possible(attempt, asked, "outcome.error")
        return Answer(None, consequence, Source.DEGRADED, "unknown", "outcome.error", reason(None))

    async def _conclude(
        self,
        attempt: Attempt,
        remembered: Remembered,
        news: Consent | None,
        gathered: Gathered,
        assertion: Assertion,
        idempotency: tuple[str, str] | None,
    ) -> Answer:
        now = self.clock()
        subject = self.keyring.pseudonym(attempt.tenant, attempt.subject)
        policy = self.policies.of(subject, attempt.groups)
        looked = await self._look(attempt, subject, remembered, gathered, policy, now)
        judgement, known = looked.judgement, looked.known
        verdict = decide(policy, looked.facts, now)
        answer = self._answer(attempt, judgement, verdict, looked.around.cookie)
        beside = {
            "shadow_models": shadow_scores(
                judgement.probes, self._shadows(remembered.profiles, judgement.context), self.detectors, known.ages
            ),
            "around": looked.around.kept,
            "fare": self.policies.fare(policy, looked.facts, verdict, now),
            "would_pass": would_pass(
                judgement, known, remembered.entries, self.detectors, looked.beside, policy.mismatch_from
            ),
            "unlike": unlike(judgement, policy.mismatch_from),
        }
        if attempt.action == SESSION_CHECK:
            beside["session"] = kept_of(looked.running)
        record = DecisionRecord(
            id=str(answer.decision_id),
            tenant=attempt.tenant,
            issuer=attempt.issuer,
            subject=subject,
            at=now,
            body=body_of(attempt, judgement, looked.facts, verdict, answer) | beside,
            assertion=assertion,
            idempotency=idempotency,
            uses=gathered.uses,
            digests=looked.digests,
            waiting=judgement.probes,
            entries=entered(judgement, known, now),
            watched=judgement.deciding,
            outbox=tuple(effects_of(attempt, verdict, str(answer.decision_id), subject, now)),
            directory={"id": attempt.subject, "name": attempt.name or ""},
            entry=None,
            consent=news,
            events=events_of(gathered, looked.consent, remembered.recordings),
        )
        await self.keys.ensure(attempt.tenant, subject)
        entry = entry_of(attempt, subject, answer, policy.id, now)
        if self.settings.audit.mode == "strict":
            await self.decisions.record(replace(record, entry=entry))
        else:
            await self._buffered(record, entry, policy)
        return answer

    async def _look(
        self, attempt: Attempt, subject: str, remembered: Remembered, gathered: Gathered, policy: Policy, now: float
    ) -> "_Looked":
        """Judge what was typed, look around, and name all of it for the policy."""
        idp = self.settings.idp(attempt.issuer)
        context = gathered.evidence[0].ctx if not isinstance(gathered.evidence, Cause) else "keyboard"
        known = self._known(remembered, context, now)
        beside = self._beside(attempt.tenant, subject, remembered, known, policy)
        judgement = self._judge(gathered.evidence, known, idp.secret_fields, policy, beside)
        digests = self._digests(attempt.tenant, subject, judgement.probes)
        live = looked_at(judgement, remembered.entries, beside.shared)
        if live.copied or (digests and await self.decisions.seen(attempt.tenant, digests)):
            judgement, digests = self._judge(Cause.REPLAYED, known, idp.secret_fields, policy), ()
        consent = remembered.consent.under(idp.legal_basis)
        session = await running(self.sessions, attempt, subject, now)
        around = self.watcher.look(attempt, idp, remembered.past, session.factor_at, now)
        behaved = facts(
            judgement,
            known,
            action=attempt.action,
            client=attempt.client,
            usual=remembered.usual,
            prior=policy.prior,
            consent=consent,
            gpc=attempt.gpc or gathered.gpc,
        )
        typed = typed_at(session, gathered, policy)
        seen = {**around.facts, **behaved, **live.facts(), **typed}
        judgement = as_judged(judgement, typed)
        return _Looked(judgement, known, beside, digests, seen, around, session, consent)

    def _answer(self, attempt: Attempt, judgement: Judgement, verdict: Verdict, cookie: DeviceCookie | None) -> Answer:
        possible = self._possible(attempt, verdict.consequence, verdict.rule_id)
        return Answer(
            decision_id=secrets.token_urlsafe(12),
            consequence=possible,
            source=Source.SCORED,
            risk_level=level(judgement),
            rule_id=verdict.rule_id,
            reason=reason(judgement),
            trust=verdict.consequence.trust,
            cookie=cookie,
            unmet=is_unmet(verdict.consequence, possible),
        )

    async def _buffered(self, record: DecisionRecord, entry: AuditEntry, policy: Policy) -> None:
        """Keep a decision whose audit row follows soon. Without room for the row the policy says whether to decide at all:
        what is answered as an error must not be kept, or its repetition would be answered without a row.
        """
        try:
            with self.audit.room() as later:
                await self.decisions.record(record)
                later(entry)
        except AuditFull:
            if policy.audit_full == "error":
                raise
            log.error("audit_full", decision=record.id)
            await self.decisions.record(record)

    def _consent(self, attempt: Attempt, remembered: Remembered) -> Consent:
        """Return where the person stands with what this request says of it."""
        told = attempt.consent
        if told is None:
            return remembered.consent
        return remembered.consent.told(
            given=told.given,
            version=told.version,
            recording=told.recording,
            at=self.clock(),
            answered_at=told.answered_at,
        )

    def _client(self, attempt: Attempt) -> ClientSettings:
        return self.settings.idp(attempt.issuer).client(attempt.client)

    def _possible(self, attempt: Attempt, consequence: Consequence, rule: str) -> Consequence:
        """Replace a step-up that the user has no second factor for by the stricter of what the client's settings and the
        provider say; by allow where nothing but consent is missing, and no rule of the policy asked.
        """
        if consequence.action is not Action.STEP_UP or attempt.second_factor is not False:
            return consequence
        wanted = (self._client(attempt).without_second_factor, attempt.without_second_factor)
        instead = Action.DENY if "deny" in wanted and rule not in WITHOUT_CONSENT else Action.ALLOW
        return Consequence(instead, effects=consequence.effects)

    def _judge(
        self, evidence: Any, known: Known, mode: Any, policy: Policy, beside: Beside = NOTHING_BESIDE
    ) -> Judgement:
        return judge(evidence, known, self.detectors, mode=mode, mismatch_from=policy.mismatch_from, beside=beside)

    def _beside(self, tenant: str, subject: str, remembered: Remembered, known: Known, policy: Policy) -> Beside:
        correction = self.watch.correction(tenant)
        silent = muted(
            remembered.entries,
            known.profiles,
            known.states,
            correction.before(policy.mismatch_from),
            alike=self.watch.alike(tenant),
            others=self.cohorts.others(tenant, subject, self.detectors),
        )
        return Beside(silent, self.cohorts.of(tenant), correction)

    def _shadows(self, profiles: Sequence[Profile], context: str) -> list[Profile]:
        """Return templates of a coming model that are as ready as a serving one would have to be."""
        return [
            profile
            for profile in profiles
            if not profile.serving
            and profile.key.context == context
            and profile.samples >= self.settings.learning.ready_samples
            and profile.template.detector in self.detectors
        ]

    def _known(self, remembered: Remembered, context: str, now: float) -> Known:
        found = {
            profile.key.field: profile
            for profile in remembered.profiles
            if profile.serving and profile.key.context == context and profile.key.modality == MODALITY
        }
        if any(profile.template.detector not in self.detectors for profile in found.values()):
            raise StorageFailed("a stored template is of a detector that this version does not have")
        learning = self.settings.learning
        states = {
            field: profile.state(now=now, ready_samples=learning.ready_samples, stale_days=learning.stale_days)
            for field, profile in found.items()
        }
        ages = {}
        for field, profile in found.items():
            listed = remembered.entries.get((field, context))
            age = circumstances(listed.typed(profile.template.samples), now) if listed is not None else None
            if age is not None:
                ages[field] = age
        return Known(found, states, ages)

    def _digests(self, tenant: str, subject: str, probes: Sequence[Probe]) -> tuple[str, ...]:
        return tuple(
            self.keyring.digest(tenant, subject, probe.layout.encode() + probe.values.tobytes()) for probe in probes
        )

    async def _again(self, attempt: Attempt, idempotency: tuple[str, str]) -> Answer | None:
        key, digest = idempotency
        found = await self.decisions.repeated(attempt.issuer, key)
        if found is None:
            return None
        if found[0] != digest:
            raise IdempotencyConflict("the idempotency key was used with another request")
        answer, around = stored_answer(found[1]), found[1].body.get("around")
        cookie = self.watcher.cookie(attempt.tenant, around["device"], found[1].at) if around else None
        return replace(answer, cookie=cookie)


def request_digest(body: bytes) -> str:
    """Return what tells two requests under one idempotency key apart."""
    return hashlib.sha256(body).hexdigest()
