"""Login transactions: one row on the server for each authorization request, so two tabs are two logins.

A transaction belongs to the browser that began it (a cookie), and carries the attempt id that the page hands
to the widget. The attempt changes after every evaluation: the sidecar scores an attempt once.
"""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from idp_adapters.demo.db import Database, Row, digest
from idp_adapters.demo.sessions import Session

LOGIN_SECONDS = 30 * 60
MAX_WRONG_CODES = 5
VISITOR_SECONDS = 30 * 86_400

Stage = Literal["password", "otp", "done", "closed"]
Layout = Literal["single", "split"]


@dataclass(frozen=True, slots=True)
class Login:
    """One login under way. ``username`` is set between the two pages of the split layout."""

    txn: str
    client_id: str
    request: dict[str, str]
    stage: Stage
    layout: Layout
    attempt: str
    attempt_started: float
    username: str | None
    username_capture: str | None
    sub: str | None
    sid: str | None
    decision_id: str | None
    decision: str | None

    @property
    def asks_username(self) -> bool:
        """Whether the next page is the first one of the split layout."""
        return self.layout == "split" and self.username is None


class Logins:
    """The transaction table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def begin(
        self,
        browser: str,
        client_id: str,
        request: dict[str, str],
        layout: Layout,
        step_up: Session | None = None,
    ) -> str:
        """Open a transaction; its id. ``step_up`` makes it add a second factor to a running session."""
        txn, now = secrets.token_urlsafe(16), time.time()
        self._db.run(
            "INSERT INTO login (txn, browser, client_id, request, expires, stage, layout, attempt, attempt_started,"
            " sub, sid) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            txn, digest(browser), client_id, json.dumps(request), now + LOGIN_SECONDS,
            "otp" if step_up else "password", layout, _new_attempt(), now,
            step_up.sub if step_up else None, step_up.sid if step_up else None,
        )  # fmt: skip
        return txn

    def get(self, txn: str, browser: str | None) -> Login | None:
        """The transaction, if it is this browser's and not too old."""
        row = self._db.one(
            "SELECT * FROM login WHERE txn = ? AND browser = ? AND expires > ?",
            txn,
            digest(browser or ""),
            time.time(),
        )
        return _login(row) if row else None

    def lay_out(self, login: Login, layout: Layout) -> None:
        """Change between one page and two; starts over at the first."""
        self._db.run(
            "UPDATE login SET layout = ?, username = NULL, username_capture = NULL WHERE txn = ?",
            layout,
            login.txn,
        )

    def name(self, login: Login, username: str | None, capture: str | None) -> None:
        """Keep what the first page of the split layout sent; None goes back to it."""
        self._db.run("UPDATE login SET username = ?, username_capture = ? WHERE txn = ?", username, capture, login.txn)

    def evaluated(self, login: Login, sub: str, sid: str, decision_id: str | None, decision: dict[str, Any]) -> Login:
        """Record that the attempt has been judged, and replace it by a fresh one."""
        self._db.run(
            "UPDATE login SET stage = 'password', attempt = ?, attempt_started = ?, username = NULL,"
            " username_capture = NULL, sub = ?, sid = ?, decision_id = ?, decision = ?, wrong_codes = 0"
            " WHERE txn = ?",
            _new_attempt(), time.time(), sub, sid, decision_id, json.dumps(decision), login.txn,
        )  # fmt: skip
        row = self._db.one("SELECT * FROM login WHERE txn = ?", login.txn)
        return _login(row) if row else login

    def move(self, login: Login, stage: Stage) -> None:
        """Go on to another stage."""
        self._db.run("UPDATE login SET stage = ? WHERE txn = ?", stage, login.txn)

    def wrong_code(self, login: Login) -> bool:
        """Count a wrong second factor; whether another try is allowed."""
        self._db.run("UPDATE login SET wrong_codes = wrong_codes + 1 WHERE txn = ?", login.txn)
        row = self._db.one("SELECT wrong_codes FROM login WHERE txn = ?", login.txn)
        return row is not None and row["wrong_codes"] < MAX_WRONG_CODES

    def settle(self, login: Login) -> str | None:
        """Take the decision that still awaits its outcome; each is handed out once."""
        row = self._db.one("SELECT decision_id FROM login WHERE txn = ?", login.txn)
        self._db.run("UPDATE login SET decision_id = NULL WHERE txn = ?", login.txn)
        return row["decision_id"] if row else None

    def close_unfinished(self, sub: str, sid: str | None = None) -> None:
        """Close a user's half-finished logins: a revocation must catch the one that only lacks its code."""
        self._db.run(
            "UPDATE login SET stage = 'closed' WHERE sub = ? AND stage = 'otp' AND (? IS NULL OR sid = ?)",
            sub,
            sid,
            sid,
        )

    def signed_in(self, browser: str, sub: str) -> None:
        """Remember who signed in in this browser last."""
        self._db.run(
            "INSERT OR REPLACE INTO visitor (browser, sub, at) VALUES (?,?,?)", digest(browser), sub, time.time()
        )

    def last_visitor(self, browser: str) -> str | None:
        """Who signed in in this browser last; only that browser can ask, so nobody learns who has an account."""
        row = self._db.one("SELECT sub FROM visitor WHERE browser = ?", digest(browser))
        return row["sub"] if row else None

    def sweep(self) -> list[Login]:
        """Delete what is too old; those whose decision nobody has reported yet are returned as abandoned."""
        now = time.time()
        self._db.run("DELETE FROM visitor WHERE at < ?", now - VISITOR_SECONDS)
        rows = self._db.all("SELECT * FROM login WHERE expires <= ? AND decision_id IS NOT NULL", now)
        self._db.run("DELETE FROM login WHERE expires <= ?", now)
        return [_login(row) for row in rows]


def _new_attempt() -> str:
    return secrets.token_urlsafe(18)


def _login(row: Row) -> Login:
    return Login(
        txn=row["txn"],
        client_id=row["client_id"],
        request=json.loads(row["request"]),
        stage=row["stage"],
        layout=row["layout"],
        attempt=row["attempt"],
        attempt_started=row["attempt_started"],
        username=row["username"],
        username_capture=row["username_capture"],
        sub=row["sub"],
        sid=row["sid"],
        decision_id=row["decision_id"],
        decision=row["decision"],
    )
