"""The main path in Firefox: typed, measured, scored, granted."""

from pathlib import Path
from urllib.parse import urlencode

import pytest
from firefox import ENTER, TAB, Firefox, firefox, keys
from stage import APP, PASSWORD, USERNAME, WHO, Stage

from sidecar.demo.seeding import synthetic_login

pytestmark = pytest.mark.timeout(600)

TRIES = 4  # a driver's pauses are longer than asked for on a busy machine; then it is not Amelia's rhythm any more


def login(browser: Firefox, stage: Stage) -> str:
    """Type the login as its owner; return the id of the page that follows, or app."""
    query = {"client_id": "app", "redirect_uri": APP, "response_type": "code", "scope": "openid", "prompt": "login"}
    browser.open(f"{stage.issuer}/protocol/openid-connect/auth?{urlencode(query)}")
    browser.until("document.querySelector('script[data-attempt]')")
    stage.logins += 1
    names, rows = synthetic_login(WHO, stage.logins, USERNAME, PASSWORD)
    browser.script("document.querySelector('#username').focus()")
    browser.press(keys(USERNAME, names, TAB))
    browser.press(keys(PASSWORD, rows, ENTER))
    there = f"location.href.startsWith('{APP}')"
    browser.until(f"{there} || document.body?.dataset.pageId === 'login-login-otp'")
    return "app" if browser.script(f"return {there}") else "login-login-otp"


def test_a_typed_login_in_firefox_is_measured_scored_and_granted(stage: Stage, tmp_path: Path) -> None:
    with firefox(tmp_path / "profile") as browser:
        for _ in range(TRIES):
            page = login(browser, stage)
            decision = stage.decision()
            assert {score["field"] for score in decision.body["scores"]} == {"username", "password"}
            assert page == ("app" if decision.body["facts"]["keystroke.outcome"] == "match" else "login-login-otp")
            if page == "app":
                break
        assert page == "app"
        assert stage.events("LOGIN")[0]["details"]["gaitkeeper_action"] == "allow"
        assert stage.completed(decision.id)["outcome"] == "succeeded"
