"""The demo's real login page in a real Chromium: how people and software fill it in, and what is decided."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from support.stage import STRANGER, Demo, Visitor

from sidecar.demo.layout import PEOPLE

AMELIA = PEOPLE[0]
OWN = int(AMELIA.typist or 0)


@pytest.fixture(params=["form only", "connected"])
def a_visitor(demo: Demo, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """A browser nobody is known in, whose page makes no connection; and one whose last person has agreed (decision 15)."""
    made = demo.visitor()
    asked: list[str] = []
    made.page.on("request", lambda sent: asked.append(sent.url))
    if request.param == "connected":
        made.open()
        made.type_login(AMELIA, OWN)
        assert made.arrived("app")
        for name in ("demo_idp_session", "demo_app_session"):
            made.context.clear_cookies(name=name)
    yield made
    assert any("/v1/captures" in url for url in asked) is (request.param == "connected")
    made.context.close()


def test_owner_is_allowed(demo: Demo, visitor: Visitor) -> None:
    """CAP1: typed events in, a match out; no second factor for the person the product knows."""
    visitor.open()
    visitor.type_login(AMELIA, OWN)
    assert visitor.arrived("app")
    decided = demo.last()
    assert decided["answer"]["action"] == "allow"
    assert decided["facts"]["keystroke.outcome"] == "match"
    assert {score["field"] for score in decided["scores"]} == {"username", "password"}


def test_stranger_with_the_password_is_challenged(demo: Demo, visitor: Visitor) -> None:
    visitor.open()
    visitor.type_login(AMELIA, STRANGER)
    assert visitor.arrived("otp")
    assert demo.last()["answer"]["rule_id"] == "keystroke-mismatch"
    assert "mismatch" not in visitor.page.content()  # SEC6: the page does not say why


def test_pasted_password_is_challenged_and_not_blocked(demo: Demo, open_visitor: Callable[..., Visitor]) -> None:
    """CAP3, CAP4: paste works, and says so."""
    visitor = open_visitor(permissions=["clipboard-read", "clipboard-write"])
    visitor.open()
    visitor.page.evaluate("text => navigator.clipboard.writeText(text)", AMELIA.password)
    visitor.page.fill("#username", AMELIA.username)
    visitor.page.focus("#password")
    visitor.page.keyboard.press("Control+V")
    visitor.page.keyboard.press("Enter")
    assert visitor.arrived("otp")
    assert demo.last()["answer"]["rule_id"] == "outcome.unavailable.pasted"


def test_value_set_by_software_is_filled(demo: Demo, visitor: Visitor) -> None:
    """CAP4: a password manager writes ``.value``; no key, no event."""
    visitor.open()
    visitor.page.evaluate(
        "([name, word]) => { document.querySelector('#username').value = name;"
        " document.querySelector('#password').value = word; }",
        [AMELIA.username, AMELIA.password],
    )
    visitor.page.click("#login button[type=submit]")
    assert visitor.arrived("otp")
    assert demo.last()["facts"]["provenance.password"] == "filled"


def test_javascript_off(demo: Demo, open_visitor: Callable[..., Visitor]) -> None:
    """CAP8: the login works unchanged; without evidence the ordinary second factor is asked for."""
    visitor = open_visitor(java_script_enabled=False)
    visitor.open()
    visitor.page.fill("#username", AMELIA.username)
    visitor.page.fill("#password", AMELIA.password)
    visitor.page.click("#login button[type=submit]")
    assert visitor.arrived("otp")
    assert demo.last()["answer"]["rule_id"] == "outcome.unavailable.no_capture"
    visitor.pass_second_factor(AMELIA)


def test_wrong_password_then_retry(demo: Demo, a_visitor: Visitor) -> None:
    """The typing of the wrong password is no evidence of anything; the accepted one counts."""
    before = demo.recent()
    a_visitor.open()
    a_visitor.type_into("#username", AMELIA.username, a_visitor.rhythm(AMELIA, OWN, None)[0])
    a_visitor.type_password(AMELIA, STRANGER, password="harbour-lampost")
    a_visitor.page.wait_for_selector("#error")
    assert [item.id for item in demo.recent()] == [item.id for item in before]
    a_visitor.type_password(AMELIA, OWN)
    a_visitor.page.wait_for_url(f"{demo.layout.app_url}/**")
    scored = {score["field"]: score["llr"] for score in demo.last()["scores"]}
    assert scored["password"] < 0  # the owner's, although a stranger typed into the same field before


def test_two_tabs_are_two_captures(demo: Demo, a_visitor: Visitor) -> None:
    a_visitor.open()
    other = Visitor(demo, a_visitor.context, a_visitor.context.new_page())
    other.open()
    a_visitor.page.bring_to_front()
    a_visitor.type_login(AMELIA, STRANGER)
    assert a_visitor.arrived("otp")
    other.page.bring_to_front()
    other.type_login(AMELIA, STRANGER)
    assert other.arrived("otp")
    rules = [item.body["answer"]["rule_id"] for item in demo.recent(2)]
    assert rules == ["keystroke-mismatch", "keystroke-mismatch"]


def test_username_first(demo: Demo, a_visitor: Visitor) -> None:
    """CAP11: user name on one page, password on the next, one capture."""
    a_visitor.open(layout="split")
    name_rows, rows = a_visitor.rhythm(AMELIA, OWN, None)
    a_visitor.type_into("#username", AMELIA.username, name_rows)
    a_visitor.page.keyboard.press("Enter")
    a_visitor.page.wait_for_selector("#password")
    a_visitor.type_into("#password", AMELIA.password, rows)
    assert a_visitor.arrived("app")
    assert {score["field"] for score in demo.last()["scores"]} == {"username", "password"}


def test_back_after_a_decision_is_no_dead_end(demo: Demo, a_visitor: Visitor) -> None:
    a_visitor.open()
    a_visitor.type_login(AMELIA, STRANGER)
    assert a_visitor.arrived("otp")
    a_visitor.open()
    a_visitor.type_login(AMELIA, OWN)
    assert a_visitor.arrived("app")


def test_page_is_left_as_it_was(visitor: Visitor) -> None:
    """CAP3, CAP12: typing changes no element, attribute or focus; the widget adds nothing to the page."""
    visitor.open()
    before = visitor.page.evaluate("document.documentElement.outerHTML")
    name_rows, rows = visitor.rhythm(AMELIA, OWN, None)
    visitor.type_into("#username", AMELIA.username, name_rows)
    visitor.type_into("#password", AMELIA.password, rows[:-1])
    assert visitor.page.evaluate("document.documentElement.outerHTML") == before
    assert visitor.page.evaluate("document.activeElement.id") == "password"


def test_payload_holds_no_key_and_no_value(visitor: Visitor) -> None:
    """CAP2: what leaves the page is times and classes; equal rhythm gives equal columns for other characters."""
    columns = []
    rows = visitor.rhythm(AMELIA, OWN, 77)[1]
    for word in ("harbour-lantern", "HARBOUR-LANTERN", "x9q7z1w3e5r8t2y"):
        visitor.open()
        visitor.page.fill("#username", AMELIA.username)
        with visitor.page.expect_request(lambda request: request.method == "POST" and "/login" in request.url) as sent:
            visitor.type_into("#password", word, rows)
        (field,) = [value for value in parse_qs(sent.value.post_data)["gaitkeeper_capture"] if value]
        batch = json.loads(field)["b"][-1]
        columns.append(batch)
        assert word not in field
        visitor.context.clear_cookies()
    # The events' times are played to 0.1 ms and rounded; byte for byte this is proven in widget/src/signals/keyboard.test.ts.
    for other in columns[1:]:
        for exact in ("f", "s", "page", "end", "q", "ctx"):
            assert other[exact] == columns[0][exact]
        assert [other["k"][name] for name in "fc"] == [columns[0]["k"][name] for name in "fc"]
        for name in "dh":
            assert np.abs(np.subtract(other["k"][name], columns[0]["k"][name])).max() <= 4


def test_no_extra_page(demo: Demo, open_visitor: Callable[..., Visitor]) -> None:
    """CAP7: as many documents are loaded with the widget as without JavaScript."""
    counts = []
    for scripted in (True, False):
        visitor = open_visitor(java_script_enabled=scripted)
        documents: list[str] = []
        visitor.page.on("request", _counter(documents))
        visitor.open()
        visitor.page.fill("#username", AMELIA.username)
        visitor.page.fill("#password", AMELIA.password)
        visitor.page.click("#login button[type=submit]")
        visitor.arrived("otp")
        counts.append(len(documents))
    assert counts[0] == counts[1] > 1


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["hanging", "gone"])
def test_sidecar_down(own_demo: Demo, how: signal.Signals) -> None:
    """OPS3: the login goes on by the client's fail mode, here the ordinary second factor."""
    visitor = own_demo.visitor()
    visitor.open()
    sidecar = own_demo.running[0]
    os.kill(sidecar.pid, how)
    try:
        visitor.type_login(AMELIA, OWN)
        assert visitor.arrived("otp")
        visitor.pass_second_factor(AMELIA)
    finally:
        visitor.context.close()
        if how is signal.SIGSTOP:
            os.kill(sidecar.pid, signal.SIGCONT)


def _counter(documents: list[str]) -> Callable[[Any], None]:
    def note(request: Any) -> None:
        if request.resource_type == "document":
            documents.append(request.url)

    return note
