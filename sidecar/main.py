"""Composition root: the only module that names concrete stores, adapters and detectors."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from numpy.typing import NDArray
from starlette.middleware.sessions import SessionMiddleware

from idp_adapters.keycloak.sessions import KeycloakSessions
from idp_adapters.webhook import Webhook
from sidecar.api import captures as capture_routes
from sidecar.api import enrollments, hooks, public
from sidecar.api import subjects as subject_routes
from sidecar.api.requests import Callers, install_error_handlers
from sidecar.compiler import checked, signature_beside
from sidecar.compiler import loaded as loaded_policy
from sidecar.config import IdpSettings, OperatorSettings, Settings, is_url
from sidecar.console import routes as console
from sidecar.console.api import OperatorApi
from sidecar.console.login import OperatorLogin
from sidecar.console.pages import Pages, Readings
from sidecar.console.policies import PolicyPages, templates
from sidecar.domain.biometrics import Layout, Sample, Template
from sidecar.errors import ConfigInvalid, DeliveryFailed, StorageFailed
from sidecar.geography import GeoDatabase
from sidecar.keyring import Keyring
from sidecar.masters import Masters
from sidecar.policy.language import Policy, parse, read_bytes
from sidecar.policy.signature import read_public, verify
from sidecar.ports import Checked, PolicyVersion, SessionEnder
from sidecar.scoring import CALIBRATED, DETECTORS
from sidecar.shipped import policy_directory, widget_directory
from sidecar.storage.assertions import SqlAssertions
from sidecar.storage.audit import SqlAudit, appending
from sidecar.storage.captures import SqlCaptures
from sidecar.storage.correction import SqlCorrection
from sidecar.storage.database import Database
from sidecar.storage.decisions import SqlDecisions
from sidecar.storage.evidence import Models
from sidecar.storage.keystore import SqlKeys
from sidecar.storage.last_good import LastGoodFile
from sidecar.storage.outbox import SqlOutbox
from sidecar.storage.policies import SqlPolicies
from sidecar.storage.postgres import Postgres
from sidecar.storage.profiles import SqlProfiles
from sidecar.storage.recalibrations import SqlRecalibrations
from sidecar.storage.recordings import SqlRecordings
from sidecar.storage.retention import SqlRetention
from sidecar.storage.schema import prepare
from sidecar.storage.sessions import SqlSessions
from sidecar.storage.sqlite import Sqlite
from sidecar.storage.subjects import SqlSubjects
from sidecar.storage.surroundings import SqlSurroundings
from sidecar.storage.witness import Witness
from sidecar.tokens import Jwk
from sidecar.usecases.assess import Assessor
from sidecar.usecases.cohorts import Cohorts
from sidecar.usecases.complete import Completer
from sidecar.usecases.enact import Enactor
from sidecar.usecases.enroll import Enroller
from sidecar.usecases.in_force import InForce
from sidecar.usecases.loaded import loaded
from sidecar.usecases.publish import Publisher
from sidecar.usecases.rights import Rights
from sidecar.usecases.surroundings import Watcher
from sidecar.usecases.watching import TypingWatch

log = structlog.get_logger()

DATABASE = "gaitkeeper.db"
OUTBOX_SECONDS = 0.25
PURGE_SECONDS = 60.0
RETIRE_SECONDS = 3600.0
FLUSH_SECONDS = 0.25
RELOAD_SECONDS = 1.0
WATCH_SECONDS = 10.0
TYPING_SECONDS = 300.0
REREAD_SECONDS = 10.0
COHORT_SECONDS = 5.0  # how long somebody forgotten may stay in a background at most; learning comes once an hour
LAST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Sidecar:
    """All parts of a running sidecar, wired. Used by the HTTP application and, without HTTP, by commands and rehearsals."""

    settings: Settings
    policies: InForce
    published: SqlPolicies
    publisher: Publisher
    keyring: Keyring
    keys: SqlKeys
    database: Database
    captures: SqlCaptures
    assertions: SqlAssertions
    decisions: SqlDecisions
    profiles: SqlProfiles
    correction: SqlCorrection
    subjects: SqlSubjects
    surroundings: SqlSurroundings
    recordings: SqlRecordings
    outbox: SqlOutbox
    audit: SqlAudit
    retention: SqlRetention
    recalibrations: SqlRecalibrations
    assessor: Assessor
    completer: Completer

    def close(self) -> None:
        """Write what waits and close the databases."""
        self.database.close()
        self.keys.close()


def data_driver(settings: Settings) -> Sqlite | Postgres:
    """Return the driver of the data's database."""
    return Postgres(settings.database) if settings.database else Sqlite(settings.data_dir / DATABASE)


