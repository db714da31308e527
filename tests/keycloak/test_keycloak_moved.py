"""A realm that moves: exported from a stopped server, imported into another directory, with its key carried by hand."""

import json
from pathlib import Path

import pytest
from direct import log_in
from server import ADMIN, VERSION, Machine
from stage import Stage

from idp_adapters.keycloak.admin import AdminApi

pytestmark = pytest.mark.timeout(1500)


def test_an_exported_realm_works_on_another_server_as_soon_as_its_key_is_there(
    restarted: Stage, tmp_path: Path
) -> None:
    stage, machine = restarted, restarted.server.machine
    assert machine, "needs a server of its own: run without KEYCLOAK_URL"
    assert log_in(stage, typed=True).name == "app"
    machine.end()
    exported = machine.export(stage.name, tmp_path / "export")
    key = (stage.server.keys / f"{stage.name}.jwk").read_text()
    assert json.loads(key)["d"] not in exported.read_text()
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    # At the same address: a realm's issuer is its address, and the sidecar knows it by that.
    other = Machine(elsewhere, VERSION, name="demo", port=machine.port)
    try:
        other.start()
        with AdminApi(stage.server.url, stage.name, user=ADMIN, password=ADMIN) as api:
            api.post("//realms", json.loads(exported.read_text()))
        assert log_in(stage, typed=True).name == "login-login-otp"  # no key, no decision: the fail mode
        (elsewhere / f"{stage.name}.jwk").write_text(key)
        assert log_in(stage, typed=True).name == "app"
        assert stage.decision().body["facts"]["keystroke.outcome"] == "match"
    finally:
        other.end()
        machine.start()
    assert log_in(stage, typed=True).name == "app"
