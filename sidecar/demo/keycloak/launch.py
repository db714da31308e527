"""Start Keycloak, connect a fresh realm with ``gaitkeeper keycloak install``, start sidecar and application."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyotp
import typer

from idp_adapters.keycloak.admin import AdminApi
from sidecar.demo.keycloak.layout import REALM, Shore, realm, write
from sidecar.demo.keycloak.server import ADMIN, empty, running
from sidecar.demo.launch import (
    DemoFailed,
    alone,
    app_command,
    refuse_taken_ports,
    seed,
    sidecar_command,
    started,
    stoppable,
    wait,
)
from sidecar.demo.layout import PEOPLE, Person

DEADLINE_MS = "1000"  # the machine of a demo is busy starting things
MARK = ".keycloak-demo"


def run_demo(layout: Shore, home: Path) -> None:
    """Run the demo with the server in ``home`` until it is interrupted. Raises DemoFailed, KeycloakRefused."""
    os.umask(0o077)
    with alone(layout), stoppable() as stopped:
        refuse_taken_ports(layout.port, layout.port + 1, layout.port + 2, layout.health_port)
        _forget(layout)
        typer.echo("Keycloak is starting; the first time it takes half a minute.")
        with connected(layout, home, PEOPLE, say=typer.echo) as parts:
            _announce(layout, PEOPLE)
            with _codes(PEOPLE[0]) as tick:
                wait(parts, stopped, tick)
    typer.echo("\nstopped")


@contextmanager
def connected(
    layout: Shore, home: Path, people: Sequence[Person], extra: str = "", *, say: Callable[[str], object] = str
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Run Keycloak, sidecar and application with these people on a fresh realm, until the block ends.

    People with a ``typist`` are enrolled. Raises DemoFailed, KeycloakRefused.
    """
    layout.keys.mkdir(parents=True, exist_ok=True)
    log = layout.state / "keycloak.log"
    empty(home)
    with running(home, layout.port + 1, layout.health_port, layout.keys, log, f"--hostname={layout.idp_url}"):
        with AdminApi(layout.idp_url, "master", user=ADMIN, password=ADMIN) as api:
            api.post("//realms", realm(layout, people))
        say(_install(layout))
        settings = write(layout, people, extra)
        asyncio.run(seed(settings, people, REALM))
        commands = {
            f"{layout.sidecar_url}/health/ready": sidecar_command(layout),
            f"{layout.app_url}/health": app_command(layout),
        }
        with started(commands, layout.log) as parts:
            _install(layout)  # now it finds the sidecar's key, too
            yield parts


def _install(layout: Shore) -> str:
    """Run the product's own command, as an administrator would, and return it with the plan that it printed."""
    words = ["keycloak", "install", "--realm", REALM, "--server", layout.idp_url, "--sidecar", layout.sidecar_url]
    words += ["--keys", str(layout.keys), "--deadline-ms", DEADLINE_MS, "--yes"]
    env = os.environ | {"GAITKEEPER_KEYCLOAK_USER": ADMIN, "GAITKEEPER_KEYCLOAK_PASSWORD": ADMIN}
    command = [sys.executable, "-m", "sidecar", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise DemoFailed(f"gaitkeeper {' '.join(words)}: {done.stdout}{done.stderr}")
    plan, changes, _ = done.stdout.partition(" changes.\n")
    return f"$ gaitkeeper {' '.join(words)}\n{plan}{changes}"


def _forget(layout: Shore) -> None:
    """Forget the demo before, since the server starts empty, too. Only a directory that a demo made is emptied."""
    mark = layout.state / MARK
    if mark.exists():
        for entry in (layout.state / "sidecar", layout.keys):
            shutil.rmtree(entry, ignore_errors=True)
    mark.touch()


def _announce(layout: Shore, people: Sequence[Person]) -> None:
    shown = people[0]
    for line in (
        "",
        "Gaitkeeper in front of Keycloak. Everything runs on this machine; nothing is sent anywhere.",
        f"  a known user (synthetic):  {shown.username}   password: {shown.password}",
        *(f"  operator page:             {one.username}   password: {one.password}" for one in people[1:]),
        f"  {shown.username}'s second factor, for an authenticator app: {shown.totp_secret}",
        f"  Keycloak's own console:    {layout.idp_url}/admin   {ADMIN} / {ADMIN}, realm {REALM}",
        f"  logs: {layout.log}, {layout.state / 'keycloak.log'}",
        "Sign in as the known user by typing: you type it differently, so a second factor is asked for.",
        "Then read why on the operator page. Ctrl-C stops everything.",
        "",
        f"ready: login URL {layout.app_url}/login",
        f"ready: app URL {layout.app_url}",
        f"ready: operator URL {layout.sidecar_url}/operator",
    ):
        typer.echo(line)
    sys.stdout.flush()


@contextmanager
def _codes(person: Person) -> Iterator[Callable[[], None]]:
    """Keep the person's one-time code in the terminal's last line; say nothing where there is no terminal."""
    if not sys.stdout.isatty():
        yield lambda: None
        return
    phone = pyotp.TOTP(str(person.totp_secret))

    def tick() -> None:
        left = phone.interval - int(time.time()) % phone.interval
        typer.echo(f"\r{person.username}'s code: {phone.now()} ({left:2d} s) ", nl=False)

    yield tick
