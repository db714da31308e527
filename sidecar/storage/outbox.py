"""The outbox."""

from collections.abc import Sequence

import msgspec

from sidecar.ports import AuditEntry, Fate, OutboxItem, SessionEnd
from sidecar.storage.database import Connection, Database


class SqlOutbox:
    """Implements ``ports.Outbox``. A row whose ``due`` is NULL is settled: delivered, or given up with its error."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def due(self, now: float, limit: int) -> list[OutboxItem]:
        """Return what should be tried now, oldest first."""
        sql = (
            "SELECT id, tenant, issuer, kind, body, attempts, created FROM outbox"
            " WHERE due <= ? ORDER BY due, number LIMIT ?"
        )
        rows = await self._db.reading(lambda: self._db.read(sql, (now, limit)))
        return [
            OutboxItem(identity, tenant, issuer, kind, msgspec.json.decode(body), attempts, created)
            for identity, tenant, issuer, kind, body, attempts, created in rows
        ]

    async def add(self, items: Sequence[OutboxItem], entry: AuditEntry | None = None) -> None:
        """Queue effects, with the audit entry of what caused them."""

        def job(connection: Connection) -> None:
            queue_items(connection, items)
            if entry:
                connection.notes.append(entry)

        await self._db.write(job)

    async def fates(self, tenants: Sequence[str], decisions: Sequence[str]) -> dict[str, SessionEnd]:
        """Return what became of the newest session end of each of these decisions that has one."""
        if not tenants or not decisions:
            return {}
        sql = (
            "SELECT decision, delivered, due, body, delivered_at - created FROM outbox"
            f" WHERE kind = 'revoke' AND tenant IN ({marks(tenants)})"
            f" AND decision IN ({marks(decisions)}) ORDER BY number"
        )
        rows = await self._db.reading(lambda: self._db.read(sql, (*tenants, *decisions)))
        ends: dict[str, SessionEnd] = {}
        for decision, delivered, due, body, seconds in rows:
            fate: Fate = "delivered" if delivered else "failed" if due is None else "waiting"
            ends[decision] = SessionEnd(fate, str(msgspec.json.decode(body).get("scope", "session")), seconds)
        return ends

    async def settle(
        self, item_id: str, *, delivered_at: float | None, error: str | None, again_at: float | None
    ) -> None:
        """Note a delivery, or a failure with the time of the next try (None: given up)."""

        def job(connection: Connection) -> None:
            connection.execute(
                "UPDATE outbox SET delivered = ?, delivered_at = ?, error = ?, due = ?, attempts = attempts + ? WHERE id = ?",
                (int(delivered_at is not None), delivered_at, error, again_at, int(delivered_at is None), item_id),
            )

        await self._db.write(job)


def queue_items(connection: Connection, items: Sequence[OutboxItem]) -> None:
    """Queue outbox items in the transaction of what caused them."""
    for item in items:
        connection.execute(
            "INSERT INTO outbox (id, tenant, issuer, kind, subject, decision, body, attempts, due, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item.id,
                item.tenant,
                item.issuer,
                item.kind,
                str(item.body.get("subject", "")),
                str(item.body.get("decision", "")),
                msgspec.json.encode(item.body).decode(),
                item.attempts,
                item.created,
                item.created,
            ),
        )


def marks(values: Sequence[str]) -> str:
    """Return as many placeholders as there are values."""
    return ", ".join("?" * len(values))
