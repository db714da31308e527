"""What compiles and cannot be meant: values that a signal never has, what is the same for every login, what is always an error.

Nearly always a slip of the pen, and one that silently opens or shuts a rule.
"""

import difflib
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from sidecar.policy.answers import AND, CHOICE, COMPARE, ERROR, IN, NOT, OR
from sidecar.policy.countries import COUNTRIES, meant
from sidecar.policy.expressions import ExpressionInvalid, Leaf, can_be_read, known
from sidecar.policy.registry import SIGNALS, Signal
from sidecar.policy.shapes import Comparison, shape
from sidecar.policy.syntax import Node

_NO_VALUE = "compare with a value that the signal can have"


def refuse_senseless(leaf: Leaf) -> None:
    """Raise ExpressionInvalid on what nobody can mean. ``true`` and ``false`` alone are meant: all logins, or none."""
    if leaf.node.kind == "constant":
        return
    for node in reversed(list(leaf.node.walk())):  # from the inside out
        _refuse_errors(leaf, node)
        found = shape(node) if node.kind == "call" and (node.name in COMPARE or node.name == IN) else None
        if found is not None:
            if why := impossible(found):
                raise ExpressionInvalid(why[0], node.at + 1, why[1])
        elif node.name in COMPARE and node.parts[0] == node.parts[1] and node.signals:
            raise ExpressionInvalid("both sides are the same", node.at + 1, "compare with another signal or a value")
    _refuse_idle(leaf, leaf.node)


def impossible(found: Comparison) -> tuple[str, str] | None:
    """Return why a comparison names what its signal never is, with a hint; or None."""
    signal = found.signal
    if signal.values and found.operator in ("<", "<=", ">", ">="):
        return f"{signal.name} has no order; it is one of {', '.join(signal.values)}", "compare with == or in [..]"
    for literal in found.literals:
        if why := strange(signal, literal):
            return why
    return None


def strange(signal: Signal, value: Any) -> tuple[str, str] | None:
    """Return why a signal never has a value, with a hint; or None."""
    if isinstance(value, str):
        return _strange_text(signal, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if (signal.low is None or value >= signal.low) and (signal.high is None or value <= signal.high):
        return None
    share = signal.low == 0 and signal.high == 1 and 2 <= value <= 100
    return f"{signal.name} lies {_bounds(signal)}; {value} is outside", (
        f"it is a share: {value} percent are {value / 100:g}" if share else _NO_VALUE
    )


def _strange_text(signal: Signal, value: str) -> tuple[str, str] | None:
    if signal.values and value not in signal.values:
        near = difflib.get_close_matches(value.lower(), signal.values, n=1)
        takes = f"{signal.name} is never {value!r}; it is one of {', '.join(signal.values)}"
        return takes, f"did you mean {near[0]}?" if near else _NO_VALUE
    if signal.name == "network.country" and value not in COUNTRIES:
        return f"{value!r} is no country", meant(value)
    if signal.name == "network.address" and not is_address(value) and _is_network(value):
        return f"network.address is one address, never the network {value!r}", "write a list of cidrs and listed: NAME"
    return None


def doubts(node: Node) -> Iterable[tuple[str, str]]:
    """Yield what is odd in an expression and could be meant, with a hint."""
    for part in node.walk():
        found = shape(part) if part.kind == "call" and (part.name in COMPARE or part.name == IN) else None
        if found is None:
            continue
        for literal in found.literals:
            if not isinstance(literal, str):
                continue
            if found.signal.name == "network.address" and not is_address(literal):
                yield f"{literal!r} is no address", "write one as in 192.0.2.7 or 2001:db8::7"
            elif "*" in literal:
                yield (
                    f"{literal!r} is compared letter by letter, * included",
                    'write x.startsWith("..") or x.matches("..")',
                )
            elif literal != literal.strip():
                yield f"{literal!r} begins or ends with a blank", "take it away if it is not meant"
        if len(set(found.literals)) < len(found.literals):
            yield "an entry stands twice in the list", "name each once"


def is_address(value: Any) -> bool:
    """Tell whether a value is one address of a host."""
    try:
        return bool(ip_address(value))
    except ValueError:
        return False


def _is_network(value: str) -> bool:
    try:
        return bool(ip_network(value, strict=False))
    except ValueError:
        return "*" in value


def _bounds(signal: Signal) -> str:
    if signal.high is None:
        return f"at {signal.low:g} and above"
    return f"between {signal.low:g} and {signal.high:g}"


def _refuse_errors(leaf: Leaf, node: Node) -> None:
    """Refuse what is an error at every login, and lists in which nobody knows what equals what."""
    if node.kind == "list" and len({part.type for part in node.parts}) > 1:
        raise ExpressionInvalid(
            "a list of values of several types", node.at + 1, "write all entries as the signal's type"
        )
    if node.kind in ("call", "other") and not node.signals and not node.free and _value(leaf, node) is ERROR:
        raise ExpressionInvalid(
            "an error at every login", node.at + 1, "nothing in it depends on the login; look at its values"
        )
    if node.kind == "call" and node.name in ("_/_", "_%_") and node.parts[1].value == 0:
        raise ExpressionInvalid("a division by zero", node.at + 1, "divide by something else")
    if node.name == "matches" and node.kind == "call":
        pattern = node.parts[1]
        found = None if pattern.signals or pattern.free else _value(leaf, pattern)
        if isinstance(found, str) and not can_be_read(found):
            raise ExpressionInvalid("the pattern of matches() cannot be read", pattern.at + 1, "patterns are RE2")


def _value(leaf: Leaf, node: Node) -> Any:
    return leaf.ask_part(node)(known({}, 0.0, ()))


def _refuse_idle(leaf: Leaf, node: Node) -> None:
    """Refuse a question with one answer for every login."""
    if node.kind == "call" and node.name in (AND, OR, NOT, CHOICE):
        for part in node.parts[:1] if node.name == CHOICE else node.parts:
            _refuse_idle(leaf, part)
        return
    if not node.signals:
        hint = "leave it out; a condition for all logins is true alone"
        raise ExpressionInvalid("the same for every login", node.at + 1, hint)
    closed = SIGNALS[node.signals[0]]
    if len(node.signals) > 1 or not closed.values:
        return
    if not set(_answers(leaf, node, closed)) & {"true", "missing"}:
        told = f"never true, whatever {closed.name} is: one of {', '.join(closed.values)}"
        raise ExpressionInvalid(told, node.at + 1, _NO_VALUE)


def _answers(leaf: Leaf, node: Node, signal: Signal) -> Iterable[str]:
    ask = leaf.ask_part(node)
    for value in signal.values:
        said = ask(known({signal.name: value}, 0.0, (signal.name,)))
        yield {True: "true", False: "false", ERROR: "error"}.get(said, "missing")
