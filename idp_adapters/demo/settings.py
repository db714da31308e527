"""Everything the demo can be told, in one frozen value that is read from one JSON file.

Unknown keys are refused: a misspelt ``fail_mode`` must not quietly leave the default in force.
"""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pyotp
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

REVOKE_PATH = "/gaitkeeper/sessions/revoke"

FailMode = Literal["open", "challenge", "closed"]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class ClientSettings:
    """One relying party and how a login to it treats risk.

    ``fail_mode`` says what an unreachable sidecar means; ``without_second_factor`` what a demanded second
    factor means for somebody who has none; ``always_second_factor`` is a floor that no score can lower.
    ``secret_fields`` is how much the widget may tell of the password field; the sidecar can be stricter, never
    laxer.
    """

    client_id: str
    name: str
    secret: str
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    without_second_factor: Literal["allow", "deny"] = "deny"
    fail_mode: FailMode = "challenge"
    always_second_factor: bool = False
    username_first: bool = False
    secret_fields: Literal["positions", "summary", "off"] = "positions"  # noqa: S105 - a mode


@dataclass(frozen=True, slots=True, config=_STRICT)
class SeedConsent:
    """What a seeded user is taken to have answered, and to which text."""

    given: bool
    version: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class SeedUser:
    """One user that ``seed`` creates. ``synthetic`` marks a simulated person, so that pages can say so.

    ``consent``: without it, the user is asked after the first login like anybody.
    """

    username: str
    name: str
    password: str
    roles: tuple[str, ...] = ()
    totp_secret: str | None = None
    synthetic: bool = False
    sub: str | None = None
    consent: SeedConsent | None = None

    def __post_init__(self) -> None:
        """Refuse a TOTP secret that pyotp would only refuse when the code is asked for."""
        if self.totp_secret is not None:
            pyotp.TOTP(self.totp_secret)


@dataclass(frozen=True, slots=True, config=_STRICT)
class DemoSettings:
    """The demo provider, the demo application and where the sidecar is.

    ``assertion_key_path`` is the P-256 key that signs calls to the sidecar; ``oidc_key_path`` signs ID tokens
    (P-256 gives ES256, RSA gives RS256). They are two keys so that one kind of token can never pass as the
    other. ``issuer`` and ``audience`` of the assertions default to the provider's and the sidecar's URL, and
    so does ``sidecar_issuer``, the name under which the sidecar signs its revocations. ``sidecar_jwks`` pins
    the sidecar's keys; without it they are fetched. ``app_issuer`` is another provider for the application to sign in at.
    """

    idp_url: str
    app_url: str
    sidecar_url: str
    db_path: str
    site_key: str
    assertion_key_path: str
    oidc_key_path: str
    clients: tuple[ClientSettings, ...]
    users: tuple[SeedUser, ...] = ()
    issuer: str | None = None
    audience: str | None = None
    sidecar_issuer: str | None = None
    sidecar_jwks: dict[str, list[dict[str, str]]] | None = None
    deadline_ms: int = 1000
    app_client_id: str | None = None
    app_issuer: str | None = None
    login_hint: str | None = None
    widget_integrity: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would only fail later, in the middle of somebody's login."""
        for url in (self.idp_url, self.app_url, self.sidecar_url):
            if origin(url) != url:
                raise ValueError(f"{url!r} must be scheme, host and port only")
        if not self.clients:
            raise ValueError("at least one client is needed")
        if not 0 < self.deadline_ms <= 10_000:
            raise ValueError("deadline_ms must lie between 1 and 10000")

    @property
    def assertion_issuer(self) -> str:
        """Who signs the calls to the sidecar."""
        return self.issuer or self.idp_url

    @property
    def assertion_audience(self) -> str:
        """For whom they are signed."""
        return self.audience or self.sidecar_url

    @property
    def revoke_url(self) -> str:
        """The URL a revocation is signed for; not the request's, whose Host anyone can choose."""
        return self.idp_url + REVOKE_PATH

    def client(self, client_id: str | None) -> ClientSettings | None:
        """The registered client of that id."""
        return next((client for client in self.clients if client.client_id == client_id), None)

    @property
    def provider(self) -> str:
        """The issuer that the application signs in at."""
        return self.app_issuer or self.idp_url

    @property
    def app_client(self) -> ClientSettings:
        """The client the demo application itself is: the named one, else the first."""
        return self.client(self.app_client_id) or self.clients[0]


_SETTINGS = TypeAdapter(DemoSettings)


def origin(url: str) -> str:
    """Scheme, host and port of a URL, the form a content security policy compares."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def demo_client(app_url: str, *, secret: str, client_id: str = "harbour-bank") -> ClientSettings:
    """The demo application's registration, with the URIs ``create_app`` really serves."""
    return ClientSettings(
        client_id=client_id,
        name="Harbour Bank",
        secret=secret,
        redirect_uris=(f"{app_url}/callback",),
        post_logout_redirect_uris=(f"{app_url}/signed-out",),
        backchannel_logout_uri=f"{app_url}/backchannel-logout",
    )


def load_settings(path: Path) -> DemoSettings:
    """Read settings from a JSON file. Raises pydantic.ValidationError, OSError."""
    return _SETTINGS.validate_json(path.read_bytes())


def save_settings(settings: DemoSettings, path: Path) -> None:
    """Write settings as JSON, readable by the owner only: the file holds passwords and client secrets."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(_SETTINGS.dump_json(settings, indent=2))
