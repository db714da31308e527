"""Leaves of a plain form, read back as what they compare: ``signal op literal`` and membership in a list of literals.

Anything else is left alone and named as not analysed; nothing here guesses at CEL.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.policy.registry import SIGNALS, Signal

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "holds"]
Literals = tuple[bool | int | float | str, ...]

_NAME = r"[a-z_]+(?:\.[a-z_]+)*"
_TEXT = r'"[^"\\]*"|\'[^\'\\]*\''
_LITERAL = rf"true|false|-?\d+(?:\.\d+)?|{_TEXT}"
_COMPARED = re.compile(rf"(?P<name>{_NAME})\s*(?P<op>==|!=|<=|>=|<|>)\s*(?P<literal>{_LITERAL})")
_TURNED = re.compile(rf"(?P<literal>{_LITERAL})\s*(?P<op>==|!=|<=|>=|<|>)\s*(?P<name>{_NAME})")
_WITHIN = re.compile(rf"(?P<name>{_NAME})\s+in\s+\[\s*(?P<list>(?:{_LITERAL})(?:\s*,\s*(?:{_LITERAL}))*)?\s*\]")
_HOLDS = re.compile(rf"(?P<literal>{_TEXT})\s+in\s+(?P<name>{_NAME})")
_BARE = re.compile(rf"(?P<name>{_NAME})")
_MIRROR: dict[str, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


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


def shape(text: str) -> Comparison | None:
    """Read a leaf back, or return None where it is of another form. The leaf is known to compile."""
    bare = text.strip()
    negated = False
    while bare.startswith("!") and not bare.startswith("!="):
        bare, negated = bare[1:].strip(), not negated
    while bare.startswith("(") and bare.endswith(")") and "(" not in bare[1:-1]:
        bare = bare[1:-1].strip()
    found = _read(bare)
    if found is None or found[0] not in SIGNALS:
        return None
    name, compared, literals = found
    # Without brackets a ``!`` binds to what follows it only; the checker has refused it before a comparison of numbers.
    if negated and "(" not in text and compared not in ("==",):
        return None
    return Comparison(SIGNALS[name], compared, literals, negated)


def _read(bare: str) -> tuple[str, Operator, Literals] | None:
    if found := _COMPARED.fullmatch(bare):
        compared: Operator = _MIRROR[_MIRROR[found["op"]]]
        return found["name"], compared, (_literal(found["literal"]),)
    if found := _TURNED.fullmatch(bare):
        return found["name"], _MIRROR[found["op"]], (_literal(found["literal"]),)
    if found := _WITHIN.fullmatch(bare):
        texts = re.findall(_LITERAL, found["list"] or "")
        return found["name"], "in", tuple(_literal(text) for text in texts)
    if found := _HOLDS.fullmatch(bare):
        return found["name"], "holds", (_literal(found["literal"]),)
    if found := _BARE.fullmatch(bare):
        return found["name"], "==", (True,)
    return None


def _literal(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    if text[0] in "\"'":
        return text[1:-1]
    return float(text) if "." in text else int(text)


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


def impossible(found: Comparison) -> tuple[str, bool | int | float | str] | None:
    """Return why a comparison names what its signal never is, with the literal it names, or None.

    A text outside a closed set, or a number outside the bounds: nearly always a slip of the pen, and one that silently
    opens or shuts a rule.
    """
    signal = found.signal
    if signal.values:
        strange = [literal for literal in found.literals if literal not in signal.values]
        if strange:
            return f"{signal.name} is never {strange[0]!r}; it is one of {', '.join(signal.values)}", strange[0]
        return None
    for literal in found.literals:
        if isinstance(literal, bool | str):
            continue
        if (signal.low is not None and literal < signal.low) or (signal.high is not None and literal > signal.high):
            return f"{signal.name} lies {_bounds(signal)}; {literal} is outside", literal
    return None


def _bounds(signal: Signal) -> str:
    if signal.high is None:
        return f"at {signal.low:g} and above"
    return f"between {signal.low:g} and {signal.high:g}"
