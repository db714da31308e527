"""What happens to policies in bad weather: the table of docs/policies.md, row by row (POL11, POL12, POL13)."""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.world import Clock, World, make_settings

from sidecar.config import PublishingSettings
from sidecar.domain.decisions import Attempt
from sidecar.errors import PolicyConflict, PolicyInvalid, StorageFailed
from sidecar.main import Sidecar, build
from sidecar.policy.signature import public_pem, sign
from sidecar.ports import Audience, PolicyVersion
from sidecar.shipped import policy_directory
from sidecar.storage.last_good import NAME

pytestmark = pytest.mark.anyio
BALANCED = (policy_directory() / "default.yaml").read_bytes()
LENIENT = (policy_directory() / "observe-only.yaml").read_bytes().replace(b"id: observe-only", b"id: lenient")
STRICT = (policy_directory() / "strict.yaml").read_bytes()


def version(source: bytes, key: Ed25519PrivateKey | None = None, author: str = "ann") -> PolicyVersion:
    signature = sign(source, key).encode() if key else None
    return PolicyVersion(0, "", "candidate.yaml", source, (), signature, author, 0.0, "")


async def name_after_restart(world: World, settings: Any = None) -> str:
    """Start one more sidecar on the same data, as a restart does, and return the policy it begins with."""
    again = build(settings or world.settings, world.clock)
    try:
        await again.policies.refresh()
        return again.policies.enforced.id
    finally:
        again.close()


async def spoil(inside: Sidecar, sql: str, *values: Any) -> None:
    await inside.database.write(lambda connection: connection.execute(sql, values))


