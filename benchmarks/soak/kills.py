"""SIGKILL under load, again and again: nothing that was acknowledged may be gone, nothing may be half there.

An answer counts as acknowledged when it was read to its end. One life in seven is ended while it starts. On PostgreSQL
every other installation has a second sidecar, which must go on while the first one dies beside it.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.soak.installation import Installation, installation
from benchmarks.soak.load import CLIENTS, Provider, Told
from benchmarks.soak.proof import Proof, beyond_bound, proven
from tests.support.postgres import Server

LIVES = 25  # of one installation; then a fresh one, so that proofs stay short and first starts are killed, too
STARTING_EVERY = 7
EVERY_SEAL = 10  # lives between two proofs that open every sealed value
MOST_TOLD = 60  # acknowledged answers of one life, after which it ends
LOADED_SECONDS = 2.0
DEADLINE_MS = 2000  # what is answered degraded cannot be lost: a busy machine's kills would show less
MIN_A_KILL = 2  # acknowledged decisions on average, below which the kills mean nothing


@dataclass
class Tally:
    """What came of the kills over one store in one mode."""

    store: str
    audit: str
    kills: int = 0
    starting: int = 0
    beside: int = 0
    decisions: int = 0
    completions: int = 0
    samples: int = 0
    audit_rows: int = 0
    degraded: int = 0
    lost_rows: int = 0
    most_lost_rows: int = 0
    oldest_lost: float = 0.0
    seconds: float = 0.0
    reported: int = 0
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return where it stands, in one line."""
        lost = f", {self.lost_rows} buffered audit rows lost" if self.audit == "buffered" else ""
        return (
            f"{self.store}, {self.audit}: {self.kills} kills, acknowledged {self.decisions} decisions and"
            f" {self.completions} completions, {self.samples} samples, {'FAILED' if self.failures else 'none lost'}{lost},"
            f" {self.degraded} degraded, {self.seconds:.0f} s"
        )


def kill_again_and_again(
    server: Server | None, audit: str, kills: int, rng: random.Random, report: Callable[[str], None]
) -> Tally:
    """Kill ``kills`` sidecars; ends early with the first loss, whose installation's log is in the failures."""
    tally = Tally("sqlite" if server is None else "postgresql", audit)
    began, number = time.monotonic(), 0
    while tally.kills < kills and not tally.failures:
        pair = server is not None and number % 2 == 0
        with installation(server, audit=audit, sidecars=2 if pair else 1, deadline_ms=DEADLINE_MS) as made:
            lives = _Lives(made, tally, rng, report, began)
            try:
                asyncio.run(lives.run(min(LIVES, kills - tally.kills)))
            except RuntimeError as error:  # it did not start again
                tally.failures += [str(error), f"the log ends: {made.log[-2000:]}"]
        number += 1
    tally.seconds = time.monotonic() - began
    if not tally.failures and tally.decisions < MIN_A_KILL * kills:
        tally.failures.append(
            f"{tally.decisions} acknowledged decisions are too few for {kills} kills to mean anything"
        )
    return tally


class _Lives:
    """The lives of one installation's first sidecar, beside a second one or alone."""

    def __init__(
        self, made: Installation, tally: Tally, rng: random.Random, report: Callable[[str], None], began: float
    ) -> None:
        self._made, self._tally, self._rng, self._report, self._began = made, tally, rng, report, began
        self._told = Told()
        self._unrecorded: set[str] = set()
        self._killed_at = 0.0
        self._so_far = (tally.decisions, tally.completions, tally.samples, tally.audit_rows, tally.degraded)

    async def run(self, lives: int) -> None:
        mortal, *beside = self._made.sidecars
        for number in range(lives + 1):
            last = number == lives
            if number == 0:
                for sidecar in beside:
                    sidecar.start()
                    await sidecar.ready()
            if not last and self._tally.kills % STARTING_EVERY == STARTING_EVERY - 1:
                await self._stillborn()
                continue
            mortal.start()
            await mortal.ready()
            if number:
                await self._prove(every_seal=last or number % EVERY_SEAL == 0)
            if last or self._tally.failures:
                break
            await self._life()
        for sidecar in self._made.sidecars:
            if not sidecar.stop():
                self._tally.failures.append("a sidecar did not end on SIGTERM")

    async def _life(self) -> None:
        provider = Provider(self._made, self._told, self._rng)
        mortal, *beside = self._made.sidecars
        each = CLIENTS // len(self._made.sidecars)
        alone = asyncio.create_task(provider.clients(mortal.url, each, enduring=False))
        others = [asyncio.create_task(provider.clients(sidecar.url, each, enduring=True)) for sidecar in beside]
        await self._loaded(self._rng.randint(1, MOST_TOLD))
        self._killed_at = time.monotonic()
        await asyncio.to_thread(mortal.kill)
        await alone
        if others:
            broken, scored = self._told.broken, len(self._told.decisions)
            await asyncio.sleep(0.1)
            provider.stopped = True
            await asyncio.gather(*others)
            if self._told.broken > broken:
                self._tally.failures.append("the other sidecar broke connections when this one was killed")
            self._tally.beside += len(self._told.decisions) > scored
        self._tally.kills += 1

    async def _loaded(self, count: int) -> None:
        """Wait until so many more answers were acknowledged, so that a slow machine's kills meet work, too."""
        until = time.monotonic() + LOADED_SECONDS
        wanted = self._told.acknowledged + count
        while self._told.acknowledged < wanted and time.monotonic() < until:  # noqa: ASYNC110 - a number, not an event
            await asyncio.sleep(0.002)
        await asyncio.sleep(self._rng.uniform(0.0, 0.02))  # anywhere between two commits

    async def _stillborn(self) -> None:
        """Kill a sidecar while it starts."""
        mortal = self._made.sidecars[0]
        mortal.start()
        await asyncio.sleep(self._rng.uniform(0.0, 0.5))
        mortal.kill()
        self._tally.kills += 1
        self._tally.starting += 1

    async def _prove(self, *, every_seal: bool) -> None:
        proof = await asyncio.to_thread(proven, self._made, self._told, every_seal=every_seal)
        tally = self._tally
        tally.failures += proof.faults + [f"{count}x {what}" for what, count in self._told.wrong.items()]
        self._count_lost(proof)
        tally.decisions = self._so_far[0] + len(self._told.decisions)
        tally.completions = self._so_far[1] + len(self._told.completions)
        tally.samples = self._so_far[2] + proof.samples
        tally.audit_rows = self._so_far[3] + proof.audit_rows
        tally.degraded = self._so_far[4] + self._told.degraded
        tally.seconds = time.monotonic() - self._began
        if tally.failures:
            tally.failures.append(f"the log ends: {self._made.log[-2000:]}")
        if tally.failures or tally.kills // 10 > tally.reported // 10:
            tally.reported = tally.kills
            self._report(tally.line())

    def _count_lost(self, proof: Proof) -> None:
        lost = proof.unrecorded - self._unrecorded
        self._unrecorded |= lost
        faults, oldest = beyond_bound(lost, self._told, self._killed_at)
        self._tally.failures += faults
        self._tally.lost_rows += len(lost)
        self._tally.most_lost_rows = max(self._tally.most_lost_rows, len(lost))
        self._tally.oldest_lost = max(self._tally.oldest_lost, oldest)
