"""Strict YAML 1.2 and the walk through it: whatever is wrong is told with file, line, column and what to write instead.

Every mistake is told, not only the first, as far as reading can go on behind it.
"""

import difflib
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from io import StringIO
from itertools import islice
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.tokens import (
    AliasToken,
    AnchorToken,
    BlockEndToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    DirectiveToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
    ScalarToken,
    TagToken,
)

from sidecar.errors import PolicyInvalid
from sidecar.policy.expressions import Place

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
TOLD = 25  # mistakes of one file; nobody mends more at once

_OPENING = (BlockMappingStartToken, BlockSequenceStartToken, FlowMappingStartToken, FlowSequenceStartToken)
_CLOSING = (BlockEndToken, FlowMappingEndToken, FlowSequenceEndToken)
# Control characters, what some readers take for the end of a line and others do not (a carriage return alone, U+0085,
# U+2028), and what makes a line read otherwise than it looks: marks of direction and of no width. ruamel refuses some.
_UNSEEN = re.compile(
    "\r(?!\n)|[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\uffff\ud800-\udfff]"
)
YEARS = range(2000, 2100)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)")
_QUOTED = re.compile("[\u2018\u2019\u201c\u201d\u201e\u00ab].*|\"[^\"]*\"|'[^']*'")
_SMART_QUOTES = re.compile("[\u2018\u2019\u201c\u201d]")

T = TypeVar("T")


def strict_yaml(raw: bytes, name: str) -> Any:
    """Parse YAML 1.2 without anchors, tags, directives and repeated keys. Raises PolicyInvalid."""
    if len(raw) > MAX_BYTES:
        raise _refusal(name, 1, 1, "larger than 1 MiB", "split what is not policy into another file")
    text = _decoded(raw, name)
    clever: list[PolicyInvalid] = []
    try:
        clever.extend(islice(_cleverness(text, name), TOLD))
        if not clever:
            yaml = YAML(typ="rt", pure=True)
            yaml.Constructor = _Constructor
            return yaml.load(StringIO(text))
    except PolicyInvalid as found:
        clever.append(found)
    except DuplicateKeyError as error:
        mark = error.problem_mark
        raise _refusal(name, mark.line + 1, mark.column + 1, "the key stands twice", "keep one") from None
    except MarkedYAMLError as error:
        # A key without its colon is noticed lines later; the context is where it stands.
        late = "expected ':'" in str(error.problem)
        found_at = (error.context_mark if late else error.problem_mark) or error.problem_mark or error.context_mark
        line, column = (found_at.line + 1, found_at.column + 1) if found_at else (1, 1)
        message = f"not YAML: {error.problem or error.context}"
        raise _refusal(name, line, column, message, _advice(text, line)) from None
    except Exception as error:
        # ruamel ends odd files with whatever its own code ran into: TypeError, RecursionError, ...
        message = f"not YAML: {type(error).__name__}"
        raise _refusal(name, 1, 1, message, "the file must be plain YAML 1.2") from None
    raise PolicyInvalid("\n".join(found.message for found in clever))


def _decoded(raw: bytes, name: str) -> str:
    """Return the text of a file without its byte order mark. Raises PolicyInvalid at what people cannot see or YAML cannot read."""
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise _refusal(name, 1, 1, "the file is UTF-16", "save the file as UTF-8")
    try:
        text = raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode().removeprefix("\ufeff")
        line, column = _after(before)
        message = f"not UTF-8: the byte 0x{raw[error.start]:02x}"
        raise _refusal(name, line, column, message, "save the file as UTF-8") from None
    if found := _UNSEEN.search(text):
        line, column = _after(text[: found.start()])
        if found[0] == "\r":
            raise _refusal(name, line, column, "a carriage return alone", "end lines with LF or CR LF")
        message = f"a character that nobody sees or YAML does not allow, U+{ord(found[0]):04X}"
        raise _refusal(name, line, column, message, "delete it; save as UTF-8")
    return text


def _after(before: str) -> tuple[int, int]:
    """Return line and column, from 1, of what follows a text."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _advice(text: str, line: int) -> str:
    """Say what to look at where YAML cannot be read."""
    lines = text.split("\n")
    here = lines[line - 1] if line <= len(lines) else ""
    indented = here[: len(here) - len(here.lstrip())]
    if "\t" in indented or (here.lstrip(" ").startswith("\t")):
        return "check indentation: YAML is indented by blanks, never by tabs"
    if here.strip() and ":" not in here and not here.lstrip().startswith(("-", "[", "{", "'", '"')):
        return "check indentation, quotes and brackets; a key is followed by a colon and a blank"
    if re.match(r"\s*[\w.]+:\S", here) or re.match(r"\s*-\w", here):
        return "check indentation, quotes and brackets; a blank follows a colon, and a dash"
    if _SMART_QUOTES.search(here):
        return "check indentation, quotes and brackets; write straight quotes"
    return "check indentation, quotes and brackets on this line and the one before"


class _Constructor(RoundTripConstructor):
    """Leaves dates as the texts they are: YAML 1.2 knows no dates, and ruamel drops the zone of a time."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_scalar)


