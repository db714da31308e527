"""Databases that fail under load and come back: what logins see meanwhile, and that all goes on without a restart.

Each fault has the same script: decide, fail for a while, heal, decide again; then the proof. What must hold of each is
what docs/databases.md says.
"""

import asyncio
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak.installation import Installation, installation
from benchmarks.soak.load import Provider, Told
from benchmarks.soak.proof import proven
from tests.support.postgres import Server

BEFORE, BEFORE_SECONDS = 30, 15.0  # decisions that show a working sidecar, and how long they may take
AFTER_SECONDS = 1.5
HEAL_SECONDS = 10.0  # within which decisions must be made again
SLACK = 1.5  # seconds beyond a limit that an answer may take where two cores do everything
REST = 0.02
DISK = "24m"
FAST, IMMEDIATE = 2, 3

Breaking = AbstractAsyncContextManager[None]


@dataclass
class Fault:
    """One fault and what came of it. ``healed``: seconds from the cause's end to the first decision."""

    store: str
    name: str
    seconds: float
    before: int = 0
    during: int = 0
    degraded: int = 0
    refused: int = 0
    unanswered: int = 0
    slowest: float = 0.0
    slowest_completion: float = 0.0
    healed: float = 0.0
    skipped: str = ""
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return what came of it, in one line."""
        what = f"{self.store}, {self.name} for {self.seconds:.0f} s"
        if self.skipped:
            return f"{what}: SKIPPED: {self.skipped}"
        return (
            f"{what}: {self.during} scored and {self.degraded} degraded, the slowest after {self.slowest:.2f} s;"
            f" {self.refused} completions refused, the slowest after {self.slowest_completion:.2f} s; scored again"
            f" {self.healed:.2f} s after its end; {self.unanswered} kept of those answered otherwise;"
            f" {len(self.failures)} failures"
        )


def fail_in_every_way(
    server: Server | None, seconds: float, rng: random.Random, report: Callable[[str], None]
) -> list[Fault]:
    """Try every fault of one store; ``seconds`` is for how long PostgreSQL is gone, the others take a third of it."""
    third = seconds / 3
    done = []
    if server is None:
        with _small_disk() as disk:
            fault = Fault("sqlite", "disk full", third)
            if disk is None:
                fault.skipped = "mounting a small tmpfs needs root"
            else:
                _try(fault, None, rng, lambda _: _full(disk, third), state=disk)
            done.append(fault)
        fault = Fault("sqlite", "error of fsync", third)
        if shutil.which("strace") is None:
            fault.skipped = "strace is not installed"
        else:
            _try(fault, None, rng, lambda made: _fsync_fails(made, third))
        done.append(fault)
    else:
        ways: list[tuple[str, float, Callable[[Installation], Breaking]]] = [
            ("restarted (fast)", 0.0, lambda _: _gone(server, FAST, 0.0)),
            ("restarted (immediate)", 0.0, lambda _: _gone(server, IMMEDIATE, 0.0)),
            ("gone", seconds, lambda _: _gone(server, FAST, seconds)),
            ("frozen", third, lambda _: _frozen(server, third)),
        ]
        for name, length, way in ways:
            fault = Fault("postgresql", name, length)
            _try(fault, server, rng, way)
            done.append(fault)
    for fault in done:
        report(fault.line())
    return done


def _try(
    fault: Fault,
    server: Server | None,
    rng: random.Random,
    way: Callable[[Installation], Breaking],
    state: Path | None = None,
) -> None:
    with installation(server, state=state) as made:
        try:
            asyncio.run(_script(fault, made, rng, way(made)))
        except RuntimeError as error:
            fault.failures.append(str(error))
        if fault.failures:
            fault.failures.append(f"the log ends: {made.log[-2000:]}")


async def _script(fault: Fault, made: Installation, rng: random.Random, breaking: Breaking) -> None:
    sidecar = made.sidecars[0]
    sidecar.start()
    await sidecar.ready()
    told = Told()
    provider = Provider(made, told, rng, rest=REST)
    load = asyncio.create_task(provider.clients(sidecar.url, enduring=True))
    until = time.monotonic() + BEFORE_SECONDS
    while len(told.decisions) < BEFORE and time.monotonic() < until:  # noqa: ASYNC110 - a number, not an event
        await asyncio.sleep(0.02)
    fault.before = len(told.decisions)
    told.slowest = told.slowest_completion = 0.0
    degraded = told.degraded
    async with breaking:
        pass
    fault.during = len(told.decisions) - fault.before
    healed_at = time.monotonic()
    while not (scored := [at for at in told.decisions.values() if at > healed_at]):
        if time.monotonic() - healed_at > HEAL_SECONDS:
            break
        await asyncio.sleep(0.02)
    fault.healed = min(scored, default=time.monotonic()) - healed_at
    await asyncio.sleep(AFTER_SECONDS)
    provider.stopped = True
    await load
    fault.degraded, fault.refused = told.degraded - degraded, sum(told.refused.values())
    fault.slowest, fault.slowest_completion = told.slowest, told.slowest_completion
    proof = await asyncio.to_thread(proven, made, told, every_seal=True)
    fault.unanswered = proof.decisions - len(told.decisions)
    # By the sidecar's own clock: what callers measure on a busy machine is mostly their own waiting for a processor.
    slowest = max((float(ms) / 1000 for ms in re.findall(r'"ms": ([0-9.]+)', made.log)), default=0.0)
    limit = made.settings.deadline_ms / 1000 + SLACK
    fault.failures += [
        *proof.faults,
        *(f"{count}x {what}" for what, count in told.wrong.items()),
        *([f"{told.broken} connections broke"] if told.broken else []),
        *([] if scored else [f"no decision within {HEAL_SECONDS:.0f} s of its end"]),
        *([] if fault.before else ["nothing was decided before it"]),
        *([f"a login was decided after {slowest:.2f} s"] if slowest > limit else []),
        *(["it harmed nobody: nothing was shown"] if fault.seconds and not _harmed(fault) else []),
    ]
    if not await asyncio.to_thread(sidecar.stop):
        fault.failures.append("the sidecar did not end on SIGTERM")


def _harmed(fault: Fault) -> bool:
    """Tell whether the fault was felt at all; where every client waits to complete a login, no login is degraded."""
    return bool(fault.degraded or fault.refused) or fault.slowest_completion > fault.seconds / 2


@contextmanager
def _small_disk() -> Iterator[Path | None]:
    """Mount a disk of a few megabytes; None where only root may."""
    if os.geteuid() != 0:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-disk-") as directory:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", directory], check=True)
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)


@asynccontextmanager
async def _full(disk: Path, seconds: float) -> AsyncIterator[None]:
    """Fill the disk to its last byte, again and again, because databases give pages back and take them."""
    ballast = disk / "ballast"
    until = time.monotonic() + seconds
    with ballast.open("ab", buffering=0) as file:
        while time.monotonic() < until:
            for size in (65536, 1):
                try:
                    while file.write(b"\0" * size) == size:
                        pass
                except OSError:
                    continue
            await asyncio.sleep(0.02)
    ballast.unlink()
    yield


@asynccontextmanager
async def _fsync_fails(made: Installation, seconds: float) -> AsyncIterator[None]:
    """Let every fsync of the sidecar fail with EIO for a while; strace stands between it and the kernel."""
    log = made.layout.state / "strace.log"
    strace = subprocess.Popen(  # noqa: ASYNC220 - returns at once
        ["strace", "-f", "-o", str(log), "-p", str(made.sidecars[0].pid), "-e", "trace=fsync,fdatasync",
         "-e", "inject=fsync,fdatasync:error=EIO"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await asyncio.sleep(seconds)
        if strace.poll() is not None:
            raise RuntimeError("strace could not attach: it may be forbidden here (ptrace)")
    finally:
        strace.terminate()
        await asyncio.to_thread(strace.wait, 10)
    if "(INJECTED)" not in log.read_text():
        raise RuntimeError("no call of fsync was failed")
    yield


@asynccontextmanager
async def _gone(server: Server, how: int, seconds: float) -> AsyncIterator[None]:
    await asyncio.to_thread(server.stop, how)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.start)
    yield


@asynccontextmanager
async def _frozen(server: Server, seconds: float) -> AsyncIterator[None]:
    server.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        server.thaw()
    yield
