"""The audit chains in the database: one a tenant, and one named ``*`` for what concerns the whole installation."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from itertools import groupby

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sidecar.errors import AuditFull, StorageFailed
from sidecar.ports import AuditEntry, AuditRow
from sidecar.storage.chain import (
    GENESIS,
    Checkpoint,
    Fault,
    details_text,
    holds,
    row_hash,
    signed,
    signed_beginning,
    verify,
)
from sidecar.storage.database import BeforeCommit, Connection, Database

INSTALLATION = "*"
MAX_LATER = 10_000
PAGE = 5_000
MOST_UNSENT = 1_000

_COLUMNS = "number, tenant, at, kind, actor, subject, details, previous, hash"
_POINT = "tenant, number, hash, at, key, signature"


def appending(key: Ed25519PrivateKey) -> BeforeCommit:
    """Return what appends entries to their chains and signs the new ends, for ``Database``'s ``before_commit``.

    A hash can be made by anybody, a signature cannot. So rows go on behind the newest signed one: one that was written by hand
    stands beside the chain for ever, and where a signature does not hold no new one takes its place.
    """
    public = key.public_key()
    ours: dict[str, Checkpoint] = {}

    def before_commit(connection: Connection, entries: Sequence[AuditEntry]) -> None:
        # Chains are locked in order of their names, so that two sidecars never wait for each other.
        for tenant, group in groupby(sorted(entries, key=lambda entry: entry.tenant), key=lambda entry: entry.tenant):
            connection.lock("audit", tenant)
            head, newest = _head(connection, tenant)
            sound = (newest == 0) if head is None else head == ours.get(tenant) or holds(head, tenant, public)
            number, digest = max(newest, head.number if head else 0), head.hash if head else GENESIS
            rows = []
            for entry in group:
                number, previous = number + 1, digest
                digest = row_hash(number, entry, previous)
                said = (entry.at, entry.kind, entry.actor, entry.subject, details_text(entry))
                rows.append((tenant, number, *said, previous, digest))
            connection.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            if sound:
                ours[tenant] = signed(tenant, number, digest, time.time(), key)
                connection.execute(
                    f"INSERT INTO audit_heads ({_POINT}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant) DO UPDATE SET"
                    " number = excluded.number, hash = excluded.hash, at = excluded.at, key = excluded.key,"
                    " signature = excluded.signature",
                    astuple(ours[tenant]),
                )

    return before_commit


class SqlAudit:
    """Implements ``ports.Audit``, and what commands and the background need of the chains."""

    def __init__(self, database: Database, key: Ed25519PrivateKey) -> None:
        self._db = database
        self._key = key
        self._later: deque[AuditEntry] = deque()
        self._held = 0
        self.lost = 0

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The key that checkpoints are verified with."""
        return self._key.public_key()

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Append entries, durable on return. Raises StorageFailed."""
        await self._db.write(lambda connection: connection.notes.extend(entries))

    @contextmanager
    def room(self) -> Iterator[Callable[[AuditEntry], None]]:
        """Hold room for one entry, and give a function that appends it soon, without waiting (buffered mode).

        Raises AuditFull when too many wait already; ``lost`` counts how often.
        """
        if len(self._later) + self._held >= MAX_LATER:
            self.lost += 1
            raise AuditFull(f"{MAX_LATER} audit entries wait to be written")
        self._held += 1
        try:
            yield self._later.append
        finally:
            self._held -= 1

    async def flush(self) -> int:
        """Write what waits; what cannot be written waits on. Return how many were written."""
        entries = [self._later.popleft() for _ in range(len(self._later))]
        if not entries:
            return 0
        try:
            await self.add(entries)
        except BaseException:
            self._later.extendleft(reversed(entries))
            raise
        return len(entries)

    async def entries(self, tenant: str, after: int, limit: int) -> list[AuditRow]:
        """Return rows of a tenant's chain with a number above ``after``, oldest first."""
        return await self._db.reading(lambda: self.page(tenant, after, limit))

    async def newest(self, tenant: str, limit: int) -> list[AuditRow]:
        """Return the newest rows of a tenant's chain, newest first."""
        sql = f"SELECT {_COLUMNS} FROM audit WHERE tenant = ? ORDER BY number DESC LIMIT ?"
        rows = await self._db.reading(lambda: self._db.read(sql, (tenant, limit)))
        return [_row(row) for row in rows]

    async def last_of(self, tenant: str, kind: str) -> AuditRow | None:
        """Return the newest row of a kind."""
        sql = f"SELECT {_COLUMNS} FROM audit WHERE tenant = ? AND kind = ? ORDER BY number DESC LIMIT 1"
        rows = await self._db.reading(lambda: self._db.read(sql, (tenant, kind)))
        return _row(rows[0]) if rows else None

    async def checkpoint(self, now: float) -> list[Checkpoint]:
        """Sign the head of every chain that has grown since its last checkpoint; return the new checkpoints."""

        def job(connection: Connection) -> list[Checkpoint]:
            made = []
            for tenant in self._tenants(connection):
                connection.lock("audit", tenant)
                head, _ = _head(connection, tenant)
                if head is None or not holds(head, tenant, self.public_key):
                    continue  # nothing is signed twice that was not ours the first time
                last = connection.execute(
                    "SELECT coalesce(max(number), 0) FROM audit_checkpoints WHERE tenant = ?", (tenant,)
                ).fetchone()[0]
                if head.number > last:
                    point = signed(tenant, head.number, head.hash, now, self._key)
                    connection.execute(
                        f"INSERT INTO audit_checkpoints ({_POINT}) VALUES (?, ?, ?, ?, ?, ?)", astuple(point)
                    )
                    made.append(point)
            return made

        return await self._db.write(job)

    async def unsent(self) -> list[Checkpoint]:
        """Return checkpoints that the second place does not have, oldest first, so many as one delivery takes."""
        sql = f"SELECT {_POINT} FROM audit_checkpoints WHERE sent = 0 ORDER BY at, tenant LIMIT {MOST_UNSENT}"
        return [_point(row) for row in await self._db.reading(lambda: self._db.read(sql))]

    async def sent(self, points: Sequence[Checkpoint]) -> None:
        """Note that the second place has these."""
        rows = [(point.tenant, point.number) for point in points]
        sql = "UPDATE audit_checkpoints SET sent = 1 WHERE tenant = ? AND number = ?"
        await self._db.write(lambda connection: connection.executemany(sql, rows))

    async def prune(self, before: float) -> int:
        """Remove the longest prefix of every chain that ends at a checkpoint made before a moment; return how many rows.

        That checkpoint is signed anew, as a beginning: without this statement a missing prefix is a fault.
        """

        def job(connection: Connection) -> int:
            gone = 0
            for tenant in self._tenants(connection):
                connection.lock("audit", tenant)
                sql = f"SELECT {_POINT} FROM audit_checkpoints WHERE tenant = ? AND at < ? ORDER BY number DESC"
                points = (_point(row) for row in connection.execute(sql, (tenant, before)).fetchall())
                last = next((point for point in points if holds(point, tenant, self.public_key)), None)
                if last is not None:
                    end = last.number
                    connection.execute(
                        "UPDATE audit_checkpoints SET signature = ? WHERE tenant = ? AND number = ?",
                        (signed_beginning(last, self._key).signature, tenant, end),
                    )
                    gone += connection.execute(
                        "DELETE FROM audit WHERE tenant = ? AND number <= ?", (tenant, end)
                    ).rowcount
                    connection.execute("DELETE FROM audit_checkpoints WHERE tenant = ? AND number < ?", (tenant, end))
            return gone

        return await self._db.write(job)

    async def verify(self, witnessed: Sequence[Checkpoint] = (), key: Ed25519PublicKey | None = None) -> list[Fault]:
        """Verify every chain, against the second place's checkpoints where they are given.

        Takes seconds where chains are long, so it has a thread of its own: logins go on.
        """

        def job() -> list[Fault]:
            faults = []
            known = {row[0] for row in self._db.read("SELECT DISTINCT tenant FROM audit")}
            known |= {row[0] for row in self._db.read("SELECT DISTINCT tenant FROM audit_checkpoints")}
            known |= {row[0] for row in self._db.read("SELECT tenant FROM audit_heads")}
            for tenant in sorted(known | {point.tenant for point in witnessed}):
                sql = f"SELECT {_POINT} FROM audit_checkpoints WHERE tenant = ? ORDER BY number"
                points = [_point(row) for row in self._db.read(sql, (tenant,))]
                seen = [point for point in witnessed if point.tenant == tenant]
                reading = _Reading(self, tenant)
                faults += verify(tenant, reading.rows(), points, key or self.public_key, seen, reading.signed_end)
            return faults

        return await asyncio.to_thread(job)

    async def lengths(self) -> dict[str, int]:
        """Return the number of the newest row of every chain."""
        rows = await self._db.reading(lambda: self._db.read("SELECT tenant, max(number) FROM audit GROUP BY tenant"))
        return dict(rows)

    def head(self, tenant: str) -> Checkpoint | None:
        """Return the signed head of a chain. Blocks."""
        rows = self._db.read(f"SELECT {_POINT} FROM audit_heads WHERE tenant = ?", (tenant,))
        return _point(rows[0]) if rows else None

    def page(self, tenant: str, after: int, limit: int) -> list[AuditRow]:
        """Return rows as ``entries`` does. Blocks."""
        sql = f"SELECT {_COLUMNS} FROM audit WHERE tenant = ? AND number > ? ORDER BY number LIMIT ?"
        return [_row(row) for row in self._db.read(sql, (tenant, after, limit))]

    def _tenants(self, connection: Connection) -> list[str]:
        return [row[0] for row in connection.execute("SELECT DISTINCT tenant FROM audit ORDER BY tenant").fetchall()]


