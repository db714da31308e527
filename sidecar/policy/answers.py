"""What an expression comes to over the facts of a login: in the logic of the tree around it, whose unknown is no pass.

CEL's own ``&&`` gives whichever of an error and a missing value it met first, and its arithmetic gives numbers that are not
finite, for which ``!(x > 2.0)`` is true. So logic, comparisons, arithmetic, membership and the plain questions about texts are
answered here: an unknown operand makes an unknown, an error outweighs a missing value, and a number that is not finite is an
error. Whatever else there is goes to the engine (``asked``), whole. ``tests/unit/test_policy_direct.py`` holds the two ways
against each other.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sidecar.policy.syntax import Node

_INT64 = 2**63
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "_==_": operator.eq, "_!=_": operator.ne, "_<_": operator.lt, "_<=_": operator.le, "_>_": operator.gt, "_>=_": operator.ge,
}  # fmt: skip
AND, OR, NOT, CHOICE, IN, NEGATIVE = "_&&_", "_||_", "!_", "_?_:_", "@in", "-_"
COMPARED = ("bool", "int", "double", "string")


class Unknown:
    """A value that is not known, and why."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


MISSING, ERROR = Unknown("missing"), Unknown("error")


class Seen(Protocol):
    """What an answer looks at: the values of signals (None where there is none) and which of them are of a wrong type."""

    values: Mapping[str, Any]
    broken: frozenset[str]


Ask = Callable[[Any], Any]
Engine = Callable[[Node], Ask]


def answer(node: Node, asked: Engine) -> Ask:
    """Return a function from what is seen to a value or an ``Unknown``. ``asked``: makes such a function of the engine."""
    if node.kind == "constant":
        value = node.value
        return lambda _: value
    if node.kind == "signal":
        return _read(node.name)
    if not is_native(node):
        return _by_the_engine(node, asked)
    parts = [answer(part, asked) for part in node.parts if part.kind != "list"]
    return _LOGIC[node.name](*parts) if node.name in _LOGIC else _computed(node, parts)


def _computed(node: Node, parts: list[Ask]) -> Ask:
    if len(node.parts) == 1:
        return _of_one(parts[0], _NEGATIVES[node.type] if node.name == NEGATIVE else _OF_ONE[node.name])
    other = node.parts[1]
    if node.name == IN:
        among = frozenset(part.value for part in other.parts)
        inside = _of_one(parts[0], lambda value: value in among) if other.kind == "list" else None
        return inside or _of_two(parts[0], parts[1], lambda value, entries: value in entries)
    apply = COMPARE.get(node.name) or _TEXTS.get(node.name) or _ARITHMETIC[node.type][node.name]
    if other.kind == "constant":
        return _of_one(parts[0], _with(apply, other.value))
    return _of_two(parts[0], parts[1], apply)


def is_native(node: Node) -> bool:
    """Tell whether a call is answered here."""
    if node.kind != "call":
        return False
    types = [part.type for part in node.parts]
    if node.name == IN:
        return _is_membership(node)
    if node.name in COMPARE:
        return types[0] == types[1] and types[0] in COMPARED
    if node.name in (NEGATIVE, "double", "size"):
        return types[0] in {NEGATIVE: ("int", "double"), "double": ("int",), "size": ("string", "strings")}[node.name]
    if node.name in _TEXTS:
        return types == ["string", "string"]
    return node.name in _LOGIC or (node.name in _ARITHMETIC.get(node.type, {}) and types == [node.type, node.type])


def _is_membership(node: Node) -> bool:
    one, among = node.parts
    if among.kind == "signal":
        return one.type == "string" and among.type == "strings"
    constant = among.kind == "list" and all(part.kind == "constant" for part in among.parts)
    return constant and one.type in COMPARED and all(part.type == one.type for part in among.parts)


def _read(name: str) -> Ask:
    def ask(seen: Seen) -> Any:
        value = seen.values[name]
        if value is None:
            return ERROR if name in seen.broken else MISSING
        return value

    return ask


def _joined(left: Ask, right: Ask, decisive: bool) -> Ask:
    """``&&`` and ``||``: what decides alone decides beside anything; else what is not known stays so."""

    def ask(seen: Seen) -> Any:
        one = left(seen)
        if one is decisive:
            return decisive
        other = right(seen)
        if other is decisive:
            return decisive
        if one is (not decisive):
            return other
        if other is (not decisive):
            return one
        return MISSING if one is MISSING and other is MISSING else ERROR

    return ask


def _negated(part: Ask) -> Ask:
    def ask(seen: Seen) -> Any:
        found = part(seen)
        return (not found) if found is True or found is False else found

    return ask


