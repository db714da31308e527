"""Pages on which a password is made: their typing begins a template, for who agrees, and nothing of it stays in the realm."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from middle import Middle
from stage import APP, PASSWORD, WHO, Stage, Visit, typed_rows

from sidecar.rehearsal import keyboard

pytestmark = pytest.mark.timeout(900)

OURS, BUILT_IN = "gaitkeeper-registration", "registration-user-creation"
ENROLLMENTS = "/v1/enrollments"


@pytest.fixture(scope="module")
def registering(faulty: Stage) -> Stage:
    """A realm in which people register themselves, by a copy of the flow with our form action, and any attribute is taken."""
    api, name = faulty.api, "gaitkeeper registration"
    api.post("/authentication/flows/registration/copy", {"newName": name})
    path = f"/authentication/flows/{name.replace(' ', '%20')}/executions"
    executions = api.get(path)
    form = next(one for one in executions if one.get("authenticationFlow"))
    built_in = next(one for one in executions if one.get("providerId") == BUILT_IN)
    api.delete(f"/authentication/executions/{built_in['id']}")
    sub = f"/authentication/flows/{form['displayName'].replace(' ', '%20')}/executions/execution"
    api.post(sub, {"provider": OURS})
    added = next(one for one in api.get(path) if one.get("providerId") == OURS)
    api.put(path, added | {"requirement": "REQUIRED", "priority": built_in["priority"]})
    profile = api.get("/users/profile")
    api.put("/users/profile", profile | {"unmanagedAttributePolicy": "ENABLED"})
    api.put("", {"realm": faulty.name, "registrationAllowed": True, "registrationFlow": name})
    return faulty


@pytest.fixture
def visit(registering: Stage, middle: Middle) -> Iterator[Visit]:
    """Somebody with a fresh browser profile, whose realm is asked patiently."""
    middle.fault = None
    registering.configure(deadlineMs="2000")
    made = registering.visit()
    yield made
    made.context.close()
    registering.configure(deadlineMs="250")


def register(visit: Visit, username: str) -> None:
    """Open the registration form and fill it in; user name and password are typed."""
    visit.open(prompt="create")
    visit.page.wait_for_selector("#kc-register-form")
    for field, value in {"email": f"{username}@example.org", "firstName": "Nora", "lastName": "Hart"}.items():
        visit.page.fill(f"#{field}", value)
    visit.page.fill("#password-confirm", PASSWORD)
    type_into(visit, "#username", username, 0)
    type_into(visit, "#password", PASSWORD, 1)  # and Enter


def type_into(visit: Visit, field: str, text: str, which: int) -> None:
    visit.stage.logins += 1
    rows = typed_rows(WHO, visit.stage.logins, text if which == 0 else "nora")[which]
    visit.page.focus(field)
    keyboard.play(visit.context.new_cdp_session(visit.page), text, rows)


def user(stage: Stage, username: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.api.get(f"/users/{stage.user_id(username)}")
    return found


def test_who_registers_and_agrees_begins_a_template_and_the_field_becomes_no_attribute(
    registering: Stage, visit: Visit, middle: Middle
) -> None:
    middle.asked.clear()
    name = f"nora-{secrets.token_hex(3)}"
    register(visit, name)
    visit.page.wait_for_selector("#gaitkeeper-consent")
    assert middle.calls(ENROLLMENTS) == []  # not before the answer
    found = user(registering, name)
    assert "gaitkeeper_capture" not in found.get("attributes", {})
    assert found["email"] == f"{name}@example.org"
    visit.page.click("#gaitkeeper-give")
    assert visit.where() == "app"
    registering.until(lambda: len(middle.calls(ENROLLMENTS)) == 1)
    [told] = middle.calls(ENROLLMENTS)
    assert told["subject"] == {"id": found["id"], "properties": {"name": name}}
    assert (told["client"], told["consent"]["given"], told["consent"]["version"]) == ("app", True, "1")
    assert told["occasion"] == "registration"
    assert told["attempt"].endswith("-new")
    assert told["attempt_started_at"] <= told["consent"]["answered_at"]
    assert '"p":"typed"' in told["capture"]
    registering.until(lambda: registering.fields(name) == {"username", "password"})
    assert middle.calls("/access/v1/evaluation") == []  # nothing is scored
    assert "gaitkeeper_capture" not in str(registering.events("REGISTER")[0]["details"])


def test_who_registers_and_refuses_leaves_nothing(registering: Stage, visit: Visit, middle: Middle) -> None:
    middle.asked.clear()
    name = f"nora-{secrets.token_hex(3)}"
    register(visit, name)
    visit.page.wait_for_selector("#gaitkeeper-consent")
    visit.page.click("#gaitkeeper-refuse")
    assert visit.where() == "app"
    registering.until(lambda: bool(middle.calls("/v1/subjects/consent")))
    assert middle.calls(ENROLLMENTS) == []
    assert set(user(registering, name).get("attributes", {})) <= {"gaitkeeper_consent"}


def test_without_our_form_action_the_registration_page_records_nothing(registering: Stage, visit: Visit) -> None:
    registering.api.put("", {"realm": registering.name, "registrationFlow": "registration"})
    try:
        visit.open(prompt="create")
        visit.page.wait_for_selector("#kc-register-form")
        assert visit.page.query_selector("#gaitkeeper") is None
    finally:
        registering.api.put("", {"realm": registering.name, "registrationFlow": "gaitkeeper registration"})


def test_a_password_changed_on_its_page_begins_its_template_after_the_old_one_is_forgotten(
    registering: Stage, visit: Visit, middle: Middle
) -> None:
    name = f"nora-{secrets.token_hex(3)}"
    registering.add_person(name, otp=False, gaitkeeper_consent=["given 1 1795270000"])
    registering.learn(name)
    visit.open()
    visit.page.fill("#username", name)
    visit.page.fill("#password", PASSWORD)
    visit.page.click("#kc-login")
    visit.page.wait_for_url(f"{APP}*")
    middle.asked.clear()
    visit.open(kc_action="UPDATE_PASSWORD")
    visit.page.wait_for_selector("#kc-passwd-update-form")
    visit.page.fill("#password-confirm", PASSWORD)
    type_into(visit, "#password-new", PASSWORD, 1)
    visit.page.wait_for_url(f"{APP}*")
    registering.until(lambda: bool(middle.calls(ENROLLMENTS)))
    paths = [path for path, _ in middle.asked if path in ("/v1/events", ENROLLMENTS)]
    assert paths == ["/v1/events", ENROLLMENTS]
    assert middle.calls("/v1/events")[0]["type"] == "password_changed"
    [told] = middle.calls(ENROLLMENTS)
    assert (told["subject"]["id"], told["occasion"]) == (registering.user_id(name), "password_changed")
    assert '"p":"typed"' in told["capture"]
    registering.until(lambda: registering.fields(name) == {"username", "password"})
