"""Waiting batches in SQLite."""

import time

from sidecar.errors import BatchOutOfOrder, CaptureUsed, StorageFailed
from sidecar.storage.sqlite.database import Connection, Database

MAX_PER_CAPTURE = 64
MAX_WAITING_ROWS = 8_000  # 130 MB at most; when full, the page's hidden field carries the batches
PROBE_SECONDS = 3600
DIGEST_SECONDS = 400 * 86_400


class SqliteCaptures:
    """Implements ``ports.Captures``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def append(self, capture: str, seq: int, sealed: bytes, expires: int) -> None:
        """Keep a batch. Raises BatchOutOfOrder, CaptureUsed, StorageFailed."""

        def job(connection: Connection) -> None:
            if connection.execute("SELECT 1 FROM uses WHERE what = ?", (f"capture:{capture}",)).fetchone():
                raise CaptureUsed("this capture already served a decision")
            last, rows = connection.execute(
                "SELECT max(seq), count(*) FROM waiting_batches WHERE capture = ?", (capture,)
            ).fetchone()
            if last is not None and seq <= last:
                raise BatchOutOfOrder(f"sequence number {seq} is not above {last}")
            if rows >= MAX_PER_CAPTURE:
                raise BatchOutOfOrder("this capture has all the batches it may have")
            if connection.execute("SELECT count(*) FROM waiting_batches").fetchone()[0] >= MAX_WAITING_ROWS:
                raise StorageFailed("too many batches wait for a decision")
            connection.execute("INSERT INTO waiting_batches VALUES (?, ?, ?, ?)", (capture, seq, sealed, expires))

        await self._db.write(job)

    def waiting(self, capture: str) -> list[tuple[int, bytes]]:
        """Return the kept batches as (seq, sealed)."""
        rows = self._db.read("SELECT seq, sealed FROM waiting_batches WHERE capture = ? ORDER BY seq", (capture,))
        return [(seq, bytes(sealed)) for seq, sealed in rows]

    async def purge(self, now: float | None = None) -> int:
        """Drop batches, assertions, abandoned probes and old digests whose time is over."""
        moment = time.time() if now is None else now
        statements: list[tuple[str, float]] = [
            ("DELETE FROM waiting_batches WHERE expires < ?", moment),
            ("DELETE FROM assertions WHERE expires < ?", moment - 60),
            ("DELETE FROM waiting_probes WHERE at < ?", moment - PROBE_SECONDS),
            ("DELETE FROM idempotency WHERE at < ?", moment - 86_400),
            ("DELETE FROM uses WHERE at < ?", moment - 86_400),
            ("DELETE FROM probe_digests WHERE at < ?", moment - DIGEST_SECONDS),
            ("DELETE FROM outbox WHERE due IS NULL AND created < ?", moment - 30 * 86_400),
        ]
        return await self._db.write(
            lambda connection: sum(connection.execute(sql, (when,)).rowcount for sql, when in statements)
        )