def key_driver(settings: Settings) -> Sqlite | Postgres:
    """Return the driver of the key store."""
    store = settings.key_store
    if is_url(store):
        return Postgres(store, "gaitkeeper_keys")
    # Without a write-ahead log and with deleted pages overwritten, a destroyed key is gone from the file at once.
    return Sqlite(Path(store), journal="DELETE")


def open_keys(settings: Settings) -> SqlKeys:
    """Open the key store; a first start with the default source makes the master key's file.

    Raises ConfigInvalid, StorageFailed.
    """
    kind, _, where = settings.master.partition(":")
    missing = not is_url(settings.key_store) and not Path(settings.key_store).exists()
    if missing and not settings.database and (settings.data_dir / DATABASE).exists():
        raise ConfigInvalid(f"there is data in {settings.data_dir} but no key store at {settings.key_store}")
    driver = key_driver(settings)
    prepare(driver, "keys")
    database = Database(driver)
    try:
        if kind == "file" and not Path(where).exists() and not database.read("SELECT 1 FROM secrets LIMIT 1"):
            Masters.init(Path(where))
        return SqlKeys(database, Masters(settings.master))
    except BaseException:
        database.close()
        raise


def models(settings: Settings) -> Models:
    """Return the scorers that templates can be of. Raises ConfigInvalid."""
    if settings.detector not in CALIBRATED:
        raise ConfigInvalid(f"detector must be one of {', '.join(CALIBRATED)}: others have no calibration to decide by")

    def enroll(model: str, samples: Sequence[Sample], kinds: NDArray[np.uint8], layout: Layout) -> Template:
        return DETECTORS[model].enroll(samples, kinds, layout)

    return Models(settings.detector, frozenset(DETECTORS), enroll, settings.learning.ready_samples)


def watcher(settings: Settings, keyring: Keyring) -> Watcher:
    """Open the databases of places. Raises ConfigInvalid."""
    city, asn = (GeoDatabase(path) if path else None for path in (settings.context.city, settings.context.asn))
    return Watcher(keyring, city, asn, settings.context.history)


def configured_policy(settings: Settings, signers: Sequence[Ed25519PublicKey]) -> tuple[bytes, Policy]:
    """Read the policy that holds while nothing is published: its bytes once, so that what was verified is what decides.

    Raises PolicyInvalid.
    """
    path = settings.policy or policy_directory() / "default.yaml"
    source = read_bytes(path)
    if signers and settings.policy:  # what we ship is as trusted as the code beside it
        verify(source, signature_beside(path), signers, str(path))
    return source, parse(source, str(path))


def build(settings: Settings, clock: Callable[[], float] = time.time) -> Sidecar:
    """Wire a sidecar. Raises ConfigInvalid, PolicyInvalid, StorageFailed: better no start than a wrong one."""
    scorers = models(settings)
    signers = [read_public(path.read_bytes(), str(path)) for path in settings.publishing.keys]
    source, policy = configured_policy(settings, signers)
    keys = open_keys(settings)
    keyring = keys.keyring(settings.tenants)
    driver = data_driver(settings)
    prepare(driver, "data")
    audit_key = keys.audit_key()
    database = Database(driver, before_commit=appending(audit_key))
    captures = SqlCaptures(database)
    assertions = SqlAssertions(database)
    decisions = SqlDecisions(database, keys)
    profiles = SqlProfiles(database, keys, scorers, settings.retention.logins_days)
    audit = SqlAudit(database, audit_key)
    published = SqlPolicies(database)

    async def check(version: PolicyVersion) -> Checked:
        return await checked(version, signers, clock())

    async def load(version: PolicyVersion) -> Policy:
        return await loaded_policy(version, signers)

    policies = InForce(policy, published, load, clock, source, last=LastGoodFile(settings.data_dir))
    recalibrations = SqlRecalibrations(database)
    cohorts = Cohorts({tenant: settings.shared_text(tenant) for tenant in settings.tenants}, profiles, clock)
    watch = TypingWatch(
        settings.tenants, profiles, policies, clock, recalibrations, settings.detector, cohorts, DETECTORS
    )
    assessor = Assessor(
        settings=settings,
        policies=policies,
        keyring=keyring,
        keys=keys,
        detectors=DETECTORS,
        captures=captures,
        assertions=assertions,
        decisions=decisions,
        sessions=SqlSessions(database, decisions),
        profiles=profiles,
        audit=audit,
        clock=clock,
        watcher=watcher(settings, keyring),
        watch=watch,
        cohorts=cohorts,
    )
    completer = Completer(settings, decisions, profiles, profiles, clock, policies, DETECTORS)
    return Sidecar(
        settings=settings,
        policies=policies,
        published=published,
        publisher=Publisher(published, published, check, settings.publishing.four_eyes, clock),
        keyring=keyring,
        keys=keys,
        database=database,
        captures=captures,
        assertions=assertions,
        decisions=decisions,
        profiles=profiles,
        correction=SqlCorrection(database, keys, scorers),
        subjects=SqlSubjects(database, keys),
        surroundings=SqlSurroundings(database, keys),
        recordings=SqlRecordings(database, keys),
        outbox=SqlOutbox(database),
        audit=audit,
        retention=SqlRetention(database, keys, scorers, settings.retention),
        recalibrations=recalibrations,
        assessor=assessor,
        completer=completer,
    )


