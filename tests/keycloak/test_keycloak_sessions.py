"""Ending sessions of a real server, by both ways, seen from an application that verifies what it is told."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from direct import Direct
from relying import told
from stage import Stage, redeem

from sidecar.usecases.enact import Enactor

pytestmark = pytest.mark.timeout(900)

Session = tuple[Direct, dict[str, Any]]


@pytest.fixture
def session(stage: Stage) -> Iterator[Callable[..., Session]]:
    """Log Amelia in and redeem the code; ``offline``: for a session that outlives the browser."""
    opened: list[Direct] = []

    def begin(*, offline: bool = False) -> Session:
        direct = Direct(stage)
        opened.append(direct)
        page = direct.open(**({"scope": "openid offline_access"} if offline else {}))
        page = direct.sign_in(page, typed=True)
        assert page.name == "app"
        granted = redeem(stage, page.url)
        assert refresh(stage, granted) == 200
        return direct, granted

    yield begin
    for direct in opened:
        direct.http.close()


@pytest.fixture(scope="module")
def service_account(stage: Stage) -> None:
    stage.gaitkeeper("install", "--yes", "--admin-revocation")


def refresh(stage: Stage, granted: dict[str, Any]) -> int:
    form = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": granted["refresh_token"]}
    return httpx.post(f"{stage.issuer}/protocol/openid-connect/token", data=form, trust_env=False).status_code


def userinfo(stage: Stage, granted: dict[str, Any]) -> int:
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    return httpx.get(f"{stage.issuer}/protocol/openid-connect/userinfo", headers=headers, trust_env=False).status_code


@pytest.mark.parametrize("scope", ["session", "all"])
def test_the_sidecar_ends_sessions_and_the_application_hears_of_it(
    stage: Stage, session: Callable[..., Session], scope: str
) -> None:
    direct, granted = session()
    _, other = session()
    began = time.monotonic()
    item = stage.end_sessions("amelia", granted["session_state"], scope)
    stage.until(lambda: refresh(stage, granted) == 400)
    effect = time.monotonic() - began
    assert told(stage, granted["session_state"]) is not None
    assert userinfo(stage, granted) == 401
    assert direct.open().name == "login-login"
    assert refresh(stage, other) == (200 if scope == "session" else 400)
    assert (told(stage, other["session_state"], 1) is not None) == (scope == "all")
    # Until then it looks for sessions that came back, and would find the next test's.
    stage.until(lambda: stage.ended(item)["delivered"])
    print(f"{scope}: {effect:.2f} s from the queue to the effect")


def test_an_operator_ends_the_session_of_a_decision(stage: Stage, session: Callable[..., Session]) -> None:
    _, granted = session()
    decision = stage.decision()
    assert stage.completed(decision.id)["sid"] == granted["session_state"]
    assert stage.sidecar
    inside = stage.sidecar
    enactor = Enactor(inside.outbox, inside.decisions, inside.decisions, {}, time.time)
    stage.run(enactor.end_session(stage.name, decision.id, scope="session", by="olive"))
    stage.until(lambda: refresh(stage, granted) == 400)
    assert told(stage, granted["session_state"]) is not None

    def end() -> Any:
        return stage.run(inside.outbox.fates([stage.name], [decision.id]))[decision.id]

    stage.until(lambda: end().fate == "delivered")
    assert 0 < end().seconds < 15


@pytest.mark.parametrize("scope", ["session", "all"])
@pytest.mark.parametrize("offline", [False, True])
def test_the_sidecar_ends_sessions_by_the_admin_api(
    stage: Stage, session: Callable[..., Session], service_account: None, scope: str, offline: bool
) -> None:
    _, granted = session(offline=offline)
    stage.end_by_admin_api("amelia", granted["session_state"], scope)
    assert refresh(stage, granted) == 400
    silent = offline and scope == "all"  # an offline session that ends with its consent: Keycloak tells nobody
    assert (told(stage, granted["session_state"], 2) is None) == silent


def test_an_offline_session_ends_by_the_realm_resource(stage: Stage, session: Callable[..., Session]) -> None:
    _, granted = session(offline=True)
    body = {"scope": "session", "sid": granted["session_state"]}
    amelia = json.dumps({"subject": stage.user_id("amelia"), **body}).encode()
    other = json.dumps({"subject": stage.user_id("bruno"), **body}).encode()
    assert stage.call_realm("sessions/end", other).json() == {"ended": 0}
    assert refresh(stage, granted) == 200
    assert stage.call_realm("sessions/end", amelia).json()["ended"] >= 1
    assert refresh(stage, granted) == 400
    assert told(stage, granted["session_state"]) is not None
    assert stage.call_realm("sessions/end", amelia).json() == {"ended": 0}


def test_a_disabled_user_is_out_at_once_and_nobody_is_told(stage: Stage, session: Callable[..., Session]) -> None:
    direct, granted = session()
    user = stage.api.get(f"/users/{stage.user_id('amelia')}")
    stage.api.put(f"/users/{user['id']}", user | {"enabled": False})
    try:
        assert refresh(stage, granted) == 400
        assert userinfo(stage, granted) == 401
        assert direct.open().name != "app"
        assert told(stage, granted["session_state"], 1) is None
    finally:
        stage.api.put(f"/users/{user['id']}", user | {"enabled": True})


def test_the_realm_resource_takes_the_sidecars_word_once_and_nobody_elses(stage: Stage) -> None:
    body = json.dumps({"subject": stage.user_id("amelia")}).encode()
    token = stage.signed("sessions/list", body)
    assert stage.call_realm("sessions/list", body, "x.y.z").status_code == 401
    assert stage.call_realm("sessions/list", body + b" ", token).status_code == 401
    assert stage.call_realm("events", body, token).status_code == 401
    assert stage.call_realm("sessions/list", body, token).status_code == 200
    assert stage.call_realm("sessions/list", body, token).status_code == 401
    answer = stage.call_realm("events", b"{}").json()
    assert answer["reports"]["lost"] == 0
    assert answer["evaluations"]["answered"] > 0
    assert any(event["gaitkeeper_action"] == "allow" for event in answer["events"])


def test_one_realms_word_is_nothing_in_another(stage: Stage, username_first: Stage) -> None:
    body = json.dumps({"subject": stage.user_id("amelia")}).encode()
    foreign = username_first.signed("sessions/list", body)
    assert stage.call_realm("sessions/list", body, foreign).status_code == 401
    own = stage.signed("sessions/list", body)
    url = f"{username_first.issuer}/gaitkeeper/sessions/list"
    headers = {"Authorization": f"Bearer {own}", "Content-Type": "application/json"}
    assert httpx.post(url, content=body, headers=headers, trust_env=False).status_code == 401
