"""Whom a rule is about, as a policy file says it: named lists, scopes, and the people of an exception."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from sidecar.policy.countries import COUNTRIES, meant
from sidecar.policy.membership import LIST_SIGNALS, Listed, ListKind, NamedList, OneOf, networks_of
from sidecar.policy.model import SCOPES, Condition, Doubt, Part
from sidecar.policy.reading import YamlReader

_IDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ISSUER = re.compile(r"https?://[^\s/]+\S*")
_MAPPED = IPv6Network("::ffff:0:0/96")
_Network = IPv4Network | IPv6Network


class PeopleReader(YamlReader):
    """Reads lists, scopes and the people of exceptions; ``doubts`` collects what is odd in them and elsewhere."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.doubts: list[Doubt] = []
        self._unread: set[str] = set()
        self._lists: dict[str, NamedList] = {}

    def doubt(self, parent: Any, key: Any, message: str, hint: str) -> None:
        """Keep what is odd and could be meant."""
        self.doubts.append(Doubt(self.place(parent, key), message, hint))

    def identifier(self, body: CommentedMap, key: str, what: str) -> str:
        """Return an id. Raises PolicyInvalid."""
        found = self.text(body, key)
        if not _IDS.fullmatch(found):
            hint = "letters, digits, - and _, 64 at most, as in new-device"
            raise self.error(body, key, f"{what} are unique and hold no dot", hint)
        return found

    def named_lists(self, top: CommentedMap) -> dict[str, NamedList]:
        """Read ``lists``, which rules then name. Raises PolicyInvalid."""
        if "lists" not in top:
            return {}
        node = top["lists"]
        if not isinstance(node, CommentedMap) or not node:
            raise self.error(top, "lists", "lists must be a mapping", "from a list's name to its entries")
        for name in node:
            read = self.tried(lambda name=name: self._named_list(node, name), None)  # type: ignore[misc]
            if read is None:
                self._unread.add(str(name))  # so that those who name it are not told that there is none
            else:
                self._lists[str(name)] = read
        return self._lists

    def _named_list(self, node: CommentedMap, name: Any) -> NamedList:
        if not isinstance(name, str) or not _IDS.fullmatch(name):
            raise self.error(node, name, "names of lists hold no dot", "letters, digits, - and _, as in head-office")
        kinds = tuple(LIST_SIGNALS)
        body = self.map(node[name], (node, name), f"list {name}", required=("owner", "expires"), optional=kinds)
        given = [kind for kind in kinds if kind in body]
        if len(given) != 1:
            raise self.error(node, name, f"a list holds one of {', '.join(kinds)}", "make two lists of it")
        kind: ListKind = given[0]
        before = self.mistakes
        entries = self.texts(body, kind)
        networks: list[_Network] = []
        check: dict[str, Callable[[int], object]] = {
            "users": lambda index: self._user(body[kind], index),
            "countries": lambda index: self._country(body[kind], index),
            "cidrs": lambda index: networks.append(self._network(body[kind], index)),
        }
        for index in range(len(entries)):
            self.tried(partial(check[kind], index), None)
        for index in _again(entries):
            self.doubt(body[kind], index, f"{entries[index]} stands twice in {name}", "name each entry once")
        if self.mistakes == before and kind == "cidrs":
            for inner, outer in _inside(networks):
                hint = "leave it out, or make the larger one smaller"
                self.doubt(body[kind], inner, f"{entries[inner]} lies within {entries[outer]}", hint)
        return NamedList(
            name=name,
            kind=kind,
            entries=frozenset(entries),
            owner=self.text(body, "owner"),
            expires=None if body["expires"] == "never" else self.moment(body, "expires"),
            at=self.place(node, name),
            networks=networks_of(networks),
        )

    def _user(self, entries: CommentedSeq, index: int) -> None:
        entry = entries[index]
        if "*" in entry:
            raise self.error(entries, index, "there are no wildcards", "name each user, by the provider's id")
        if "=" not in entry and re.search(
            r"[\s,;]", entry
        ):  # names of a directory, CN=Ann,O=Acme, have commas and blanks
            raise self.error(entries, index, f"{entry!r} is not one user", "an entry for each, as in [ann, bob]")

    def _country(self, entries: CommentedSeq, index: int) -> None:
        if entries[index] not in COUNTRIES:
            raise self.error(entries, index, f"{entries[index]!r} is no country", meant(entries[index]))

    def _network(self, entries: CommentedSeq, index: int) -> _Network:
        entry = entries[index]
        hint = "write 192.0.2.0/24 or 2001:db8::/32, the bits after the prefix zero"
        try:
            network = ip_network(entry, strict=False)
        except ValueError as error:
            advice = {"%": "leave the zone out", ",": "an entry for each network", "-": "write a network by its prefix"}
            more = [f"; {said}" for sign, said in advice.items() if sign in entry]
            raise self.error(entries, index, f"{error}", hint + "".join(more[:1])) from None
        prefix = entry.partition("/")[2]
        if "%" in entry:
            raise self.error(entries, index, f"{entry!r} names a zone, which no address has here", "leave the zone out")
        if prefix and not prefix.isdecimal():
            raise self.error(entries, index, f"{entry!r} has a mask for a prefix", f"write {network}")
        if str(network.network_address) != str(ip_network(entry.partition("/")[0]).network_address):
            raise self.error(
                entries,
                index,
                f"{entry} has host bits set",
                f"did you mean {network}? the bits after the prefix are zero",
            )
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            inner = IPv4Network((IPv4Address(int(network.network_address) & 0xFFFFFFFF), network.prefixlen - 96))
            raise self.error(entries, index, "such addresses are looked up as IPv4 and never match", f"write {inner}")
        if network.prefixlen == 0:
            self.doubt(entries, index, f"{network} is every address", "leave the list out if all are meant")
        return network

    def people(self, body: CommentedMap, names: tuple[str, ...]) -> Condition:
        """Read what narrows: all of the keys must hold, one entry of each suffices. Raises PolicyInvalid."""
        parts: list[Part] = []
        for name in body:
            if name in names:
                wanted = self.texts(body, name)
                for index in range(len(wanted)):
                    self.tried(partial(self._scoped, body[name], index, name), None)
                self._refuse_again(body[name], wanted)
                parts.append(OneOf(SCOPES[name], wanted, self.place(body, name)))
            elif name == "networks":
                count = len(self.list(body, name))
                read = [self.tried(partial(self.listed, body[name], index, "cidrs"), None) for index in range(count)]
                self._refuse_again(body[name], [found.list.name for found in read if found is not None])
                parts.append(Condition("any", tuple(found for found in read if found is not None)))
        return Condition("all", tuple(parts))

    def _scoped(self, entries: CommentedSeq, index: int, name: str) -> None:
        if entries[index] == "*":
            raise self.error(entries, index, "there are no wildcards", f"leave {name}: out where all are meant")
        if name == "users":
            self._user(entries, index)
        if name == "idps" and not _ISSUER.fullmatch(entries[index]):
            hint = "write the issuer as its tokens do, as in https://login.example.com/realms/main"
            raise self.error(entries, index, f"{entries[index]!r} is no issuer", hint)

    def _refuse_again(self, entries: CommentedSeq, read: Sequence[str]) -> None:
        for index in _again(read):
            self.tried(partial(self._say_again, entries, index), None)

    def _say_again(self, entries: CommentedSeq, index: int) -> None:
        raise self.error(entries, index, f"{entries[index]} stands twice", "name each once")

    def listed(self, parent: Any, key: Any, kind: ListKind | None = None) -> Listed | None:
        """Read the name of a list; None where that list was not read. Raises PolicyInvalid."""
        name = self.text(parent, key, "the name of a list")
        if name in self._unread:
            return None
        if name not in self._lists:
            near = difflib.get_close_matches(name, self._lists, n=1)
            hint = f"did you mean {near[0]}?" if near else "name it under lists:"
            raise self.error(parent, key, f"there is no list {name!r}", hint)
        if kind is not None and self._lists[name].kind != kind:
            raise self.error(parent, key, f"{name} is a list of {self._lists[name].kind}", f"name a list of {kind}")
        return Listed(self._lists[name], self.place(parent, key))


def _again(entries: Sequence[str]) -> Iterable[int]:
    """Yield the places of entries that stood before."""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry in seen:
            yield index
        seen.add(entry)


def _inside(networks: Sequence[_Network]) -> Iterable[tuple[int, int]]:
    """Yield the places of networks that lie in another one, with that one's; equal ones are no such pair."""
    order = sorted(
        range(len(networks)),
        key=lambda index: (networks[index].version, int(networks[index].network_address), networks[index].prefixlen),
    )
    outer: int | None = None
    for index in order:
        around = networks[outer] if outer is not None else None
        mine = networks[index]
        if (
            around is None
            or around.version != mine.version
            or int(mine.network_address) > int(around.broadcast_address)
        ):
            outer = index
        elif around != mine and outer is not None:
            yield index, outer
