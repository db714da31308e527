"""Backgrounds of fields that an administrator declared as one shared text: learned from members, kept in memory only.

Nothing of a background is stored, so no backup holds anybody in it. When a member is forgotten, withdraws or pauses, it is dropped
at once, and learned again without that person. Learning runs in a process of its own.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind, Template
from sidecar.features.liveness import Usual, usual_of
from sidecar.risk.muting import Others
from sidecar.risk.shared import SharedText
from sidecar.scoring.cohort import FEWEST_MEMBERS, FEWEST_ROWS, Background, learn
from sidecar.scoring.contract import OneClassDetector

log = structlog.get_logger()

MEMBERS = 50  # learning takes the square of it
CONTEXT = "keyboard"
AGAIN_SECONDS = 3600.0
LEARN_SECONDS = 300.0
GROWN = 1.2  # a background of few members is learned again as soon as there are a fifth more


class Members(Protocol):
    """People whose samples may teach what a shared text is like."""

    async def members(self, tenant: str, field: str, context: str, fewest: int) -> list[str]:
        """Return those with so many samples who agreed and did not pause, in the order of their pseudonyms."""

    async def rows(
        self, tenant: str, subject: str, field: str, context: str
    ) -> tuple[NDArray[np.uint8], Floats] | None:
        """Return a profile's kinds, (d,), and samples of that shape, (n, d) in ms, oldest first; None without."""


@dataclass(slots=True)
class Cohorts:
    """Backgrounds by (tenant, field). ``declared``: fields of one shared text, by tenant."""

    declared: Mapping[str, Sequence[str]]
    source: Members
    clock: Callable[[], float]
    found: dict[tuple[str, str], SharedText] = field(default_factory=dict)
    tried: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    def of(self, tenant: str) -> dict[str, SharedText]:
        """Return what is known of a tenant's shared texts, by field."""
        return {name: text for (owner, name), text in self.found.items() if owner == tenant}

    def others(self, tenant: str, subject: str, detectors: Mapping[str, OneClassDetector]) -> Others:
        """Return how other members' tries score against a profile of this person, where the text is shared."""
        shared = self.of(tenant)

        def tried(name: str, template: Template) -> Floats | None:
            text = shared.get(name)
            return text.others(subject, template, detectors[template.detector]) if text else None

        return tried

    async def refresh(self) -> None:
        """Drop backgrounds that a member has left, and learn those that are missing or old. Raises StorageFailed."""
        for tenant, fields in self.declared.items():
            for name in fields:
                await self._refresh(tenant, name)

    async def _refresh(self, tenant: str, name: str) -> None:
        place = (tenant, name)
        there = await self.source.members(tenant, name, CONTEXT, FEWEST_ROWS)
        known = self.found.get(place)
        if known is not None and not set(known.members) <= set(there):
            del self.found[place]
            self.tried.pop(place, None)
            log.info("cohort_dropped", tenant=tenant, field=name)
        at, count = self.tried.get(place, (-AGAIN_SECONDS, 0))
        due = self.clock() - at >= AGAIN_SECONDS or len(there) >= GROWN * max(count, 1)
        if len(there) < FEWEST_MEMBERS or not due:
            return
        self.tried[place] = (self.clock(), len(there))
        learned = await self._learned(tenant, name, there)
        # Whoever left while it was learned must not stay in it.
        if learned and set(learned.members) <= set(await self.source.members(tenant, name, CONTEXT, FEWEST_ROWS)):
            self.found[place] = learned
            log.info("cohort_learned", tenant=tenant, field=name, members=len(learned.members))
        elif learned:
            self.tried.pop(place, None)

    async def _learned(self, tenant: str, name: str, there: Sequence[str]) -> SharedText | None:
        rows: dict[str, Floats] = {}
        shapes: dict[str, NDArray[np.uint8]] = {}
        for subject in there:
            found = await self.source.rows(tenant, subject, name, CONTEXT)
            await asyncio.sleep(0)
            if found is not None:
                shapes[subject], rows[subject] = found
        most = _most_frequent(shapes)
        chosen = [
            subject
            for subject in rows
            if len(rows[subject]) >= FEWEST_ROWS and most is not None and shapes[subject].tobytes() == most.tobytes()
        ][:MEMBERS]
        if most is None or len(chosen) < FEWEST_MEMBERS:
            return None
        people = [rows[subject] for subject in chosen]
        background = await _apart(people, most)
        if background is None:
            return None
        return SharedText(tuple(chosen), background, _usual(people, most))


async def _apart(people: Sequence[Floats], kinds: NDArray[np.uint8]) -> Background | None:
    """Learn in a process of its own, so that no login waits for it."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=os.nice, initargs=(10,))
    try:
        running = asyncio.get_running_loop().run_in_executor(pool, learn, people, kinds)
        return await asyncio.wait_for(running, LEARN_SECONDS)
    except (TimeoutError, ValueError) as error:
        log.error("cohort_failed", error=str(error)[:200])
        return None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _most_frequent(shapes: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8] | None:
    """Return the kinds that most people have: people of another shape type another text, whatever was declared."""
    by_bytes: dict[bytes, list[NDArray[np.uint8]]] = {}
    for kinds in shapes.values():
        by_bytes.setdefault(kinds.tobytes(), []).append(kinds)
    return max(by_bytes.values(), key=len)[0] if by_bytes else None


def _usual(people: Sequence[Floats], kinds: NDArray[np.uint8]) -> Usual:
    return usual_of([(rows[:, kinds == Kind.HOLD], rows[:, kinds == Kind.DOWN_DOWN]) for rows in people])