class _Reading:
    """One reading of a chain that may grow meanwhile: the head is read after the rows, and then the rows up to it."""

    def __init__(self, audit: SqlAudit, tenant: str) -> None:
        self._audit = audit
        self._tenant = tenant
        self._head: Checkpoint | None = None

    def signed_end(self) -> Checkpoint | None:
        """Return the signed head, as it was when the rows ended."""
        return self._head

    def rows(self) -> Iterator[AuditRow]:
        """Return the rows, oldest first, at least up to the head, which is there when they end."""
        after = -(2**62)
        while True:
            while page := self._audit.page(self._tenant, after, PAGE):
                yield from page
                after = page[-1].number
            self._head = self._audit.head(self._tenant)
            page = self._audit.page(self._tenant, after, PAGE) if self._head and self._head.number > after else []
            if not page:
                return
            yield from page
            after = page[-1].number


def _head(connection: Connection, tenant: str) -> tuple[Checkpoint | None, int]:
    """Return the signed end of a chain, and the number of its newest row: the same number, unless somebody's hand was in it."""
    newest = "SELECT coalesce(max(number), 0) FROM audit WHERE tenant = ?"
    row = connection.execute(
        f"SELECT {_POINT}, ({newest}) FROM audit_heads WHERE tenant = ?", (tenant, tenant)
    ).fetchone()
    if row is None:
        return None, connection.execute(newest, (tenant,)).fetchone()[0]
    return _point(row[:-1]), row[-1]


def _row(row: tuple[object, ...]) -> AuditRow:
    """Return a row as it stands, whatever somebody made of it: a hash over it will tell. Raises StorageFailed."""
    number, tenant, at, kind, actor, subject, details, previous, digest = row
    if not isinstance(number, int):
        raise StorageFailed(f"a row of the audit chain {tenant} has no number")
    moment = float(at) if isinstance(at, int | float) else math.nan
    entry = AuditEntry(str(tenant), str(kind), str(actor), str(subject), _details(str(details)), moment)
    return AuditRow(number, entry, str(previous), str(digest))


def _details(text: str) -> dict[str, object]:
    """Return details; what is not written as we write it is not what was hashed, even where it says the same."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        found = None
    if not isinstance(found, dict) or msgspec.json.encode(found, order="sorted").decode() != text:
        return {"unreadable": text}
    return found


def _point(row: tuple[object, ...]) -> Checkpoint:
    try:
        return msgspec.convert(dict(zip(_POINT.split(", "), row, strict=True)), Checkpoint)
    except msgspec.ValidationError:
        raise StorageFailed(f"a checkpoint of the audit chain {row[0]} cannot be read") from None
