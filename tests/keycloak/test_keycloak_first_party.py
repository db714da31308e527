"""The page sends as it is typed, under a policy that permits its own origin alone: the sidecar is below the same origin."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from direct import Direct
from front import Front
from stage import APP, PASSWORD, USERNAME, Stage, Visit

pytestmark = pytest.mark.timeout(900)

STRICT = "script-src 'self'; connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; object-src 'none'"


@pytest.fixture
def direct_way(fronted: tuple[Stage, Front]) -> Iterator[tuple[Stage, Front, Visit]]:
    """A realm whose pages send to the sidecar by themselves, and somebody who comes by the common origin."""
    stage, front = fronted
    before = stage.api.get()
    wanted = {
        "gaitkeeper.transport": "direct",
        "gaitkeeper.siteKey": stage.name,
        "gaitkeeper.endpoint": "/gate",
    }
    headers = before["browserSecurityHeaders"] | {"contentSecurityPolicy": STRICT}
    attributes = before["attributes"] | wanted
    stage.api.put("", {"realm": stage.name, "attributes": attributes, "browserSecurityHeaders": headers})
    visit = stage.visit()
    yield stage, front, visit
    visit.context.close()


def url(front: Front, stage: Stage) -> str:
    query = {"client_id": "app", "redirect_uri": APP, "response_type": "code", "scope": "openid"}
    return f"{front.url}/realms/{stage.name}/protocol/openid-connect/auth?{urlencode(query)}"


def test_the_page_sends_by_itself_to_its_own_origin_and_the_decision_finds_it(
    direct_way: tuple[Stage, Front, Visit],
) -> None:
    stage, front, visit = direct_way
    blocked: list[str] = []
    visit.page.on("console", lambda said: blocked.append(said.text) if "/gate" in said.text else None)
    visit.page.goto(url(front, stage))
    visit.type_login()
    assert visit.where() == "app"
    assert stage.decision().body["facts"]["keystroke.outcome"] == "match"
    assert front.sent[0] == "POST /v1/captures 201"
    assert [one for one in front.sent if "/batches 204" in one]
    assert blocked == []


def test_a_capture_of_one_tab_is_nothing_in_another(direct_way: tuple[Stage, Front, Visit]) -> None:
    stage, front, visit = direct_way
    visit.page.goto(url(front, stage))
    visit.page.route("**/login-actions/**", lambda route: route.abort())
    with visit.page.expect_request(lambda request: "/login-actions/" in request.url) as form:
        visit.type_login()
    capture = dict(part.split("=", 1) for part in str(form.value.post_data).split("&"))["gaitkeeper_capture"]
    with Direct(stage) as other:
        page = other.send("GET", url(front, stage))
        body = urlencode({"username": USERNAME, "password": PASSWORD}) + f"&gaitkeeper_capture={capture}"
        page = other.send(
            "POST", page.action, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
    assert page.name == "login-login-otp"
    assert stage.decision().body["answer"]["rule_id"] == "outcome.unavailable.foreign"


def test_a_sidecar_that_pages_do_not_reach_leaves_everything_to_the_form(
    direct_way: tuple[Stage, Front, Visit],
) -> None:
    stage, front, visit = direct_way
    visit.page.route("**/gate/**", lambda route: route.abort())
    visit.page.goto(url(front, stage))
    visit.type_login()
    assert visit.where() == "app"
    assert stage.decision().body["facts"]["keystroke.outcome"] == "match"
