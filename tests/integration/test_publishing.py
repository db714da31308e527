"""How a policy comes into force and goes again: over real stores, with a running sidecar that reloads (POL11, POL12)."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.world import World, carried

from sidecar.config import PublishingSettings
from sidecar.errors import BadRequest, Forbidden, NotFound, PolicyConflict, PolicyInvalid
from sidecar.main import Sidecar
from sidecar.policy.signature import public_pem, sign
from sidecar.ports import Audience, PolicyVersion
from sidecar.shipped import policy_directory
from sidecar.usecases.in_force import meant
from sidecar.usecases.publish import FEWEST_PEOPLE, audience, whom

pytestmark = pytest.mark.anyio
OWNER = 7
BALANCED = (policy_directory() / "default.yaml").read_bytes()
TESTS = (policy_directory() / "default.test.yaml").read_text()
# Lets everybody in, whatever behaviour says: easy to tell from the shipped one.
LENIENT = BALANCED.replace(b"id: balanced", b"id: lenient").replace(b"no_capture: step_up", b"no_capture: allow")


def version(source: bytes = LENIENT, author: str = "ann", **changed: Any) -> PolicyVersion:
    return replace(PolicyVersion(0, "", "candidate.yaml", source, (), None, author, 0.0, "a note"), **changed)


@pytest.fixture
async def inside(world: World) -> Sidecar:
    return world.inside


async def settled(world: World, expected: str, seconds: float = 10.0) -> None:
    """Wait until the serving sidecar decides by the expected policy."""
    async with asyncio.timeout(seconds):
        while True:
            await world.idp.evaluate("probe", None)
            if (await world.last_body())["policy"] == expected:
                return
            await asyncio.sleep(0.2)


async def kinds(inside: Sidecar) -> list[str]:
    rows = await inside.audit.newest("*", 50)
    return [row.entry.kind for row in rows if row.entry.kind.startswith("policy.")]


class TestEnforcing:
    async def test_pol11_a_published_policy_decides_at_a_serving_sidecar_without_a_restart(self, world: World) -> None:
        assert (await world.idp.evaluate("ann", None))["action"] == "step_up"
        number, slot = await world.inside.publisher.propose(version())
        assert slot == "enforced"
        await settled(world, "lenient")
        assert (await world.idp.evaluate("ann", None))["action"] == "allow"
        assert (await kinds(world.inside))[:2] == ["policy.enforced", "policy.checked"]
        assert [found.number for found in await world.inside.published.history(5)] == [number]

    async def test_pol11_it_survives_a_restart(self, worlds: Any) -> None:
        first: World = await worlds()
        await first.inside.publisher.propose(version())
        again: World = await worlds(clock=first.clock)
        again.idp.made = 500
        await again.idp.evaluate("ann", None)
        assert (await again.last_body())["policy"] == "lenient"

    @pytest.mark.parametrize(
        "source",
        [
            b"schema: 1",
            BALANCED.replace(b"keystroke.outcome ==", b"keystroke.outcomes =="),
            BALANCED.replace(b"outcomes:", b"outcomes: &a"),
            b"\xff\xfe",
            b"x: " + b"[" * 100_000,
            b"",
        ],
    )
    async def test_pol1_what_does_not_compile_changes_nothing(self, world: World, source: bytes) -> None:
        with pytest.raises(PolicyInvalid):
            await world.inside.publisher.propose(version(source))
        assert await world.inside.published.history(5) == []
        assert await world.inside.published.slots() == {}
        assert (await world.idp.evaluate("ann", None))["action"] == "step_up"

    async def test_pol7_what_fails_its_own_tests_changes_nothing(self, world: World) -> None:
        with pytest.raises(PolicyInvalid, match=r"default\.test\.yaml"):
            await world.inside.publisher.propose(version(tests=(("default.test.yaml", TESTS),)))
        assert await world.inside.published.history(5) == []
        good = version(BALANCED, tests=(("default.test.yaml", TESTS),))
        assert (await world.inside.publisher.propose(good))[1] == "enforced"

    async def test_pol12_two_publishers_at_once_one_wins_and_the_other_is_told(self, world: World) -> None:
        seen = await world.inside.published.slots()
        first, _ = await world.inside.publisher.propose(version())
        slot = (await world.inside.published.slots())["enforced"]
        from sidecar.ports import AuditEntry

        entry = AuditEntry("*", "policy.enforced", "ben", "", {}, world.clock())
        with pytest.raises(PolicyConflict):
            await world.inside.published.move(seen, {"enforced": slot}, entry)
        results = await asyncio.gather(
            *(world.inside.publisher.propose(version(author=f"p{n}")) for n in range(4)), return_exceptions=True
        )
        assert all(isinstance(result, tuple | PolicyConflict) for result in results)
        assert any(isinstance(result, tuple) for result in results)
        assert (await world.inside.published.slots())["enforced"].number > first
        assert await world.inside.audit.verify() == []


class TestStaging:
    async def test_pol12_a_share_of_people_and_always_the_same_ones(self) -> None:
        people = [f"subject {n}" for n in range(4000)]
        for percent in (0.0, 10.0, 50.0, 100.0):
            share = sum(meant(Audience(percent), "digest", who, None) for who in people) / len(people)
            assert abs(share - percent / 100) < 0.03
        ten = {who for who in people if meant(Audience(10.0), "digest", who, None)}
        half = {who for who in people if meant(Audience(50.0), "digest", who, None)}
        assert ten <= half  # a larger share is more people, not others
        assert ten != {who for who in people if meant(Audience(10.0), "another", who, None)}

    async def test_pol12_by_group_then_for_everybody(self, world: World) -> None:
        number, slot = await world.inside.publisher.propose(version(), audience=Audience(0.0, ("pilots",)))
        assert slot == "staged"
        await world.inside.policies.refresh()
        chosen = world.inside.policies.of
        assert (chosen("s", ("pilots", "x")).id, chosen("s", ("x",)).id, chosen("s", None).id) == (
            "lenient",
            "balanced",
            "balanced",
        )
        assert await world.inside.publisher.enforce_staged("ben") == number
        await settled(world, "lenient")
        assert "staged" not in await world.inside.published.slots()

    @pytest.mark.parametrize(
        ("percent", "groups", "meant", "words"),
        [
            (None, (), Audience(), "everybody"),
            (None, ("pilots",), Audience(0.0, ("pilots",)), "the group pilots"),
            (10.0, ("a", "b", "a"), Audience(10.0, ("a", "b")), "10% of people and the groups a, b"),
            (2.5, (), Audience(2.5), "2.5% of people"),
            (100.0, (), Audience(), "everybody"),
        ],
    )
    def test_pol12_a_group_alone_is_that_group_and_nobody_else(
        self, percent: float | None, groups: tuple[str, ...], meant: Audience, words: str
    ) -> None:
        assert audience(percent, groups) == meant
        assert whom(meant) == words

    @pytest.mark.parametrize(("percent", "groups"), [(100.0, ("pilots",)), (0.0, ())])
    def test_pol12_an_audience_that_says_nothing_is_refused(self, percent: float, groups: tuple[str, ...]) -> None:
        with pytest.raises(BadRequest):
            audience(percent, groups)

    async def test_pol12_withdrawn_it_decides_for_nobody(self, world: World) -> None:
        await world.inside.publisher.propose(version(), audience=Audience(0.0, ("pilots",)))
        await world.inside.publisher.withdraw("staged", "ben")
        await world.inside.policies.refresh()
        assert world.inside.policies.of("s", ("pilots",)).id == "balanced"
        with pytest.raises(NotFound):
            await world.inside.publisher.withdraw("staged", "ben")
        with pytest.raises(NotFound):
            await world.inside.publisher.withdraw("enforced", "ben")


class TestFourEyes:
    @pytest.fixture
    async def careful(self, worlds: Any) -> World:
        world: World = await worlds(publishing=PublishingSettings(four_eyes=True))
        return world

    async def test_pol12_the_author_cannot_approve_and_nothing_changes_before_somebody_else_does(
        self, careful: World
    ) -> None:
        publisher = careful.inside.publisher
        number, slot = await publisher.propose(version())
        assert slot == "proposed"
        await careful.inside.policies.refresh()
        assert careful.inside.policies.enforced.id == "balanced"
        with pytest.raises(Forbidden):
            await publisher.approve(number, "ann")
        with pytest.raises(NotFound):
            await publisher.approve(number + 1, "ben")
        assert await publisher.approve(number, "ben") == "enforced"
        assert (await careful.inside.published.slots())["enforced"].approver == "ben"
        with pytest.raises(NotFound):
            await publisher.approve(number, "ben")

    async def test_pol12_breaking_the_glass_needs_one_and_ends_by_itself(self, careful: World) -> None:
        await careful.inside.publisher.break_glass(version(), 3600)
        await settled(careful, "lenient")
        careful.clock.forward(3601)
        await settled(careful, "balanced")
        assert "policy.emergency" in await kinds(careful.inside)
        for seconds in (0, -1, 8 * 86_400):
            with pytest.raises(PolicyInvalid):
                await careful.inside.publisher.break_glass(version(), seconds)


class TestSignatures:
    async def signed_world(self, worlds: Any, tmp_path: Path) -> tuple[World, Ed25519PrivateKey]:
        key = Ed25519PrivateKey.generate()
        (tmp_path / "signer.pem").write_bytes(public_pem(key))
        world: World = await worlds(publishing=PublishingSettings(keys=(tmp_path / "signer.pem",)))
        return world, key

    async def test_pol9_stripped_foreign_and_stale_signatures_are_refused(self, worlds: Any, tmp_path: Path) -> None:
        world, key = await self.signed_world(worlds, tmp_path)
        good, other = sign(LENIENT, key).encode(), sign(LENIENT, Ed25519PrivateKey.generate()).encode()
        stale = sign(BALANCED, key).encode()
        for signature in (None, b"", other, stale, good[:-3]):
            with pytest.raises(PolicyInvalid):
                await world.inside.publisher.propose(version(signature=signature))
        assert await world.inside.published.slots() == {}
        assert (await world.inside.publisher.propose(version(signature=good)))[1] == "enforced"

    async def test_pol9_a_rotated_key_keeps_the_last_good_policy_in_force(self, worlds: Any, tmp_path: Path) -> None:
        world, key = await self.signed_world(worlds, tmp_path)
        await world.inside.publisher.propose(version(signature=sign(LENIENT, key).encode()))
        await settled(world, "lenient")
        # Somebody writes into the store a version that no configured key has signed.
        change = "UPDATE policies SET signature = NULL, source = ?"
        await world.inside.database.write(lambda connection: connection.execute(change, (BALANCED,)))
        world.inside.policies.placed.clear()
        assert await world.inside.policies.refresh() is True  # as at a restart: with what was enforced last
        assert world.inside.policies.enforced.id == "lenient"
        assert "not signed" in world.inside.policies.refused["enforced"]
        await asyncio.sleep(2.5)
        await world.idp.evaluate("ann", None)
        assert (await world.last_body())["policy"] == "lenient"


class TestGoingBack:
    async def people(self, world: World, digest: str, ready: int, passed: int) -> None:
        from sidecar.storage.policies import note_fare

        def job(connection: Any) -> None:
            for number in range(ready):
                who = hashlib.sha256(str(number).encode()).hexdigest()
                note_fare(connection, digest, "one", who, number < passed, world.clock())

        await world.inside.database.write(job)

    async def enforced_with_band(self, world: World, band: float) -> str:
        await world.inside.publisher.propose(version(BALANCED))
        await world.inside.publisher.propose(version(LENIENT), band=band)
        return (await world.inside.published.history(1))[0].digest

    async def test_pol12_outside_its_band_a_policy_goes_back_by_itself(self, world: World) -> None:
        digest = await self.enforced_with_band(world, 0.1)
        await self.people(world, digest, 100, 11)
        assert await world.inside.publisher.watch() is not None
        slots = await world.inside.published.slots()
        version_ = await world.inside.published.version(slots["enforced"].number)
        assert version_
        assert version_.name == "balanced"
        assert (await kinds(world.inside))[0] == "policy.rolled_back"
        assert await world.inside.publisher.watch() is None

    @pytest.mark.parametrize(("ready", "passed"), [(100, 10), (FEWEST_PEOPLE - 1, FEWEST_PEOPLE - 1), (0, 0)])
    async def test_pol12_inside_its_band_or_with_too_few_people_it_stays(
        self, world: World, ready: int, passed: int
    ) -> None:
        digest = await self.enforced_with_band(world, 0.1)
        await self.people(world, digest, ready, passed)
        assert await world.inside.publisher.watch() is None

    async def test_pol12_an_attack_cannot_loosen_a_policy(self, world: World) -> None:
        """Strangers who are challenged and do not pass count for nothing, however many they are."""
        digest = await self.enforced_with_band(world, 0.1)
        await world.enroll("ann", OWNER)
        for number in range(60):
            answer = await world.idp.evaluate("ann", carried(18, number))
            await world.idp.complete(answer["decision_id"], "abandoned")
        assert await world.inside.published.fares(digest, 0.0) == (0, 0)
        assert await world.inside.publisher.watch() is None

    async def test_pol12_one_person_counts_once_however_often_they_sign_in(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        await world.inside.publisher.propose(version(BALANCED))
        await settled(world, "balanced")
        digest = (await world.inside.published.history(1))[0].digest
        for number in range(3):
            await world.idp.login("ann", carried(OWNER, number), second_factor=False)
        await world.idp.login("ann", carried(18, 1), second_factor=True)
        assert await world.inside.published.fares(digest, 0.0) == (1, 1)

    async def test_pol12_restoring_and_rolling_back_are_in_the_history(self, world: World) -> None:
        await world.inside.publisher.propose(version(BALANCED))
        await world.inside.publisher.propose(version(LENIENT))
        back = await world.inside.publisher.roll_back("ben", "too many calls")
        found = await world.inside.published.version(back)
        assert found
        assert found.source == BALANCED
        with pytest.raises(NotFound):
            await world.inside.publisher.roll_back("ben", "again")
        assert await world.inside.audit.verify() == []


class TestReloadStorm:
    async def test_pol12_reloads_under_load_answer_every_login(self, world: World) -> None:
        async def storm() -> None:
            for number in range(6):
                await world.inside.publisher.propose(version(LENIENT if number % 2 else BALANCED, author=f"a{number}"))

        async def logins() -> list[str]:
            return [(await world.idp.evaluate(f"u{n}", None))["source"] for n in range(60)]

        _, sources = await asyncio.gather(storm(), logins())
        assert set(sources) == {"scored"}
