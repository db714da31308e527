"""The second place of the audit chains, what only it can tell, and what retention may take away (SEC7)."""

import asyncio
import json
import resource
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pysqlite3.dbapi2 import connect
from support.postgres import Server
from support.sockets import served
from support.world import Clock, World, carried, make_settings

from sidecar.administration import audit as commands
from sidecar.config import AuditSettings, KeySettings, RetentionSettings, Settings
from sidecar.errors import BadRequest, DeliveryFailed, StorageFailed
from sidecar.main import Sidecar, build
from sidecar.masters import Masters
from sidecar.ports import AuditEntry
from sidecar.storage.chain import Checkpoint
from sidecar.storage.witness import Witness, line, parse

pytestmark = pytest.mark.anyio
DAY = 86_400.0
NOW = 1_800_000_000.0


@dataclass
class Collector:
    """Somebody else's web server: answers as it is told, and keeps what it got."""

    url: str
    answers: list[int] = field(default_factory=list)
    got: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status = self.answers.pop(0) if self.answers else 204
        if status < 300:
            self.got.append((dict(scope["headers"])[b"content-type"].decode(), body.decode()))
        headers = [(b"location", b"/elsewhere")] if 300 <= status < 400 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def collecting() -> AbstractAsyncContextManager[Collector]:
    return served(lambda url: Collector(f"{url}/audit"))


@pytest.fixture(params=["sqlite", "postgresql"])
def inside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sidecar]:
    settings, _ = make_settings(tmp_path)
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres_server")
        name = f"witness_{abs(hash(request.node.name)):x}"
        keys = KeySettings(store=server.database(f"{name}_keys"))
        settings = settings.model_copy(update={"database": server.database(name), "keys": keys})
        Masters.init(Path(settings.master.partition(":")[2]))
    made = build(settings, Clock())
    yield made
    made.close()


async def grown(inside: Sidecar, count: int, at: float = NOW, tenant: str = "one") -> None:
    await inside.audit.add([AuditEntry(tenant, "test", "test", "", {"n": str(n)}, at + n) for n in range(count)])


async def changed(inside: Sidecar, sql: str, *values: Any) -> None:
    await inside.database.write(lambda connection: connection.execute(sql, values))


