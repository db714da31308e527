"""CEL behind one small door: compile a leaf against the signal registry, evaluate it to one of four truths.

The official engine checks names and types of every leaf and answers what ``answers`` does not. It reports run-time errors as
values, not exceptions, and accepts ``has()`` on flat names in a way that reads well and means nothing; both are dealt with here.
A number that is missing, not finite or of another type than the registry says never reaches it, nor does arithmetic that could
make one: ``!(x > 0.5)`` would be true for NaN.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from sidecar.domain.decisions import Facts, LeafTrace, SignalValue, Truth
from sidecar.policy.advice import advice
from sidecar.policy.answers import ERROR, MISSING, Ask, answer, is_native
from sidecar.policy.registry import SIGNALS, SignalType
from sidecar.policy.shapes import direct, shape
from sidecar.policy.syntax import CheckedExpression, Node

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


_PYTHON: dict[str, type] = {"bool": bool, "int": int, "double": float, "string": str}


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

    ``node``: what it says, as a tree; ``ask_part`` makes a question of a part of it. ``_direct``: for ``signal op literal`` and
    membership, the same question as a plain function of the signal's value, which takes a fraction of the time.
    """

    text: str
    signals: tuple[str, ...]
    at: Place
    node: Node
    ask_part: Callable[[Node], Ask]
    _ask: Ask
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
        said = self._ask(known)
        return "true" if said is True else "false" if said is False else "missing" if said is MISSING else "error"


def compile_leaf(text: str, at: Place = Place(1, 1)) -> Leaf:
    """Compile one boolean expression. Raises ExpressionInvalid with column and hint."""
    node, ask_part, ask, plain = _compiled(text)
    return Leaf(text, node.signals, at, node, ask_part, ask, plain)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> tuple[Node, Callable[[Node], Ask], Ask, Callable[[Any], bool] | None]:
    bare = _written(text)
    try:
        compiled = _environment.compile(text)
    except RuntimeError as error:
        raise _invalid(str(error), bare) from None
    if compiled.return_type() != cel.Type.BOOL:
        raise ExpressionInvalid("the expression is not a yes-or-no question", 1, "compare the signal with a value")
    checked = CheckedExpression(compiled.serialize())
    _refuse_numbers(checked.root)

    def ask_part(node: Node) -> Ask:
        return answer(node, lambda part: _engine(checked, part))

    plain = shape(checked.root)
    return checked.root, ask_part, ask_part(checked.root), direct(plain) if plain else None


def _written(text: str) -> str:
    """Return a leaf with its texts blanked. Raises ExpressionInvalid on what cannot be seen, or means nothing here."""
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid(f"longer than {MAX_LENGTH} characters", 1, "split it over all: and any:")
    strange = next((index for index, character in enumerate(text) if not character.isprintable()), None)
    if strange is not None:
        name = unicodedata.name(text[strange], "no character") if not text[strange].isspace() else "an unusual blank"
        raise ExpressionInvalid(
            f"holds a character that cannot be printed, U+{ord(text[strange]):04X} ({name.lower()})",
            strange + 1,
            "write it on one line, in plain characters and blanks",
        )
    bare = _STRINGS.sub(lambda found: found[0][0] + "_" * (len(found[0]) - 2) + found[0][0], text)
    if zero := re.search(r"\\(?:0{1,3}|x00|u0000|U00000000)", text):
        raise ExpressionInvalid("a text cannot hold a zero byte", zero.start() + 1, "leave it out")
    if found := re.search(r"\bhas\s*\(", bare):
        raise ExpressionInvalid("has() means nothing here", found.start() + 1, "missing signals are handled for you")
    if (found := re.search("//", bare)) is not None:
        raise ExpressionInvalid(
            "a comment ends the expression", found.start() + 1, "comments of the file begin with # and a blank"
        )
    return bare


def _engine(checked: CheckedExpression, node: Node) -> Ask:
    """Return a part of an expression as a question to the engine: a value, or what kept it from one."""
    part = _environment.deserialize(checked.part(node))
    expected = _PYTHON.get(node.type)
    certain = expected is bool or expected is int  # no error looks like one

    def ask(known: Known) -> Any:
        said = part.eval(known.prepared or known.activation)
        value = said.value()
        if certain and value.__class__ is expected:
            return value
        if said.type() == cel.Type.ERROR:
            return MISSING if str(value).startswith(_ABSENT) else ERROR
        if isinstance(value, float) and not math.isfinite(value):
            return ERROR
        return value if expected is None or value.__class__ is expected else ERROR

    return ask


def can_be_read(pattern: str) -> bool:
    """Tell whether the engine can read a pattern of ``matches``."""
    environment = cel.NewEnv(variables={"pattern": cel.Type.STRING})
    said = environment.compile('"".matches(pattern)').eval(data={"pattern": pattern}).value()
    return isinstance(said, bool)


def _refuse_numbers(node: Node, native: bool = True) -> None:
    """Refuse numbers that are none, and arithmetic on doubles where nobody would see that its result is none.

    Beside a comparison the product computes and looks; inside macros, calls and lists the engine would, and does not.
    """
    if isinstance(node.value, float) and not math.isfinite(node.value):
        raise ExpressionInvalid("no finite number", node.at + 1, "write a smaller one")
    whole = ("int", "uint", "string", "bytes", "strings", "time")
    arithmetic = node.kind == "call" and node.name in ("_+_", "_-_", "_*_", "_/_") and node.type not in whole
    parsed = node.kind == "call" and node.name == "double" and node.parts[0].type not in ("int", "uint", "double")
    if (arithmetic and not (native and is_native(node))) or (parsed and not native):
        hint = "compare the number itself, as in a / b > 2.0; macros, lists and calls take signals as they are"
        raise ExpressionInvalid(
            "arithmetic whose result could be no finite number, where that is not seen", node.at + 1, hint
        )
    for part in node.parts:
        _refuse_numbers(part, native and is_native(node))


def _invalid(raw: str, bare: str) -> ExpressionInvalid:
    found = _POSITION.search(raw)
    message, column = (found.group(3), int(found.group(2))) if found else (raw.splitlines()[0], 1)
    hint = advice(message, bare)
    if "Syntax error" in message:
        message = message.partition(" expecting ")[0]
    return ExpressionInvalid(message.replace(" (in container '')", ""), column, hint)


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
