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


def test_a_strangers_typing_meets_the_second_factor_and_is_learned_and_the_events_still_tell(
    stage: Stage, visit: Visit
) -> None:
    stage.add_person("evelyn", otp=True, gaitkeeper_consent=["given 1 1795270000"])
    stage.learn("evelyn")
    visit.open()
    visit.type_login("evelyn", who=STRANGER)
    assert visit.where() == "login-login-otp"
    visit.pass_otp()
    assert visit.where() == "app"
    details = stage.events("LOGIN")[0]["details"]
    assert (details["gaitkeeper_action"], details["gaitkeeper_risk"]) == ("step_up", "high")
    completion = stage.completed(details["gaitkeeper_decision"])
    assert (completion["outcome"], completion["second_factor"]) == ("succeeded", True)
    assert "password" in completion["taught"]


def test_a_running_session_goes_on_by_how_its_login_was_typed(stage: Stage, visit: Visit) -> None:
    visit.open()
    visit.type_login()
    assert visit.where() == "app"
    before = stage.decision().id
    visit.open()
    assert visit.where() == "app"
    again = stage.decision()
    assert (again.id != before, again.body["action"]) == (True, "session_check")
    assert again.body["facts"]["keystroke.outcome"] == "match"
    assert again.body["facts"]["session.age"] < 60
    visit.open(prompt="none")
    assert visit.where() == "app"
    assert "code=" in visit.page.url


def test_a_session_in_which_a_second_factor_was_passed_is_not_asked_for_it_again(stage: Stage) -> None:
    with Direct(stage) as direct:
        page = direct.sign_in(direct.open(), typed=True, who=STRANGER)
        assert direct.pass_otp(page).name == "app"
        assert (
            "code=" in direct.open(prompt="none").url
        )  # at once: before the sidecar may have heard how the login ended
        assert stage.decision().body["facts"]["session.factor_age"] < 60


def test_a_session_can_stand_on_its_own_decision_without_a_question(stage: Stage) -> None:
    stage.configure(onSso="session")
    try:
        with Direct(stage) as direct:
            assert direct.sign_in(direct.open(), typed=True).name == "app"
            before = stage.decision().id
            assert "code=" in direct.open(prompt="none").url
            assert stage.decision().id == before
            assert stage.events("LOGIN")[0]["details"]["gaitkeeper_source"] == "session"
    finally:
        stage.configure(onSso="ask")


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


def test_idp3_who_typed_like_somebody_else_sets_up_no_second_factor(stage: Stage) -> None:
    stage.learn("noel")
    with Direct(stage) as direct:
        assert (
            direct.sign_in(direct.open(kc_action="CONFIGURE_TOTP"), "noel", typed=True).name
            == "login-login-config-totp"
        )
    with Direct(stage) as direct:
        page = direct.sign_in(direct.open(kc_action="CONFIGURE_TOTP"), "noel", typed=True, who=STRANGER)
        assert page.name == "app"
        assert "kc_action_status=error" in page.url
        again = direct.open(kc_action="webauthn-register")  # in the running session, as the account console would ask
        assert again.name == "app"
        assert "kc_action_status=error" in again.url
    noel = stage.api.get("/users?username=noel")[0]
    stage.api.put(f"/users/{noel['id']}", {**noel, "requiredActions": ["CONFIGURE_TOTP"]})
    try:
        with Direct(stage) as direct:
            assert direct.sign_in(direct.open(), "noel", typed=True, who=STRANGER).status == 403
        with Direct(stage) as direct:
            assert direct.sign_in(direct.open(), "noel", typed=True).name == "login-login-config-totp"
    finally:
        stage.api.put(f"/users/{noel['id']}", {**noel, "requiredActions": []})


def test_a_client_denies_who_would_need_a_second_factor_and_has_none(stage: Stage) -> None:
    stage.learn("noel")
    with Direct(stage) as direct:
        assert direct.sign_in(direct.open("vault"), "noel", typed=True).name == "app"
    with Direct(stage) as direct:
        assert direct.sign_in(direct.open("vault"), "noel", typed=True, who=STRANGER).status == 403
    with Direct(stage) as direct:
        assert direct.sign_in(direct.open("app"), "noel", typed=True, who=STRANGER).name == "app"
    stage.configure(withoutSecondFactor="deny")
    try:
        with Direct(stage) as direct:
            assert direct.sign_in(direct.open("app"), "noel", typed=True, who=STRANGER).status == 403
            assert stage.decision().body["answer"]["action"] == "deny"
    finally:
        stage.configure(withoutSecondFactor="allow")


def test_an_administrator_in_somebodys_session_decides_nothing_and_teaches_nothing(stage: Stage) -> None:
    before = (stage.decision().id, len(stage.events("LOGIN")))
    with Direct(stage) as direct:
        answer = direct.impersonate("amelia")
        assert answer.status_code == 200, answer.text
        assert "code=" in direct.open(prompt="none").url
    assert stage.decision().id == before[0]
    assert "gaitkeeper_decision" not in stage.events("LOGIN")[0]["details"]
