"""A checked expression as a tree: what the engine parsed and typed, read from the form in which it hands it out.

That form is ``cel.expr.CheckedExpr`` (cel/expr/checked.proto and syntax.proto) in protobuf's wire format. Nothing here guesses at
the text of an expression.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sidecar.policy.registry import SIGNALS

Kind = Literal["constant", "signal", "call", "list", "other"]
Constant = bool | int | float | str | None
_SCALARS = {1: "bool", 2: "int", 3: "uint", 4: "double", 5: "string", 6: "bytes"}
_VARIABLES = (1, 3, 8)  # of a comprehension: for the entry, the result so far, and a second one for the entry
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Node:
    """One part of an expression. Two are equal where they say the same, wherever they stand.

    ``name``: of the signal or the function. ``type``: a type of the registry, ``uint``, ``bytes``, ``time``, or empty
    for all else.
    ``parts``: arguments (a method's receiver first) or entries; of ``other`` (macros, maps, fields of values, variables of
    macros) whatever is inside. ``free``: variables of the macro around it that it reads. ``at``: characters before it. ``raw``: its
    wire form.
    """

    kind: Kind
    type: str
    name: str = ""
    value: Constant = None
    parts: tuple["Node", ...] = ()
    free: frozenset[str] = frozenset()
    at: int = field(default=0, compare=False)
    raw: bytes = field(default=b"", compare=False, repr=False)

    def walk(self) -> Iterator["Node"]:
        """Yield this and every part of it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the signals that it reads, in the registry's order."""
        names = {node.name for node in self.walk() if node.kind == "signal"}
        return tuple(name for name in SIGNALS if name in names) if names else ()


class CheckedExpression:
    """A whole expression: its tree, and the means to cut a part out as an expression of its own."""

    def __init__(self, serialized: bytes) -> None:
        (checked,) = (value for number, value in _fields(serialized) if number == 2)
        self._shell: list[bytes] = []
        self._types: dict[int, str] = {}
        self._positions: dict[int, int] = {}
        root = b""
        for number, value in _fields(_bytes(checked)):
            raw = _bytes(value) if number in (2, 3, 4, 5) else b""
            if number == 4:
                root = raw
                continue
            if number == 3:
                entry = dict(_fields(raw))
                self._types[_int(entry.get(1, 0))] = _type(_bytes(entry.get(2, b"")))
            elif number == 5:
                self._positions = {
                    _int(entry.get(1, 0)): _int(entry.get(2, 0))
                    for field_number, pair in _fields(raw)
                    if field_number == 4
                    for entry in [dict(_fields(_bytes(pair)))]
                }
            if raw:
                self._shell.append(_delimited(number, raw))
        self.root = self._node(root, frozenset())

    def part(self, node: Node) -> bytes:
        """Return a part in the engine's serialized form."""
        checked = b"".join(self._shell) + _delimited(4, node.raw)
        return _delimited(1, b"type.googleapis.com/cel.expr.CheckedExpr") + _delimited(2, checked)

    def _node(self, raw: bytes, bound: frozenset[str]) -> Node:
        identity, said, body = 0, 0, b""
        for number, value in _fields(raw):
            if number == 2:
                identity = _int(value)
            else:
                said, body = number, _bytes(value)
        kind_of_value = self._types.get(identity, "")
        at = self._positions.get(identity, 0)
        if said == 3:
            return Node("constant", kind_of_value, value=_constant(body), at=at, raw=raw)
        if said == 4:
            return self._named(_text(dict(_fields(body)).get(1, b"")), kind_of_value, at, raw, bound)
        if said == 6:
            target = [value for number, value in _fields(body) if number == 1]
            given = [value for number, value in _fields(body) if number == 3]
            parts = tuple(self._node(_bytes(value), bound) for value in (*target, *given))
            name = _text(dict(_fields(body)).get(2, b""))
            return Node("call", kind_of_value, name, parts=parts, free=_free(parts), at=at, raw=raw)
        if said == 7:
            parts = tuple(self._node(_bytes(value), bound) for number, value in _fields(body) if number == 1)
            return Node("list", kind_of_value, parts=parts, free=_free(parts), at=at, raw=raw)
        own = frozenset(_text(value) for number, value in _fields(body) if said == 9 and number in _VARIABLES)
        parts = tuple(self._inside(said, body, bound, own))
        return Node("other", kind_of_value, repr(body), parts=parts, free=_free(parts) - own, at=at, raw=raw)

    def _named(self, name: str, type_: str, at: int, raw: bytes, bound: frozenset[str]) -> Node:
        if name in SIGNALS and name not in bound:
            return Node("signal", type_, name, at=at, raw=raw)
        return Node("other", type_, name, free=frozenset({name}) & bound, at=at, raw=raw)

    def _inside(self, said: int, body: bytes, bound: frozenset[str], own: frozenset[str]) -> Iterator[Node]:
        """Yield the expressions inside a macro (9), a map (8) or a field of a value (5)."""
        found = list(_fields(body))
        if said == 9:
            for number, value in found:
                if number in (2, 4):
                    yield self._node(_bytes(value), bound)
                elif number in (5, 6, 7):
                    yield self._node(_bytes(value), bound | own)
        elif said == 8:
            for _, entry in found:
                if isinstance(entry, bytes):
                    yield from (
                        self._node(_bytes(value), bound) for number, value in _fields(entry) if number in (3, 4)
                    )
        elif said == 5:
            yield from (self._node(_bytes(value), bound) for number, value in found if number == 1)


def _free(parts: tuple[Node, ...]) -> frozenset[str]:
    return frozenset().union(*(part.free for part in parts))


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a message in protobuf's wire format."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield number, value
            continue
        size = 8
        if wire == 2:
            size, at = _varint(raw, at)
        elif wire == 5:
            size = 4
        yield number, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _delimited(number: int, raw: bytes) -> bytes:
    size, rest = b"", len(raw)
    while rest >= 0x80:
        size, rest = size + bytes([rest & 0x7F | 0x80]), rest >> 7
    return bytes([number << 3 | 2]) + size + bytes([rest]) + raw


def _bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _int(value: int | bytes) -> int:
    return value if isinstance(value, int) else 0


def _text(value: int | bytes) -> str:
    return _bytes(value).decode(errors="replace")


def _constant(body: bytes) -> Constant:
    for number, value in _fields(body):
        if number == 2:
            return bool(value)
        if number == 3:
            whole = _int(value)
            return whole - 2 * _INT64 if whole >= _INT64 else whole
        if number == 5:
            return float(struct.unpack("<d", _bytes(value))[0])
        if number == 6:
            return _text(value)
    return None


def _type(raw: bytes) -> str:
    told: Mapping[int, int | bytes] = dict(_fields(raw))
    if 3 in told:
        return _SCALARS.get(_int(told[3]), "")
    if 5 in told:
        return "time"
    if 6 in told:
        entry = _type(_bytes(dict(_fields(_bytes(told[6]))).get(1, b"")))
        return "strings" if entry == "string" else ""
    return ""
