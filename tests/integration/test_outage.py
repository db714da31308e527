"""Databases and logs that fail for a while. ``make soak`` does it under load; here is each finding by itself."""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pysqlite3.dbapi2 as sqlite3
import pytest
from support.line import line
from support.postgres import Server
from support.stores import assertion, fresh
from support.world import World, carried

from sidecar.api import requests
from sidecar.config import KeySettings
from sidecar.demo.launch import free_port
from sidecar.demo.layout import Layout, write
from sidecar.errors import StorageFailed
from sidecar.storage.assertions import SqlAssertions
from sidecar.storage.database import Database
from sidecar.storage.postgres import Postgres
from sidecar.storage.schema import prepare
from sidecar.storage.sqlite import Sqlite

pytestmark = pytest.mark.anyio
OWNER = 7


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


class TestLine:
    """A connection that is lost between a statement and its answer."""

    @pytest.fixture
    async def cut(self, postgres_server: Server) -> AsyncIterator[tuple[Callable[[bytes], None], Database]]:
        with line(postgres_server.port) as way:
            url = postgres_server.url.replace(f":{postgres_server.port}/", f":{way.port}/")
            driver = Postgres(url, fresh("line").replace("-", "_"))
            prepare(driver, "data")
            database = Database(driver)
            yield way.cut_at, database
            database.close()

    async def test_a_commit_whose_answer_was_lost_is_not_tried_again(
        self, cut: tuple[Callable[[bytes], None], Database]
    ) -> None:
        """It was, found its own assertion, and called an honest request a replay."""
        at, database = cut
        spent = assertion()
        at(b"COMMIT")
        with pytest.raises(StorageFailed, match="while committing"):
            await SqlAssertions(database).spend(spent)
        assert database.read("SELECT count(*) FROM assertions") == [(1,)]
        await SqlAssertions(database).spend(assertion())

    async def test_what_was_lost_before_the_commit_is_done_again(
        self, cut: tuple[Callable[[bytes], None], Database]
    ) -> None:
        at, database = cut
        at(b"INSERT")
        await SqlAssertions(database).spend(assertion())
        assert database.read("SELECT count(*) FROM assertions") == [(1,)]


class TestFrozen:
    async def test_no_request_stays_open(
        self, worlds: Any, postgres_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Completions waited for as long as the server was frozen."""
        monkeypatch.setattr(requests, "BODY_SECONDS", 0.5)
        monkeypatch.setattr(requests, "ANSWER_SECONDS", 0.5)
        world: World = await worlds(
            database=postgres_server.database(fresh("frozen")),
            keys=KeySettings(store=str(tmp_path / "keys.db")),
            deadline_ms=700,
        )
        answer = await world.idp.evaluate("ann", carried(OWNER, 1))
        assert answer["decision_id"]
        with frozen(postgres_server):
            began = time.monotonic()
            assert (await world.idp.evaluate("ann", carried(OWNER, 2)))["source"] == "degraded"
            refused = [
                await world.idp.complete(answer["decision_id"], second_factor=True),
                await world.idp.tell("password_changed", "ann"),
                await world.idp.post("/v1/subjects/show", {"subject": {"id": "ann"}}),
            ]
            assert time.monotonic() - began < 12
        assert {(each.status_code, each.json()["error"]) for each in refused} == {(503, "storage_failed")}
        assert (await world.idp.evaluate("ann", carried(OWNER, 3)))["decision_id"]

    async def test_a_process_can_end(self, postgres_server: Server) -> None:
        """Closing waited for the answer to what was under way."""
        driver = Postgres(postgres_server.url, fresh("ending").replace("-", "_"))
        prepare(driver, "data")
        database = Database(driver)
        await SqlAssertions(database).spend(assertion())
        assert await database.reading(lambda: database.read("SELECT count(*) FROM assertions")) == [(1,)]
        with frozen(postgres_server):
            waiting = [
                asyncio.create_task(SqlAssertions(database).spend(assertion())),
                asyncio.create_task(database.reading(lambda: database.read("SELECT 1"))),
            ]
            await asyncio.sleep(0.2)
            closing = threading.Thread(target=database.close, daemon=True)
            closing.start()
            await asyncio.to_thread(closing.join, 15)
            assert not closing.is_alive()
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [StorageFailed, StorageFailed]


class TestHalfWritten:
    def test_whoever_reads_first_rolls_back(self, tmp_path: Path) -> None:
        """After an error of fsync in the key store, readers could not, and every login was degraded until a restart."""
        connection = sqlite3.connect(str(tmp_path / "a.db"), isolation_level=None)
        connection.execute("PRAGMA cache_size = 5")  # so that a transaction reaches the file before its end
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?)", [("a" * 200,)] * 1000)
        connection.execute("COMMIT")
        database = Database(Sqlite(tmp_path / "b.db", "DELETE"))
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET x = 'b' || x")
        for name in ("{}.db", "{}.db-journal"):
            shutil.copy(tmp_path / name.format("a"), tmp_path / name.format("b"))
        connection.close()
        try:
            assert database.read("SELECT count(*) FROM t WHERE x LIKE 'a%'") == [(1000,)]
            with pytest.raises(StorageFailed, match="readonly"):
                database.read("DELETE FROM t")
        finally:
            database.close()


class TestLog:
    def test_a_log_that_cannot_be_written_costs_no_login(self, tmp_path: Path) -> None:
        """Each line on a full disk made a login that was decided already an internal error."""
        layout = Layout(tmp_path / "state", free_port())
        write(layout)
        with Path("/dev/full").open("w") as full:
            process = subprocess.Popen(
                [sys.executable, "-m", "sidecar", "serve", "-c", str(layout.sidecar_settings)], stderr=full
            )
        try:
            for _ in range(300):
                try:
                    httpx.get(f"{layout.sidecar_url}/health/ready")
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            asked = {
                "subject": {"id": "ann"},
                "action": {"name": "login"},
                "resource": {"id": "app"},
                "context": {"attempt": "attempt-1", "capture": carried(OWNER, 1)},
            }
            response = _signed(layout, "/access/v1/evaluation", asked)
            assert (response.status_code, response.json()["context"]["source"]) == (200, "scored")
        finally:
            process.kill()
            process.wait()


def _signed(layout: Layout, path: str, content: object) -> httpx.Response:
    import json

    from sidecar.tokens import load_signing_key, sign_request

    body, url = json.dumps(content).encode(), layout.sidecar_url + path
    key = load_signing_key((layout.state / "idp-assertion.pem").read_text())
    token = sign_request(
        key, issuer=layout.idp_url, audience=layout.sidecar_url, method="POST", url=url, body=body, now=time.time()
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return httpx.post(url, content=body, headers=headers, timeout=20)
