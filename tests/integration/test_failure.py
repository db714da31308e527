"""When something breaks: a clear error with a stable code, or a labelled degraded decision; never half a row."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import itsdangerous
import pysqlite3.dbapi2 as sqlite3
import pytest
from support.world import World, carried, make_settings, rows_of

from sidecar.errors import ConfigInvalid, GaitkeeperError, PolicyInvalid, StorageFailed
from sidecar.main import build

pytestmark = pytest.mark.anyio
OWNER, STRANGER = 7, 18
EVALUATION = "/access/v1/evaluation"
TEN_MB = b" " * (10 * 1024 * 1024)


def degraded(answer: dict[str, Any]) -> None:
    assert answer["source"] == "degraded"
    assert answer["action"] == "step_up"
    assert answer["decision"] is False
    assert answer["decision_id"] is None
    assert answer["reason_user"]["en"] == "Please confirm that it is you."


@contextmanager
def locked(world: World, mode: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the database as another process would."""
    connection = sqlite3.connect(str(world.path), isolation_level=None)
    if mode == "EXCLUSIVE":
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute(f"BEGIN {mode}")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


class TestLocked:
    async def test_a_locked_database_gives_a_degraded_answer_in_time_and_no_row(self, worlds: Any) -> None:
        world: World = await worlds(deadline_ms=400)
        await world.enroll("ann", OWNER)
        before = world.dump()
        with locked(world):
            began = time.perf_counter()
            answer = await world.idp.evaluate("ann", carried(OWNER, 1))
            took = time.perf_counter() - began
        degraded(answer)
        assert took < 0.8  # the deadline of 400 ms, and a busy machine
        await asyncio.sleep(0.3)
        assert world.dump() == before
        assert (await world.idp.evaluate("ann", carried(OWNER, 1)))["decision"] is True

    async def test_what_was_answered_degraded_is_not_written_later(self, worlds: Any) -> None:
        """With several waiting, the lock could outlast the deadline of those behind and then still write them."""
        world: World = await worlds(deadline_ms=500)
        with locked(world):
            asked = [asyncio.create_task(world.idp.evaluate("ann", carried(OWNER, number))) for number in range(6)]
            answers = await asyncio.gather(*asked)
        for answer in answers:
            degraded(answer)
        await asyncio.sleep(0.5)
        assert world.counts()["decisions"] == 0
        assert world.counts()["assertions"] == 0

    async def test_a_lock_that_ends_in_time_is_only_a_delay(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        with locked(world):
            asked = asyncio.create_task(world.idp.evaluate("ann", carried(OWNER, 1)))
            await asyncio.sleep(0.1)
        assert (await asked)["decision"] is True

    @pytest.mark.parametrize("table", ["templates", "provenance", "probe_digests", "waiting_batches", "decisions"])
    async def test_a_table_that_cannot_be_read_or_written(self, world: World, table: str) -> None:
        await world.enroll("ann", OWNER)
        page = await world.page()
        hidden = await page.typed(rows_of(OWNER, 1))
        change(world, f"ALTER TABLE {table} RENAME TO elsewhere")
        degraded(await world.idp.evaluate("ann", hidden, attempt=page.attempt))
        change(world, f"ALTER TABLE elsewhere RENAME TO {table}")
        assert world.counts()["decisions"] == 0
        answer = await world.idp.evaluate("ann", hidden, attempt=page.attempt)
        assert answer["decision"] is True

    async def test_other_routes_say_that_storage_failed(self, world: World) -> None:
        page = await world.page()
        answer = await world.idp.evaluate("ann", carried(OWNER, 1))
        with locked(world):
            responses = [
                await page.send(page.batch(rows_of(OWNER, 2))),
                await world.idp.complete(answer["decision_id"], second_factor=True),
                await world.idp.tell("password_changed", "ann"),
                await world.idp.post("/v1/profiles", {"subject": {"id": "ann"}}),
            ]
        assert {(r.status_code, r.json()["error"]) for r in responses} == {(503, "storage_failed")}
        assert (await world.idp.complete(answer["decision_id"], second_factor=True)).json() == {"closed": True}
        assert (await world.idp.profiles("ann"))["password"]["samples"] == 1


class TestFull:
    async def test_a_full_disk_degrades_keeps_nothing_and_recovers(self, tmp_path: Path) -> None:
        """SQLITE_FULL by the page limit of the writer's own connection, through the use cases the routes call."""
        from sidecar.demo.seeding import enroll
        from sidecar.domain.decisions import Attempt
        from sidecar.evaluation.synthetic import probe_of

        settings, _ = make_settings(tmp_path)
        sidecar = build(settings)
        try:
            await enroll(sidecar, "one", "ann", [probe_of(rows_of(OWNER, 100 + n)) for n in range(12)], origin="t")

            def attempt(number: int) -> Attempt:
                return Attempt(
                    "one", settings.idps[0].issuer, "ann", None, "login", "app", f"attempt-{number}", None,
                    (carried(OWNER, number),), None, None, None,
                )  # fmt: skip

            def limit(pages: int) -> Any:
                return sidecar.database.write(
                    lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
                )

            await limit(1)  # SQLite raises it to what the file has
            tables = ("decisions", "uses", "assertions", "probe_digests", "waiting_probes")
            failed = 0
            for number in range(60):
                before = [sidecar.database.read(f"SELECT count(*) FROM {table}") for table in tables]
                try:
                    await sidecar.assessor.assess(attempt(number), ("i", f"jti-{number:05d}", 2_000_000_000), None)
                except StorageFailed:
                    failed += 1
                    assert [sidecar.database.read(f"SELECT count(*) FROM {table}") for table in tables] == before
            assert failed
            assert sidecar.assessor.degraded(attempt(0)).source == "degraded"
            await limit(1_000_000)
            answer = await sidecar.assessor.assess(attempt(1000), ("i", "jti-after", 2_000_000_000), None)
            assert answer.decision_id
            check = sidecar.database.read("PRAGMA integrity_check")
            assert check == [("ok",)]
        finally:
            sidecar.database.close()

    async def test_a_job_that_breaks_does_not_stop_the_writer(self, world: World) -> None:
        def broken(connection: Any) -> None:
            connection.execute("INSERT INTO uses VALUES ('x', 'x', 1)")
            raise RuntimeError("a defect")

        results = await asyncio.gather(
            *(world.inside.database.write(broken) for _ in range(3)),
            world.inside.database.write(lambda connection: connection.execute("INSERT INTO uses VALUES ('y', 'y', 1)")),
            return_exceptions=True,
        )
        assert [type(result) for result in results[:3]] == [RuntimeError] * 3
        assert [row[0] for row in world.rows("uses")] == ["y"]


def change(world: World, sql: str, *values: Any) -> None:
    connection = sqlite3.connect(str(world.path), isolation_level=None)
    connection.execute(sql, values)
    connection.close()


class TestDamaged:
    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
    async def test_a_damaged_template_is_degraded_never_a_score(self, world: World, damage: str) -> None:
        await world.enroll("ann", OWNER)
        await world.enroll("ben", STRANGER)
        sealed = {row[1]: row[-1] for row in world.rows("templates")}
        mine, other = sealed[world.pseudonym("ann")], sealed[world.pseudonym("ben")]
        bad = {
            "flip": mine[:100] + bytes([mine[100] ^ 1]) + mine[101:],
            "cut": mine[:-1],
            "empty": b"",
            "swap": other,
        }[damage]
        change(world, "UPDATE templates SET sealed = ? WHERE subject = ?", bad, world.pseudonym("ann"))
        before = world.counts()
        for person in (OWNER, STRANGER):
            degraded(await world.idp.evaluate("ann", carried(person, 1)))
        assert world.counts() == before
        assert (await world.idp.evaluate("ben", carried(STRANGER, 2)))["decision"] is True

    async def test_a_template_of_a_detector_that_does_not_exist_is_degraded(self, world: World) -> None:
        from dataclasses import replace

        from sidecar.storage.arrays import pack_template
        from sidecar.storage.evidence import template_place

        await world.enroll("ann", OWNER)
        (found,) = await world.inside.profiles.find("one", world.pseudonym("ann"))
        key = found.key
        name = "from-the-future-9"
        strange = pack_template(replace(found.template, detector=name))
        (row,) = world.rows("templates")
        place = template_place(key, name, *row[6:-1])
        sealed = world.inside.keys.seal(key.tenant, key.subject).close(strange, *place)
        change(world, "UPDATE templates SET model = ?, sealed = ?", name, sealed)
        assert (await world.inside.profiles.find("one", key.subject))[0].template.detector == name
        degraded(await world.idp.evaluate("ann", carried(OWNER, 1)))

    async def test_a_damaged_waiting_batch_is_no_evidence(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        page = await world.page()
        hidden = await page.typed(rows_of(OWNER, 1))
        change(world, "UPDATE waiting_batches SET sealed = x'00'")
        answer = await world.idp.evaluate("ann", hidden, attempt=page.attempt)
        assert (answer["action"], (await world.last_body())["facts"]["keystroke.cause"]) == ("step_up", "malformed")

    async def test_a_damaged_sample_teaches_nothing_and_closes_nothing(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        answer = await world.idp.evaluate("ann", carried(OWNER, 1))
        change(world, "UPDATE samples SET sealed = x'00' WHERE number = 3")
        before = world.dump("assertions")
        response = await world.idp.complete(answer["decision_id"], second_factor=True)
        assert (response.status_code, response.json()["error"]) == (503, "seal_broken")
        assert world.dump("assertions") == before

    async def test_a_database_of_a_newer_version_is_not_opened(self, world: World) -> None:
        change(world, "INSERT INTO schema_version VALUES (9999, 'from_the_future', 0)")
        with pytest.raises(StorageFailed, match="newer"):
            build(world.settings)

    async def test_a_file_that_is_no_database_is_not_opened(self, tmp_path: Path) -> None:
        settings, _ = make_settings(tmp_path)
        build(settings).close()
        for name in ("gaitkeeper.db", "keys/user-keys.db"):
            path = settings.data_dir / name
            good = path.read_bytes()
            path.write_bytes(b"x" * 5000)
            with pytest.raises(StorageFailed):
                build(settings)
            path.write_bytes(good)
        (settings.data_dir / "keys" / "user-keys.db").unlink()
        with pytest.raises(ConfigInvalid, match="no key store"):  # never fresh keys beside old data
            build(settings)

    async def test_a_broken_policy_or_detector_name_stops_the_start(self, tmp_path: Path) -> None:
        settings, _ = make_settings(tmp_path)
        (tmp_path / "bad.yaml").write_text("schema: 1")
        with pytest.raises(PolicyInvalid):
            build(settings.model_copy(update={"policy": tmp_path / "bad.yaml"}))
        with pytest.raises(ConfigInvalid):
            build(settings.model_copy(update={"detector": "tea-leaves"}))


POSTS = [
    EVALUATION,
    "/v1/events",
    "/v1/profiles",
    "/v1/decisions/x/completion",
    "/v1/captures",
    "/v1/captures/x/batches",
]


class TestRequests:
    @pytest.mark.parametrize("announced", [True, False])
    @pytest.mark.parametrize("path", POSTS)
    async def test_sec2_ten_megabytes_to_every_route(self, world: World, path: str, announced: bool) -> None:
        read = 0

        async def chunks() -> Any:
            nonlocal read
            for start in range(0, len(TEN_MB), 65536):
                read += 1
                yield TEN_MB[start : start + 65536]

        headers = {"Content-Type": "application/json", "Origin": world.idp.origin, "Authorization": "Bearer a.b.c"}
        response = await world.http.post(path, content=TEN_MB if announced else chunks(), headers=headers)
        assert (response.status_code, response.json()["error"]) == (413, "body_too_large")
        assert read < 10
        assert set(world.counts().values()) == {0}

    async def test_sec2_no_body_is_read_for_an_operator_who_is_not_signed_in(self, worlds: Any) -> None:
        """The form of the operator page was parsed, whatever its size, before anybody asked who sent it."""
        world: World = await worlds(operator=True)
        read = 0

        async def chunks() -> Any:
            nonlocal read
            for start in range(0, len(TEN_MB), 65536):
                read += 1
                yield TEN_MB[start : start + 65536]

        for path in ("/operator/decisions/one/x/end", "/operator/login", "/operator"):
            response = await world.http.post(
                path, content=chunks(), headers={"Content-Type": "application/x-www-form-urlencoded"}
            )
            assert response.status_code in (401, 405)
            assert read < 10

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/", 404, "not_found"),
            ("GET", "/nowhere", 404, "not_found"),
            ("POST", "/v1", 404, "not_found"),
            ("GET", EVALUATION, 405, "method_not_allowed"),
            ("PUT", "/v1/captures", 405, "method_not_allowed"),
            ("GET", "/docs", 404, "not_found"),
            ("GET", "/openapi.json", 404, "not_found"),
            ("GET", "/widget/../main.py", 404, "not_found"),
            ("GET", "/widget/%2e%2e%2fmain.py", 404, "not_found"),
            ("GET", "/widget/gaitkeeper.js.map", 404, "not_found"),
            ("GET", "/operator", 404, "not_found"),
            ("GET", "/.well-known/openid-configuration", 404, "not_found"),
        ],
    )
    async def test_unknown_routes(self, world: World, method: str, path: str, status: int, code: str) -> None:
        response = await world.http.request(method, path)
        assert (response.status_code, response.json()["error"]) == (status, code)
        assert "traceback" not in response.text.lower()

    @pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
    async def test_health_tells_nothing_but_that_it_answers(self, world: World, path: str) -> None:
        response = await world.http.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        with locked(world):
            assert (await world.http.get(path)).status_code == 200

    async def test_the_widget_is_served(self, world: World) -> None:
        response = await world.http.get("/widget/gaitkeeper.js")
        assert response.status_code == 200
        assert response.headers["x-content-type-options"] == "nosniff"

    async def test_a_defect_is_an_internal_error_without_its_text(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The log's traceback used to print every variable on the way: templates, timings, the keyring."""

        @world.app.get("/broken")
        async def broken() -> None:
            local = {"recorded timings": [91.2, 105.7]}
            raise RuntimeError(f"secret detail of {len(local)}")

        response = await world.http.get("/broken")
        assert (response.status_code, response.json()["error"]) == (500, "internal")
        assert "secret" not in response.text
        logged = capsys.readouterr().out
        assert "RuntimeError" in logged
        assert "105.7" not in logged
        assert "PRIVATE KEY" not in logged

    def test_codes_are_stable_and_unlike_each_other(self) -> None:
        def below(kind: type[GaitkeeperError]) -> Iterator[type[GaitkeeperError]]:
            yield kind
            for child in kind.__subclasses__():
                yield from below(child)

        codes = [kind.code for kind in below(GaitkeeperError) if kind.__module__ == "sidecar.errors"]
        assert len(codes) == len(set(codes))


class TestOperatorPage:
    """What the page shows and does; its login through a real provider is tested end to end elsewhere."""

    def cookie(self, world: World, **changed: Any) -> dict[str, str]:
        who = {"name": "Olive", "roles": ["administrator"], "csrf": "right", "until": int(time.time()) + 60} | changed
        signer = itsdangerous.TimestampSigner(world.inside.keyring.cookies)
        signed = signer.sign(base64.b64encode(json.dumps({"operator": who}).encode())).decode()
        return {"Cookie": f"gaitkeeper_operator={signed}"}

    @pytest.mark.parametrize("path", ["/operator", "/operator/rows", "/operator/whoami"])
    async def test_without_a_login_it_is_401(self, worlds: Any, path: str) -> None:
        world: World = await worlds(operator=True)
        await world.idp.evaluate("ann", carried(OWNER, 1))
        forged = base64.b64encode(
            json.dumps({"operator": {"roles": ["administrator"], "until": 9e12}}).encode()
        ).decode()
        for cookie in ({}, {"Cookie": f"gaitkeeper_operator={forged}"}, {"Cookie": f"gaitkeeper_operator={forged}.x.y"},
                       self.cookie(world, until=int(time.time()) - 1)):  # fmt: skip
            response = await world.http.get(path, headers=cookie)
            assert response.status_code == 401
            assert "Name of ann" not in response.text

    async def test_names_are_shown_as_text(self, worlds: Any) -> None:
        world: World = await worlds(operator=True)
        await world.idp.evaluate("<script>alert(1)</script>", carried(OWNER, 1), client="<img src=x onerror=alert(1)>")
        page = await world.http.get("/operator", headers=self.cookie(world))
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "&lt;script&gt;" in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]

    async def test_ending_a_session_needs_an_admin_and_a_form_made_for_them(self, worlds: Any) -> None:
        world: World = await worlds(operator=True)
        answer = await world.idp.login("ann", carried(OWNER, 1), second_factor=True, sid="sid-1")
        path = f"/operator/decisions/one/{answer['decision_id']}/end"

        async def post(cookie: dict[str, str], **form: str) -> int:
            return (await world.http.post(path, data=form, headers=cookie)).status_code

        assert await post({}, csrf="right") == 401
        assert await post(self.cookie(world, roles=["viewer"]), csrf="right") == 403
        for csrf in ("", "wrong", "é", "right "):
            assert await post(self.cookie(world), csrf=csrf) == 403
        assert await post(self.cookie(world), csrf="right", scope="everything") == 403
        assert world.counts()["outbox"] == 0
        other = path.replace("/one/", "/two/")
        assert (await world.http.post(other, data={"csrf": "right"}, headers=self.cookie(world))).status_code == 404
        assert await post(self.cookie(world), csrf="right") == 303
        assert world.counts()["outbox"] == 1
