"""A whole sidecar in one process: real SQLite, real keys, the real HTTP application, and a clock that tests move."""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pysqlite3.dbapi2 as sqlite3
from fastapi import FastAPI

from sidecar.config import ClientSettings, IdpSettings, LearningSettings, OperatorSettings, Settings
from sidecar.demo.seeding import enroll
from sidecar.evaluation.synthetic import Row, probe_of, typist
from sidecar.main import Sidecar, application, build
from sidecar.rehearsal.payload import hidden_field
from sidecar.tokens import SigningKey, new_signing_key, sign_request

BASE = "http://localhost:8800"
PASSWORD_LENGTH = 10
TABLES = (
    "assertions",
    "idempotency",
    "uses",
    "waiting_batches",
    "probe_digests",
    "decisions",
    "waiting_probes",
    "samples",
    "templates",
    "provenance",
    "directory",
    "outbox",
    "checkpoints",
    "subjects",
    "recordings",
    "recorded",
    "past_logins",
    "failed_logins",
    "marks",
    "entries",
)


class Clock:
    """Wall clock plus an offset. Fixed offsets keep captures and assertions plausible; tests move it forward."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset

    def forward(self, seconds: float) -> None:
        self.offset += seconds


@dataclass
class Caller:
    """An identity provider: signs requests to the sidecar and names the attempts of its login page."""

    http: httpx.AsyncClient
    issuer: str
    key: SigningKey
    clock: Clock
    origin: str
    site: str
    made: int = 0

    def token(self, path: str, body: bytes, **changed: Any) -> str:
        wanted: dict[str, Any] = {
            "issuer": self.issuer,
            "audience": BASE,
            "method": "POST",
            "url": BASE + path,
            "body": body,
            "now": self.clock(),
        }
        return sign_request(self.key, **(wanted | changed))

    async def post(
        self, path: str, payload: Any, *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token or self.token(path, body)}"}
        return await self.http.post(path, content=body, headers=sent | dict(headers or {}))

    def attempt(self) -> str:
        self.made += 1
        return f"attempt-{self.made:06d}-{self.site}"

    def request(
        self, sub: str, capture: str | list[str] | None = None, *, attempt: str | None = None, **extra: Any
    ) -> dict[str, Any]:
        client = extra.pop("client", "app")
        context = {"attempt": attempt or self.attempt(), "capture": capture, "sid": None} | extra
        return {
            "subject": {"type": "user", "id": sub, "properties": {"name": f"Name of {sub}"}},
            "action": {"name": "login"},
            "resource": {"type": "client", "id": client},
            "context": context,
        }

    async def evaluate(
        self,
        sub: str,
        capture: str | list[str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> dict[str, Any]:
        """Ask and return the answer with its context lifted to the top."""
        response = await self.post("/access/v1/evaluation", self.request(sub, capture, **extra), headers=headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer | answer["context"]

    async def complete(
        self, decision: str, outcome: str = "succeeded", *, second_factor: bool = False, sid: str | None = None
    ) -> httpx.Response:
        body = {"outcome": outcome, "second_factor": second_factor, "sid": sid}
        return await self.post(f"/v1/decisions/{decision}/completion", body)

    async def begin(
        self, sub: str, capture: str, occasion: str = "registration", *, attempt: str | None = None, **extra: Any
    ) -> httpx.Response:
        """Send what was typed where an account or a password was made."""
        body = {"subject": {"id": sub, "properties": {"name": f"Name of {sub}"}}, "client": "app", "capture": capture}
        named = {"attempt": attempt or self.attempt(), "occasion": occasion}
        return await self.post("/v1/enrollments", body | named | extra)

    async def tell(self, event: str, sub: str, **more: object) -> httpx.Response:
        return await self.post("/v1/events", {"type": event, "subject": {"type": "user", "id": sub}, **more})

    async def profiles(self, sub: str) -> dict[str, dict[str, Any]]:
        response = await self.post("/v1/profiles", {"subject": {"id": sub}})
        assert response.status_code == 200, response.text
        return {row["field"]: row for row in response.json()["profiles"]}

    async def login(self, sub: str, capture: str | None, *, second_factor: bool, **extra: Any) -> dict[str, Any]:
        """One whole login: evaluation, then success."""
        answer = await self.evaluate(sub, capture, **extra)
        assert (await self.complete(answer["decision_id"], second_factor=second_factor)).status_code == 200
        return answer


@dataclass
class Page:
    """A login page as the widget sees it: one capture, batches with growing numbers, the hidden field at the end."""

    http: httpx.AsyncClient
    origin: str
    attempt: str
    capture: str = ""
    token: str = ""
    made: int = 0
    number: int = 0
    kept: list[dict[str, Any]] = field(default_factory=list)

    async def open(self, site: str) -> httpx.Response:
        body = json.dumps({"site": site, "attempt": self.attempt}).encode()
        response = await self.http.post("/v1/captures", content=body, headers=self._headers())
        if response.status_code == 201:
            self.capture, self.token = response.json()["capture"], response.json()["token"]
        return response

    def batch(self, rows: Sequence[Row], **changed: Any) -> dict[str, Any]:
        """Make the next batch: the password typed with these rows, user name filled."""
        made = json.loads(hidden_field(rows))["b"][0] | {"seq": self.made, "page": self.number}
        self.made += 1
        return made | changed

    async def send(
        self,
        batch: Any,
        *,
        origin: str | None = None,
        token: str | None = None,
        raw: bytes | None = None,
        capture: str | None = None,
    ) -> httpx.Response:
        body = raw if raw is not None else json.dumps({"token": token or self.token, "batch": batch}).encode()
        headers = self._headers() | ({"Origin": origin} if origin else {})
        return await self.http.post(f"/v1/captures/{capture or self.capture}/batches", content=body, headers=headers)

    def hidden(self, tail: Sequence[Any] = (), *, n: int | None = None) -> str:
        wanted = self.made if n is None else n
        return json.dumps({"v": 1, "n": wanted, "b": list(tail), "c": self.capture, "t": self.token})

    async def typed(self, rows: Sequence[Row]) -> str:
        """Type and send; return the hidden field of the submitted form."""
        response = await self.send(self.batch(rows))
        assert response.status_code == 204, response.text
        return self.hidden()

    def _headers(self) -> dict[str, str]:
        return {"Content-Type": "text/plain", "Origin": self.origin}


@dataclass
class World:
    """The sidecar and everybody around it."""

    settings: Settings
    clock: Clock
    app: FastAPI
    http: httpx.AsyncClient
    idp: Caller
    other: Caller
    opened: list[Sidecar] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def running(cls, base: Path, **extra: Any) -> AsyncIterator["World"]:
        clock = extra.pop("clock", None) or Clock()
        settings, keys = make_settings(base, **extra)
        app = application(settings, clock)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            callers = [
                Caller(http, idp.issuer, key, clock, idp.origins[0], idp.site_key)
                for idp, key in zip(settings.idps, keys, strict=True)
            ]
            world = cls(settings, clock, app, http, *callers)
            try:
                yield world
            finally:
                for inside in world.opened:
                    inside.close()

    @property
    def inside(self) -> Sidecar:
        """A second sidecar on the same files, for what the first one offers no route for."""
        if not self.opened:
            self.opened.append(build(self.settings, self.clock))
        return self.opened[0]

    @property
    def path(self) -> Path:
        return self.settings.data_dir / "gaitkeeper.db"

    async def page(self, caller: Caller | None = None, attempt: str | None = None) -> Page:
        caller = caller or self.idp
        page = Page(self.http, caller.origin, attempt or caller.attempt())
        assert (await page.open(caller.site)).status_code == 201
        return page

    async def enroll(self, sub: str, person: int = 7, samples: int = 15, caller: Caller | None = None) -> None:
        """Give a user a profile of confirmed samples of one synthetic typist."""
        idp = self.settings.idp((caller or self.idp).issuer)
        probes = [probe_of(rows_of(person, 1000 + number)) for number in range(samples)]
        await enroll(self.inside, idp.tenant, sub, probes, origin="test")

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            found: list[tuple[Any, ...]] = connection.execute(f"SELECT * FROM {table}").fetchall()
        finally:
            connection.close()
        return found

    def dump(self, *without: str) -> dict[str, list[tuple[Any, ...]]]:
        return {table: self.rows(table) for table in TABLES if table not in without}

    def counts(self, *without: str) -> dict[str, int]:
        return {table: len(rows) for table, rows in self.dump(*without).items()}

    def pseudonym(self, sub: str, caller: Caller | None = None) -> str:
        return self.inside.keyring.pseudonym(self.settings.idp((caller or self.idp).issuer).tenant, sub)

    async def last_body(self) -> dict[str, Any]:
        return dict((await self.inside.decisions.recent(self.settings.tenants, 1))[0].body)


def make_settings(base: Path, **extra: Any) -> tuple[Settings, list[SigningKey]]:
    """Write keys and return settings of two identity providers, each a tenant of its own."""
    idps, keys = [], []
    per_idp: dict[str, Any] = extra.pop("idp", {})
    for number, name in enumerate(("one", "two")):
        key = new_signing_key()
        jwks = base / f"{name}.json"
        jwks.write_text(json.dumps({"keys": [dict(key.jwk)]}))
        url = f"http://localhost:{8801 + number}"
        wanted: dict[str, Any] = {
            "tenant": name,
            "issuer": url,
            "jwks_file": jwks,
            "site_key": f"site-{name}",
            "origins": (url,),
            "legal_basis": "other",  # consent has tests of its own
            "clients": {"lenient": ClientSettings(password_suffices=True)},
        }
        idps.append(IdpSettings(**(wanted | per_idp)))
        keys.append(key)
    wanted = {
        "base_url": BASE,
        "data_dir": base / "data",
        "idps": tuple(idps),
        "deadline_ms": 2000,  # tests of the deadline set their own; a busy machine must not degrade the others
        "learning": LearningSettings(),
    }
    if extra.get("operator") is True:  # or settings of the test's own
        (base / "operator.secret").write_text("a secret for the operator page")
        extra["operator"] = OperatorSettings(
            issuer="http://localhost:8801", client_id="operator", client_secret_file=base / "operator.secret"
        )
    return Settings(**(wanted | extra)), keys


def rows_of(person: int, login: int, length: int = PASSWORD_LENGTH) -> list[Row]:
    """Rows of one login of a synthetic typist; another ``login`` is another repetition."""
    return typist(person).login(np.random.default_rng([person, login]), length)


def carried(person: int, login: int, length: int = PASSWORD_LENGTH) -> str:
    """The hidden field of a page that made no connection: the whole capture."""
    return hidden_field(rows_of(person, login, length))


def state(how: str) -> str:
    """The hidden field of a page whose password field came to its content in this way, without a key press."""
    field_states = [{"f": 0, "p": "filled"}, {"f": 1, "p": how}]
    batch = {
        "v": 1, "seq": 0, "page": 0, "q": 1, "ctx": "keyboard", "t": 10_000, "f": ["username", "password"],
        "k": {"f": [], "c": [], "d": [], "h": []}, "s": field_states, "end": 1,
    }  # fmt: skip
    return json.dumps({"v": 1, "n": 1, "b": [batch]})
