"""CEL behind one small door: compile a leaf against the signal registry, evaluate it to one of four truths.

The official engine reports run-time errors as values, not exceptions, and accepts ``has()`` on flat names in a way that
reads well and means nothing; both are dealt with here. A number that is missing, not finite or of another type than the
registry says never reaches it: ``!(x > 0.5)`` would be true for NaN.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from sidecar.domain.decisions import Facts, LeafTrace, SignalValue, Truth
from sidecar.policy.registry import SIGNALS, SignalType
from sidecar.policy.shapes import direct, shape

MAX_LENGTH = 2000
_TYPES = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "strings": cel.Type.List(cel.Type.STRING),
}
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_POSITION = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)'")
_ABSENT = "UNKNOWN: No value with name"
_INT64 = 2**63
_environment = cel.NewEnv(variables={name: _TYPES[signal.type] for name, signal in SIGNALS.items()})


class ExpressionInvalid(ValueError):
    """A leaf does not compile. ``column`` counts from 1 within the expression; ``hint`` says what to write instead."""

    def __init__(self, message: str, column: int, hint: str) -> None:
        super().__init__(message)
        self.column = column
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in its file; both count from 1."""

    line: int
    column: int


class Broken:
    """A value of another type than the registry says. Reading it is an error, not a missing value."""


BROKEN = Broken()


@dataclass(slots=True)
class Known:
    """The facts of one decision as the policy may see them, and what its leaves came to so far.

    ``values``: every signal that was asked for; None where it is missing. ``broken``: signals of a wrong type.
    ``now``: epoch seconds. ``traces``: results by a leaf's text, so that an expression that stands in ten rules is
    evaluated once. ``shown``: values by the signals of a leaf; leaves that read the same share them.
    """

    values: dict[str, SignalValue]
    broken: frozenset[str]
    now: float
    given: dict[str, Any]
    prepared: Any = None
    traces: dict[object, LeafTrace] = field(default_factory=dict)
    shown: dict[tuple[str, ...], dict[str, SignalValue]] = field(default_factory=dict)

    @property
    def activation(self) -> Any:
        """The known values as the engine takes them; made once, and only where a leaf needs the engine."""
        if self.prepared is None:
            self.prepared = _environment.Activation(self.given)
        return self.prepared


# Slips of the pen from other languages, and what CEL writes instead.
_LOOKS_LIKE = 'CEL expressions look like: keystroke.outcome == "mismatch"'
_SLIPS = (
    (re.compile("[\u2018\u2019\u201c\u201d]"), "write straight quotes"),
    (re.compile(r"^\s*$"), "the expression is empty; write one, or take the line out"),
    (re.compile(r"\b(?:and|or|not)\b", re.IGNORECASE), "CEL writes && for and, || for or, ! for not"),
    (re.compile(r"=>|=<|<>|==="), "CEL compares with ==, !=, <, <=, >, >="),
    (re.compile(r"(?<![=!<>])=(?!=)"), "== compares; a single = means nothing here"),
    (re.compile(r"\d\s*%"), "shares are numbers from 0.0 to 1.0, without a percent sign"),
    (
        re.compile(r"\b(?:is|like|between|contains)\b", re.IGNORECASE),
        _LOOKS_LIKE + '; texts: x.contains("a"), x.startsWith("a")',
    ),
)
_PATTERN = re.compile(r"""\.matches\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*\)""")
_DECIMAL = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:[eE][+-]?\d+)")


