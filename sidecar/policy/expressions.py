"""CEL behind one small door: compile a leaf against the signal registry, evaluate it to one of four truths.

The official engine reports run-time errors as values, not exceptions, and accepts ``has()`` on flat names in a way that
reads well and means nothing; both are dealt with here. Missing and non-finite numbers never reach it as numbers.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from sidecar.domain.decisions import Facts, LeafTrace, SignalValue, Truth
from sidecar.policy.registry import SIGNALS

_TYPES = {"bool": cel.Type.BOOL, "int": cel.Type.INT, "double": cel.Type.DOUBLE, "string": cel.Type.STRING}
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
# CEL allows spaces around a dot, and a call after it: ``client.id.startsWith("a")`` reads ``client.id``.
_NAMES = {name: re.compile(r"(?<!\w)" + name.replace(".", r"\s*\.\s*") + r"(?!\w)") for name in SIGNALS}
_POSITION = re.compile(r"<input>:(\d+):(\d+): (.*)")
_environment = cel.NewEnv(variables={name: _TYPES[signal.type] for name, signal in SIGNALS.items()})


class ExpressionInvalid(ValueError):
    """A leaf does not compile. ``column`` counts from 1 within the expression; ``hint`` says what to write instead."""

    def __init__(self, message: str, column: int, hint: str) -> None:
        super().__init__(message)
        self.column = column
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Leaf:
    """One compiled expression and the signals it reads."""

    text: str
    signals: tuple[str, ...]
    _compiled: Any

    def evaluate(self, facts: Facts) -> LeafTrace:
        """Evaluate over facts. A signal that is absent, None or non-finite is missing, and missing is never false."""
        values = {name: finite(facts.get(name)) for name in self.signals}
        known = {name: value for name, value in values.items() if value is not None}
        result = self._compiled.eval(data=known)
        truth: Truth
        if result.type() == cel.Type.BOOL:
            truth = "true" if result.value() else "false"
        else:
            truth = "missing" if len(known) < len(values) else "error"
        return LeafTrace(self.text, truth, values)


def finite(value: SignalValue) -> SignalValue:
    """Return the value, or None for a number that is not finite: in CEL ``!(x > 0.5)`` would be true for NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def compile_leaf(text: str) -> Leaf:
    """Compile one boolean expression. Raises ExpressionInvalid with column and hint."""
    bare = _STRINGS.sub('""', text)
    if re.search(r"\bhas\s*\(", bare):
        raise ExpressionInvalid("has() means nothing here", text.find("has") + 1, "missing signals are handled for you")
    try:
        compiled = _environment.compile(text)
    except RuntimeError as error:
        raise _invalid(str(error)) from None
    if compiled.return_type() != cel.Type.BOOL:
        raise ExpressionInvalid("the expression is not a yes-or-no question", 1, "compare the signal with a value")
    names = tuple(name for name, pattern in _NAMES.items() if pattern.search(bare))
    return Leaf(text, names, compiled)


def _invalid(raw: str) -> ExpressionInvalid:
    found = _POSITION.search(raw)
    message, column = (found.group(3), int(found.group(2))) if found else (raw.splitlines()[0], 1)
    hint = "see the list of signals in docs/policies.md"
    if "(double, int)" in message or "(int, double)" in message:
        hint = "write the number like the signal's type: 1.0 for a double, 1 for an int"
    elif "no matching overload" in message:
        hint = "the two sides have different types"
    elif "Syntax error" in message:
        hint = 'CEL expressions look like: keystroke.outcome == "mismatch"'
    return ExpressionInvalid(message.replace(" (in container '')", ""), column, hint)
