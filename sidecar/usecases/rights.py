"""What is kept about one person, and what that person may ask for: see, take along, pause, agree, refuse, be forgotten.

The same functions serve the command line, the identity provider's calls on behalf of its users, and operators. Every
reading and every act is a row of the tenant's audit chain, with ``by`` naming who wanted it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from sidecar.config import Settings
from sidecar.domain.consent import Consent, ConsentState
from sidecar.domain.entries import Ended, Entries
from sidecar.domain.surroundings import MarkKind, Past
from sidecar.errors import BadRequest, NotFound
from sidecar.keyring import Keyring
from sidecar.ports import (
    Assertion,
    Assertions,
    Audit,
    AuditEntry,
    Correction,
    Directory,
    Keys,
    Profiles,
    Restored,
    StoredDecision,
    Subjects,
    Surroundings,
)
from sidecar.usecases.profiles import describe

FORMAT = "gaitkeeper-subject-2"


class Histories(Protocol):
    """Everything that was decided about a person."""

    async def of_subject(self, tenant: str, subject: str) -> list[StoredDecision]:
        """Return every decision about one person, oldest first."""


class Recorded(Protocol):
    """What recordings hold of a person."""

    async def of_subject(self, tenant: str, subject: str) -> Any:
        """Return (recording, time, event stream) of each recorded login."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What this needs; built once by ``main``. ``subject`` is everywhere the identity provider's id of the user."""

    settings: Settings
    keyring: Keyring
    keys: Keys
    assertions: Assertions
    profiles: Profiles
    histories: Histories
    directory: Directory
    subjects: Subjects
    surroundings: Surroundings
    correction: Correction
    recorded: Recorded
    audit: Audit
    clock: Callable[[], float]

    async def show(self, tenant: str, subject: str, by: str, assertion: Assertion | None = None) -> dict[str, Any]:
        """Return states and counts, nothing measured. Raises NotFound."""
        await self._spent(assertion)
        found = await self._summary(tenant, subject)
        await self._read(tenant, subject, by, "states")
        return found

    async def export(self, tenant: str, subject: str, by: str, assertion: Assertion | None = None) -> dict[str, Any]:
        """Return everything kept about one person as a document that a person can read (docs/privacy.md). Raises NotFound."""
        await self._spent(assertion)
        found = await self._summary(tenant, subject)
        pseudonym = self.keyring.pseudonym(tenant, subject)
        found["samples"] = [
            {
                "field": profile.key.field,
                "input": profile.key.context,
                "confirmed_at": moment(sample.at),
                "timings_ms": [None if math.isnan(value) else round(value, 1) for value in sample.values.tolist()],
            }
            for profile in await self.profiles.find(tenant, pseudonym)
            if profile.serving
            for sample in await self.profiles.samples(profile.key)
        ]
        now = self.clock()
        found["entries"] = [
            {"field": field, "input": context, **entry}
            for (field, context), kept in (await self.profiles.remembered(tenant, pseudonym, now)).entries.items()
            for entry in _entries(kept)
        ]
        found["decisions"] = [
            {
                "at": moment(decision.at),
                "client": decision.body["client"],
                **decision.body["answer"],
                "signals": decision.body["facts"],
                "ended": decision.completion,
            }
            for decision in await self.histories.of_subject(tenant, pseudonym)
        ]
        found |= _surroundings(await self.surroundings.past(tenant, pseudonym))
        found["recordings"] = [
            {"recording": name, "at": moment(at), "events": events}
            for name, at, events in await self.recorded.of_subject(tenant, pseudonym)
        ]
        await self._read(tenant, subject, by, "everything")
        return found

    async def stand(
        self,
        tenant: str,
        subject: str,
        by: str,
        *,
        given: bool,
        version: str | None = None,
        recording: str | None = None,
        confirmed: bool = False,
        answered_at: float | None = None,
        assertion: Assertion | None = None,
    ) -> Consent:
        """Take a person's consent or refusal; a refusal after consent is a withdrawal and erases what was measured."""
        pseudonym = self.keyring.pseudonym(tenant, subject)
        now = self.clock()
        before = await self.subjects.consent(tenant, pseudonym)
        after = before.told(given=given, version=version, recording=recording, at=now, answered_at=answered_at)
        if given and confirmed and after.state is ConsentState.GIVEN:
            after = replace(after, confirmed=True)
        await self.subjects.stand(tenant, pseudonym, after, assertion, by, now)
        return after

    async def pause(
        self, tenant: str, subject: str, by: str, *, paused: bool, assertion: Assertion | None = None
    ) -> Consent:
        """Stop scoring and learning of a person, or begin again; nothing is erased."""
        pseudonym = self.keyring.pseudonym(tenant, subject)
        now = self.clock()
        before = await self.subjects.consent(tenant, pseudonym)
        since = (before.paused_at or now) if paused else None
        after = replace(before, paused_at=since)
        await self.subjects.stand(tenant, pseudonym, after, assertion, by, now)
        return after

    async def forget(self, tenant: str, subject: str, by: str, assertion: Assertion | None = None) -> bool:
        """Destroy a person's key and every row about them; True when there was a key.

        The key goes first: whatever happens then, nothing sealed under it can be read again, in no backup either.
        """
        await self._spent(assertion)
        pseudonym = self.keyring.pseudonym(tenant, subject)
        there = await self.keys.destroy(tenant, pseudonym)
        await self.correction.reset(tenant, pseudonym, None, None, by, self.clock())
        return there

    async def reset(self, tenant: str, subject: str, by: str, field: str) -> None:
        """Forget one field's profile."""
        await self.correction.reset(tenant, self.keyring.pseudonym(tenant, subject), field, None, by, self.clock())

    async def unlearn(self, tenant: str, subject: str, by: str, since: float) -> Mapping[str, Restored]:
        """Take back what was learned since a moment (epoch seconds), because somebody else was in."""
        pseudonym = self.keyring.pseudonym(tenant, subject)
        return await self.correction.unlearn(tenant, pseudonym, since, self.clock(), by)

    async def confirm(self, tenant: str, subject: str, by: str) -> int:
        """Vouch for samples that only a password stood for: the profile then counts as confirmed."""
        return await self.correction.confirm(tenant, self.keyring.pseudonym(tenant, subject), by, self.clock())

    async def rebuild(self, tenant: str, subject: str, by: str) -> Mapping[str, bool]:
        """Make a person's templates again from the evidence log; tell for each whether it was the same, bit for bit."""
        return await self.correction.rebuild(tenant, self.keyring.pseudonym(tenant, subject), by, self.clock())

    async def mark(
        self, tenant: str, subject: str, by: str, kind: MarkKind | None, expires: float | None = None
    ) -> bool:
        """Mark an account as safe or compromised until ``expires`` (epoch seconds), or with None take the mark away; tell
        whether there was one before. Raises BadRequest when the end is past.
        """
        now = self.clock()
        if expires is not None and expires <= now:
            raise BadRequest("the end of a mark must be in the future")
        return await self.surroundings.mark(tenant, self.keyring.pseudonym(tenant, subject), kind, expires, by, now)

    async def _summary(self, tenant: str, subject: str) -> dict[str, Any]:
        pseudonym = self.keyring.pseudonym(tenant, subject)
        person = await self.directory.person(tenant, pseudonym)
        profiles = await describe(self.profiles, self.keyring, self.settings.learning, tenant, subject, self.clock)
        consent = await self.subjects.consent(tenant, pseudonym)
        if not person and not profiles and consent == Consent():
            raise NotFound("nothing is kept about this person")
        standing = consent.under(self.settings.legal_basis(tenant))
        return {
            "format": FORMAT,
            "tenant": tenant,
            "subject": subject,
            "name": person.get("name"),
            "pseudonym": pseudonym,
            "consent": {
                "state": str(standing.state),
                "text_version": consent.version,
                "since": moment(consent.at),
                "confirmed_by_second_factor": standing.confirmed,
                "recording": consent.recording,
                "paused_since": moment(consent.paused_at),
            },
            "profiles": profiles,
            "usual_password_entry": [str(how) if how else None for how in await self.profiles.usual(tenant, pseudonym)],
        }

    async def _spent(self, assertion: Assertion | None) -> None:
        if assertion is not None:
            await self.assertions.spend(assertion)

    async def _read(self, tenant: str, subject: str, by: str, what: str) -> None:
        pseudonym = self.keyring.pseudonym(tenant, subject)
        await self.audit.add([AuditEntry(tenant, "subject.read", by, pseudonym, {"what": what}, self.clock())])


def _surroundings(past: Past) -> dict[str, Any]:
    """Word what is remembered of the surroundings of logins."""
    return {
        "logins": [
            {
                "at": moment(login.at),
                "browser": login.device,
                "network": login.address,
                "autonomous_system": login.asn,
                "country": login.country,
                "place": asdict(login.spot) if login.spot else None,
            }
            for login in past.logins
        ],
        "failed_logins": [{"at": moment(failure.at), "browser": failure.device} for failure in past.failures],
        "mark": {"is": past.mark.kind, "until": moment(past.mark.expires)} if past.mark else None,
    }


def _entries(kept: Entries) -> list[dict[str, Any]]:
    """Return earlier entries as a person reads them."""
    return [
        {
            "at": moment(float(kept.at[i])),
            "ended": Ended(int(kept.ended[i])).name.lower(),
            "learned": bool(kept.stored[i]),
            "holds_ms": _numbers(kept.hold[i, : kept.length[i]].tolist()),
            "steps_ms": _numbers(kept.down_down[i, : kept.length[i]].tolist()),
        }
        for i in range(len(kept))
    ]


def _numbers(timings: list[float]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 1) for value in timings]


def moment(at: float | None) -> str | None:
    """Return a time as people write it, in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
