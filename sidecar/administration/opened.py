"""A sidecar's parts for the time of one command, and who runs the command."""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sidecar.config import Settings
from sidecar.main import Sidecar, build
from sidecar.ports import AuditEntry
from sidecar.storage.audit import INSTALLATION

T = TypeVar("T")


def by() -> str:
    """Return whom the audit chain shall name: the account that runs the command, whatever its environment says."""
    try:
        return f"command line ({pwd.getpwuid(os.getuid()).pw_name})"
    except KeyError:
        return f"command line (uid {os.getuid()})"


def run(settings: Settings, job: Callable[[Sidecar], Awaitable[T]]) -> T:
    """Run ``job`` on the installation's databases, beside a serving sidecar or without one, and close them."""
    sidecar = build(settings)

    async def whole() -> T:
        return await job(sidecar)

    try:
        return asyncio.run(whole())
    finally:
        sidecar.close()


def noted(settings: Settings, kind: str, details: dict[str, Any]) -> None:
    """Note an act in the installation's audit chain."""

    async def job(sidecar: Sidecar) -> None:
        entry = AuditEntry(INSTALLATION, kind, by(), "", details, sidecar.assessor.clock())
        await sidecar.audit.add([entry])

    run(settings, job)
