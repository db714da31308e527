"""Decisions: the row, its trace, what it uses up, what it may teach and what it sets going are one transaction."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog

from sidecar.errors import CaptureUsed, IdempotencyConflict, SealBroken
from sidecar.keyring import Seal, vouched
from sidecar.ports import DecisionRecord, Enrollment, Keys, StoredDecision
from sidecar.storage import entries
from sidecar.storage.arrays import pack_probe
from sidecar.storage.assertions import use_assertion
from sidecar.storage.database import Connection, Database
from sidecar.storage.outbox import marks, queue_items
from sidecar.storage.subjects import keep_consent

log = structlog.get_logger()

_COLUMNS = "id, tenant, issuer, subject, at, body, completion"
PAGE = (
    f"SELECT number, {_COLUMNS} FROM decisions WHERE tenant = ? AND number > ? AND at >= ? AND at < ?"
    " ORDER BY number LIMIT ?"
)


class SqlDecisions:
    """Implements ``ports.Decisions`` and ``ports.Directory``."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._db = database
        self._keys = keys

    async def record(self, record: DecisionRecord) -> None:
        """Make a decision durable. Raises TokenReplayed, CaptureUsed, IdempotencyConflict, StorageFailed."""
        seal = await self._db.reading(lambda: self._keys.seal(record.tenant, record.subject))
        said = (record.tenant, record.issuer, record.subject, record.at)
        body = seal.close(zlib.compress(msgspec.json.encode(record.body)), *body_place(record.id, *said))

        def job(connection: Connection) -> None:
            use_assertion(connection, record.assertion)
            claim(connection, record)
            if record.idempotency:
                _claim_key(connection, record, record.idempotency)
            connection.execute(
                "INSERT INTO decisions (id, tenant, issuer, subject, at, body) VALUES (?, ?, ?, ?, ?, ?)",
                (record.id, record.tenant, record.issuer, record.subject, record.at, body),
            )
            _keep_evidence(connection, record, seal)
            entries.keep(connection, self._keys, record.tenant, record.subject, record.entries, record.watched)
            keep_person(connection, seal, record.tenant, record.subject, record.directory)
            if record.consent:
                who = (record.tenant, record.subject)
                keep_consent(connection, seal, *who, record.consent, record.issuer, record.at)
            queue_items(connection, record.outbox)
            for use in record.uses:
                if use.startswith("capture:"):
                    connection.execute("DELETE FROM waiting_batches WHERE capture = ?", (use.removeprefix("capture:"),))
            if record.entry:
                connection.notes.append(record.entry)

        await self._db.write(job)

    async def repeated(self, issuer: str, key: str) -> tuple[str, StoredDecision] | None:
        """Return (request digest, decision) of an idempotency key."""

        def job() -> tuple[str, StoredDecision] | None:
            rows = self._db.read(
                f"SELECT i.request_digest, {_qualified('d')} FROM idempotency i JOIN decisions d ON d.id = i.decision"
                " WHERE i.issuer = ? AND i.key = ? AND d.issuer = i.issuer",
                (issuer, key),
            )
            found = self._stored(rows[0][1:]) if rows else None
            return (rows[0][0], found) if found else None

        return await self._db.reading(job)

    async def get(self, tenant: str, decision_id: str) -> StoredDecision | None:
        """Return one decision of a tenant."""

        def job() -> StoredDecision | None:
            sql = f"SELECT {_COLUMNS} FROM decisions WHERE tenant = ? AND id = ?"
            rows = self._db.read(sql, (tenant, decision_id))
            return self._stored(rows[0]) if rows else None

        return await self._db.reading(job)

    async def recent(self, tenants: Sequence[str], limit: int) -> list[StoredDecision]:
        """Return the newest decisions of these tenants, newest first."""
        if not tenants:
            return []

        def job() -> list[StoredDecision]:
            rows = self._db.read(
                f"SELECT {_COLUMNS} FROM decisions WHERE tenant IN ({marks(tenants)}) ORDER BY number DESC LIMIT ?",
                (*tenants, limit),
            )
            found = []
            for row in rows:
                try:
                    found.append(self._stored(row))
                except SealBroken:  # one changed row must not hide the others from the operators
                    log.error("decision_unreadable", id=row[0], code=SealBroken.code)
            return [decision for decision in found if decision is not None]

        return await self._db.reading(job)

    async def of_subject(self, tenant: str, subject: str) -> list[StoredDecision]:
        """Return every decision about one person, oldest first; for export, not for the login path."""

        def job() -> list[StoredDecision]:
            sql = f"SELECT {_COLUMNS} FROM decisions WHERE tenant = ? AND subject = ? ORDER BY number"
            rows = self._db.read(sql, (tenant, subject))
            return [found for row in rows if (found := self._stored(row)) is not None]

        return await self._db.reading(job)

    async def page(
        self, tenant: str, after: int, since: float, until: float, limit: int
    ) -> list[tuple[int, StoredDecision]]:
        """Return decisions of a tenant within a time, oldest first, with their numbers; ``after``: the last number seen.

        Those that do not open (forgotten people, damage) are left out; a page may be short but is empty only at the end.
        """

        def job() -> list[tuple[int, StoredDecision]]:
            found: list[tuple[int, StoredDecision]] = []
            last = after
            while not found:
                rows = self._db.read(PAGE, (tenant, last, since, until, limit))
                if not rows:
                    break
                last = rows[-1][0]
                found = self._readable(rows)
            return found

        return await self._db.reading(job)

    def _readable(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[int, StoredDecision]]:
        found = []
        for number, *row in rows:
            try:
                decision = self._stored(tuple(row))
            except SealBroken:
                log.error("decision_unreadable", id=row[0], code=SealBroken.code)
                continue
            if decision is not None:
                found.append((number, decision))
        return found

    async def seen(self, tenant: str, digests: Sequence[str]) -> bool:
        """Tell whether any of these probe digests was scored before."""
        if not digests:
            return False
        sql = f"SELECT 1 FROM probe_digests WHERE tenant = ? AND digest IN ({marks(digests)}) LIMIT 1"
        return bool(await self._db.reading(lambda: self._db.read(sql, (tenant, *digests))))

    async def person(self, tenant: str, subject: str) -> dict[str, str]:
        """Return the identity provider's id and name of a pseudonym. Raises StorageFailed when it does not open."""

        def job() -> dict[str, str]:
            rows = self._db.read("SELECT sealed FROM directory WHERE tenant = ? AND subject = ?", (tenant, subject))
            if not rows:
                return {}
            plain = self._keys.open_mine(tenant, subject, bytes(rows[0][0]), "directory", "sealed", tenant, subject)
            return {} if plain is None else msgspec.json.decode(plain, type=dict[str, str])

        return await self._db.reading(job)

    def _stored(self, row: tuple[Any, ...]) -> StoredDecision | None:
        """Return a decision; None for one of somebody forgotten, from a restored backup."""
        identity, tenant, issuer, subject, at, sealed, completion = row
        place = body_place(identity, tenant, issuer, subject, at)
        plain = self._keys.open_mine(tenant, subject, bytes(sealed), *place)
        if plain is None:
            return None
        return StoredDecision(
            id=identity,
            tenant=tenant,
            issuer=issuer,
            subject=subject,
            at=at,
            body=msgspec.json.decode(zlib.decompress(plain)),
            completion=msgspec.json.decode(completion) if completion else None,
        )


