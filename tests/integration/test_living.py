"""Software and copies at a real login (SCO3): found whether or not anything was learned, and people are let through."""

import asyncio
from typing import Any

import numpy as np
import pytest
from support.world import World, carried, rows_of

from sidecar.evaluation.synthetic import Row
from sidecar.rehearsal.payload import hidden_field

pytestmark = pytest.mark.anyio
OWNER, STRANGER = 7, 18


async def facts(world: World) -> dict[str, Any]:
    return dict((await world.last_body())["facts"])


def moved(rows: list[Row], sigma: float, seed: int = 1) -> str:
    """The same typing with so many ms of noise on every press and hold."""
    rng = np.random.default_rng(seed)
    return hidden_field(
        [(max(0.0, down + rng.normal(0, sigma / np.sqrt(2))), hold + rng.normal(0, sigma)) for down, hold in rows]
    )


def scripted(hold: float = 80.0, step: float = 120.0) -> str:
    return hidden_field([(step * i, hold) for i in range(10)] + [(step * 10, float("nan"))])


async def test_sco3_a_script_with_a_fixed_delay_is_asked_and_the_typing_says_why(world: World) -> None:
    await world.enroll("ann", OWNER)
    answer = await world.idp.evaluate("ann", scripted())
    assert answer["action"] == "step_up"
    assert (await facts(world))["bot.sign"] == "too_regular"


async def test_sco3_the_owners_own_timings_without_spread_are_asked_by_the_rule_for_software(world: World) -> None:
    """Not only because it is unlike the owner: each hold is where the owner's are, all alike."""
    await world.enroll("ann", OWNER)
    rows = rows_of(OWNER, 1)
    hold = float(np.nanmean([hold for _, hold in rows]))
    await world.idp.evaluate("ann", hidden_field([(down, hold if np.isfinite(held) else held) for down, held in rows]))
    assert (await facts(world))["bot.sign"] == "too_regular"
    trace = {rule["rule_id"]: rule["result"] for rule in (await world.last_body())["trace"]}
    assert "true" in (trace.get("machine-typed"), trace.get("keystroke-mismatch"))


async def test_sco3_the_owner_and_slow_owners_show_no_sign(world: World) -> None:
    await world.enroll("ann", OWNER)
    assert (await world.idp.evaluate("ann", carried(OWNER, 1)))["decision"] is True
    assert (await facts(world))["bot.sign"] == "none"
    slow = [(4 * down + 300 * i, 5 * hold) for i, (down, hold) in enumerate(rows_of(OWNER, 2))]
    await world.idp.evaluate("ann", hidden_field(slow))
    assert (await facts(world))["bot.sign"] == "none"


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
async def test_sco3_a_copy_of_an_allowed_login_that_was_never_learned(world: World, sigma: float) -> None:
    await world.enroll("ann", OWNER)
    assert (await world.idp.evaluate("ann", carried(OWNER, 1)))["decision"] is True  # and never completed
    await world.idp.evaluate("ann", carried(OWNER, 2))
    answer = await world.idp.evaluate("ann", moved(rows_of(OWNER, 1), sigma))
    assert (answer["action"], answer["source"]) == ("step_up", "scored")
    assert (await facts(world))["keystroke.cause"] == "replayed"


async def test_sco3_a_copy_of_a_stored_sample_that_no_login_brought(world: World) -> None:
    await world.enroll("ann", OWNER)
    await world.idp.evaluate("ann", moved(rows_of(OWNER, 1003), 2.0))
    assert (await facts(world))["keystroke.cause"] == "replayed"


async def test_sco3_samples_of_before_the_list_are_in_it(world: World) -> None:
    """A database of the schema before: samples, and no list yet."""
    await world.enroll("ann", OWNER)
    await world.inside.database.write(lambda connection: connection.execute("DELETE FROM entries"))
    await world.idp.evaluate("ann", moved(rows_of(OWNER, 1003), 2.0))
    assert (await facts(world))["keystroke.cause"] == "replayed"


