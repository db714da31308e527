"""A realm that asks for the user name first, and the ways in that have no page of it: grants and brokers."""

import pytest
from stage import PASSWORD, Stage, code, inland, password_grant

pytestmark = pytest.mark.timeout(900)


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
    assert stage.fields("amelia") == {"username", "password"}
    stage.change_password("amelia", "another-word-here")
    stage.until(lambda: stage.fields("amelia") == {"username"})
    stage.api.delete(f"/users/{user}")
    stage.until(lambda: stage.fields_of(user) == set())


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
    assert stage.decision().body["answer"]["rule_id"] == "outcome.unavailable.no_consent"
    visit.context.close()
