"""Everything a demo consists of: directories, URLs, keys, people, and the settings files made of them."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from idp_adapters.demo.settings import (
    ClientSettings,
    DemoSettings,
    SeedConsent,
    SeedUser,
    demo_client,
    save_settings,
)
from sidecar.config import Settings, load_settings
from sidecar.tokens import load_signing_key, new_signing_key

TENANT = "demo"
SITE_KEY = "demo-login"
APP_CLIENT = "harbour-bank"
OPERATOR_CLIENT = "gaitkeeper-operator"
SYNTHETIC_TYPIST = 7
SEEDED = "seeded: synthetic"  # stands where real people have the version of the text they agreed to
NOT_ASKED = SeedConsent(False, "seeded: not asked")


@dataclass(frozen=True, slots=True)
class Person:
    """A seeded account. ``typist`` is the seed of a synthetic rhythm, None for people without a profile.

    ``consent``: what they are taken to have answered; who has none is asked after the first login.
    """

    username: str
    name: str
    password: str
    sub: str
    roles: tuple[str, ...] = ()
    totp_secret: str | None = None
    typist: int | None = None
    consent: SeedConsent | None = None


PEOPLE = (
    Person(
        "amelia",
        "Amelia Hart (synthetic)",
        "harbour-lantern",
        "7d1f3c52-7a34-4b0e-9a55-0b1f6f0c1a01",
        totp_secret="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",  # noqa: S106 - a demo account, printed on purpose
        typist=SYNTHETIC_TYPIST,
        consent=SeedConsent(True, SEEDED),
    ),
    Person(
        "operator",
        "Olive Operator",
        "watch-the-water",
        "7d1f3c52-7a34-4b0e-9a55-0b1f6f0c1a02",
        ("administrator",),
        consent=NOT_ASKED,
    ),
    Person(
        "viewer",
        "Vic Viewer",
        "look-do-not-touch",
        "7d1f3c52-7a34-4b0e-9a55-0b1f6f0c1a03",
        ("viewer",),
        consent=NOT_ASKED,
    ),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one demo lives. Everything below ``state`` is its own and may be deleted."""

    state: Path
    port: int

    @property
    def sidecar_url(self) -> str:
        """Origin of the sidecar."""
        return f"http://localhost:{self.port}"

    @property
    def idp_url(self) -> str:
        """Origin and issuer of the demo identity provider."""
        return f"http://localhost:{self.port + 1}"

    @property
    def app_url(self) -> str:
        """Origin of the demo application."""
        return f"http://localhost:{self.port + 2}"

    @property
    def sidecar_settings(self) -> Path:
        """The sidecar's settings file."""
        return self.state / "gaitkeeper.toml"

    @property
    def log(self) -> Path:
        """What the parts write to standard output and error."""
        return self.state / "demo.log"

    @property
    def demo_settings(self) -> Path:
        """The settings file of provider and application."""
        return self.state / "demo.json"


def write(layout: Layout, people: tuple[Person, ...] = PEOPLE, extra: str = "") -> Settings:
    """Write both settings files and the keys they name, and return the sidecar's. ``extra`` is TOML for its end."""
    layout.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    assertion = key_file(layout.state / "idp-assertion.pem")
    key_file(layout.state / "idp-oidc.pem")
    app_secret, operator_secret = (
        secret_file(layout.state / "app.secret"),
        secret_file(layout.state / "operator.secret"),
    )
    (layout.state / "idp-jwks.json").write_text(json.dumps({"keys": [dict(load_signing_key(assertion).jwk)]}))
    save_settings(_demo(layout, people, app_secret, operator_secret), layout.demo_settings)
    layout.sidecar_settings.write_text(_toml(layout) + extra)
    return load_settings(layout.sidecar_settings)


def _toml(layout: Layout) -> str:
    return f"""base_url = "{layout.sidecar_url}"
port = {layout.port}
data_dir = "sidecar"

[[idps]]
tenant = "{TENANT}"
issuer = "{layout.idp_url}"
jwks_file = "idp-jwks.json"
site_key = "{SITE_KEY}"
origins = ["{layout.idp_url}"]
revocation_url = "{layout.idp_url}/gaitkeeper/sessions/revoke"

[operator]
issuer = "{layout.idp_url}"
client_id = "{OPERATOR_CLIENT}"
client_secret_file = "operator.secret"
"""


def _demo(layout: Layout, people: tuple[Person, ...], app_secret: str, operator_secret: str) -> DemoSettings:
    operator = ClientSettings(
        client_id=OPERATOR_CLIENT,
        name="Gaitkeeper operator page",
        secret=operator_secret,
        redirect_uris=(f"{layout.sidecar_url}/operator/callback",),
        # The demo's operators have no second factor; a real installation leaves this at deny.
        without_second_factor="allow",
    )
    shown = people[0]
    return DemoSettings(
        idp_url=layout.idp_url,
        app_url=layout.app_url,
        sidecar_url=layout.sidecar_url,
        db_path=str(layout.state.resolve() / "idp.db"),
        site_key=SITE_KEY,
        assertion_key_path=str(layout.state.resolve() / "idp-assertion.pem"),
        oidc_key_path=str(layout.state.resolve() / "idp-oidc.pem"),
        clients=(demo_client(layout.app_url, secret=app_secret, client_id=APP_CLIENT), operator),
        users=tuple(
            SeedUser(
                username=person.username,
                name=person.name,
                password=person.password,
                roles=person.roles,
                totp_secret=person.totp_secret,
                synthetic=person.typist is not None,
                sub=person.sub,
                consent=person.consent,
            )
            for person in people
        ),
        app_client_id=APP_CLIENT,
        login_hint=f"You are a stranger to {shown.username}. The password is printed in the terminal; type it and see.",
    )


def key_file(path: Path) -> str:
    """Return the private key (PEM) in a file, made the first time."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(new_signing_key().pem)
    return path.read_text()


def secret_file(path: Path) -> str:
    """Return the secret in a file, made the first time."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text()
