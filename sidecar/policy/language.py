"""The policy file: YAML 1.2, strictly read. Every refusal names file, line, column and what to write instead.

What no evidence (each cause), a profile that is still learning, and an error lead to is part of the file and required;
the code holds no default for them.
"""

import difflib
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from io import StringIO
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.reader import ReaderError

from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import Action, Consequence, Effect, Outcome
from sidecar.errors import PolicyInvalid
from sidecar.policy.expressions import ExpressionInvalid, Leaf, Place, compile_leaf
from sidecar.policy.membership import LIST_SIGNALS, Listed, ListKind, NamedList, OneOf, networks_of
from sidecar.policy.registry import SIGNALS
from sidecar.policy.shapes import impossible, shape

SCHEMA = 1
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_CONDITION_DEPTH = 16
INSUFFICIENT = ("none", "learning", "stale")
VERBS = ("trust", *Action)
MODES = ("enforce", "shadow")
SKIP = "skip"
SCOPES = {
    "idps": "idp.issuer",
    "realms": "idp.realm",
    "clients": "client.id",
    "roles": "user.roles",
    "groups": "user.groups",
    "users": "user.id",
}
# What every decision reads, whatever the rules say.
ALWAYS_READ = ("client.floor", "keystroke.cause", "keystroke.outcome", "profile.state")
_IDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_COUNTRY = re.compile(r"[A-Z]{2}")

Joint = Literal["all", "any", "not"]
Mode = Literal["enforce", "shadow"]
AuditFull = Literal["continue", "error"]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """``all``, ``any`` or ``not`` over leaves, list look-ups and further conditions. Never empty."""

    joint: Joint
    parts: tuple["Part", ...]


Part = Condition | Leaf | Listed | OneOf


@dataclass(frozen=True, slots=True, eq=False)
class Exemption:
    """Whom a rule leaves alone, and until when. ``expires``: epoch seconds from which it no longer holds."""

    id: str
    owner: str
    reason: str
    expires: float
    who: Condition
    at: Place


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule: the first enforced one whose condition is true decides.

    ``scope``: whom it is about; None means everybody. ``on_error``, ``on_missing``: the least that is asked where the rule
    meets an error or a missing value; None asks nothing (``skip``). ``since``: epoch seconds, for a rule in shadow.
    """

    id: str
    description: str
    owner: str
    mode: Mode
    since: float | None
    scope: Condition | None
    when: Condition
    then: Consequence
    on_error: Consequence | None
    on_missing: Consequence | None
    exceptions: tuple[Exemption, ...]
    at: Place


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A parsed and type-checked policy.

    ``mismatch_from``: LLR (nat) at and above which typing counts as a mismatch. ``prior``: probability of an impostor
    before any evidence. ``outcomes`` maps ``match``, ``mismatch``, ``insufficient.<state>``, ``unavailable.<cause>`` and
    ``error`` to their consequences. ``audit_full``: whether a decision goes on or is an error when the buffered audit
    queue is full. ``signals``: every signal that an evaluation reads. ``digest``: SHA-256 (hex) of the file's bytes.
    """

    id: str
    description: str
    prior: float
    mismatch_from: float
    rules: tuple[Rule, ...]
    outcomes: Mapping[str, Consequence]
    lists: Mapping[str, NamedList]
    audit_full: AuditFull
    signals: tuple[str, ...]
    digest: str


def outcome_key(outcome: Outcome, detail: str | None = None) -> str:
    """Name an entry of ``Policy.outcomes``."""
    return f"{outcome}.{detail}" if outcome in (Outcome.INSUFFICIENT, Outcome.UNAVAILABLE) else str(outcome)


