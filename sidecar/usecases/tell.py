"""Take news from the identity provider: a password was changed, an account deleted, a session ended."""

from sidecar.domain.surroundings import Failure
from sidecar.errors import BadRequest
from sidecar.keyring import Keyring
from sidecar.ports import Assertion, Assertions, Correction, Keys, Surroundings

EVENTS = ("password_changed", "account_deleted", "logout", "login_failed")


async def tell(
    correction: Correction,
    assertions: Assertions,
    keys: Keys,
    keyring: Keyring,
    *,
    tenant: str,
    event: str,
    subject: str,
    assertion: Assertion,
    by: str,
    now: float,
    surroundings: Surroundings,
    device: str | None = None,
) -> None:
    """Act on one event: a new password resets only that field; deletion forgets the person; a failed login
    counts for its verified browser (``device``) alone. Raises BadRequest."""
    if event not in EVENTS:
        raise BadRequest(f"type must be one of {', '.join(EVENTS)}")
    pseudonym = keyring.pseudonym(tenant, subject)
    if event == "password_changed":
        await correction.reset(tenant, pseudonym, "password", assertion, by, now)
        return
    if event == "login_failed":
        await surroundings.fail(tenant, pseudonym, Failure(now, device), assertion)
        return
    await assertions.spend(assertion)  # before the key: a replayed call must not destroy the key of a new account
    if event == "account_deleted":
        await keys.destroy(tenant, pseudonym)
        await correction.reset(tenant, pseudonym, None, None, by, now)
