"""``gaitkeeper recording begin | end | list``: named, time-limited recordings of people who agreed to one by name."""

from typing import Any

from sidecar.administration.opened import by, run
from sidecar.config import Settings
from sidecar.main import Sidecar


def begin(settings: Settings, tenant: str, name: str, purpose: str, days: float) -> None:
    """Begin a recording. Raises BadRequest."""

    async def job(sidecar: Sidecar) -> None:
        now = sidecar.assessor.clock()
        await sidecar.recordings.begin(tenant, name, purpose, now, now + days * 86_400, by())

    run(settings, job)


def end(settings: Settings, tenant: str, name: str) -> bool:
    """End a recording; False when none of this name runs."""

    async def job(sidecar: Sidecar) -> bool:
        return await sidecar.recordings.end(tenant, name, sidecar.assessor.clock(), by())

    return run(settings, job)


def known(settings: Settings, tenant: str) -> list[dict[str, Any]]:
    """Return a tenant's recordings."""

    async def job(sidecar: Sidecar) -> list[dict[str, Any]]:
        return await sidecar.recordings.known(tenant)

    return run(settings, job)
