"""Take news from the identity provider: a password was changed, an account deleted, a session ended."""

from sidecar.domain.surroundings import Failure
from sidecar.errors import BadRequest
from sidecar.keyring import Keyring
from sidecar.ports import Assertion, Assertions, Correction, Keys, Profiles, Surroundings

EVENTS = ("password_changed", "account_deleted", "logout", "login_failed")


async def tell(
    correction: Correction,
    assertions: Assertions,
    keys: Keys,
    keyring: Keyring,
    profiles: Profiles,
    *,
    tenant: str,
    event: str,
    subject: str,
    assertion: Assertion,
    by: str,
    now: float,
    surroundings: Surroundings,
    device: str | None = None,
    happened: float | None = None,
) -> None:
    """Act on one event: a new password resets only that field; deletion forgets the person; a failed login
    counts for its verified browser (``device``) alone. Raises BadRequest.

    ``happened`` (epoch seconds) marks a repeat of something old: what was learned since is not forgotten for it.
    """
    if event not in EVENTS:
        raise BadRequest(f"type must be one of {', '.join(EVENTS)}")
    pseudonym = keyring.pseudonym(tenant, subject)
    if event == "password_changed" and (
        happened is None or await _learned_before(profiles, tenant, pseudonym, "password", happened)
    ):
        await correction.reset(tenant, pseudonym, "password", assertion, by, now)
        return
    if event == "login_failed":
        await surroundings.fail(tenant, pseudonym, Failure(now, device), assertion)
        return
    await assertions.spend(assertion)  # before the key: a replayed call must not destroy the key of a new account
    if event == "account_deleted":
        await keys.destroy(tenant, pseudonym)
        await correction.reset(tenant, pseudonym, None, None, by, now)


async def _learned_before(profiles: Profiles, tenant: str, pseudonym: str, field: str, at: float) -> bool:
    keys = {profile.key for profile in await profiles.find(tenant, pseudonym) if profile.key.field == field}
    found = [await profiles.samples(key) for key in keys]
    return any(sample.at < at for samples in found for sample in samples)
