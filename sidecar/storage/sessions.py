"""Running sessions, found by the provider's session id among a person's newest decisions."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sidecar.domain.decisions import Action
from sidecar.ports import Running, StoredDecision
from sidecar.storage.database import Database
from sidecar.storage.decisions import SqlDecisions
from sidecar.usecases.running import SESSION_CHECK, UNKNOWN, of_check

NEWEST = 256  # decisions of a person that are looked through; only their short reports are read
OPEN = 8  # decisions without a report that are opened: theirs may be on its way
UNNAMED = 32  # decisions opened whose report names no session: then it is the one that the question named
OPEN_SECONDS = 3600.0


class SqlSessions:
    """Implements ``ports.Sessions``."""

    def __init__(self, database: Database, decisions: SqlDecisions) -> None:
        self._db = database
        self._decisions = decisions

    async def running(self, tenant: str, subject: str, sid: str, now: float) -> Running:
        """Return what is known of a session. ``now``: epoch seconds."""
        sql = "SELECT id, at, completion FROM decisions WHERE tenant = ? AND subject = ? ORDER BY number DESC LIMIT ?"
        rows = await self._db.reading(lambda: self._db.read(sql, (tenant, subject, NEWEST)))
        for identity, completion in _candidates(rows, sid, now):
            decision = await self._decisions.get(tenant, identity)
            if decision is None:
                continue
            found = await self._of(decision, completion, sid)
            if found is not None:
                return found
        return UNKNOWN

    async def _of(self, decision: StoredDecision, completion: Any, sid: str) -> Running | None:
        is_login = decision.body["action"] != SESSION_CHECK
        if completion is None:
            # The report is on its way: that the session runs says that the login succeeded, if nothing more was asked.
            at_once = decision.body["sid"] == sid and decision.body["answer"]["action"] == Action.ALLOW
            return Running(decision, None) if is_login and at_once else None
        if (completion["sid"] or decision.body["sid"]) != sid:
            return None
        factor_at = completion["at"] if completion["second_factor"] else None
        if is_login:
            return Running(decision, factor_at)
        began = (decision.body.get("session") or {}).get("login")
        login = await self._decisions.get(decision.tenant, began) if began else None
        return of_check(decision, login, factor_at)


def _candidates(rows: Sequence[tuple[Any, ...]], sid: str, now: float) -> list[tuple[str, Any]]:
    """Return (decision, its report) of what may be about the session, newest first; the report is None where none came yet."""
    found: list[tuple[str, Any]] = []
    unreported = unnamed = 0
    for identity, at, text in rows:
        if text is None:
            unreported += 1
            if unreported <= OPEN and at >= now - OPEN_SECONDS:
                found.append((identity, None))
            continue
        completion = msgspec.json.decode(text)
        if completion["outcome"] != "succeeded" or completion["sid"] not in (sid, None):
            continue
        unnamed += completion["sid"] is None
        if completion["sid"] == sid or unnamed <= UNNAMED:
            found.append((identity, completion))
        if completion["sid"] == sid:
            break  # what came before it is remembered in it
    return found
