"""``gaitkeeper subject show | export | pause | resume | consent | forget`` (PRV2)."""

import json
from typing import Any

from sidecar.administration.opened import by, run
from sidecar.config import Settings
from sidecar.main import rights_of


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


def readable(document: dict[str, Any]) -> str:
    """Return a document as indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False)
