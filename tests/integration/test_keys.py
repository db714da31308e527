"""Keys and forgetting, on real files: rotation, restored backups, wrong and missing keys (PRV2, PRV4, OPS5)."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pysqlite3.dbapi2 as sqlite3
import pytest
from support.world import World, carried
from typer.testing import CliRunner

from sidecar.administration import keys as key_commands
from sidecar.administration import subject as subject_commands
from sidecar.config import Settings
from sidecar.errors import ConfigInvalid, MasterKeyUnknown, NotFound, SealBroken, StorageFailed
from sidecar.main import build
from sidecar.masters import Masters

pytestmark = pytest.mark.anyio
OWNER = 7


def _masters(settings: Settings) -> Path:
    return Path(settings.master.partition(":")[2])


async def test_rotation_beside_a_serving_sidecar(world: World) -> None:
    """Old profiles stay readable, new people get keys, and the old master key goes once nothing needs it."""
    await world.enroll("ann", OWNER)
    before = json.loads(_masters(world.settings).read_text())
    await asyncio.to_thread(key_commands.rotate, world.settings)
    after = json.loads(_masters(world.settings).read_text())
    assert before["current"] != after["current"]
    assert set(before["keys"]) < set(after["keys"])
    assert list(world.inside.keys.masters_in_use()) == [after["current"]]
    assert (await world.idp.evaluate("ann", carried(OWNER, 1)))["decision"] is True
    await world.enroll("ben", OWNER)
    assert (await world.idp.evaluate("ben", carried(OWNER, 1)))["decision"] is True
    await asyncio.to_thread(key_commands.prune, world.settings)
    assert list(json.loads(_masters(world.settings).read_text())["keys"]) == [after["current"]]
    assert await asyncio.to_thread(key_commands.check, world.settings)
    assert (await world.idp.evaluate("ben", carried(OWNER, 3)))["source"] == "scored"


async def test_rotation_killed_midway_is_finished_by_rewrap(world: World) -> None:
    for number in range(600):
        await world.inside.keys.ensure("one", f"p{number}")
    Masters(world.settings.master).rotate()
    code = (
        "import sys; from pathlib import Path; from sidecar.masters import Masters;"
        "from sidecar.storage.database import Database\n"
        "from sidecar.storage.keystore import SqlKeys\n"
        "from sidecar.storage.sqlite import Sqlite\n"
        "import os, signal\n"
        "keys = SqlKeys(Database(Sqlite(Path(sys.argv[1]), journal='DELETE')), Masters(sys.argv[2]))\n"
        "keys.rewrap(lambda done: os.kill(os.getpid(), signal.SIGKILL))"
    )
    killed = subprocess.run(  # noqa: ASYNC221 - the loop waits on purpose
        [
            sys.executable,
            "-c",
            code,
            world.settings.key_store,
            world.settings.master,
        ],
        check=False,
    )
    assert killed.returncode == -9
    assert len(world.inside.keys.masters_in_use()) == 2  # some moved, some did not: both open
    assert world.inside.keys.check() == []
    await asyncio.to_thread(key_commands.rewrap, world.settings)
    assert list(world.inside.keys.masters_in_use()) == [Masters(world.settings.master).current]


async def test_a_restored_backup_of_the_data_cannot_be_read_for_somebody_forgotten(world: World) -> None:
    """PRV2: forgetting destroys the key, so backups of the data are dead for that person, and for nobody else."""
    for sub in ("ann", "ben"):
        await world.enroll(sub, OWNER)
        await world.idp.evaluate(sub, carried(OWNER, 1))
    files = [path for path in world.settings.data_dir.iterdir() if path.is_file()]
    backup = {path: path.read_bytes() for path in files}
    assert await asyncio.to_thread(subject_commands.forget, world.settings, "one", "ann")
    world.inside.database.close()
    for path, content in backup.items():
        path.write_bytes(content)
    again = build(world.settings)
    try:
        ann, ben = (again.keyring.pseudonym("one", sub) for sub in ("ann", "ben"))
        assert again.database.read("SELECT count(*) FROM templates WHERE subject = ?", (ann,))[0][0] > 0
        assert await again.profiles.find("one", ann) == []
        assert await again.decisions.of_subject("one", ann) == []
        assert await again.decisions.person("one", ann) == {}
        assert {item.subject for item in await again.decisions.recent(("one", "two"), 50)} == {ben}
        assert await again.profiles.find("one", ben)
        # A new life under a new key does not wake the old rows up either.
        await again.keys.ensure("one", ann)
        assert await again.profiles.find("one", ann) == []
    finally:
        again.close()


async def test_forgetting_leaves_nothing_in_the_key_file(world: World) -> None:
    await world.enroll("ann", OWNER)
    pseudonym = world.pseudonym("ann")
    rows = sqlite3.connect(str(world.settings.key_store)).execute(
        "SELECT wrapped FROM user_keys WHERE subject = ?", (pseudonym,)
    )
    wrapped = bytes(rows.fetchone()[0])
    assert wrapped in Path(world.settings.key_store).read_bytes()
    await asyncio.to_thread(subject_commands.forget, world.settings, "one", "ann")
    content = Path(world.settings.key_store).read_bytes()
    assert wrapped not in content
    assert pseudonym.encode() not in content
    with pytest.raises(NotFound):
        await asyncio.to_thread(subject_commands.show, world.settings, "one", "ann")


async def test_account_deletion_destroys_the_key(world: World) -> None:
    await world.enroll("ann", OWNER)
    await world.idp.tell("account_deleted", "ann")
    assert not await world.inside.keys.destroy("one", world.pseudonym("ann"))


async def test_another_persons_row_is_refused_and_not_forgotten(world: World) -> None:
    """A row swapped between two living people is tampering, with its code; never a profile, never a score."""
    for sub in ("ann", "ben"):
        await world.enroll(sub, OWNER)
    connection = sqlite3.connect(str(world.settings.data_dir / "gaitkeeper.db"))
    (sealed,) = connection.execute(
        "SELECT sealed FROM templates WHERE subject = ?", (world.pseudonym("ben"),)
    ).fetchone()
    connection.execute("UPDATE templates SET sealed = ? WHERE subject = ?", (sealed, world.pseudonym("ann")))
    connection.commit()
    with pytest.raises(SealBroken):
        await world.inside.profiles.find("one", world.pseudonym("ann"))
    answer = await world.idp.evaluate("ann", carried(OWNER, 1))
    assert (answer["source"], answer["action"]) == ("degraded", "step_up")


async def test_missing_and_swapped_master_keys(world: World, tmp_path: Path) -> None:
    await world.enroll("ann", OWNER)
    path = _masters(world.settings)
    good = path.read_text()
    path.unlink()
    with pytest.raises(ConfigInvalid):  # never a silent fresh start beside existing keys
        build(world.settings)
    Masters.init(path)
    with pytest.raises(MasterKeyUnknown):
        build(world.settings)
    current = json.loads(good)["current"]
    path.write_text(json.dumps({"current": current, "keys": {current: "11" * 32}}))
    with pytest.raises(SealBroken):
        build(world.settings)
    assert not await asyncio.to_thread(key_commands.check, world.settings)
    path.write_text(good)
    build(world.settings).close()


@pytest.mark.parametrize("kind", ["env", "command"])
async def test_master_keys_from_environment_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    Masters.init(tmp_path / "m.json")
    text = (tmp_path / "m.json").read_text()
    monkeypatch.setenv("GAITKEEPER_MASTER", text)
    shutil.copy(tmp_path / "m.json", tmp_path / "elsewhere")
    source = "env:GAITKEEPER_MASTER" if kind == "env" else f"command:cat {tmp_path / 'elsewhere'}"
    masters = Masters(source)
    name, wrapped = masters.wrap(b"k" * 32, "place")
    assert Masters(f"file:{tmp_path / 'm.json'}").unwrap(name, wrapped, "place") == b"k" * 32
    with pytest.raises(StorageFailed):
        masters.unwrap(name, wrapped, "another place")
    with pytest.raises(ConfigInvalid):
        masters.rotate()


@pytest.mark.parametrize(
    "source", ["env:NOT_THERE", "command:false", "command:/not/there", "vault:x", "file:", "command:'"]
)
def test_unusable_sources_are_refused(source: str) -> None:
    with pytest.raises(ConfigInvalid):
        Masters(source)


async def test_export_is_readable_and_whole(world: World) -> None:
    await world.enroll("ann", OWNER)
    await world.idp.evaluate("ann", carried(OWNER, 1))
    document = json.loads(
        subject_commands.readable(await asyncio.to_thread(subject_commands.export, world.settings, "one", "ann"))
    )
    assert document["format"] == "gaitkeeper-subject-2"
    assert document["profiles"][0]["state"] == "ready"
    assert len(document["samples"]) == document["profiles"][0]["samples"]
    assert all(50 < timing < 2000 for timing in document["samples"][0]["timings_ms"][:1])
    assert document["decisions"][0]["action"] == "allow"


def test_commands_run(tmp_path: Path) -> None:
    """The documented commands, from a settings file."""
    from sidecar.cli import app
    from sidecar.demo.layout import Layout, write

    layout = Layout(tmp_path / "demo", 8800)
    write(layout)
    runner = CliRunner()

    def run(*words: str) -> str:
        done = runner.invoke(app, [*words, "-c", str(layout.sidecar_settings)])
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done.output

    assert "users' keys" in run("keys", "init")
    assert "every key unwraps" in run("keys", "check")
    assert "new master key" in run("keys", "rotate")
    assert "removed master key" in run("keys", "prune")
    assert "0 keys were behind" in run("keys", "rewrap")
    assert "no key" in run("subject", "forget", "nobody", "--tenant", "demo")
    again = runner.invoke(app, ["keys", "init", "-c", str(layout.sidecar_settings)])
    assert isinstance(again.exception, ConfigInvalid)