def _cleverness(text: str, name: str) -> Iterable[PolicyInvalid]:
    """Yield a refusal for all that makes two readers see two files: anchors, merges, tags, directives.

    Looks at tokens, where nothing is resolved yet: ``! a`` is the text ``a`` to the parser, and ``%FOO`` nothing at all.
    Raises PolicyInvalid at the bracket or dash that nests too deep, before the parser pays for what is inside.
    """
    depth = 0
    for token in YAML(typ="rt", pure=True).scan(StringIO(text)):
        line, column = token.start_mark.line + 1, token.start_mark.column + 1
        if isinstance(token, _OPENING):
            depth += 1
            if depth > MAX_DEPTH:
                raise _refusal(name, line, column, f"nested deeper than {MAX_DEPTH} levels", "flatten it")
        elif isinstance(token, _CLOSING):
            depth -= 1
        elif isinstance(token, AnchorToken | AliasToken):
            yield _refusal(name, line, column, "anchors and aliases are not allowed", "repeat the value")
        elif isinstance(token, TagToken):
            hint = "write the plain value; an expression that begins with ! needs quotes"
            yield _refusal(name, line, column, "tags are not allowed", hint)
        elif isinstance(token, DirectiveToken):
            hint = "leave the line out; the file is YAML 1.2"
            yield _refusal(name, line, column, "directives are not allowed", hint)
        elif isinstance(token, ScalarToken) and token.plain and token.value == "<<":
            yield _refusal(name, line, column, "merge keys are not allowed", "write the keys out")


class _Refused(PolicyInvalid):
    """One mistake, with its place."""

    def __init__(self, name: str, at: Place, message: str, hint: str) -> None:
        super().__init__(f"{name}:{at.line}:{at.column}: {message}; hint: {hint}")
        self.at = at


def _refusal(name: str, line: int, column: int, message: str, hint: str) -> PolicyInvalid:
    return _Refused(name, Place(line, column), message, hint)


