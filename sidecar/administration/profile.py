"""``gaitkeeper profile rebuild | unlearn | confirm | reset``: templates made again from the evidence log, or taken back (ENR7)."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sidecar.administration.opened import by, run
from sidecar.config import Settings
from sidecar.errors import BadRequest
from sidecar.main import rights_of
from sidecar.ports import Restored


def rebuild(settings: Settings, tenant: str, subject: str) -> Mapping[str, bool]:
    """Make a person's templates again; tell for each whether it was the same, bit for bit."""
    return run(settings, lambda sidecar: rights_of(sidecar).rebuild(tenant, subject, by()))


def unlearn(settings: Settings, tenant: str, subject: str, since: str) -> Mapping[str, Restored]:
    """Take back what was learned since a moment in ISO 8601. Raises BadRequest."""
    moment = parsed(since)
    return run(settings, lambda sidecar: rights_of(sidecar).unlearn(tenant, subject, by(), moment))


def confirm(settings: Settings, tenant: str, subject: str) -> int:
    """Vouch for samples that only a password stood for; return how many."""
    return run(settings, lambda sidecar: rights_of(sidecar).confirm(tenant, subject, by()))


def reset(settings: Settings, tenant: str, subject: str, field: str) -> None:
    """Forget one field's profile."""
    run(settings, lambda sidecar: rights_of(sidecar).reset(tenant, subject, by(), field))


def parsed(text: str) -> float:
    """Return an ISO 8601 moment in epoch seconds; without an offset it is UTC. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{text} is not a moment like 2026-11-21T09:30") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