@pytest.fixture
async def signed(worlds: Any, tmp_path: Path) -> tuple[World, Ed25519PrivateKey]:
    """A world that takes policies signed by one key, with ``lenient`` enforced."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "signer.pem").write_bytes(public_pem(key))
    world: World = await worlds(publishing=PublishingSettings(keys=(tmp_path / "signer.pem",)))
    await world.inside.publisher.propose(version(LENIENT, key))
    await world.inside.policies.refresh()
    async with asyncio.timeout(10):  # the serving sidecar keeps its memory in the same directory; let it come to rest
        while True:
            await world.idp.evaluate("probe", None)
            if (await world.last_body())["policy"] == "lenient":
                return world, key
            await asyncio.sleep(0.2)


class TestRestart:
    @pytest.mark.parametrize(
        "change",
        ["UPDATE policies SET signature = NULL", "UPDATE policies SET signature = x'00'", "DELETE FROM policies",
         "UPDATE policies SET source = x'00'"],
    )  # fmt: skip
    async def test_pol12_a_version_spoilt_in_the_store_does_not_undo_the_last_good_one(
        self, signed: tuple[World, Ed25519PrivateKey], change: str
    ) -> None:
        world, _ = signed
        await spoil(world.inside, change)
        assert await name_after_restart(world) == "lenient"

    @pytest.mark.parametrize("content", [None, b"", b"{}", b'{"number": 1}', b"\xff"])
    async def test_pol12_without_its_memory_the_configured_file_holds(
        self, signed: tuple[World, Ed25519PrivateKey], content: bytes | None
    ) -> None:
        world, _ = signed
        path = world.settings.data_dir / NAME
        path.unlink() if content is None else path.write_bytes(content)
        await spoil(world.inside, "UPDATE policies SET signature = NULL")
        assert await name_after_restart(world) == "balanced"

    async def test_pol12_whoever_writes_to_the_memory_cannot_loosen_anything(
        self, signed: tuple[World, Ed25519PrivateKey]
    ) -> None:
        """It is checked like a published version: without a good signature it is nothing."""
        world, _ = signed
        memory = world.settings.data_dir / NAME
        forged = memory.read_text().replace('"signature":"', '"signature":"AAAA')
        assert forged != memory.read_text()
        memory.write_text(forged)
        await spoil(world.inside, "UPDATE policies SET signature = NULL")
        assert await name_after_restart(world) == "balanced"

    async def test_pol12_a_rotated_key_needs_the_policy_signed_anew(
        self, signed: tuple[World, Ed25519PrivateKey], tmp_path: Path
    ) -> None:
        world, _ = signed
        fresh = Ed25519PrivateKey.generate()
        (tmp_path / "fresh.pem").write_bytes(public_pem(fresh))
        alone = world.settings.model_copy(update={"publishing": PublishingSettings(keys=(tmp_path / "fresh.pem",))})
        assert await name_after_restart(world, alone) == "balanced"  # the old key's version no longer counts
        both = PublishingSettings(keys=(tmp_path / "signer.pem", tmp_path / "fresh.pem"))
        between = build(world.settings.model_copy(update={"publishing": both}), world.clock)
        try:
            await between.publisher.propose(version(LENIENT, fresh))
        finally:
            between.close()
        assert await name_after_restart(world, alone) == "lenient"

    async def test_pol12_a_refused_version_is_not_compiled_every_second(
        self, signed: tuple[World, Ed25519PrivateKey]
    ) -> None:
        world, _ = signed
        await spoil(world.inside, "UPDATE policies SET signature = NULL")
        again = build(world.settings, world.clock)
        tries = 0

        async def counted(found: PolicyVersion) -> Any:
            nonlocal tries
            tries += 1
            raise PolicyInvalid("refused")

        again.policies.compile = counted
        again.policies.last = None
        try:
            for _ in range(5):
                await again.policies.refresh()
            assert tries == 1
            world.clock.forward(31)
            await again.policies.refresh()
            assert tries == 2
        finally:
            again.close()

    async def test_pol12_a_store_that_is_put_right_is_used_again(self, signed: tuple[World, Ed25519PrivateKey]) -> None:
        """Also where the sidecar fell back to the very version that the store holds."""
        world, _ = signed
        signature = world.inside.database.read("SELECT signature FROM policies")[0][0]
        await spoil(world.inside, "UPDATE policies SET signature = NULL")
        again = build(world.settings, world.clock)
        try:
            await again.policies.refresh()
            assert (again.policies.enforced.id, set(again.policies.refused)) == ("lenient", {"enforced"})
            world.clock.forward(31)
            await again.policies.refresh()
            assert (again.policies.enforced.id, set(again.policies.refused)) == ("lenient", {"enforced"})
            await spoil(world.inside, "UPDATE policies SET signature = ?", signature)
            world.clock.forward(31)
            await again.policies.refresh()
            assert (again.policies.enforced.id, again.policies.refused) == ("lenient", {})
        finally:
            again.close()

    async def test_pol12_a_signed_file_is_read_once(self, tmp_path: Path) -> None:
        """What was verified is what decides: a pipe gives its bytes once, as a file that is changed in between would."""
        key = Ed25519PrivateKey.generate()
        (tmp_path / "signer.pem").write_bytes(public_pem(key))
        pipe = tmp_path / "policy.yaml"
        os.mkfifo(pipe)
        pipe.with_name("policy.yaml.sig").write_text(sign(LENIENT, key))
        writing = asyncio.create_task(asyncio.to_thread(pipe.write_bytes, LENIENT))
        settings = make_settings(tmp_path, policy=pipe, publishing=PublishingSettings(keys=(tmp_path / "signer.pem",)))
        inside = await asyncio.to_thread(build, settings[0])
        await writing
        try:
            assert inside.policies.enforced.id == "lenient"
        finally:
            inside.close()


class TestNoted:
    """What happens to a stored version without anybody doing it is in the audit chain, once."""

    async def kinds(self, world: World) -> list[str]:
        rows = await world.inside.audit.newest("*", 50)
        wanted = ("policy.refused", "policy.fell_back", "policy.emergency_ended")
        return sorted(row.entry.kind for row in rows if row.entry.kind in wanted)

    async def test_pol13_refusal_and_fall_back(self, signed: tuple[World, Ed25519PrivateKey]) -> None:
        world, _ = signed
        await spoil(world.inside, "UPDATE policies SET signature = NULL")
        for _ in range(2):  # two sidecars, or one twice
            assert await name_after_restart(world) == "lenient"
        again = build(world.settings, world.clock)
        try:
            for _ in range(3):
                await again.policies.refresh()
                world.clock.forward(31)
        finally:
            again.close()
        assert await self.kinds(world) == ["policy.fell_back", "policy.refused"]
        assert await world.inside.audit.verify() == []

    async def test_pol13_the_end_of_an_emergency(self, world: World) -> None:
        await world.inside.publisher.break_glass(version(LENIENT), 3600)
        await world.inside.policies.refresh()
        assert await self.kinds(world) == []
        world.clock.forward(3601)
        other = build(world.settings, world.clock)
        try:
            for sidecar in (world.inside, other, world.inside, other):
                await sidecar.policies.refresh()
        finally:
            other.close()
        assert await self.kinds(world) == ["policy.emergency_ended"]

    @pytest.mark.parametrize("ends", [None, 8 * 86_400.0])
    async def test_pol13_an_emergency_without_an_end_in_time_decides_nothing(
        self, world: World, ends: float | None
    ) -> None:
        """Publishing makes none; somebody wrote it into the store."""
        await world.inside.publisher.break_glass(version(LENIENT), 3600)
        await spoil(world.inside, "UPDATE policy_slots SET ends = ?", ends and world.clock() + ends)
        await world.inside.policies.refresh()
        assert world.inside.policies.of("s", None).id == "balanced"
        assert "seven days" in world.inside.policies.refused["emergency"]
        assert await self.kinds(world) == ["policy.refused"]


async def test_pol12_a_degraded_answer_is_of_the_policy_that_is_in_force_for_the_person(world: World) -> None:
    """Emergency and staged ones, too: lenient says allow where state cannot be loaded, balanced asks."""
    assessor = world.inside.assessor
    groups = {"ann": ("pilots",), "ben": ()}

    def degraded(who: str) -> str:
        attempt = Attempt(
            "one", world.settings.idps[0].issuer, who, None, "login", "app", "attempt-1", None, (), None, None, None,
            groups=groups[who],
        )  # fmt: skip
        return str(assessor.degraded(attempt).consequence.action)

    await world.inside.publisher.propose(version(LENIENT), audience=Audience(0.0, ("pilots",)))
    await world.inside.policies.refresh()
    assert (degraded("ann"), degraded("ben")) == ("allow", "step_up")
    await world.inside.publisher.break_glass(version(LENIENT), 3600)
    await world.inside.policies.refresh()
    assert (degraded("ann"), degraded("ben")) == ("allow", "allow")


class TestTogether:
    async def test_pol13_of_two_publishers_one_wins_and_the_losers_decides_for_nobody(self, world: World) -> None:
        other = build(world.settings, world.clock)
        try:
            results = await asyncio.gather(
                world.inside.publisher.propose(version(LENIENT)),
                other.publisher.propose(version(STRICT, author="ben")),
                return_exceptions=True,
            )
        finally:
            other.close()
        won = [result for result in results if not isinstance(result, BaseException)]
        assert {type(result) for result in results} == {tuple, PolicyConflict}
        assert won == [((await world.inside.published.slots())["enforced"].number, "enforced")]
        assert len(await world.inside.published.history(5)) == 2
        assert await world.inside.audit.verify() == []

    async def test_pol12_a_sidecar_that_missed_updates_takes_the_newest(self, world: World) -> None:
        late = build(world.settings, world.clock)
        try:
            await world.inside.publisher.propose(version(LENIENT))
            await late.policies.refresh()
            for source in (STRICT, BALANCED, STRICT):
                await world.inside.publisher.propose(version(source))
            assert late.policies.enforced.id == "lenient"
            assert await late.policies.refresh() is True
            assert late.policies.enforced.id == "strict"
        finally:
            late.close()

    async def test_pol12_a_sidecar_whose_database_is_away_keeps_what_it_has(self, world: World) -> None:
        late = build(world.settings, world.clock)
        try:
            await world.inside.publisher.propose(version(LENIENT))
            await late.policies.refresh()
            real = late.policies.policies

            class Away:
                async def slots(self) -> Any:
                    raise StorageFailed("away")

            late.policies.policies = Away()  # type: ignore[assignment]
            await world.inside.publisher.propose(version(STRICT))
            with pytest.raises(StorageFailed):
                await late.policies.refresh()
            assert late.policies.enforced.id == "lenient"
            late.policies.policies = real
            await late.policies.refresh()
            assert late.policies.enforced.id == "strict"
        finally:
            late.close()


class TestClocks:
    async def test_pol12_an_exception_ends_at_its_moment(self, world: World) -> None:
        ends = datetime.fromtimestamp(world.clock() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rule = f"""rules:
  - id: ask-everybody
    when: {{all: ['client.id != ""']}}
    then: {{action: step_up, factor: webauthn}}
    exceptions:
      - {{id: ann, users: [ann], owner: hr, expires: {ends}}}
