"""Consent at a real server: asked, given, refused, taken back, and asked for by an application."""

import pytest
from stage import Stage, Visit

pytestmark = pytest.mark.timeout(900)


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
