"""Backups in a form of our own, the same for both databases: JSON lines, compressed. So a backup of SQLite restores into
PostgreSQL and the other way round.

First line: format, kind (``data`` or ``keys``) and schema. Then a line ``{"table", "columns"}`` for each table, followed by
its rows as arrays, bytes as ``{"b": base64}``. Last line: the number of rows, so that a cut-off file is known as such.
"""

import gzip
import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sidecar.errors import StorageFailed
from sidecar.storage.database import Connection
from sidecar.storage.schema import Dialect, migrate, migrations, version

FORMAT = "gaitkeeper-backup-1"
BOOKKEEPING = "schema_version"
PAGE = 1000


def write(dialect: Dialect, kind: str, path: Path) -> int:
    """Write a backup in one consistent read; return how many rows. Raises StorageFailed; then there is no file."""
    draft = path.with_name(path.name + ".part")
    try:
        connection = dialect.writer()
        try:
            with gzip.open(draft, "wt", encoding="utf-8") as out:
                rows = _dump(dialect, connection, kind, out)
        finally:
            connection.close()
        draft.replace(path)
    except _failures(dialect, OSError) as error:
        draft.unlink(missing_ok=True)
        raise StorageFailed(f"backup failed: {' '.join(str(error).split())[:200]}") from None
    return rows


def restore(dialect: Dialect, kind: str, path: Path) -> int:
    """Restore a backup into an empty database, all of it or nothing; return how many rows. Raises StorageFailed."""
    try:
        connection = dialect.writer()
    except dialect.failures as error:
        raise StorageFailed(f"{dialect.where}: {' '.join(str(error).split())[:200]}") from None
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            head = _parsed(lines.readline())
            if not isinstance(head, dict) or head.get("format") != FORMAT or head.get("kind") != kind:
                raise StorageFailed(f"{path} is no backup of {kind}")
            if version(dialect, connection) != 0:
                raise StorageFailed(f"{dialect.where} is not empty")
            known = [step.number for step in migrations(kind)]
            if head.get("schema") not in known:
                raise StorageFailed(f"{path} is of schema {head.get('schema')}, which this version does not know")
            migrate(dialect, kind, head["schema"])
            try:
                rows = _load(dialect, connection, lines)
            except BaseException:
                migrate(dialect, kind, 0)  # an empty database again: nothing half-restored can be served
                raise
        migrate(dialect, kind)
    except _failures(dialect, OSError, EOFError, ValueError, zlib.error) as error:
        raise StorageFailed(f"{path}: {' '.join(str(error).split())[:200]}") from None
    finally:
        connection.close()
    return rows


def _dump(dialect: Dialect, connection: Connection, kind: str, out: IO[str]) -> int:
    count = 0
    connection.execute("BEGIN" if dialect.name == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    try:
        head = {"format": FORMAT, "kind": kind, "schema": version(dialect, connection)}
        out.write(json.dumps(head) + "\n")
        for table in dialect.tables(connection):
            if table == BOOKKEEPING:
                continue
            columns = dialect.columns(connection, table)
            out.write(json.dumps({"table": table, "columns": columns}) + "\n")
            for row in _rows(dialect, connection, table, columns):
                out.write(json.dumps([_out(value) for value in row]) + "\n")
                count += 1
        out.write(json.dumps({"rows": count}) + "\n")
    finally:
        connection.execute("ROLLBACK")
    return count


def _rows(dialect: Dialect, connection: Connection, table: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    listed = ", ".join(columns)
    if dialect.name == "sqlite":  # steps through the table without holding it
        cursor: Any = connection.execute(f"SELECT {listed} FROM {table}")
        yield from cursor
        return
    connection.execute(f"DECLARE backup NO SCROLL CURSOR FOR SELECT {listed} FROM {table}")
    while page := connection.execute(f"FETCH {PAGE} FROM backup").fetchall():
        yield from page
    connection.execute("CLOSE backup")


def _load(dialect: Dialect, connection: Connection, lines: IO[str]) -> int:
    count, sql, page = 0, "", []
    expected = None
    connection.execute(dialect.begin)
    try:
        for text in lines:
            entry = _parsed(text)
            if isinstance(entry, list):
                page.append(tuple(_in(value) for value in entry))
                count += 1
                if len(page) < PAGE:
                    continue
            if page:
                connection.executemany(sql, page)
                page = []
            if isinstance(entry, dict) and "table" in entry:
                columns = dialect.columns(connection, entry["table"])
                if sorted(columns) != sorted(entry["columns"]):
                    raise StorageFailed(f"the backup's table {entry['table']} has other columns")
                marks = ", ".join("?" * len(columns))
                sql = f"INSERT INTO {entry['table']} ({', '.join(entry['columns'])}) VALUES ({marks})"
            elif isinstance(entry, dict):
                expected = entry.get("rows")
        if expected != count:
            raise StorageFailed(f"the backup is cut off: {count} rows of {expected}")
        if dialect.name != "sqlite":
            _sequences(dialect, connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction():
            connection.execute("ROLLBACK")
        raise
    return count


def _sequences(dialect: Dialect, connection: Connection) -> None:
    """Let PostgreSQL's identity columns go on behind the restored rows."""
    for table in dialect.tables(connection):
        name = connection.execute("SELECT pg_get_serial_sequence(?, 'number')", (table,)).fetchone()[0] if (
            "number" in dialect.columns(connection, table) and table not in (BOOKKEEPING, "audit", "audit_checkpoints")
        ) else None  # fmt: skip
        if name:
            connection.execute(f"SELECT setval('{name}', (SELECT coalesce(max(number), 0) + 1 FROM {table}), false)")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise StorageFailed("the backup is damaged or cut off") from None


def _out(value: Any) -> Any:
    return {"b": b64encode(bytes(value)).decode()} if isinstance(value, bytes | memoryview) else value


def _in(value: Any) -> Any:
    return b64decode(value["b"]) if isinstance(value, dict) else value


def _failures(dialect: Dialect, *others: type[Exception]) -> tuple[type[Exception], ...]:
    return (*others, *dialect.failures)
