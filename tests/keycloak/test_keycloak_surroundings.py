"""What the sidecar hears of a login beside the typing: where it came from, which browser, what went wrong before."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from direct import Direct, Page
from middle import Middle
from stage import PASSWORD, STRANGER, USERNAME, Stage

pytestmark = pytest.mark.timeout(900)

COOKIE = "GAITKEEPER_DEVICE"


@pytest.fixture
def patient(faulty: Stage, middle: Middle) -> Iterator[Stage]:
    """The realm behind the man in the middle, who does nothing but listen."""
    middle.fault = None
    faulty.configure(deadlineMs="2000")
    yield faulty
    faulty.configure(deadlineMs="250")


def posted(direct: Direct, page: Page, password: str) -> httpx.Response:
    """Post the login form and follow no redirect, to see what is set."""
    form = {"username": USERNAME, "password": password, "gaitkeeper_capture": direct.typing()}
    for cookie in direct.http.cookies.jar:
        cookie.secure = False
    return direct.http.post(page.action, data=form)


def keep_only_the_device(direct: Direct) -> None:
    for cookie in list(direct.http.cookies.jar):
        if cookie.name != COOKIE:
            direct.http.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)


def test_the_browsers_cookie_is_set_once_and_the_browser_known_by_it(stage: Stage) -> None:
    with Direct(stage) as direct:
        answer = posted(direct, direct.open(), PASSWORD)
        header = next(one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}="))
        words = {word.strip().lower() for word in header.split(";")[1:]}
        assert {"httponly", "samesite=lax", f"path=/realms/{stage.name}/"} <= words
        assert not {word for word in words if word.startswith("domain") or word == "secure"}
        assert stage.decision().body["facts"]["device.state"] != "known"
        stage.completed(stage.decision().id)
        keep_only_the_device(direct)
        assert direct.sign_in(direct.open(), typed=True).name == "app"
        assert stage.decision().body["facts"]["device.state"] == "known"


def test_wrong_passwords_count_for_the_browser_and_wrong_codes_close_nothing(stage: Stage) -> None:
    with Direct(stage) as direct:
        assert direct.sign_in(direct.open(), typed=True).name == "app"
        stage.completed(stage.decision().id)
        keep_only_the_device(direct)
        page = direct.open()
        wrong = posted(direct, page, "not-the-password")
        assert "login-login" in wrong.text
        stage.until(lambda: failures(stage, direct) == 1)
        page = direct.sign_in(direct.open(prompt="login"), typed=True, who=STRANGER)
        assert page.name == "login-login-otp"
        decision = stage.decision().id
        page = direct.pass_otp(page, "000000")
        assert page.name == "login-login-otp"
        error = stage.events("LOGIN_ERROR")[0]
        assert error["error"] == "invalid_user_credentials"
        assert error["details"]["gaitkeeper_decision"] == decision
        assert {"gaitkeeper_risk", "gaitkeeper_source"} <= set(error["details"])
        assert direct.pass_otp(page).name == "app"
        assert stage.completed(decision)["outcome"] == "succeeded"


def failures(stage: Stage, direct: Direct) -> Any:
    """Log in once more; return how many failures of this browser the decision knew of."""
    keep_only_the_device(direct)
    direct.sign_in(direct.open(), typed=True)
    return stage.decision().body["facts"]["failures.device"]


def test_a_question_says_where_the_login_comes_from_and_who_it_is(patient: Stage, middle: Middle) -> None:
    user = patient.user_id(USERNAME)
    group = patient.api.post("/groups", {"name": "staff"})
    patient.api.put(f"/users/{user}/groups/{group}", {})
    try:
        with Direct(patient) as direct:
            direct.http.headers["User-Agent"] = "x" * 1500
            middle.asked.clear()
            assert direct.sign_in(direct.open(), typed=True).name == "app"
            direct.open()
    finally:
        patient.api.delete(f"/groups/{group}")
    login, check = middle.calls("/access/v1/evaluation")
    properties, context = login["subject"]["properties"], login["context"]
    assert (properties["realm"], properties["groups"]) == (patient.name, ["/staff"])
    assert f"default-roles-{patient.name}" in properties["roles"]
    assert context["ip"] == "127.0.0.1"
    assert context["user_agent"] == "x" * 1024
    assert context["without_second_factor"] == "allow"
    assert context["consent"] == {"given": True, "version": "1", "answered_at": 1795270000}
    assert "session_started_at" not in context
    assert check["action"]["name"] == "session_check"
    assert check["context"]["sid"] == context["sid"]
    assert abs(check["context"]["session_started_at"] - patient.decision().at) < 60
    assert check["context"]["device"]


def test_roles_and_groups_stay_where_nobody_needs_them_or_they_are_too_many(patient: Stage, middle: Middle) -> None:
    middle.asked.clear()
    patient.configure(memberships="omit")
    try:
        with Direct(patient) as direct:
            direct.sign_in(direct.open(), typed=True)
    finally:
        patient.configure(memberships="send")
    assert not {"roles", "groups"} & set(middle.calls("/access/v1/evaluation")[0]["subject"]["properties"])
    user = patient.user_id("dinah")
    names = [f"role-{number}" for number in range(257)]
    for name in names:
        patient.api.post("/roles", {"name": name})
    roles = [patient.api.get(f"/roles/{name}") for name in names]
    patient.api.post(f"/users/{user}/role-mappings/realm", roles)
    with Direct(patient) as direct:
        direct.sign_in(direct.open(), "dinah", typed=True)
    told = middle.calls("/access/v1/evaluation")[-1]["subject"]["properties"]
    assert "roles" not in told
    assert told["groups"] == []
    assert json.dumps(told).count("role-") == 0
