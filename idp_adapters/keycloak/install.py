"""Bring a realm together with a sidecar. One run of the same code makes the plan (nothing is written) or the installation.

Every step looks first and changes only what is not so, so a run after a failure goes on where the last one stopped. What
an administrator changed after us stays: a setting that is no longer what we left it at is reported and not touched.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from idp_adapters.keycloak import choices as chosen
from idp_adapters.keycloak import flows
from idp_adapters.keycloak.admin import AdminApi, KeycloakRefused, issuer_of, name
from idp_adapters.keycloak.choices import Choices
from idp_adapters.keycloak.keys import new_private_jwk, public_half
from idp_adapters.keycloak.record import Record
from idp_adapters.keycloak.refusals import THEME, named_clients, refuse_replacing
from idp_adapters.keycloak.service_client import ensure_service_client

LISTENER = "gaitkeeper-events"
CONSENT = "gaitkeeper-consent"
EVENT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one run is told. ``given``: choices by their names, None where nothing is said; ``keys``: directory of key files.

    ``replace_flow``: put custom flows out of use; ``whole_realm``: bind everybody where some clients were bound.
    """

    keys: Path
    given: Mapping[str, Any] = field(default_factory=dict)
    replace_flow: bool = False
    whole_realm: bool = False


@dataclass
class Installation:
    """One run. ``make``: change the realm, and not only say what would be changed."""

    api: AdminApi
    wishes: Wishes
    choices: Choices
    record: Record
    make: bool
    say: Callable[[str], None]
    changes: int = 0

    def run(self, realm: Mapping[str, Any]) -> int:
        """Look at everything, in an order in which each step may rely on those before; return the number of changes."""
        choices = self.choices
        known = self._jar_is_there()
        pages = flows.factors(known)
        replace_theme = self.wishes.given.get("keep_theme") is False
        refuse_replacing(self.api, realm, choices, replace_flow=self.wishes.replace_flow, replace_theme=replace_theme)
        self._keys()
        self._realm(realm)
        self._consent()
        browser = flows.browser(choices.decide, pages, username_first=choices.username_first, levels=choices.levels)
        self._flows().ensure(flows.BROWSER, browser)
        if choices.with_brokers:
            self._brokers(pages)
        if choices.direct_grant:
            self._flows().ensure(flows.DIRECT_GRANT, flows.direct_grant(choices.decide))
            self._setting(realm, "directGrantFlow", flows.DIRECT_GRANT)
        if choices.with_registration and flows.REGISTRATION_STEP in known:
            self._registration(realm)
        if choices.admin_revocation and (keys := self._sidecar_keys()):
            ensure_service_client(self.api, keys, self._change, self._stays_away, self._is_ours)
        self._bind(realm)  # last: from here on logins meet it
        for line in (*chosen.unheard(self.wishes.given, choices), *self._reports(realm)):
            self.say(f"  note: {line}")
        return self.changes

    def _flows(self) -> flows.Builder:
        return flows.Builder(self.api, self._change, self.record, self.say)

    def _jar_is_there(self) -> set[str]:
        """Return the steps of flows and forms that the server knows."""
        providers = self.api.get("//serverinfo")["providers"]
        wanted = {"authenticator": "gaitkeeper-risk", "required-action": CONSENT, "eventsListener": LISTENER}
        missing = [key for key, provider in wanted.items() if provider not in providers[key]["providers"]]
        if missing:
            raise KeycloakRefused(
                "the server does not have gaitkeeper-keycloak.jar: put it into providers/ and restart"
            )
        return {one for kind in ("authenticator", "form-action") for one in providers[kind]["providers"]}

    def _keys(self) -> None:
        """Make the realm's key: a private one for the server, its public half for the sidecar."""
        private, public = self.key_files()
        if public.exists():  # the private one may have been moved to the server, as it should be
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
        choices = self.choices
        attributes = dict(realm.get("attributes") or {})
        self._attribute(attributes, chosen.ATTRIBUTE, choices.text(), remembered=True)  # first: what follows goes by it
        wanted = {
            "gaitkeeper.url": choices.url,
            "gaitkeeper.audience": choices.sidecar,
            "gaitkeeper.issuer": choices.issuer,
            "gaitkeeper.consentVersion": choices.consent_version,
            "gaitkeeper.secretFields": choices.secret_fields,
            "gaitkeeper.transport": choices.transport,
            "gaitkeeper.siteKey": self.api.realm,
        }
        if choices.endpoint:
            wanted["gaitkeeper.endpoint"] = choices.endpoint
        if (keys := self._sidecar_keys()) is not None:
            wanted["gaitkeeper.sidecarJwks"] = keys
        for key, value in wanted.items():
            self._attribute(attributes, key, value)
        if not choices.clients and not choices.keep_theme:
            self._setting(realm, "loginTheme", THEME)
        self._events(realm, attributes)

    def _events(self, realm: Mapping[str, Any], attributes: dict[str, Any]) -> None:
        listeners = list(realm.get("eventsListeners") or [])
        what = f"realm eventsListeners: add {LISTENER}"
        if LISTENER in listeners:
            self.record.found(what, LISTENER)
        elif not self._stays_away(what):
            body = {"realm": self.api.realm, "eventsListeners": [*listeners, LISTENER]}
            self._change(what, None, LISTENER, partial(self.api.put, "", body))
        if not realm.get("eventsEnabled"):
            self._setting(realm, "eventsEnabled", True)
            if not realm.get("eventsExpiration"):
                self._setting(realm, "eventsExpiration", EVENT_DAYS * 86_400)
        if not realm.get("adminEventsEnabled"):  # a deleted user is in none of the others
            self._setting(realm, "adminEventsEnabled", True)
            self._attribute(attributes, "adminEventsExpiration", str(EVENT_DAYS * 86_400))

    def _attribute(self, attributes: dict[str, Any], key: str, value: str, *, remembered: bool = False) -> None:
        """Set one of the realm's attributes. The API replaces all, so all go along: ``attributes`` is kept as it is now."""
        before = attributes.get(key)
        if (remembered and before != value) or self._is_ours(f"attribute {key}", before, value):
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
            self.record.found(what, wanted)
            return False
        last = self.record.last(what)
        if last and last.after == wanted:
            self.say(f"  left alone: {what} is {json.dumps(current)} now, changed after the installation")
            return False
        return True

    def _stays_away(self, what: str) -> bool:
        """Whether something that is not there was there: then an administrator took it away."""
        if self.record.last(what) is None:
            return False
        self.say(f"  left alone: {what}: undone after the installation")
        return True

    def _sidecar_keys(self) -> str | None:
        """Return the sidecar's public keys, in the one form in which they are compared later."""
        url = f"{self.choices.url}/.well-known/jwks.json"
        try:
            answer = httpx.get(url, timeout=5.0, trust_env=False)
            answer.raise_for_status()
            return json.dumps({"keys": answer.json()["keys"]}, sort_keys=True)
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            self.say(
                f"  warning: {url} does not answer. While the sidecar is away every login meets the fail mode"
                f" '{self.choices.fail_mode}'; run this again when it runs, to let it end sessions"
            )
            return None

    def _consent(self) -> None:
        what = "required action: register"
        if any(action["providerId"] == CONSENT for action in self.api.get("/authentication/required-actions")):
            self.record.found(what, CONSENT)
        elif not self._stays_away(what):
            body = {"providerId": CONSENT, "name": "Typing rhythm: consent"}
            path = "/authentication/register-required-action"
            self._change(what, None, CONSENT, partial(self.api.post, path, body))

    def _brokers(self, pages: Sequence[flows.Step]) -> None:
        brokers = list(self.api.pages("/identity-provider/instances"))
        if not brokers:
            return
        self._flows().ensure(flows.AFTER_BROKER, flows.after_broker(self.choices.decide, pages))
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

    def _registration(self, realm: Mapping[str, Any]) -> None:
        """Let the registration form take our field, where people can register by the built-in form."""
        own = realm.get("registrationFlow")
        if not realm.get("registrationAllowed"):
            return
        if own not in (flows.BUILT_IN["registrationFlow"], flows.REGISTRATION):
            self.say(
                f"  note: the registration flow '{own}' is a custom one and is left alone: put"
                f" {flows.REGISTRATION_STEP} in place of {flows.REGISTRATION_BUILT_IN} in its form"
            )
            return
        self._flows().ensure_registration()
        self._setting(realm, "registrationFlow", flows.REGISTRATION)

    def _bind(self, realm: Mapping[str, Any]) -> None:
        if not self.choices.clients:
            self._setting(realm, "browserFlow", flows.BROWSER)
            return
        flow = next((one["id"] for one in self.api.get("/authentication/flows") if one["alias"] == flows.BROWSER), "")
        for client in named_clients(self.api, self.choices):
            whose = f"client {client['clientId']}"
            path = f"/clients/{client['id']}"
            bound = dict(client.get("authenticationFlowBindingOverrides") or {})
            attributes = dict(client.get("attributes") or {})
            before = attributes.get("login_theme")
            if not self.choices.keep_theme and self._is_ours(f"{whose}: login theme", before, THEME):
                client["attributes"] = attributes | {"login_theme": THEME}
                self._change(f"{whose}: login theme", before, THEME, partial(self.api.put, path, dict(client)))
            if self._is_ours(f"{whose}: browser flow", bound.get("browser"), flow):
                client["authenticationFlowBindingOverrides"] = bound | {"browser": flow}
                put = partial(self.api.put, path, dict(client))
                self._change(f"{whose}: browser flow", bound.get("browser"), flow, put)

    def _reports(self, realm: Mapping[str, Any]) -> Iterator[str]:
        """Say what goes past the flow: an administrator must not learn it from an attacker."""
        choices = self.choices
        for client in self.api.pages("/clients"):
            own = client.get("authenticationFlowBindingOverrides") or {}
            if own.get("browser") and not choices.clients:
                yield f"client '{client['clientId']}' has a browser flow of its own: its logins are not covered"
            if own.get("direct_grant") and choices.direct_grant:
                yield f"client '{client['clientId']}' has a direct grant flow of its own: its grants are not covered"
        if not choices.clients:
            yield (
                "who has a second factor is from now on asked for it when a decision demands it;"
                " the built-in flow asked always"
            )
        if realm.get("directGrantFlow") != flows.DIRECT_GRANT and not choices.direct_grant:
            yield "direct grants are not covered; --direct-grant covers them"
        if not choices.with_brokers and next(self.api.pages("/identity-provider/instances"), None):
            yield "logins by other providers are not covered; --brokers covers them"
        yield "registrations, refreshes and token exchange are decided by nobody"

    def _change(self, what: str, before: Any, after: Any, do: Callable[[], object]) -> None:
        self.changes += 1
        self.say(f"  {what}" + ("" if before in (None, "") else f" (was {json.dumps(before)})"))
        if self.make:
            intention = self.record.intend(what, before, after)
            do()
            self.record.confirm(intention)


def connect(
    api: AdminApi, wishes: Wishes, file: Path, *, make: bool, say: Callable[[str], None]
) -> tuple[int, Choices]:
    """Plan or install; return the number of changes and what holds now. Raises KeycloakRefused and RecordDamaged."""
    record, realm = Record(file), api.get()
    kept = chosen.read((realm.get("attributes") or {}).get(chosen.ATTRIBUTE)) or flows.layout(api)
    issuer = wishes.given.get("issuer") or kept.get("issuer") or issuer_of(api.server, api.realm)
    choices = chosen.settle({**wishes.given, "issuer": issuer}, kept, whole_realm=wishes.whole_realm)
    return Installation(api, wishes, choices, record, make, say).run(realm), choices
