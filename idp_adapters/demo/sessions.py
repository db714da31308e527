"""Sessions of the provider, and telling the applications when one ends."""

import asyncio
import json
import logging
import secrets
import time
from dataclasses import dataclass
from typing import Any

import httpx

from idp_adapters.demo.db import Database, Row, digest
from idp_adapters.demo.keys import ProviderKey
from idp_adapters.demo.settings import DemoSettings

log = logging.getLogger(__name__)

SESSION_SECONDS = 8 * 3600
LOGOUT_PAUSES = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in. ``acr`` and ``amr`` speak of factors only; behaviour never enters them."""

    sid: str
    sub: str
    acr: str
    amr: tuple[str, ...]
    auth_time: int
    decision: dict[str, Any] | None


def factors(second: bool) -> tuple[str, tuple[str, ...]]:
    """The acr and amr of a login by password, with or without a second factor."""
    return ("2", ("pwd", "otp")) if second else ("1", ("pwd",))


class Sessions:
    """The session table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def start(self, sid: str, sub: str, *, second_factor: bool, decision: str | None) -> str:
        """Open a session; its cookie value, which is always new (nobody can fix it beforehand)."""
        cookie, (acr, amr) = secrets.token_urlsafe(32), factors(second_factor)
        self._db.run(
            "INSERT INTO session (sid, cookie, sub, acr, amr, auth_time, decision) VALUES (?,?,?,?,?,?,?)",
            sid, digest(cookie), sub, acr, json.dumps(amr), int(time.time()), decision,
        )  # fmt: skip
        return cookie

    def raise_acr(self, sid: str) -> str:
        """Record a second factor in a running session; a new cookie value, since its rights have changed."""
        cookie, (acr, amr) = secrets.token_urlsafe(32), factors(True)
        self._db.run(
            "UPDATE session SET cookie = ?, acr = ?, amr = ?, auth_time = ? WHERE sid = ? AND ended IS NULL",
            digest(cookie), acr, json.dumps(amr), int(time.time()), sid,
        )  # fmt: skip
        return cookie

    def by_cookie(self, cookie: str | None) -> Session | None:
        """The live session behind a cookie."""
        return _session(self._db.one("SELECT * FROM session WHERE cookie = ?", digest(cookie))) if cookie else None

    def by_sid(self, sid: str) -> Session | None:
        """The live session of that id."""
        return _session(self._db.one("SELECT * FROM session WHERE sid = ?", sid))

    def of_user(self, sub: str) -> list[Session]:
        """Every live session of a user."""
        rows = self._db.all("SELECT * FROM session WHERE sub = ? AND ended IS NULL", sub)
        return [session for session in map(_session, rows) if session is not None]

    def joined(self, sid: str, client_id: str) -> None:
        """Remember that an application takes part in a session, so that it hears of its end."""
        self._db.run("INSERT INTO session_client (sid, client_id) VALUES (?,?) ON CONFLICT DO NOTHING", sid, client_id)

    def end(self, session: Session) -> list[tuple[str, Session]]:
        """End a session with its codes and access tokens; which clients to tell."""
        if not self._db.run("UPDATE session SET ended = ? WHERE sid = ? AND ended IS NULL", time.time(), session.sid):
            return []
        self._db.run("DELETE FROM code WHERE sid = ?", session.sid)
        self._db.run("DELETE FROM access_token WHERE sid = ?", session.sid)
        rows = self._db.all("SELECT client_id FROM session_client WHERE sid = ?", session.sid)
        return [(row["client_id"], session) for row in rows]


class LogoutSender:
    """Sends OIDC back-channel logout tokens in the background."""

    def __init__(
        self, settings: DemoSettings, key: ProviderKey, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings, self._key = settings, key
        self._http = httpx.AsyncClient(transport=transport, timeout=3, trust_env=False)
        self._background: set[asyncio.Task[None]] = set()

    def send(self, notices: list[tuple[str, Session]]) -> None:
        """Tell each client that the session has ended."""
        for client_id, session in notices:
            client = self._settings.client(client_id)
            if client is None or client.backchannel_logout_uri is None:
                continue
            token = self._key.logout_token(
                issuer=self._settings.idp_url, client_id=client_id, sub=session.sub, sid=session.sid
            )
            task = asyncio.create_task(self._deliver(client.backchannel_logout_uri, token))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _deliver(self, uri: str, token: str) -> None:
        for pause in (*LOGOUT_PAUSES, None):
            try:
                status = (await self._http.post(uri, data={"logout_token": token})).status_code
            except httpx.HTTPError:
                status = 0
            if status in (200, 204):
                return
            if status == 400 or pause is None:
                log.warning("back-channel logout at %s failed (HTTP %s)", uri, status)
                return
            await asyncio.sleep(pause)

    async def drain(self) -> None:
        """Wait for what is still being delivered."""
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)

    async def aclose(self) -> None:
        """Give deliveries a last moment, then close the connections."""
        try:
            async with asyncio.timeout(3):
                await self.drain()
        except TimeoutError:
            log.warning("closing with %d undelivered logouts", len(self._background))
        await self._http.aclose()


def _session(row: Row | None) -> Session | None:
    if row is None or row["ended"] is not None or row["auth_time"] + SESSION_SECONDS < time.time():
        return None
    return Session(
        sid=row["sid"],
        sub=row["sub"],
        acr=row["acr"],
        amr=tuple(json.loads(row["amr"])),
        auth_time=row["auth_time"],
        decision=json.loads(row["decision"]) if row["decision"] else None,
    )
