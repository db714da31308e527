"""What is remembered of the surroundings of a person's logins, as values."""

from dataclasses import dataclass
from typing import Literal

MarkKind = Literal["safe", "compromised"]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an address is thought to be. Degrees; ``radius_km``: the database's own uncertainty."""

    latitude: float
    longitude: float
    radius_km: float


@dataclass(frozen=True, slots=True)
class PastLogin:
    """One earlier attempt of this user. ``at``: epoch seconds. ``device``: the id in a verified device cookie.

    ``address``: its network (/24, /48) is enough, and all that is stored.
    """

    at: float
    completed: bool
    device: str | None = None
    address: str | None = None
    asn: int | None = None
    country: str | None = None
    spot: Spot | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A login of this user that the provider refused. ``device``: as in ``PastLogin``; None without a cookie."""

    at: float
    device: str | None


@dataclass(frozen=True, slots=True)
class Mark:
    """An administrator's word about a user. ``expires``: epoch seconds; None where it stands until taken back."""

    kind: MarkKind
    expires: float | None


@dataclass(frozen=True, slots=True)
class Past:
    """What a login needs to know of the logins before it. ``logins``: completed ones, oldest first."""

    logins: tuple[PastLogin, ...] = ()
    failures: tuple[Failure, ...] = ()
    mark: Mark | None = None
