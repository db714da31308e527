"""A real Keycloak from the Maven distribution, with our jar in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.demo.keycloak import server
from sidecar.demo.launch import free_port

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".make" / "keycloak"
JAR = ROOT / "idp_adapters" / "resources" / "keycloak" / "target" / "gaitkeeper-keycloak.jar"
VERSION = os.environ.get("KEYCLOAK_VERSION", "26.7.3")
ADMIN = server.ADMIN


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


@contextmanager
def running(keys: Path, version: str = VERSION) -> Iterator[Server]:
    """Run a server on an empty database until the block ends."""
    port, log = free_port(), CACHE / f"server-{version}.log"
    home = server.unpacked(CACHE, version, JAR)
    server.empty(home)
    with server.running(home, port, port + 1, keys, log):
        yield Server(f"http://127.0.0.1:{port}", keys, log)
