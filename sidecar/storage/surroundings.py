"""The surroundings of a person's completed logins, failures by device, and administrators' marks.

One row a person and table, sealed as a whole under the person's key, so that a login reads and opens one value however
long the history is.
"""

import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from sidecar.domain.surroundings import Failure, Mark, MarkKind, Past, PastLogin
from sidecar.errors import SealBroken
from sidecar.keyring import vouched
from sidecar.ports import Assertion, AuditEntry, Keys, Opener, StoredDecision
from sidecar.risk.context.history import FAILURE_SECONDS, with_failure, with_login
from sidecar.storage.assertions import use_assertion
from sidecar.storage.database import Connection, Database

log = structlog.get_logger()
T = TypeVar("T")

DAY = 86_400.0
PEOPLE_AT_ONCE = 200  # in one transaction, so that none holds the writer for long
_MINE = "tenant = ? AND subject = ?"


class SqlSurroundings:
    """Implements ``ports.Surroundings``."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._db = database
        self._keys = keys

    async def past(self, tenant: str, subject: str) -> Past:
        """Return what is remembered of a person. Raises StorageFailed when something does not open."""
        return await self._db.reading(lambda: read_past(self._db, self._keys.opener(tenant, subject), tenant, subject))

    async def fail(self, tenant: str, subject: str, failure: Failure, assertion: Assertion) -> None:
        """Count a refused login of somebody who has completed one from a verified browser; drop any other."""

        def job(connection: Connection) -> None:
            use_assertion(connection, assertion)
            if failure.device is not None:
                keep_failure(connection, self._keys, tenant, subject, failure)

        await self._db.write(job)

    async def mark(
        self, tenant: str, subject: str, kind: MarkKind | None, expires: float | None, by: str, at: float
    ) -> bool:
        """Mark a person, or with None take the mark away; tell whether there was one before."""
        if kind is not None:
            await self._keys.ensure(tenant, subject)

        def job(connection: Connection) -> bool:
            there = bool(connection.execute(f"DELETE FROM marks WHERE {_MINE}", (tenant, subject)).rowcount)
            if kind is not None:
                said = (at, expires)
                seal = self._keys.seal(tenant, subject)
                sealed = seal.close(msgspec.json.encode(kind), *mark_place(tenant, subject, *said))
                connection.execute("INSERT INTO marks VALUES (?, ?, ?, ?, ?)", (tenant, subject, *said, sealed))
            if kind is not None or there:
                details = {"mark": kind, "expires": expires}
                connection.notes.append(AuditEntry(tenant, "subject.marked", by, subject, details, at))
            return there

        return await self._db.write(job)


def read_past(database: Database, mine: Opener, tenant: str, subject: str) -> Past:
    """Return what is remembered of a person. Blocks; for reading jobs. Raises SealBroken when a row was changed.

    Rows under a forgotten key (of a restored backup) are nobody's any more.
    """
    who = (tenant, subject)
    logins = database.read(f"SELECT oldest_at, last_at, sealed FROM past_logins WHERE {_MINE}", who)
    failures = database.read(f"SELECT last_at, sealed FROM failed_logins WHERE {_MINE}", who)
    marks = database.read(f"SELECT at, expires, sealed FROM marks WHERE {_MINE}", who)
    return Past(
        tuple(_opened(mine, logins, past_place(*who, *logins[0][:-1]), PastLogin) if logins else ()),
        tuple(_opened(mine, failures, failure_place(*who, *failures[0][:-1]), Failure) if failures else ()),
        _mark(mine, who, marks[0]) if marks else None,
    )


def keep_login(connection: Connection, keys: Keys, decision: StoredDecision, days: int) -> None:
    """Add a completed login to its person's history, in the transaction of its completion."""
    around = decision.body.get("around")
    if around is None or decision.body["action"] != "login":
        return
    who = (decision.tenant, decision.subject)
    connection.lock("past", *who)
    login = msgspec.convert(around | {"at": decision.at, "completed": True}, PastLogin)
    _put_logins(connection, keys, who, with_login(_logins(connection, keys, who), login, decision.at - days * DAY))


