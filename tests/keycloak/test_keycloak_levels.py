"""Levels of authentication beside our decision, and running sessions about which the sidecar is asked."""

import json
import re
import time
from collections.abc import Iterator

import pytest
from direct import Direct, Page
from relying import told
from stage import Stage, claims, redeem

pytestmark = pytest.mark.timeout(900)

ESSENTIAL = json.dumps({"id_token": {"acr": {"essential": True, "values": ["gold"]}}})


@pytest.fixture
def somebody(levels: Stage) -> Iterator[Direct]:
    with Direct(levels) as made:
        yield made


def acr(stage: Stage, page: Page) -> str:
    assert page.name == "app", page.name
    return str(claims(redeem(stage, page.url)["id_token"])["acr"])


def test_an_application_that_demands_a_level_gets_it_whatever_the_decision(levels: Stage, somebody: Direct) -> None:
    page = somebody.sign_in(somebody.open(acr_values="gold"), typed=True)
    assert levels.decision().body["answer"]["action"] == "allow"
    assert page.name == "login-login-otp"
    assert acr(levels, somebody.pass_otp(page)) == "gold"


def test_a_running_session_steps_up_without_the_password(levels: Stage, somebody: Direct) -> None:
    assert acr(levels, somebody.sign_in(somebody.open(acr_values="silver"), typed=True)) == "silver"
    silent = somebody.open(acr_values="gold", prompt="none")
    assert "error=login_required" in silent.url or "error=interaction_required" in silent.url
    page = somebody.open(acr_values="gold")
    assert page.name == "login-login-otp"
    assert acr(levels, somebody.pass_otp(page)) == "gold"
    assert acr(levels, somebody.open(acr_values="silver")) == "silver"


def test_one_second_factor_meets_the_application_and_the_decision(levels: Stage, somebody: Direct) -> None:
    page = somebody.sign_in(somebody.open(acr_values="gold"))
    assert levels.decision().body["answer"]["action"] == "step_up"
    assert acr(levels, somebody.pass_otp(page)) == "gold"
    assert levels.completed(levels.decision().id)["second_factor"] is True


def test_an_essential_level_that_cannot_be_reached_is_an_error(levels: Stage, somebody: Direct) -> None:
    page = somebody.sign_in(somebody.open(claims=ESSENTIAL), "bruno")
    assert (page.name, page.status) == ("login-error", 400)
    with Direct(levels) as voluntary:
        page = voluntary.sign_in(voluntary.open(acr_values="gold"), "bruno")
        page = voluntary.refuse(page)
        assert acr(levels, page) == "silver"


def test_the_decision_challenges_at_every_level(levels: Stage, somebody: Direct) -> None:
    page = somebody.sign_in(somebody.open(acr_values="silver"))
    assert page.name == "login-login-otp"
    assert acr(levels, somebody.pass_otp(page)) in ("silver", "1")


def test_on_sso_ask_puts_the_question_to_the_sidecar(levels: Stage, somebody: Direct) -> None:
    assert somebody.sign_in(somebody.open(), typed=True).name == "app"
    first = levels.decision().id
    assert "code=" in somebody.open(prompt="none").url
    again = levels.decision()
    assert (again.id != first, again.body["action"]) == (True, "session_check")
    assert "error=login_required" in somebody.open("side", prompt="none").url
    challenged = somebody.open("side")
    assert challenged.name == "login-login-otp"
    assert "error=login_required" in somebody.open("closed", prompt="none").url
    assert somebody.open("closed").status == 403
    assert somebody.pass_otp(challenged).name == "app"


def test_a_rule_ends_the_sessions_of_whom_it_is_about(levels: Stage, somebody: Direct) -> None:
    page = somebody.sign_in(somebody.open(), typed=True)
    sid = redeem(levels, page.url)["session_state"]
    assert somebody.open("open").name == "login-login-otp"
    assert told(levels, sid) is not None
    # The token is sent before the removal is committed, and a login in that moment brings the session back for one look.
    end = time.monotonic() + 20
    time.sleep(1)
    while "error=login_required" not in somebody.open(prompt="none").url:
        assert time.monotonic() < end
        time.sleep(2)


def test_a_rule_that_denies_is_a_neutral_page_and_one_event_with_the_decision(levels: Stage, somebody: Direct) -> None:
    form = somebody.open("closed")
    page = somebody.sign_in(form, typed=True)
    assert page.status == 403
    for _ in range(2):  # looked at again: no other denial
        assert somebody.send("GET", re.sub(r"(session_code|execution)=[^&]*&", "", form.action)).status == 403
    assert "You cannot sign in at the moment" in page.text
    decision = levels.decision()
    assert decision.body["answer"]["rule_id"] == "closed"
    error = levels.events("LOGIN_ERROR")[0]
    assert (error["error"], error["details"]["gaitkeeper_decision"]) == ("gaitkeeper_denied", decision.id)
    assert sum(one["details"].get("gaitkeeper_decision") == decision.id for one in levels.events("LOGIN_ERROR")) == 1
    assert levels.completed(decision.id)["outcome"] == "failed"