def enroller_of(sidecar: Sidecar) -> Enroller:
    """Return what begins profiles outside a login, on this sidecar."""
    return Enroller(
        settings=sidecar.settings,
        keyring=sidecar.keyring,
        keys=sidecar.keys,
        captures=sidecar.captures,
        profiles=sidecar.profiles,
        learning=sidecar.profiles,
        detectors=DETECTORS,
        clock=sidecar.assessor.clock,
    )


def rights_of(sidecar: Sidecar) -> Rights:
    """Return what a person may ask for, on this sidecar."""
    return Rights(
        settings=sidecar.settings,
        keyring=sidecar.keyring,
        keys=sidecar.keys,
        assertions=sidecar.assertions,
        profiles=sidecar.profiles,
        histories=sidecar.decisions,
        directory=sidecar.decisions,
        subjects=sidecar.subjects,
        surroundings=sidecar.surroundings,
        correction=sidecar.correction,
        recorded=sidecar.recordings,
        audit=sidecar.audit,
        clock=sidecar.assessor.clock,
    )


def log_without_locals() -> None:
    """Log tracebacks without the variables in them: those are keys, templates and the timings of passwords.

    Whoever runs the application may configure logs first; ``serve`` does.
    """
    if structlog.is_configured():
        return
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    stamp = structlog.processors.TimeStamper(fmt="iso")
    structlog.configure(processors=[structlog.processors.add_log_level, stamp, plain])


def application(settings: Settings, clock: Callable[[], float] = time.time) -> FastAPI:
    """Return the HTTP application."""
    log_without_locals()
    sidecar = build(settings, clock)
    http = httpx.AsyncClient(follow_redirects=False, timeout=httpx.Timeout(10.0, connect=2.0))
    enactor = Enactor(
        outbox=sidecar.outbox,
        decisions=sidecar.decisions,
        directory=sidecar.decisions,
        enders={
            idp.issuer: _ender(settings, idp, sidecar.keyring, http, clock)
            for idp in settings.idps
            if idp.revocation_url
        },
        clock=clock,
    )
    app = FastAPI(
        title="Gaitkeeper", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_lifespan(sidecar, enactor, http)
    )
    install_error_handlers(app)
    callers = Callers(settings, {idp.issuer: _keys(idp) for idp in settings.idps}, clock)
    app.include_router(public.routes(settings, widget_directory(), sidecar.keyring.signing))
    app.include_router(capture_routes.routes(settings, sidecar.keyring, sidecar.captures, clock))
    app.include_router(
        hooks.routes(
            callers,
            sidecar.assessor,
            sidecar.completer,
            profiles=sidecar.profiles,
            correction=sidecar.correction,
            audit=sidecar.audit,
            assertions=sidecar.assertions,
            keys=sidecar.keys,
            keyring=sidecar.keyring,
            surroundings=sidecar.surroundings,
        )
    )
    rights = rights_of(sidecar)
    app.include_router(subject_routes.routes(callers, rights))
    app.include_router(enrollments.routes(callers, enroller_of(sidecar)))
    if settings.operator:
        _add_operators(app, sidecar, settings.operator, enactor, http, rights)
    return app


