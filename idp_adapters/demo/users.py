"""Users: passwords by Argon2, second factor by TOTP."""

import asyncio
import hmac
import json
import re
import secrets
import uuid
from dataclasses import dataclass

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from idp_adapters.demo.db import Database, Row

USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")
MIN_PASSWORD = 8
MAX_PASSWORD = 256
MAX_GUESSES = 10
GUESS_SECONDS = 900
TOTP_SECONDS = 30

# OWASP's minimum for Argon2id: a demo shares two cores with the sidecar that is being watched.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_nobody = _hasher.hash(secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can sign in."""

    sub: str
    username: str
    name: str
    roles: tuple[str, ...]
    totp_secret: str | None
    synthetic: bool


class Users:
    """The user table. Hashing happens off the event loop, since it takes tens of milliseconds by design."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, sub: str) -> User | None:
        """The user with this subject."""
        return _user(self._db.one("SELECT * FROM user WHERE sub = ?", sub))

    def named(self, username: str) -> User | None:
        """The user of this name."""
        return _user(self._db.one("SELECT * FROM user WHERE username = ?", normalise(username)))

    def everybody(self) -> list[User]:
        """All users, by name."""
        rows = self._db.all("SELECT * FROM user ORDER BY synthetic, username")
        return [user for user in map(_user, rows) if user is not None]

    async def authenticate(self, username: str, password: str) -> User | None:
        """Check a password. An unknown name costs the same time as a wrong password."""
        row = self._db.one("SELECT * FROM user WHERE username = ?", normalise(username))
        stored = row["password"] if row else _nobody
        right = len(password) <= MAX_PASSWORD and await asyncio.to_thread(_matches, stored, password)
        return _user(row) if row and right else None

    async def create(self, username: str, name: str, password: str) -> User | None:
        """Add a user with a new TOTP secret, or None when the name is taken."""
        stored = await asyncio.to_thread(_hasher.hash, password)
        sub, secret = str(uuid.uuid4()), pyotp.random_base32()
        added = self._db.run(
            "INSERT INTO user (sub, username, name, password, roles, totp_secret) VALUES (?,?,?,?,?,?)"
            " ON CONFLICT DO NOTHING",
            sub, normalise(username), name.strip(), stored, json.dumps(["customer"]), secret,
        )  # fmt: skip
        return self.get(sub) if added else None

    def put(self, user: User, password: str) -> None:
        """Make a user be exactly as given; whoever had the name under another subject goes."""
        self._db.run("DELETE FROM user WHERE username = ? AND sub <> ?", normalise(user.username), user.sub)
        self._db.run(
            "INSERT INTO user (sub, username, name, password, roles, totp_secret, synthetic)"
            " VALUES (?,?,?,?,?,?,?) ON CONFLICT (username) DO UPDATE SET name = excluded.name,"
            " password = excluded.password, roles = excluded.roles,"
            " totp_secret = excluded.totp_secret, synthetic = excluded.synthetic",
            user.sub, normalise(user.username), user.name, _hasher.hash(password), json.dumps(user.roles),
            user.totp_secret, int(user.synthetic),
        )  # fmt: skip

    async def set_password(self, sub: str, password: str) -> None:
        """Replace the password."""
        stored = await asyncio.to_thread(_hasher.hash, password)
        self._db.run("UPDATE user SET password = ? WHERE sub = ?", stored, sub)

    def delete(self, sub: str) -> None:
        """Forget the user."""
        for table in ("user", "consent", "visitor"):
            self._db.run(f"DELETE FROM {table} WHERE sub = ?", sub)  # noqa: S608 - names are written here

    def use_code(self, user: User, code: str, now: float) -> bool:
        """Accept a TOTP code of the current time step or a neighbour, each step at most once and never
        backwards.

        The step is taken by the same statement that checks it, so a code seen over somebody's shoulder is
        worthless the moment it has been used. Wrong ones are counted by user, not by login: a new login must not
        give a guesser new tries. After ten, no code is taken for a quarter of an hour.
        """
        if user.totp_secret is None or self._guessed_out(user, now):
            return False
        totp = pyotp.TOTP(user.totp_secret)
        current = int(now) // TOTP_SECONDS
        offered = code.replace(" ", "")
        for step in (current - 1, current, current + 1):
            if hmac.compare_digest(totp.generate_otp(step).encode(), offered.encode()):
                statement = "UPDATE user SET totp_step = ? WHERE sub = ? AND totp_step < ?"
                if self._db.run(statement, step, user.sub, step) == 1:
                    self._db.run("DELETE FROM wrong_code WHERE sub = ?", user.sub)
                    return True
                break
        self._db.run(
            "INSERT INTO wrong_code VALUES (?, 1, ?) ON CONFLICT (sub) DO UPDATE SET count = count + 1",
            user.sub, now,
        )  # fmt: skip
        return False

    def _guessed_out(self, user: User, now: float) -> bool:
        self._db.run("DELETE FROM wrong_code WHERE sub = ? AND since < ?", user.sub, now - GUESS_SECONDS)
        row = self._db.one("SELECT count FROM wrong_code WHERE sub = ?", user.sub)
        return row is not None and row["count"] >= MAX_GUESSES


def normalise(username: str) -> str:
    """The form in which a username is stored and compared."""
    return username.strip().casefold()


def problems(username: str, name: str, password: str) -> str | None:
    """What is wrong with a new account, in words for the page, or None."""
    if not USERNAME.fullmatch(normalise(username)):
        return "Choose a username of 2 to 32 letters, digits, dots, dashes or underscores."
    if not name.strip() or len(name) > 80:
        return "Tell us your name (at most 80 characters)."
    return password_problem(password)


def password_problem(password: str) -> str | None:
    """What is wrong with a new password, or None."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        return f"Choose a password of at least {MIN_PASSWORD} characters."
    return None


def _matches(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _user(row: Row | None) -> User | None:
    if row is None:
        return None
    return User(
        sub=row["sub"],
        username=row["username"],
        name=row["name"],
        roles=tuple(json.loads(row["roles"])),
        totp_secret=row["totp_secret"],
        synthetic=bool(row["synthetic"]),
    )
