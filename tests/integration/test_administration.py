"""The administrators' commands as they are documented, from a settings file, on files and on PostgreSQL."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.postgres import Server
from typer.testing import CliRunner, Result

from sidecar.cli import app
from sidecar.config import load_settings
from sidecar.demo.launch import seed
from sidecar.demo.layout import PEOPLE, TENANT, Layout, write

AMELIA = PEOPLE[0].sub
Run = Callable[..., Result]


@pytest.fixture(params=["sqlite", "postgresql"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Run a command on an installation with one enrolled person."""
    layout = Layout(tmp_path / "demo", 8800)
    write(layout)
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres_server")
        name = f"commands_{abs(hash(str(tmp_path)))}"
        urls = [server.database(name), server.database(f"{name}_keys")]
        text = layout.sidecar_settings.read_text()
        layout.sidecar_settings.write_text(f'database = "{urls[0]}"\n{text}\n[keys]\nstore = "{urls[1]}"\n')
    asyncio.run(seed(load_settings(layout.sidecar_settings), PEOPLE))
    runner = CliRunner()

    def invoke(*words: str) -> Result:
        return runner.invoke(app, [*words, "-c", str(layout.sidecar_settings)])

    return invoke


def fine(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


WHO = (AMELIA, "--tenant", TENANT)


def test_prv2_a_persons_rights(run: Run) -> None:
    assert json.loads(fine(run("subject", "show", *WHO)))["consent"]["state"] == "given"
    assert len(json.loads(fine(run("subject", "export", *WHO)))["samples"]) == 30
    fine(run("subject", "pause", *WHO))
    assert json.loads(fine(run("subject", "show", *WHO)))["consent"]["paused_since"]
    fine(run("subject", "resume", *WHO))
    assert fine(run("subject", "forget", *WHO)).strip() == "forgotten"
    assert run("subject", "show", *WHO).exception.code == "not_found"  # type: ignore[union-attr]
    assert "no key" in fine(run("subject", "forget", *WHO))


def test_enr7_profiles_are_made_again_and_taken_back(run: Run) -> None:
    assert fine(run("profile", "rebuild", *WHO)).count("the same") == 2
    assert fine(run("profile", "confirm", *WHO)) == "0 samples vouched for\n"
    assert fine(run("profile", "unlearn", *WHO, "--since", "2999-01-01")).count("as it was") == 2
    assert "forgotten" in fine(run("profile", "reset", *WHO, "--field", "username"))
    assert fine(run("profile", "unlearn", *WHO, "--since", "2001-01-01T00:00+02:00")).count("gone") == 1
    assert json.loads(fine(run("subject", "show", *WHO)))["profiles"] == []
    assert run("profile", "unlearn", *WHO, "--since", "lately").exception.code == "bad_request"  # type: ignore[union-attr]


def test_ops5_databases(run: Run, tmp_path: Path) -> None:
    assert fine(run("db", "migrate")).count("nothing to do") == 2
    assert fine(run("db", "check")).strip() == "no fault"
    assert "rows in" in fine(run("db", "backup", str(tmp_path / "data.backup")))
    assert "rows in" in fine(run("db", "backup", str(tmp_path / "keys.backup"), "--of", "keys"))
    assert run("db", "backup", str(tmp_path / "keys.backup")).exception.code == "config_invalid"  # type: ignore[union-attr]
    assert run("db", "backup", str(tmp_path / "x"), "--of", "both").exception.code == "config_invalid"  # type: ignore[union-attr]
    assert "-> 1" in fine(run("db", "migrate", "--to", "1"))
    assert run("subject", "show", *WHO).exception.code == "schema_old"  # type: ignore[union-attr]
    assert "schema 1 -> " in fine(run("db", "migrate"))
    kinds = [json.loads(line)["entry"]["kind"] for line in fine(run("audit", "show")).splitlines()]
    assert kinds[0] == "db.migrated"
    assert len(json.loads(fine(run("subject", "export", *WHO)))["samples"]) == 30
    assert fine(run("db", "check")).strip() == "no fault"
    fine(run("db", "migrate", "--to", "0"))
    assert "rows restored" in fine(run("db", "restore", str(tmp_path / "data.backup")))
    assert len(json.loads(fine(run("subject", "export", *WHO)))["samples"]) == 30
    assert fine(run("profile", "rebuild", *WHO)).count("the same") == 2


def test_sec7_the_audit_chain(run: Run, tmp_path: Path) -> None:
    fine(run("subject", "export", *WHO))
    assert "every chain holds" in fine(run("audit", "verify"))
    assert len(fine(run("audit", "key")).strip()) == 64
    rows = [json.loads(line) for line in fine(run("audit", "show", "--tenant", TENANT)).splitlines()]
    assert [row["entry"]["kind"] for row in rows] == ["subject.read", "samples.imported", "subject.stands"]
    assert rows[0]["entry"]["actor"].startswith("command line")
    (tmp_path / "witness").write_text("nothing\n")
    assert "every chain holds" in fine(run("audit", "verify", "--witness", str(tmp_path / "witness")))
    assert run("audit", "verify", "--witness", str(tmp_path / "no")).exception.code == "config_invalid"  # type: ignore[union-attr]
    assert run("audit", "verify", "--key", "xyz").exception.code == "config_invalid"  # type: ignore[union-attr]


def test_prv4_recordings(run: Run) -> None:
    begin = ("recording", "begin", "study", "--tenant", TENANT, "--purpose", "to see")
    assert run(*begin, "--days", "91").exception.code == "bad_request"  # type: ignore[union-attr]
    fine(run(*begin, "--days", "2"))
    assert json.loads(fine(run("recording", "list", "--tenant", TENANT)))["purpose"] == "to see"
    fine(run("recording", "end", "study", "--tenant", TENANT))
    assert run("recording", "end", "study", "--tenant", TENANT).exit_code == 1


def test_keys_are_turned_over(run: Run) -> None:
    assert "every key unwraps" in fine(run("keys", "check"))
    assert "new master key" in fine(run("keys", "rotate"))
    assert "removed master key" in fine(run("keys", "prune"))
    assert json.loads(fine(run("subject", "show", *WHO)))["profiles"]
    kinds = [json.loads(line)["entry"]["kind"] for line in fine(run("audit", "show")).splitlines()]
    assert kinds[:3] == ["keys.pruned", "keys.rewrapped", "keys.rotated"]