def known(facts: Facts, now: float, names: Iterable[str] = tuple(SIGNALS)) -> Known:
    """Check facts against the registry. ``names``: the signals that will be read; others are not looked at."""
    values: dict[str, SignalValue] = {}
    given: dict[str, Any] = {}
    broken: list[str] = []
    for name in names:
        value = facts.get(name)
        if value is not None:
            checked = _CHECKS[name](value)
            if checked is BROKEN:
                broken.append(name)
            elif checked is not None:
                given[name] = checked
        values[name] = given.get(name)
    return Known(values, frozenset(broken), now, given)


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One compiled expression, the signals it reads, and where it stands.

    ``_direct``: for ``signal op literal`` and membership, the same question as a plain function of the signal's value, which
    takes a fraction of a call into the engine. The engine has compiled and type-checked the text all the same.
    """

    text: str
    signals: tuple[str, ...]
    at: Place
    _compiled: Any
    _direct: Callable[[Any], bool] | None = None

    def evaluate(self, known: Known) -> LeafTrace:
        """Evaluate over facts. A signal that is absent, None or non-finite is missing, and missing is never false."""
        trace = known.traces.get(self.text)
        if trace is None:
            truth = self._asked(known) if self._direct is None else self._compared(known, self._direct)
            values = known.shown.get(self.signals)
            if values is None:
                values = known.shown[self.signals] = {name: known.values[name] for name in self.signals}
            trace = known.traces[self.text] = LeafTrace(self.text, truth, values)
        return trace

    def _compared(self, known: Known, true_of: Callable[[Any], bool]) -> Truth:
        name = self.signals[0]
        value = known.values[name]
        if value is None:
            return "error" if name in known.broken else "missing"
        return "true" if true_of(value) else "false"

    def _asked(self, known: Known) -> Truth:
        said = self._compiled.eval(known.activation).value()
        return "true" if said is True else "false" if said is False else self._undecided(said, known)

    def _undecided(self, said: object, known: Known) -> Truth:
        """Tell a missing value from an error. Signals of a wrong type were withheld, so they look missing to CEL."""
        if not known.broken.isdisjoint(self.signals) or not str(said).startswith(_ABSENT):
            return "error"
        return "missing"


def compile_leaf(text: str, at: Place = Place(1, 1)) -> Leaf:
    """Compile one boolean expression. Raises ExpressionInvalid with column and hint."""
    compiled, names, plain = _compiled(text)
    return Leaf(text, names, at, compiled, plain)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> tuple[Any, tuple[str, ...], Callable[[Any], bool] | None]:
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid(f"longer than {MAX_LENGTH} characters", 1, "split it over all: and any:")
    if not text.isprintable():
        raise ExpressionInvalid(
            "holds characters that cannot be printed", 1, "write it on one line, in plain characters"
        )
    bare = _STRINGS.sub('""', text)
    if zero := re.search(r"\\(?:0{1,3}|x00|u0000|U00000000)", text):
        raise ExpressionInvalid("a text cannot hold a zero byte", zero.start() + 1, "leave it out")
    if re.search(r"\bhas\s*\(", bare):
        raise ExpressionInvalid("has() means nothing here", text.find("has") + 1, "missing signals are handled for you")
    try:
        compiled = _environment.compile(text)
    except RuntimeError as error:
        raise _invalid(str(error), bare) from None
    _refuse_patterns(text)
    if compiled.return_type() != cel.Type.BOOL:
        raise ExpressionInvalid("the expression is not a yes-or-no question", 1, "compare the signal with a value")
    plain = shape(text)
    return compiled, _names(compiled.serialize()), direct(plain) if plain else None


def _names(serialized: bytes) -> tuple[str, ...]:
    """Return the signals that a checked expression refers to.

    Identifiers stand in the serialized form as field 1 (tag 0x0a) with their length; a text constant is field 6, so a text
    that looks like a signal is not taken for one (cel.expr.CheckedExpr, cel/expr/checked.proto and syntax.proto).
    """
    return tuple(name for name in SIGNALS if b"\x0a" + bytes([len(name)]) + name.encode() in serialized)


def _refuse_patterns(text: str) -> None:
    """Refuse a pattern that the engine cannot read, and a number that is none: both are errors at every login."""
    for found in _PATTERN.finditer(text):
        said = _environment.compile(f'"".matches({found[1]})').eval(_environment.Activation({})).value()
        if not isinstance(said, bool):
            raise ExpressionInvalid("the pattern of matches() cannot be read", found.start(1) + 1, "patterns are RE2")
    for found in _DECIMAL.finditer(_STRINGS.sub('""', text)):
        if not math.isfinite(float(found[0])):
            raise ExpressionInvalid(f"{found[0]} is no finite number", found.start() + 1, "write a smaller one")


def _invalid(raw: str, bare: str) -> ExpressionInvalid:
    found = _POSITION.search(raw)
    message, column = (found.group(3), int(found.group(2))) if found else (raw.splitlines()[0], 1)
    hint = "expressions are CEL over the signals of docs/policies.md"
    if undeclared := _UNDECLARED.search(message):
        hint = f"the signals that exist are in docs/policies.md{_alike(undeclared[1])}"
    elif "(double, int)" in message or "(int, double)" in message:
        hint = "write the number like the signal's type: 1.0 for a double, 1 for an int"
    elif "'@in'" in message:
        hint = 'after in: a list, as in ["known", "new"], or a signal that is one'
    elif "no matching overload" in message:
        hint = "the two sides have different types"
    elif "Syntax error" in message:
        message = message.partition(" expecting ")[0]
        hint = next((advice for slip, advice in _SLIPS if slip.search(bare)), _LOOKS_LIKE)
    return ExpressionInvalid(message.replace(" (in container '')", ""), column, hint)


def _alike(name: str) -> str:
    import difflib  # noqa: PLC0415 - only a refusal needs it

    near = difflib.get_close_matches(name, SIGNALS, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _bool(value: object) -> SignalValue | Broken:
    return value if isinstance(value, bool) else BROKEN


def _int(value: object) -> SignalValue | Broken:
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
        return BROKEN
    return value


def _double(value: object) -> SignalValue | Broken:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return BROKEN
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _string(value: object) -> SignalValue | Broken:
    if not isinstance(value, str) or "\0" in value:  # the engine's texts end at a zero: "admin\0x" would be "admin"
        return BROKEN
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # a lone surrogate, as JSON may carry one, ends the engine's call
            return BROKEN
    return value


def _strings(value: object) -> Any:
    if not isinstance(value, list | tuple) or any(_string(entry) is BROKEN for entry in value):
        return BROKEN
    return list(value)


_BY_TYPE: Mapping[SignalType, Callable[[object], Any]] = {
    "bool": _bool,
    "int": _int,
    "double": _double,
    "string": _string,
    "strings": _strings,
}
_CHECKS = {name: _BY_TYPE[signal.type] for name, signal in SIGNALS.items()}