class YamlReader:
    """Walks parsed YAML; carries the file's name so that each refusal can say where."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[tuple[Place, PolicyInvalid]] = []

    @property
    def mistakes(self) -> int:
        """How many mistakes were found so far."""
        return len(self._found)

    def tried(self, read: Callable[[], T], instead: T) -> T:
        """Read a part; a mistake in it is kept, and reading goes on with ``instead``."""
        try:
            return read()
        except _Refused as refused:
            self._found.append((refused.at, refused))
            return instead

    def settled(self, read: Callable[[], T]) -> T:
        """Read a whole file. Raises PolicyInvalid with every mistake found, a line each, in the order of the file."""
        try:
            whole = read()
        except _Refused as refused:
            self._found.append((refused.at, refused))
        else:
            if not self._found:
                return whole
        ordered = sorted(self._found, key=lambda found: (found[0].line, found[0].column))
        lines = list(dict.fromkeys(refused.message for _, refused in ordered))
        more = [f"and {len(lines) - TOLD} more"] if len(lines) > TOLD else []
        raise PolicyInvalid("\n".join([*lines[:TOLD], *more]))

    def map(
        self,
        node: Any,
        at: tuple[Any, Any] | None,
        what: str,
        *,
        required: tuple[str, ...],
        optional: tuple[str, ...] = (),
    ) -> CommentedMap:
        """Return a mapping with all of the required keys and none that are unknown. Raises PolicyInvalid."""
        takes = required + optional
        if not isinstance(node, CommentedMap):
            parent, key = at or (None, None)
            raise self.error(parent, key, f"{what} must be a mapping", f"its keys are {', '.join(takes)}")
        wrong: list[PolicyInvalid] = []
        meant = set()  # misspelt; that it is missing, too, would be said twice
        for key in islice((key for key in node if key not in takes), TOLD + 1):
            near = difflib.get_close_matches(str(key)[:100], takes, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(takes)}"
            wrong.append(self.error(node, key, f"unknown key {str(key)[:100]!r} in {what}", hint))
            meant.update(near)
        parent, place = at or (node, None)
        missing = [key for key in required if key not in node]
        wrong += [
            self.error(parent, place, f"{what} needs {key!r}", f"add a line {key}: ...")
            for key in missing
            if key not in meant
        ]
        if missing:
            *others, last = wrong
            self._keep(others)
            raise last
        self._keep(wrong)
        return node

    def _keep(self, refusals: Iterable[PolicyInvalid]) -> None:
        self._found += [(found.at, found) for found in refusals if isinstance(found, _Refused)]

    def list(self, parent: Any, key: Any, *, allow_empty: bool = False) -> CommentedSeq:
        """Return a list, by default not an empty one. Raises PolicyInvalid."""
        node = parent[key]
        if not isinstance(node, CommentedSeq) or not (node or allow_empty):
            hint = "write the entries on lines that begin with a dash"
            raise self.error(parent, key, f"{key} must be a list with at least one entry", hint)
        return node

    def text(self, parent: Any, key: Any, what: str | None = None, *, prose: bool = False) -> str:
        """Return a text of 1 to 2,000 characters. ``prose``: for people, who may break lines. Raises PolicyInvalid."""
        value = parent[key]
        if not isinstance(value, str) or not 0 < len(value) <= 2000:
            raise self.error(parent, key, f"{what or key} must be a text", "put it in quotes")
        if not value.strip():
            raise self.error(parent, key, f"{what or key} is blank", "write something, or leave the line out")
        if strange := None if prose else next((one for one in value if not one.isprintable()), None):
            message = f"{what or key} holds a character that cannot be printed, U+{ord(strange):04X}"
            raise self.error(parent, key, message, "write it in plain characters")
        if not prose and value != value.strip():
            raise self.error(parent, key, f"{what or key} begins or ends with a blank", "take it away")
        if not prose and _QUOTED.fullmatch(value):
            hint = "take them away; quotes of YAML are straight, and stand once"
            raise self.error(parent, key, f"{what or key} has quotes within", hint)
        return str(value)

    def texts(self, parent: CommentedMap, key: str) -> tuple[str, ...]:
        """Return a list of texts. Raises PolicyInvalid."""
        node = self.list(parent, key)
        return tuple(self.text(node, index, f"each entry of {key}") for index in range(len(node)))

    def number(self, parent: CommentedMap, key: str, low: float, high: float) -> float:
        """Return a number within bounds. Raises PolicyInvalid."""
        value = parent[key]
        # 0x1, 0o7, 1_0 and 09 are numbers to YAML, and not what people read there.
        plain = type(value) is int or (isinstance(value, float) and not getattr(value, "_underscore", None))
        if not plain or not low <= value <= high:
            hint = f"write a plain number such as {low}"
            raise self.error(parent, key, f"{key} must be a number from {low} to {high}", hint)
        return float(value)

    def one_of(self, parent: Any, key: Any, values: Iterable[str], what: str | None = None) -> str:
        """Return one of a set of words. Raises PolicyInvalid."""
        takes = tuple(str(value) for value in values)
        value = parent[key]
        if not isinstance(value, str) or value not in takes:
            raise self.error(parent, key, f"{what or key} cannot be {value!r}", f"write {', '.join(takes)}")
        return str(value)

    def flag(self, parent: CommentedMap, key: str) -> bool:
        """Return true or false, as a YAML boolean only. Raises PolicyInvalid."""
        value = parent[key]
        if not isinstance(value, bool):
            raise self.error(parent, key, f"{key} is true or false", "without quotes; yes, no, on and 1 do not count")
        return value

    def moment(self, parent: CommentedMap, key: str) -> float:
        """Return epoch seconds of a date (its first moment in UTC) or of a time with its zone. Raises PolicyInvalid."""
        value = parent[key]
        found = None
        try:
            if isinstance(value, str) and _DATE.fullmatch(value):
                day = date.fromisoformat(value)
                found = datetime(day.year, day.month, day.day, tzinfo=UTC)
            elif isinstance(value, str) and _TIME.fullmatch(value):
                found = datetime.fromisoformat(value)
        except ValueError:
            pass
        if found is not None and found.year in YEARS:
            return found.timestamp()
        if found is not None:
            message = f"{key} is a date of the year {found.year:04d}"
            raise self.error(parent, key, message, f"write one from {YEARS[0]} to {YEARS[-1]}")
        raise self.error(parent, key, f"{key} must be a date", "write 2027-01-31, or 2027-01-31T18:00:00Z")

    def place(self, parent: Any, key: Any) -> Place:
        """Return where a key or an entry stands."""
        line = column = 0
        if isinstance(parent, CommentedMap) and key in parent:
            line, column = parent.lc.key(key)
        elif isinstance(parent, CommentedSeq) and isinstance(key, int):
            line, column = parent.lc.item(key)
        elif parent is not None and parent.lc.line is not None:
            line, column = parent.lc.line, parent.lc.col
        return Place(line + 1, column + 1)

    def error(self, parent: Any, key: Any, message: str, hint: str) -> PolicyInvalid:
        """Return the refusal of what stands at a key."""
        at = self.place(parent, key)
        return _Refused(self._name, at, message, hint)
