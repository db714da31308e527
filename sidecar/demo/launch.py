"""Start the demo's three processes, say where they are, stop all of them on Ctrl-C."""

import asyncio
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import typer

from sidecar.config import Settings
from sidecar.demo.layout import PEOPLE, SEEDED, TENANT, Layout, Person, write
from sidecar.demo.seeding import enroll, synthetic_probes
from sidecar.errors import GaitkeeperError
from sidecar.main import build

START_SECONDS = 60.0
STOP_SECONDS = 5.0
LOCK = "lock"


class DemoFailed(GaitkeeperError):
    """A part of the demo did not start, or ended by itself."""

    code = "demo_failed"


def run_demo(*, port: int, state: Path, browser: bool, fresh: bool) -> None:
    """Run the demo until it is interrupted. Raises DemoFailed."""
    os.umask(0o077)  # the provider's database holds the secrets of second factors
    layout = Layout(state, port)
    with alone(layout), stoppable() as stopped:
        refuse_taken_ports(*range(layout.port, layout.port + 3))
        if fresh and layout.sidecar_settings.exists():  # only ever a demo's own directory is emptied
            for entry in state.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
                elif entry.name != LOCK:
                    entry.unlink()
        settings = write(layout)
        asyncio.run(seed(settings, PEOPLE))
        with processes(layout) as running:
            _announce(layout)
            if browser and not stopped():
                webbrowser.open(login_url(layout))
            wait(running, stopped)
    typer.echo("stopped")


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Hold the state directory: a second demo on it would write into the first one's files. Raises DemoFailed."""
    layout.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (layout.state / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"a demo already runs on {layout.state}; stop it, or choose another --state") from None
        yield


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C, a closed terminal and a polite kill into a question that may be asked at any time."""
    asked = False

    def ask(_: int, __: FrameType | None) -> None:
        nonlocal asked
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def seed(settings: Settings, people: Sequence[Person], tenant: str = TENANT) -> None:
    """Enroll the synthetic people that have no profile yet."""
    sidecar = build(settings)
    try:
        for person in people:
            known = await sidecar.profiles.find(tenant, sidecar.keyring.pseudonym(tenant, person.sub))
            if person.typist is not None and not known:
                probes = synthetic_probes(person.typist, person.username, person.password)
                await enroll(sidecar, tenant, person.sub, probes, origin=SEEDED)
    finally:
        sidecar.close()


def login_url(layout: Layout) -> str:
    """Return where a visitor signs in: the application sends them to the provider's login page."""
    return f"{layout.app_url}/login"


def free_port(count: int = 3) -> int:
    """Return a port that is free together with those after it."""
    for port in random.SystemRandom().sample(range(20_000, 32_000, count), 200):
        try:
            for offset in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise DemoFailed(f"no {count} ports in a row are free")


@contextmanager
def processes(layout: Layout) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run sidecar, provider and application; end them in reverse order. Raises DemoFailed."""
    commands = {
        f"{layout.sidecar_url}/health/ready": sidecar_command(layout),
        f"{layout.idp_url}/health": _demo_command(layout, "idp"),
        f"{layout.app_url}/health": app_command(layout),
    }
    refuse_taken_ports(*range(layout.port, layout.port + 3))
    with started(commands, layout.log) as running:
        yield running


def sidecar_command(layout: Layout) -> list[str]:
    """Return the command that runs the sidecar of a demo."""
    return [sys.executable, "-m", "sidecar", "serve", "-c", str(layout.sidecar_settings)]


def app_command(layout: Layout) -> list[str]:
    """Return the command that runs the application of a demo."""
    return _demo_command(layout, "app")


def _demo_command(layout: Layout, part: str) -> list[str]:
    return [sys.executable, "-m", "idp_adapters.demo", part, "--settings", str(layout.demo_settings)]


@contextmanager
def started(
    commands: Mapping[str, Sequence[str]],
    log: Path,
    env: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run commands until the block ends, each known by the URL that answers 200 once it is ready. Raises DemoFailed."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("ab") as out:
            for command in commands.values():
                # A group of their own, so that Ctrl-C reaches this process only and the order of stopping is ours.
                how: dict[str, Any] = {"start_new_session": True, "stdout": out, "stderr": out}
                running.append(subprocess.Popen(command, env=env, **how))  # noqa: S603
        try:
            _until_ready(list(commands), running, seconds)
        except DemoFailed as failure:
            tail = log.read_text(errors="replace").splitlines()[-8:]
            raise DemoFailed("\n  ".join([failure.message, *tail])) from None
        yield running
    finally:
        for process in reversed(running):
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with everything it started: a server may be the child of a script."""
    for number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def refuse_taken_ports(*ports: int) -> None:
    """Raise DemoFailed when something already listens on one of them."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise DemoFailed(f"something already answers on port {port}; choose another --port") from None


def _until_ready(urls: list[str], running: list[subprocess.Popen[bytes]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    waiting = list(urls)
    while waiting:
        if any(process.poll() is not None for process in running):
            raise DemoFailed("a part of the demo ended at once")
        if time.monotonic() > deadline:
            raise DemoFailed(f"not ready after {seconds:.0f} s: {', '.join(waiting)}")
        waiting = [url for url in waiting if not _answers(url)]
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _announce(layout: Layout) -> None:
    shown = PEOPLE[0]
    typer.echo("")
    typer.echo("Gaitkeeper demo. Everything runs on this machine; nothing is sent anywhere.")
    typer.echo(f"  a known user (synthetic):  {shown.username}   password: {shown.password}")
    for person in PEOPLE[1:]:
        role = ", ".join(person.roles)
        typer.echo(f"  operator page, role {role + ':':<8}{person.username}   password: {person.password}")
    typer.echo(f"  stand-in for authenticator apps: {layout.idp_url}/phone")
    typer.echo(f"  log of all parts: {layout.log}")
    typer.echo("Sign in as the known user by typing: you type it differently, so a second factor is asked for.")
    typer.echo("Then read why on the operator page. Ctrl-C stops everything.")
    typer.echo("")
    typer.echo(f"ready: login URL {login_url(layout)}")
    typer.echo(f"ready: app URL {layout.app_url}")
    typer.echo(f"ready: operator URL {layout.sidecar_url}/operator")
    sys.stdout.flush()


def wait(
    running: Sequence[subprocess.Popen[bytes]], stopped: Callable[[], bool], tick: Callable[[], None] = lambda: None
) -> None:
    """Wait until it is asked to stop, calling ``tick`` several times a second. Raises DemoFailed if a part ends."""
    while not stopped():
        tick()
        if any(process.poll() is not None for process in running):
            raise DemoFailed("a part of the demo ended by itself; see the log")
        time.sleep(0.2)
