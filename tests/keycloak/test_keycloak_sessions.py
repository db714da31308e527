"""Ending sessions of a real server, by both ways."""

import json
import time

import pytest
from stage import Stage, Visit

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("scope", ["session", "all"])
def test_the_sidecar_ends_sessions(stage: Stage, visit: Visit, scope: str) -> None:
    visit.open()
    visit.type_login()
    assert visit.where() == "app"
    granted = visit.tokens()
    assert visit.refresh(granted) == 200
    began = time.monotonic()
    stage.end_sessions("amelia", granted["session_state"], scope)
    while visit.refresh(granted) == 200:
        assert time.monotonic() - began < 10
        time.sleep(0.1)
    assert visit.refresh(granted) == 400


@pytest.mark.parametrize("scope", ["session", "all"])
@pytest.mark.parametrize("offline", [False, True])
def test_the_sidecar_ends_sessions_by_the_admin_api(stage: Stage, visit: Visit, scope: str, offline: bool) -> None:
    stage.gaitkeeper("install", "--yes", "--admin-revocation")
    visit.open(**({"scope": "openid offline_access"} if offline else {}))
    visit.type_login()
    assert visit.where() == "app"
    granted = visit.tokens()
    assert visit.refresh(granted) == 200
    stage.end_by_admin_api("amelia", granted["session_state"], scope)
    assert visit.refresh(granted) == 400


def test_an_offline_session_ends_by_the_realm_resource(stage: Stage, visit: Visit) -> None:
    visit.open(scope="openid offline_access")
    visit.type_login()
    assert visit.where() == "app"
    granted = visit.tokens()
    body = json.dumps(
        {"subject": stage.user_id("amelia"), "scope": "session", "sid": granted["session_state"]}
    ).encode()
    other = json.dumps(
        {"subject": stage.user_id("bruno"), "scope": "session", "sid": granted["session_state"]}
    ).encode()
    assert stage.call_realm("sessions/end", other).json() == {"ended": 0}
    assert visit.refresh(granted) == 200
    assert stage.call_realm("sessions/end", body).json()["ended"] >= 1
    assert visit.refresh(granted) == 400
    assert stage.call_realm("sessions/end", body).json() == {"ended": 0}


def test_the_realm_resource_takes_the_sidecars_word_once_and_nobody_elses(stage: Stage) -> None:
    body = json.dumps({"subject": stage.user_id("amelia")}).encode()
    token = stage.signed("sessions/list", body)
    assert stage.call_realm("sessions/list", body, "x.y.z").status_code == 401
    assert stage.call_realm("sessions/list", body + b" ", token).status_code == 401
    assert stage.call_realm("events", body, token).status_code == 401
    assert stage.call_realm("sessions/list", body, token).status_code == 200
    assert stage.call_realm("sessions/list", body, token).status_code == 401
    told = stage.call_realm("events", b"{}").json()
    assert told["reports"]["lost"] == 0
    assert told["evaluations"]["answered"] > 0
    assert any(event["gaitkeeper_action"] == "allow" for event in told["events"])
