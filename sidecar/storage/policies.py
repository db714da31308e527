"""Published policies: every version for good, and which of them is in force for whom."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sidecar.errors import PolicyConflict
from sidecar.ports import Audience, AuditEntry, Fare, PolicyHead, PolicySlot, PolicyVersion, SlotName
from sidecar.storage.chain import details_text
from sidecar.storage.database import Connection, Database

_VERSION = "number, digest, name, source, tests, signature, author, at, note"
_HEAD = "number, digest, name, author, at, note"
_SLOT = "slot, number, audience, author, approver, at, ends, band"


class SqlPolicies:
    """Implements ``ports.Policies``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def slots(self) -> Mapping[SlotName, PolicySlot]:
        """Return which version stands in which slot."""
        rows = await self._db.reading(lambda: self._db.read(f"SELECT {_SLOT} FROM policy_slots"))
        return {row[0]: _slot(row) for row in rows}

    async def version(self, number: int) -> PolicyVersion | None:
        """Return one version."""
        sql = f"SELECT {_VERSION} FROM policies WHERE number = ?"
        rows = await self._db.reading(lambda: self._db.read(sql, (number,)))
        return _version(rows[0]) if rows else None

    async def of_digest(self, digest: str) -> PolicyVersion | None:
        """Return the newest version of these bytes."""
        sql = f"SELECT {_VERSION} FROM policies WHERE digest = ? ORDER BY number DESC LIMIT 1"
        rows = await self._db.reading(lambda: self._db.read(sql, (digest,)))
        return _version(rows[0]) if rows else None

    async def history(self, limit: int) -> list[PolicyHead]:
        """Return the newest versions without their texts, newest first."""
        sql = f"SELECT {_HEAD} FROM policies ORDER BY number DESC LIMIT ?"
        return [PolicyHead(*row) for row in await self._db.reading(lambda: self._db.read(sql, (limit,)))]

    async def add(self, version: PolicyVersion, entry: AuditEntry) -> int:
        """Keep a version; return its number."""

        def job(connection: Connection) -> int:
            row = connection.execute(
                "INSERT INTO policies (digest, name, source, tests, signature, author, at, note)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
                (
                    version.digest,
                    version.name,
                    version.source,
                    msgspec.json.encode(list(version.tests)),
                    version.signature,
                    version.author,
                    version.at,
                    version.note,
                ),
            ).fetchone()
            connection.notes.append(entry)
            return int(row[0])

        return await self._db.write(job)

    async def move(
        self,
        seen: Mapping[SlotName, PolicySlot],
        after: Mapping[SlotName, PolicySlot | None],
        entry: AuditEntry,
    ) -> None:
        """Fill and empty slots, all of it or nothing. Raises PolicyConflict when they are no longer as they were seen."""

        def job(connection: Connection) -> None:
            connection.lock("policies")
            rows = connection.execute(f"SELECT {_SLOT} FROM policy_slots").fetchall()
            if {row[0]: _slot(row) for row in rows} != dict(seen):
                raise PolicyConflict("somebody else has published in the meantime; look again")
            for slot, content in after.items():
                connection.execute("DELETE FROM policy_slots WHERE slot = ?", (slot,))
                if content is not None:
                    connection.execute("INSERT INTO policy_slots VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _row(slot, content))
            connection.notes.append(entry)

        await self._db.write(job)

    async def note_once(self, entry: AuditEntry) -> bool:
        """Add a row to the audit chain unless one of this kind with these details is there; tell whether it was added."""

        def job(connection: Connection) -> bool:
            connection.lock("policies")
            there = connection.execute(
                "SELECT 1 FROM audit WHERE tenant = ? AND kind = ? AND details = ? LIMIT 1",
                (entry.tenant, entry.kind, details_text(entry)),
            ).fetchone()
            if there is None:
                connection.notes.append(entry)
            return there is None

        return await self._db.write(job)

    async def fares(self, slot: PolicySlot) -> Mapping[str, Fare]:
        """Return how people fared since the version came into this place, by tenant."""
        sql = (
            "SELECT tenant, count(*), coalesce(sum(passed), 0) FROM policy_fares WHERE number = ? AND since = ?"
            " GROUP BY tenant"
        )
        rows = await self._db.reading(lambda: self._db.read(sql, (slot.number, slot.at)))
        return {tenant: Fare(int(people), int(passed)) for tenant, people, passed in rows}


def note_fare(
    connection: Connection, number: int, since: float, tenant: str, subject: str, passed: bool, at: float
) -> None:
    """Note, in the completion's transaction, how a ready person fared under a version since it stands in its place; who
    passed once has passed.
    """
    connection.execute(
        "INSERT INTO policy_fares VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (number, since, tenant, subject) DO UPDATE"
        " SET passed = CASE WHEN policy_fares.passed > excluded.passed THEN policy_fares.passed ELSE excluded.passed END,"
        " at = excluded.at",
        (number, since, tenant, subject, int(passed), at),
    )


def _version(row: Sequence[Any]) -> PolicyVersion:
    number, digest, name, source, tests, signature, author, at, note = row
    return PolicyVersion(
        number=number,
        digest=digest,
        name=name,
        source=bytes(source),
        tests=tuple(msgspec.json.decode(bytes(tests), type=list[tuple[str, str]])),
        signature=None if signature is None else bytes(signature),
        author=author,
        at=at,
        note=note,
    )


def _slot(row: Sequence[Any]) -> PolicySlot:
    _, number, audience, author, approver, at, ends, band = row
    return PolicySlot(number, msgspec.json.decode(audience, type=Audience), author, approver, at, ends, band)


def _row(slot: str, content: PolicySlot) -> tuple[Any, ...]:
    audience = msgspec.json.encode(content.audience).decode()
    return (
        slot,
        content.number,
        audience,
        content.author,
        content.approver,
        content.at,
        content.ends,
        content.band,
    )
