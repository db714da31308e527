"""What an installation does to real logins."""

import pytest
from direct import Direct
from stage import STRANGER, Stage, Visit

pytestmark = pytest.mark.timeout(900)


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


def test_a_session_that_began_past_the_flow_is_no_way_around_it(stage: Stage, visit: Visit) -> None:
    built_in = next(flow["id"] for flow in stage.api.get("/authentication/flows") if flow["alias"] == "browser")
    side = stage.api.get("/clients?clientId=side")[0]
    stage.api.put(f"/clients/{side['id']}", {**side, "authenticationFlowBindingOverrides": {"browser": built_in}})
    assert "client 'side' has a browser flow of its own" in stage.gaitkeeper("plan")
    visit.open("side")
    visit.type_login()
    assert visit.where() == "login-login-otp"  # the built-in flow asks always
    visit.pass_otp()
    assert visit.where() == "app"
    visit.open(prompt="none")
    assert visit.where() == "app"
    assert "error=login_required" in visit.page.url
    visit.open()
    assert visit.where() == "login-login-otp"
    visit.pass_otp()
    assert visit.where() == "app"
    visit.open(prompt="none")
    assert visit.where() == "app"
    assert "code=" in visit.page.url


def test_who_has_no_second_factor_is_not_locked_out_and_enrolls_none(stage: Stage, visit: Visit) -> None:
    visit.open()
    visit.type_login("bruno", who=STRANGER)
    visit.page.wait_for_selector("#gaitkeeper-consent")
    visit.page.click("#gaitkeeper-refuse")
    assert visit.where() == "app"
    assert stage.events("LOGIN")[0]["details"]["gaitkeeper_action"] == "allow"


def test_an_administrator_in_somebodys_session_decides_nothing_and_teaches_nothing(stage: Stage) -> None:
    before = (stage.decision().id, len(stage.events("LOGIN")))
    with Direct(stage) as direct:
        answer = direct.impersonate("amelia")
        assert answer.status_code == 200, answer.text
        stage.configure(onSso="ask")
        try:
            assert "code=" in direct.open(prompt="none").url
        finally:
            stage.configure(onSso="session")
    assert stage.decision().id == before[0]
    assert "gaitkeeper_decision" not in stage.events("LOGIN")[0]["details"]
