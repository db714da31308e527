"""The outbox in SQLite."""

from collections.abc import Sequence

import msgspec

from sidecar.ports import Fate, OutboxItem
from sidecar.storage.sqlite.database import Connection, Database
from sidecar.storage.sqlite.decisions import queue_items


class SqliteOutbox:
    """Implements ``ports.Outbox``. A row whose ``due`` is NULL is settled: delivered, or given up with its error."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def due(self, now: float, limit: int) -> list[OutboxItem]:
        """Return what should be tried now, oldest first."""
        rows = self._db.read(
            "SELECT id, tenant, issuer, kind, body, attempts, created FROM outbox"
            " WHERE due <= ? ORDER BY due, number LIMIT ?",
            (now, limit),
        )
        return [
            OutboxItem(identity, tenant, issuer, kind, msgspec.json.decode(body), attempts, created)
            for identity, tenant, issuer, kind, body, attempts, created in rows
        ]

    async def add(self, items: Sequence[OutboxItem]) -> None:
        """Queue effects."""
        await self._db.write(lambda connection: queue_items(connection, items))

    def fates(self, decisions: Sequence[str]) -> dict[str, Fate]:
        """Return what became of the newest session end of each of these decisions that has one."""
        marks = ", ".join("?" * len(decisions))
        rows = self._db.read(
            "SELECT json_extract(body, '$.decision') AS decision, delivered, due FROM outbox"
            f" WHERE kind = 'revoke' AND decision IN ({marks}) ORDER BY number",
            tuple(decisions),
        )
        fates: dict[str, Fate] = {}
        for decision, delivered, due in rows:
            fates[decision] = "delivered" if delivered else "failed" if due is None else "waiting"
        return fates

    async def settle(self, item_id: str, *, delivered: bool, error: str | None, again_at: float | None) -> None:
        """Note a delivery, or a failure with the time of the next try (None: given up)."""

        def job(connection: Connection) -> None:
            connection.execute(
                "UPDATE outbox SET delivered = ?, error = ?, due = ?, attempts = attempts + ? WHERE id = ?",
                (int(delivered), error, again_at, int(not delivered), item_id),
            )

        await self._db.write(job)
