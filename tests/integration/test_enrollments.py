"""Profiles begun where an account or a password is made (ENR1, ENR4): nothing is scored, and only who agreed is learned."""

import asyncio
from typing import Any

import pytest
from support.world import World, carried, rows_of, state

from sidecar.rehearsal.payload import hidden_field

pytestmark = pytest.mark.anyio

OWNER = 7
AGREED = {"given": True, "version": "1"}


async def begun(world: World, capture: str, occasion: str = "registration", **extra: Any) -> list[str]:
    response = await world.idp.begin("ann", capture, occasion, **extra)
    assert response.status_code == 200, response.text
    learned: list[str] = response.json()["learned"]
    return learned


@pytest.fixture
async def asking(worlds: Any) -> World:
    """A world in which people are asked for consent."""
    world: World = await worlds(idp={"legal_basis": "consent"})
    return world


async def test_enr1_a_registration_begins_the_profile_that_logins_go_on_with(asking: World) -> None:
    world = asking
    assert await begun(world, carried(OWNER, 1), consent=AGREED) == ["password"]
    assert world.rows("decisions") == []  # nothing was decided, nothing scored
    for number in range(2, 11):
        await world.idp.login("ann", carried(OWNER, number), second_factor=True, consent=AGREED)
    profile = (await world.idp.profiles("ann"))["password"]
    assert (profile["samples"], profile["state"], profile["confirmed"]) == (10, "ready", True)
    assert (await world.idp.evaluate("ann", carried(OWNER, 11), consent=AGREED))["action"] == "allow"


@pytest.mark.parametrize("consent", [None, {"given": False, "version": "1"}])
async def test_without_consent_nothing_is_kept_of_it(asking: World, consent: dict[str, Any] | None) -> None:
    assert await begun(asking, carried(OWNER, 1), consent=consent) == []
    counts = asking.counts()
    assert not any(counts[table] for table in ("samples", "templates", "entries", "probe_digests"))


async def test_a_new_password_needs_consent_that_a_second_factor_confirmed(asking: World) -> None:
    assert await begun(asking, carried(OWNER, 1), "password_changed", consent=AGREED) == []
    await asking.idp.login("ann", None, second_factor=True, consent=AGREED)
    assert await begun(asking, carried(OWNER, 2), "password_changed", consent=AGREED) == ["password"]


async def test_enr6_a_profile_that_is_there_is_not_touched(world: World) -> None:
    """Whoever gets to a page for new passwords again and again must not talk a profile over."""
    await world.enroll("ann", OWNER)
    before = world.rows("samples")
    for number in range(5):
        assert await begun(world, carried(18, number)) == []
    assert world.rows("samples") == before


async def test_it_serves_once(world: World) -> None:
    attempt = world.idp.attempt()
    answers = await asyncio.gather(
        *(world.idp.begin("ann", carried(OWNER, number), attempt=attempt) for number in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert {answer.json()["error"] for answer in answers if answer.status_code == 409} == {"capture_used"}
    assert len(world.rows("samples")) == 1
    same = await world.idp.begin("ben", carried(OWNER, 9))
    assert same.json() == {"learned": ["password"]}


@pytest.mark.parametrize("how", ["pasted", "filled"])
async def test_what_was_not_typed_begins_nothing(world: World, how: str) -> None:
    assert await begun(world, state(how)) == []
    assert await begun(world, "garbage") == []


async def test_software_begins_nothing(world: World) -> None:
    rows = rows_of(OWNER, 1)
    steady = hidden_field([(number * 100.0, 60.0) for number in range(len(rows))])
    assert await begun(world, steady) == []
    assert await begun(world, hidden_field(rows)) == ["password"]  # it was the steadiness


async def test_idp8_another_tenants_attempt_or_field_is_refused(world: World) -> None:
    body = {"subject": {"id": "ann"}, "client": "app", "attempt": "a" * 12, "capture": "x", "more": 1}
    response = await world.idp.post("/v1/enrollments", body)
    assert (response.status_code, response.json()["error"]) == (400, "bad_request")
    page = await world.page(world.other)
    hidden = await page.typed(rows_of(OWNER, 1))
    assert await begun(world, hidden, attempt=page.attempt) == []
