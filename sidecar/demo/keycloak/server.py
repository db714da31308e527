"""A real Keycloak from the Maven distribution, with our jar in it."""

import filecmp
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.demo.launch import DemoFailed, started

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
START_SECONDS = 400  # the first start builds the server anew, and the machine may have other work
ADMIN = "admin"  # name and password of the set-up account: the server listens on this machine only


def unpacked(cache: Path, version: str, jar: Path, *, name: str = "keycloak") -> Path:
    """Return the directory of a distribution with our jar in it. Downloads it once through Maven. Raises DemoFailed.

    ``name`` keeps copies apart that run at the same time.
    """
    home, archive = cache / f"{name}-{version}", cache / f"keycloak-quarkus-dist-{version}.zip"
    if not jar.exists():
        raise DemoFailed(f"{jar} is missing; make keycloak-jar builds it")
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
            _run("mvn", "-B", "-q", COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={cache}")
        inside = cache / f".unpacking-{name}-{version}"  # renamed at the end: half a server is none
        shutil.rmtree(inside, ignore_errors=True)
        _run("unzip", "-q", str(archive), "-d", str(inside))
        (inside / f"keycloak-{version}").rename(home)
        inside.rmdir()
    placed = home / "providers" / jar.name
    if not placed.exists() or not filecmp.cmp(jar, placed, shallow=False):
        shutil.copyfile(jar, placed)
    return home


def empty(home: Path) -> None:
    """Forget all realms of a server that does not run."""
    shutil.rmtree(home / "data" / "h2", ignore_errors=True)


@contextmanager
def running(
    home: Path, port: int, health_port: int, keys: Path, log: Path, *options: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server on two ports of this machine until the block ends; JAVA_HOME names its Java. Raises DemoFailed."""
    log.write_bytes(b"")
    command = [
        str(home / "bin" / "kc.sh"), "start-dev", "--http-host=127.0.0.1", f"--http-port={port}",
        f"--http-management-port={health_port}", "--health-enabled=true",
        f"--spi-authenticator--gaitkeeper-risk--key-dir={keys}", *options,
    ]  # fmt: skip
    env = {
        "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx700m",
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN,
    }
    health = f"http://127.0.0.1:{health_port}/health/ready"
    with started({health: command}, log, os.environ | env, START_SECONDS) as processes:
        yield processes[0]


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True)  # noqa: S603
    except FileNotFoundError:
        raise DemoFailed(f"{command[0]} is missing (Debian: apt install maven unzip)") from None
    except subprocess.CalledProcessError as failed:
        raise DemoFailed(f"{command[0]} failed: {failed}") from None
