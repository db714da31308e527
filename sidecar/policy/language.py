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
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import Action, Consequence, Effect, Outcome
from sidecar.errors import PolicyInvalid
from sidecar.policy.expressions import ExpressionInvalid, Leaf, Place, compile_leaf
from sidecar.policy.membership import LIST_SIGNALS, Listed, ListKind, NamedList, OneOf, networks_of
from sidecar.policy.reading import MAX_BYTES, YamlReader, strict_yaml
from sidecar.policy.registry import SIGNALS
from sidecar.policy.senseless import refuse_senseless

SCHEMA = 1
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
    """Parse the bytes of a policy file. Raises PolicyInvalid: each mistake with file, line, column, hint."""
    tree, reader = strict_yaml(raw, name), PolicyReader(name)
    return reader.settled(lambda: reader.read(tree, hashlib.sha256(raw).hexdigest()))


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
        # Whoever tried to allow it is told about the flag, not about every rule that relies on it.
        self._may_deny = "behavior_may_deny" in top and self.tried(lambda: self.flag(top, "behavior_may_deny"), True)
        self._unread: set[str] = set()
        self._lists: dict[str, NamedList] = {}
        self._lists = self.tried(lambda: self._named_lists(top), self._lists)
        no_rules: tuple[Rule, ...] = ()
        rules = self.tried(lambda: self._rules(top), no_rules)
        return Policy(
            id=self.tried(lambda: self._id(top, "id", "policy ids"), ""),
            description=self.tried(lambda: self.text(top, "description"), "") if "description" in top else "",
            prior=self.tried(lambda: self.number(top, "prior", 0.0001, 0.5), 0.5),
            mismatch_from=self.tried(lambda: self._mismatch_from(top), 0.0),
            rules=rules,
            outcomes=self.tried(lambda: self._outcomes(top), {}),
            lists=self._lists,
            audit_full=self.tried(lambda: self._audit(top), "error"),
            signals=_signals(rules),
            digest=digest,
        )

    def _mismatch_from(self, top: CommentedMap) -> float:
        bands = self.map(top["bands"], (top, "bands"), "bands", required=("keystroke",))
        keystroke = self.map(bands["keystroke"], (bands, "keystroke"), "bands.keystroke", required=("mismatch_from",))
        return self.number(keystroke, "mismatch_from", -6.0, 6.0)

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
        found = {}
        for name in node:
            read = self.tried(lambda name=name: self._named_list(node, name), None)  # type: ignore[misc]
            if read is None:
                self._unread.add(str(name))  # so that those who name it are not told that there is none
            else:
                found[str(name)] = read
        return found

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
            for index in range(len(entries)):
                self.tried(partial(self._country, body[kind], index), None)
        return NamedList(
            name=name,
            kind=kind,
            entries=entries,
            owner=self.text(body, "owner"),
            expires=None if body["expires"] == "never" else self.moment(body, "expires"),
            at=self.place(node, name),
            networks=networks_of(networks),
        )

    def _country(self, entries: CommentedSeq, index: int) -> None:
        if not _COUNTRY.fullmatch(entries[index]):
            raise self.error(entries, index, f"{entries[index]!r} is no country", "two capitals, as in DE or NO")

    def _network(self, entries: CommentedSeq, index: int) -> IPv4Network | IPv6Network:
        try:
            return ip_network(entries[index])
        except ValueError as error:
            hint = "write 192.0.2.0/24 or 2001:db8::/32, the bits after the prefix zero"
            raise self.error(entries, index, f"{error}", hint) from None

    def _rules(self, top: CommentedMap) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        for index in range(len(self.list(top, "rules", allow_empty=True))):
            rule = self.tried(partial(self._rule, top["rules"], index), None)
            if rule is not None and any(rule.id == other.id for other in rules):
                self.tried(partial(self._twice, top["rules"][index], "rule"), None)
            elif rule is not None:
                rules.append(rule)
        return tuple(rules)

    def _twice(self, body: CommentedMap, what: str) -> None:
        raise self.error(body, "id", f"{what} ids are unique and hold no dot", "choose another id")

    def _rule(self, parent: CommentedSeq, index: int) -> Rule | None:
        before = self.mistakes
        body = self.map(
            parent[index],
            (parent, index),
            "rule",
            required=("id", "when", "then"),
            optional=("description", "owner", "mode", "since", "scope", "on_error", "on_missing", "exceptions"),
        )
        scopes = tuple(key for key in SCOPES if key != "users")
        enforced: tuple[Mode, float | None] = ("enforce", None)
        mode, since = self.tried(lambda: self._mode(body), enforced)
        empty = Condition("all", ())
        rule = Rule(
            id=self.tried(lambda: self._id(body, "id", "rule ids"), ""),
            description=self.tried(lambda: self.text(body, "description"), "") if "description" in body else "",
            owner=self.tried(lambda: self.text(body, "owner"), "") if "owner" in body else "",
            mode=mode,
            since=since,
            scope=self.tried(lambda: self._scope(body, "scope", scopes), empty) if "scope" in body else None,
            when=self.tried(lambda: self._condition(body, "when", 1), empty),
            then=self.tried(lambda: self._consequence(body, "then"), Consequence(Action.ALLOW)),
            on_error=self.tried(lambda: self._least(body, "on_error"), None),
            on_missing=self.tried(lambda: self._least(body, "on_missing"), None),
            exceptions=self.tried(lambda: self._exceptions(body), ()) if "exceptions" in body else (),
            at=self.place(parent, index),
        )
        if self.mistakes > before:
            return None  # what the rest means cannot be told
        self._refuse_silent_deny(rule, body)
        return rule

    def _mode(self, body: CommentedMap) -> tuple[Mode, float | None]:
        mode: Mode = "shadow" if "mode" in body and self.one_of(body, "mode", MODES) == "shadow" else "enforce"
        if mode == "shadow" and "since" not in body:
            raise self.error(body, "mode", "a rule in shadow says since when", "add since: with today's date")
        if mode == "enforce" and "since" in body:
            raise self.error(body, "since", "since: belongs to mode: shadow", "leave the line out")
        return mode, self.moment(body, "since") if mode == "shadow" else None

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
                read = [
                    self.tried(partial(self._listed, body[name], index, "cidrs"), None)
                    for index in range(len(self.list(body, name)))
                ]
                parts.append(Condition("any", tuple(found for found in read if found is not None)))
        return Condition("all", tuple(parts))

    def _listed(self, parent: Any, key: Any, kind: ListKind | None = None) -> Listed | None:
        name = self.text(parent, key, "the name of a list")
        if name in self._unread:
            return None
        if name not in self._lists:
            near = difflib.get_close_matches(name, self._lists, n=1)
            hint = f"did you mean {near[0]}?" if near else "name it under lists:"
            raise self.error(parent, key, f"there is no list {name!r}", hint)
        if kind is not None and self._lists[name].kind != kind:
            raise self.error(parent, key, f"{name} is a list of {self._lists[name].kind}", f"name a list of {kind}")
        return Listed(self._lists[name], self.place(parent, key))

    def _exceptions(self, body: CommentedMap) -> tuple[Exemption, ...]:
        found: list[Exemption] = []
        for index in range(len(self.list(body, "exceptions"))):
            read = self.tried(partial(self._exception, body["exceptions"], index), None)
            if read is not None and any(read.id == other.id for other in found):
                self.tried(partial(self._twice, body["exceptions"][index], "exception"), None)
            elif read is not None:
                found.append(read)
        return tuple(found)

    def _exception(self, parent: CommentedSeq, index: int) -> Exemption:
        at, names = (parent, index), tuple(SCOPES)
        entry = self.map(
            parent[index],
            at,
            "exception",
            required=("id", "owner", "expires"),
            optional=("reason", *names, "networks", "listed"),
        )
        exception_id = self._id(entry, "id", "exception ids")
        who = self._people(entry, names)
        if "listed" in entry and (listed := self._listed(entry, "listed")):
            who = replace(who, parts=(*who.parts, listed))
        if not who.parts and "listed" not in entry:
            hint = f"add one of {', '.join((*names, 'networks', 'listed'))}"
            raise self.error(*at, "the exception says for nobody", hint)
        expires = self.moment(entry, "expires")
        reason = self.text(entry, "reason") if "reason" in entry else ""
        return Exemption(exception_id, self.text(entry, "owner"), reason, expires, who, self.place(*at))

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
        count = len(self.list(node, joint))
        read = [self.tried(partial(self._part, node[joint], index, depth), None) for index in range(count)]
        if joint == "not" and count != 1:
            raise self.error(
                node, joint, "not: takes exactly one expression", "put them under all: or any: inside not:"
            )
        return Condition(joint, tuple(part for part in read if part is not None))

    def _part(self, parent: CommentedSeq, index: int, depth: int) -> Part | None:
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
            refuse_senseless(leaf)
        except ExpressionInvalid as error:
            message = f"{error} (at character {error.column} of the expression)"
            raise self.error(parent, index, message, error.hint) from None
        return leaf

    def _outcomes(self, top: CommentedMap) -> dict[str, Consequence]:
        body = self.map(
            top["outcomes"],
            (top, "outcomes"),
            "outcomes",
            required=("match", "mismatch", "insufficient", "unavailable", "error"),
        )
        nothing = Consequence(Action.STEP_UP)
        found = {
            name: self.tried(partial(self._outcome, body, name), nothing) for name in ("match", "mismatch", "error")
        }
        details: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("insufficient", INSUFFICIENT),
            ("unavailable", tuple(str(cause) for cause in Cause)),
        )
        for name, wanted in details:
            read = partial(self.map, body[name], (body, name), f"outcomes.{name}", required=tuple(wanted))
            entries: CommentedMap = self.tried(read, CommentedMap())
            found |= {
                f"{name}.{entry}": self.tried(partial(self._outcome, entries, entry), nothing)
                for entry in entries
                if entry in wanted
            }
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
        if not isinstance(node, CommentedMap):
            hint = f"write {', '.join(VERBS)}, or a mapping with action:"
            raise self.error(parent, key, f"{key} must be an action", hint)
        body = self.map(node, (parent, key), key, required=("action",), optional=("acr_values", "factor", "effects"))
        self._verb(body, "action")
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
        verb = self._verb(parent, key)
        if verb == "trust":
            return Consequence(Action.ALLOW, effects=effects, trust=True)
        if verb == Action.STEP_UP and acr is None and factor is None:
            factor = "second_factor"
        return Consequence(Action(verb), acr, factor, effects)

    def _verb(self, parent: CommentedMap, key: str) -> str:
        verb = parent[key]
        if not isinstance(verb, str) or verb not in VERBS:
            near = difflib.get_close_matches(str(verb), VERBS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"write {', '.join(VERBS)}"
            raise self.error(parent, key, f"{verb!r} is no action", hint)
        return verb

    def _least(self, body: CommentedMap, key: str) -> Consequence | None:
        """Read ``on_error`` or ``on_missing``. Left out, an error asks ``outcomes.error`` and a missing value nothing."""
        if key not in body:
            return ON_ERROR_OF_THE_FILE if key == "on_error" else None
        if body[key] == SKIP:
            return None
        hint = f"write {SKIP}: the rule is passed over; or step_up, or deny"
        if isinstance(body[key], str) and body[key] not in VERBS:
            raise self.error(body, key, f"{key} cannot be {body[key]!r}", hint)
        found = self._consequence(body, key)
        if found.action is Action.ALLOW:
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
