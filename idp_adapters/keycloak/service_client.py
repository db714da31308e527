"""The sidecar's account for ending sessions by the Admin API: a client that signs in with the sidecar's own key."""

from collections.abc import Callable
from functools import partial
from typing import Any

from idp_adapters.keycloak.admin import AdminApi
from idp_adapters.keycloak.flows import Change
from idp_adapters.keycloak.sessions import SERVICE_CLIENT

ROLES = ("manage-users", "view-events")


def ensure_service_client(
    api: AdminApi,
    keys: str,
    change: Change,
    stays_away: Callable[[str], bool],
    is_ours: Callable[[str, Any, Any], bool],
) -> None:
    """Make the client with its two roles, and no other in its tokens; give it the sidecar's new keys when they changed."""
    found = api.get(f"/clients?clientId={SERVICE_CLIENT}")
    what = f"client {SERVICE_CLIENT}"
    if not found:
        if not stays_away(what):
            change(what, None, "created", partial(api.post, "/clients", _client(keys)))
        found = api.get(f"/clients?clientId={SERVICE_CLIENT}")
    if not found:
        return
    client = found[0]
    attributes = dict(client.get("attributes") or {})
    for key, before, after, body in (
        ("fullScopeAllowed", client.get("fullScopeAllowed"), False, {"fullScopeAllowed": False}),
        ("keys", attributes.get("jwks.string"), keys, {"attributes": attributes | {"jwks.string": keys}}),
    ):
        if is_ours(f"{what}: {key}", before, after):
            client |= body
            change(f"{what}: {key}", before, after, partial(api.put, f"/clients/{client['id']}", dict(client)))
    _roles(api, client["id"], what, change, stays_away)


def _roles(api: AdminApi, client: str, what: str, change: Change, stays_away: Callable[[str], bool]) -> None:
    """Give the account its roles, and let its tokens carry them: without full scope a token holds only what is named."""
    admin = api.get(f"/clients?clientId={'master-realm' if api.realm == 'master' else 'realm-management'}")[0]["id"]
    account = api.get(f"/clients/{client}/service-account-user")["id"]
    for line, path in (
        ("role", f"/users/{account}/role-mappings/clients/{admin}"),
        ("scope", f"/clients/{client}/scope-mappings/clients/{admin}"),
    ):
        has = {role["name"] for role in api.get(path)}
        for wanted in ROLES:
            if wanted not in has and not stays_away(f"{what}: {line} {wanted}"):
                role = api.get(f"/clients/{admin}/roles/{wanted}")
                change(f"{what}: {line} {wanted}", None, wanted, partial(api.post, path, [role]))


def _client(keys: str) -> dict[str, Any]:
    return {
        "clientId": SERVICE_CLIENT,
        "protocol": "openid-connect",
        "publicClient": False,
        "standardFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": True,
        "fullScopeAllowed": False,
        "clientAuthenticatorType": "client-jwt",
        "attributes": {
            "use.jwks.string": "true",
            "jwks.string": keys,
            "token.endpoint.auth.signing.alg": "ES256",
        },
    }
