"""The commands of docs/idp/keycloak.md, run as they stand there: from the distribution zip to a decision."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from direct import Direct, log_in
from server import CACHE, JAR, VERSION, Server
from stage import APP, Stage

from idp_adapters.keycloak.admin import AdminApi
from sidecar.demo.launch import free_port

pytestmark = pytest.mark.timeout(900)

DOCS = Path(__file__).parents[2] / "docs" / "idp" / "keycloak.md"
PASSWORD, SECONDS = "change-me", 600


def commands(login: str, health: str, sidecar: str) -> str:
    """Return all shell blocks of the page, in order, with addresses of this machine that are free."""
    text = "\n".join(re.findall(r"```console\n(.*?)```", DOCS.read_text(), re.S))
    port, management = (address.rpartition(":")[2] for address in (login, health))
    for there, here in (
        ("http://localhost:8080", login),
        ("http://localhost:9000", health),
        ("http://localhost:8800", sidecar),
        ("26.7.3", VERSION),
        ("start-dev", f"start-dev --http-port={port} --http-management-port={management}"),
        (f'base_url = "{sidecar}"', f'base_url = "{sidecar}"\nport = {sidecar.rpartition(":")[2]}'),
    ):
        assert there in text
        text = text.replace(there, here)
    # Its question is answered; everything else is as it stands there.
    said = f"gaitkeeper() {{ printf 'y\\n' | '{sys.executable}' -m sidecar \"$@\"; }}"
    return f"set -eu\n{said}\n{text}\necho everything was run\n"


def test_the_commands_of_the_documentation_lead_to_a_decision(tmp_path: Path) -> None:
    login, health, sidecar = (f"http://localhost:{free_port()}" for _ in range(3))
    (tmp_path / f"keycloak-{VERSION}.zip").symlink_to(CACHE / f"keycloak-quarkus-dist-{VERSION}.zip")
    (tmp_path / JAR.name).symlink_to(JAR)
    env = os.environ | {"JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx700m", "no_proxy": "localhost"}
    with (tmp_path / "printed").open("wb") as out:
        shell = subprocess.Popen(
            ["bash", "-c", commands(login, health, sidecar)],
            cwd=tmp_path, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        assert shell.wait(SECONDS) == 0, (tmp_path / "printed").read_text()[-4000:]
        printed = (tmp_path / "printed").read_text()
        assert "everything was run" in printed
        assert printed.count("Plan for realm main") == 3
        assert "nothing was counted yet" in printed
        with AdminApi(login, "main", user="admin", password=PASSWORD) as api:
            api.post("/clients", {"clientId": "app", "publicClient": True, "redirectUris": [f"{APP}*"]})
            stage = Stage(Server(login, tmp_path, tmp_path / "printed"), "main", tmp_path, None, api, port=0)
            assert api.get()["browserFlow"] == "gaitkeeper browser"
            assert "gaitkeeper.sidecarJwks" in api.get()["attributes"]
            with Direct(stage) as direct:
                page = direct.sign_in(direct.open())
                assert page.name == "login-gaitkeeper-consent"
                assert direct.agree(page).name == "app"

            def scored() -> bool:  # a busy machine may be late the first time
                assert log_in(stage).name == "app"
                return bool(stage.events("LOGIN")[0]["details"]["gaitkeeper_source"] == "scored")

            stage.until(scored, 60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)  # its server and sidecar: nothing of them is kept
        shutil.rmtree(tmp_path / f"keycloak-{VERSION}", ignore_errors=True)
