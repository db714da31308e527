"""Where people stand: consent, pause, recordings.

The row stands in clear, so that counts by state need no keys; its ``proof`` is an empty value sealed under the person's key
for what the row says. Changed by hand, the row is refused at reading, so that nobody is scored who did not agree.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sidecar.domain.consent import Consent, ConsentState
from sidecar.keyring import Seal, vouched
from sidecar.ports import Assertion, AuditEntry, Keys, Opener
from sidecar.storage.assertions import use_assertion
from sidecar.storage.database import Connection, Database

COLUMNS = "consent, version, consent_at, confirmed, recording, paused_at"

# What a person's withdrawal takes away: everything that was measured. Decisions stay as the record of what was done.
MEASURED = ("samples", "templates", "checkpoints", "waiting_probes", "entries", "recorded")


class SqlSubjects:
    """Implements ``ports.Subjects``."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._db = database
        self._keys = keys

    async def consent(self, tenant: str, subject: str) -> Consent:
        """Return where a person stands; unknown when nothing is kept. Raises SealBroken when the row was changed."""
        return await self._db.reading(
            lambda: read_consent(self._db, self._keys.opener(tenant, subject), tenant, subject)
        )

    async def stand(
        self, tenant: str, subject: str, consent: Consent, assertion: Assertion | None, by: str, at: float
    ) -> None:
        """Keep where a person stands. A withdrawal also erases what was measured."""
        await self._keys.ensure(tenant, subject)
        seal = await self._db.reading(lambda: self._keys.seal(tenant, subject))

        def job(connection: Connection) -> None:
            if assertion:
                use_assertion(connection, assertion)
            keep_consent(connection, seal, tenant, subject, consent, by, at)

        await self._db.write(job)


def read_consent(database: Database, mine: Opener, tenant: str, subject: str) -> Consent:
    """Return where a person stands. Blocks; for reading jobs. Raises SealBroken when the row was changed.

    Who was forgotten and comes back with a restored backup is unknown.
    """
    rows = database.read(f"SELECT {COLUMNS}, proof FROM subjects WHERE tenant = ? AND subject = ?", (tenant, subject))
    if not rows:
        return Consent()
    *said, proof = rows[0]
    if mine(bytes(proof), *consent_place(tenant, subject, *said)) is None:
        return Consent()
    return _consent(said)


def consent_place(tenant: str, subject: str, *said: str | float | None) -> tuple[str, ...]:
    """Return what a row's proof is sealed for: the person and the columns that say where they stand."""
    return ("subjects", "proof", tenant, subject, vouched(*said))


def keep_consent(
    connection: Connection, seal: Seal, tenant: str, subject: str, consent: Consent, by: str, at: float
) -> None:
    """Keep where a person stands, with its audit entry, in the transaction of what brought the news."""
    said = _put(connection, seal, tenant, subject, consent)
    if consent.state in (ConsentState.WITHDRAWN, ConsentState.REFUSED):
        for table in MEASURED:
            connection.execute(f"DELETE FROM {table} WHERE tenant = ? AND subject = ?", (tenant, subject))
    connection.notes.append(AuditEntry(tenant, "subject.stands", by, subject, standing(said), at))


def confirm_consent(connection: Connection, keys: Keys, tenant: str, subject: str, by: str, at: float) -> None:
    """Note that a second factor was passed after the consent. Raises SealBroken when the row was changed."""
    found = connection.execute(
        f"SELECT {COLUMNS}, proof FROM subjects WHERE tenant = ? AND subject = ? AND confirmed = 0", (tenant, subject)
    ).fetchone()
    if found is None:
        return
    *said, proof = found
    if keys.open_mine(tenant, subject, bytes(proof), *consent_place(tenant, subject, *said)) is None:
        return
    said = _put(connection, keys.seal(tenant, subject), tenant, subject, replace(_consent(said), confirmed=True))
    connection.notes.append(AuditEntry(tenant, "subject.stands", by, subject, standing(said), at))


def standing(said: Sequence[Any]) -> dict[str, str | bool | None]:
    """Return what a row of ``COLUMNS`` says as the audit chain remembers it."""
    state, version, _, confirmed, recording, paused_at = said
    return {
        "state": state,
        "version": version,
        "confirmed": bool(confirmed),
        "recording": recording,
        "paused": paused_at is not None,
    }


def _put(connection: Connection, seal: Seal, tenant: str, subject: str, consent: Consent) -> Sequence[Any]:
    said = (
        str(consent.state),
        consent.version,
        consent.at,
        int(consent.confirmed),
        consent.recording,
        consent.paused_at,
    )
    proof = seal.close(b"", *consent_place(tenant, subject, *said))
    connection.execute("DELETE FROM subjects WHERE tenant = ? AND subject = ?", (tenant, subject))
    connection.execute("INSERT INTO subjects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (tenant, subject, *said, proof))
    return said


def _consent(said: Sequence[Any]) -> Consent:
    state, version, at, confirmed, recording, paused_at = said
    return Consent(ConsentState(state), version, at, bool(confirmed), recording, paused_at)
