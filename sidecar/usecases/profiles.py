"""Tell how far a person's profiles have come: states and counts, never anything measured."""

from collections.abc import Callable

from sidecar.config import LearningSettings
from sidecar.keyring import Keyring
from sidecar.ports import Profiles


async def describe(
    profiles: Profiles, keyring: Keyring, rules: LearningSettings, tenant: str, subject: str, clock: Callable[[], float]
) -> list[dict[str, str | int | bool]]:
    """Return one row a profile: field, input context, state, samples, how many make it ready (ENR1)."""
    now = clock()
    return [
        {
            "field": found.key.field,
            "context": found.key.context,
            "state": str(found.state(now=now, ready_samples=rules.ready_samples, stale_days=rules.stale_days)),
            "samples": found.samples,
            "ready_at": rules.ready_samples,
            "confirmed": found.confirmed,
        }
        for found in sorted(
            await profiles.find(tenant, keyring.pseudonym(tenant, subject)), key=lambda item: item.key.field
        )
        if found.serving
    ]
