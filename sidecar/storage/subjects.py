"""Where people stand: consent, pause, recordings."""

from sidecar.domain.consent import Consent, ConsentState
from sidecar.ports import Assertion, AuditEntry
from sidecar.storage.assertions import use_assertion
from sidecar.storage.database import Connection, Database

_COLUMNS = "consent, version, consent_at, confirmed, recording, paused_at"

# What a person's withdrawal takes away: everything that was measured. Decisions stay as the record of what was done.
MEASURED = ("samples", "templates", "checkpoints", "waiting_probes", "recorded")


class SqlSubjects:
    """Implements ``ports.Subjects``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def consent(self, tenant: str, subject: str) -> Consent:
        """Return where a person stands; unknown when nothing is kept."""
        return await self._db.reading(lambda: read_consent(self._db, tenant, subject))

    async def stand(
        self, tenant: str, subject: str, consent: Consent, assertion: Assertion | None, by: str, at: float
    ) -> None:
        """Keep where a person stands. A withdrawal also erases what was measured."""

        def job(connection: Connection) -> None:
            if assertion:
                use_assertion(connection, assertion)
            keep_consent(connection, tenant, subject, consent)
            connection.notes.append(stands(tenant, subject, consent, by, at))

        await self._db.write(job)


def stands(tenant: str, subject: str, consent: Consent, by: str, at: float) -> AuditEntry:
    """Return the audit entry of where a person stands now."""
    details = {
        "state": str(consent.state),
        "version": consent.version,
        "confirmed": consent.confirmed,
        "recording": consent.recording,
        "paused": consent.paused_at is not None,
    }
    return AuditEntry(tenant, "subject.stands", by, subject, details, at)


def read_consent(database: Database, tenant: str, subject: str) -> Consent:
    """Return where a person stands. Blocks; for reading jobs."""
    rows = database.read(f"SELECT {_COLUMNS} FROM subjects WHERE tenant = ? AND subject = ?", (tenant, subject))
    if not rows:
        return Consent()
    state, version, at, confirmed, recording, paused_at = rows[0]
    return Consent(ConsentState(state), version, at, bool(confirmed), recording, paused_at)


def keep_consent(connection: Connection, tenant: str, subject: str, consent: Consent) -> None:
    """Keep where a person stands in the transaction of what brought the news."""
    connection.execute("DELETE FROM subjects WHERE tenant = ? AND subject = ?", (tenant, subject))
    connection.execute(
        "INSERT INTO subjects VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tenant,
            subject,
            str(consent.state),
            consent.version,
            consent.at,
            int(consent.confirmed),
            consent.recording,
            consent.paused_at,
        ),
    )
    if consent.state in (ConsentState.WITHDRAWN, ConsentState.REFUSED):
        for table in MEASURED:
            connection.execute(f"DELETE FROM {table} WHERE tenant = ? AND subject = ?", (tenant, subject))


def confirm_consent(connection: Connection, tenant: str, subject: str) -> None:
    """Note that a second factor was passed after the consent."""
    connection.execute("UPDATE subjects SET confirmed = 1 WHERE tenant = ? AND subject = ?", (tenant, subject))
