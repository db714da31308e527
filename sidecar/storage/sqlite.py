"""The embedded default: one SQLite file in WAL mode, one connection that writes, read-only ones for everybody else."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import pysqlite3.dbapi2 as sqlite3

from sidecar.errors import StorageFailed
from sidecar.ports import AuditEntry
from sidecar.storage.database import Connection, Cursor

T = TypeVar("T")

BUSY_MS = 150
OLDEST_SAFE = (3, 51, 3)  # older ones can corrupt a WAL database that two connections checkpoint at once

TYPES = {
    "number": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "bytes": "BLOB",
    "whole": "INTEGER",
    "real": "REAL",
    "keyed": "WITHOUT ROWID",
}


class SqliteConnection:
    """Implements ``database.Connection``."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        # Not mode=ro: after an error of the disk, whoever reads first may have to roll back what was left half-written.
        where = f"file:{path}?mode=rw" if read_only else str(path)
        self._raw = sqlite3.connect(where, uri=read_only, isolation_level=None, check_same_thread=not read_only)
        self._raw.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if read_only:
            self._raw.execute("PRAGMA query_only = ON")
        else:
            self._raw.execute("PRAGMA synchronous = FULL")
            self._raw.execute("PRAGMA secure_delete = ON")
        self.notes: list[AuditEntry] = []

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Run one statement."""
        done: Cursor = self._raw.execute(sql, parameters)
        return done

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Any:
        """Run one statement for every row."""
        return self._raw.executemany(sql, rows)

    def lock(self, *name: str) -> None:
        """Nothing to do: whoever writes has begun IMMEDIATE and holds the only lock there is."""

    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""
        return bool(self._raw.in_transaction)

    def broken(self) -> bool:
        """Tell that a file does not go away."""
        return False

    def give_up(self) -> None:
        """Nothing to do: a file answers, or fails by itself."""

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


class Sqlite:
    """Implements ``database.Driver`` for one file. Raises StorageFailed where the library is too old or the place is not ours.

    ``journal``: WAL, or DELETE where what is deleted must be gone from the disk at once.
    """

    name = "sqlite"
    failures: tuple[type[Exception], ...] = (sqlite3.Error,)
    begin = "BEGIN IMMEDIATE"
    types = TYPES

    def __init__(self, path: Path, journal: Literal["WAL", "DELETE"] = "WAL") -> None:
        if sqlite3.sqlite_version_info < OLDEST_SAFE:
            raise StorageFailed(
                f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug; install pysqlite3 0.6.1 or newer"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageFailed(f"{path.parent}: {error.strerror}") from None
        self.path = path
        self._journal = journal

    @property
    def where(self) -> str:
        """What to call this database in messages."""
        return str(self.path)

    def writer(self) -> Connection:
        """Open the connection that writes."""
        connection = SqliteConnection(self.path, read_only=False)
        connection.execute(f"PRAGMA journal_mode = {self._journal}")
        return connection

    def reader(self) -> Connection:
        """Open a connection that only reads."""
        return SqliteConnection(self.path, read_only=True)

    async def reading(self, job: Callable[[], T]) -> T:
        """Run it here: a read by key takes 30 to 90 microseconds, less than a thread switch."""
        return job()

    def tables(self, connection: Connection) -> list[str]:
        """Return the names of the tables."""
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
        return [row[0] for row in connection.execute(sql).fetchall()]

    def columns(self, connection: Connection, table: str) -> list[str]:
        """Return the names of a table's columns, in order."""
        return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()]

    def faults(self, connection: Connection) -> list[str]:
        """Return what the database itself says is damaged."""
        rows = connection.execute("PRAGMA integrity_check").fetchall()
        return [row[0] for row in rows if row[0] != "ok"]

    def close(self) -> None:
        """Nothing is held."""
