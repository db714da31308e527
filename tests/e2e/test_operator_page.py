"""The operator page in a real Chromium: sign-in by role, the reason of a decision, ending a session."""

import time
from collections.abc import Callable

import httpx
import pytest
from support.stage import AXE, STRANGER, Demo, Visitor

from sidecar.demo.layout import PEOPLE

AMELIA, OPERATOR, VIEWER = PEOPLE
OWN = int(AMELIA.typist or 0)


def _sign_in(demo: Demo, visitor: Visitor, person: object) -> None:
    visitor.page.goto(f"{demo.layout.sidecar_url}/operator")
    visitor.page.click("a.button")
    visitor.page.fill("#username", person.username)
    visitor.page.fill("#password", person.password)
    visitor.page.click("#login button[type=submit]")
    visitor.page.wait_for_url(f"{demo.layout.sidecar_url}/operator")


def test_without_login_it_answers_401(demo: Demo) -> None:
    for path in ("/operator", "/operator/rows", "/operator/whoami"):
        answer = httpx.get(demo.layout.sidecar_url + path)
        assert answer.status_code == 401
        assert "amelia" not in answer.text
    assert httpx.post(f"{demo.layout.sidecar_url}/operator/decisions/demo/x/end").status_code == 401


def test_reason_appears_by_itself(demo: Demo, visitor: Visitor, open_visitor: Callable[..., Visitor]) -> None:
    """ADM1: who, what, why, live; the deciding rule in the trace is the keystroke mismatch. A viewer sees what, no more."""
    operator, viewer = open_visitor(), open_visitor()
    _sign_in(demo, operator, OPERATOR)
    _sign_in(demo, viewer, VIEWER)
    visitor.open()
    visitor.type_login(AMELIA, STRANGER)
    assert visitor.arrived("otp")
    decision = demo.recent()[0]
    row = operator.page.locator(f"#d-{decision.id}")
    row.wait_for(timeout=20_000)
    assert "amelia" in row.inner_text()
    assert "Second factor" in row.inner_text()
    row.locator("summary").click()
    text = row.inner_text()
    assert "decided by keystroke-mismatch" in text
    assert "than usual" in text
    assert row.locator("button").count() == 0  # nobody is in yet
    assert " ms" not in text  # nothing measured in a secret field is shown as such
    seen = viewer.page.locator(f"#d-{decision.id}")
    seen.wait_for(timeout=20_000)
    assert "Second factor" in seen.inner_text()
    assert "amelia" not in seen.inner_text()  # pseudonyms only, no reasons, nothing to press (docs/roles.md)
    assert "decided by" not in seen.inner_text()
    assert seen.locator("summary, button").count() == 0


def test_admin_ends_a_session(demo: Demo, visitor: Visitor, open_visitor: Callable[..., Visitor]) -> None:
    """REV1: through the outbox the provider ends it and the application page is logged out."""
    operator = open_visitor()
    _sign_in(demo, operator, OPERATOR)
    visitor.open()
    visitor.type_login(AMELIA, STRANGER)
    assert visitor.arrived("otp")
    decision = demo.recent()[0]
    row = operator.page.locator(f"#d-{decision.id}")
    row.locator("summary").click()  # as the README has it: looked at while the login is still open
    visitor.pass_second_factor(AMELIA)
    row.get_by_text("second factor passed").wait_for(timeout=10_000)
    operator.page.keyboard.press("Tab")
    assert operator.page.evaluate("document.activeElement.textContent").startswith("End session")
    operator.page.keyboard.press("Enter")
    operator.page.locator(f"#d-{decision.id}").get_by_text("session ended").wait_for(timeout=30_000)
    visitor.page.get_by_text("You have been signed out by security").wait_for(timeout=15_000)
    visitor.page.reload()
    assert "Sign in" in visitor.page.inner_text("body")


def test_viewer_sees_no_name_and_no_reason_and_may_not_end_sessions(
    demo: Demo, open_visitor: Callable[..., Visitor]
) -> None:
    operator = open_visitor()
    _sign_in(demo, operator, VIEWER)
    assert "amelia" not in operator.page.inner_text("main").lower()
    assert operator.page.locator("summary, meter, button:not(header *)").count() == 0
    status = operator.page.evaluate(
        "async () => (await fetch('/operator/decisions/demo/whatever/end', {method: 'POST', body: new URLSearchParams()})).status"
    )
    assert status == 403


def test_somebody_without_a_role_is_told_so_and_can_change(demo: Demo, visitor: Visitor) -> None:
    visitor.open()
    visitor.type_login(AMELIA, OWN)
    visitor.arrived("app")
    visitor.page.goto(f"{demo.layout.sidecar_url}/")
    visitor.page.click("a.button")
    visitor.page.get_by_role("alert").wait_for()
    assert "none of the roles" in visitor.page.inner_text("main")
    visitor.page.click("text=Sign in as somebody else")
    visitor.page.fill("#username", VIEWER.username)
    visitor.page.fill("#password", VIEWER.password)
    visitor.page.click("#login button[type=submit]")
    visitor.page.wait_for_url(f"{demo.layout.sidecar_url}/operator")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_is_clean(demo: Demo, open_visitor: Callable[..., Visitor], scheme: str) -> None:
    """ADM8, CAP12: no finding of axe on login, second factor, sign-up, account and operator pages."""
    visitor = open_visitor(bypass_csp=True, color_scheme=scheme)
    visitor.open()
    findings = _axe(visitor, "login")
    visitor.page.click("text=Create an account")
    findings += _axe(visitor, "sign-up")
    visitor.open()
    visitor.type_login(AMELIA, STRANGER)
    visitor.arrived("otp")
    findings += _axe(visitor, "second factor")
    visitor.open()
    visitor.type_login(AMELIA, OWN)
    visitor.arrived("app")
    findings += _axe(visitor, "account")
    operator = open_visitor(bypass_csp=True, color_scheme=scheme)
    operator.page.goto(f"{demo.layout.sidecar_url}/operator")
    findings += _axe(operator, "signed out")
    _sign_in(demo, operator, OPERATOR)
    for summary in operator.page.locator("summary").all()[:3]:
        summary.click()
    findings += _axe(operator, "operator")
    assert findings == []


def test_keyboard_only(demo: Demo, visitor: Visitor) -> None:
    """CAP12: login and operator page work without a pointer, in a sensible order, with a visible focus."""
    visitor.open()
    assert visitor.page.evaluate("document.activeElement.id") == "username"
    order = []
    for _ in range(4):
        visitor.page.keyboard.press("Tab")
        order.append(visitor.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert order[:2] == ["password", "Sign in"]
    visitor.page.goto(f"{demo.layout.sidecar_url}/operator")
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.textContent") == "Sign in"
    assert visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("#username")
    visitor.page.keyboard.type(OPERATOR.username)
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.type(OPERATOR.password)
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url(f"{demo.layout.sidecar_url}/operator")
    visitor.page.wait_for_selector("summary")
    for _ in range(12):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    visitor.page.keyboard.press("Enter")
    assert visitor.page.evaluate("document.activeElement.parentElement.open") is True


def _axe(visitor: Visitor, page: str) -> list[str]:
    visitor.page.add_script_tag(path=str(AXE))
    result = visitor.page.evaluate("async () => (await axe.run()).violations")
    return [f"{page}: {item['id']}: {[node['html'][:120] for node in item['nodes'][:3]]}" for item in result]


def _until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
