"""Begin a profile with what was typed where an account or a password is made. Nothing is scored: there is nothing to compare.

Only a field of which nothing is known yet is begun, with one sample, and only by a person who agreed: at a registration in
that very moment, else before, and confirmed by a second factor. Everything after that is learned from logins.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sidecar.config import Settings
from sidecar.domain.biometrics import Cause, Probe
from sidecar.domain.consent import Consent, ConsentState
from sidecar.domain.decisions import Attempt, Evidence
from sidecar.keyring import Keyring
from sidecar.ports import (
    Assertion,
    AuditEntry,
    Captures,
    Enrollment,
    Keys,
    Learning,
    Lesson,
    ProfileKey,
    Profiles,
)
from sidecar.risk.judge import Known, judge
from sidecar.scoring.contract import OneClassDetector
from sidecar.usecases.entered import looked_at
from sidecar.usecases.gather import gather

Occasion = Literal["registration", "password_changed"]


@dataclass(frozen=True, slots=True)
class Enroller:
    """What enrolling needs; built once by ``main``."""

    settings: Settings
    keyring: Keyring
    keys: Keys
    captures: Captures
    profiles: Profiles
    learning: Learning
    detectors: Mapping[str, OneClassDetector]
    clock: Callable[[], float]

    async def enroll(self, attempt: Attempt, occasion: Occasion, assertion: Assertion) -> list[str]:
        """Begin profiles; return the fields that were begun. Raises TokenReplayed, CaptureUsed, StorageFailed."""
        now = self.clock()
        idp = self.settings.idp(attempt.issuer)
        subject = self.keyring.pseudonym(attempt.tenant, attempt.subject)
        remembered = await self.profiles.remembered(attempt.tenant, subject, now)
        consent = _told(remembered.consent, attempt, occasion, now)
        standing = consent.under(idp.legal_basis)
        barred = standing.bars() or (None if standing.confirmed else Cause.NO_CONSENT)
        gathered = await gather(self.captures, self.keyring.captures, idp, attempt, self.clock, barred=barred)
        judgement = judge(gathered.evidence, Known({}, {}), self.detectors, mode=idp.secret_fields, mismatch_from=0.0)
        live = looked_at(judgement, remembered.entries, {})
        probes = () if live.copied or live.signs or self.settings.learning.frozen else judgement.probes
        lessons = [
            Lesson(
                ProfileKey(attempt.tenant, subject, "keystroke", probe.field, judgement.context),
                probe,
                Evidence.ENROLLMENT,
                now,
                confirmed=True,
            )
            for probe in probes
        ]
        name = f"enrollment {secrets.token_urlsafe(12)}"
        details = {"decision": name, "on": occasion}
        enrollment = Enrollment(
            id=name,
            tenant=attempt.tenant,
            subject=subject,
            at=now,
            assertion=assertion,
            uses=gathered.uses,
            digests=tuple(self._digest(attempt.tenant, subject, probe) for probe in probes),
            consent=consent if consent != remembered.consent else None,
            directory={"id": attempt.subject, "name": attempt.name or ""},
            entry=AuditEntry(attempt.tenant, "profile.begun", attempt.issuer, subject, details, now),
        )
        await self.keys.ensure(attempt.tenant, subject)
        return await self.learning.begin(enrollment, lessons)

    def _digest(self, tenant: str, subject: str, probe: Probe) -> str:
        return self.keyring.digest(tenant, subject, probe.layout.encode() + probe.values.tobytes())


def _told(before: Consent, attempt: Attempt, occasion: Occasion, now: float) -> Consent:
    """Return where the person stands with what the request says. Who makes an account is the one who agrees: nobody else could
    have learned its password yet.
    """
    told = attempt.consent
    if told is None:
        return before
    after = before.told(
        given=told.given, version=told.version, recording=told.recording, at=now, answered_at=told.answered_at
    )
    made = occasion == "registration" and after.state is ConsentState.GIVEN
    return replace(after, confirmed=True) if made else after
