"""A Keycloak of our own from the Maven distribution, with our jar in it: for the demo and for the tests."""

import filecmp
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx

from sidecar.errors import GaitkeeperError

JAR = Path("idp_adapters") / "resources" / "keycloak" / "target" / "gaitkeeper-keycloak.jar"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
START_SECONDS = 400  # the first start builds the server anew, and the machine may have other work
ADMIN = "admin"


class ServerFailed(GaitkeeperError):
    """The distribution could not be had, or the server did not start."""

    code = "demo_failed"


def unpacked(version: str, cache: Path, jar: Path, name: str | None = None) -> Path:
    """Return the directory of a distribution with our jar in it and without any realm; downloads it once.

    ``name``: of the directory, for two servers that run side by side. Raises ServerFailed.
    """
    home = cache / (name or f"keycloak-{version}")
    if not home.exists():
        archive = cache / f"keycloak-quarkus-dist-{version}.zip"
        artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
        cache.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            _run(["mvn", "-B", "-q", COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={cache}"], cache)
        fresh = cache / f".{home.name}"
        shutil.rmtree(fresh, ignore_errors=True)
        _run(["unzip", "-q", str(archive), "-d", str(fresh)], cache)
        (fresh / f"keycloak-{version}").rename(home)
        fresh.rmdir()
    placed = home / "providers" / jar.name
    if not placed.exists() or not filecmp.cmp(jar, placed, shallow=False):
        shutil.copyfile(jar, placed)
    shutil.rmtree(home / "data" / "h2", ignore_errors=True)
    return home


class Machine:
    """The server's process, in development mode on loopback. Its management port is the next one."""

    def __init__(self, home: Path, port: int, keys: Path, log: Path, *, java: str | None = None) -> None:
        self.port, self.log, self._java = port, log, java
        log.write_bytes(b"")
        self._command = [
            str(home / "bin" / "kc.sh"), "start-dev", "--http-host=127.0.0.1", f"--http-port={port}",
            f"--http-management-port={port + 1}", "--health-enabled=true",
            f"--spi-authenticator--gaitkeeper-risk--key-dir={keys}",
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until the server is ready. Raises ServerFailed."""
        env = os.environ | {
            "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx700m",
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN,
        }
        if self._java:
            env["JAVA_HOME"] = self._java
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(  # noqa: S603
                self._command, env=env, stdout=out, stderr=out, start_new_session=True
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            if self._ready():
                return
            time.sleep(0.3)
        raise ServerFailed(f"Keycloak did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process, politely or not."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(60)
        self.process = None

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port + 1}/health/ready", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False


def _run(command: list[str], where: Path) -> None:
    try:
        subprocess.run(command, cwd=where, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as failure:
        raise ServerFailed(f"{command[0]} failed: {failure}") from None
