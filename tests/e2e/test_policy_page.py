"""The operators' policy pages in a real Chromium: choose, break, mend, backtest, publish, go back (POL2, POL6, POL8)."""

from collections.abc import Callable

import pytest
from support.stage import AXE, STRANGER, Demo, Visitor

from sidecar.demo.layout import PEOPLE

AMELIA, OPERATOR, VIEWER = PEOPLE


def _sign_in(demo: Demo, visitor: Visitor, person: object) -> None:
    visitor.page.goto(f"{demo.layout.sidecar_url}/operator")
    visitor.page.click("a.button")
    visitor.page.fill("#username", person.username)
    visitor.page.fill("#password", person.password)
    visitor.page.click("#login button[type=submit]")
    visitor.page.wait_for_url(f"{demo.layout.sidecar_url}/operator")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_pol2_a_candidate_from_its_mistakes_to_everybody_and_back(
    demo: Demo, visitor: Visitor, open_visitor: Callable[..., Visitor], scripts: bool
) -> None:
    visitor.open()
    visitor.type_login(AMELIA, STRANGER)
    assert visitor.arrived("otp")
    operator = open_visitor(java_script_enabled=scripts)
    page = operator.page
    _sign_in(demo, operator, OPERATOR)
    page.click("nav >> text=Policies")
    assert "In force" in page.inner_text("main")
    page.click("text=Try a candidate")
    page.click("main >> a >> text=default")
    text = page.input_value("#source")
    assert text.startswith("# Gaitkeeper's shipped policy")

    page.fill("#source", text.replace("mismatch_from: 0.8", "mismatch_from: 99"))
    page.click("button >> text=Check")
    alert = page.locator(".mistakes")
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "mismatch_from" in row)
    assert f"line {line}, column" in alert.inner_text()
    assert "mismatch_from: 99" in alert.locator("pre").first.inner_text()

    page.fill(
        "#source", text.replace("mismatch_from: 0.8", "mismatch_from: 5.9").replace("id: balanced", "id: patient")
    )
    page.click("button >> text=Backtest")
    figures = page.locator("#backtest").inner_text()
    assert "keystroke-mismatch" in figures
    assert "fewer" in figures
    assert "milder bands.keystroke.mismatch_from" in page.inner_text("main")

    page.fill("#note", "fewer calls to the help desk")
    page.click("button >> text=Publish")
    page.wait_for_url("**/operator/policies?done=*")
    assert "is enforced" in page.locator("[role=status]").inner_text()
    assert "patient" in page.inner_text("main")
    assert "fewer calls to the help desk" in page.inner_text("main")

    page.click("nav >> text=Policies")
    page.click("text=Try a candidate")
    page.click("main >> a >> text=default")
    page.click("button >> text=Publish")
    page.wait_for_url("**/operator/policies?done=*")
    page.click("button >> text=Go back to it")
    page.wait_for_url("**/operator/policies?done=*")
    assert "is enforced again" in page.locator("[role=status]").inner_text()
    page.locator("tr", has_text="balanced").get_by_role("button", name="Restore").first.click()
    page.wait_for_url("**/operator/policies?done=*")
    assert page.locator("tr", has_text="enforced").first.inner_text().count("balanced") == 1


def test_pol2_a_viewer_finds_no_way_there(demo: Demo, open_visitor: Callable[..., Visitor]) -> None:
    visitor = open_visitor()
    _sign_in(demo, visitor, VIEWER)
    assert visitor.page.locator("nav >> text=Policies").count() == 0
    answer = visitor.page.goto(f"{demo.layout.sidecar_url}/operator/policies")
    assert answer is not None
    assert answer.status == 403


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_is_clean_on_the_policy_pages(demo: Demo, open_visitor: Callable[..., Visitor], scheme: str) -> None:
    visitor = open_visitor(bypass_csp=True, color_scheme=scheme)
    _sign_in(demo, visitor, OPERATOR)
    found = []
    for path in ("policies", "policies/try?from=strict"):
        visitor.page.goto(f"{demo.layout.sidecar_url}/operator/{path}")
        visitor.page.add_script_tag(path=AXE)
        found += visitor.page.evaluate("async () => (await axe.run()).violations.map(v => v.id)")
    visitor.page.fill("#source", "schema: 1")
    visitor.page.click("button >> text=Check")
    visitor.page.add_script_tag(path=AXE)
    found += visitor.page.evaluate("async () => (await axe.run()).violations.map(v => v.id)")
    assert found == []
