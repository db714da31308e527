"""Numbered migrations, forward and back, in plain SQL for both dialects.

A migration is two files, ``NNNN_name.up.sql`` and ``NNNN_name.down.sql``, in which ``$bytes``, ``$whole``, ``$real``,
``$number`` and ``$keyed`` stand for what the dialects call differently. Once released it is never edited; the next one
changes it.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Protocol, TypeVar

from sidecar.errors import SchemaNewer, SchemaOld, StorageFailed
from sidecar.storage.database import Connection, Driver

T = TypeVar("T")

_HERE = Path(__file__).parent / "migrations"
_TABLE = "schema_version"
_FILE = re.compile(r"(\d{4})_([a-z_]+)\.up\.sql")


class Dialect(Driver, Protocol):
    """A driver as migrations and commands need it."""

    types: dict[str, str]

    @property
    def where(self) -> str:
        """What to call this database in messages."""

    def tables(self, connection: Connection) -> list[str]:
        """Return the names of the tables."""

    def columns(self, connection: Connection, table: str) -> list[str]:
        """Return the names of a table's columns, in order."""

    def faults(self, connection: Connection) -> list[str]:
        """Return what the database itself says is damaged."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    up: str
    down: str


def migrations(kind: str) -> list[Migration]:
    """Return the migrations of ``data`` or ``keys``, in order."""
    found = []
    for path in sorted((_HERE / kind).glob("*.up.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise StorageFailed(f"{path.name} is no name of a migration")
        back = path.with_name(path.name.replace(".up.sql", ".down.sql"))
        found.append(Migration(int(match[1]), match[2], path.read_text(), back.read_text()))
    return found


def version(dialect: Dialect, connection: Connection) -> int:
    """Return the number of the newest migration applied; 0 for an empty database."""
    tables = dialect.tables(connection)
    if _TABLE not in tables:
        if tables:
            raise StorageFailed(f"{dialect.where} holds tables that no release of ours has made")
        return 0
    return int(connection.execute(f"SELECT coalesce(max(number), 0) FROM {_TABLE}").fetchone()[0])


def prepare(dialect: Dialect, kind: str) -> None:
    """Make the tables of an empty database, and check those of another.

    Raises SchemaOld (run ``gaitkeeper db migrate``), SchemaNewer, StorageFailed.
    """
    newest = migrations(kind)[-1].number
    found = _connected(dialect, lambda connection: version(dialect, connection))
    if found == 0:
        migrate(dialect, kind)
    elif found < newest:
        raise SchemaOld(f"{dialect.where} is of schema {found}, this version needs {newest}: run gaitkeeper db migrate")
    elif found > newest:
        raise SchemaNewer(
            f"{dialect.where} is of schema {found}, this version knows {newest}: it was made by a newer one"
        )


def migrate(dialect: Dialect, kind: str, to: int | None = None) -> tuple[int, int]:
    """Bring a database to a schema, forward or back, a transaction a step; return (before, after). Raises StorageFailed.

    Two that migrate at once wait for each other.
    """
    known = migrations(kind)
    target = known[-1].number if to is None else to
    if target not in (0, *(step.number for step in known)):
        raise StorageFailed(f"there is no schema {target}")

    def steps(connection: Connection) -> tuple[int, int]:
        before = version(dialect, connection)
        if before > known[-1].number:
            raise SchemaNewer(f"{dialect.where} was made by a newer version")
        while (step := _next(dialect, connection, known, target)) is not None:
            _apply(dialect, connection, *step)
        return before, version(dialect, connection)

    return _connected(dialect, steps)


def _next(
    dialect: Dialect, connection: Connection, known: list[Migration], target: int
) -> tuple[Migration, bool] | None:
    at = version(dialect, connection)
    if at < target:
        return next(step for step in known if step.number > at), True
    if at > target:
        return next(step for step in known if step.number == at), False
    return None


def _apply(dialect: Dialect, connection: Connection, step: Migration, forward: bool) -> None:
    connection.execute(dialect.begin)
    try:
        connection.lock("schema")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_TABLE} (number INTEGER PRIMARY KEY, name TEXT, at {dialect.types['real']})"
        )
        # Another process may have taken this step while we waited for the lock.
        done = connection.execute(f"SELECT 1 FROM {_TABLE} WHERE number = ?", (step.number,)).fetchone() is not None
        if done is not forward:
            for statement in _statements(step.up if forward else step.down, dialect):
                connection.execute(statement)
            if forward:
                connection.execute(f"INSERT INTO {_TABLE} VALUES (?, ?, ?)", (step.number, step.name, time.time()))
            else:
                connection.execute(f"DELETE FROM {_TABLE} WHERE number = ?", (step.number,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction():
            connection.execute("ROLLBACK")
        raise


def _statements(text: str, dialect: Dialect) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part for part in Template("\n".join(lines)).substitute(dialect.types).split(";\n") if part.strip(" \n;")]


def _connected(dialect: Dialect, job: Callable[[Connection], T]) -> T:
    try:
        connection = dialect.writer()
        try:
            return job(connection)
        finally:
            connection.close()
    except dialect.failures as error:
        raise StorageFailed(f"{dialect.where}: {' '.join(str(error).split())[:200]}") from None
