"""What an installation does to real logins."""

import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from stage import PASSWORD, STRANGER, Stage, Visit, code, inland, password_grant

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


@pytest.mark.parametrize("scope", ["session", "all"])
@pytest.mark.parametrize("offline", [False, True])
def test_the_sidecar_ends_sessions_by_the_admin_api(stage: Stage, visit: Visit, scope: str, offline: bool) -> None:
    stage.gaitkeeper("install", "--yes", "--admin-revocation")
    visit.open(**({"scope": "openid offline_access"} if offline else {}))
    visit.type_login()
    assert visit.where() == "app"
    granted = visit.tokens()
    assert visit.refresh(granted) == 200
    stage.end_by_admin_api("amelia", granted["session_state"], scope)
    assert visit.refresh(granted) == 400


def test_an_offline_session_ends_by_the_realm_resource(stage: Stage, visit: Visit) -> None:
    visit.open(scope="openid offline_access")
    visit.type_login()
    assert visit.where() == "app"
    granted = visit.tokens()
    body = json.dumps(
        {"subject": stage.user_id("amelia"), "scope": "session", "sid": granted["session_state"]}
    ).encode()
    other = json.dumps(
        {"subject": stage.user_id("bruno"), "scope": "session", "sid": granted["session_state"]}
    ).encode()
    assert stage.call_realm("sessions/end", other).json() == {"ended": 0}
    assert visit.refresh(granted) == 200
    assert stage.call_realm("sessions/end", body).json()["ended"] >= 1
    assert visit.refresh(granted) == 400
    assert stage.call_realm("sessions/end", body).json() == {"ended": 0}


def test_the_realm_resource_takes_the_sidecars_word_once_and_nobody_elses(stage: Stage) -> None:
    body = json.dumps({"subject": stage.user_id("amelia")}).encode()
    token = stage.signed("sessions/list", body)
    assert stage.call_realm("sessions/list", body, "x.y.z").status_code == 401
    assert stage.call_realm("sessions/list", body + b" ", token).status_code == 401
    assert stage.call_realm("events", body, token).status_code == 401
    assert stage.call_realm("sessions/list", body, token).status_code == 200
    assert stage.call_realm("sessions/list", body, token).status_code == 401
    told = stage.call_realm("events", b"{}").json()
    assert told["reports"]["lost"] == 0
    assert told["evaluations"]["answered"] > 0
    assert any(event["gaitkeeper_action"] == "allow" for event in told["events"])


def test_user_name_first_carries_both_pages_into_one_decision(username_first: Stage) -> None:
    visit = username_first.visit()
    visit.open()
    visit.type_name_then_password()
    assert visit.where() == "app"
    facts = username_first.decision().body
    assert facts["facts"]["keystroke.outcome"] == "match"
    assert {score["field"] for score in facts["scores"]} == {"username", "password"}
    visit.context.close()


def test_a_password_grant_is_decided_and_answers_in_json(username_first: Stage) -> None:
    stage = username_first
    stage.gaitkeeper("install", "--yes", "--direct-grant")
    bare = password_grant(stage, "amelia")
    assert bare.status_code in (400, 401)
    assert bare.json()["error"] == "invalid_grant"
    assert password_grant(stage, "amelia", totp=code()).status_code == 200
    assert password_grant(stage, "bruno").status_code == 200  # no second factor, and the client's word is allow
    stage.stop()
    try:
        denied = password_grant(stage, "amelia", "closed", totp=code())
        assert (denied.status_code, denied.json()["error"]) == (400, "invalid_grant")
        assert password_grant(stage, "amelia", "open").status_code == 200
    finally:
        stage.start()


def test_a_changed_password_and_a_deleted_user_reach_the_sidecar(username_first: Stage) -> None:
    stage, user = username_first, username_first.user_id("amelia")
    assert stage.sidecar
    subject = stage.sidecar.keyring.pseudonym(stage.name, user)

    def fields() -> set[str]:
        assert stage.sidecar
        return {profile.key.field for profile in stage.run(stage.sidecar.profiles.find(stage.name, subject))}

    assert fields() == {"username", "password"}
    stage.api.put(
        f"/users/{user}/reset-password", {"type": "password", "value": "another-word-here", "temporary": False}
    )
    _until(lambda: fields() == {"username"})
    stage.api.delete(f"/users/{user}")
    _until(lambda: fields() == set())


def test_a_login_by_another_provider_meets_a_decision_too(username_first: Stage) -> None:
    stage = username_first
    inland(stage)
    assert "'gaitkeeper after broker'" in stage.gaitkeeper("install", "--yes")
    assert "Nothing to change." in stage.gaitkeeper("plan")
    visit = stage.visit()
    visit.open(kc_idp_hint="inland")
    visit.page.fill("#username", "dora")
    visit.page.fill("#password", PASSWORD)
    visit.page.click("#kc-login")
    visit.page.wait_for_selector("#gaitkeeper-consent")
    visit.page.click("#gaitkeeper-refuse")
    assert visit.where() == "app"
    details = stage.events("LOGIN")[0]["details"]
    assert details["identity_provider"] == "inland"
    assert details["gaitkeeper_decision"] == stage.decision().id
    assert stage.decision().body["answer"]["rule_id"] == "outcome.unavailable.no_capture"
    visit.context.close()


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


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
    assert "Nothing to change." in stage.gaitkeeper("plan")


def test_the_servers_log_holds_no_password_and_no_capture(stage: Stage) -> None:
    log = stage.server.log.read_text() if stage.server.log.is_file() else ""
    assert PASSWORD not in log
    assert '"k":{' not in log
