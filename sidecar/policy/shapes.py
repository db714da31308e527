"""Expressions of a plain form, as what they compare: ``signal op literal`` and membership in a list of literals.

Anything else is left alone and named as not analysed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.policy.answers import COMPARE, IN, NOT, is_native
from sidecar.policy.registry import SIGNALS, Signal
from sidecar.policy.syntax import Node

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "holds"]
Literals = tuple[bool | int | float | str, ...]

_WRITTEN: dict[str, Operator] = {
    "_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=",
}  # fmt: skip
_MIRROR: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {written: COMPARE[name] for name, written in _WRITTEN.items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """``signal op literals``: one literal, several for ``in``. ``negated`` where a ``!`` stands before it."""

    signal: Signal
    operator: Operator
    literals: Literals
    negated: bool = False

    def true_of(self, value: bool | int | float | str) -> bool:
        """Tell whether the leaf is true of a known value. Not for ``holds``."""
        within = self.operator == "in"
        found = value in self.literals if within else _OPERATORS[self.operator](value, self.literals[0])
        return found is not self.negated


def shape(node: Node) -> Comparison | None:
    """Return what an expression compares, or None where it is of another form."""
    negated = False
    while node.name == NOT and node.kind == "call":
        node, negated = node.parts[0], not negated
    if node.kind == "signal":
        return Comparison(SIGNALS[node.name], "==", (True,), negated)
    if not is_native(node) or len(node.parts) != 2:
        return None
    one, other = node.parts
    written = _WRITTEN.get(node.name)
    forms: dict[tuple[str, str], tuple[Node, Operator | None]] = {
        ("signal", "list"): (one, "in"),
        ("signal", "constant"): (one, written),
        ("constant", "signal"): (other, _MIRROR[written] if written else "holds" if node.name == IN else None),
    }
    signal, compared = forms.get((one.kind, other.kind), (one, None))
    return Comparison(SIGNALS[signal.name], compared, _literals(node), negated) if compared else None


def _literals(node: Node) -> Literals:
    return tuple(part.value for part in node.walk() if part.kind == "constant" and part.value is not None)


def direct(found: Comparison) -> Callable[[Any], bool]:
    """Return a comparison as a plain function of its signal's known value, checked to be of the signal's type.

    On these types the operators of Python and CEL agree: int64, finite doubles, texts by code point, lists of texts
    (``tests/unit/test_policy_direct.py`` holds them against the engine).
    """
    first = found.literals[0] if found.literals else None
    negated = found.negated
    if found.operator == "in":
        among = frozenset(found.literals)
        return (lambda value: value not in among) if negated else (lambda value: value in among)
    if found.operator == "holds":
        return (lambda value: first not in value) if negated else (lambda value: first in value)
    compare = _OPERATORS[found.operator]
    return (lambda value: not compare(value, first)) if negated else (lambda value: compare(value, first))
