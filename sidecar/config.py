"""Settings: one TOML file, read once, frozen, checked as a whole before anything starts."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sidecar.errors import ConfigInvalid

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClientSettings(_Frozen):
    """What holds for one OIDC client of an identity provider.

    ``password_suffices``: first samples may come from logins that no second factor confirmed; such a profile never
    lowers friction.
    """

    password_suffices: bool = False


class IdpSettings(_Frozen):
    """One identity provider: who it is, how it signs, where its login page lives, how sessions are ended there."""

    tenant: Name
    issuer: str
    adapter: Literal["webhook"] = "webhook"
    jwks_file: Path
    site_key: Name
    origins: tuple[str, ...] = Field(min_length=1)
    secret_fields: Literal["positions", "summary", "off"] = "positions"  # noqa: S105 - a mode
    revocation_url: str | None = None
    clients: dict[str, ClientSettings] = {}

    def client(self, client_id: str) -> ClientSettings:
        """Return a client's settings, or what holds for clients that are not listed."""
        return self.clients.get(client_id, ClientSettings())


class LearningSettings(_Frozen):
    """When profiles count and when they no longer do."""

    ready_samples: int = Field(default=10, ge=3, le=200)
    stale_days: int = Field(default=90, ge=1, le=3650)
    samples_per_day: int = Field(default=20, ge=1, le=1000)
    frozen: bool = False


class OperatorSettings(_Frozen):
    """OIDC login of the operator page."""

    issuer: str
    client_id: str
    client_secret_file: Path
    roles_claim: str = "roles"


class KeySettings(_Frozen):
    """Where keys live. ``master``: ``file:PATH``, ``env:NAME`` or ``command:WORDS``; ``store``: the file of the users' keys.

    Both default to the directory ``keys`` in ``data_dir``; keep their backups apart from those of the data.
    """

    master: str | None = None
    store: Path | None = None


class Settings(_Frozen):
    """Everything the sidecar is told. ``base_url`` is what callers put into ``aud``."""

    base_url: str
    host: str = "127.0.0.1"
    port: int = Field(default=8800, ge=1, le=65535)
    data_dir: Path
    keys: KeySettings = KeySettings()
    policy: Path | None = None
    detector: str = "nearest-recent-1"
    deadline_ms: int = Field(default=400, ge=20, le=10_000)
    idps: tuple[IdpSettings, ...] = Field(min_length=1)
    learning: LearningSettings = LearningSettings()
    operator: OperatorSettings | None = None

    @property
    def master(self) -> str:
        """Source of the master keys."""
        return self.keys.master or f"file:{self.data_dir / 'keys' / 'master.json'}"

    @property
    def key_store(self) -> Path:
        """File of the users' keys."""
        return self.keys.store or self.data_dir / "keys" / "user-keys.db"

    def idp(self, issuer: str) -> IdpSettings:
        """Return the provider of an issuer. Raises KeyError."""
        return next(idp for idp in self.idps if idp.issuer == issuer)

    def site(self, key: str) -> IdpSettings | None:
        """Return the provider whose login page carries this site key."""
        return next((idp for idp in self.idps if idp.site_key == key), None)


def load_settings(path: Path) -> Settings:
    """Read and check a settings file; relative paths are relative to it. Raises ConfigInvalid with every failure."""
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigInvalid(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: {error}") from None
    try:
        settings = _anchored(Settings.model_validate(raw), path.parent.resolve())
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise ConfigInvalid(f"{path}:\n  " + "\n  ".join(lines)) from None
    failed = [message for bad, message in _checks(settings) if bad]
    if failed:
        raise ConfigInvalid(f"{path}:\n  " + "\n  ".join(failed))
    return settings


def _checks(settings: Settings) -> list[tuple[bool, str]]:
    """The one table of start-up checks: every failed row is reported at once."""
    issuers = [idp.issuer for idp in settings.idps]
    keys = [idp.site_key for idp in settings.idps]
    urls = [settings.base_url, *(origin for idp in settings.idps for origin in idp.origins)]
    urls += [idp.revocation_url for idp in settings.idps if idp.revocation_url]
    urls += [settings.operator.issuer] if settings.operator else []
    return [
        (settings.base_url.endswith("/"), "base_url must not end in a slash"),
        (len(set(issuers)) < len(issuers), "two identity providers have the same issuer"),
        (len(set(keys)) < len(keys), "two identity providers have the same site_key"),
        *((not _secure(url), f"{url} must be https (or http on a loopback address)") for url in urls),
        *(
            (origin.count("/") > 2, f"{origin} is not an origin: leave out the path")
            for idp in settings.idps
            for origin in idp.origins
        ),
        *((not idp.jwks_file.is_file(), f"{idp.jwks_file} does not exist") for idp in settings.idps),
        (settings.policy is not None and not settings.policy.is_file(), f"{settings.policy} does not exist"),
        (
            settings.operator is not None and not settings.operator.client_secret_file.is_file(),
            "operator.client_secret_file does not exist",
        ),
    ]


def _secure(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")


def _anchored(settings: Settings, base: Path) -> Settings:
    def at(path: Path) -> Path:
        return path if path.is_absolute() else base / path

    operator = settings.operator
    return settings.model_copy(
        update={
            "data_dir": at(settings.data_dir),
            "keys": _anchored_keys(settings.keys, at),
            "policy": at(settings.policy) if settings.policy else None,
            "idps": tuple(idp.model_copy(update={"jwks_file": at(idp.jwks_file)}) for idp in settings.idps),
            "operator": operator.model_copy(update={"client_secret_file": at(operator.client_secret_file)})
            if operator
            else None,
        }
    )


def _anchored_keys(keys: KeySettings, at: Callable[[Path], Path]) -> KeySettings:
    kind, _, where = (keys.master or "").partition(":")
    master = f"file:{at(Path(where))}" if kind == "file" else keys.master
    return KeySettings(master=master, store=at(keys.store) if keys.store else None)