def _chosen(condition: Ask, one: Ask, other: Ask) -> Ask:
    """``a ? b : c``: where ``a`` is missing, what both would come to, if that is the same."""

    def ask(seen: Seen) -> Any:
        found = condition(seen)
        if found is True:
            return one(seen)
        if found is False:
            return other(seen)
        if found is not MISSING:
            return ERROR
        first, second = one(seen), other(seen)
        if not (isinstance(first, Unknown) or isinstance(second, Unknown)) and first == second:
            return first
        return ERROR if ERROR in (first, second) else MISSING

    return ask


_LOGIC: dict[str, Callable[..., Ask]] = {
    AND: lambda left, right: _joined(left, right, False),
    OR: lambda left, right: _joined(left, right, True),
    NOT: _negated,
    CHOICE: _chosen,
}


def _of_one(part: Ask, apply: Callable[[Any], Any]) -> Ask:
    def ask(seen: Seen) -> Any:
        value = part(seen)
        return value if value.__class__ is Unknown else apply(value)

    return ask


def _of_two(left: Ask, right: Ask, apply: Callable[[Any, Any], Any]) -> Ask:
    def ask(seen: Seen) -> Any:
        one, other = left(seen), right(seen)
        if one.__class__ is Unknown or other.__class__ is Unknown:
            return ERROR if one is ERROR or other is ERROR else MISSING
        return apply(one, other)

    return ask


def _with(apply: Callable[[Any, Any], Any], other: Any) -> Callable[[Any], Any]:
    return lambda value: apply(value, other)


def _by_the_engine(node: Node, asked: Engine) -> Ask:
    """Ask the engine where all that is read is known. Where not, only what needs no unknown part can have an answer."""
    ask_engine, signals = asked(node), node.signals
    strict = node.kind in ("call", "list")
    parts = [answer(part, asked) for part in node.parts] if strict else []
    fallible = not strict and any(can_fail(part) for part in node.walk())

    def ask(seen: Seen) -> Any:
        values = seen.values
        for name in signals:
            if values[name] is None:
                return unknown(seen)
        return ask_engine(seen)

    def unknown(seen: Seen) -> Any:
        if not seen.broken.isdisjoint(signals):
            return ERROR
        if strict:
            found = [part(seen) for part in parts]
            if ERROR in found:
                return ERROR
            return MISSING if MISSING in found else ask_engine(seen)
        # Inside a macro the engine stops at whichever unknown it meets first.
        said = ask_engine(seen)
        return ERROR if said is MISSING and fallible else said

    return ask


_SAFE_CALLS = {
    *COMPARE, AND, OR, NOT, CHOICE, IN, "size", "startsWith", "endsWith", "contains", "@not_strictly_false", "string", "type",
}  # fmt: skip


def can_fail(node: Node) -> bool:
    """Tell whether a call may be an error although all that it reads is known."""
    if node.kind != "call" or (node.name == "_+_" and node.type == "string"):
        return False
    ordered = node.name in COMPARE and node.name not in ("_==_", "_!=_")
    return node.name not in _SAFE_CALLS or (ordered and node.parts[0].type not in COMPARED)


def _whole(value: int) -> Any:
    return value if -_INT64 <= value < _INT64 else ERROR


def _quotient(one: int, other: int) -> Any:
    if other == 0:
        return ERROR
    found = abs(one) // abs(other)
    return _whole(found if (one < 0) == (other < 0) else -found)


def _rest(one: int, other: int) -> Any:
    if other == 0 or (one == -_INT64 and other == -1):
        return ERROR
    found = abs(one) % abs(other)
    return -found if one < 0 else found


def _finite(value: float) -> Any:
    return value if math.isfinite(value) else ERROR


_NEGATIVES: dict[str, Callable[[Any], Any]] = {"int": lambda value: _whole(-value), "double": operator.neg}
_OF_ONE: dict[str, Callable[[Any], Any]] = {"size": len, "double": float}
# Texts are compared by code point, in Python as in CEL, and so counted.
_TEXTS: dict[str, Callable[[Any, Any], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
}
_ARITHMETIC: dict[str, dict[str, Callable[[Any, Any], Any]]] = {
    "int": {
        "_+_": lambda one, other: _whole(one + other),
        "_-_": lambda one, other: _whole(one - other),
        "_*_": lambda one, other: _whole(one * other),
        "_/_": _quotient,
        "_%_": _rest,
    },
    "double": {
        "_+_": lambda one, other: _finite(one + other),
        "_-_": lambda one, other: _finite(one - other),
        "_*_": lambda one, other: _finite(one * other),
        "_/_": lambda one, other: _finite(one / other) if other else ERROR,
    },
    "string": {"_+_": operator.add},
}
