"""The surroundings of one login: the device cookie, places, and what is remembered of logins before it, as facts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sidecar.config import IdpSettings
from sidecar.domain.decisions import Attempt, DeviceCookie, SignalValue
from sidecar.domain.surroundings import Past
from sidecar.keyring import Keyring
from sidecar.risk.context import request
from sidecar.risk.context.facts import Around, context_facts
from sidecar.risk.context.history import network_of
from sidecar.risk.context.places import Lookup, locate
from sidecar.tokens import DEVICE_SECONDS, new_device, sign_device, verify_device


@dataclass(frozen=True, slots=True)
class Seen:
    """One login's surroundings. ``kept``: what its completion adds to the history; None where no history is kept."""

    facts: dict[str, SignalValue]
    kept: Mapping[str, Any] | None
    cookie: DeviceCookie | None


@dataclass(frozen=True, slots=True)
class Watcher:
    """What looking around needs; built once by ``main``. ``city``, ``asn``: look-ups, None where not configured."""

    keyring: Keyring
    city: Lookup | None
    asn: Lookup | None
    history: bool

    def look(self, attempt: Attempt, idp: IdpSettings, past: Past, factor_at: float | None, now: float) -> Seen:
        """Name what is around a login (``now``: epoch seconds). A cookie that is not ours counts as none.

        ``factor_at``: when a second factor was last passed in the running session (epoch seconds).
        """
        located = locate(attempt.ip, self.city, self.asn)
        told = self.device(attempt.tenant, attempt.device, now)
        around = Around(_asked(attempt, idp), told, located, past, attempt.session_started_at, factor_at)
        facts = context_facts(around, now)
        if not self.history:
            return Seen(facts, None, None)
        device = told or new_device()
        kept = {
            "device": device,
            "address": network_of(attempt.ip),
            "asn": located.asn,
            "country": located.country,
            "spot": asdict(located.spot) if located.spot else None,
        }
        return Seen(facts, kept, self.cookie(attempt.tenant, device, now))

    def device(self, tenant: str, cookie: str | None, now: float) -> str | None:
        """Return the browser's id in a device cookie, None for none of this tenant's."""
        return verify_device(cookie, tenant, self.keyring.devices, now=now) if cookie else None

    def cookie(self, tenant: str, device: str, at: float) -> DeviceCookie:
        """Return the cookie of a browser; the same for the same moment, so that a repeated request gets the same answer."""
        return DeviceCookie(sign_device(device, tenant, self.keyring.devices, at=at), DEVICE_SECONDS)


def _asked(attempt: Attempt, idp: IdpSettings) -> request.Asked:
    client = idp.client(attempt.client)
    return request.Asked(
        issuer=attempt.issuer,
        realm=attempt.realm,
        user=attempt.subject,
        roles=attempt.roles,
        groups=attempt.groups,
        address=attempt.ip,
        floor=client.floor,
        sensitivity=client.sensitivity,
        second_factor=attempt.second_factor,
    )
