"""Settings: one TOML file, read once, frozen, checked as a whole before anything starts."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sidecar.errors import ConfigInvalid

LegalBasis = Literal["consent", "other"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClientSettings(_Frozen):
    """What holds for one OIDC client of an identity provider.

    ``password_suffices``: first samples may come from logins that no second factor confirmed; such a profile never
    lowers friction. ``without_second_factor``: what a step-up becomes for a user who has no second factor; where consent is
    what is missing it is always ``allow``, so that refusing never locks anybody out. ``floor``: the mildest answer that the
    client takes, whatever a policy says; ``sensitivity``: a signal for policies.
    """

    password_suffices: bool = False
    floor: Literal["trust", "allow", "step_up"] = "allow"
    sensitivity: Literal["low", "normal", "high"] = "normal"
    without_second_factor: Literal["allow", "deny"] = "allow"


class IdpSettings(_Frozen):
    """One identity provider: who it is, how it signs, where its login page lives, how sessions are ended there.

    ``shared_text``: fields into which everybody types one and the same text, by the administrator's word.
    """

    tenant: Name
    issuer: str
    adapter: Literal["webhook", "keycloak"] = "webhook"
    jwks_file: Path
    site_key: Name
    origins: tuple[str, ...] = Field(min_length=1)
    secret_fields: Literal["positions", "summary", "off"] = "positions"  # noqa: S105 - a mode
    revocation_url: str | None = None
    shared_text: tuple[Literal["username", "password"], ...] = ()
    legal_basis: LegalBasis = "consent"
    clients: dict[str, ClientSettings] = {}

    def client(self, client_id: str) -> ClientSettings:
        """Return a client's settings, or what holds for clients that are not listed."""
        return self.clients.get(client_id, ClientSettings())


class LearningSettings(_Frozen):
    """When profiles count and when they no longer do. ``unlike_per_day``: samples a day that passed a second factor but are
    unlike the ready profile they go into.
    """

    ready_samples: int = Field(default=10, ge=3, le=200)
    stale_days: int = Field(default=90, ge=1, le=3650)
    samples_per_day: int = Field(default=20, ge=1, le=1000)
    unlike_per_day: int = Field(default=1, ge=0, le=1000)
    frozen: bool = False


class RetentionSettings(_Frozen):
    """For how many days each class of data is kept. ``samples_days`` counts from a sample's login, ``profile_days`` from the
    last one, ``unlearned_days`` from the moment samples were taken back.
    """

    decisions_days: int = Field(default=180, ge=1, le=3650)
    logins_days: int = Field(default=180, ge=1, le=3650)
    samples_days: int = Field(default=400, ge=1, le=3650)
    profile_days: int = Field(default=400, ge=1, le=3650)
    unlearned_days: int = Field(default=90, ge=1, le=3650)
    digests_days: int = Field(default=400, ge=1, le=3650)
    effects_days: int = Field(default=30, ge=1, le=3650)
    recorded_days: int = Field(default=30, ge=1, le=365)
    audit_days: int = Field(default=730, ge=1, le=3650)


class ContextSettings(_Frozen):
    """Signals from the surroundings of a login. ``city``, ``asn``: databases in MaxMind's format, as GeoLite2-City (or
    -Country) and GeoLite2-ASN; without one, what it would say is missing. ``history``: whether completed logins are remembered
    (browser, network, place, time); without, what compares with them is missing.
    """

    city: Path | None = None
    asn: Path | None = None
    history: bool = True


class PublishingSettings(_Frozen):
    """How policies come into force. ``keys``: public keys (PEM), one of which must have signed every policy, the configured
    file included; without any, signatures are not looked at. ``four_eyes``: somebody other than the author must approve.
    """

    keys: tuple[Path, ...] = ()
    four_eyes: bool = False


class AuditSettings(_Frozen):
    """The audit chains. ``strict``: no decision is answered before its row is durable; ``buffered``: soon after.

    ``witness``: the second place that gets signed checkpoints: ``file:PATH``, ``syslog:HOST:PORT`` (or ``syslog:/dev/log``)
    or an ``https`` URL.
    """

    mode: Literal["strict", "buffered"] = "strict"
    witness: str | None = None
    checkpoint_seconds: float = Field(default=60.0, ge=0.05, le=86_400)


class OperatorSettings(_Frozen):
    """OIDC login of the operator page. ``tenants_claim`` names the tenants an operator may see; without it, all."""

    issuer: str
    client_id: str
    client_secret_file: Path
    roles_claim: str = "roles"
    tenants_claim: str | None = None