async def test_sco3_of_many_copies_at_once_one_is_looked_at(world: World) -> None:
    await world.enroll("ann", OWNER)
    rows = rows_of(OWNER, 1)
    answers = await asyncio.gather(*(world.idp.evaluate("ann", moved(rows, 1.0, seed)) for seed in range(8)))
    assert {answer["source"] for answer in answers} == {"scored"}
    assert sum(answer["decision"] for answer in answers) == 1


async def test_sco3_a_copy_belongs_to_one_person_and_tenant(world: World) -> None:
    """The same rhythm of another user is a question of whose it is, never of copies: it could tell equal secrets."""
    for caller in (world.idp, world.other):
        for sub in ("ann", "ben"):
            await world.enroll(sub, OWNER, caller=caller)
    assert (await world.idp.evaluate("ann", carried(OWNER, 1)))["decision"] is True
    near = moved(rows_of(OWNER, 1), 1.0)
    assert (await world.idp.evaluate("ben", near))["decision"] is True
    assert (await world.other.evaluate("ann", moved(rows_of(OWNER, 1), 1.0, 2)))["decision"] is True


async def test_a_thief_cannot_push_a_recording_out_of_the_list_with_fewer_than_200_logins(world: World) -> None:
    await world.enroll("ann", OWNER)
    assert (await world.idp.evaluate("ann", carried(OWNER, 1)))["decision"] is True
    for number in range(30):
        await world.idp.evaluate("ann", carried(STRANGER, number, 10 + number % 3))
    await world.idp.evaluate("ann", moved(rows_of(OWNER, 1), 1.0))
    assert (await facts(world))["keystroke.cause"] == "replayed"


async def test_prv_the_list_is_sealed_and_goes_with_the_field_the_person_and_the_consent(worlds: Any) -> None:
    world: World = await worlds(idp={"legal_basis": "consent"})
    for sub in ("ann", "ben", "cleo"):
        await world.enroll(sub, OWNER)
    kept = world.rows("entries")
    assert len(kept) == 3
    assert all(b"GKA1" not in bytes(row[-1]) for row in kept)
    await world.inside.correction.reset("one", world.pseudonym("ann"), "password", None, "test", world.clock())
    assert len(world.rows("entries")) == 2
    await world.inside.correction.reset("one", world.pseudonym("ben"), None, None, "test", world.clock())
    assert len(world.rows("entries")) == 1
    before = await world.inside.subjects.consent("one", world.pseudonym("cleo"))
    after = before.told(given=False, version=None, recording=None, at=world.clock(), answered_at=None)
    await world.inside.subjects.stand("one", world.pseudonym("cleo"), after, None, "test", world.clock())
    assert world.rows("entries") == []
    await world.idp.evaluate("cleo", carried(OWNER, 1))
    assert world.rows("entries") == []


async def test_prv_entries_go_when_samples_would_and_those_that_do_not_open_with_them(world: World) -> None:
    await world.enroll("ann", OWNER)
    await world.enroll("ben", OWNER)
    await world.idp.evaluate("ann", carried(OWNER, 1))
    retention = world.inside.retention
    await retention.retire(world.clock() + 399 * 86_400)
    assert len(world.rows("entries")) == 2
    who = world.pseudonym("ben")
    await world.inside.database.write(
        lambda connection: connection.execute("UPDATE entries SET sealed = ? WHERE subject = ?", (b"\x01" * 99, who))
    )
    await retention.retire(world.clock() + 401 * 86_400)
    assert world.rows("entries") == []


async def test_what_was_taken_back_still_tells_copies(world: World) -> None:
    await world.enroll("ann", OWNER)
    await world.idp.login("ann", carried(OWNER, 1), second_factor=True)
    who = world.pseudonym("ann")
    await world.inside.correction.unlearn("one", who, world.clock() - 5, world.clock(), "test")
    await world.idp.evaluate("ann", moved(rows_of(OWNER, 1), 1.0))
    assert (await facts(world))["keystroke.cause"] == "replayed"


async def test_a_list_that_was_changed_by_hand_is_found(world: World) -> None:
    await world.enroll("ann", OWNER)
    await world.inside.database.write(
        lambda connection: connection.execute("UPDATE entries SET newest_at = newest_at + 1")
    )
    assert (await world.idp.evaluate("ann", carried(OWNER, 1)))["source"] == "degraded"
