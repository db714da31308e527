"""The Admin API as the way in which a running sidecar ends sessions and disables accounts, and a server that is away meanwhile."""

import json
from typing import Any

import httpx
import pytest
from direct import log_in
from relying import told
from stage import Stage, redeem

from idp_adapters.keycloak.sessions import SERVICE_CLIENT

pytestmark = pytest.mark.timeout(900)


def signed_in(stage: Stage, username: str = "amelia") -> dict[str, Any]:
    """Log in and redeem the code."""
    page = log_in(stage, username=username, typed=True)
    assert page.name == "app"
    return redeem(stage, page.url)


def refresh(stage: Stage, granted: dict[str, Any]) -> int:
    form = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": granted["refresh_token"]}
    return httpx.post(f"{stage.issuer}/protocol/openid-connect/token", data=form, trust_env=False).status_code


@pytest.mark.parametrize("scope", ["session", "all"])
def test_the_running_sidecar_ends_sessions_by_the_admin_api(by_admin: Stage, scope: str) -> None:
    granted, other = signed_in(by_admin), signed_in(by_admin)
    item = by_admin.end_sessions("amelia", granted["session_state"], scope)
    by_admin.until(lambda: by_admin.ended(item)["delivered"])
    assert refresh(by_admin, granted) == 400
    assert refresh(by_admin, other) == (200 if scope == "session" else 400)
    assert told(by_admin, granted["session_state"]) is not None
    assert (told(by_admin, other["session_state"], 1) is not None) == (scope == "all")
    print(f"{scope}: {by_admin.ended(item)['seconds']:.2f} s from the queue to the effect")


def test_a_disabled_account_loses_its_sessions_and_nothing_else(by_admin: Stage) -> None:
    granted, user = signed_in(by_admin), by_admin.user_id("amelia")
    before = by_admin.api.get(f"/users/{user}")
    item = by_admin.end_sessions("amelia", None, "disable")
    by_admin.until(lambda: by_admin.ended(item)["delivered"])
    assert refresh(by_admin, granted) == 400
    assert told(by_admin, granted["session_state"]) is not None
    assert log_in(by_admin, typed=True).name == "login-login"
    after = by_admin.api.get(f"/users/{user}")
    assert after | {"notBefore": 0} == before | {"enabled": False, "notBefore": 0}
    by_admin.api.put(f"/users/{user}", {"enabled": True})
    assert log_in(by_admin, typed=True).name == "app"  # and is not asked for consent again: it was kept


def test_the_realm_resource_disables_nobody(stage: Stage) -> None:
    item = stage.end_sessions("amelia", None, "disable")
    stage.until(lambda: stage.ended(item)["error"] is not None)
    assert stage.ended(item)["delivered"] == 0
    assert stage.api.get(f"/users/{stage.user_id('amelia')}")["enabled"] is True
    body = json.dumps({"subject": stage.user_id("amelia"), "scope": "disable"}).encode()
    assert stage.call_realm("sessions/end", body).json() == {"ended": 0}


def test_the_service_accounts_token_holds_its_two_roles_and_no_other(by_admin: Stage) -> None:
    client = by_admin.api.get(f"/clients?clientId={SERVICE_CLIENT}")[0]
    assert client["fullScopeAllowed"] is False
    account = by_admin.api.get(f"/clients/{client['id']}/service-account-user")
    path = f"/clients/{client['id']}/evaluate-scopes/generate-example-access-token?scope=openid&userId={account['id']}"
    token = by_admin.api.get(path)
    assert list(token["resource_access"]) == ["realm-management"]
    assert sorted(token["resource_access"]["realm-management"]["roles"]) == ["manage-users", "view-events"]
    assert "realm_access" not in token


def test_a_server_that_is_away_is_told_when_it_is_back(by_admin: Stage) -> None:
    machine = by_admin.server.machine
    assert machine, "needs a server of its own: run without KEYCLOAK_URL"
    granted = signed_in(by_admin)
    subject = by_admin.user_id("amelia")
    machine.end()
    item = by_admin.end_sessions_of(subject, granted["session_state"], "all")
    by_admin.until(lambda: by_admin.ended(item)["attempts"] >= 2)
    assert by_admin.ended(item)["delivered"] == 0
    machine.start()
    by_admin.until(lambda: by_admin.ended(item)["delivered"], 60)
    assert refresh(by_admin, granted) == 400
