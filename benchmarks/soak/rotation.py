"""Rotations of the master key, killed midway under load, again and again: ``keys rewrap`` finishes each."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak.installation import Installation, installation, process
from benchmarks.soak.load import Provider, Told
from benchmarks.soak.proof import proven
from sidecar.administration import keys as commands
from sidecar.config import load_settings
from sidecar.demo.layout import TENANT
from sidecar.errors import StorageFailed
from sidecar.main import build, open_keys
from sidecar.storage.keystore import SqlKeys
from tests.support.postgres import Server

PEOPLE = 2500  # enough keys for a rotation to last longer than a kill takes to arrive
TOGETHER = 500
ANYWHERE = 0.002  # chance, every two milliseconds of waiting for it to begin, of a kill before that
MOST_KILLS = 4  # of one rotation: on a slow machine none might ever end before its kill
MORE_ROUNDS = 20  # beyond those asked for, until a kill has met a rotation midway: a fast machine takes 50 ms for one


@dataclass
class Rotations:
    """What came of the rotations over one store."""

    store: str
    rounds: int = 0
    kills: int = 0
    midway: int = 0
    decisions: int = 0
    degraded: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return where it stands, in one line."""
        return (
            f"{self.store}: {self.rounds} rotations finished, {self.kills} kills, {self.midway} of them with some keys"
            f" wrapped anew and some not, {self.decisions} decisions acknowledged meanwhile, {self.degraded} degraded,"
            f" {len(self.failures)} failures, {self.seconds:.0f} s"
        )


def rotate_again_and_again(
    server: Server | None, rounds: int, rng: random.Random, report: Callable[[str], None]
) -> Rotations:
    """Rotate ``rounds`` times, kill each rotation, kill what should finish it, then let it finish."""
    done = Rotations("sqlite" if server is None else "postgresql")
    began = time.monotonic()
    with installation(server) as made:
        try:
            asyncio.run(_seed(made))
            asyncio.run(_rounds(made, rounds, rng, done))
        except RuntimeError as error:
            done.failures += [str(error), f"the log ends: {made.log[-2000:]}"]
    done.seconds = time.monotonic() - began
    report(done.line())
    return done


async def _rounds(made: Installation, rounds: int, rng: random.Random, done: Rotations) -> None:
    sidecar = made.sidecars[0]
    sidecar.start()
    await sidecar.ready()
    told = Told()
    provider = Provider(made, told, rng, rest=0.05)
    load = asyncio.create_task(provider.clients(sidecar.url, 2, enduring=True))
    while done.rounds < rounds or (not done.midway and done.rounds < rounds + MORE_ROUNDS):
        await asyncio.to_thread(_one, made, rng, done)
        done.rounds += 1
    provider.stopped = True
    await load
    proof = await asyncio.to_thread(proven, made, told, every_seal=True)
    done.failures += proof.faults + [f"{count}x {what}" for what, count in told.wrong.items()]
    if told.broken:
        done.failures.append(f"{told.broken} connections broke during rotations")
    if not done.midway:
        done.failures.append("no kill met a rotation midway: nothing was shown")
    done.decisions, done.degraded = len(told.decisions), told.degraded
    if not sidecar.stop():
        done.failures.append("the sidecar did not end on SIGTERM")


def _one(made: Installation, rng: random.Random, done: Rotations) -> None:
    """Rotate, killed; rewrap, killed until it ends before its kill; then everything is under one master key."""
    _killed(_rotate, made, rng, done)
    for _ in range(MOST_KILLS):
        if not _killed(_rewrap, made, rng, done):
            break
    keys = open_keys(made.settings)
    try:
        if len(keys.masters_in_use()) != 1:
            # The rotation was killed before there was a new master key, or somebody's first key was made beside it.
            process(_rewrap, made.layout.state / "sidecar-0.toml").join()
        done.failures += [f"after a rotation: {fault}" for fault in keys.check()]
        if len(keys.masters_in_use()) != 1:
            done.failures.append(f"after a rotation, keys are under {keys.masters_in_use()}")
    finally:
        keys.close()


def _killed(command: Callable[[Path], None], made: Installation, rng: random.Random, done: Rotations) -> bool:
    """Run a command and kill it, mostly when it has wrapped some share of the keys; False when it had ended by itself."""
    share = rng.random()
    keys = open_keys(made.settings)
    try:
        before = keys.masters_in_use()
        running = process(command, made.layout.state / "sidecar-0.toml")
        while rng.random() > ANYWHERE and running.is_alive() and not _moved(keys, before, share):
            time.sleep(0.002)
    finally:
        keys.close()
    running.join(rng.uniform(0.0, 0.005))  # anywhere in a batch
    if running.exitcode is not None:
        if running.exitcode:
            done.failures.append(f"{command.__name__.strip('_')} ended with {running.exitcode}: {made.log[-500:]}")
        return False
    running.kill()
    running.join()
    done.kills += 1
    keys = open_keys(made.settings)
    try:
        done.midway += len(keys.masters_in_use()) > 1
    finally:
        keys.close()
    return True


def _moved(keys: SqlKeys, before: dict[str, int], share: float) -> bool:
    """Tell whether a master key has lost a share of what it wrapped; those of people who come meanwhile only add."""
    try:
        now = keys.masters_in_use()
    except StorageFailed:  # a file that is being written just now
        return False
    return any(now.get(master, 0) < count * (1 - share) for master, count in before.items())


def _rotate(settings: Path) -> None:
    commands.rotate(load_settings(settings))


def _rewrap(settings: Path) -> None:
    commands.rewrap(load_settings(settings))


async def _seed(made: Installation) -> None:
    """Make keys of people who never log in: a rotation takes as long as there are keys."""
    sidecar = build(made.settings)
    try:
        for start in range(0, PEOPLE, TOGETHER):
            names = [f"seeded-{number}" for number in range(start, start + TOGETHER)]
            await asyncio.gather(*(sidecar.keys.ensure(TENANT, name) for name in names))
    finally:
        sidecar.close()
