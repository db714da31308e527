"""What an installation does to real logins."""

import json
import socket
import time
from collections.abc import Iterator

import pytest
from stage import STRANGER, Stage, Visit

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def visit(stage: Stage) -> Iterator[Visit]:
    made = stage.visit()
    yield made
    made.context.close()


def test_before_consent_is_known_a_second_factor_is_asked_and_the_notice_shown(stage: Stage, visit: Visit) -> None:
    visit.open()
    visit.type_login("cora")
    assert visit.where() == "login-login-otp"
    assert stage.decision().body["answer"]["rule_id"] == "outcome.unavailable.no_consent"
    visit.pass_otp()
    visit.page.wait_for_selector("#gaitkeeper-consent")
    visit.page.click("#gaitkeeper-give")
    assert visit.where() == "app"
    login = stage.events("LOGIN")[0]["details"]
    assert (login["gaitkeeper_action"], login["gaitkeeper_source"]) == ("step_up", "scored")
    chosen = stage.events("CUSTOM_REQUIRED_ACTION")[0]["details"]
    assert chosen["gaitkeeper_consent"] == "given"


def test_a_genuine_typed_login_is_granted_and_completed(stage: Stage, visit: Visit) -> None:
    visit.open()
    visit.type_login()
    assert visit.where() == "app"
    granted = visit.tokens()
    event = stage.events("LOGIN")[0]
    assert event["details"]["gaitkeeper_action"] == "allow"
    assert event["details"]["gaitkeeper_risk"] == "low"
    decision = stage.decision()
    assert event["details"]["gaitkeeper_decision"] == decision.id
    assert decision.body["facts"]["keystroke.outcome"] == "match"
    completion = stage.completed(decision.id)
    assert completion["outcome"] == "succeeded"
    assert completion["second_factor"] is False
    assert completion["sid"] == event["sessionId"] == granted["session_state"]


def test_a_strangers_typing_meets_the_second_factor_and_the_events_still_tell(stage: Stage, visit: Visit) -> None:
    visit.open()
    visit.type_login(who=STRANGER)
    assert visit.where() == "login-login-otp"
    visit.pass_otp()
    assert visit.where() == "app"
    details = stage.events("LOGIN")[0]["details"]
    assert (details["gaitkeeper_action"], details["gaitkeeper_risk"]) == ("step_up", "high")
    completion = stage.completed(details["gaitkeeper_decision"])
    assert (completion["outcome"], completion["second_factor"]) == ("succeeded", True)


def test_a_running_session_is_let_through_without_asking_again(stage: Stage, visit: Visit) -> None:
    visit.open()
    visit.type_login()
    assert visit.where() == "app"
    before = stage.decision().id
    visit.open()
    assert visit.where() == "app"
    visit.open(prompt="none")
    assert visit.where() == "app"
    assert "code=" in visit.page.url
    assert stage.decision().id == before


def test_who_has_no_second_factor_is_not_locked_out_and_enrolls_none(stage: Stage, visit: Visit) -> None:
    visit.open()
    visit.type_login("bruno", who=STRANGER)
    visit.page.wait_for_selector("#gaitkeeper-consent")
    visit.page.click("#gaitkeeper-refuse")
    assert visit.where() == "app"
    assert stage.events("LOGIN")[0]["details"]["gaitkeeper_action"] == "allow"


@pytest.mark.parametrize("scope", ["session", "all"])
def test_the_sidecar_ends_sessions(stage: Stage, visit: Visit, scope: str) -> None:
    visit.open()
    visit.type_login()
    assert visit.where() == "app"
    granted = visit.tokens()
    assert visit.refresh(granted) == 200
    began = time.monotonic()
    stage.end_sessions("amelia", granted["session_state"], scope)
    while visit.refresh(granted) == 200:
        assert time.monotonic() - began < 10
        time.sleep(0.1)
    assert visit.refresh(granted) == 400


def test_a_sidecar_that_is_gone_means_each_clients_fail_mode_within_the_deadline(stage: Stage) -> None:
    stage.stop()
    try:
        for client, page in (("app", "login-login-otp"), ("open", "app"), ("closed", "error")):
            visit = stage.visit()
            visit.open(client)
            visit.type_login()
            began = time.monotonic()
            assert page in visit.where()
            assert time.monotonic() - began < 5
            if client == "closed":
                assert "You cannot sign in at the moment" in visit.page.inner_text("body")
            visit.context.close()
        error = stage.events("LOGIN_ERROR")[0]
        assert error["error"] == "gaitkeeper_denied"
        assert error["userId"] == stage.user_id("amelia")
        assert error["details"]["gaitkeeper_source"] == "unreachable"
        locked = stage.api.get(f"/attack-detection/brute-force/users/{stage.user_id('amelia')}")
        assert locked["numFailures"] == 0
    finally:
        stage.start()


def test_a_hanging_sidecar_costs_the_deadline(stage: Stage, visit: Visit) -> None:
    stage.stop()
    try:
        with socket.create_server(("127.0.0.1", stage.port)):  # accepts, and never answers
            visit.open()
            visit.type_login()
            began = time.monotonic()
            assert visit.where() == "login-login-otp"
            assert time.monotonic() - began < 6
    finally:
        stage.start()


def test_an_export_holds_no_secret_and_no_masked_setting(stage: Stage) -> None:
    exported = stage.api.export()
    key = json.loads((stage.server.keys / f"{stage.name}.jwk").read_text())
    assert key["d"] not in exported
    ours = [one for one in json.loads(exported)["authenticatorConfig"] if "gaitkeeper" in one["alias"]]
    assert len(ours) == 6
    assert "**" not in json.dumps(ours)


def test_a_second_run_of_the_installation_changes_nothing(stage: Stage) -> None:
    assert "Nothing to change." in stage.gaitkeeper("plan", "--deadline-ms", "1500")
