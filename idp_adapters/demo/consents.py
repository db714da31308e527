"""Whether people agreed that their typing is looked at. Their answers are kept here, and the sidecar is told of them.

Three rules. Who was never asked is asked once, and until they answer nothing about consent is said to the sidecar, which
then looks at nothing. An answer is kept before anybody is told of it, so that it holds even when the sidecar is silent.
The sidecar is told again until it has heard: a withdrawal must arrive even if its person never signs in again.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from idp_adapters.demo.db import Database, Row
from idp_adapters.demo.hook import BACKGROUND_PAUSES, SidecarSilent

if TYPE_CHECKING:
    from idp_adapters.demo.services import Services

# Which text people agree to or refuse; templates/consent_text.html is that text. A changed text gets a new version.
TEXT_VERSION = "2026-11"
# What the text says about how long things are kept: the sidecar's defaults (docs/configuration.md).
SAMPLES_DAYS, DECISIONS_DAYS = 400, 180
UNTOLD_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person answered. ``confirmed``: in a session that had passed a second factor; ``told``: the sidecar knows."""

    given: bool
    version: str
    at: float
    confirmed: bool
    told: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a person stands, in the words of the account page. ``waits``: agreed, but no second factor confirmed it yet."""

    state: Literal["unknown", "given", "paused", "refused"]
    since: str | None = None
    version: str | None = None
    waits: bool = False


class Consents:
    """The table of answers. No row: never asked."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, sub: str) -> Answer | None:
        """What this person answered last."""
        row = self._db.one("SELECT * FROM consent WHERE sub = ?", sub)
        return _answer(row) if row else None

    def keep(
        self, sub: str, *, given: bool, version: str = TEXT_VERSION, confirmed: bool = False, told: bool = False
    ) -> None:
        """Keep an answer; the one before is replaced."""
        self._db.run("DELETE FROM consent WHERE sub = ?", sub)
        self._db.run(
            "INSERT INTO consent (sub, given, version, at, confirmed, told) VALUES (?,?,?,?,?,?)",
            sub, int(given), version, time.time(), int(confirmed), int(told),
        )  # fmt: skip

    def heard(self, sub: str, answer: Answer) -> None:
        """Note that the sidecar knows this answer, unless another one has replaced it meanwhile."""
        self._db.run("UPDATE consent SET told = 1 WHERE sub = ? AND at = ?", sub, answer.at)

    def untold(self) -> list[str]:
        """People whose answer the sidecar has not heard."""
        rows = self._db.all("SELECT sub FROM consent WHERE told = 0 ORDER BY at LIMIT ?", UNTOLD_AT_ONCE)
        return [row["sub"] for row in rows]


def context(answer: Answer | None) -> dict[str, Any]:
    """What a question about a login says of consent: nothing until the person has answered."""
    return {"consent": {"given": answer.given, "version": answer.version, "answered_at": answer.at}} if answer else {}


def standing(answer: Answer | None, kept: dict[str, Any]) -> Standing:
    """Where a person stands by their answer here and by what the sidecar keeps (its ``show``, or nothing)."""
    told = kept.get("consent")
    told = told if isinstance(told, dict) else {}
    paused = told.get("paused_since")
    if isinstance(paused, str) and (answer is None or answer.given):
        return Standing("paused", _read(paused))
    if answer is None:
        return Standing("unknown")
    since = _day(datetime.fromtimestamp(answer.at, UTC))
    if not answer.given:
        return Standing("refused", since, answer.version)
    return Standing("given", since, answer.version, waits=told.get("confirmed_by_second_factor") is False)


async def tell(s: "Services", sub: str) -> None:
    """Tell the sidecar what this person answered last. Raises SidecarSilent."""
    answer = s.consents.of(sub)
    if answer is None or answer.told:
        return
    told = {
        "given": answer.given,
        "version": answer.version,
        "second_factor": answer.confirmed,
        "answered_at": answer.at,
    }
    await s.hook.subject("consent", sub, **told)
    s.consents.heard(sub, answer)


def tell_later(s: "Services", sub: str) -> None:
    """The same in the background, where nobody waits: each try tells what holds by then, never an older answer."""

    async def insist() -> None:
        for pause in (*BACKGROUND_PAUSES, None):
            try:
                await tell(s, sub)
            except SidecarSilent:
                await asyncio.sleep(pause or 0)
            else:
                return

    s.hook.later(insist())


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"


def _read(text: str) -> str:
    """A moment as the sidecar writes it; what is not one is shown as it is."""
    try:
        return _day(datetime.fromisoformat(text))
    except ValueError:
        return text[:32]


def _answer(row: Row) -> Answer:
    return Answer(bool(row["given"]), row["version"], row["at"], bool(row["confirmed"]), bool(row["told"]))
