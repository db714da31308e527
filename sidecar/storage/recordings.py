"""Named recordings: event streams of people who agreed to one by name, for a limited time, sealed under their own keys."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sidecar.errors import BadRequest
from sidecar.ports import AuditEntry, Keys
from sidecar.storage.database import Connection, Database

LONGEST_DAYS = 90


class SqlRecordings:
    """Begins and ends recordings, and reads what they hold. Appending is part of a decision (``SqlDecisions``)."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._db = database
        self._keys = keys

    async def begin(self, tenant: str, name: str, purpose: str, now: float, ends: float, by: str) -> None:
        """Begin a recording. Raises BadRequest when it would run longer than 90 days, or one of this name exists."""
        if not 0 < ends - now <= LONGEST_DAYS * 86_400:
            raise BadRequest(f"a recording lasts {LONGEST_DAYS} days at most")

        def job(connection: Connection) -> None:
            row = (tenant, name, purpose, now, ends)
            done = connection.execute("INSERT INTO recordings VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
            if not done.rowcount:
                raise BadRequest("there is a recording of this name")
            details = {"name": name, "purpose": purpose, "ends": ends}
            connection.notes.append(AuditEntry(tenant, "recording.began", by, "", details, now))

        await self._db.write(job)

    async def end(self, tenant: str, name: str, now: float, by: str) -> bool:
        """End a recording now; False when none of this name runs."""

        def job(connection: Connection) -> bool:
            done = connection.execute(
                "UPDATE recordings SET ends = ? WHERE tenant = ? AND name = ? AND ends > ?", (now, tenant, name, now)
            ).rowcount
            if done:
                connection.notes.append(AuditEntry(tenant, "recording.ended", by, "", {"name": name}, now))
            return bool(done)

        return await self._db.write(job)

    async def known(self, tenant: str) -> list[dict[str, Any]]:
        """Return a tenant's recordings with how many logins each holds."""
        sql = (
            "SELECT name, purpose, began, ends, (SELECT count(*) FROM recorded x WHERE x.tenant = r.tenant"
            " AND x.recording = r.name) FROM recordings r WHERE tenant = ? ORDER BY began"
        )
        rows = await self._db.reading(lambda: self._db.read(sql, (tenant,)))
        return [dict(zip(("name", "purpose", "began", "ends", "logins"), row, strict=True)) for row in rows]

    async def of_subject(self, tenant: str, subject: str) -> Sequence[tuple[str, float, Any]]:
        """Return what was recorded of a person: (recording, time, event stream)."""

        def job() -> list[tuple[str, float, Any]]:
            rows = self._db.read(
                "SELECT recording, decision, at, sealed FROM recorded WHERE tenant = ? AND subject = ? ORDER BY number",
                (tenant, subject),
            )
            found = []
            for name, decision, at, sealed in rows:
                plain = self._keys.open_mine(tenant, subject, bytes(sealed), "recorded", "sealed", name, decision)
                if plain is not None:
                    found.append((name, at, msgspec.json.decode(plain)))
            return found

        return await self._db.reading(job)
