"""An installation to be ill-treated: its databases, its settings, and its sidecars, which are processes of their own.

Sidecars are forked off a process that has imported everything already: a start takes half a second instead of four, and a
thousand of them become affordable. What runs in them is ``gaitkeeper serve``.
"""

import asyncio
import multiprocessing
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from sidecar.administration.keys import init as initial
from sidecar.cli import serve
from sidecar.config import Settings, load_settings
from sidecar.demo.launch import free_port
from sidecar.demo.layout import Layout, write
from sidecar.tokens import SigningKey, load_signing_key
from tests.support import postgres

READY_SECONDS = 30.0
STOP_SECONDS = 15.0
# More than the defaults, so that nearly every completion teaches: what is not learned cannot be lost.
LEARNING = "\n[learning]\nsamples_per_day = 1000\nunlike_per_day = 1000\n"

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(
    [
        "sidecar.cli",
        "sidecar.main",
        "sidecar.administration.keys",
        "uvicorn.loops.uvloop",
        "uvicorn.protocols.http.httptools_impl",
        "uvicorn.lifespan.on",
        "benchmarks.soak.installation",
    ]
)


class Sidecar:
    """One sidecar process; may be started again after its end."""

    def __init__(self, settings: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._settings = settings
        self._process: ForkServerProcess | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None or self._process.pid is None:
            raise RuntimeError("not started")
        return self._process.pid

    def start(self) -> None:
        """Start it; it is not ready yet on return."""
        self._process = process(_serve, self._settings)

    async def ready(self) -> None:
        """Wait until it answers. Raises RuntimeError when it ended instead, or takes too long."""
        until = time.monotonic() + READY_SECONDS
        async with httpx.AsyncClient(base_url=self.url, timeout=2.0) as client:
            while time.monotonic() < until:
                if self._process is None or not self._process.is_alive():
                    raise RuntimeError("the sidecar did not start again; its log says why")
                try:
                    if (await client.get("/health/ready")).status_code == 200:
                        return
                except httpx.HTTPError:
                    await asyncio.sleep(0.02)
        raise RuntimeError(f"the sidecar was not ready within {READY_SECONDS:.0f} s")

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def stop(self) -> bool:
        """SIGTERM; tell whether it ended by itself within a while. It is gone in any case."""
        if self._process is None:
            return True
        self._process.terminate()
        self._process.join(STOP_SECONDS)
        ended = not self._process.is_alive()
        self.kill()
        return ended


@dataclass
class Installation:
    """Settings and sidecars. All of them answer under one URL, as behind a load balancer."""

    layout: Layout
    settings: Settings
    key: SigningKey
    sidecars: list[Sidecar]
    store: str

    @property
    def log(self) -> str:
        """What the sidecars wrote."""
        path = self.layout.state / "sidecar.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def installation(
    server: postgres.Server | None,
    *,
    audit: str = "strict",
    sidecars: int = 1,
    deadline_ms: int = 400,
    state: Path | None = None,
) -> Iterator[Installation]:
    """Lay out a fresh installation; at the end its processes are killed and its directory is removed."""
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-soak-") as directory:
        layout = Layout(state or Path(directory), free_port())
        write(layout)
        text = f"deadline_ms = {deadline_ms}\n{layout.sidecar_settings.read_text()}{LEARNING}"
        if server is not None:
            name = f"soak_{secrets.token_hex(4)}"
            data, keys = server.database(name), server.database(f"{name}_keys")
            text = f'database = "{data}"\n{text}\n[keys]\nstore = "{keys}"\n'
        text += f'\n[audit]\nmode = "{audit}"\ncheckpoint_seconds = 1.0\n'
        processes = []
        for number in range(sidecars):
            port = layout.port if number == 0 else free_port()
            path = layout.state / f"sidecar-{number}.toml"
            path.write_text(text.replace(f"\nport = {layout.port}\n", f"\nport = {port}\n"))
            processes.append(Sidecar(path, port))
        made = Installation(
            layout=layout,
            settings=load_settings(layout.state / "sidecar-0.toml"),
            key=load_signing_key((layout.state / "idp-assertion.pem").read_text()),
            sidecars=processes,
            store="sqlite" if server is None else "postgresql",
        )
        if server is not None:  # a key store that several share is never made by a start
            process(_init, layout.state / "sidecar-0.toml").join()
        try:
            yield made
        finally:
            for sidecar in processes:
                sidecar.kill()


def process(target: Callable[..., Any], settings: Path) -> ForkServerProcess:
    """Run ``target(settings)`` in a process of its own, which writes to the installation's log."""
    made = _forking.Process(target=_logged, args=(target, settings), daemon=True)
    made.start()
    return made


def _logged(target: Callable[..., Any], settings: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the soak, which ends its processes itself
    log = os.open(settings.parent / "sidecar.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    target(settings)


def _init(settings: Path) -> None:
    initial(load_settings(settings))


def _serve(settings: Path) -> None:
    serve(settings)
