"""What a running session is worth: the login it began with, seen from where its owner is now (IDP1, CON5)."""

from typing import Any

import pytest
from support.world import World, carried, rows_of

from sidecar.config import ClientSettings
from sidecar.demo.seeding import enroll
from sidecar.evaluation.synthetic import probe_of

pytestmark = pytest.mark.anyio

OWNER, STRANGER, HOUR = 1, 18, 3600.0


async def known(world: World) -> None:
    """Give Ann a ready profile that second factors confirmed."""
    probes = [probe_of(rows_of(OWNER, 1000 + number)) for number in range(12)]
    await enroll(world.inside, "one", "ann", probes, origin="test")


async def check(world: World, sid: str | None = "s1", sub: str = "ann", **extra: Any) -> dict[str, Any]:
    """Ask about a running session; return the answer with its context, and the rule that decided."""
    body = world.idp.request(sub, None, sid=sid, **extra) | {"action": {"name": "session_check"}}
    answer = (await world.idp.post("/access/v1/evaluation", body)).json()
    return answer | answer["context"] | {"rule": answer["context"]["reason_admin"]["en"].partition(":")[0]}


async def login(world: World, person: int, number: int, *, factor: bool, **extra: Any) -> dict[str, Any]:
    answer = await world.idp.evaluate("ann", carried(person, number), sid="s1", **extra)
    await world.idp.complete(answer["decision_id"], second_factor=factor, sid="s1")
    return answer


async def test_a_session_stands_on_what_was_typed_at_its_login(world: World) -> None:
    await known(world)
    first = await login(world, OWNER, 70, factor=False)
    assert first["action"] == "allow"
    found = await check(world)
    assert (found["action"], found["source"], found["risk_level"], found["rule"]) == (
        "allow", "scored", "low", "outcome.match",
    )  # fmt: skip
    facts = (await world.last_body())["facts"]
    assert facts["keystroke.outcome"] == "match"
    assert facts["session.factor_age"] is None
    assert (await world.last_body())["session"]["login"] == first["decision_id"]


async def test_a_second_factor_counts_for_its_time(world: World) -> None:
    await known(world)
    assert (await login(world, STRANGER, 70, factor=True))["action"] == "step_up"
    assert (await check(world))["rule"] == "second-factor-in-session"
    world.clock.offset += 9 * HOUR
    assert (await check(world))["action"] == "allow"
    world.clock.offset += 2 * HOUR
    late = await check(world)
    assert (late["action"], late["rule"], late["risk_level"]) == ("step_up", "keystroke-mismatch", "high")
    await world.idp.complete(late["decision_id"], second_factor=True, sid="s1")
    assert (await check(world))["rule"] == "second-factor-in-session"


async def test_a_report_that_names_no_session_is_about_the_one_that_was_asked_about(world: World) -> None:
    await known(world)
    answer = await world.idp.evaluate("ann", carried(OWNER, 70), sid="s1")
    await world.idp.complete(answer["decision_id"], second_factor=True)
    assert (await check(world))["rule"] == "second-factor-in-session"
    assert (await check(world, "s2"))["rule"] == "outcome.unavailable.no_capture"


async def test_many_checks_later_the_login_is_still_known(world: World) -> None:
    await known(world)
    await login(world, OWNER, 70, factor=False)
    for _ in range(12):
        again = await check(world)
        assert again["rule"] == "outcome.match"
        await world.idp.complete(again["decision_id"], sid="s1")


async def test_a_session_of_which_nothing_is_known_has_no_evidence(world: World) -> None:
    await known(world)
    await login(world, OWNER, 70, factor=False)
    for sid in ("another", None):
        assert (await check(world, sid))["rule"] == "outcome.unavailable.no_capture"
    assert (await check(world, sub="ben"))["rule"] == "outcome.unavailable.no_capture"  # Ann's session is not his
    unknown = await check(world, "before-us")
    await world.idp.complete(unknown["decision_id"], second_factor=True, sid="before-us")
    assert (await check(world, "before-us"))["rule"] == "second-factor-in-session"


async def test_a_login_that_failed_began_no_session(world: World) -> None:
    await known(world)
    answer = await world.idp.evaluate("ann", carried(OWNER, 70), sid="s1")
    await world.idp.complete(answer["decision_id"], "failed", sid="s1")
    assert (await check(world))["rule"] == "outcome.unavailable.no_capture"


async def test_a_report_on_its_way_does_not_ask_the_owner_again(world: World) -> None:
    await known(world)
    assert (await world.idp.evaluate("ann", carried(OWNER, 70), sid="s1"))["action"] == "allow"
    assert (await check(world))["rule"] == "outcome.match"


async def test_an_unreported_login_that_was_asked_for_more_is_no_ground(world: World) -> None:
    await known(world)
    assert (await world.idp.evaluate("ann", carried(STRANGER, 70), sid="s1"))["action"] == "step_up"
    assert (await check(world))["rule"] == "outcome.unavailable.no_capture"


async def test_who_withdrew_is_not_looked_at_in_a_running_session_either(worlds: Any) -> None:
    world: World = await worlds(idp={"legal_basis": "consent"})
    await known(world)
    agreed = {"given": True, "version": "1"}
    await login(world, OWNER, 70, factor=True, consent=agreed)
    assert (await check(world, consent=agreed))["action"] == "allow"
    body = {"subject": {"id": "ann"}, "given": False, "version": "1"}
    assert (await world.idp.post("/v1/subjects/consent", body)).status_code == 200
    await check(world)
    facts = (await world.last_body())["facts"]
    assert (facts["keystroke.outcome"], facts["keystroke.cause"]) == ("unavailable", "no_consent")
    assert facts["keystroke.llr"] is None


async def test_session_checks_do_not_teach_how_the_password_usually_gets_there(world: World) -> None:
    await known(world)
    await login(world, OWNER, 70, factor=True)
    for _ in range(6):
        found = await check(world)
        await world.idp.complete(found["decision_id"], second_factor=True, sid="s1")
    assert len(await world.inside.profiles.usual("one", world.pseudonym("ann"))) == 1


@pytest.mark.parametrize(
    ("configured", "told", "action"),
    [("allow", None, "allow"), ("allow", "allow", "allow"), ("allow", "deny", "deny"), ("deny", "allow", "deny")],
)
async def test_idp3_without_a_second_factor_the_stricter_word_holds(
    worlds: Any, configured: str, told: str | None, action: str
) -> None:
    world: World = await worlds(idp={"clients": {"app": ClientSettings(without_second_factor=configured)}})
    await known(world)
    answer = await world.idp.evaluate("ann", carried(STRANGER, 70), second_factor=False, without_second_factor=told)
    assert (answer["action"], answer["unmet"]) == (action, True)
    owner = await world.idp.evaluate("ann", carried(OWNER, 71), second_factor=False, without_second_factor=told)
    assert (owner["action"], owner.get("unmet")) == ("allow", None)
