"""``gaitkeeper policy`` on an installation: publishing, comparing, replaying what was decided (POL8, POL12)."""

import json
import re
from pathlib import Path

import anyio
import pytest
from support.world import carried, make_settings
from typer.testing import CliRunner

from sidecar.administration import policy as acts
from sidecar.administration.opened import by
from sidecar.cli import app
from sidecar.demo.seeding import enroll
from sidecar.domain.decisions import Attempt
from sidecar.errors import GaitkeeperError
from sidecar.main import build
from sidecar.shipped import policy_directory
from sidecar.storage.decisions import PAGE

BALANCED = policy_directory() / "default.yaml"
STRICT = policy_directory() / "strict.yaml"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The settings of an installation, in a file."""
    settings, _ = make_settings(tmp_path)
    idps = "\n".join(
        f'[[idps]]\ntenant = "{idp.tenant}"\nissuer = "{idp.issuer}"\njwks_file = "{idp.jwks_file}"\n'
        f'site_key = "{idp.site_key}"\norigins = ["{idp.origins[0]}"]\nlegal_basis = "other"\n'
        for idp in settings.idps
    )
    path = tmp_path / "gaitkeeper.toml"
    path.write_text(f'base_url = "{settings.base_url}"\ndata_dir = "{settings.data_dir}"\n{idps}')
    return path


def call(*arguments: object, code: int = 0) -> str:
    found = CliRunner().invoke(app, ["policy", *map(str, arguments)])
    if isinstance(found.exception, GaitkeeperError):
        assert code == 2
        return found.exception.message
    assert found.exit_code == code, found.output + repr(found.exception)
    return found.output


class TestPublishing:
    def test_pol12_a_group_alone_is_for_that_group(self, config: Path) -> None:
        assert (
            call("publish", BALANCED, "-c", config, "--group", "pilots") == "version 1 is staged for the group pilots\n"
        )
        rows = [json.loads(line) for line in call("status", "-c", config).splitlines()]
        assert [(row["slot"], row.get("for"), row.get("percent")) for row in rows] == [
            ("file", None, None),
            ("staged", "the group pilots", 0.0),
        ]

    def test_pol12_a_test_file_of_another_encoding_is_refused_with_its_place(
        self, config: Path, tmp_path: Path
    ) -> None:
        policy = tmp_path / "mine.yaml"
        policy.write_bytes(BALANCED.read_bytes())
        (tmp_path / "mine.test.yaml").write_bytes(b"cases:\n  - name: caf\xe9\n")
        said = call("publish", policy, "-c", config, code=2)
        assert said == f"{tmp_path}/mine.test.yaml:2:14: not UTF-8; hint: save the file as UTF-8"

    def test_pol12_an_approval_is_by_the_account_that_runs_the_command(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = config.read_text().replace("\n[[idps]]", "\n[publishing]\nfour_eyes = true\n[[idps]]", 1)
        config.write_text(text)
        assert "is proposed for 1% of people" in call("publish", BALANCED, "-c", config, "--percent", 1)
        assert "proposed for 1% of people, not for everybody" in call("approve", 1, "-c", config, code=2)
        for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
            monkeypatch.setenv(name, "somebody-else")
        assert "somebody else must approve" in call("approve", 1, "-c", config, "--percent", 1, code=2)
        assert "somebody-else" not in by()
        assert "No such option" in call("approve", 1, "-c", config, "--percent", 1, "--as", "ben", code=2)

    def test_pol12_versions_are_compared_by_number_and_the_file_comes_back(self, config: Path) -> None:
        call("publish", BALANCED, "-c", config)
        call("publish", STRICT, "-c", config, "--note", "as for finance")
        said = call("diff", 1, 2, "-c", config, code=1)
        assert said == call("diff", BALANCED, STRICT, code=1)
        assert call("diff", 2, STRICT, "-c", config) == "the same in meaning\n"
        assert "there is no version 7" in call("diff", 1, 7, "-c", config, code=2)
        assert "cannot be read" in call("diff", 1, 2, code=2)
        assert "as for finance" in call("history", "-c", config)
        assert call("rollback", "-c", config, "--to-file") == "the configured file decides again\n"


class TestBacktest:
    @pytest.fixture
    def decided(self, config: Path) -> Path:
        """An installation that has decided twelve logins of two people."""
        from support.world import rows_of

        from sidecar.config import load_settings
        from sidecar.evaluation.synthetic import probe_of

        settings = load_settings(config)

        async def logins() -> None:
            sidecar = build(settings)
            for who, person in (("ann", 7), ("ben", 18)):
                probes = [probe_of(rows_of(person, 100 + n)) for n in range(12)]
                await enroll(sidecar, "one", who, probes, origin="test")
                for number in range(6):
                    attempt = Attempt(
                        "one", settings.idps[0].issuer, who, f"Name of {who}", "login", "app", f"{who}-{number}", None,
                        (carried(person, number),), None, None, None,
                    )  # fmt: skip
                    assertion = (attempt.issuer, attempt.attempt, int(sidecar.assessor.clock()) + 60)
                    await sidecar.assessor.assess(attempt, assertion, None)
            await sidecar.audit.flush()
            sidecar.close()

        anyio.run(logins)
        return config

    def test_pol8_an_installations_decisions_are_read_page_by_page(
        self, decided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sidecar.usecases.rehearse.PAGE", 5)
        from sidecar.config import load_settings

        with acts.recorded(load_settings(decided), ["one", "two"], 0.0, 4e9) as replay:
            decisions = replay.decisions()
            assert next(decisions).client == "app"
            assert len(list(decisions)) == 11
        html = tmp_path / "r.html"
        said = call("backtest", STRICT, "-c", decided, "-j", 1, "--json", tmp_path / "r.json", "--html", html)
        assert said.startswith("12 logins of 2 people\n")
        figures = json.loads((tmp_path / "r.json").read_text())
        assert figures["people"] == {}
        assert "Name of" not in html.read_text()
        assert {row["people"] for row in figures["clients"]} <= {2}

    def test_pol8_a_page_is_read_in_the_order_of_an_index(self, decided: Path) -> None:
        """Sorting all decisions for every page made a million of them take hours."""
        from sidecar.config import load_settings

        inside = build(load_settings(decided))
        plan = inside.database.read(f"EXPLAIN QUERY PLAN {PAGE}", ("one", 0, 0.0, 4e9, 500))
        inside.close()
        assert [row[3] for row in plan] == ["SEARCH decisions USING INDEX decisions_number (tenant=? AND number>?)"]

    def test_pol8_names_are_of_those_who_are_shown_and_the_reading_is_noted(
        self, decided: Path, tmp_path: Path
    ) -> None:
        asks = tmp_path / "asks.yaml"
        asks.write_text(BALANCED.read_text().replace("  match: allow", "  match: step_up"))
        html = tmp_path / "r.html"
        call("backtest", asks, "-c", decided, "-j", 1, "--json", tmp_path / "r.json", "--html", html, "--names")
        figures = json.loads((tmp_path / "r.json").read_text())
        assert sorted(figures["people"].values()) == ["Name of ann", "Name of ben"]
        assert re.search(r"Name of ann</td>", html.read_text())
        rules = {moved["rule_after"] for row in figures["most_affected"] for moved in row["rules"]}
        assert rules == {"outcome.match"}
        from sidecar.config import load_settings

        inside = build(load_settings(decided))
        rows = inside.database.read("SELECT details FROM audit WHERE kind = 'decisions.read' AND tenant = 'one'")
        inside.close()
        assert [json.loads(row[0])["names"] for row in rows] == [False, True]
