"""Bring a realm together with a sidecar. One run of the same code makes the plan (nothing is written) or the installation.

Every step looks first and changes only what is not so, so a run after a failure goes on where the last one stopped. What
an administrator changed after us stays: a setting that is no longer what we left it at is reported and not touched.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from idp_adapters.keycloak import flows
from idp_adapters.keycloak.admin import AdminApi, KeycloakRefused, name
from idp_adapters.keycloak.keys import new_private_jwk, public_half
from idp_adapters.keycloak.record import Record

THEME = "gaitkeeper"
LISTENER = "gaitkeeper-events"
CONSENT = "gaitkeeper-consent"
SERVICE_CLIENT = "gaitkeeper-sidecar"
SERVICE_ROLES = ("manage-users", "view-events")
EVENT_DAYS = 30
BUILT_IN_FLOW = "browser"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an administrator decides. ``clients``: bind the flow to these only; without any, to the realm."""

    sidecar: str
    issuer: str
    keys: Path
    reach: str | None = None
    clients: tuple[str, ...] = ()
    username_first: bool = False
    replace_flow: bool = False
    brokers: bool = True
    direct_grant: bool = False
    levels: bool = False
    admin_revocation: bool = False
    consent_version: str = "1"
    decide: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Installation:
    """One run. ``make``: change the realm, and not only say what would be changed."""

    api: AdminApi
    wishes: Wishes
    record: Record
    make: bool
    say: Callable[[str], None]
    changes: int = 0

    def run(self) -> int:
        """Look at everything, in an order in which each step may rely on those before; return the number of changes."""
        self._jar_is_there()
        realm = self.api.get()
        self._flow_may_be_replaced(realm)
        self._keys()
        self._realm(realm)
        self._consent()
        browser = flows.browser(
            self.wishes.decide, username_first=self.wishes.username_first, levels=self.wishes.levels
        )
        self._flows().ensure(flows.BROWSER, browser)
        if self.wishes.brokers:
            self._brokers()
        if self.wishes.direct_grant:
            self._flows().ensure(flows.DIRECT_GRANT, flows.direct_grant(self.wishes.decide))
            self._setting(realm, "directGrantFlow", flows.DIRECT_GRANT)
        if self.wishes.admin_revocation:
            self._service_client()
        self._bind()  # last: from here on logins meet it
        for line in self._reports(realm):
            self.say(f"  note: {line}")
        return self.changes

    def _flows(self) -> flows.Builder:
        return flows.Builder(self.api, self._change, lambda what: self.record.last(what) is not None, self.say)

    def _jar_is_there(self) -> None:
        providers = self.api.get("//serverinfo")["providers"]
        wanted = {"authenticator": "gaitkeeper-risk", "required-action": CONSENT, "eventsListener": LISTENER}
        missing = [key for key, provider in wanted.items() if provider not in providers[key]["providers"]]
        if missing:
            raise KeycloakRefused(
                "the server does not have gaitkeeper-keycloak.jar: put it into providers/ and restart"
            )

    def _flow_may_be_replaced(self, realm: Mapping[str, Any]) -> None:
        own = realm["browserFlow"]
        if not self.wishes.clients and own not in (BUILT_IN_FLOW, flows.BROWSER) and not self.wishes.replace_flow:
            raise KeycloakRefused(
                f"the realm's browser flow '{own}' is a custom one and would be out of use: add the steps of"
                " docs/idp/keycloak.md to it by hand, name clients with --client, or say --replace-flow"
            )

    def _keys(self) -> None:
        """Make the realm's key: a private one for the server, its public half for the sidecar."""
        private, public = self.key_files()
        if private.exists() and public.exists():
            return

        def write() -> None:
            private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not private.exists():
                with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    file.write(json.dumps(new_private_jwk()))
            public.write_text(json.dumps({"keys": [public_half(json.loads(private.read_text()))]}, indent=2))

        self._change(f"key: write {private} and {public}", None, str(public), write)

    def key_files(self) -> tuple[Path, Path]:
        """Return where the private key and the public set of this realm are."""
        return self.wishes.keys / f"{self.api.realm}.jwk", self.wishes.keys / f"{self.api.realm}-jwks.json"

    def _realm(self, realm: Mapping[str, Any]) -> None:
        wishes = self.wishes
        attributes = dict(realm.get("attributes") or {})
        wanted = {
            "gaitkeeper.url": wishes.reach or wishes.sidecar,
            "gaitkeeper.audience": wishes.sidecar,
            "gaitkeeper.issuer": wishes.issuer,
            "gaitkeeper.consentVersion": wishes.consent_version,
        }
        if (keys := self._sidecar_keys()) is not None:
            wanted["gaitkeeper.sidecarJwks"] = keys
        for key, value in wanted.items():
            self._attribute(attributes, key, value)
        self._setting(realm, "loginTheme", THEME)
        listeners = list(realm.get("eventsListeners") or [])
        if LISTENER not in listeners:
            self._setting(realm, "eventsListeners", [*listeners, LISTENER])
        if not realm.get("eventsEnabled"):
            self._setting(realm, "eventsEnabled", True)
            if not realm.get("eventsExpiration"):
                self._setting(realm, "eventsExpiration", EVENT_DAYS * 86_400)
        if not realm.get("adminEventsEnabled"):  # a deleted user is in none of the others
            self._setting(realm, "adminEventsEnabled", True)
            self._attribute(attributes, "adminEventsExpiration", str(EVENT_DAYS * 86_400))

    def _attribute(self, attributes: dict[str, Any], key: str, value: str) -> None:
        """Set one of the realm's attributes. The API replaces all, so all go along: ``attributes`` is kept as it is now."""
        before = attributes.get(key)
        if self._is_ours(f"attribute {key}", before, value):
            attributes[key] = value
            body = {"realm": self.api.realm, "attributes": dict(attributes)}
            self._change(f"attribute {key}", before, value, partial(self.api.put, "", body))

    def _setting(self, realm: Mapping[str, Any], key: str, value: Any) -> None:
        before = realm.get(key)
        if self._is_ours(f"realm {key}", before, value):
            body = {"realm": self.api.realm, key: value}
            self._change(f"realm {key}", before, value, partial(self.api.put, "", body))

    def _is_ours(self, what: str, current: Any, wanted: Any) -> bool:
        """Whether a setting is to be changed: not when it is right, and not when somebody changed it after us."""
        if current == wanted:
            return False
        last = self.record.last(what)
        if last and last["after"] == wanted:
            self.say(f"  left alone: {what} is {json.dumps(current)} now, changed after the installation")
            return False
        return True

    def _sidecar_keys(self) -> str | None:
        """Return the sidecar's public keys, in the one form in which they are compared later."""
        url = f"{self.wishes.reach or self.wishes.sidecar}/.well-known/jwks.json"
        try:
            answer = httpx.get(url, timeout=5.0, trust_env=False)
            answer.raise_for_status()
            return json.dumps({"keys": answer.json()["keys"]}, sort_keys=True)
        except (httpx.HTTPError, ValueError, KeyError):
            self.say(f"  later: {url} does not answer; run this again when the sidecar runs, to let it end sessions")
            return None

    def _consent(self) -> None:
        if any(action["providerId"] == CONSENT for action in self.api.get("/authentication/required-actions")):
            return
        body = {"providerId": CONSENT, "name": "Typing rhythm: consent"}
        path = "/authentication/register-required-action"
        self._change("required action: register", None, CONSENT, partial(self.api.post, path, body))

    def _brokers(self) -> None:
        brokers = self.api.get("/identity-provider/instances")
        if not brokers:
            return
        self._flows().ensure(flows.AFTER_BROKER, flows.after_broker(self.wishes.decide))
        for broker in brokers:
            what, before = f"broker {broker['alias']} postBrokerLoginFlowAlias", broker.get("postBrokerLoginFlowAlias")
            if before and before != flows.AFTER_BROKER:
                self.say(
                    f"  note: logins by broker '{broker['alias']}' go through its own flow '{before}': not covered"
                )
            elif self._is_ours(what, before, flows.AFTER_BROKER):
                body = {**broker, "postBrokerLoginFlowAlias": flows.AFTER_BROKER}
                path = f"/identity-provider/instances/{name(broker['alias'])}"
                self._change(what, before, flows.AFTER_BROKER, partial(self.api.put, path, body))

    def _service_client(self) -> None:
        """Make the sidecar's account for ending sessions by the Admin API, signed with its own key."""
        found = self.api.get(f"/clients?clientId={SERVICE_CLIENT}")
        if not found:
            keys = self._sidecar_keys()
            if keys is None:
                return
            body = {
                "clientId": SERVICE_CLIENT,
                "protocol": "openid-connect",
                "publicClient": False,
                "standardFlowEnabled": False,
                "directAccessGrantsEnabled": False,
                "serviceAccountsEnabled": True,
                "fullScopeAllowed": True,
                "clientAuthenticatorType": "client-jwt",
                "attributes": {
                    "use.jwks.string": "true",
                    "jwks.string": keys,
                    "token.endpoint.auth.signing.alg": "ES256",
                },
            }
            self._change(f"client {SERVICE_CLIENT}", None, "created", partial(self.api.post, "/clients", body))
            found = self.api.get(f"/clients?clientId={SERVICE_CLIENT}")
        if not found:
            return
        account = self.api.get(f"/clients/{found[0]['id']}/service-account-user")
        admin = self.api.get("/clients?clientId=realm-management")[0]["id"]
        path = f"/users/{account['id']}/role-mappings/clients/{admin}"
        has = {role["name"] for role in self.api.get(path)}
        for wanted in SERVICE_ROLES:
            if wanted not in has:
                role = self.api.get(f"/clients/{admin}/roles/{wanted}")
                what = f"client {SERVICE_CLIENT}: role {wanted}"
                self._change(what, None, wanted, partial(self.api.post, path, [role]))

    def _bind(self) -> None:
        if not self.wishes.clients:
            self._setting(self.api.get(), "browserFlow", flows.BROWSER)
            return
        flow = next((one["id"] for one in self.api.get("/authentication/flows") if one["alias"] == flows.BROWSER), None)
        for client_id in self.wishes.clients:
            found = self.api.get(f"/clients?clientId={name(client_id)}")
            if not found:
                raise KeycloakRefused(f"there is no client '{client_id}'")
            client = found[0]
            bound = dict(client.get("authenticationFlowBindingOverrides") or {})
            what = f"client {client_id}: browser flow"
            if flow is None:
                self._change(what, bound.get("browser"), flows.BROWSER, dict)
            elif self._is_ours(what, bound.get("browser"), flow):
                body = {**client, "authenticationFlowBindingOverrides": bound | {"browser": flow}}
                self._change(
                    what,
                    bound.get("browser"),
                    flow,
                    partial(self.api.put, f"/clients/{client['id']}", body),
                )

    def _reports(self, realm: Mapping[str, Any]) -> Iterator[str]:
        """Say what goes past the flow: an administrator must not learn it from an attacker."""
        if not self.wishes.clients:
            for client in self.api.get("/clients?max=1000"):
                if (client.get("authenticationFlowBindingOverrides") or {}).get("browser"):
                    yield f"client '{client['clientId']}' has a browser flow of its own: its logins are not covered"
            yield (
                "who has a second factor is from now on asked for it when a decision demands it;"
                " the built-in flow asked always"
            )
        if realm.get("directGrantFlow") != flows.DIRECT_GRANT and not self.wishes.direct_grant:
            yield "direct grants are not covered; --direct-grant covers them"
        yield "registrations, refreshes and token exchange are not covered"

    def _change(self, what: str, before: Any, after: Any, do: Callable[[], object]) -> None:
        self.changes += 1
        self.say(f"  {what}" + ("" if before in (None, "") else f" (was {json.dumps(before)})"))
        if self.make:
            do()
            self.record.add(what, before, after)


def connect(api: AdminApi, wishes: Wishes, file: Path, *, make: bool, say: Callable[[str], None]) -> int:
    """Plan or install; return the number of changes. Raises KeycloakRefused."""
    return Installation(api, wishes, Record(file), make, say).run()
