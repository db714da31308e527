"""Membership in the lists of a policy file and in a rule's scope: plain sets and networks, no CEL.

A list that has expired is not empty: whether somebody is on it is no longer known, so membership is missing and a
``not:`` over it cannot become a pass.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal

from sidecar.domain.decisions import LeafTrace, Truth
from sidecar.policy.expressions import Known, Place

ListKind = Literal["cidrs", "users", "countries"]
LIST_SIGNALS: dict[ListKind, str] = {
    "cidrs": "network.address",
    "users": "user.id",
    "countries": "network.country",
}
_Networks = dict[tuple[int, int], frozenset[int]]


@dataclass(frozen=True, slots=True, eq=False)
class NamedList:
    """One entry of ``lists``. ``expires``: epoch seconds from which it no longer holds; None for ``never``."""

    name: str
    kind: ListKind
    entries: frozenset[str]
    owner: str
    expires: float | None
    at: Place
    networks: _Networks

    def holds(self, value: str) -> bool:
        """Tell whether a value is on the list. Raises ValueError where a network list meets no address."""
        if self.kind != "cidrs":
            return value in self.entries
        address = ip_address(value)
        if mapped := getattr(address, "ipv4_mapped", None):
            address = mapped  # ::ffff:192.0.2.1 is the same host as 192.0.2.1
        number = int(address)
        return any(
            version == address.version and number >> shift in prefixes
            for (version, shift), prefixes in self.networks.items()
        )


def networks_of(found: Iterable[IPv4Network | IPv6Network]) -> _Networks:
    """Group networks by IP version and host bits, so that an address needs one look-up per prefix length."""
    grouped: dict[tuple[int, int], set[int]] = {}
    for network in found:
        shift = network.max_prefixlen - network.prefixlen
        grouped.setdefault((network.version, shift), set()).add(int(network.network_address) >> shift)
    return {key: frozenset(prefixes) for key, prefixes in grouped.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """``listed: NAME``: the list's own signal is on the list."""

    list: NamedList
    at: Place

    @property
    def text(self) -> str:
        """Return the form shown in traces."""
        return f"listed: {self.list.name}"

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the one signal that is looked up."""
        return (LIST_SIGNALS[self.list.kind],)

    def evaluate(self, known: Known) -> LeafTrace:
        """Look the signal up. Missing where the signal is, or the list has expired; an error for what is no address."""
        key = ("listed", self.list.name)
        trace = known.traces.get(key)
        if trace is None:
            name = LIST_SIGNALS[self.list.kind]
            value = known.values[name]
            trace = known.traces[key] = LeafTrace(self.text, self._truth(name, value, known), {name: value})
        return trace

    def _truth(self, name: str, value: object, known: Known) -> Truth:
        if name in known.broken:
            return "error"
        if not isinstance(value, str) or (self.list.expires is not None and known.now >= self.list.expires):
            return "missing"
        try:
            return "true" if self.list.holds(value) else "false"
        except ValueError:
            return "error"


@dataclass(frozen=True, slots=True, eq=False)
class OneOf:
    """A scope: the signal is, or for several values holds, one of ``wanted``."""

    signal: str
    wanted: tuple[str, ...]
    at: Place
    _among: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Make the set that is looked in: a scope may name thousands."""
        object.__setattr__(self, "_among", frozenset(self.wanted))

    @property
    def text(self) -> str:
        """Return the form shown in traces."""
        return f"{self.signal} in [{', '.join(self.wanted)}]"

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the one signal that is compared."""
        return (self.signal,)

    def evaluate(self, known: Known) -> LeafTrace:
        """Compare. Missing where the signal is missing: an unknown group is not "no group"."""
        key = (self.signal, self._among)
        trace = known.traces.get(key)
        if trace is None:
            value = known.values[self.signal]
            trace = known.traces[key] = LeafTrace(self.text, self._truth(value, known), {self.signal: value})
        return trace

    def _truth(self, value: object, known: Known) -> Truth:
        if self.signal in known.broken:
            return "error"
        if isinstance(value, str):
            return "true" if value in self._among else "false"
        if isinstance(value, list):
            return "true" if not self._among.isdisjoint(value) else "false"
        return "missing"
