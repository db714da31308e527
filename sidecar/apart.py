"""Work in a process of its own, with bounds on time and memory, so that no login waits for it or dies of it."""

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from sidecar.errors import Busy

LONGEST_LINE = 64 * 1024 * 1024
NICE = 10


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a process may use. ``seconds``: of the clock, and of the processor."""

    seconds: float
    memory_bytes: int


@contextlib.asynccontextmanager
async def process(module: str, bounds: Bounds) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``python -m module`` with pipes to talk through; it is gone when the block ends. Raises TimeoutError."""
    pipe = asyncio.subprocess.PIPE
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, str(bounds.seconds), str(bounds.memory_bytes),
        stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, limit=LONGEST_LINE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(bounds.seconds):
            yield made
    finally:
        if made.returncode is None:
            made.kill()
            await made.wait()


def bounded(arguments: Sequence[str]) -> None:
    """Take the bounds from the command line, in the process that ``process`` started; logins come before it."""
    seconds, memory = float(arguments[0]), int(arguments[1])
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    whole = max(1, round(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))


class Desk:
    """A place for one at a time; whoever comes meanwhile is told when to come again."""

    def __init__(self, again_seconds: int) -> None:
        self._again = again_seconds
        self._taken = False

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the place. Raises Busy."""
        if self._taken:
            raise Busy("somebody else is at it; try again in a moment", again_seconds=self._again)
        self._taken = True
        try:
            yield
        finally:
            self._taken = False
