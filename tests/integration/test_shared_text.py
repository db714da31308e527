"""A text that an administrator declared as shared: learned from people who agreed, useful, and free of who was forgotten."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.world import World, carried, rows_of

from sidecar.demo.seeding import enroll
from sidecar.domain.decisions import Attempt
from sidecar.evaluation.synthetic import probe_of
from sidecar.features.keystroke import from_timings
from sidecar.rehearsal.payload import hidden_field
from sidecar.risk.judge import circumstances, score
from sidecar.scoring import DETECTORS

pytestmark = pytest.mark.anyio
PEOPLE = 20
DECLARED = {"shared_text": ("password",)}
ISSUER = "http://localhost:8801"


async def people(world: World, count: int, samples: int = 24) -> None:
    for person in range(count):
        probes = [probe_of(rows_of(person, 1000 + login)) for login in range(samples)]
        await enroll(world.inside, "one", f"user{person}", probes, origin="test")


async def learned(world: World) -> set[str]:
    """Let the second sidecar look for members; return them."""
    cohorts = world.inside.assessor.cohorts
    await cohorts.refresh()
    found = cohorts.found.get(("one", "password"))
    return set(found.members) if found else set()


async def decided(world: World, hidden: str) -> dict[str, Any]:
    """Facts of a login of user1 at the second sidecar."""
    attempt = Attempt(
        tenant="one", issuer=ISSUER, subject="user1", name="n", action="login", client="app", attempt=world.idp.attempt(),
        started_at=None, captures=(hidden,), sid=None, ip=None, user_agent=None,
    )  # fmt: skip
    assertion = (ISSUER, secrets.token_urlsafe(8), int(world.clock()) + 60)
    await world.inside.assessor.assess(attempt, assertion, None)
    return dict((await world.last_body())["facts"])


async def strict(world: World, person: int, login: int) -> float:
    """The LLR of a login of user1 by the person's own samples alone."""
    (profile,) = await world.inside.profiles.find("one", world.pseudonym("user1"))
    at = np.array([item.at for item in await world.inside.profiles.samples(profile.key)])
    age = circumstances(at, world.inside.assessor.clock())
    found = score(probe_of(rows_of(person, login)), profile.template, DETECTORS[profile.template.detector], age)
    return float(found.llr)  # type: ignore[union-attr]


async def test_twenty_who_agreed_are_a_background_and_forgetting_one_learns_it_again(worlds: Any) -> None:
    world: World = await worlds(idp=DECLARED)
    await people(world, PEOPLE)
    assert await learned(world) == {world.pseudonym(f"user{person}") for person in range(PEOPLE)}
    gone = world.pseudonym("user3")
    await world.inside.keys.destroy("one", gone)
    await world.inside.correction.reset("one", gone, None, None, "test", world.clock())
    assert await learned(world) == {world.pseudonym(f"user{person}") for person in range(PEOPLE) if person != 3}
    who = world.pseudonym("user4")
    paused = replace(await world.inside.subjects.consent("one", who), paused_at=world.clock())
    await world.inside.subjects.stand("one", who, paused, None, "test", world.clock())
    left = await learned(world)
    assert who not in left
    assert len(left) == PEOPLE - 2


async def test_a_background_counts_and_still_tells_owner_from_strangers(worlds: Any) -> None:
    world: World = await worlds(idp=DECLARED)
    await people(world, PEOPLE)
    assert len(await learned(world)) == PEOPLE
    own = [float((await decided(world, carried(1, login)))["keystroke.llr"]) for login in range(6)]
    others = [float((await decided(world, carried(30 + login, login)))["keystroke.llr"]) for login in range(6)]
    assert max(own) < min(others)
    alone = [await strict(world, 1, login) for login in range(6)]
    assert all(abs(one - two) > 1e-6 for one, two in zip(own, alone, strict=True))
    assert np.isfinite(own + others).all()


async def test_the_sidecars_own_round_learns_it(worlds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.main.COHORT_SECONDS", 0.2)
    world: World = await worlds(idp=DECLARED)
    await people(world, 9, samples=20)
    deadline = asyncio.get_running_loop().time() + 60
    for login in range(100):
        await world.idp.evaluate("user1", carried(1, login))
        told = (await world.last_body())["facts"]["keystroke.llr"]
        if abs(told - await strict(world, 1, login)) > 1e-6:
            break
        assert asyncio.get_running_loop().time() < deadline, "no background came into force"
        await asyncio.sleep(1.0)


async def test_two_people_are_no_background_and_do_no_harm(worlds: Any) -> None:
    world: World = await worlds(idp=DECLARED)
    await people(world, 2)
    assert await learned(world) == set()
    facts = await decided(world, carried(1, 5))
    assert facts["keystroke.llr"] == pytest.approx(await strict(world, 1, 5))


async def test_nothing_is_learned_across_people_where_nothing_was_declared(worlds: Any) -> None:
    world: World = await worlds()
    await people(world, 10)
    assert await learned(world) == set()


async def test_people_of_another_length_are_no_part_of_it(worlds: Any) -> None:
    world: World = await worlds(idp=DECLARED)
    await people(world, 9)
    await enroll(world.inside, "one", "long", [probe_of(rows_of(40, login, 12)) for login in range(24)], origin="test")
    found = await learned(world)
    assert len(found) == 9
    assert world.pseudonym("long") not in found


async def test_sco3_the_median_of_everybody_is_a_sign_of_software_on_a_shared_text(worlds: Any) -> None:
    world: World = await worlds(idp=DECLARED)
    await people(world, PEOPLE)
    await learned(world)
    usual = world.inside.assessor.cohorts.found["one", "password"].usual
    probe = from_timings("password", usual.hold, usual.down_down)
    downs = np.concatenate([[0.0], np.cumsum(probe.values[1::3])])
    rows = [(float(down), float(hold)) for down, hold in zip(downs, [*probe.values[::3], np.nan], strict=True)]
    assert (await decided(world, hidden_field(rows)))["bot.sign"] == "too_usual"


async def test_sco10_all_alike_on_a_shared_text_are_muted_one_by_one(worlds: Any) -> None:
    """Fewer signs are needed than for the whole installation: members' tries are compared with this very profile."""
    world: World = await worlds(idp=DECLARED)
    for number in range(9):
        probes = [probe_of(rows_of(7, 1000 * number + login)) for login in range(24)]
        await enroll(world.inside, "one", f"user{number}", probes, origin="test")
    for login in range(6):
        facts = await decided(world, carried(7, login))
        decision = (await world.inside.decisions.recent(["one"], 1))[0]
        await world.idp.complete(decision.id, second_factor=True)
        world.clock.forward(43_200)
    assert facts["keystroke.outcome"] == "match"
    await learned(world)
    facts = await decided(world, carried(7, 50))
    assert (facts["keystroke.outcome"], facts["keystroke.cause"]) == ("unavailable", "indistinct")
