"""What would have made a login pass (SCO7): checked by scoring again, told to operators in words, to nobody else."""

import json
from typing import Any

import numpy as np
import pytest
from support.operators import cookie
from support.world import World, carried, rows_of

from sidecar.evaluation.synthetic import probe_of
from sidecar.rehearsal.payload import hidden_field
from sidecar.risk.judge import circumstances, score
from sidecar.scoring import DETECTORS

pytestmark = pytest.mark.anyio
OWNER, STRANGER = 7, 18


def odd(login: int, factor: float = 3.0) -> list[tuple[float, float]]:
    """The owner, with some keys held far too long."""
    return [(down, hold * (factor if i in (2, 5, 7) else 1.0)) for i, (down, hold) in enumerate(rows_of(OWNER, login))]


async def mismatched(world: World) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """An odd login that is a mismatch, and its rows."""
    for login in range(1, 30):
        rows = odd(login, 3.0 + login / 5)
        await world.idp.evaluate("ann", hidden_field(rows))
        body = await world.last_body()
        if body["facts"]["keystroke.outcome"] == "mismatch" and body["would_pass"][0]["labels"]:
            return body, rows
    raise AssertionError("no odd login was a mismatch that few timings made")


async def test_sco7_what_would_have_passed_does_when_it_is_scored_again(world: World) -> None:
    await world.enroll("ann", OWNER)
    body, rows = await mismatched(world)
    (told,) = body["would_pass"]
    assert 1 <= len(told["labels"]) <= 8
    limit = world.inside.policies.enforced.mismatch_from
    assert told["llr"] < limit <= body["scores"][0]["llr"]
    (profile,) = await world.inside.profiles.find("one", world.pseudonym("ann"))
    stored = await world.inside.profiles.samples(profile.key)
    samples = np.array([item.values for item in stored])
    age = circumstances(np.array([item.at for item in stored]), world.inside.assessor.clock())
    probe = probe_of(rows)
    values = probe.values.copy()
    for label in told["labels"]:
        at = probe.labels.index(label)
        values[at] = np.median(samples[:, at])
    repaired = type(probe)(probe.field, probe.layout, values, probe.kinds, probe.labels)
    again = score(repaired, profile.template, DETECTORS[profile.template.detector], age)
    assert again.llr == pytest.approx(told["llr"], abs=0.02)  # type: ignore[union-attr]
    assert again.llr < limit  # type: ignore[union-attr]


async def test_sco7_a_strangers_login_is_said_to_differ_as_a_whole(world: World) -> None:
    await world.enroll("ann", OWNER)
    for login in range(5):
        await world.idp.evaluate("ann", carried(STRANGER, login))
        body = await world.last_body()
        for told in body["would_pass"]:
            assert (told["labels"] == []) == (told["llr"] is None)
    assert body["would_pass"]


async def test_sco7_nothing_is_told_of_a_match(world: World) -> None:
    await world.enroll("ann", OWNER)
    await world.idp.evaluate("ann", carried(OWNER, 1))
    assert (await world.last_body())["would_pass"] == []


async def test_sco7_operators_read_it_in_words_without_positions_of_the_password(worlds: Any) -> None:
    world: World = await worlds(operator=True)
    await world.enroll("ann", OWNER)
    await mismatched(world)
    (decision,) = await world.inside.decisions.recent(["one"], 1)
    found = await world.http.get(f"/operator/api/decisions/one/{decision.id}", headers=cookie(world))
    told = found.json()["would_pass"]
    assert told[0].startswith("Password: as usual in ")
    assert any(part in told[0] for part in ("early", "middle", "late"))
    assert not any(character.isdigit() for character in "".join(told))
    page = (await world.http.get("/operator", headers=cookie(world))).text
    assert "Would have passed with this typing" in page
    viewer = (await world.http.get("/operator", headers=cookie(world, ("viewer",)))).text
    assert "Would have passed" not in viewer


async def test_sec6_it_is_not_told_to_whoever_logs_in(world: World) -> None:
    await world.enroll("ann", OWNER)
    answer = await world.idp.evaluate("ann", hidden_field(odd(1, 6.0)))
    assert "would_pass" not in json.dumps(answer)
