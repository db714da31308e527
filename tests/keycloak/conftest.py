"""A real Keycloak, a real sidecar, a real Chromium. ``make test-keycloak`` runs these; they take minutes."""

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from front import Front
from middle import Middle
from server import ADMIN, Server, running
from stage import APP_PORT, Application, Stage, Visit

from idp_adapters.keycloak.admin import AdminApi
from sidecar.demo.launch import free_port
from sidecar.rehearsal.browser import chromium

SESSION_RULES = """
  - id: session-at-side
    description: One application wants a second factor of running sessions.
    when:
      all: ['action == "session_check"', 'client.id == "side"']
    then: step_up
  - id: closed
    description: Another one lets nobody in.
    when:
      all: ['client.id == "closed"']
    then: deny
  - id: session-at-open
    description: A third one ends them all.
    when:
      all: ['action == "session_check"', 'client.id == "open"']
    then: {action: step_up, effects: [revoke_all]}
  - id: session
    description: Other running sessions stand.
    when:
      all: ['action == "session_check"']
    then: allow
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of our own, or one that runs already with the jar in it (KEYCLOAK_URL, and KEYCLOAK_KEYS: its key-dir)."""
    if url := os.environ.get("KEYCLOAK_URL"):
        yield Server(url, Path(os.environ["KEYCLOAK_KEYS"]), Path(os.environ.get("KEYCLOAK_LOG", os.devnull)))
        return
    with running(tmp_path_factory.mktemp("keys")) as started:
        yield started


@pytest.fixture(scope="session", autouse=True)
def application() -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", APP_PORT), Application) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield
        listening.shutdown()


@pytest.fixture(scope="session")
def stage(server: Server, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with _realm(server, browser, tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="session")
def username_first(server: Server, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with _realm(server, browser, tmp_path_factory, "--username-first") as made:
        yield made


@pytest.fixture(scope="session")
def middle() -> Iterator[Middle]:
    """Who stands between the server and the sidecar of ``faulty``."""
    made = Middle()
    yield made
    made.vanish()


@pytest.fixture(scope="session")
def faulty(server: Server, browser: Any, tmp_path_factory: pytest.TempPathFactory, middle: Middle) -> Iterator[Stage]:
    """A realm with the default deadline, whose sidecar is reached by the way of the man in the middle."""
    options = ("--reach", middle.url, "--deadline-ms", "250")
    with _realm(server, browser, tmp_path_factory, *options, port=middle.to) as made:
        yield made


@pytest.fixture(scope="session")
def levels(server: Server, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A realm with levels of authentication, whose running sessions are asked about, by a policy that has rules for it."""
    with _realm(server, browser, tmp_path_factory, "--levels", rules=SESSION_RULES) as made:
        yield made


@pytest.fixture(scope="module")
def restarted(server: Server, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A realm of its own for a server that is killed."""
    with _realm(server, browser, tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="module")
def fronted(server: Server, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Front]]:
    """A realm whose pages and sidecar are reached by one origin."""
    port = free_port()
    front = Front(server.url, port)
    try:
        with _realm(server, browser, tmp_path_factory, port=port, origins=(front.url,)) as made:
            yield made, front
    finally:
        front.close()


@pytest.fixture
def visit(stage: Stage) -> Iterator[Visit]:
    """Somebody with a fresh browser profile."""
    made = stage.visit()
    yield made
    made.context.close()


@contextmanager
def _realm(
    server: Server,
    browser: Any,
    paths: pytest.TempPathFactory,
    *options: str,
    port: int = 0,
    rules: str = "",
    origins: tuple[str, ...] = (),
) -> Iterator[Stage]:
    name = f"shore-{secrets.token_hex(3)}"
    with AdminApi(server.url, name, user=ADMIN, password=ADMIN) as api:
        made = Stage(
            server, name, paths.mktemp("stage"), browser, api,
            options=options, port=port or free_port(), rules=rules, origins=origins,
        )  # fmt: skip
        try:
            made.prepare()
            yield made
        finally:
            made.close()
