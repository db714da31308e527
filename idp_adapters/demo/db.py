"""The provider's own SQLite file. It holds no behaviour: that stays with the sidecar.

One connection, used from the event loop only, with short statements: a demo has no need of a pool, and one
writer means that "check and then set" inside ``transaction`` cannot race. Bearer secrets (session cookie,
access token, code) are stored as hashes, so that a copied file signs nobody in.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
  sub TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password TEXT NOT NULL,
  roles TEXT NOT NULL, totp_secret TEXT, totp_step INTEGER NOT NULL DEFAULT 0,
  synthetic INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS wrong_code (sub TEXT PRIMARY KEY, count INTEGER NOT NULL, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS login (
  txn TEXT PRIMARY KEY, browser TEXT NOT NULL, client_id TEXT NOT NULL, request TEXT NOT NULL,
  expires REAL NOT NULL, stage TEXT NOT NULL, layout TEXT NOT NULL, attempt TEXT NOT NULL,
  attempt_started REAL NOT NULL, username TEXT,
  username_capture TEXT, sub TEXT, sid TEXT, decision_id TEXT, decision TEXT,
  wrong_codes INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS login_sub ON login (sub);
CREATE TABLE IF NOT EXISTS session (
  sid TEXT PRIMARY KEY, cookie TEXT NOT NULL UNIQUE, sub TEXT NOT NULL, acr TEXT NOT NULL, amr TEXT NOT NULL,
  auth_time INTEGER NOT NULL, decision TEXT, ended REAL);
CREATE INDEX IF NOT EXISTS session_sub ON session (sub);
CREATE TABLE IF NOT EXISTS session_client (
  sid TEXT NOT NULL, client_id TEXT NOT NULL, PRIMARY KEY (sid, client_id));
CREATE TABLE IF NOT EXISTS code (
  code TEXT PRIMARY KEY, client_id TEXT NOT NULL, sid TEXT NOT NULL, redirect_uri TEXT, scope TEXT NOT NULL,
  nonce TEXT, challenge TEXT NOT NULL, method TEXT NOT NULL, expires REAL NOT NULL, used INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS access_token (
  token TEXT PRIMARY KEY, sid TEXT NOT NULL, code TEXT NOT NULL, scope TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS revocation (id TEXT PRIMARY KEY, body TEXT NOT NULL, ended INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen_jti (
  issuer TEXT NOT NULL, jti TEXT NOT NULL, expires REAL NOT NULL, PRIMARY KEY (issuer, jti));
CREATE TABLE IF NOT EXISTS consent (
  sub TEXT PRIMARY KEY, given INTEGER NOT NULL, version TEXT NOT NULL, at REAL NOT NULL,
  confirmed INTEGER NOT NULL, told INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS visitor (browser TEXT PRIMARY KEY, sub TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

Row = dict[str, Any]


class Database:
    """Runs statements; ``transaction`` groups them."""

    def __init__(self, path: str) -> None:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        self._connection.row_factory = lambda cursor, row: dict(
            zip((column[0] for column in cursor.description), row, strict=True)
        )
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(SCHEMA)

    def one(self, sql: str, *values: Any) -> Row | None:
        """The first row, or None."""
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Every row."""
        return list(self._connection.execute(sql, values).fetchall())

    def run(self, sql: str, *values: Any) -> int:
        """Execute a statement; how many rows it changed."""
        return int(self._connection.execute(sql, values).rowcount)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Must not be awaited inside: the connection is shared by every request."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


def digest(secret: str) -> str:
    """How a bearer secret is stored. Plain SHA-256 suffices: each has at least 128 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()