class KeySettings(_Frozen):
    """Where keys live. ``master``: ``file:PATH``, ``env:NAME`` or ``command:WORDS``; ``store``: the users' keys, a file or a
    ``postgresql://`` URL of a database of their own.

    Both default to the directory ``keys`` in ``data_dir``; keep their backups apart from those of the data.
    """

    master: str | None = None
    store: str | None = None


class Settings(_Frozen):
    """Everything the sidecar is told. ``base_url`` is what callers put into ``aud``.

    ``database``: a ``postgresql://`` URL; without it, a SQLite file in ``data_dir``.
    """

    base_url: str
    host: str = "127.0.0.1"
    port: int = Field(default=8800, ge=1, le=65535)
    data_dir: Path
    database: str | None = None
    keys: KeySettings = KeySettings()
    policy: Path | None = None
    detector: str = "nearest-recent-2"
    deadline_ms: int = Field(default=400, ge=20, le=10_000)
    idps: tuple[IdpSettings, ...] = Field(min_length=1)
    learning: LearningSettings = LearningSettings()
    context: ContextSettings = ContextSettings()
    retention: RetentionSettings = RetentionSettings()
    audit: AuditSettings = AuditSettings()
    publishing: PublishingSettings = PublishingSettings()
    operator: OperatorSettings | None = None

    @property
    def master(self) -> str:
        """Source of the master keys."""
        return self.keys.master or f"file:{self.data_dir / 'keys' / 'master.json'}"

    @property
    def key_store(self) -> str:
        """Path or URL of the users' keys."""
        return self.keys.store or str(self.data_dir / "keys" / "user-keys.db")

    @property
    def tenants(self) -> tuple[str, ...]:
        """Names of the tenants."""
        return tuple(dict.fromkeys(idp.tenant for idp in self.idps))

    def legal_basis(self, tenant: str) -> LegalBasis:
        """Return the legal basis of a tenant: consent, unless all its providers say otherwise."""
        return "other" if all(idp.legal_basis == "other" for idp in self.idps if idp.tenant == tenant) else "consent"

    def shared_text(self, tenant: str) -> tuple[str, ...]:
        """Return the fields that all providers of a tenant declare as one shared text."""
        declared: list[set[str]] = [set(idp.shared_text) for idp in self.idps if idp.tenant == tenant]
        return tuple(sorted(set.intersection(*declared))) if declared else ()

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
        (is_url(settings.database or "") is not bool(settings.database), "database must be a postgresql:// URL"),
        (
            bool(settings.database) and settings.keys.store is None,
            "keys.store must name a file, or a PostgreSQL database apart from the data's",
        ),
        (
            settings.database is not None and settings.keys.store == settings.database,
            "keys.store must not be the database of the data: backups of one must not hold the other",
        ),
        (
            not settings.database and is_url(settings.keys.store or ""),
            "keys.store in PostgreSQL needs the data there, too",
        ),
        *((not key.is_file(), f"{key} does not exist") for key in settings.publishing.keys),
        *(
            (not path.is_file(), f"{path} does not exist")
            for path in (settings.context.city, settings.context.asn)
            if path is not None
        ),
        (not _witness(settings.audit.witness), "audit.witness must be file:PATH, syslog:ADDRESS or an https URL"),
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
            "audit": settings.audit.model_copy(update={"witness": _anchored_file(settings.audit.witness, at)}),
            "policy": at(settings.policy) if settings.policy else None,
            "context": settings.context.model_copy(
                update={
                    name: at(path) for name in ("city", "asn") if (path := getattr(settings.context, name)) is not None
                }
            ),
            "publishing": settings.publishing.model_copy(
                update={"keys": tuple(at(key) for key in settings.publishing.keys)}
            ),
            "idps": tuple(idp.model_copy(update={"jwks_file": at(idp.jwks_file)}) for idp in settings.idps),
            "operator": operator.model_copy(update={"client_secret_file": at(operator.client_secret_file)})
            if operator
            else None,
        }
    )


def _anchored_keys(keys: KeySettings, at: Callable[[Path], Path]) -> KeySettings:
    master = _anchored_file(keys.master, at)
    store = str(at(Path(keys.store))) if keys.store and not is_url(keys.store) else keys.store
    return KeySettings(master=master, store=store)


def _anchored_file(source: str | None, at: Callable[[Path], Path]) -> str | None:
    kind, _, where = (source or "").partition(":")
    return f"file:{at(Path(where))}" if kind == "file" else source


def is_url(text: str) -> bool:
    """Tell whether a database is named by a PostgreSQL URL."""
    return text.startswith(("postgresql://", "postgres://"))


def _witness(text: str | None) -> bool:
    if text is None:
        return True
    kind, _, where = text.partition(":")
    return bool(where) and (kind in ("file", "syslog") or _secure(text))
