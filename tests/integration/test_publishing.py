"""How a policy comes into force and goes again: over real stores, with a running sidecar that reloads (POL11, POL12)."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.world import World, carried

from sidecar.config import ClientSettings, PublishingSettings
from sidecar.errors import BadRequest, Forbidden, NotFound, PolicyConflict, PolicyInvalid
from sidecar.main import Sidecar
from sidecar.policy.signature import public_pem, sign
from sidecar.ports import CONFIGURED_FILE, Audience, AuditEntry, Fare, PolicySlot, PolicyVersion, SlotName
from sidecar.shipped import policy_directory
from sidecar.storage.policies import note_fare
from sidecar.usecases.in_force import meant
from sidecar.usecases.publish import EVERYBODY, FEWEST_PEOPLE, audience, out_of_band, whom

pytestmark = pytest.mark.anyio
OWNER = 7
BALANCED = (policy_directory() / "default.yaml").read_bytes()
TESTS = (policy_directory() / "default.test.yaml").read_text()
# Lets everybody in, whatever behaviour says: easy to tell from the shipped one.
ASKS_EVERYBODY = BALANCED.replace(b"id: balanced", b"id: asks-everybody").replace(
    b"  match: allow", b"  match: step_up"
)
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
        assert sorted(type(result).__name__ for result in results) == ["PolicyConflict"] * 3 + ["tuple"]
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
        assert await world.inside.publisher.enforce_staged("ben") == (number, "enforced")
        await settled(world, "lenient")
        assert "staged" not in await world.inside.published.slots()

    @pytest.mark.parametrize(
        ("percent", "groups", "meant", "words"),
        [
            (None, (), Audience(), "everybody"),
            (None, ("pilots",), Audience(0.0, ("pilots",)), "the group pilots"),
            (10.0, ("b", "a", "b"), Audience(10.0, ("a", "b")), "10% of people and the groups a, b"),
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
            await publisher.approve(number, "ann", EVERYBODY)
        with pytest.raises(NotFound):
            await publisher.approve(number + 1, "ben", EVERYBODY)
        assert await publisher.approve(number, "ben", EVERYBODY) == "enforced"
        assert (await careful.inside.published.slots())["enforced"].approver == "ben"
        with pytest.raises(NotFound):
            await publisher.approve(number, "ben", EVERYBODY)

    async def test_pol12_an_approval_is_for_an_audience_and_a_larger_one_is_approved_anew(self, careful: World) -> None:
        publisher = careful.inside.publisher
        number, _ = await publisher.propose(version(), audience=Audience(1.0))
        for larger in (EVERYBODY, Audience(2.0), Audience(1.0, ("pilots",))):
            with pytest.raises(PolicyConflict, match="proposed for 1% of people"):
                await publisher.approve(number, "ben", larger)
        assert await publisher.approve(number, "ben", Audience(1.0)) == "staged"
        assert await publisher.enforce_staged("ann") == (number, "proposed")
        assert set(await careful.inside.published.slots()) == {"staged", "proposed"}
        with pytest.raises(Forbidden):
            await publisher.approve(number, "ann", EVERYBODY)
        assert await publisher.approve(number, "ben", EVERYBODY) == "enforced"
        assert "staged" not in await careful.inside.published.slots()

    async def test_pol12_names_of_the_page_and_of_the_command_line_are_not_compared(self, careful: World) -> None:
        """One person has a name on each, and nothing can tell whether two of them are one."""
        publisher = careful.inside.publisher
        for author, approver in (("command line (ann)", "Ann"), ("Ann", "command line (ann)")):
            number, _ = await publisher.propose(version(author=author))
            with pytest.raises(Forbidden, match="where it was proposed"):
                await publisher.approve(number, approver, EVERYBODY)
        number, _ = await publisher.propose(version(author="command line (ann)"))
        assert await publisher.approve(number, "command line (ben)", EVERYBODY) == "enforced"

    async def test_pol12_going_back_needs_no_second_pair_where_it_was_in_force_before(self, careful: World) -> None:
        publisher = careful.inside.publisher
        for source in (LENIENT, BALANCED):
            number, _ = await publisher.propose(version(source))
            await publisher.approve(number, "ben", EVERYBODY)
        with pytest.raises(Forbidden):
            await publisher.roll_back("ann", "", to_file=True)
        assert await publisher.roll_back("ann", "") == 1

    async def test_pol12_breaking_the_glass_needs_one_and_ends_by_itself(self, careful: World) -> None:
        await careful.inside.publisher.break_glass(version(), 3600)
        await settled(careful, "lenient")
        careful.clock.forward(3601)
        await settled(careful, "balanced")
        assert "policy.emergency" in await kinds(careful.inside)
        for seconds in (0, -1, 8 * 86_400):
            with pytest.raises(PolicyInvalid):
                await careful.inside.publisher.break_glass(version(), seconds)


async def test_pol1_what_lint_calls_an_error_is_not_published_but_stays_where_it_stands(world: World) -> None:
    never = BALANCED.replace(b"failures.device >= 5", b"failures.device < 0").replace(b"id: balanced", b"id: older")
    assert b"< 0" in never
    with pytest.raises(PolicyInvalid, match=r"candidate.yaml:\d+:\d+: error: never true: failures.device < 0; hint"):
        await world.inside.publisher.propose(version(never))
    # An older release, whose lint knew less, may have published it: it goes on deciding.
    number = await world.inside.published.add(version(never), AuditEntry("*", "policy.checked", "ann", "", {}, 0.0))
    slot = PolicySlot(number, EVERYBODY, "ann", None, 0.0)
    await world.inside.published.move({}, {"enforced": slot}, AuditEntry("*", "policy.enforced", "ann", "", {}, 0.0))
    await settled(world, "older")


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
    async def people(
        self, world: World, ready: int, passed: int, tenant: str = "one", name: SlotName = "enforced"
    ) -> None:
        """Let people fare so under what stands in a slot."""
        slot = (await world.inside.published.slots())[name]

        def job(connection: Any) -> None:
            for number in range(ready):
                who = hashlib.sha256(str(number).encode()).hexdigest()
                note_fare(connection, slot.number, slot.at, tenant, who, number < passed, world.clock())

        await world.inside.database.write(job)

    async def fares(self, world: World, name: SlotName = "enforced") -> Mapping[str, Fare]:
        return await world.inside.published.fares((await world.inside.published.slots())[name])

    async def enforced_with_band(self, world: World, band: float) -> None:
        await world.inside.publisher.propose(version(BALANCED))
        await world.inside.publisher.propose(version(LENIENT), band=band)

    async def test_pol12_outside_its_band_a_policy_goes_back_by_itself(self, world: World) -> None:
        await self.enforced_with_band(world, 0.1)
        await self.people(world, 100, 11)
        assert await world.inside.publisher.watch() == 1
        assert (await world.inside.published.slots())["enforced"].number == 1
        assert (await kinds(world.inside))[0] == "policy.rolled_back"
        assert await world.inside.publisher.watch() is None

    @pytest.mark.parametrize(("ready", "passed"), [(100, 10), (FEWEST_PEOPLE - 1, FEWEST_PEOPLE - 1), (0, 0)])
    async def test_pol12_inside_its_band_or_with_too_few_people_it_stays(
        self, world: World, ready: int, passed: int
    ) -> None:
        await self.enforced_with_band(world, 0.1)
        await self.people(world, ready, passed)
        assert await world.inside.publisher.watch() is None

    async def test_pol12_the_first_publication_goes_back_to_the_configured_file(self, world: World) -> None:
        await world.inside.publisher.propose(version(LENIENT), band=0.1)
        await self.people(world, 100, 11)
        assert await world.inside.publisher.watch() == CONFIGURED_FILE
        assert await world.inside.published.slots() == {}
        await settled(world, "balanced")

    async def test_pol12_a_staged_version_outside_its_band_is_staged_no_longer(self, world: World) -> None:
        await world.inside.publisher.propose(version(BALANCED))
        await world.inside.publisher.propose(version(LENIENT), audience=Audience(10.0), band=0.1)
        await self.people(world, 100, 11, name="staged")
        assert await world.inside.publisher.watch() == 2
        assert set(await world.inside.published.slots()) == {"enforced", "previous"}
        assert (await kinds(world.inside))[0] == "policy.withdrawn"

    async def test_pol12_what_people_passed_before_does_not_count(self, world: World) -> None:
        """The same file published again, or enforced after it was staged, begins at nobody."""
        await world.inside.publisher.propose(version(BALANCED))
        await world.inside.publisher.propose(version(LENIENT), audience=Audience(50.0), band=0.5)
        await self.people(world, 40, 20, name="staged")
        world.clock.forward(60)
        await world.inside.publisher.enforce_staged("ann")
        assert await self.fares(world) == {}
        await self.people(world, 40, 20)
        assert await self.fares(world) == {"one": Fare(40, 20)}
        await world.inside.publisher.propose(version(LENIENT), band=0.1)
        assert await self.fares(world) == {}
        await self.people(world, 40, 0)
        assert await world.inside.publisher.watch() is None

    @pytest.mark.parametrize(
        ("fares", "back"),
        [
            ({"one": Fare(30, 30), "two": Fare(1000, 0)}, False),
            ({"one": Fare(300, 300), "two": Fare(30, 0)}, False),
            ({"one": Fare(300, 300), "two": Fare(29, 0)}, True),
            ({"one": Fare(300, 300), "two": Fare(30, 4)}, True),
            ({"one": Fare(300, 40), "two": Fare(300, 40), "three": Fare(300, 0)}, False),
            ({"one": Fare(300, 40), "two": Fare(300, 40), "three": Fare(300, 40)}, True),
            ({}, False),
        ],
    )
    def test_pol12_one_tenants_people_alone_take_nothing_back_from_the_others(
        self, fares: Mapping[str, Fare], back: bool
    ) -> None:
        assert out_of_band(fares, 0.1) is back

    async def test_pol12_going_back_to_the_configured_file(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.inside.publisher.roll_back("ben", "", to_file=True)
        await self.enforced_with_band(world, 0.1)
        assert await world.inside.publisher.roll_back("ben", "", to_file=True) == CONFIGURED_FILE
        assert await world.inside.published.slots() == {}
        with pytest.raises(NotFound):
            await world.inside.publisher.roll_back("ben", "")


class TestFares:
    """What counts towards the band: who was challenged by the new policy, would not have been by the old one, and passed."""

    async def enforced(self, world: World, *sources: bytes, band: float | None = 0.1) -> None:
        for source in sources:
            await world.inside.publisher.propose(version(source), band=band)
        wanted = (await world.inside.published.slots())["enforced"].number
        async with asyncio.timeout(10):
            while True:
                await world.idp.evaluate("probe", None)
                fare = (await world.last_body())["fare"]
                if fare and fare["number"] == wanted:
                    return
                await asyncio.sleep(0.2)

    async def fares(self, world: World) -> Mapping[str, Fare]:
        return await world.inside.published.fares((await world.inside.published.slots())["enforced"])

    async def test_pol12_who_is_challenged_anew_and_passes_counts_once(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        await self.enforced(world, BALANCED, ASKS_EVERYBODY)
        for number in range(3):
            assert (await world.idp.login("ann", carried(OWNER, number), second_factor=True))["action"] == "step_up"
        assert await self.fares(world) == {"one": Fare(1, 1)}

    async def test_pol12_without_a_policy_before_the_configured_file_is_compared_with(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        await self.enforced(world, ASKS_EVERYBODY)
        await world.idp.login("ann", carried(OWNER, 1), second_factor=True)
        assert await self.fares(world) == {"one": Fare(1, 1)}

    async def test_pol12_odd_typing_that_the_policy_before_asks_as_well_moves_nothing(self, world: World) -> None:
        """Accounts of an attacker's own, which type oddly and pass their own second factor, are challenged by either."""
        await world.enroll("ann", OWNER)
        await self.enforced(world, BALANCED, LENIENT)
        assert (await world.idp.login("ann", carried(18, 1), second_factor=True))["action"] == "step_up"
        assert await self.fares(world) == {"one": Fare(1, 0)}

    async def test_pol12_an_attack_on_other_peoples_accounts_counts_for_nothing(self, world: World) -> None:
        """Strangers who are challenged and do not pass, however many they are."""
        await world.enroll("ann", OWNER)
        await self.enforced(world, BALANCED, ASKS_EVERYBODY)
        for number in range(40):
            answer = await world.idp.evaluate("ann", carried(18, number))
            await world.idp.complete(answer["decision_id"], "abandoned")
        assert await self.fares(world) == {}

    async def test_pol12_a_clients_own_floor_is_no_challenge_of_the_policy(self, worlds: Any) -> None:
        world: World = await worlds(idp={"clients": {"app": ClientSettings(floor="step_up")}})
        await world.enroll("ann", OWNER)
        await self.enforced(world, LENIENT, BALANCED)
        await world.idp.login("ann", carried(OWNER, 1), second_factor=True)
        assert (await world.last_body())["answer"]["rule_id"] == "floor.client"
        assert await self.fares(world) == {"one": Fare(1, 0)}

    async def test_pol12_a_staged_version_is_compared_with_what_is_enforced(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        await world.enroll("ben", OWNER)
        await self.enforced(world, BALANCED)
        await world.inside.publisher.propose(version(ASKS_EVERYBODY), audience=Audience(99.999))
        await settled(world, "asks-everybody")
        await world.idp.login("ann", carried(OWNER, 1), second_factor=True)
        await world.idp.login("ben", carried(18, 1), second_factor=True)
        staged = (await world.inside.published.slots())["staged"]
        assert await world.inside.published.fares(staged) == {"one": Fare(2, 1)}

    async def test_pol12_under_the_configured_file_nobody_is_counted(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        await world.idp.login("ann", carried(OWNER, 1), second_factor=False)
        assert (await world.last_body())["fare"] is None
        assert world.rows("policy_fares") == []


class TestHistory:
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
