"""What the identity provider's server says of a request, and what is configured or marked: as facts for the policy."""

from dataclasses import dataclass

from sidecar.domain.decisions import SignalValue
from sidecar.domain.surroundings import Mark


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the provider's server names it. None is "not told"; an empty tuple is "told that there are none".

    ``floor``: the mildest answer the client takes (``trust``, ``allow``, ``step_up``); ``sensitivity``: ``low``,
    ``normal``, ``high``. Both come from the client's settings, never from the request.
    """

    issuer: str
    realm: str | None
    user: str
    roles: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    address: str | None
    floor: str = "allow"
    sensitivity: str = "normal"
    second_factor: bool | None = None


def facts(asked: Asked) -> dict[str, SignalValue]:
    """Name what is known of the request, signal by signal."""
    return {
        "client.floor": asked.floor,
        "client.sensitivity": asked.sensitivity,
        "idp.issuer": asked.issuer,
        "idp.realm": asked.realm,
        "user.id": asked.user,
        "user.roles": asked.roles,
        "user.groups": asked.groups,
        "user.second_factor": asked.second_factor,
        "network.address": asked.address,
    }


def age(at: float | None, now: float) -> float | None:
    """Return how long something is ago (s), None for what has not been. A moment in the future (clock skew) is an age of 0."""
    return None if at is None else max(0.0, now - at)


def mark(found: Mark | None, now: float) -> str:
    """Return what an administrator marked the user as: ``none``, ``safe`` or ``compromised``. An old mark is none."""
    if found is None or (found.expires is not None and now >= found.expires):
        return "none"
    return found.kind
