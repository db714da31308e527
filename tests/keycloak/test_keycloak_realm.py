"""What an installation leaves in a realm, what of it leaves the realm, and whether it works where it arrives."""

import json
from typing import Any

import pytest
from direct import Direct, log_in
from stage import PASSWORD, Stage, person

pytestmark = pytest.mark.timeout(900)


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