def _add_operators(
    app: FastAPI,
    sidecar: Sidecar,
    operator: OperatorSettings,
    enactor: Enactor,
    http: httpx.AsyncClient,
    rights: Rights,
) -> None:
    """Add the operators' pages, their API and their session cookie."""
    settings, clock = sidecar.settings, sidecar.assessor.clock
    app.add_api_route("/", lambda: RedirectResponse("/operator"), include_in_schema=False)
    login = OperatorLogin(operator, settings.base_url, http)
    readings = Readings(sidecar.audit, clock)
    pages = Pages(
        settings.tenants,
        sidecar.decisions,
        sidecar.decisions,
        sidecar.outbox,
        enactor.may_disable,
        readings,
        sidecar.assessor.watch,
    )
    operators = OperatorApi(
        settings.tenants,
        sidecar.policies,
        sidecar.decisions,
        rights,
        enactor,
        sidecar.audit,
        readings,
        sidecar.assessor.watch,
    )
    app.include_router(operators.routes())
    app.include_router(
        PolicyPages(
            settings.tenants,
            sidecar.policies,
            sidecar.publisher,
            sidecar.decisions,
            sidecar.decisions,
            readings,
            clock,
            templates(),
        ).routes()
    )
    app.include_router(console.routes(login, pages, enactor))
    app.add_middleware(
        SessionMiddleware,
        secret_key=sidecar.keyring.cookies,
        session_cookie="gaitkeeper_operator",
        max_age=8 * 3600,
        same_site="lax",
        https_only=settings.base_url.startswith("https:"),
    )


def _ender(
    settings: Settings, idp: IdpSettings, keyring: Keyring, http: httpx.AsyncClient, clock: Callable[[], float]
) -> SessionEnder:
    return ADAPTERS[idp.adapter](str(idp.revocation_url), settings.base_url, keyring.signing, http, clock)


ADAPTERS: dict[str, type[Webhook] | type[KeycloakSessions]] = {"webhook": Webhook, "keycloak": KeycloakSessions}


def _keys(idp: IdpSettings) -> list[Jwk]:
    try:
        keys: list[Jwk] = json.loads(idp.jwks_file.read_text())["keys"]
        usable = [key for key in keys if key.get("kty") == "EC" and key.get("crv") == "P-256" and "kid" in key]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        usable = []
    if not usable:
        raise ConfigInvalid(f"{idp.jwks_file} is not a JWK set with a P-256 key that has a kid")
    return usable


def _lifespan(
    sidecar: Sidecar, enactor: Enactor, http: httpx.AsyncClient
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        witness = Witness(sidecar.settings.audit.witness, http)
        await sidecar.policies.refresh()
        await sidecar.assessor.watch.reread()
        await loaded(sidecar.audit, sidecar.policies.first, sidecar.assessor.clock())

        async def purge() -> None:
            await sidecar.retention.purge(sidecar.assessor.clock())

        async def retire() -> None:
            now = sidecar.assessor.clock()
            await sidecar.retention.retire(now)
            await sidecar.audit.prune(now - sidecar.settings.retention.audit_days * 86_400)

        async def deliver() -> None:
            await enactor.deliver_due()

        async def reload() -> None:
            await sidecar.policies.refresh()

        async def watch() -> None:
            await sidecar.publisher.watch()

        async def flush() -> None:
            await sidecar.audit.flush()

        async def sign() -> None:
            await sidecar.audit.checkpoint(sidecar.assessor.clock())
            await witness.deliver(sidecar.audit)

        rounds: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (OUTBOX_SECONDS, deliver),
            (PURGE_SECONDS, purge),
            (RETIRE_SECONDS, retire),
            (RELOAD_SECONDS, reload),
            (WATCH_SECONDS, watch),
            (COHORT_SECONDS, sidecar.assessor.cohorts.refresh),
            (REREAD_SECONDS, sidecar.assessor.watch.reread),
            (TYPING_SECONDS, sidecar.assessor.watch.refresh),
            (FLUSH_SECONDS, flush),
            (sidecar.settings.audit.checkpoint_seconds, sign),
        ]
        tasks = [asyncio.create_task(_every(seconds, job)) for seconds, job in rounds]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A database or a second place that is gone or frozen must not keep the process from ending.
        with contextlib.suppress(StorageFailed, DeliveryFailed, TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await flush()
                await sign()
        witness.close()
        await http.aclose()
        sidecar.close()

    return running


async def _every(seconds: float, job: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await job()
        except Exception as error:  # a failing round must not end the rounds
            log.error("background_failed", job=job.__qualname__, error=str(error)[:200])
        await asyncio.sleep(seconds)