def body_place(identity: str, tenant: str, issuer: str, subject: str, at: float) -> tuple[str, ...]:
    """Return where a decision's body is sealed for: its id, and whose decision it is, asked by whom and when."""
    return ("decisions", "body", identity, vouched(tenant, issuer, subject, at))


def claim(connection: Connection, record: DecisionRecord | Enrollment) -> None:
    """Use up what serves once: captures, attempts, and these very timings. Raises CaptureUsed."""
    claims: list[tuple[str, tuple[Any, ...]]] = [
        ("INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (use, record.id, record.at)) for use in record.uses
    ]
    claims += [
        ("INSERT INTO probe_digests VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (record.tenant, digest, record.at))
        for digest in record.digests
    ]
    for sql, row in claims:
        if not connection.execute(sql, row).rowcount:
            raise CaptureUsed("this evidence was used before")


def keep_person(connection: Connection, seal: Seal, tenant: str, subject: str, directory: Mapping[str, str]) -> None:
    """Keep who a pseudonym is."""
    sealed = seal.close(msgspec.json.encode(directory), "directory", "sealed", tenant, subject)
    connection.execute(
        "INSERT INTO directory VALUES (?, ?, ?) ON CONFLICT (tenant, subject) DO UPDATE SET sealed = excluded.sealed",
        (tenant, subject, sealed),
    )


def _claim_key(connection: Connection, record: DecisionRecord, idempotency: tuple[str, str]) -> None:
    row = (record.issuer, *idempotency, record.id, record.at)
    if not connection.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row).rowcount:
        raise IdempotencyConflict("the idempotency key is in use")


def _keep_evidence(connection: Connection, record: DecisionRecord, seal: Seal) -> None:
    """Keep what the completion may teach and, where a recording was agreed to, the events."""
    for probe in record.waiting:
        sealed = seal.close(pack_probe(probe), "waiting_probes", "sealed", record.id, probe.field)
        connection.execute(
            "INSERT INTO waiting_probes VALUES (?, ?, ?, ?, ?, ?)",
            (record.id, probe.field, record.tenant, record.subject, sealed, record.at),
        )
    if record.events:
        name, stream = record.events
        connection.execute(
            "INSERT INTO recorded (tenant, subject, recording, decision, at, sealed) VALUES (?, ?, ?, ?, ?, ?)",
            (
                record.tenant,
                record.subject,
                name,
                record.id,
                record.at,
                seal.close(stream, "recorded", "sealed", name, record.id),
            ),
        )


def _qualified(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in _COLUMNS.split(", "))
