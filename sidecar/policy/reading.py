"""Strict YAML 1.2 and the walk through it: whatever is wrong is told with file, line, column and what to write instead.

Every mistake is told, not only the first, as far as reading can go on behind it.
"""

import difflib
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.reader import ReaderError

from sidecar.errors import PolicyInvalid
from sidecar.policy.expressions import Place

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
TOLD = 25  # mistakes of one file; nobody mends more at once

T = TypeVar("T")


def strict_yaml(raw: bytes, name: str) -> Any:
    """Parse YAML 1.2 without anchors, tags, directives and repeated keys. Raises PolicyInvalid."""
    if len(raw) > MAX_BYTES:
        raise _refusal(name, 1, 1, "larger than 1 MiB", "split what is not policy into another file")
    try:
        text = raw.decode()
        if _depth(text) > MAX_DEPTH:
            raise _refusal(name, 1, 1, f"nested deeper than {MAX_DEPTH} levels", "flatten it")
        clever = [
            found for event in YAML(typ="rt", pure=True).parse(StringIO(text)) if (found := _cleverness(event, name))
        ]
        if clever:
            raise PolicyInvalid("\n".join(found.message for found in clever[:TOLD]))
        yaml = YAML(typ="rt", pure=True)
        yaml.Constructor = _Constructor
        return yaml.load(StringIO(text))
    except UnicodeDecodeError:
        raise _refusal(name, 1, 1, "not UTF-8", "save the file as UTF-8") from None
    except DuplicateKeyError as error:
        mark = error.problem_mark
        raise _refusal(name, mark.line + 1, mark.column + 1, "the key stands twice", "keep one") from None
    except MarkedYAMLError as error:
        found = error.problem_mark or error.context_mark
        line, column = (found.line + 1, found.column + 1) if found else (1, 1)
        hint = "check indentation, quotes and brackets on this line and the one before"
        raise _refusal(name, line, column, f"not YAML: {error.problem or error.context}", hint) from None
    except PolicyInvalid:
        raise
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise _refusal(name, line, column, "a character that YAML does not allow", "delete it; save as UTF-8") from None
    except Exception as error:
        # ruamel ends odd files with whatever its own code ran into: TypeError, RecursionError, ...
        message = f"not YAML: {type(error).__name__}"
        raise _refusal(name, 1, 1, message, "the file must be plain YAML 1.2") from None


class _Constructor(RoundTripConstructor):
    """Leaves dates as the texts they are: YAML 1.2 knows no dates, and ruamel drops the zone of a time."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_scalar)


def _cleverness(event: Any, name: str) -> PolicyInvalid | None:
    """Return the refusal of what makes two readers see two files: anchors, merges, tags, directives (1.1 reads ``no`` as false)."""
    mark = event.start_mark
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
        message, hint = "anchors and aliases are not allowed", "repeat the value"
    elif getattr(event, "value", None) == "<<" and not event.style:
        message, hint = "merge keys are not allowed", "write the keys out"
    elif getattr(event, "ctag", None) and str(event.ctag) not in ("None", "!"):
        message, hint = "tags are not allowed", "write the plain value; an expression that begins with ! needs quotes"
    elif getattr(event, "version", None) or getattr(event, "tags", None):
        message, hint = "directives are not allowed", "leave the line out; the file is YAML 1.2"
    else:
        return None
    return _refusal(name, mark.line + 1, mark.column + 1, message, hint)


def _depth(text: str) -> int:
    """Bound the nesting before the parser meets it: thousands of brackets take the parser half a minute to refuse."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


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
        for key in node:
            if key not in takes:
                near = difflib.get_close_matches(str(key), takes, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(takes)}"
                wrong.append(self.error(node, key, f"unknown key {key!r} in {what}", hint))
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

    def text(self, parent: Any, key: Any, what: str | None = None) -> str:
        """Return a text of 1 to 2,000 characters. Raises PolicyInvalid."""
        value = parent[key]
        if not isinstance(value, str) or not 0 < len(value) <= 2000:
            raise self.error(parent, key, f"{what or key} must be a text", "put it in quotes")
        return str(value)

    def texts(self, parent: CommentedMap, key: str) -> tuple[str, ...]:
        """Return a list of texts. Raises PolicyInvalid."""
        node = self.list(parent, key)
        return tuple(self.text(node, index, f"each entry of {key}") for index in range(len(node)))

    def number(self, parent: CommentedMap, key: str, low: float, high: float) -> float:
        """Return a number within bounds. Raises PolicyInvalid."""
        value = parent[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
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
        try:
            if isinstance(value, str) and len(value) == len("2027-01-31"):
                day = date.fromisoformat(value)
                return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
            if isinstance(value, str) and (found := datetime.fromisoformat(value)).tzinfo is not None:
                return found.timestamp()
        except (ValueError, OverflowError):
            pass
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
