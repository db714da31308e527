"""What an installation leaves in a realm, what of it leaves the realm, and whether it works where it arrives."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from direct import Direct, log_in
from server import ADMIN, Server
from stage import PASSWORD, Stage, person, realm

from idp_adapters.keycloak.admin import AdminApi
from sidecar.demo.launch import free_port

pytestmark = pytest.mark.timeout(900)

DOCS = Path(__file__).parents[2] / "docs" / "idp" / "keycloak.md"


@pytest.fixture
def bare(server: Server, tmp_path: Path) -> Iterator[Stage]:
    """A realm as an administrator has it, without us and without any sidecar."""
    name = f"bare-{secrets.token_hex(3)}"
    with AdminApi(server.url, name, user=ADMIN, password=ADMIN) as api:
        api.post("//realms", realm(name))
        yield Stage(server, name, tmp_path, None, api, port=free_port())
        api.delete("")


def test_an_export_holds_no_secret_and_no_masked_setting(stage: Stage) -> None:
    exported = stage.api.export()
    key = json.loads((stage.server.keys / f"{stage.name}.jwk").read_text())
    assert key["d"] not in exported
    ours = [one for one in json.loads(exported)["authenticatorConfig"] if "gaitkeeper" in one["alias"]]
    assert len(ours) == 6
    assert "**" not in json.dumps(ours)


def test_a_second_run_of_the_installation_changes_nothing(stage: Stage) -> None:
    assert "Nothing to change." in stage.gaitkeeper("plan")


def test_the_servers_log_holds_no_password_and_no_capture(stage: Stage) -> None:
    log = stage.server.log.read_text() if stage.server.log.is_file() else ""
    assert PASSWORD not in log
    assert '"k":{' not in log


def test_an_exported_realm_works_where_it_is_imported(levels: Stage) -> None:
    exported: dict[str, Any] = json.loads(levels.api.export())
    amelia = person(levels.name, "amelia", otp=True, gaitkeeper_consent=["given 1 1795270000"])
    amelia["id"] = levels.user_id("amelia")
    levels.api.delete("")
    levels.api.post("//realms", exported | {"users": [amelia]})
    assert log_in(levels, typed=True).name == "app"
    assert levels.decision().body["facts"]["keystroke.outcome"] == "match"
    with Direct(levels) as direct:
        assert direct.sign_in(direct.open(acr_values="gold"), typed=True).name == "login-login-otp"
    assert "Nothing to change." in levels.gaitkeeper("plan")


def test_a_flow_for_named_clients_leaves_the_others_alone(bare: Stage) -> None:
    said = bare.gaitkeeper("install", "--yes", "--client", "open", "--client", "side")
    assert "client open: browser flow" in said
    assert bare.api.get()["browserFlow"] == "browser"
    assert log_in(bare, "open", "bruno").name == "login-gaitkeeper-consent"
    assert log_in(bare, "app", "bruno").name == "login-gaitkeeper-consent"
    with Direct(bare) as direct:
        page = direct.refuse(direct.sign_in(direct.open("open"), "bruno"))
        assert page.name == "app"
        assert bare.events("LOGIN")[0]["details"]["gaitkeeper_source"] == "unreachable"
    assert log_in(bare, "app", "bruno").name == "app"
    assert "gaitkeeper_source" not in bare.events("LOGIN")[0]["details"]
    assert "Nothing to change." in bare.gaitkeeper("plan", "--client", "open", "--client", "side")


def test_the_commands_of_the_documentation_do_what_it_says(bare: Stage) -> None:
    block = next(
        one for one in re.findall(r"```console\n(.*?)```", DOCS.read_text(), re.S) if "keycloak install" in one
    )
    lines = re.sub(r"^ +", "", block, flags=re.M)
    for there, here in (
        ("https://login.example.org", bare.server.url),
        ("https://gate.example.org", bare.sidecar_url),
        ("--realm main", f"--realm {bare.name} --keys {bare.server.keys}"),
        ("PASSWORD=...", f"PASSWORD={ADMIN}"),
    ):
        assert there in lines
        lines = lines.replace(there, here)
    script = f'set -eu\ngaitkeeper() {{ "{sys.executable}" -m sidecar "$@"; }}\n{lines}'
    done = subprocess.run(["bash", "-c", script], input="y\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Plan for realm") == 2
    assert "Make them?" in done.stdout
    assert bare.api.get()["browserFlow"] == "gaitkeeper browser"
    assert (bare.server.keys / f"{bare.name}.jwk").stat().st_mode & 0o077 == 0
