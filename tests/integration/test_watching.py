"""An installation in which all type alike: a warning in place of confident scores (SCO10), on the page and at the login."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.operators import cookie
from support.world import World, carried, rows_of

from sidecar.demo.seeding import enroll
from sidecar.evaluation.synthetic import probe_of

pytestmark = pytest.mark.anyio
OWNER = 7
PEOPLE = 8


async def people(world: World, typist_of: Callable[[int], int]) -> None:
    for number in range(PEOPLE):
        probes = [probe_of(rows_of(typist_of(number), 1000 * number + login)) for login in range(15)]
        await enroll(world.inside, "one", f"user{number}", probes, origin="test")


async def test_sco10_all_users_alike_are_warned_of_and_not_scored(worlds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.main.TYPING_SECONDS", 0.1)
    world: World = await worlds(operator=True)
    await people(world, lambda _: OWNER)
    assert (await world.idp.evaluate("user1", carried(OWNER, 7)))["risk_level"] in ("low", "unknown")
    await asyncio.sleep(1.5)
    answer = await world.idp.evaluate("user1", carried(OWNER, 8))
    body = await world.last_body()
    assert (answer["action"], answer["risk_level"]) == ("step_up", "unknown")
    assert (body["facts"]["keystroke.outcome"], body["facts"]["keystroke.cause"]) == ("unavailable", "indistinct")
    assert body["facts"]["keystroke.llr"] is None
    assert body["scores"] == []
    page = (await world.http.get("/operator", headers=cookie(world))).text
    assert "Typing tells nobody from anybody else here, so it is not scored" in page
    assert "it is not scored" not in (await world.http.get("/operator", headers=cookie(world, ("viewer",)))).text
    told = (await world.http.get("/operator/api/typing", headers=cookie(world))).json()["tenants"]["one"]
    assert (told["alike"], told["people"]) == (True, PEOPLE)
    assert told["between"]["high"] < 0.2


async def test_sco10_people_who_differ_are_scored(worlds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.main.TYPING_SECONDS", 0.1)
    world: World = await worlds()
    await people(world, lambda number: number)
    await asyncio.sleep(1.0)
    await world.idp.evaluate("user1", carried(1, 7))
    assert (await world.last_body())["facts"]["keystroke.outcome"] == "match"


async def test_sco9_a_person_whose_confirmed_logins_score_like_strangers_is_muted_and_heard_again(world: World) -> None:
    """Challenged and passed again and again: the score says nothing about this person."""
    await world.enroll("ann", OWNER)
    world.clock.forward(60)
    for number in range(12):  # another person's rhythm each time, confirmed by the second factor; one a day is learned
        await world.idp.login("ann", carried(30 + number, number), second_factor=True)
    await world.idp.evaluate("ann", carried(OWNER, 3))
    facts = (await world.last_body())["facts"]
    assert (facts["keystroke.outcome"], facts["keystroke.cause"]) == ("unavailable", "indistinct")
    for number in range(40):  # while muted the scores are still watched
        await world.idp.login("ann", carried(OWNER, 100 + number), second_factor=True)
    await world.idp.evaluate("ann", carried(OWNER, 4))
    assert (await world.last_body())["facts"]["keystroke.outcome"] == "match"


async def test_sec4_strangers_without_the_second_factor_cannot_have_somebody_muted(world: World) -> None:
    await world.enroll("ann", OWNER)
    for number in range(30):
        answer = await world.idp.evaluate("ann", carried(30 + number, number))
        await world.idp.complete(answer["decision_id"], "abandoned")
    await world.idp.evaluate("ann", carried(OWNER, 3))
    assert (await world.last_body())["facts"]["keystroke.outcome"] == "match"


async def test_sco10_operators_read_how_well_typing_tells_one_person_apart(worlds: Any) -> None:
    world: World = await worlds(operator=True)
    await world.enroll("ann", OWNER)
    for number in range(8):
        await world.idp.login("ann", carried(OWNER, number), second_factor=True)
    found = (await world.http.get("/operator/api/subjects/one/ann", headers=cookie(world))).json()["typing"]
    (told,) = found
    assert (told["field"], told["counts"], told["concerns"]) == ("password", True, [])
    for rate in (told["false_rejects"], told["false_accepts_of_strangers"]):
        assert 0.0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1.0
    assert told["equal_error"] < 0.35
