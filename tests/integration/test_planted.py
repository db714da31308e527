"""PRV4: timings and names planted in a login are looked for in everything the sidecar leaves behind."""

import json
import math
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import psycopg
import pytest
from support.postgres import binaries, server

from sidecar.demo.launch import free_port
from sidecar.evaluation.synthetic import Row, typist
from sidecar.rehearsal.payload import hidden_field
from sidecar.tokens import SigningKey, new_signing_key, sign_request

USER, NAME = "planted-user-4711", "Plantagenet Planted"
HOLDS_MS = (83.7, 91.3, 77.9, 101.1, 88.3, 94.9, 79.1, 97.7)
PERSON = 7


class Planted:
    """A served sidecar, and a login page with timings that are easy to find again."""

    def __init__(self, base: Path, extra: str) -> None:
        self.base = base
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.key: SigningKey = new_signing_key()
        (base / "jwks.json").write_text(json.dumps({"keys": [dict(self.key.jwk)]}))
        (base / "gaitkeeper.toml").write_text(
            f'base_url = "{self.url}"\nport = {self.port}\ndata_dir = "data"\ndeadline_ms = 5000\n{extra}\n'
            f'[[idps]]\ntenant = "one"\nissuer = "http://idp.test"\njwks_file = "jwks.json"\nsite_key = "site"\n'
            f'origins = ["http://localhost:9"]\nlegal_basis = "other"\n'
        )
        self.output = base / "output"
        with self.output.open("wb") as output:
            command = [sys.executable, "-m", "sidecar", "serve", "-c", str(base / "gaitkeeper.toml")]
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        for _ in range(300):
            try:
                httpx.get(f"{self.url}/health/ready")
                break
            except httpx.HTTPError:
                assert self.process.poll() is None, self.output.read_text()
                time.sleep(0.1)

    def post(self, path: str, content: object) -> httpx.Response:
        body = json.dumps(content).encode()
        url = self.url + path
        token = sign_request(
            self.key, issuer="http://idp.test", audience=self.url, method="POST", url=url, body=body, now=time.time()
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return httpx.post(url, content=body, headers=headers)

    def evaluate(self, capture: str, attempt: str) -> dict[str, object]:
        asked = {
            "subject": {"id": USER, "properties": {"name": NAME}},
            "action": {"name": "login"},
            "resource": {"id": "app"},
            "context": {
                "attempt": attempt,
                "capture": capture,
                "ip": "203.0.113.77",
                "user_agent": "Plantedbrowser/1.0",
            },
        }
        response = self.post("/access/v1/evaluation", asked)
        assert response.status_code == 200, response.text
        found: dict[str, object] = response.json()["context"]
        assert found["source"] == "scored"
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Planted, list[Path]]]:
    """The sidecar and the places where it could have left something."""
    with ExitStack() as stack:
        extra, places = "", [tmp_path]
        if request.param == "postgresql":
            if binaries() is None:
                pytest.skip("no PostgreSQL here: install the Debian package postgresql")
            # A server of its own: what the other tests have left in theirs would take minutes to search.
            own = stack.enter_context(server())
            extra = f'database = "{own.database("planted")}"\n[keys]\nstore = "{own.database("planted_keys")}"\n'
            places.append(own.directory)
        started = Planted(tmp_path, extra)
        try:
            yield started, places
        finally:
            started.process.terminate()
            started.process.wait(20)


def patterns() -> list[bytes]:
    found = [USER.encode(), NAME.encode(), b"203.0.113.77", b"Plantedbrowser"]
    for hold in HOLDS_MS:
        ticks = round(hold * 10)
        found += [f"{ticks},".encode(), struct.pack("<d", hold), struct.pack("<d", ticks / 10)]
        found += [struct.pack("<f", math.sqrt(hold / 1000)), struct.pack("<d", math.sqrt(hold / 1000))]
    sequence = [round(hold * 10) for hold in HOLDS_MS[:3]]
    return [pattern for pattern in found if len(pattern) >= 8] + [
        json.dumps(sequence, separators=(",", ":")).encode()[1:-1]
    ]


def leaks(places: list[Path]) -> list[tuple[str, bytes]]:
    found = []
    for place in places:
        for path in place.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                found += [(path.name, pattern) for pattern in patterns() if pattern in content]
    return found


def rows(login: int) -> list[Row]:
    """A login whose holds are the planted ones; each has a rhythm of its own between the keys."""
    made = typist(PERSON).login(np.random.default_rng([PERSON, login]), len(HOLDS_MS))
    return [(down, hold) for (down, _), hold in zip(made, HOLDS_MS, strict=False)] + made[len(HOLDS_MS) :]


def test_prv4_planted_timings_and_names_are_nowhere(planted: tuple[Planted, list[Path]]) -> None:
    sidecar, places = planted
    origin = {"Origin": "http://localhost:9", "Content-Type": "text/plain"}
    for login in range(12):
        attempt = f"attempt-{login:04d}"
        asked = json.dumps({"site": "site", "attempt": attempt})
        asked = json.dumps({"site": "site", "attempt": attempt})
        opened = httpx.post(f"{sidecar.url}/v1/captures", content=asked, headers=origin).json()
        (batch,) = json.loads(hidden_field(rows(login)))["b"]
        sent = httpx.post(
            f"{sidecar.url}/v1/captures/{opened['capture']}/batches",
            content=json.dumps({"token": opened["token"], "batch": batch}),
            headers=origin,
        )
        assert sent.status_code == 204
        if login == 0:
            assert batch["k"]["h"][:-1] == [round(hold * 10) for hold in HOLDS_MS]  # what was planted was sent
            look(sidecar, places)  # while the batch waits
        hidden = json.dumps({"v": 1, "n": 1, "b": [], "c": opened["capture"], "t": opened["token"]})
        answer = sidecar.evaluate(hidden, attempt)
        if login == 0:
            look(sidecar, places)  # while the probe waits
        report = {"outcome": "succeeded", "second_factor": True}
        assert sidecar.post(f"/v1/decisions/{answer['decision_id']}/completion", report).status_code == 200
    assert answer["action"] == "allow"
    broken = json.dumps({"token": opened["token"], "batch": batch | {"seq": -1}})
    assert (
        httpx.post(f"{sidecar.url}/v1/captures/{opened['capture']}/batches", content=broken, headers=origin).status_code
        == 400
    )
    assert sidecar.post("/access/v1/evaluation", {"subject": {"id": USER}, "oops": [HOLDS_MS, NAME]}).status_code == 400
    look(sidecar, places)
    assert b'"event": "decision"' in sidecar.output.read_bytes()  # it did speak


def look(sidecar: Planted, places: list[Path]) -> None:
    """Let PostgreSQL write what it holds, then search every byte on disk and everything the process has said."""
    if len(places) > 1:
        url = (sidecar.base / "gaitkeeper.toml").read_text().split('database = "')[1].split('"')[0]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
    assert leaks(places) == []


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """A search that cannot find anything would pass on everything."""
    for number, pattern in enumerate(patterns()):
        (tmp_path / f"{number}").write_bytes(b"x" * 100 + pattern + b"y" * 100)
    assert len(leaks([tmp_path])) >= len(patterns())
