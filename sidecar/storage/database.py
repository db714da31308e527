"""One writer thread with group commit over whichever database holds the data.

A write is a function of the connection; all that wait together share one transaction and one fsync, each behind its own
savepoint, and nobody is told "done" before the commit. So an answered decision survives ``kill -9`` and, with a database
that syncs its log, the loss of power. What differs between SQLite and PostgreSQL is their ``Driver`` and nothing else.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from sidecar.errors import GaitkeeperError, StorageFailed
from sidecar.ports import AuditEntry

T = TypeVar("T")

MAX_WAITING = 2000
MAX_GROUP = 100
CLOSE_SECONDS = 3.0
DOWN_SECONDS = 0.2  # how long nobody knocks again at a server that was not there


class Cursor(Protocol):
    """What a statement leaves behind."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""

    def fetchone(self) -> Any:
        """Return the next row, None after the last."""

    def fetchall(self) -> list[Any]:
        """Return all rows left."""


class Connection(Protocol):
    """An open connection. Statements carry ``?`` for every parameter, in both dialects."""

    notes: list[AuditEntry]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Any:
        """Run one statement for every row."""

    def lock(self, *name: str) -> None:
        """Keep others, in other processes too, from what is named until the transaction ends."""

    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""

    def broken(self) -> bool:
        """Tell whether the connection can no longer be used."""

    def give_up(self) -> None:
        """Let a statement that another thread waits for fail at once."""

    def close(self) -> None:
        """Close it."""


class Driver(Protocol):
    """One kind of database: how to connect, how to begin, and where reads run."""

    name: str
    failures: tuple[type[Exception], ...]
    begin: str

    def writer(self) -> Connection:
        """Open a connection that may write. Raises one of ``failures``."""

    def reader(self) -> Connection:
        """Open a connection that only reads. Raises one of ``failures``."""

    async def reading(self, job: Callable[[], T]) -> T:
        """Run a reading job where it harms nobody: here, where it takes microseconds, or on a thread of its own."""

    def close(self) -> None:
        """Give up what reading needed."""


Job = tuple[Callable[[Connection], Any], "Future[Any]"]
BeforeCommit = Callable[[Connection, Sequence[AuditEntry]], None]


class _InDoubt(StorageFailed):
    """Whether a commit was done is not known. Trying again would find the jobs' own traces and call them replays."""


