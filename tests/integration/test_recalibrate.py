"""``gaitkeeper recalibrate`` on an installation's own logins: resumable, bounded, in force at the next login, and undone."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.world import World, carried, rows_of

from sidecar.administration import recalibrate as commands
from sidecar.demo.seeding import enroll
from sidecar.domain import entries as lists
from sidecar.domain.entries import Ended, Entry
from sidecar.evaluation.synthetic import probe_of
from sidecar.main import build
from sidecar.storage import entries as stored
from sidecar.storage.profiles import SqlProfiles

pytestmark = pytest.mark.anyio
PEOPLE = 48  # by chance less than ten of them in one half, which is too few, once in 100,000 runs
REREAD = 2.0  # seconds, twenty rounds: the machine may have other work


async def filled(world: World, middle: float) -> None:
    """People with profiles whose logins succeeded, confirmed by a second factor, and scored around a middle."""
    draw = np.random.default_rng(3)
    model = world.settings.detector
    began = (
        world.clock() - 3600
    )  # not at the epoch: retention, which runs beside the test, would take that old entries away
    for person in range(PEOPLE):
        sub = f"user{person}"
        await enroll(world.inside, "one", sub, [probe_of(rows_of(person, 1000 + n)) for n in range(11)], origin="test")
        subject = world.pseudonym(sub)
        made = [
            Entry("password", "keyboard", probe_of(rows_of(person, n)), began + n, float(llr), model)
            for n, llr in enumerate(draw.normal(middle, 1.0, 22))
        ]

        def job(connection: Any, made: list[Entry] = made, subject: str = subject) -> None:
            stored.keep(connection, world.inside.keys, "one", subject, made, "")
            key = stored.ProfileKey("one", subject, "keystroke", "password", "keyboard")
            for entry in made:
                stored._change(
                    connection, world.inside.keys, key, lambda now, at=entry.at: lists.ended(now, at, Ended.CONFIRMED)
                )

        await world.inside.database.write(job)


def ran(world: World, tenant: str | None = "one", **options: bool) -> list[dict[str, Any]]:
    given = {"reset": False, "dry": False} | options
    return commands.recalibrate(world.settings, tenant, progress=lambda _: None, **given)


async def ran_apart(world: World, **options: bool) -> dict[str, Any]:
    (line,) = await asyncio.to_thread(ran, world, **options)
    return line


async def test_scores_are_put_right_at_the_next_login_and_back_again(
    worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.main.REREAD_SECONDS", REREAD / 20)
    world: World = await worlds()
    await filled(world, 0.6)
    dry = await ran_apart(world, dry=True)
    assert world.inside.database.read("SELECT count(*) FROM recalibrations") == [(0,)]
    done = await ran_apart(world)
    assert done["people"] == PEOPLE
    assert done["is"]["scale"] == dry["is"]["scale"]
    assert (done["is"]["scale"], done["is"]["offset"]) != (1.0, 0.0)
    assert done["cllr_recalibrated"] < done["cllr_as_shipped"]
    await asyncio.sleep(REREAD)
    await world.idp.evaluate("user1", carried(1, 70))
    (score,) = (await world.last_body())["scores"]
    assert score["llr"] == pytest.approx(done["is"]["scale"] * score["raw"] + done["is"]["offset"])
    kept = await world.inside.profiles.person("one", world.pseudonym("user1"))
    assert kept[0].entries.llr[-1] == pytest.approx(score["raw"], rel=1e-4)  # nothing is put right twice
    assert (await ran_apart(world))["is"]["scale"] == done["is"]["scale"]
    await ran_apart(world, reset=True)
    await asyncio.sleep(REREAD)
    await world.idp.evaluate("user1", carried(1, 71))
    (score,) = (await world.last_body())["scores"]
    assert score["llr"] == score["raw"]
    kinds = [row.entry.kind for row in await world.inside.audit.entries("one", 0, 500)]
    assert kinds.count("scores.recalibrated") == 3


async def test_interrupted_it_goes_on_where_it_was_and_comes_to_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world, 0.6)
    whole = await ran_apart(world)
    await ran_apart(world, reset=True)
    monkeypatch.setattr(commands, "PAGE", 5)
    read: list[str] = []
    honest = SqlProfiles.person

    async def watched(self: SqlProfiles, tenant: str, subject: str) -> Any:
        if len(read) == 12:
            raise KeyboardInterrupt
        read.append(subject)
        return await honest(self, tenant, subject)

    monkeypatch.setattr(SqlProfiles, "person", watched)
    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(ran, world)
    monkeypatch.setattr(SqlProfiles, "person", honest)
    first, read[:] = list(read), []

    async def counted(self: SqlProfiles, tenant: str, subject: str) -> Any:
        read.append(subject)
        return await honest(self, tenant, subject)

    monkeypatch.setattr(SqlProfiles, "person", counted)
    again = await ran_apart(world)
    assert len(first) == 12
    assert len(read) == PEOPLE - 10  # two pages of five were kept
    assert (again["people"], again["is"]["scale"]) == (whole["people"], whole["is"]["scale"])
    assert world.inside.database.read("SELECT count(*) FROM recalibrations WHERE position IS NOT NULL") == [(0,)]


async def test_too_few_people_leave_it_as_shipped(world: World) -> None:
    await world.enroll("ann", 7)
    line = await ran_apart(world)
    assert (line["people"], line["is"]["scale"], line["cllr_as_shipped"]) == (0, 1.0, None)


async def test_a_tenant_with_a_shared_text_is_passed_over(worlds: Any) -> None:
    world: World = await worlds(idp={"shared_text": ("password",)})
    assert "skipped" in await ran_apart(world)


def test_the_command_prints_a_line_a_tenant(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from sidecar.cli import app
    from sidecar.config import load_settings
    from sidecar.demo.layout import Layout, write

    layout = Layout(tmp_path / "demo", 8800)
    write(layout)
    build(load_settings(layout.sidecar_settings)).close()
    result = CliRunner().invoke(app, ["recalibrate", "-c", str(layout.sidecar_settings)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.strip().splitlines()[-1])["is"]["scale"] == 1.0
