"""How far sessions of somebody else can move a profile, and how it is put right (ENR6, ENR7, ENR10)."""

from typing import Any

import numpy as np
import pytest
from support.world import World, carried, probe_of, rows_of

from sidecar.demo.seeding import enroll
from sidecar.risk.judge import circumstances
from sidecar.scoring import DETECTORS
from sidecar.scoring.calibration import to_llr

pytestmark = pytest.mark.anyio
OWNER, ATTACKER = 7, 18
DAY = 86_400.0
OLD, NEW = "nearest-recent-1", "nearest-recent-2"


async def attack(world: World, session: int, *, second_factor: bool) -> dict[str, Any]:
    """A stranger's login with the right password; without the second factor it is abandoned where one is asked for."""
    answer = await world.idp.evaluate("ann", carried(ATTACKER, session))
    passed = second_factor or answer["decision"]
    await world.idp.complete(answer["decision_id"], "succeeded" if passed else "abandoned", second_factor=second_factor)
    return answer


async def samples(world: World) -> int:
    return int((await world.idp.profiles("ann"))["password"]["samples"])


async def llr_of(world: World, person: int, login: int) -> float:
    await world.idp.evaluate("ann", carried(person, login))
    return float((await world.last_body())["facts"]["keystroke.llr"])


async def test_enr6_after_one_pass_twenty_sessions_of_an_attacker_teach_nothing_more(world: World) -> None:
    await world.enroll("ann", OWNER)
    await attack(world, 1, second_factor=True)
    assert await samples(world) == 16
    for session in range(2, 22):
        assert (await attack(world, session, second_factor=False))["action"] == "step_up"
    assert await samples(world) == 16
    assert (await world.idp.evaluate("ann", carried(OWNER, 1)))["decision"] is True


async def test_enr6_who_holds_the_second_factor_too_moves_a_profile_by_little_in_a_day(world: World) -> None:
    await world.enroll("ann", OWNER)
    for session in range(1, 21):
        assert (await attack(world, session, second_factor=True))["action"] == "step_up", session
    assert await samples(world) == 15 + world.settings.learning.unlike_per_day
    assert await llr_of(world, OWNER, 2) < world.inside.policies.enforced.mismatch_from
    world.clock.forward(DAY + 1)
    await attack(world, 30, second_factor=True)
    assert await samples(world) == 15 + world.settings.learning.unlike_per_day + 1


async def test_enr6_the_owner_whose_typing_changed_is_learned_at_the_same_pace(world: World) -> None:
    """A new keyboard: asked for the second factor until enough days have passed, then known again."""
    await world.enroll("ann", OWNER)
    asked = []
    for day in range(12):
        for number in range(3):
            answer = await attack(world, 100 + day * 3 + number, second_factor=True)
        asked.append(answer["action"] == "step_up")
        world.clock.forward(DAY + 1)
    assert asked[0]
    assert not asked[-1]


async def test_enr7_a_confirmed_compromise_is_taken_back_to_the_score_of_before(world: World) -> None:
    await world.enroll("ann", OWNER)
    world.clock.forward(60)
    before = {person: await llr_of(world, person, 5) for person in (OWNER, ATTACKER)}
    world.clock.forward(60)
    moment = world.clock()
    for day in range(8):
        await attack(world, 50 + day, second_factor=True)
        world.clock.forward(DAY + 1)
    assert await samples(world) == 23
    done = await world.inside.correction.unlearn("one", world.pseudonym("ann"), moment, world.clock(), "test")
    assert done == {"password (keyboard)": "exact"}
    assert await samples(world) == 15
    for person, llr in before.items():
        # The very same timings would be a replay: the stored templates are compared instead of the answers.
        (profile,) = await world.inside.profiles.find("one", world.pseudonym("ann"))
        detector = DETECTORS[profile.template.detector]
        distance = detector.distance(profile.template, probe_of(rows_of(person, 5)).values)
        at = np.array([item.at for item in await world.inside.profiles.samples(profile.key)])
        when = circumstances(at, moment - 60)
        found = to_llr(distance, features=30, samples=15, layout="positions", detector=NEW, when=when)
        assert found == pytest.approx(llr, abs=1e-6)  # the clock is real: fractions of a second older


async def test_enr10_an_upgrade_of_the_model_makes_no_wave_of_step_ups(
    worlds: Any,
) -> None:
    """Twenty people, the day after the configuration named another model: decided by the old one, watched by the new."""
    owners = range(40, 60)
    world: World = await worlds(detector=OLD)
    for person in owners:
        probes = [probe_of(rows_of(person, 1000 + number)) for number in range(15)]
        await enroll(world.inside, "one", f"u{person}", probes, origin="test")
    before = [(await world.idp.login(f"u{p}", carried(p, 1), second_factor=True))["action"] for p in owners]

    later: World = await worlds(detector=NEW, clock=world.clock)
    later.idp.made = 1000  # attempts of the same provider, which never repeat
    for login in range(2, 9):
        later.clock.forward(DAY)
        actions = [(await later.idp.login(f"u{p}", carried(p, login), second_factor=True))["action"] for p in owners]
        assert actions.count("step_up") <= before.count("step_up") + 3, login
    serving = [row[5] for row in later.rows("templates") if row[6]]
    assert set(serving) == {NEW}
    body = await later.last_body()
    assert body["shadow_models"] == []


async def test_enr10_what_the_coming_model_says_is_kept_beside_the_decision(
    worlds: Any,
) -> None:
    world: World = await worlds(detector=OLD)
    await world.enroll("ann", OWNER)

    later: World = await worlds(detector=NEW, clock=world.clock)
    later.idp.made = 1000  # attempts of the same provider, which never repeat
    await later.idp.login("ann", carried(OWNER, 1), second_factor=True)
    await later.idp.evaluate("ann", carried(OWNER, 2))
    (shadow,) = (await later.last_body())["shadow_models"]
    assert (shadow["field"], shadow["model"]) == ("password", NEW)
    assert -6 < shadow["llr"] < 6
