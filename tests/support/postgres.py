"""A PostgreSQL server of the tests' own: Debian's binaries, a directory of its own, loopback only."""

import os
import pwd
import shutil
import signal as signals
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """Return the directory of initdb and postgres: the newest that Debian has installed, or that of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@dataclass
class Server:
    """A server that can be stopped, started, frozen. ``durable``: with fsync, for what is about losing nothing."""

    directory: Path
    port: int
    durable: bool
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://gaitkeeper@127.0.0.1:{self.port}/postgres"

    def database(self, name: str) -> str:
        """Make a database and return its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://gaitkeeper@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        options = [
            "-c",
            f"fsync={'on' if self.durable else 'off'}",
            "-c",
            "shared_buffers=32MB",
            "-c",
            "max_connections=60",
        ]
        self.process = _as_postgres(
            [
                str(_bin() / "postgres"),
                "-D",
                str(self.directory),
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
                "-k",
                "",
                *options,
            ]
        )
        for _ in range(300):
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None:
                    raise RuntimeError("PostgreSQL did not start") from None
                time.sleep(0.05)
        raise RuntimeError("PostgreSQL was not ready within 15 s")

    def stop(self, signal: int = 2) -> None:
        """Stop it: SIGINT is a fast shutdown, SIGQUIT an immediate one."""
        if self.process is not None:
            self.process.send_signal(signal)
            self.process.wait(30)
            self.process = None

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay, nothing answers."""
        self._signal_all(signals.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signals.SIGCONT)

    def _signal_all(self, signal: int) -> None:
        if self.process is None:
            return
        os.kill(self.process.pid, signal)  # the parent first: while it is stopped it makes no more children
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid:
                    os.kill(int(status.parent.name), signal)


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """Run a fresh server until the end of the block."""
    base = Path(tempfile.mkdtemp(prefix="gaitkeeper-postgres-"))
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(base, owner.pw_uid, owner.pw_gid)
        data = base / "data"
        made = _as_postgres(
            [str(_bin() / "initdb"), "-D", str(data), "-U", "gaitkeeper", "-A", "trust", "-N", "-E", "UTF8"]
        )
        if made.wait(60):
            raise RuntimeError("initdb failed")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        started = Server(data, port, durable)
        started.start()
        try:
            yield started
        finally:
            started.stop(3)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _bin() -> Path:
    found = binaries()
    if found is None:
        raise RuntimeError("no PostgreSQL here: install the Debian package postgresql")
    return found


def _as_postgres(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Run as another user where we are root: PostgreSQL refuses to run as root."""
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/tmp"}
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=environment,
        **user,  # type: ignore[call-overload]
    )
