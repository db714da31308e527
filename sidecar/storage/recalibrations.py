"""What scores are worth in each tenant, and how far working that out has come.

A row whose model ends in ``RUNNING`` is work in progress: ``position`` is the last pseudonym counted, ``counts`` the tallies of
both halves of the people. It goes when the work is done; one older than a day is begun anew.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from sidecar.ports import AuditEntry
from sidecar.scoring.recalibrate import Correction, Tally
from sidecar.storage.database import Connection, Database

RUNNING = " (running)"
STALE_SECONDS = 86_400.0


class SqlRecalibrations:
    """Recalibrations of tenants and their progress."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def in_force(self) -> dict[tuple[str, str], Correction]:
        """Return what holds, by (tenant, model)."""
        sql = "SELECT tenant, model, scale, shift FROM recalibrations WHERE scale IS NOT NULL"
        rows = await self._db.reading(lambda: self._db.read(sql))
        return {(tenant, model): Correction(scale, shift, 0, 0, 0.0, 0.0) for tenant, model, scale, shift in rows}

    async def progress(self, tenant: str, model: str, now: float) -> tuple[str, list[Tally], int]:
        """Return (last pseudonym, tallies of both halves, people) of work that was interrupted, or a beginning."""
        sql = "SELECT position, counts, people FROM recalibrations WHERE tenant = ? AND model = ? AND at >= ?"
        rows = await self._db.reading(lambda: self._db.read(sql, (tenant, model + RUNNING, now - STALE_SECONDS)))
        try:
            position, counts, people = rows[0]
            return position, [Tally.of(one) for one in msgspec.json.decode(bytes(counts))], int(people)
        except (IndexError, ValueError, msgspec.DecodeError):
            return "", [Tally(), Tally()], 0

    async def advance(
        self, tenant: str, model: str, position: str, tallies: Sequence[Tally], people: int, now: float
    ) -> None:
        """Keep how far the work has come."""
        counts = msgspec.json.encode([tally.plain() for tally in tallies])

        def job(connection: Connection) -> None:
            _drop(connection, tenant, model + RUNNING)
            connection.execute(
                "INSERT INTO recalibrations (tenant, model, people, at, position, counts) VALUES (?, ?, ?, ?, ?, ?)",
                (tenant, model + RUNNING, people, now, position, counts),
            )

        await self._db.write(job)

    async def finish(
        self, tenant: str, model: str, chosen: Correction | None, people: int, by: str, now: float
    ) -> None:
        """End the work: what was chosen holds from now on; None: as shipped."""

        def job(connection: Connection) -> None:
            _drop(connection, tenant, model)
            _drop(connection, tenant, model + RUNNING)
            details: dict[str, Any] = {"model": model, "scale": None, "offset": None, "people": people}
            if chosen is not None:
                connection.execute(
                    "INSERT INTO recalibrations (tenant, model, scale, shift, people, at) VALUES (?, ?, ?, ?, ?, ?)",
                    (tenant, model, chosen.scale, chosen.offset, people, now),
                )
                details |= {"scale": chosen.scale, "offset": chosen.offset}
            connection.notes.append(AuditEntry(tenant, "scores.recalibrated", by, "", details, now))

        await self._db.write(job)


def _drop(connection: Connection, tenant: str, model: str) -> None:
    connection.execute("DELETE FROM recalibrations WHERE tenant = ? AND model = ?", (tenant, model))
