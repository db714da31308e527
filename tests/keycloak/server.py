"""A real Keycloak from the Maven distribution, with our jar in it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    """A running server and the directory where it looks for realms' keys. ``machine``: its process, if it is ours."""

    url: str
    keys: Path
    log: Path
    machine: "Machine | None" = None

    @property
    def health(self) -> str:
        """Where the server says that it is ready: at the management port, which is the next one."""
        host, port = self.url.rsplit(":", 1)
        return f"{host}:{int(port) + 1}/health/ready"


class Machine:
    """The server's process, which can be killed and started again on the same database."""

    def __init__(
        self, keys: Path, version: str, *, name: str = "keycloak", port: int = 0, options: tuple[str, ...] = ()
    ) -> None:
        """``name``: which of the copies on this machine; ``port``: where another one listened before."""
        self.port, self.log = port or free_port(), CACHE / f"{name}-{version}.log"
        self._home, self._keys = server.unpacked(CACHE, version, JAR, name=name), keys
        self._options, self._running = options, ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        server.empty(self._home)

    def start(self) -> None:
        """Start, and wait until the server is ready."""
        started = server.running(self._home, self.port, self.port + 1, self._keys, self.log, *self._options)
        self._process = self._running.enter_context(started)

    def export(self, realm: str, directory: Path) -> Path:
        """Let the stopped server export a realm with its users, as an administrator does it; return the file."""
        command = [
            self._home / "bin" / "kc.sh",
            "export",
            "--dir",
            directory,
            "--realm",
            realm,
            "--users",
            "realm_file",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        return directory / f"{realm}-realm.json"

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process, politely or not."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, how)
            self._process.wait(60)
        self._running.close()


@contextmanager
def running(keys: Path, version: str = VERSION) -> Iterator[Server]:
    """Run a server on an empty database until the block ends."""
    machine = Machine(keys, version)
    try:
        machine.start()
        yield Server(f"http://127.0.0.1:{machine.port}", keys, machine.log, machine)
    finally:
        machine.end()
