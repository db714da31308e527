"""Composition root: the only module that names concrete stores, adapters and detectors."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import structlog
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from numpy.typing import NDArray
from starlette.middleware.sessions import SessionMiddleware

from idp_adapters.webhook import Webhook
from sidecar.api import captures as capture_routes
from sidecar.api import hooks, public
from sidecar.api.requests import Callers, install_error_handlers
from sidecar.config import IdpSettings, Settings
from sidecar.console import routes as console
from sidecar.console.login import OperatorLogin
from sidecar.domain.biometrics import Layout, Sample, Template
from sidecar.errors import ConfigInvalid
from sidecar.keyring import Keyring
from sidecar.masters import Masters
from sidecar.policy.language import Policy, load
from sidecar.scoring import CALIBRATED, DETECTORS
from sidecar.shipped import policy_directory, widget_directory
from sidecar.storage.sqlite.captures import SqliteCaptures
from sidecar.storage.sqlite.database import Database
from sidecar.storage.sqlite.decisions import SqliteAssertions, SqliteDecisions
from sidecar.storage.sqlite.keystore import SqliteKeys
from sidecar.storage.sqlite.outbox import SqliteOutbox
from sidecar.storage.sqlite.profiles import SqliteProfiles
from sidecar.storage.sqlite.schema import migrations
from sidecar.tokens import Jwk
from sidecar.usecases.assess import Assessor
from sidecar.usecases.complete import Completer
from sidecar.usecases.enact import Enactor

log = structlog.get_logger()

DATABASE = "gaitkeeper.db"
OUTBOX_SECONDS = 0.25
PURGE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Sidecar:
    """All parts of a running sidecar, wired. Used by the HTTP application and, without HTTP, by rehearsals."""

    settings: Settings
    policy: Policy
    keyring: Keyring
    keys: SqliteKeys
    database: Database
    captures: SqliteCaptures
    assertions: SqliteAssertions
    decisions: SqliteDecisions
    profiles: SqliteProfiles
    outbox: SqliteOutbox
    assessor: Assessor
    completer: Completer

    def close(self) -> None:
        """Write what waits and close the files."""
        self.database.close()
        self.keys.close()


def open_keys(settings: Settings) -> SqliteKeys:
    """Open the key store; a first start with the default source makes the master key's file. Raises ConfigInvalid."""
    kind, _, where = settings.master.partition(":")
    if (settings.data_dir / DATABASE).exists() and not settings.key_store.exists():
        raise ConfigInvalid(f"there is data in {settings.data_dir} but no key store at {settings.key_store}")
    if kind == "file" and not Path(where).exists() and not settings.key_store.exists():
        Masters.init(Path(where))
    return SqliteKeys(settings.key_store, Masters(settings.master))


def build(settings: Settings, clock: Callable[[], float] = time.time) -> Sidecar:
    """Wire a sidecar. Raises ConfigInvalid, PolicyInvalid, StorageFailed: better no start than a wrong one."""
    if settings.detector not in CALIBRATED:
        raise ConfigInvalid(f"detector must be one of {', '.join(CALIBRATED)}: others have no calibration to decide by")
    detector = DETECTORS[settings.detector]

    def enroll(samples: Sequence[Sample], kinds: NDArray[np.uint8], layout: Layout) -> Template:
        return detector.enroll(samples, kinds, layout)

    policy = load(settings.policy or policy_directory() / "default.yaml")
    keys = open_keys(settings)
    keyring = keys.keyring()
    database = Database(settings.data_dir / DATABASE, migrations)
    captures = SqliteCaptures(database)
    assertions = SqliteAssertions(database)
    decisions = SqliteDecisions(database, keys)
    profiles = SqliteProfiles(database, keys, enroll)
    assessor = Assessor(
        settings=settings,
        policy=policy,
        keyring=keyring,
        keys=keys,
        detectors=DETECTORS,
        captures=captures,
        assertions=assertions,
        decisions=decisions,
        profiles=profiles,
        clock=clock,
    )
    completer = Completer(settings, decisions, profiles, profiles, clock)
    outbox = SqliteOutbox(database)
    return Sidecar(
        settings=settings,
        policy=policy,
        keyring=keyring,
        keys=keys,
        database=database,
        captures=captures,
        assertions=assertions,
        decisions=decisions,
        profiles=profiles,
        outbox=outbox,
        assessor=assessor,
        completer=completer,
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
    if settings.operator:
        app.add_api_route("/", lambda: RedirectResponse("/operator"), include_in_schema=False)
    app.include_router(public.routes(settings, widget_directory(), sidecar.keyring.signing))
    app.include_router(capture_routes.routes(settings, sidecar.keyring, sidecar.captures, clock))
    app.include_router(
        hooks.routes(
            callers,
            sidecar.assessor,
            sidecar.completer,
            profiles=sidecar.profiles,
            learning=sidecar.profiles,
            assertions=sidecar.assertions,
            keys=sidecar.keys,
            keyring=sidecar.keyring,
        )
    )
    if settings.operator:
        login = OperatorLogin(settings.operator, settings.base_url, http)
        app.include_router(console.routes(login, sidecar.decisions, sidecar.decisions, sidecar.outbox, enactor))
        app.add_middleware(
            SessionMiddleware,
            secret_key=sidecar.keyring.cookies,
            session_cookie="gaitkeeper_operator",
            max_age=8 * 3600,
            same_site="lax",
            https_only=settings.base_url.startswith("https:"),
        )
    return app


def _ender(
    settings: Settings, idp: IdpSettings, keyring: Keyring, http: httpx.AsyncClient, clock: Callable[[], float]
) -> Webhook:
    return ADAPTERS[idp.adapter](str(idp.revocation_url), settings.base_url, keyring.signing, http, clock)


ADAPTERS = {"webhook": Webhook}


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
        async def purge() -> None:
            await sidecar.captures.purge(sidecar.assessor.clock())

        async def deliver() -> None:
            await enactor.deliver_due()

        tasks = [
            asyncio.create_task(_every(OUTBOX_SECONDS, deliver)),
            asyncio.create_task(_every(PURGE_SECONDS, purge)),
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await http.aclose()
        sidecar.close()

    return running


async def _every(seconds: float, job: Callable[[], object]) -> None:
    while True:
        try:
            await job()  # type: ignore[misc]
        except Exception as error:  # a failing round must not end the rounds
            log.error("background_failed", job=job.__qualname__, error=str(error)[:200])
        await asyncio.sleep(seconds)