class TestFile:
    async def test_sec7_a_sidecar_that_runs_writes_signed_lines(self, tmp_path: Path) -> None:
        where = tmp_path / "witness.log"
        audit = AuditSettings(witness=f"file:{where}", checkpoint_seconds=0.1)
        async with World.running(tmp_path, audit=audit) as world:
            await world.idp.evaluate("ann", carried(7, 1))
            await asyncio.sleep(0.5)
            found = parse(where.read_text())
            assert {point.tenant for point in found} == {"one", "*"}
            await world.idp.evaluate("ann", carried(7, 2))
        assert max(point.number for point in parse(where.read_text()) if point.tenant == "one") == 2  # the end, too
        verified = await asyncio.to_thread(commands.verify, world.settings, where, None)
        assert verified == ([], {"one": 2, "*": 1})

    async def test_a_second_place_that_is_gone_does_not_keep_the_sidecar_from_ending(self, tmp_path: Path) -> None:
        audit = AuditSettings(witness=f"file:{tmp_path / 'nowhere' / 'log'}")
        async with World.running(tmp_path, audit=audit) as world:
            await world.idp.evaluate("ann", carried(7, 1))
        assert [row[3] for row in world.rows("audit") if row[0] == "one"] == ["decision"]

    async def test_lines_that_were_not_delivered_are_sent_again(self, inside: Sidecar, tmp_path: Path) -> None:
        missing = tmp_path / "not" / "yet" / "there"
        async with httpx.AsyncClient() as http:
            witness = Witness(f"file:{missing}", http)
            await grown(inside, 3)
            await inside.audit.checkpoint(NOW)
            with pytest.raises(DeliveryFailed):
                await witness.deliver(inside.audit)
            missing.parent.mkdir(parents=True)
            await grown(inside, 2)
            await inside.audit.checkpoint(NOW + 1)
            assert await witness.deliver(inside.audit) == 2
            assert await witness.deliver(inside.audit) == 0
        assert [point.number for point in parse(missing.read_text())] == [3, 5]

    async def test_half_a_line_does_not_spoil_the_one_that_is_sent_again(self, inside: Sidecar, tmp_path: Path) -> None:
        """A full disk takes a part of what is written; the rest, sent later, was one unreadable line with it."""
        where = tmp_path / "witness.log"
        async with httpx.AsyncClient() as http:
            witness = Witness(f"file:{where}", http)
            await grown(inside, 1)
            await inside.audit.checkpoint(NOW)
            with files_end_at(40), pytest.raises(DeliveryFailed):
                await witness.deliver(inside.audit)
            assert await witness.deliver(inside.audit) == 1
        assert [point.number for point in parse(where.read_text())] == [1]

    async def test_a_device_that_is_full_is_a_failure(self, inside: Sidecar) -> None:
        async with httpx.AsyncClient() as http:
            await grown(inside, 1)
            await inside.audit.checkpoint(NOW)
            with pytest.raises(DeliveryFailed):
                await Witness("file:/dev/full", http).deliver(inside.audit)
        assert len(await inside.audit.unsent()) == 1


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let the kernel write so many bytes into any file and no more, as where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestWeb:
    @pytest.mark.parametrize("status", [500, 429, 302, 404])
    async def test_lines_are_posted_and_sent_again_after_a_failure(self, inside: Sidecar, status: int) -> None:
        async with collecting() as collector, httpx.AsyncClient() as http:
            collector.answers = [status]
            witness = Witness(collector.url, http)
            for tenant in ("one", "two"):
                await grown(inside, 2, tenant=tenant)
            await inside.audit.checkpoint(NOW)
            with pytest.raises(DeliveryFailed):
                await witness.deliver(inside.audit)
            assert collector.got == []
            assert await witness.deliver(inside.audit) == 2
        ((kind, text),) = collector.got
        assert kind == "application/x-ndjson"
        assert [json.loads(row)["gaitkeeper_audit_checkpoint"] for row in text.splitlines()] == [1, 1]
        assert {(point.tenant, point.number) for point in parse(text)} == {("one", 2), ("two", 2)}
        assert await inside.audit.verify(parse(text)) == []

    async def test_a_server_that_is_not_there_is_a_failure_and_nothing_is_lost(self, inside: Sidecar) -> None:
        await grown(inside, 1)
        await inside.audit.checkpoint(NOW)
        async with httpx.AsyncClient() as http:
            with pytest.raises(DeliveryFailed):
                await Witness("http://127.0.0.1:1/audit", http).deliver(inside.audit)
        assert len(await inside.audit.unsent()) == 1

    async def test_a_long_backlog_goes_in_parts(self, inside: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second place that is set up late gets what was signed before it; not all in one body."""
        monkeypatch.setattr("sidecar.storage.audit.MOST_UNSENT", 4)
        async with collecting() as collector, httpx.AsyncClient() as http:
            for number in range(10):
                await grown(inside, 1)
                await inside.audit.checkpoint(NOW + number)
            witness = Witness(collector.url, http)
            assert [await witness.deliver(inside.audit) for _ in range(4)] == [4, 4, 2, 0]
        assert [point.number for _, text in collector.got for point in parse(text)] == list(range(1, 11))


class TestSyslog:
    async def test_lines_are_datagrams_that_parse(self, inside: Sidecar) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
            daemon.bind(("127.0.0.1", 0))
            daemon.settimeout(5)
            async with httpx.AsyncClient() as http:
                witness = Witness(f"syslog:127.0.0.1:{daemon.getsockname()[1]}", http)
                for tenant in ("one", "two"):
                    await grown(inside, 2, tenant=tenant)
                await inside.audit.checkpoint(NOW)
                assert await witness.deliver(inside.audit) == 2
                witness.close()
            got = [daemon.recv(4096).decode() for _ in range(2)]
        assert all(text.startswith("<14>gaitkeeper-audit: {") and text.endswith("}") for text in got)
        written = "\n".join(f"Nov 21 17:00:00 host {text.removeprefix('<14>')}#000" for text in got)  # as daemons write
        assert await inside.audit.verify(parse(written)) == []
        assert {point.tenant for point in parse("\n".join(got))} == {"one", "two"}

    async def test_a_socket_that_comes_later_gets_what_was_not_sent(self, inside: Sidecar, tmp_path: Path) -> None:
        where = tmp_path / "log"
        await grown(inside, 1)
        await inside.audit.checkpoint(NOW)
        async with httpx.AsyncClient() as http:
            witness = Witness(f"syslog:{where}", http)
            with pytest.raises(DeliveryFailed):
                await witness.deliver(inside.audit)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
                daemon.bind(str(where))
                daemon.settimeout(5)
                assert await witness.deliver(inside.audit) == 1
                assert [point.number for point in parse(daemon.recv(4096).decode())] == [1]
            witness.close()


def test_only_lines_that_name_themselves_checkpoints_are_read() -> None:
    point = Checkpoint("one", 1, "h", 1.5, "k", "s")
    assert parse(f"nothing\n{line(point)}\n\n{{}}\nprefix: {line(point)} suffix") == [point, point]
    for broken in (line(point)[:-5], line(point).replace('"number": 1', '"number": "x"')):
        with pytest.raises(BadRequest, match="line 1"):
            parse(broken)


class TestTruncation:
    async def seen(self, inside: Sidecar) -> list[Checkpoint]:
        """Ten rows, signed at five and ten; the second place has both."""
        for number in (1, 2):
            await grown(inside, 5)
            await inside.audit.checkpoint(NOW + number)
        points = await inside.audit.unsent()
        assert [point.number for point in points] == [5, 10]
        return parse("\n".join(line(point) for point in points))

    async def test_sec7_an_end_cut_off_with_its_checkpoint_is_known_to_the_second_place(self, inside: Sidecar) -> None:
        points = await self.seen(inside)
        await changed(inside, "DELETE FROM audit WHERE number > 5")
        assert [fault.number for fault in await inside.audit.verify()] != []  # the checkpoint knows
        await changed(inside, "DELETE FROM audit_checkpoints WHERE number > 5")
        assert any("second place knows 10 rows" in fault.what for fault in await inside.audit.verify(points))
        await grown(inside, 9, NOW + 60)  # growing past it hides nothing
        assert any("second place knows" in fault.what for fault in await inside.audit.verify(points))

    async def test_sec7_a_chain_made_anew_is_known_to_the_second_place(self, inside: Sidecar) -> None:
        points = await self.seen(inside)
        for table in ("audit", "audit_checkpoints"):
            await changed(inside, f"DELETE FROM {table}")
        assert await inside.audit.verify(points)
        await grown(inside, 12, NOW + 60)
        assert any("second place knows" in fault.what for fault in await inside.audit.verify(points))


class TestRetention:
    async def aged(self, inside: Sidecar) -> None:
        """Three times four rows, a hundred days apart, each signed at its end."""
        for number in range(3):
            await grown(inside, 4, NOW + number * 100 * DAY)
            await inside.audit.checkpoint(NOW + number * 100 * DAY + 60)

    @pytest.mark.parametrize(("days", "left"), [(-1, 12), (50, 8), (150, 4), (250, 0)])
    async def test_sec7_only_prefixes_that_end_at_a_checkpoint_go_and_the_rest_verifies(
        self, inside: Sidecar, days: float, left: int
    ) -> None:
        await self.aged(inside)
        seen = await inside.audit.unsent()
        assert await inside.audit.prune(NOW + days * DAY) == 12 - left
        assert await inside.audit.prune(NOW + days * DAY) == 0
        assert len(await inside.audit.entries("one", 0, 100)) == left
        assert await inside.audit.verify() == []
        assert await inside.audit.verify(seen) == []
        await grown(inside, 2)
        rows = await inside.audit.entries("one", 0, 100)
        assert rows[-1].number == 14  # numbers go on, whatever is gone
        await inside.audit.checkpoint(NOW + 300 * DAY)
        assert await inside.audit.verify(seen) == []

    async def test_rows_that_nobody_signed_stay(self, inside: Sidecar) -> None:
        await grown(inside, 4)
        assert await inside.audit.prune(NOW + 1000 * DAY) == 0

    async def test_sec7_a_prefix_that_somebody_else_removed_is_found(self, inside: Sidecar) -> None:
        """It ended at a signed checkpoint, as what retention removes does, and was not missed."""
        await self.aged(inside)
        await changed(inside, "DELETE FROM audit WHERE number <= 4")
        await changed(inside, "DELETE FROM audit_checkpoints WHERE number < 4")
        assert [fault.number for fault in await inside.audit.verify()] != []
        await changed(inside, "DELETE FROM audit")
        assert await inside.audit.verify()

    async def test_sec7_a_checkpoint_that_does_not_hold_ends_no_prefix(self, inside: Sidecar) -> None:
        """One that was written by hand, with an old date, had retention remove everything before it."""
        await self.aged(inside)
        await changed(inside, "UPDATE audit_checkpoints SET at = ? WHERE number = 12", NOW)
        assert await inside.audit.prune(NOW + 50 * DAY) == 4
        assert [fault.what for fault in await inside.audit.verify()] == ["the signature of a checkpoint does not hold"]

    async def test_a_sidecar_that_runs_prunes_by_its_settings(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr("sidecar.main.RETIRE_SECONDS", 0.2)
        clock = Clock()
        audit = AuditSettings(checkpoint_seconds=0.1)
        retention = RetentionSettings(audit_days=10)
        async with World.running(tmp_path, clock=clock, audit=audit, retention=retention) as world:
            await world.idp.evaluate("ann", carried(7, 1))
            await asyncio.sleep(0.4)
            clock.forward(11 * DAY)
            await asyncio.sleep(0.6)
            assert [row for row in world.rows("audit") if row[3] == "decision"] == []
            await world.idp.evaluate("ann", carried(7, 2))
        assert (await asyncio.to_thread(commands.verify, world.settings, None, None))[0] == []


ODD = {
    "another spelling of the same details": "UPDATE audit SET details = ' ' || details WHERE number = 2",
    "a name twice": """UPDATE audit SET details = '{"n":"0",' || substr(details, 2) WHERE number = 2""",
    "details that are a list": "UPDATE audit SET details = '[]' WHERE number = 2",
    "details that are nothing": "UPDATE audit SET details = '' WHERE number = 2",
    "a time that is a word": "UPDATE audit SET at = 'noon' WHERE number = 2",
    "a number that is a word": "UPDATE audit SET number = 'two' WHERE number = 2",
    "a hash that is bytes": "UPDATE audit SET hash = x'00' WHERE number = 2",
    "a checkpoint's number that is a word": "UPDATE audit_checkpoints SET number = 'three'",
    "a checkpoint's signature that is bytes": "UPDATE audit_checkpoints SET signature = x'00'",
    "a checkpoint's signature that is nothing": "UPDATE audit_checkpoints SET signature = ''",
    "text that is none": "UPDATE audit SET actor = CAST(x'ff' AS TEXT) WHERE number = 2",
}


@pytest.mark.parametrize("name", list(ODD))
async def test_sec7_odd_values_in_the_file_are_a_fault_or_refused_never_overlooked(tmp_path: Path, name: str) -> None:
    settings: Settings = make_settings(tmp_path)[0]
    inside = build(settings)
    try:
        await grown(inside, 3)
        await inside.audit.checkpoint(NOW)
        connection = connect(str(settings.data_dir / "gaitkeeper.db"), isolation_level=None)
        connection.execute(ODD[name])
        connection.close()
        try:
            assert await inside.audit.verify()
        except StorageFailed as refused:
            assert "audit chain one" in refused.message or "read failed" in refused.message
    finally:
        inside.close()


async def test_verifying_a_long_chain_does_not_hold_up_logins(tmp_path: Path) -> None:
    """It walked the whole chain on the event loop: an auditor could stop every login for as long as that took."""
    async with World.running(tmp_path, deadline_ms=10_000) as world:
        for _ in range(10):
            await grown(world.inside, 3000)
        verifying = asyncio.create_task(world.inside.audit.verify())
        await asyncio.sleep(0.05)
        answer = await world.idp.evaluate("ann", carried(7, 1))
        assert answer["source"] == "scored"
        assert not verifying.done()
        assert await verifying == []
