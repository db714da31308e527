"""A real Keycloak from the Maven distribution, with our jar in it."""

import filecmp
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from sidecar.demo.launch import free_port

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".make" / "keycloak"
JAR = ROOT / "idp_adapters" / "resources" / "keycloak" / "target" / "gaitkeeper-keycloak.jar"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
VERSION = os.environ.get("KEYCLOAK_VERSION", "26.7.3")
START_SECONDS = 400  # the first start builds the server anew, and the machine may have other work
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the directory where it looks for realms' keys."""

    url: str
    keys: Path
    log: Path

    @property
    def health(self) -> str:
        """Where the server says that it is ready: at the management port, which is the next one."""
        host, port = self.url.rsplit(":", 1)
        return f"{host}:{int(port) + 1}/health/ready"


def unpacked(version: str) -> Path:
    """Return the directory of a distribution with our jar in it; downloads it once."""
    home = CACHE / f"keycloak-{version}"
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
        subprocess.run(["mvn", "-B", "-q", COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE}"], check=True)
        subprocess.run(["unzip", "-q", f"keycloak-quarkus-dist-{version}.zip"], cwd=CACHE, check=True)
    placed = home / "providers" / JAR.name
    if not placed.exists() or not filecmp.cmp(JAR, placed, shallow=False):
        shutil.copyfile(JAR, placed)
    shutil.rmtree(home / "data" / "h2", ignore_errors=True)
    return home


@contextmanager
def running(keys: Path, version: str = VERSION) -> Iterator[Server]:
    """Run a server on an empty database until the block ends."""
    home, port = unpacked(version), free_port()
    log = CACHE / f"server-{version}.log"
    command = [
        str(home / "bin" / "kc.sh"), "start-dev", "--http-host=127.0.0.1", f"--http-port={port}",
        f"--http-management-port={port + 1}", "--health-enabled=true",
        f"--spi-authenticator--gaitkeeper-risk--key-dir={keys}",
    ]  # fmt: skip
    env = os.environ | {
        "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx700m",
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN,
    }
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        _until_ready(f"http://127.0.0.1:{port + 1}/health/ready", process, log)
        yield Server(f"http://127.0.0.1:{port}", keys, log)
    finally:
        os.killpg(process.pid, 15)
        process.wait(60)


def _until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"Keycloak did not start:\n{log.read_text()[-3000:]}")
