"""Consent at a real server: asked, given, refused, taken back, and asked for by an application."""

import secrets
import time
from collections.abc import Iterator

import pytest
from direct import Direct, Page
from stage import Stage, Visit

pytestmark = pytest.mark.timeout(900)

ASK = {"kc_action": "gaitkeeper-consent"}


@pytest.fixture
def newcomer(stage: Stage) -> str:
    """Somebody with a second factor who was never asked."""
    name = f"guest-{secrets.token_hex(3)}"
    stage.add_person(name, otp=True)
    return name


@pytest.fixture
def somebody(stage: Stage) -> Iterator[Direct]:
    with Direct(stage) as made:
        yield made


def chosen(stage: Stage, username: str) -> str:
    """Return what a person chose last."""
    user = stage.user_id(username)
    found = [one["details"] for one in stage.events("CUSTOM_REQUIRED_ACTION") if one["userId"] == user]
    return str(found[0]["gaitkeeper_consent"]) if found else "nothing"


def signed_in(somebody: Direct, username: str) -> Page:
    """Log in as far as the notice."""
    return somebody.pass_otp(somebody.sign_in(somebody.open(), username, typed=True))


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


def test_who_refuses_is_asked_once_and_signs_in_as_before(stage: Stage, somebody: Direct, newcomer: str) -> None:
    assert somebody.refuse(signed_in(somebody, newcomer)).name == "app"
    assert chosen(stage, newcomer) == "refused"
    with Direct(stage) as later:
        page = later.sign_in(later.open(), newcomer, typed=True)
        assert page.name == "login-login-otp"
        assert stage.decision().body["answer"]["rule_id"] == "outcome.unavailable.no_consent"
        assert stage.decision().body["scores"] == []
        time.sleep(0.1)
        assert later.pass_otp(page).name == "app"


def test_a_choice_is_taken_back_by_an_applications_link_and_what_was_learned_goes(
    stage: Stage, somebody: Direct, newcomer: str
) -> None:
    assert somebody.agree(signed_in(somebody, newcomer)).name == "app"
    assert chosen(stage, newcomer) == "given"
    stage.learn(newcomer)
    assert stage.fields(newcomer) == {"username", "password"}
    page = somebody.refuse(somebody.open(**ASK))
    assert "kc_action_status=success" in page.url
    assert chosen(stage, newcomer) == "refused"
    stage.until(lambda: stage.fields(newcomer) == set())
    assert "kc_action_status=success" in somebody.agree(somebody.open(**ASK)).url
    assert chosen(stage, newcomer) == "given"


def test_an_application_that_asks_can_be_cancelled(stage: Stage, somebody: Direct, newcomer: str) -> None:
    assert somebody.refuse(signed_in(somebody, newcomer)).name == "app"
    page = somebody.send("POST", somebody.open(**ASK).action, data={"cancel-aia": "true"})
    assert "kc_action_status=cancelled" in page.url
    assert chosen(stage, newcomer) == "refused"


def test_a_form_without_a_choice_is_shown_again(stage: Stage, somebody: Direct, newcomer: str) -> None:
    page = signed_in(somebody, newcomer)
    again = somebody.send("POST", page.action, data={"gaitkeeper_choice": "perhaps"})
    assert 'id="gaitkeeper-consent"' in again.text
    assert somebody.agree(again).name == "app"
    assert chosen(stage, newcomer) == "given"


def test_an_administrator_in_somebodys_session_is_not_asked_and_cannot_answer_for_them(
    stage: Stage, somebody: Direct, newcomer: str
) -> None:
    assert somebody.impersonate(newcomer).status_code == 200
    assert somebody.open().name == "app"
    page = somebody.open(**ASK)
    assert 'id="gaitkeeper-consent"' not in page.text
    assert chosen(stage, newcomer) == "nothing"
    assert "gaitkeeper_consent" not in stage.api.get(f"/users/{stage.user_id(newcomer)}").get("attributes", {})


def test_prompt_none_is_not_asked_for_consent(stage: Stage, somebody: Direct, newcomer: str) -> None:
    signed_in(somebody, newcomer)  # and leaves at the notice: no session yet
    silent = somebody.open(prompt="none")
    assert "error=" in silent.url
    assert chosen(stage, newcomer) == "nothing"
