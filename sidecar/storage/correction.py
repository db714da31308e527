"""Taking back what was learned: resets, unlearning since a moment, rebuilding from the log."""

from collections.abc import Mapping
from dataclasses import replace

from sidecar.domain.decisions import Evidence
from sidecar.errors import SealBroken
from sidecar.ports import Assertion, AuditEntry, Keys, ProfileKey, Restored
from sidecar.storage import checkpoints, entries, evidence
from sidecar.storage.arrays import pack_probe, pack_template
from sidecar.storage.assertions import use_assertion
from sidecar.storage.database import Connection, Database
from sidecar.storage.evidence import KEY, SAMPLE, WINDOW, Models, Row, parts
from sidecar.storage.surroundings import drop_since

# Everything that names a person, in an order in which nothing is left behind.
_PERSONAL = (
    "samples",
    "templates",
    "checkpoints",
    "waiting_probes",
    "entries",
    "recorded",
    "provenance",
    "directory",
    "subjects",
    "policy_fares",
    "past_logins",
    "failed_logins",
    "marks",
)
_BY_FIELD = ("samples", "templates", "checkpoints", "waiting_probes", "entries")


class SqlCorrection:
    """Implements ``ports.Correction``."""

    def __init__(self, database: Database, keys: Keys, models: Models) -> None:
        self._db = database
        self._keys = keys
        self._models = models

    async def reset(
        self, tenant: str, subject: str, field: str | None, assertion: Assertion | None, by: str, at: float
    ) -> None:
        """Forget one field's profile, or with None everything about the subject."""
        who = (tenant, subject)

        def job(connection: Connection) -> None:
            if assertion:
                use_assertion(connection, assertion)
            if field is None:
                _forget(connection, who)
                entry = AuditEntry(tenant, "subject.forgotten", by, subject, {}, at)
            else:
                for table in _BY_FIELD:
                    connection.execute(
                        f"DELETE FROM {table} WHERE tenant = ? AND subject = ? AND field = ?", (*who, field)
                    )
                entry = AuditEntry(tenant, "profile.reset", by, subject, {"field": field}, at)
            connection.notes.append(entry)

        await self._db.write(job)

    async def unlearn(self, tenant: str, subject: str, since: float, now: float, by: str) -> Mapping[str, Restored]:
        """Take back what was learned since a moment; say for each profile what it is now."""

        def job(connection: Connection) -> Mapping[str, Restored]:
            done = {}
            for key in _profiles(connection, tenant, subject):
                connection.lock("profile", *parts(key))
                connection.execute(
                    f"UPDATE samples SET unlearned = ? WHERE {KEY} AND at >= ? AND unlearned IS NULL",
                    (now, *parts(key), since),
                )
                done[_name(key)] = self._restored(connection, key, since)
            connection.execute(
                "DELETE FROM waiting_probes WHERE tenant = ? AND subject = ? AND at >= ?", (tenant, subject, since)
            )
            entries.take_back(connection, self._keys, tenant, subject, since)
            # How the password gets there is kept without times: whoever was in may have made it a habit.
            connection.execute("DELETE FROM provenance WHERE tenant = ? AND subject = ?", (tenant, subject))
            drop_since(connection, self._keys, tenant, subject, since)
            details = {"since": since, "profiles": dict(done)}
            connection.notes.append(AuditEntry(tenant, "profile.unlearned", by, subject, details, now))
            return done

        return await self._db.write(job)

    async def confirm(self, tenant: str, subject: str, by: str, at: float) -> int:
        """Let an administrator vouch for what only a password stood for; return how many samples that were."""

        def job(connection: Connection) -> int:
            vouched = 0
            for key in _profiles(connection, tenant, subject):
                connection.lock("profile", *parts(key))
                vouched += self._vouch(connection, key)
                self._rebuilt(connection, key)
            connection.notes.append(AuditEntry(tenant, "profile.confirmed", by, subject, {"samples": vouched}, at))
            return vouched

        return await self._db.write(job)

    async def rebuild(self, tenant: str, subject: str, by: str, at: float) -> Mapping[str, bool]:
        """Make every template again from its samples or checkpoint; tell for each whether it was the same, bit for bit."""

        def job(connection: Connection) -> Mapping[str, bool]:
            done = {}
            for key in _profiles(connection, tenant, subject):
                connection.lock("profile", *parts(key))
                done[_name(key)] = self._rebuilt(connection, key)
            connection.notes.append(AuditEntry(tenant, "profile.rebuilt", by, subject, {"same": dict(done)}, at))
            return done

        return await self._db.write(job)

    def _vouch(self, connection: Connection, key: ProfileKey) -> int:
        """Seal samples anew with their better standing; return how many only a password had stood for."""
        rows = connection.execute(
            f"SELECT {SAMPLE} FROM samples WHERE {KEY} AND unlearned IS NULL AND confirmed = 0", parts(key)
        ).fetchall()
        vouched, known = 0, {row[0]: row for row in rows}
        for kept in evidence.opened(self._keys, key, rows):
            number, decision, kind, at, _, model, _ = known[kept.number]
            weak = kind == Evidence.PASSWORD_ONLY
            said = (str(Evidence.ADMINISTRATOR) if weak else kind, at, True, model)
            seal = self._keys.seal(key.tenant, key.subject)
            sealed = seal.close(pack_probe(kept.probe), *evidence.sample_place(key, decision, *said))
            connection.execute(
                "UPDATE samples SET evidence = ?, confirmed = 1, sealed = ? WHERE number = ?", (said[0], sealed, number)
            )
            vouched += weak
        return vouched

    def _restored(self, connection: Connection, key: ProfileKey, since: float) -> Restored:
        """Put the serving template back to what it was before ``since``."""
        before = evidence.rows(connection, self._keys, key)
        serving = before[0] if before else Row(self._models.current, True, None, None, 0, 0)
        kept = evidence.window(connection, self._keys, key)
        complete = len(kept) >= WINDOW or serving.dropped is None
        derived = evidence.derive(self._models, serving.model, kept)
        copy = None if complete else checkpoints.newest(connection, self._keys, key, until=since)
        evidence.drop(connection, key)
        connection.execute(f"DELETE FROM checkpoints WHERE {KEY} AND at >= ?", (*parts(key), since))
        if copy is not None:
            row = replace(serving, model=copy[1].template.detector, serving=True, checkpoint=copy[0])
            evidence.put(connection, self._keys, key, row, copy[1])
            return "checkpoint"
        if derived is None:
            return "nothing"
        evidence.put(connection, self._keys, key, replace(serving, serving=True, checkpoint=None), derived)
        return "exact" if complete else "remaining"

    def _rebuilt(self, connection: Connection, key: ProfileKey) -> bool:
        same = True
        kept = evidence.window(connection, self._keys, key)
        before = self._packed(connection, key)
        for row in evidence.claimed(connection, key):
            if row.checkpoint:
                copy = checkpoints.newest(connection, self._keys, key, identity=row.checkpoint)
                derived = copy[1] if copy else None
            else:
                derived = evidence.derive(self._models, row.model, kept)
            if derived is None:
                same = False
                continue
            held, packed = before.get(row.model, (row, None))
            same = same and packed == pack_template(derived.template)
            evidence.put(connection, self._keys, key, held, derived)
        return same

    def _packed(self, connection: Connection, key: ProfileKey) -> dict[str, tuple[Row, bytes]]:
        """Return a profile's templates by model; none when one does not open: rebuilding is the way out of that."""
        try:
            found = evidence.held(connection, self._keys, key)
        except SealBroken:
            return {}
        return {row.model: (row, pack_template(derived.template)) for row, derived in found}


def _profiles(connection: Connection, tenant: str, subject: str) -> list[ProfileKey]:
    columns = "tenant, subject, modality, field, context"
    found = connection.execute(
        f"SELECT {columns} FROM samples WHERE tenant = ? AND subject = ?"
        f" UNION SELECT {columns} FROM templates WHERE tenant = ? AND subject = ? ORDER BY 3, 4, 5",
        (tenant, subject, tenant, subject),
    ).fetchall()
    return [ProfileKey(*row) for row in found]


def _forget(connection: Connection, who: tuple[str, str]) -> None:
    mine = "(SELECT id FROM decisions WHERE tenant = ? AND subject = ?)"
    for table in ("idempotency", "uses"):
        connection.execute(f"DELETE FROM {table} WHERE decision IN {mine}", who)
    for table in (*_PERSONAL, "outbox", "decisions"):
        connection.execute(f"DELETE FROM {table} WHERE tenant = ? AND subject = ?", who)


def _name(key: ProfileKey) -> str:
    return f"{key.field} ({key.context})"
