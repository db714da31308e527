"""What scores are worth in each tenant, and how far working that out has come.

A row whose model ends in ``RUNNING`` is work in progress: ``position`` is the last pseudonym counted, ``counts`` the shares of
both halves of the people. It goes when the work is done; one older than a day is begun anew.
"""

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.ports import AuditEntry
from sidecar.scoring.recalibration import BINS, Recalibration
from sidecar.storage.database import Connection, Database

RUNNING = " (running)"
STALE_SECONDS = 86_400.0


class SqlRecalibrations:
    """Recalibrations of tenants and their progress."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def in_force(self) -> dict[tuple[str, str], Recalibration]:
        """Return what holds, by (tenant, model)."""
        sql = "SELECT tenant, model, slope, shift, people, at FROM recalibrations WHERE slope IS NOT NULL"
        rows = await self._db.reading(lambda: self._db.read(sql))
        return {
            (tenant, model): Recalibration(slope, shift, people, at) for tenant, model, slope, shift, people, at in rows
        }

    async def progress(self, tenant: str, model: str, now: float) -> tuple[str, Floats, list[int]]:
        """Return (last pseudonym, (2, 121) counts, people of each half) of work that was interrupted, or a beginning."""
        sql = "SELECT position, counts, people FROM recalibrations WHERE tenant = ? AND model = ? AND at >= ?"
        rows = await self._db.reading(lambda: self._db.read(sql, (tenant, model + RUNNING, now - STALE_SECONDS)))
        if not rows:
            return "", np.zeros((2, BINS)), [0, 0]
        counts = np.frombuffer(bytes(rows[0][1]), "<f8")
        if counts.size != 2 * BINS + 2:
            return "", np.zeros((2, BINS)), [0, 0]
        return rows[0][0], counts[2:].reshape(2, BINS).copy(), [int(each) for each in counts[:2]]

    async def advance(
        self, tenant: str, model: str, position: str, counts: Floats, people: list[int], now: float
    ) -> None:
        """Keep how far the work has come."""
        packed = np.concatenate([np.array(people, dtype="<f8"), counts.ravel()]).astype("<f8").tobytes()

        def job(connection: Connection) -> None:
            _drop(connection, tenant, model + RUNNING)
            connection.execute(
                "INSERT INTO recalibrations (tenant, model, people, at, position, counts) VALUES (?, ?, ?, ?, ?, ?)",
                (tenant, model + RUNNING, sum(people), now, position, packed),
            )

        await self._db.write(job)

    async def finish(self, tenant: str, model: str, chosen: Recalibration | None, by: str, now: float) -> None:
        """End the work: what was chosen holds from now on; None: as shipped."""

        def job(connection: Connection) -> None:
            _drop(connection, tenant, model)
            _drop(connection, tenant, model + RUNNING)
            details: dict[str, str | float | None] = {"model": model, "slope": None, "shift": None, "people": 0}
            if chosen is not None:
                connection.execute(
                    "INSERT INTO recalibrations (tenant, model, slope, shift, people, at) VALUES (?, ?, ?, ?, ?, ?)",
                    (tenant, model, chosen.slope, chosen.shift, chosen.people, chosen.at),
                )
                details = {"model": model, "slope": chosen.slope, "shift": chosen.shift, "people": chosen.people}
            connection.notes.append(AuditEntry(tenant, "scores.recalibrated", by, "", details, now))

        await self._db.write(job)


def _drop(connection: Connection, tenant: str, model: str) -> None:
    connection.execute("DELETE FROM recalibrations WHERE tenant = ? AND model = ?", (tenant, model))
