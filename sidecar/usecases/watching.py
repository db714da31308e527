"""Watch how well typing tells people apart, tenant by tenant, and say so: in the log, to the operators, and to the judge.

Each sidecar looks for itself, at people who logged in last; what it finds is in memory only.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from sidecar.risk.muting import Others
from sidecar.risk.standing import Person, Standing, standing
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.recalibrate import AS_SHIPPED, Correction
from sidecar.usecases.cohorts import Cohorts
from sidecar.usecases.in_force import InForce

log = structlog.get_logger()

PEOPLE = 200  # of a tenant, those who logged in last: bounded work, and enough for the figures


class Latest(Protocol):
    """Profiles with their earlier entries."""

    async def latest(self, tenant: str, limit: int) -> list[str]:
        """Return those who logged in last."""

    async def person(self, tenant: str, subject: str) -> list[Person]:
        """Return the serving profiles of one person with their entries; none where they do not open."""


class Recalibrations(Protocol):
    """What was found by ``gaitkeeper recalibrate``."""

    async def in_force(self) -> dict[tuple[str, str], Correction]:
        """Return what holds, by (tenant, model)."""


@dataclass(slots=True)
class TypingWatch:
    """What was found, by tenant. ``refresh`` looks again."""

    tenants: Sequence[str]
    source: Latest
    policies: InForce
    clock: Callable[[], float]
    recalibrations: Recalibrations
    model: str
    cohorts: Cohorts
    detectors: Mapping[str, OneClassDetector]
    found: dict[str, Standing] = field(default_factory=dict)
    worth: dict[tuple[str, str], Correction] = field(default_factory=dict)

    def alike(self, tenant: str) -> bool:
        """Tell whether nobody is told apart in a tenant."""
        known = self.found.get(tenant)
        return known is not None and known.alike

    def correction(self, tenant: str) -> Correction:
        """Return what scores are worth in a tenant."""
        return self.worth.get((tenant, self.model), AS_SHIPPED)

    def others(self, tenant: str) -> Callable[[str], Others]:
        """Return, for each person of a tenant, how others who type the same text score."""
        return lambda subject: self.cohorts.others(tenant, subject, self.detectors)

    async def reread(self) -> None:
        """Take over what ``gaitkeeper recalibrate`` has found. Raises StorageFailed, and keeps what it has."""
        self.worth = await self.recalibrations.in_force()

    async def refresh(self) -> None:
        """Look at every tenant; what is new is logged once. Raises StorageFailed, and keeps what was found before."""
        for tenant in self.tenants:
            people: list[Person] = []
            for subject in await self.source.latest(tenant, PEOPLE):  # a login may come in between any two
                people += await self.source.person(tenant, subject)
                await asyncio.sleep(0)
            limit = self.correction(tenant).before(self.policies.enforced.mismatch_from)
            now = await asyncio.to_thread(standing, people, limit, self.clock(), self.others(tenant))
            before = self.found.get(tenant)
            self.found[tenant] = now
            for warning in now.warnings:
                if before is None or warning not in before.warnings:
                    log.warning("typing_watch", tenant=tenant, warning=warning, people=now.people)
            known = {(each.subject, each.field) for each in before.warned if each.drifting} if before else set()
            for each in now.warned:
                if each.drifting and (each.subject, each.field) not in known:
                    log.warning("typing_drifts", tenant=tenant, subject=each.subject, field=each.field)
