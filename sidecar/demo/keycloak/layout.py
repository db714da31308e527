"""Where the Keycloak demo lives, the realm it makes, and the settings of sidecar and application."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idp_adapters.demo.settings import DemoSettings, demo_client, save_settings
from sidecar.config import Settings, load_settings
from sidecar.demo.layout import APP_CLIENT, OPERATOR_CLIENT, Layout, Person, secret_file

REALM = "harbour"
TOTP = {"subType": "totp", "digits": 6, "period": 30, "algorithm": "HmacSHA1", "secretEncoding": "BASE32"}


@dataclass(frozen=True, slots=True)
class Shore(Layout):
    """A demo whose provider is Keycloak, on the port after the sidecar's; its health is on the port after the application's."""

    @property
    def issuer(self) -> str:
        """The realm's issuer."""
        return f"{self.idp_url}/realms/{REALM}"

    @property
    def health_port(self) -> int:
        """Where Keycloak tells its health."""
        return self.port + 3

    @property
    def keys(self) -> Path:
        """Directory of the realm's key."""
        return self.state.resolve() / "keys"


def realm(layout: Shore, people: Sequence[Person]) -> dict[str, Any]:
    """Return the realm as Keycloak imports it: people with their passwords, the application, the operator page."""
    roles = sorted({role for person in people for role in person.roles})
    return {
        "realm": REALM,
        "displayName": "Harbour",
        "enabled": True,
        "roles": {"realm": [{"name": role} for role in roles]},
        "otpPolicyType": "totp",
        "otpPolicyAlgorithm": "HmacSHA1",
        "otpPolicyDigits": 6,
        "otpPolicyPeriod": 30,
        "otpPolicyInitialCounter": 0,
        "otpPolicyLookAheadWindow": 1,
        "clients": [_application(layout), _operator_page(layout)],
        "users": [_user(person) for person in people],
    }


def write(layout: Shore, people: Sequence[Person], extra: str = "") -> Settings:
    """Write the settings of sidecar and application, and return the sidecar's. ``extra`` is TOML for its end."""
    layout.sidecar_settings.write_text(_toml(layout) + extra)
    app = demo_client(layout.app_url, secret=secret_file(layout.state / "app.secret"), client_id=APP_CLIENT)
    unused = str(layout.state.resolve() / "unused")  # by the application: these are the demo provider's
    settings = DemoSettings(
        idp_url=layout.idp_url,
        app_url=layout.app_url,
        sidecar_url=layout.sidecar_url,
        db_path=unused,
        site_key=REALM,
        assertion_key_path=unused,
        oidc_key_path=unused,
        clients=(app,),
        app_issuer=layout.issuer,
        login_hint=f"You are a stranger to {people[0].username}. The password is printed in the terminal.",
    )
    save_settings(settings, layout.demo_settings)
    return load_settings(layout.sidecar_settings)


def _application(layout: Shore) -> dict[str, Any]:
    return {
        "clientId": APP_CLIENT,
        "name": "Harbour Bank",
        "secret": secret_file(layout.state / "app.secret"),
        "redirectUris": [f"{layout.app_url}/callback"],
        "attributes": {
            "backchannel.logout.url": f"{layout.app_url}/backchannel-logout",
            "backchannel.logout.session.required": "true",
            "post.logout.redirect.uris": f"{layout.app_url}/signed-out",
        },
    }


def _operator_page(layout: Shore) -> dict[str, Any]:
    claim = {"claim.name": "roles", "multivalued": "true", "id.token.claim": "true", "jsonType.label": "String"}
    mapper = {
        "name": "roles",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-usermodel-realm-role-mapper",
        "config": claim,
    }
    return {
        "clientId": OPERATOR_CLIENT,
        "name": "Gaitkeeper operator page",
        "secret": secret_file(layout.state / "operator.secret"),
        "redirectUris": [f"{layout.sidecar_url}/operator/callback"],
        "protocolMappers": [mapper],
    }


def _user(person: Person) -> dict[str, Any]:
    first, _, last = person.name.partition(" (")[0].partition(" ")  # Keycloak takes no brackets in a name
    credentials = [{"type": "password", "value": person.password}]
    if person.totp_secret:
        secret = json.dumps({"value": person.totp_secret})
        credentials.append({"type": "otp", "secretData": secret, "credentialData": json.dumps(TOTP)})
    told = {}
    if person.consent:
        told["gaitkeeper_consent"] = [f"{'given' if person.consent.given else 'refused'} 1 {int(time.time())}"]
    return {
        "id": person.sub,
        "username": person.username,
        "enabled": True,
        "email": f"{person.username}@example.org",
        "emailVerified": True,
        "firstName": first,
        "lastName": last or first,
        "realmRoles": [f"default-roles-{REALM}", *person.roles],
        "credentials": credentials,
        "attributes": told,
    }


def _toml(layout: Shore) -> str:
    secret_file(layout.state / "operator.secret")
    return f"""base_url = "{layout.sidecar_url}"
port = {layout.port}
data_dir = "sidecar"

[[idps]]
tenant = "{REALM}"
issuer = "{layout.issuer}"
adapter = "keycloak"
jwks_file = "{layout.keys / REALM}-jwks.json"
site_key = "{REALM}"
origins = ["{layout.idp_url}"]
revocation_url = "{layout.issuer}/gaitkeeper/sessions/end"

[operator]
issuer = "{layout.issuer}"
client_id = "{OPERATOR_CLIENT}"
client_secret_file = "operator.secret"
"""
