"""``gaitkeeper subject show | export | pause | resume | forget | mark`` (PRV2)."""

import json
from typing import Any

from sidecar.administration.opened import by, run
from sidecar.config import Settings
from sidecar.domain.surroundings import MarkKind
from sidecar.errors import BadRequest
from sidecar.main import Sidecar, rights_of


def show(settings: Settings, tenant: str, subject: str) -> dict[str, Any]:
    """Return states and counts of one person. Raises NotFound."""
    return run(settings, lambda sidecar: rights_of(sidecar).show(tenant, subject, by()))


def export(settings: Settings, tenant: str, subject: str) -> dict[str, Any]:
    """Return everything kept about one person as a document that a person can read. Raises NotFound."""
    return run(settings, lambda sidecar: rights_of(sidecar).export(tenant, subject, by()))


def forget(settings: Settings, tenant: str, subject: str) -> bool:
    """Destroy a person's key and every row about them; True when there was a key."""
    return run(settings, lambda sidecar: rights_of(sidecar).forget(tenant, subject, by()))


def pause(settings: Settings, tenant: str, subject: str, *, paused: bool) -> None:
    """Stop scoring and learning of a person, or begin again."""
    run(settings, lambda sidecar: rights_of(sidecar).pause(tenant, subject, by(), paused=paused))


def mark(settings: Settings, tenant: str, subject: str, kind: str, days: float | None) -> str:
    """Mark an account, or take its mark away; say what was done. Raises BadRequest."""
    if kind not in ("safe", "compromised", "none"):
        raise BadRequest("a mark is safe, compromised or none")
    if kind == "none" and days is not None:
        raise BadRequest("none has no end")
    wanted: MarkKind | None = "safe" if kind == "safe" else "compromised" if kind == "compromised" else None

    async def job(sidecar: Sidecar) -> bool:
        ends = None if days is None else sidecar.assessor.clock() + days * 86_400
        return await rights_of(sidecar).mark(tenant, subject, by(), wanted, ends)

    there = run(settings, job)
    return f"marked {kind}" if wanted else "mark taken away" if there else "there was no mark"


def readable(document: dict[str, Any]) -> str:
    """Return a document as indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False)
