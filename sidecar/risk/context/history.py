"""What a user's own completed logins say about this one: device, network, autonomous system, country, travel, failures.

``completed`` means that the password was accepted and the login was allowed or confirmed by a second factor. Attempts
that were not completed are never looked at: whoever does not know the password cannot make the owner's own network look
new, or move the place the owner is thought to be at.
"""

import math
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from sidecar.domain.surroundings import Failure, PastLogin, Spot

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG
IPV4_HOST_BITS = 8
IPV6_HOST_BITS = 80
DEVICE_DAYS = 180.0
FAILURE_SECONDS = 3600.0
SHORTEST_TRIP_SECONDS = 60.0
KEPT_LOGINS = 200
KEPT_FAILURES = 20  # of one device
OTHER_DEVICES = 16  # that never completed a login, whose failures are kept


def device_state(device: str | None, past: Iterable[PastLogin], now: float) -> str:
    """Return ``known``, ``new`` or ``none``: whether this browser completed a login in the last 180 days."""
    if device is None:
        return "none"
    recent = (login for login in past if login.completed and now - login.at <= DEVICE_DAYS * 86_400)
    return "known" if any(login.device == device for login in recent) else "new"


def network_changed(address: str | None, past: Iterable[PastLogin]) -> bool | None:
    """Tell whether no completed login came from this network. None where there is nothing to compare."""
    here = _network(address)
    seen = {_network(login.address) for login in past if login.completed} - {None}
    return None if here is None or not seen else here not in seen


def asn_changed(asn: int | None, past: Iterable[PastLogin]) -> bool | None:
    """Tell whether no completed login came from this autonomous system. None where there is nothing to compare."""
    seen = {login.asn for login in past if login.completed} - {None}
    return None if asn is None or not seen else asn not in seen


def country_changed(country: str | None, past: Iterable[PastLogin]) -> bool | None:
    """Tell whether no completed login came from this country. None where there is nothing to compare."""
    seen = {login.country for login in past if login.completed} - {None}
    return None if country is None or not seen else country not in seen


def travel_speed(spot: Spot | None, past: Iterable[PastLogin], now: float) -> float | None:
    """Return the speed (km/h) at which the user must have come here from the last completed login with a place.

    Both uncertainties are taken off the distance, so a coarse database never makes a trip. Below a minute the time counts
    as a minute. None where either place is unknown.
    """
    placed = [login for login in past if login.completed and login.spot is not None and login.at <= now]
    if spot is None or not placed:
        return None
    last = max(placed, key=lambda login: login.at)
    if last.spot is None:  # for the type checker; placed holds no such login
        return None
    apart = max(0.0, distance_km(spot, last.spot) - spot.radius_km - last.spot.radius_km)
    return apart / (max(now - last.at, SHORTEST_TRIP_SECONDS) / 3600.0)


def failures_of_device(failures: Sequence[Failure], device: str | None, now: float) -> int | None:
    """Count this user's failures from this very browser in the last hour; None without a verified device cookie.

    Failures from elsewhere do not count, however many: strangers guessing at an account must not cost its owner anything
    on the owner's own device.
    """
    if device is None:
        return None
    return sum(1 for failure in failures if failure.device == device and 0.0 <= now - failure.at <= FAILURE_SECONDS)


def with_login(past: Iterable[PastLogin], new: PastLogin, since: float) -> tuple[PastLogin, ...]:
    """Return the history with one more login: the newest 200 that are not older than ``since`` (epoch seconds)."""
    kept = sorted((login for login in (*past, new) if login.at >= since), key=lambda login: login.at)
    return tuple(kept[-KEPT_LOGINS:])


def with_failure(failures: Iterable[Failure], new: Failure, past: Iterable[PastLogin]) -> tuple[Failure, ...]:
    """Return the failures of the last hour with one more, oldest first; bounded.

    Twenty a device, and sixteen devices besides those that completed a login of this user: whoever guesses from many
    browsers cannot push out what was counted on the owner's.
    """
    own = {login.device for login in past}
    recent = [failure for failure in failures if new.at - failure.at <= FAILURE_SECONDS]
    by_device: dict[str | None, list[Failure]] = {}
    for failure in sorted((*recent, new), key=lambda failure: failure.at):
        by_device.setdefault(failure.device, []).append(failure)
    others = sorted((device for device in by_device if device not in own), key=lambda name: -by_device[name][-1].at)
    kept = [device for device in by_device if device in own] + others[:OTHER_DEVICES]
    found = [failure for device in kept for failure in by_device[device][-KEPT_FAILURES:]]
    return tuple(sorted(found, key=lambda failure: failure.at))


def distance_km(one: Spot, other: Spot) -> float:
    """Return the great-circle distance (haversine; R. W. Sinnott, Sky and Telescope 68, 1984)."""
    one_latitude, other_latitude = math.radians(one.latitude), math.radians(other.latitude)
    half_height = math.sin((other_latitude - one_latitude) / 2) ** 2
    half_width = math.sin(math.radians(other.longitude - one.longitude) / 2) ** 2
    chord = half_height + math.cos(one_latitude) * math.cos(other_latitude) * half_width
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, chord)))


def network_of(address: str | None) -> str | None:
    """Return the first address of the network that an address is in (/24, /48): what is remembered in its place (PRV6)."""
    found = _network(address)
    if found is None:
        return None
    version, number = found
    return str(IPv4Address(number << IPV4_HOST_BITS) if version == 4 else IPv6Address(number << IPV6_HOST_BITS))


def _network(address: str | None) -> tuple[int, int] | None:
    """Return IP version and network (/24 for IPv4, /48 for IPv6), or None for what is no address."""
    if address is None:
        return None
    try:
        found = ip_address(address)
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None) or found
    return mapped.version, int(mapped) >> (IPV4_HOST_BITS if mapped.version == 4 else IPV6_HOST_BITS)