class Database:
    """An open database. ``close`` ends the writer thread after what waits has been written.

    ``before_commit`` gets the notes of all jobs of a group, once, at the end of its transaction.
    """

    def __init__(self, driver: Driver, before_commit: BeforeCommit | None = None) -> None:
        self.driver = driver
        self._before_commit = before_commit
        self._jobs: queue.Queue[Job | None] = queue.Queue(MAX_WAITING)
        self._local = threading.local()
        self._readers: list[Connection] = []
        self._writers: list[Connection] = []  # none before the first write, then one
        self._down_until = 0.0
        self._thread = threading.Thread(target=self._run, name=f"{driver.name}-writer", daemon=True)
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

    async def reading(self, job: Callable[[], T]) -> T:
        """Run a function that reads (``read``, as often as it likes) without blocking others. Raises StorageFailed."""
        return await self.driver.reading(job)

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query on this thread's reading connection. Raises StorageFailed.

        Blocks as long as the database takes: requests call it inside ``reading``.
        """
        try:
            connection = self._reader()
            try:
                rows: list[tuple[Any, ...]] = connection.execute(sql, parameters).fetchall()
            finally:
                if connection.broken():
                    self._local.connection = None
                    self._readers.remove(connection)
                    connection.close()
        except self.driver.failures as error:
            raise StorageFailed(f"read failed: {_one_line(error)}") from None
        return rows

    def close(self) -> None:
        """Write what waits, then end the writer thread; a server that does not answer is given up after a while."""
        with contextlib.suppress(queue.Full):
            self._jobs.put(None, timeout=CLOSE_SECONDS)
        self._thread.join(CLOSE_SECONDS)
        for connection in (*self._writers, *self._readers):
            connection.give_up()
        self._thread.join(CLOSE_SECONDS)
        self.driver.close()
        for connection in self._readers:
            connection.close()

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.driver.reader()
            self._readers.append(connection)
        return connection

    def _queued(self, job: Callable[[Connection], T]) -> "Future[T]":
        future: Future[T] = Future()
        try:
            self._jobs.put_nowait((job, future))
        except queue.Full:
            raise StorageFailed("too many writes are waiting") from None
        return future

    def _run(self) -> None:
        connection: Connection | None = None
        while (first := self._jobs.get()) is not None:
            group, ended = [first], False
            while len(group) < MAX_GROUP and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    ended = True
                    break
                group.append(following)
            connection = self._connected(connection, group)
            if connection is not None and not self._together(connection, group):
                for entry in group:
                    connection = self._connected(connection, [entry])
                    if connection is not None:
                        self._alone(connection, entry)
            if ended:
                break
        if connection is not None:
            connection.close()

    def _connected(self, connection: Connection | None, group: list[Job]) -> Connection | None:
        """Return a usable connection; None when there is none to be had, which the group has then been told."""
        if connection is not None and not connection.broken():
            return connection
        wanted = [future for _, future in group if _wanted(future)]
        if not wanted:
            return None
        try:
            if time.monotonic() < self._down_until:
                raise StorageFailed("no connection a moment ago")
            fresh = self.driver.writer()
        except self.driver.failures as error:
            self._down_until = time.monotonic() + DOWN_SECONDS
            refused = StorageFailed(f"no connection: {_one_line(error)}")
        except StorageFailed as error:
            refused = error
        else:
            self._writers = [fresh]
            return fresh
        for future in wanted:
            future.set_exception(refused)
        return None

    def _together(self, connection: Connection, group: list[Job]) -> bool:
        """Run a group in one transaction; False when the database failed it and nothing was kept."""
        results: list[tuple[Future[Any], Any, GaitkeeperError | None]] = []
        notes: list[AuditEntry] = []
        try:
            connection.execute(self.driver.begin)
            for job, future in [entry for entry in group if _wanted(entry[1])]:
                connection.notes.clear()
                connection.execute("SAVEPOINT job")
                try:
                    results.append((future, job(connection), None))
                    notes += connection.notes
                except GaitkeeperError as refused:
                    connection.execute("ROLLBACK TO job")
                    results.append((future, None, refused))
                connection.execute("RELEASE job")
            self._noted(connection, notes)
            self._commit(connection)
        except _InDoubt as doubt:
            results = [(future, None, doubt) for future, _, _ in results]
        except BaseException:  # whatever it was, each job gets its own try and its own error
            self._rolled_back(connection)
            return False
        for future, result, error in results:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        return True

    def _alone(self, connection: Connection, entry: Job) -> None:
        job, future = entry
        if future.cancelled() or future.done():
            return
        try:
            connection.execute(self.driver.begin)
            if not _wanted(future):
                self._rolled_back(connection)
                return
            connection.notes.clear()
            result = job(connection)
            self._noted(connection, connection.notes)
            self._commit(connection)
        except self.driver.failures as error:
            self._rolled_back(connection)
            if _wanted(future):
                future.set_exception(StorageFailed(f"write failed: {_one_line(error)}"))
        except BaseException as error:  # the writer thread must outlive any single job
            self._rolled_back(connection)
            if _wanted(future):
                future.set_exception(error)
        else:
            future.set_result(result)

    def _noted(self, connection: Connection, notes: Sequence[AuditEntry]) -> None:
        if notes and self._before_commit is not None:
            self._before_commit(connection, notes)

    def _commit(self, connection: Connection) -> None:
        """Commit. Raises _InDoubt when the connection was lost before the answer came."""
        try:
            connection.execute("COMMIT")
        except self.driver.failures as error:
            if connection.broken():
                raise _InDoubt(f"connection lost while committing: {_one_line(error)}") from None
            raise

    def _rolled_back(self, connection: Connection) -> None:
        try:
            if connection.in_transaction():
                connection.execute("ROLLBACK")
        except self.driver.failures:  # the connection is gone, and the transaction with it
            pass


def _wanted(future: "Future[Any]") -> bool:
    """Start a job, now that the lock is held; False when its caller gave up: it was answered otherwise, so nothing of it
    may be written any more.
    """
    return future.running() or (not future.cancelled() and not future.done() and future.set_running_or_notify_cancel())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
