"""Waiting batches."""

from sidecar.errors import BatchOutOfOrder, CaptureUsed, StorageFailed
from sidecar.storage.database import Connection, Database

MAX_PER_CAPTURE = 64
MAX_WAITING_ROWS = 8_000  # 130 MB at most; when full, the page's hidden field carries the batches


class SqlCaptures:
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
            kept = connection.execute(
                "INSERT INTO waiting_batches VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (capture, seq, sealed, expires),
            )
            if not kept.rowcount:  # another sidecar was faster
                raise BatchOutOfOrder(f"sequence number {seq} was seen before")

        await self._db.write(job)

    async def waiting(self, capture: str) -> list[tuple[int, bytes]]:
        """Return the kept batches as (seq, sealed)."""
        sql = "SELECT seq, sealed FROM waiting_batches WHERE capture = ? ORDER BY seq"
        rows = await self._db.reading(lambda: self._db.read(sql, (capture,)))
        return [(seq, bytes(sealed)) for seq, sealed in rows]
