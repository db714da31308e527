"""What an installation leaves in a realm, and what of it leaves the realm."""

import json

import pytest
from stage import PASSWORD, Stage

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
