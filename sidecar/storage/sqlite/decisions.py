"""Decisions in SQLite: the row, its trace, what it uses up, what it may teach and what it sets going are one transaction."""

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import pysqlite3.dbapi2 as sqlite3
import structlog

from sidecar.errors import CaptureUsed, IdempotencyConflict, SealBroken, TokenReplayed
from sidecar.ports import Assertion, DecisionRecord, Keys, OutboxItem, StoredDecision
from sidecar.storage.arrays import pack_probe
from sidecar.storage.sqlite.database import Connection, Database

log = structlog.get_logger()

_COLUMNS = "id, tenant, issuer, subject, at, body, completion"


class SqliteDecisions:
    """Implements ``ports.Decisions``."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._db = database
        self._keys = keys

    async def record(self, record: DecisionRecord) -> None:
        """Make a decision durable. Raises TokenReplayed, CaptureUsed, IdempotencyConflict, StorageFailed."""
        seal = self._keys.seal(record.tenant, record.subject)
        body = seal.close(zlib.compress(msgspec.json.encode(record.body)), "decisions", "body", record.id)

        def job(connection: Connection) -> None:
            use_assertion(connection, record.assertion)
            self._claim(connection, record)
            connection.execute(
                "INSERT INTO decisions (id, tenant, issuer, subject, at, body) VALUES (?, ?, ?, ?, ?, ?)",
                (record.id, record.tenant, record.issuer, record.subject, record.at, body),
            )
            for probe in record.waiting:
                place = ("waiting_probes", "sealed", record.id, probe.field)
                connection.execute(
                    "INSERT INTO waiting_probes VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        record.id,
                        probe.field,
                        record.tenant,
                        record.subject,
                        seal.close(pack_probe(probe), *place),
                        record.at,
                    ),
                )
            connection.execute(
                "INSERT OR REPLACE INTO directory VALUES (?, ?, ?)",
                (
                    record.tenant,
                    record.subject,
                    seal.close(
                        msgspec.json.encode(record.directory), "directory", "sealed", record.tenant, record.subject
                    ),
                ),
            )
            queue_items(connection, record.outbox)
            captures = [use.removeprefix("capture:") for use in record.uses if use.startswith("capture:")]
            connection.executemany("DELETE FROM waiting_batches WHERE capture = ?", [(name,) for name in captures])

        await self._db.write(job)

    def _claim(self, connection: Connection, record: DecisionRecord) -> None:
        try:
            for use in record.uses:
                connection.execute("INSERT INTO uses VALUES (?, ?, ?)", (use, record.id, record.at))
            for digest in record.digests:
                connection.execute("INSERT INTO probe_digests VALUES (?, ?, ?)", (record.tenant, digest, record.at))
        except sqlite3.IntegrityError:
            raise CaptureUsed("this evidence already served a decision") from None
        if record.idempotency:
            key, request_digest = record.idempotency
            try:
                connection.execute(
                    "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)",
                    (record.issuer, key, request_digest, record.id, record.at),
                )
            except sqlite3.IntegrityError:
                raise IdempotencyConflict("the idempotency key is in use") from None

    def repeated(self, issuer: str, key: str) -> tuple[str, StoredDecision] | None:
        """Return (request digest, decision) of an idempotency key."""
        rows = self._db.read(
            f"SELECT i.request_digest, {_qualified('d')} FROM idempotency i JOIN decisions d ON d.id = i.decision"
            " WHERE i.issuer = ? AND i.key = ?",
            (issuer, key),
        )
        found = self._stored(rows[0][1:]) if rows else None
        return (rows[0][0], found) if found else None

    def get(self, tenant: str, decision_id: str) -> StoredDecision | None:
        """Return one decision of a tenant."""
        rows = self._db.read(
            f"SELECT {_COLUMNS} FROM decisions WHERE tenant = ? AND id = ?",
            (tenant, decision_id),
        )
        return self._stored(rows[0]) if rows else None

    def recent(self, after: str | None, limit: int) -> list[StoredDecision]:
        """Return the newest decisions, newest first; only those newer than the decision ``after`` if given."""
        rows = self._db.read(
            f"SELECT {_COLUMNS} FROM decisions"
            " WHERE number > coalesce((SELECT number FROM decisions WHERE id = ?), 0) ORDER BY number DESC LIMIT ?",
            (after, limit),
        )
        found = []
        for row in rows:
            try:
                found.append(self._stored(row))
            except SealBroken:  # one changed row must not hide the others from the operators
                log.error("decision_unreadable", id=row[0], code=SealBroken.code)
        return [decision for decision in found if decision is not None]

    def of_subject(self, tenant: str, subject: str) -> list[StoredDecision]:
        """Return every decision about one person, oldest first; for export, not for the login path."""
        rows = self._db.read(
            f"SELECT {_COLUMNS} FROM decisions WHERE tenant = ? AND subject = ? ORDER BY number", (tenant, subject)
        )
        return [found for row in rows if (found := self._stored(row)) is not None]

    def seen(self, tenant: str, digests: Sequence[str]) -> bool:
        """Tell whether any of these probe digests was scored before."""
        return any(
            self._db.read("SELECT 1 FROM probe_digests WHERE tenant = ? AND digest = ?", (tenant, digest))
            for digest in digests
        )

    def person(self, tenant: str, subject: str) -> dict[str, str]:
        """Return the identity provider's id and name of a pseudonym. Raises StorageFailed when it does not open."""
        rows = self._db.read("SELECT sealed FROM directory WHERE tenant = ? AND subject = ?", (tenant, subject))
        if not rows:
            return {}
        plain = self._keys.open_mine(tenant, subject, bytes(rows[0][0]), "directory", "sealed", tenant, subject)
        if plain is None:
            return {}
        return msgspec.json.decode(plain, type=dict[str, str])

    def _stored(self, row: tuple[Any, ...]) -> StoredDecision | None:
        """Return a decision; None for one of somebody forgotten, from a restored backup."""
        identity, tenant, issuer, subject, at, sealed, completion = row
        plain = self._keys.open_mine(tenant, subject, bytes(sealed), "decisions", "body", identity)
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


class SqliteAssertions:
    """Implements ``ports.Assertions``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def spend(self, assertion: Assertion) -> None:
        """Use up an assertion on its own. Raises TokenReplayed, StorageFailed."""
        await self._db.write(lambda connection: use_assertion(connection, assertion))


def use_assertion(connection: Connection, assertion: Assertion) -> None:
    """Use up a jti in the transaction of the effect. Raises TokenReplayed."""
    try:
        connection.execute("INSERT INTO assertions VALUES (?, ?, ?)", assertion)
    except sqlite3.IntegrityError:
        raise TokenReplayed("the assertion's jti was used before") from None


def queue_items(connection: Connection, items: Sequence[OutboxItem]) -> None:
    """Queue outbox items in the transaction of what caused them."""
    for item in items:
        connection.execute(
            "INSERT INTO outbox (id, tenant, issuer, kind, body, attempts, due, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item.id,
                item.tenant,
                item.issuer,
                item.kind,
                msgspec.json.encode(item.body).decode(),
                item.attempts,
                item.created,
                item.created,
            ),
        )


def _qualified(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in _COLUMNS.split(", "))