"""
        text = LENIENT.decode()
        source = text[: text.index("rules:\n")] + rule + text[text.index("\noutcomes:") :]
        await world.inside.publisher.propose(version(source.encode()))
        await asyncio.sleep(2.5)
        assert (await world.idp.evaluate("ann", None))["action"] == "allow"
        assert (await world.idp.evaluate("ben", None))["factor"] == "webauthn"
        world.clock.forward(3601)
        assert (await world.idp.evaluate("ann", None))["factor"] == "webauthn"

    async def test_pol13_an_emergency_ends_by_each_sidecars_own_clock(self, world: World) -> None:
        behind = Clock()
        behind.offset = -600.0
        other = build(world.settings, behind)
        try:
            await world.inside.publisher.break_glass(version(LENIENT), 3600)
            for sidecar in (world.inside, other):
                await sidecar.policies.refresh()
                assert sidecar.policies.of("s", None).id == "lenient"
            world.clock.forward(3601)
            behind.forward(3601)
            assert world.inside.policies.of("s", None).id == "balanced"
            assert other.policies.of("s", None).id == "lenient"  # ten minutes longer, no more
            behind.forward(600)
            assert other.policies.of("s", None).id == "balanced"
        finally:
            other.close()

    async def test_pol12_publishing_goes_by_numbers_and_not_by_clocks(self, world: World) -> None:
        ahead = Clock()
        ahead.offset = 86_400.0
        other = build(world.settings, ahead)
        try:
            await other.publisher.propose(version(LENIENT))
            await world.inside.publisher.propose(version(STRICT))  # later, though its clock says a day earlier
            for sidecar in (world.inside, other):
                await sidecar.policies.refresh()
                assert sidecar.policies.enforced.id == "strict"
        finally:
            other.close()


async def test_pol11_a_login_under_a_storm_is_decided_by_one_whole_policy(world: World) -> None:
    """Lenient and strict in turns: what is recorded of each login fits the policy that it names."""

    async def storm() -> None:
        for number in range(5):
            await world.inside.publisher.propose(
                replace(version(STRICT if number % 2 else LENIENT), author=f"a{number}")
            )
            await asyncio.sleep(1.1)

    async def logins() -> set[tuple[str, str]]:
        seen = set()
        for number in range(80):
            answer = await world.idp.evaluate(f"u{number}", None)
            seen.add(((await world.last_body())["policy"], answer["action"]))
            await asyncio.sleep(0.05)
        return seen

    _, seen = await asyncio.gather(storm(), logins())
    assert seen <= {("balanced", "step_up"), ("lenient", "allow"), ("strict", "step_up")}
    assert len(seen) == 3
