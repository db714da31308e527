"""From an address to a place, through databases in MaxMind's format. The look-up itself is passed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.domain.surroundings import Spot

Lookup = Callable[[str], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Located:
    """What is known of an address. Each part is None where no database says it."""

    asn: int | None
    country: str | None
    spot: Spot | None


def locate(address: str | None, city: Lookup | None, asn: Lookup | None) -> Located:
    """Look an address up. ``city``: records as in GeoLite2-City or -Country; ``asn``: as in GeoLite2-ASN.

    Field names after MaxMind's documentation of these databases. A record of another form counts as not known, and so
    does a spot without its accuracy: a place of unknown uncertainty must not make a journey.
    """
    if address is None:
        return Located(None, None, None)
    found = (city(address) if city else None) or {}
    owner = (asn(address) if asn else None) or {}
    code = _part(found, "country").get("iso_code")
    number = owner.get("autonomous_system_number")
    return Located(
        asn=number if isinstance(number, int) and not isinstance(number, bool) else None,
        country=code if isinstance(code, str) else None,
        spot=_spot(_part(found, "location")),
    )


def _spot(location: Mapping[str, Any]) -> Spot | None:
    given = [location.get(name) for name in ("latitude", "longitude", "accuracy_radius")]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in given):
        return None
    latitude, longitude, radius = (float(value) for value in given if value is not None)
    return Spot(latitude, longitude, radius) if abs(latitude) <= 90 and abs(longitude) <= 180 and radius >= 0 else None


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}
