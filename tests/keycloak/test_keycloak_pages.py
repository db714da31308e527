"""Keycloak's own pages with our theme: what is not typed, no JavaScript, a strict policy, a passkey, a security key."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from stage import APP, PASSWORD, STRANGER, USERNAME, Stage, Visit

pytestmark = pytest.mark.timeout(900)

STRICT = "script-src 'self'; connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; object-src 'none'"
SET = """([name, word]) => { document.querySelector('#username').value = name;
  document.querySelector('#password').value = word; }"""
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def strict(stage: Stage) -> Iterator[None]:
    """The realm with a content security policy that permits its own scripts and connections alone."""
    headers = stage.api.get()["browserSecurityHeaders"]
    stage.api.put("", {"realm": stage.name, "browserSecurityHeaders": headers | {"contentSecurityPolicy": STRICT}})
    yield
    stage.api.put("", {"realm": stage.name, "browserSecurityHeaders": headers})


@pytest.fixture
def passkeys(stage: Stage) -> Iterator[None]:
    """The realm with passkeys on the login page. The server ignores these settings unless the whole realm comes with them."""
    before = stage.api.get()
    wanted = {"webAuthnPolicyPasswordlessPasskeysEnabled": True, "webAuthnPolicyPasswordlessRequireResidentKey": "Yes"}
    stage.api.put("", before | wanted)
    yield
    stage.api.put("", before)


def rule(stage: Stage) -> str:
    return str(stage.decision().body["answer"]["rule_id"])


def test_cap6_under_a_strict_content_security_policy_the_field_of_the_form_is_enough(
    stage: Stage, visit: Visit, strict: None
) -> None:
    blocked: list[str] = []
    visit.page.on("console", lambda said: blocked.append(said.text) if "gaitkeeper" in said.text else None)
    sent: list[str] = []
    visit.page.on("request", lambda request: sent.append(request.url))
    visit.open()
    assert visit.page.evaluate("document.contentType") == "text/html"
    visit.type_login()
    assert visit.where() == "app"
    assert stage.decision().body["facts"]["keystroke.outcome"] == "match"
    assert blocked == []
    assert not [url for url in sent if url.startswith(stage.sidecar_url)]


def test_an_administrator_decides_what_the_pages_tell_of_the_password(stage: Stage) -> None:
    attributes = stage.api.get()["attributes"]
    wanted = attributes | {"gaitkeeper.secretFields": "off"}
    stage.api.put("", {"realm": stage.name, "attributes": wanted})
    visit = stage.visit()
    try:
        visit.open()
        visit.type_login()
        assert visit.where() in ("app", "login-login-otp")
        assert {score["field"] for score in stage.decision().body["scores"]} <= {"username"}
    finally:
        stage.api.put("", {"realm": stage.name, "attributes": attributes})
        visit.context.close()


def test_a_pasted_password_is_asked_for_a_second_factor(stage: Stage) -> None:
    visit = Visit(stage, stage.browser.new_context(permissions=["clipboard-read", "clipboard-write"]))
    visit.open()
    visit.page.evaluate("text => navigator.clipboard.writeText(text)", PASSWORD)
    visit.page.fill("#username", USERNAME)
    visit.page.focus("#password")
    visit.page.keyboard.press("Control+V")
    visit.page.keyboard.press("Enter")
    assert visit.where() == "login-login-otp"
    assert rule(stage) == "outcome.unavailable.pasted"
    visit.context.close()


def test_a_password_manager_is_asked_for_a_second_factor(stage: Stage, visit: Visit) -> None:
    visit.open()
    visit.page.evaluate(SET, [USERNAME, PASSWORD])
    visit.page.click("#kc-login")
    assert visit.where() == "login-login-otp"
    assert rule(stage) == "outcome.unavailable.filled"


def test_without_javascript_a_login_is_asked_for_a_second_factor_and_passes(stage: Stage) -> None:
    visit = Visit(stage, stage.browser.new_context(java_script_enabled=False))
    visit.open()
    visit.page.fill("#username", USERNAME)
    visit.page.fill("#password", PASSWORD)
    visit.page.click("#kc-login")
    visit.page.wait_for_selector("#otp")
    assert rule(stage) == "outcome.unavailable.no_capture"
    visit.pass_otp()
    visit.page.wait_for_url(f"{APP}*")
    visit.context.close()


def test_a_security_key_is_a_second_factor(stage: Stage, visit: Visit) -> None:
    stage.add_person("kirana", otp=False, gaitkeeper_consent=["given 1 1795270000"])
    stage.learn("kirana")
    cdp = visit.context.new_cdp_session(visit.page)
    cdp.send("WebAuthn.enable")
    cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR | {"hasResidentKey": False}})
    named = f"{stage.server.url.replace('127.0.0.1', 'localhost')}/realms/{stage.name}/protocol/openid-connect/auth?"
    query = {"client_id": "app", "redirect_uri": APP, "response_type": "code", "scope": "openid"}
    visit.page.goto(named + urlencode(query | {"kc_action": "webauthn-register"}))
    visit.type_login("kirana")  # herself, so she may set one up
    visit.page.on("dialog", lambda dialog: dialog.accept("key"))
    visit.page.wait_for_selector("#registerWebAuthn")
    visit.page.click("#registerWebAuthn")
    visit.page.wait_for_url(f"{APP}*")
    visit.context.clear_cookies()
    visit.page.goto(named + urlencode(query))
    visit.type_login("kirana", who=STRANGER)
    visit.page.wait_for_selector("#authenticateWebAuthnButton")
    decision = stage.decision()
    assert decision.body["facts"]["keystroke.outcome"] == "mismatch"
    visit.page.click("#authenticateWebAuthnButton")
    visit.page.wait_for_url(f"{APP}*")
    assert stage.completed(decision.id)["second_factor"] is True


def test_a_passkey_brings_no_typing_and_passes_the_same_decision(stage: Stage, visit: Visit, passkeys: None) -> None:
    cdp = visit.context.new_cdp_session(visit.page)
    cdp.send("WebAuthn.enable")
    cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    # A passkey belongs to a host name, and an address is none.
    named = f"{stage.server.url.replace('127.0.0.1', 'localhost')}/realms/{stage.name}/protocol/openid-connect/auth?"
    query = {"client_id": "app", "redirect_uri": APP, "response_type": "code", "scope": "openid"}
    visit.page.goto(named + urlencode(query | {"kc_action": "webauthn-register-passwordless"}))
    visit.type_login()
    visit.page.on("dialog", lambda dialog: dialog.accept("key"))
    visit.page.wait_for_selector("#registerWebAuthn")
    visit.page.click("#registerWebAuthn")
    visit.page.wait_for_url(f"{APP}*")
    before = stage.decision().id
    visit.context.clear_cookies()
    visit.page.goto(named + urlencode(query))  # its conditional interface signs in by itself
    visit.page.wait_for_selector("#otp")
    decision = stage.decision()
    assert decision.id != before
    assert decision.body["facts"]["keystroke.outcome"] == "unavailable"
    visit.pass_otp()
    visit.page.wait_for_url(f"{APP}*")
    assert stage.completed(decision.id)["second_factor"] is True
