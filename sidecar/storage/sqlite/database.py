"""One writer thread with group commit, read-only connections beside it.

A write is a function of the connection; all that wait together share one transaction and one fsync, each behind its own
savepoint, and nobody is told "done" before the commit. So an answered decision survives ``kill -9`` and, with
``synchronous=FULL``, the loss of power.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, TypeVar

import pysqlite3.dbapi2 as sqlite3
from sqlite_utils.migrations import Migrations

from sidecar.errors import GaitkeeperError, StorageFailed
from sidecar.storage.sqlite.schema import migrate

T = TypeVar("T")
Connection = Any  # pysqlite3 ships no types
Job = tuple[Callable[[Connection], Any], "Future[Any]"]

MAX_WAITING = 2000
MAX_GROUP = 100
BUSY_MS = 150
OLDEST_SAFE = (3, 51, 3)  # older ones can corrupt a WAL database that two connections checkpoint at once


class Database:
    """A SQLite file. ``close`` ends the writer thread after what waits has been written."""

    def __init__(self, path: Path, migrations: Migrations, journal: Literal["WAL", "DELETE"] = "WAL") -> None:
        if sqlite3.sqlite_version_info < OLDEST_SAFE:
            raise StorageFailed(
                f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug; install pysqlite3 0.6.1 or newer"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageFailed(f"{path.parent}: {error.strerror}") from None
        migrate(path, migrations, journal)
        self._path = path
        self._jobs: queue.Queue[Job | None] = queue.Queue(MAX_WAITING)
        self._local = threading.local()
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Run ``job`` in the writer's transaction and return after its commit.

        ``job`` may run twice when its group had to be rolled back, so it must take all its state from the connection.
        Raises StorageFailed when the database cannot do it, or what ``job`` raised; then nothing of it is kept.
        """
        return await asyncio.wrap_future(self._queued(job))

    def write_now(self, job: Callable[[Connection], T]) -> T:
        """Do as ``write`` does, and block; for start-up and commands, never for a request."""
        return self._queued(job).result()

    def read(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one query on this thread's read-only connection. Raises StorageFailed."""
        try:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, isolation_level=None)
                connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
                self._local.connection = connection
            rows: list[tuple[Any, ...]] = connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise StorageFailed(f"read failed: {error}") from None
        return rows

    def close(self) -> None:
        """Write what waits, then end the writer thread."""
        self._jobs.put(None)
        self._thread.join()

    def _queued(self, job: Callable[[Connection], T]) -> "Future[T]":
        future: Future[T] = Future()
        try:
            self._jobs.put_nowait((job, future))
        except queue.Full:
            raise StorageFailed("too many writes are waiting") from None
        return future

    def _run(self) -> None:
        connection = sqlite3.connect(str(self._path), isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA secure_delete = ON")
        while (first := self._jobs.get()) is not None:
            group, ended = [first], False
            while len(group) < MAX_GROUP and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    ended = True
                    break
                group.append(following)
            if not _together(connection, group):
                for entry in group:
                    _alone(connection, entry)
            if ended:
                break
        connection.close()


def _together(connection: Connection, group: list[Job]) -> bool:
    """Run a group in one transaction; False when the database failed it and nothing was kept."""
    results: list[tuple[Future[Any], Any, GaitkeeperError | None]] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job, future in [entry for entry in group if _wanted(entry[1])]:
            connection.execute("SAVEPOINT job")
            try:
                results.append((future, job(connection), None))
            except GaitkeeperError as refused:
                connection.execute("ROLLBACK TO job")
                results.append((future, None, refused))
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except BaseException:  # whatever it was, each job gets its own try and its own error
        _rollback(connection)
        return False
    for future, result, error in results:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
    return True


def _alone(connection: Connection, entry: Job) -> None:
    job, future = entry
    if future.cancelled():
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        if not _wanted(future):
            _rollback(connection)
            return
        result = job(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _rollback(connection)
        if _wanted(future):
            future.set_exception(StorageFailed(f"write failed: {error}"))
    except BaseException as error:  # the writer thread must outlive any single job
        _rollback(connection)
        if _wanted(future):
            future.set_exception(error)
    else:
        future.set_result(result)


def _wanted(future: "Future[Any]") -> bool:
    """Start a job, now that the lock is held; False when its caller gave up: it was answered otherwise, so nothing of it
    may be written any more.
    """
    return future.running() or (not future.cancelled() and future.set_running_or_notify_cancel())


def _rollback(connection: Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
