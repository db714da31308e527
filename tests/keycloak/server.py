"""A real Keycloak from the Maven distribution, with our jar in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.demo.keycloak_server import ADMIN, JAR, Machine, unpacked
from sidecar.demo.launch import free_port

__all__ = ["ADMIN", "Server", "running"]

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".make" / "keycloak"
VERSION = os.environ.get("KEYCLOAK_VERSION", "26.7.3")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the directory where it looks for realms' keys. ``machine``: its process, if it is ours."""

    url: str
    keys: Path
    log: Path
    machine: Machine | None = None

    @property
    def health(self) -> str:
        """Where the server says that it is ready: at the management port, which is the next one."""
        host, port = self.url.rsplit(":", 1)
        return f"{host}:{int(port) + 1}/health/ready"


@contextmanager
def running(keys: Path, version: str = VERSION) -> Iterator[Server]:
    """Run a server on an empty database until the block ends. KEYCLOAK_JAVA names another Java than the system's."""
    home = unpacked(version, CACHE, ROOT / JAR)
    java = os.environ.get("KEYCLOAK_JAVA")
    machine = Machine(home, free_port(), keys, CACHE / f"server-{version}.log", java=java)
    try:
        machine.start()
        yield Server(machine.url, keys, machine.log, machine)
    finally:
        machine.end()