def keep_failure(connection: Connection, keys: Keys, tenant: str, subject: str, failure: Failure) -> None:
    """Count a refused login, if the person has completed any: of others nothing is kept that strangers can set going."""
    who = (tenant, subject)
    connection.lock("past", *who)
    past = _logins(connection, keys, who)
    if not past:
        return
    sql = f"SELECT last_at, sealed FROM failed_logins WHERE {_MINE}"
    rows = connection.execute(sql, who).fetchall()
    before = _opened(keys.opener(*who), rows, failure_place(*who, rows[0][0]), Failure) if rows else ()
    after = with_failure(before, failure, past)
    last = after[-1].at
    sealed = keys.seal(*who).close(_packed(after), *failure_place(*who, last))
    connection.execute(f"DELETE FROM failed_logins WHERE {_MINE}", who)
    connection.execute("INSERT INTO failed_logins VALUES (?, ?, ?, ?)", (*who, last, sealed))


def fail_of(decision: StoredDecision, at: float) -> Failure | None:
    """Return the failure that a decision's completion reports; None without a verified browser."""
    device = (decision.body.get("around") or {}).get("device")
    return Failure(at, device) if device else None


def drop_since(connection: Connection, keys: Keys, tenant: str, subject: str, since: float) -> None:
    """Take back the logins since a moment: somebody else was in."""
    who = (tenant, subject)
    connection.lock("past", *who)
    past = _logins(connection, keys, who)
    if past:
        _put_logins(connection, keys, who, [login for login in past if login.at < since])


def trim(connection: Connection, keys: Keys, cutoff: float) -> int:
    """Drop logins older than a moment from some people's histories; return of how many people."""
    people = connection.execute(
        "SELECT tenant, subject FROM past_logins WHERE oldest_at < ? LIMIT ?", (cutoff, PEOPLE_AT_ONCE)
    ).fetchall()
    for tenant, subject in people:
        who = (tenant, subject)
        connection.lock("past", *who)
        try:
            kept = [login for login in _logins(connection, keys, who) if login.at >= cutoff]
        except SealBroken:  # one row that was tampered with must not keep anybody's longer than promised
            log.error("history_unreadable", subject=subject)
            kept = []
        _put_logins(connection, keys, who, kept)
    return len(people)


def past_place(tenant: str, subject: str, oldest: float, last: float) -> tuple[str, ...]:
    """Return where a history is sealed for."""
    return ("past_logins", "sealed", tenant, subject, vouched(oldest, last))


def failure_place(tenant: str, subject: str, last: float) -> tuple[str, ...]:
    """Return where failures are sealed for."""
    return ("failed_logins", "sealed", tenant, subject, vouched(last))


def mark_place(tenant: str, subject: str, at: float, expires: float | None) -> tuple[str, ...]:
    """Return where a mark is sealed for: the person, since when and until when."""
    return ("marks", "sealed", tenant, subject, vouched(at, expires))


def expired_failures(now: float) -> float:
    """Return the moment before which failures no longer count."""
    return now - FAILURE_SECONDS


def _logins(connection: Connection, keys: Keys, who: tuple[str, str]) -> Sequence[PastLogin]:
    rows = connection.execute(f"SELECT oldest_at, last_at, sealed FROM past_logins WHERE {_MINE}", who).fetchall()
    return _opened(keys.opener(*who), rows, past_place(*who, *rows[0][:-1]), PastLogin) if rows else ()


def _put_logins(connection: Connection, keys: Keys, who: tuple[str, str], logins: Sequence[PastLogin]) -> None:
    connection.execute(f"DELETE FROM past_logins WHERE {_MINE}", who)
    if logins:
        said = (logins[0].at, logins[-1].at)
        sealed = keys.seal(*who).close(_packed(logins), *past_place(*who, *said))
        connection.execute("INSERT INTO past_logins VALUES (?, ?, ?, ?, ?)", (*who, *said, sealed))


def _mark(mine: Opener, who: tuple[str, str], row: Sequence[Any]) -> Mark | None:
    at, expires, sealed = row
    plain = mine(bytes(sealed), *mark_place(*who, at, expires))
    return None if plain is None else Mark(msgspec.json.decode(plain, type=MarkKind), expires)


def _packed(items: Sequence[PastLogin] | Sequence[Failure]) -> bytes:
    return zlib.compress(msgspec.json.encode(items))


def _opened(mine: Opener, rows: Sequence[Any], place: tuple[str, ...], kind: type[T]) -> Sequence[T]:
    plain = mine(bytes(rows[0][-1]), *place)
    return () if plain is None else msgspec.json.decode(zlib.decompress(plain), type=list[kind])  # type: ignore[valid-type]