def load(path: Path) -> Policy:
    """Read and parse a policy file. Raises PolicyInvalid."""
    return parse(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Read a file of a policy, at most a byte more than is accepted. Raises PolicyInvalid."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyInvalid(f"{path}:1:1: cannot be read: {error.strerror}; hint: name a file that exists") from None


def parse(raw: bytes, name: str = "policy") -> Policy:
    """Parse the bytes of a policy file. Raises PolicyInvalid with file, line, column and a hint."""
    return PolicyReader(name).read(strict_yaml(raw, name), hashlib.sha256(raw).hexdigest())


def strict_yaml(raw: bytes, name: str) -> Any:
    """Parse YAML 1.2 without anchors, tags, directives and repeated keys. Raises PolicyInvalid."""
    if len(raw) > MAX_BYTES:
        raise _refusal(name, 1, 1, "larger than 1 MiB", "split what is not policy into another file")
    try:
        text = raw.decode()
        if _depth(text) > MAX_DEPTH:
            raise _refusal(name, 1, 1, f"nested deeper than {MAX_DEPTH} levels", "flatten it")
        for event in YAML(typ="rt", pure=True).parse(StringIO(text)):
            _refuse_cleverness(event, name)
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


def _refuse_cleverness(event: Any, name: str) -> None:
    """Refuse what makes two readers see two files: anchors, merges, tags, and directives (YAML 1.1 reads ``no`` as false)."""
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
        return
    raise _refusal(name, mark.line + 1, mark.column + 1, message, hint)


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


def _refusal(name: str, line: int, column: int, message: str, hint: str) -> PolicyInvalid:
    return PolicyInvalid(f"{name}:{line}:{column}: {message}; hint: {hint}")


class YamlReader:
    """Walks parsed YAML; carries the file's name so that each refusal can say where."""

    def __init__(self, name: str) -> None:
        self._name = name

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
        for key in node:
            if key not in takes:
                near = difflib.get_close_matches(str(key), takes, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(takes)}"
                raise self.error(node, key, f"unknown key {key!r} in {what}", hint)
        for key in required:
            if key not in node:
                parent, place = at or (node, None)
                raise self.error(parent, place, f"{what} needs {key!r}", f"add a line {key}: ...")
        return node

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
        return _refusal(self._name, at.line, at.column, message, hint)


class PolicyReader(YamlReader):
    """Reads one policy file into a ``Policy``."""

    def read(self, tree: Any, digest: str) -> Policy:
        """Read the parsed YAML. Raises PolicyInvalid."""
        top = self.map(
            tree,
            None,
            "policy",
            required=("schema", "id", "prior", "bands", "rules", "outcomes"),
            optional=("description", "behavior_may_deny", "audit", "lists"),
        )
        if type(top["schema"]) is not int or top["schema"] != SCHEMA:
            raise self.error(top, "schema", f"this version reads schema: {SCHEMA}", f"write schema: {SCHEMA}")
        self._may_deny = "behavior_may_deny" in top and self.flag(top, "behavior_may_deny")
        bands = self.map(top["bands"], (top, "bands"), "bands", required=("keystroke",))
        keystroke = self.map(bands["keystroke"], (bands, "keystroke"), "bands.keystroke", required=("mismatch_from",))
        self._lists = self._named_lists(top)
        rules = self._rules(top)
        return Policy(
            id=self._id(top, "id", "policy ids"),
            description=self.text(top, "description") if "description" in top else "",
            prior=self.number(top, "prior", 0.0001, 0.5),
            mismatch_from=self.number(keystroke, "mismatch_from", -6.0, 6.0),
            rules=rules,
            outcomes=self._outcomes(top),
            lists=self._lists,
            audit_full=self._audit(top),
            signals=_signals(rules),
            digest=digest,
        )

    def _audit(self, top: CommentedMap) -> AuditFull:
        if "audit" not in top:
            return "error"
        audit = self.map(top["audit"], (top, "audit"), "audit", required=("full",))
        return "continue" if self.one_of(audit, "full", ("continue", "error")) == "continue" else "error"

    def _id(self, body: CommentedMap, key: str, what: str) -> str:
        found = self.text(body, key)
        if not _IDS.fullmatch(found):
            hint = "letters, digits, - and _, 64 at most, as in new-device"
            raise self.error(body, key, f"{what} are unique and hold no dot", hint)
        return found

    def _named_lists(self, top: CommentedMap) -> dict[str, NamedList]:
        if "lists" not in top:
            return {}
        node = top["lists"]
        if not isinstance(node, CommentedMap) or not node:
            raise self.error(top, "lists", "lists must be a mapping", "from a list's name to its entries")
        return {str(name): self._named_list(node, name) for name in node}

    def _named_list(self, node: CommentedMap, name: Any) -> NamedList:
        if not isinstance(name, str) or not _IDS.fullmatch(name):
            raise self.error(node, name, "names of lists hold no dot", "letters, digits, - and _, as in head-office")
        kinds = tuple(LIST_SIGNALS)
        body = self.map(node[name], (node, name), f"list {name}", required=("owner", "expires"), optional=kinds)
        given = [kind for kind in kinds if kind in body]
        if len(given) != 1:
            raise self.error(node, name, f"a list holds one of {', '.join(kinds)}", "make two lists of it")
        kind: ListKind = given[0]
        entries = self.texts(body, kind)
        networks = [self._network(body[kind], index) for index in range(len(entries))] if kind == "cidrs" else []
        if kind == "countries":
            for index, entry in enumerate(entries):
                if not _COUNTRY.fullmatch(entry):
                    raise self.error(body[kind], index, f"{entry!r} is no country", "two capitals, as in DE or NO")
        return NamedList(
            name=name,
            kind=kind,
            entries=entries,
            owner=self.text(body, "owner"),
            expires=None if body["expires"] == "never" else self.moment(body, "expires"),
            at=self.place(node, name),
            networks=networks_of(networks),
        )

    def _network(self, entries: CommentedSeq, index: int) -> IPv4Network | IPv6Network:
        try:
            return ip_network(entries[index])
        except ValueError as error:
            hint = "write 192.0.2.0/24 or 2001:db8::/32, the bits after the prefix zero"
            raise self.error(entries, index, f"{error}", hint) from None

    def _rules(self, top: CommentedMap) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        for index in range(len(self.list(top, "rules", allow_empty=True))):
            rule = self._rule(top["rules"], index)
            if any(rule.id == other.id for other in rules):
                raise self.error(top["rules"][index], "id", "rule ids are unique and hold no dot", "choose another id")
            rules.append(rule)
        return tuple(rules)

    def _rule(self, parent: CommentedSeq, index: int) -> Rule:
        body = self.map(
            parent[index],
            (parent, index),
            "rule",
            required=("id", "when", "then"),
            optional=("description", "owner", "mode", "since", "scope", "on_error", "on_missing", "exceptions"),
        )
        rule_id = self._id(body, "id", "rule ids")
        mode: Mode = "shadow" if "mode" in body and self.one_of(body, "mode", MODES) == "shadow" else "enforce"
        if mode == "shadow" and "since" not in body:
            raise self.error(body, "mode", "a rule in shadow says since when", "add since: with today's date")
        if mode == "enforce" and "since" in body:
            raise self.error(body, "since", "since: belongs to mode: shadow", "leave the line out")
        rule = Rule(
            id=rule_id,
            description=self.text(body, "description") if "description" in body else "",
            owner=self.text(body, "owner") if "owner" in body else "",
            mode=mode,
            since=self.moment(body, "since") if mode == "shadow" else None,
            scope=self._scope(body, "scope", tuple(key for key in SCOPES if key != "users"))
            if "scope" in body
            else None,
            when=self._condition(body, "when", 1),
            then=self._consequence(body, "then"),
            on_error=self._least(body, "on_error"),
            on_missing=self._least(body, "on_missing"),
            exceptions=self._exceptions(body) if "exceptions" in body else (),
            at=self.place(parent, index),
        )
        self._refuse_silent_deny(rule, body)
        return rule

    def _scope(self, parent: CommentedMap, key: Any, names: tuple[str, ...]) -> Condition:
        body = self.map(parent[key], (parent, key), key, required=(), optional=(*names, "networks"))
        if not body:
            raise self.error(
                parent, key, f"{key} is empty", f"name one of {', '.join((*names, 'networks'))}, or leave it out"
            )
        return self._people(body, names)

    def _people(self, body: CommentedMap, names: tuple[str, ...]) -> Condition:
        """Everything that narrows: all of the keys must hold, one entry of each suffices."""
        parts: list[Part] = []
        for name in body:
            if name in names:
                parts.append(OneOf(SCOPES[name], self.texts(body, name), self.place(body, name)))
            elif name == "networks":
                found = [self._listed(body[name], index, "cidrs") for index in range(len(self.list(body, name)))]
                parts.append(Condition("any", tuple(found)))
        return Condition("all", tuple(parts))

    def _listed(self, parent: Any, key: Any, kind: ListKind | None = None) -> Listed:
        name = self.text(parent, key, "the name of a list")
        if name not in self._lists:
            near = difflib.get_close_matches(name, self._lists, n=1)
            hint = f"did you mean {near[0]}?" if near else "name it under lists:"
            raise self.error(parent, key, f"there is no list {name!r}", hint)
        if kind is not None and self._lists[name].kind != kind:
            raise self.error(parent, key, f"{name} is a list of {self._lists[name].kind}", f"name a list of {kind}")
        return Listed(self._lists[name], self.place(parent, key))

    def _exceptions(self, body: CommentedMap) -> tuple[Exemption, ...]:
        found: list[Exemption] = []
        names = tuple(SCOPES)
        for index, item in enumerate(self.list(body, "exceptions")):
            at = (body["exceptions"], index)
            entry = self.map(
                item,
                at,
                "exception",
                required=("id", "owner", "expires"),
                optional=("reason", *names, "networks", "listed"),
            )
            exception_id = self._id(entry, "id", "exception ids")
            if any(exception_id == other.id for other in found):
                raise self.error(entry, "id", "exception ids are unique and hold no dot", "choose another id")
            who = self._people(entry, names)
            if "listed" in entry:
                who = replace(who, parts=(*who.parts, self._listed(entry, "listed")))
            if not who.parts:
                hint = f"add one of {', '.join((*names, 'networks', 'listed'))}"
                raise self.error(*at, "the exception says for nobody", hint)
            expires = self.moment(entry, "expires")
            reason = self.text(entry, "reason") if "reason" in entry else ""
            owner = self.text(entry, "owner")
            found.append(Exemption(exception_id, owner, reason, expires, who, self.place(*at)))
        return tuple(found)

    def _condition(self, parent: Any, key: Any, depth: int) -> Condition:
        node = parent[key]
        hint = "as in all: ['keystroke.outcome == \"mismatch\"']; a look-up is written listed: NAME"
        if not isinstance(node, CommentedMap) or len(node) != 1 or next(iter(node)) not in ("all", "any", "not"):
            raise self.error(parent, key, "a condition is one of all:, any:, not: with a list of expressions", hint)
        if depth > MAX_CONDITION_DEPTH:
            raise self.error(
                parent, key, f"conditions are nested deeper than {MAX_CONDITION_DEPTH}", "make two rules of it"
            )
        joint: Joint = next(iter(node))
        parts = tuple(self._part(node[joint], index, depth) for index in range(len(self.list(node, joint))))
        if joint == "not" and len(parts) != 1:
            raise self.error(
                node, joint, "not: takes exactly one expression", "put them under all: or any: inside not:"
            )
        return Condition(joint, parts)

    def _part(self, parent: CommentedSeq, index: int, depth: int) -> Part:
        part = parent[index]
        if isinstance(part, str):
            return self._leaf(parent, index)
        if isinstance(part, CommentedMap) and list(part) == ["listed"]:
            return self._listed(part, "listed")
        return self._condition(parent, index, depth + 1)

    def _leaf(self, parent: CommentedSeq, index: int) -> Leaf:
        text = str(parent[index])
        try:
            leaf = compile_leaf(text, self.place(parent, index))
        except ExpressionInvalid as error:
            message = f"{error} (at character {error.column} of the expression)"
            raise self.error(parent, index, message, error.hint) from None
        found = shape(text)
        if found is not None and (why := impossible(found)):
            near = difflib.get_close_matches(str(why[1]), found.signal.values, n=1)
            hint = f"did you mean {near[0]}?" if near else "compare with a value that the signal can have"
            raise self.error(parent, index, why[0], hint)
        return leaf

    def _outcomes(self, top: CommentedMap) -> dict[str, Consequence]:
        body = self.map(
            top["outcomes"],
            (top, "outcomes"),
            "outcomes",
            required=("match", "mismatch", "insufficient", "unavailable", "error"),
        )
        found = {name: self._outcome(body, name) for name in ("match", "mismatch", "error")}
        details: tuple[tuple[str, Iterable[str]], ...] = (
            ("insufficient", INSUFFICIENT),
            ("unavailable", [str(cause) for cause in Cause]),
        )
        for name, wanted in details:
            entries = self.map(body[name], (body, name), f"outcomes.{name}", required=tuple(wanted))
            found |= {f"{name}.{entry}": self._outcome(entries, entry) for entry in entries}
        return found

    def _outcome(self, parent: CommentedMap, key: str) -> Consequence:
        found = self._consequence(parent, key)
        if found.action is Action.DENY and not self._may_deny:
            raise self.error(parent, key, f"{key} denies by behaviour", _SAY_DENY)
        return found

    def _consequence(self, parent: CommentedMap, key: str) -> Consequence:
        node = parent[key]
        if isinstance(node, str):
            return self._made(parent, key, None, None, ())
        body = self.map(node, (parent, key), key, required=("action",), optional=("acr_values", "factor", "effects"))
        acr = self.text(body, "acr_values") if "acr_values" in body else None
        factor = self.text(body, "factor") if "factor" in body else None
        if body["action"] != Action.STEP_UP and (acr or factor):
            hint = "leave it out, or write action: step_up"
            raise self.error(body, "acr_values" if acr else "factor", "only step_up names an acr or a factor", hint)
        effects = []
        if "effects" in body:
            for index in range(len(self.list(body, "effects"))):
                effect = Effect(self.one_of(body["effects"], index, Effect, "effects are a closed set; one"))
                if effect in effects:
                    raise self.error(body["effects"], index, f"{effect} stands twice", "name each effect once")
                effects.append(effect)
        return self._made(body, "action", acr, factor, tuple(effects))

    def _made(
        self, parent: CommentedMap, key: str, acr: str | None, factor: str | None, effects: tuple[Effect, ...]
    ) -> Consequence:
        verb = parent[key]
        if not isinstance(verb, str) or verb not in VERBS:
            raise self.error(parent, key, f"{verb!r} is no action", f"write {', '.join(VERBS)}")
        if verb == "trust":
            return Consequence(Action.ALLOW, effects=effects, trust=True)
        if verb == Action.STEP_UP and acr is None and factor is None:
            factor = "second_factor"
        return Consequence(Action(verb), acr, factor, effects)

    def _least(self, body: CommentedMap, key: str) -> Consequence | None:
        """Read ``on_error`` or ``on_missing``. Left out, an error asks ``outcomes.error`` and a missing value nothing."""
        if key not in body:
            return ON_ERROR_OF_THE_FILE if key == "on_error" else None
        if body[key] == SKIP:
            return None
        found = self._consequence(body, key)
        if found.action is Action.ALLOW:
            hint = f"write {SKIP}: the rule is passed over; or step_up, or deny"
            raise self.error(body, key, f"{key} cannot make an answer milder", hint)
        return found

    def _refuse_silent_deny(self, rule: Rule, body: CommentedMap) -> None:
        """POL5: a deny stands on context or a list, and on no behaviour, unless the file says so in so many words."""
        denying = [
            key
            for key, found in (("then", rule.then), ("on_error", rule.on_error), ("on_missing", rule.on_missing))
            if found is not None and found.action is Action.DENY
        ]
        if not denying or self._may_deny:
            return
        kinds = {SIGNALS[name].kind for name in reads(rule)}
        if "behavior" in kinds or not ("context" in kinds or any(isinstance(part, Listed) for part in walk(rule.when))):
            raise self.error(body, denying[0], f"{rule.id} denies by behaviour", _SAY_DENY)


_SAY_DENY = "write behavior_may_deny: true at the top, in so many words, or step_up here"
# Stands for "whatever outcomes.error says" until the evaluation looks it up.
ON_ERROR_OF_THE_FILE = Consequence(Action.STEP_UP, factor="outcomes.error")


def walk(part: Part) -> Iterable[Part]:
    """Yield a condition's leaves and look-ups, in order."""
    if isinstance(part, Condition):
        for child in part.parts:
            yield from walk(child)
    else:
        yield part


def reads(rule: Rule) -> tuple[str, ...]:
    """Return the signals that a rule's condition, scope and exceptions read, in the registry's order."""
    parts = [rule.when, *([rule.scope] if rule.scope else []), *(exception.who for exception in rule.exceptions)]
    names = {name for part in parts for leaf in walk(part) if not isinstance(leaf, Condition) for name in leaf.signals}
    return tuple(name for name in SIGNALS if name in names)


def _signals(rules: Iterable[Rule]) -> tuple[str, ...]:
    wanted = {name for rule in rules for name in reads(rule)} | set(ALWAYS_READ)
    return tuple(name for name in SIGNALS if name in wanted)


def readable_moment(at: float) -> str:
    """Return epoch seconds as a date, or a date and time in UTC."""
    found = datetime.fromtimestamp(math.floor(at), UTC)
    return f"{found:%Y-%m-%d}" if found.time() == found.time().min else f"{found:%Y-%m-%dT%H:%M:%SZ}"
