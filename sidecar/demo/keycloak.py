"""``make demo-keycloak``: a real Keycloak with a fresh realm, installed by the product's own command, and a seeded user.

Every start begins anew: the realm, the sidecar's data and the keys are made for this run.
"""

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from idp_adapters.keycloak.admin import AdminApi
from sidecar.config import load_settings
from sidecar.demo.keycloak_server import ADMIN, JAR, Machine, ServerFailed, unpacked
from sidecar.demo.launch import stoppable
from sidecar.demo.layout import PEOPLE, SEEDED
from sidecar.demo.seeding import enroll, synthetic_probes
from sidecar.errors import GaitkeeperError
from sidecar.main import build

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".make" / "keycloak"
VERSION = "26.7.3"
REALM = "harbour"
AMELIA = PEOPLE[0]
READY_SECONDS = 60
CONSENT = "given 1 1795270000"


def realm() -> dict[str, Any]:
    """Return the realm as an administrator would have it before us: one user with a password and a second factor."""
    secret = base64.b32decode(str(AMELIA.totp_secret)).decode("latin-1")
    how = '{"subType":"totp","digits":6,"period":30,"algorithm":"HmacSHA1"}'
    return {
        "realm": REALM,
        "displayName": "Harbour",
        "enabled": True,
        "otpPolicyCodeReusable": True,
        "users": [
            {
                "username": AMELIA.username,
                "enabled": True,
                "email": f"{AMELIA.username}@example.org",
                "emailVerified": True,
                "firstName": "Amelia",
                "lastName": "Hart",
                "realmRoles": [f"default-roles-{REALM}"],
                "attributes": {"gaitkeeper_consent": [CONSENT]},
                "credentials": [
                    {"type": "password", "value": AMELIA.password},
                    {"type": "otp", "secretData": f'{{"value":"{secret}"}}', "credentialData": how},
                ],
            }
        ],
    }


def settings_text(issuer: str, server: str, keys: Path, port: int) -> str:
    """Return the sidecar's settings, as docs/idp/keycloak.md has them."""
    return f"""base_url = "http://127.0.0.1:{port}"
port = {port}
data_dir = "data"

[[idps]]
tenant = "{REALM}"
issuer = "{issuer}"
adapter = "keycloak"
jwks_file = "{keys / REALM}-jwks.json"
site_key = "{REALM}"
origins = ["{server}"]
revocation_url = "{issuer}/gaitkeeper/sessions/end"
"""


def main(
    port: Annotated[int, typer.Option(help="Keycloak's port; its management port is the next one.")] = 8380,
    sidecar_port: Annotated[int, typer.Option(help="The sidecar's port.")] = 8390,
    state: Annotated[Path, typer.Option(help="Directory of this demo; emptied at the start.")] = ROOT
    / ".gaitkeeper-keycloak",
    version: Annotated[str, typer.Option(help="Keycloak's version.")] = VERSION,
) -> None:
    """Run until Ctrl-C."""
    try:
        _run(port, sidecar_port, state.absolute(), version)
    except GaitkeeperError as failure:
        typer.echo(f"{failure.code}: {failure.message}", err=True)
        raise typer.Exit(1) from None


def _run(port: int, sidecar_port: int, state: Path, version: str) -> None:
    shutil.rmtree(state, ignore_errors=True)
    keys = state / "keys"
    keys.mkdir(parents=True, mode=0o700)
    typer.echo(f"Keycloak {version} (downloaded once, into .make/keycloak), with our jar; a minute")
    machine = Machine(unpacked(version, CACHE, ROOT / JAR, f"demo-{version}"), port, keys, state / "keycloak.log")
    sidecar: subprocess.Popen[bytes] | None = None
    with stoppable() as stopped:
        try:
            machine.start()
            with AdminApi(machine.url, REALM, user=ADMIN, password=ADMIN) as api:
                api.post("//realms", realm())
                user = str(api.get(f"/users?username={AMELIA.username}&exact=true")[0]["id"])
            _install(machine.url, sidecar_port, keys)
            issuer = f"{machine.url}/realms/{REALM}"
            (state / "gaitkeeper.toml").write_text(settings_text(issuer, machine.url, keys, sidecar_port))
            asyncio.run(_seed(state / "gaitkeeper.toml", user))
            sidecar = _serve(state, sidecar_port, stopped)
            _install(machine.url, sidecar_port, keys)  # the second time it also finds the sidecar's key
            _announce(machine.url, state)
            while not stopped() and sidecar.poll() is None and machine.process and machine.process.poll() is None:
                time.sleep(0.2)
        finally:
            if sidecar:
                sidecar.terminate()
                sidecar.wait(20)
            machine.end()
    typer.echo("stopped")


def _install(server: str, sidecar_port: int, keys: Path) -> None:
    words = ["--realm", REALM, "--server", server, "--sidecar", f"http://127.0.0.1:{sidecar_port}", "--keys", str(keys)]
    command = [sys.executable, "-m", "sidecar", "keycloak", "install", "--yes", *words]
    env = os.environ | {"GAITKEEPER_KEYCLOAK_USER": ADMIN, "GAITKEEPER_KEYCLOAK_PASSWORD": ADMIN}
    typer.echo("$ gaitkeeper " + " ".join(command[3:]))
    done = subprocess.run(command, env=env, check=False)  # noqa: S603
    if done.returncode:
        raise ServerFailed("the installation failed; what it said is above")


async def _seed(settings: Path, user: str) -> None:
    sidecar = build(load_settings(settings))
    try:
        probes = synthetic_probes(int(AMELIA.typist or 0), AMELIA.username, AMELIA.password)
        await enroll(sidecar, REALM, user, probes, origin=SEEDED)
    finally:
        sidecar.close()


def _serve(state: Path, port: int, stopped: Callable[[], bool]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "sidecar", "serve", "-c", str(state / "gaitkeeper.toml")]
    with (state / "sidecar.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None and not stopped():
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=2, trust_env=False).is_success:
                return process
        except httpx.HTTPError:
            time.sleep(0.2)
    process.terminate()
    raise ServerFailed(f"the sidecar did not start: {state / 'sidecar.log'}")


def _announce(server: str, state: Path) -> None:
    typer.echo(f"""
Sign in here     {server}/realms/{REALM}/account/
User             {AMELIA.username} / {AMELIA.password}   (her typing is synthetic: yours is a stranger's)
Second factor    {AMELIA.totp_secret}   (put it into an authenticator, or: oathtool --totp -b {AMELIA.totp_secret})
Administrator    {server}/admin/{REALM}/console/   {ADMIN} / {ADMIN}
What was decided realm settings > events, and {state / "sidecar.log"}
Ctrl-C ends it.""")


if __name__ == "__main__":
    typer.run(main)
