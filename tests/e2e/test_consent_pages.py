"""Consent and people's rights in a real Chromium, with a look into the sidecar's database (PRV1, PRV2)."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.stage import AXE, Demo, Visitor

from sidecar.demo.layout import PEOPLE, Person

AMELIA = PEOPLE[0]
OWN = int(AMELIA.typist or 0)
RHYTHM = 11
MEASURED = ("samples", "templates", "checkpoints", "waiting_probes")


@pytest.fixture
def newcomer(demo: Demo) -> Iterator[Callable[..., tuple[Visitor, Person]]]:
    """Somebody who signs up in a browser of their own."""
    made: list[Visitor] = []

    def sign_up(name: str, *, agree: bool, **context: Any) -> tuple[Visitor, Person]:
        visitor = demo.visitor(**context)
        made.append(visitor)
        visitor.open()
        visitor.page.click("text=Create an account")
        for field, text in (("name", name.title()), ("username", name), ("password", f"{name} long word")):
            visitor.page.fill(f"#{field}", text)
        assert not visitor.page.is_checked("input[name=typing]")
        if agree:
            visitor.page.check("input[name=typing]")
        visitor.page.click("text=Create account")
        secret = visitor.page.inner_text("code.key").replace(" ", "")
        return visitor, Person(name, name.title(), f"{name} long word", demo.sub(name), totp_secret=secret)

    yield sign_up
    for visitor in made:
        visitor.context.close()


def sign_in(visitor: Visitor, person: Person) -> dict[str, Any]:
    """One whole login by the person's own rhythm, with the second factor where it is asked; the decision's body."""
    visitor.page.goto(f"{visitor.demo.layout.app_url}/login?prompt=login")
    visitor.type_login(person, RHYTHM)
    visitor.page.wait_for_url(lambda url: "/login?" not in url or url.startswith(visitor.demo.layout.app_url))
    decided = visitor.demo.last()
    if "/otp?" in visitor.page.url:
        visitor.page.fill("#code", visitor.demo.code(person))
        visitor.page.click("button[type=submit]")
        visitor.page.wait_for_url(lambda url: "/otp?" not in url)
    return decided


def press(visitor: Visitor, label: str) -> None:
    """Press a button of the page about typing."""
    visitor.page.goto(f"{visitor.demo.layout.idp_url}/account/typing")
    visitor.page.get_by_role("button", name=label).click()
    visitor.page.wait_for_url("**/account/typing?done=*")


def measured(demo: Demo, person: Person) -> dict[str, int]:
    """How many rows each table of measurements holds of a person."""
    return {table: len(demo.rows(table, person.sub)) for table in MEASURED}


def test_prv1_refusing_at_sign_up_stores_nothing_about_typing(demo: Demo, newcomer: Callable[..., Any]) -> None:
    visitor, person = newcomer("rosa", agree=False)
    for _ in range(2):
        decided = sign_in(visitor, person)
        visitor.arrived("app")
        assert decided["answer"]["action"] == "step_up"
        assert decided["facts"]["keystroke.cause"] == "no_consent"
        assert decided["facts"]["consent.state"] == "refused"
        assert decided["scores"] == []
        demo.settled()
        assert measured(demo, person) == dict.fromkeys(MEASURED, 0)
    visitor.page.get_by_text("Nobody looks at how you type").wait_for()


def test_prv1_agreeing_at_sign_up_teaches_after_a_second_factor(demo: Demo, newcomer: Callable[..., Any]) -> None:
    visitor, person = newcomer("gwen", agree=True)
    decided = sign_in(visitor, person)
    visitor.arrived("app")
    assert decided["facts"]["consent.state"] == "given"
    demo.until(lambda: measured(demo, person)["samples"] == 2)  # user name and password
    assert measured(demo, person)["waiting_probes"] == 0


def test_prv1_agreeing_without_a_second_factor_teaches_nothing_until_one(
    demo: Demo, newcomer: Callable[..., Any]
) -> None:
    """The widget waits in the form until its person is known, and nothing is asked of the sidecar by the browser."""
    visitor, person = newcomer("nell", agree=False)
    demo.forget_answer(person.sub)
    demo.set_second_factor(person.sub, None)
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    decided = sign_in(visitor, person)
    assert decided["answer"]["action"] == "allow"  # nobody to ask, and no locked door
    assert decided["facts"]["keystroke.cause"] == "no_consent"
    visitor.page.wait_for_url("**/consent?**")
    assert not any("/v1/captures" in url for url in asked)
    visitor.page.get_by_role("button", name="Agree").click()
    visitor.arrived("app")
    demo.until(lambda: bool(demo.rows("subjects", person.sub)))
    for _ in range(2):
        sign_in(visitor, person)
        visitor.arrived("app")
        demo.settled()
        assert measured(demo, person)["samples"] == 0
    assert any("/v1/captures" in url for url in asked)  # known to have agreed: now it may connect
    demo.set_second_factor(person.sub, person.totp_secret)
    sign_in(visitor, person)
    visitor.arrived("app")
    demo.until(lambda: measured(demo, person)["samples"] == 2)


def test_prv1_withdrawing_erases_pausing_keeps(demo: Demo, newcomer: Callable[..., Any]) -> None:
    visitor, person = newcomer("will", agree=True)
    sign_in(visitor, person)
    visitor.arrived("app")
    demo.until(lambda: measured(demo, person)["samples"] == 2)
    press(visitor, "Pause")
    assert "Paused" in visitor.page.inner_text("main")
    decided = sign_in(visitor, person)
    assert decided["facts"]["keystroke.cause"] == "paused"
    assert decided["answer"]["rule_id"] == "outcome.unavailable.paused"
    visitor.arrived("app")
    demo.settled()
    assert measured(demo, person)["samples"] == 2
    press(visitor, "Resume")
    assert "Agreed" in visitor.page.inner_text("main")
    press(visitor, "Withdraw")
    assert "Not agreed" in visitor.page.inner_text("main")
    assert measured(demo, person) == dict.fromkeys(MEASURED, 0)
    assert sign_in(visitor, person)["facts"]["consent.state"] == "withdrawn"


def test_prv2_download_and_forget(demo: Demo, newcomer: Callable[..., Any]) -> None:
    visitor, person = newcomer("dora", agree=True)
    sign_in(visitor, person)
    visitor.arrived("app")
    demo.until(lambda: measured(demo, person)["samples"] == 2)
    visitor.page.goto(f"{demo.layout.idp_url}/account/typing")
    with visitor.page.expect_download() as awaited:
        visitor.page.get_by_role("button", name="Download my data").click()
    assert awaited.value.suggested_filename == "my-typing.json"
    document = json.loads(Path(awaited.value.path()).read_text())
    assert (document["subject"], document["name"]) == (person.sub, "dora")
    assert document["consent"]["state"] == "given"
    assert {sample["field"] for sample in document["samples"]} == {"username", "password"}
    assert len(document["decisions"]) == 1
    press(visitor, "Forget my typing")
    assert "Not agreed" in visitor.page.inner_text("main")
    for table in (*MEASURED, "decisions", "directory", "subjects"):
        assert demo.rows(table, person.sub) == [], table
    assert sign_in(visitor, person)["facts"]["consent.state"] == "refused"  # and does not begin again by itself
    assert measured(demo, person) == dict.fromkeys(MEASURED, 0)


def test_prv1_global_privacy_control_is_a_fact(demo: Demo, newcomer: Callable[..., Any]) -> None:
    visitor, person = newcomer("gina", agree=True, extra_http_headers={"Sec-GPC": "1"})
    assert sign_in(visitor, person)["facts"]["consent.gpc"] is True
    plain, other = newcomer("pete", agree=True)
    assert sign_in(plain, other)["facts"]["consent.gpc"] is False


@pytest.mark.parametrize("answer", ["Agree", "No, thanks"])
def test_prv1_the_question_works_by_keyboard_and_without_javascript(
    demo: Demo, newcomer: Callable[..., Any], answer: str
) -> None:
    name = "kay" if answer == "Agree" else "kim"
    visitor, person = newcomer(name, agree=False, java_script_enabled=False)
    demo.forget_answer(person.sub)
    visitor.open()
    visitor.page.fill("#username", person.username)
    visitor.page.fill("#password", person.password)
    visitor.page.keyboard.press("Enter")
    visitor.arrived("otp")
    visitor.page.fill("#code", demo.code(person))
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**/consent?**")
    boxes = [visitor.page.get_by_role("button", name=label).bounding_box() for label in ("No, thanks", "Agree")]
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=1)
    assert boxes[0]["height"] == boxes[1]["height"]
    focused = visitor.page.locator(":focus")
    for _ in range(6):
        visitor.page.keyboard.press("Tab")
        if focused.count() and focused.inner_text() == answer:
            break
    visitor.page.keyboard.press("Enter")
    visitor.arrived("app")
    demo.until(lambda: bool(demo.rows("subjects", person.sub)))
    assert demo.rows("subjects", person.sub)[0][2] == ("given" if answer == "Agree" else "refused")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_prv1_axe_is_clean(demo: Demo, newcomer: Callable[..., Any], scheme: str) -> None:
    """No finding on the question and on every state of the page about typing."""
    visitor, person = newcomer(f"axel-{scheme}", agree=False, bypass_csp=True, color_scheme=scheme)
    demo.forget_answer(person.sub)
    sign_in(visitor, person)
    visitor.page.wait_for_url("**/consent?**")
    findings = _axe(visitor, "question")
    visitor.page.goto(f"{demo.layout.idp_url}/account/typing")
    findings += _axe(visitor, "not asked")
    for label in ("Agree", "Pause", "Resume", "Withdraw"):
        press(visitor, label)
        findings += _axe(visitor, label)
    assert findings == []


def test_prv2_a_dead_sidecar_is_said_plainly_and_stops_nobody(own_demo: Demo) -> None:
    visitor = own_demo.visitor()
    visitor.open()
    visitor.type_login(AMELIA, OWN)
    visitor.arrived("app")
    os.kill(own_demo.running[0].pid, signal.SIGKILL)
    visitor.page.goto(f"{own_demo.layout.idp_url}/account/typing")
    assert "does not answer" in visitor.page.get_by_role("alert").inner_text()
    visitor.page.get_by_role("button", name="Pause").click()
    visitor.page.get_by_text("Nothing was paused").wait_for()
    visitor.page.get_by_role("button", name="Withdraw").click()
    visitor.page.get_by_text("Your withdrawal is kept here").wait_for()
    assert "Not agreed" in visitor.page.inner_text("main")
    visitor.page.goto(f"{own_demo.layout.app_url}/login?prompt=login")
    visitor.type_login(AMELIA, OWN)
    visitor.arrived("otp")
    visitor.pass_second_factor(AMELIA)
    visitor.context.close()


def _axe(visitor: Visitor, page: str) -> list[str]:
    visitor.page.add_script_tag(path=str(AXE))
    result = visitor.page.evaluate("async () => (await axe.run()).violations")
    return [f"{page}: {item['id']}: {[node['html'][:120] for node in item['nodes'][:3]]}" for item in result]
