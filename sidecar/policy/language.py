"""The policy file: YAML 1.2, strictly read. Every refusal names line, column and what to write instead.

What no evidence (each cause), a profile that is still learning, and an error lead to is part of the file and required;
the code holds no default for them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import Action, Consequence, Effect, Outcome
from sidecar.errors import PolicyInvalid
from sidecar.policy.expressions import ExpressionInvalid, Leaf, compile_leaf

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
INSUFFICIENT = ("none", "learning", "stale")

Joint = Literal["all", "any", "not"]


@dataclass(frozen=True, slots=True)
class Condition:
    """``all``, ``any`` or ``not`` over leaves and further conditions. Never empty."""

    joint: Joint
    parts: tuple["Condition | Leaf", ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the first whose condition is true decides."""

    id: str
    description: str
    when: Condition
    then: Consequence


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed and type-checked policy.

    ``mismatch_from``: LLR (nat) at and above which typing counts as a mismatch. ``prior``: probability of an impostor
    before any evidence. ``outcomes`` maps ``match``, ``mismatch``, ``insufficient.<state>``, ``unavailable.<cause>`` and
    ``error`` to their consequences. ``audit_full``: what a decision becomes when the buffered audit log is full. ``digest``:
    SHA-256 of the file.
    """

    id: str
    description: str
    prior: float
    mismatch_from: float
    rules: tuple[Rule, ...]
    outcomes: Mapping[str, Consequence]
    audit_full: Literal["continue", "error"] = "error"
    digest: str = ""


def outcome_key(outcome: Outcome, detail: str | None = None) -> str:
    """Name an entry of ``Policy.outcomes``."""
    return f"{outcome}.{detail}" if outcome in (Outcome.INSUFFICIENT, Outcome.UNAVAILABLE) else str(outcome)


def load(path: Path) -> Policy:
    """Read and parse a policy file. Raises PolicyInvalid."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PolicyInvalid(f"{path}: cannot be read: {error.strerror}") from None
    return parse(raw, str(path))


def parse(raw: bytes, name: str = "policy") -> Policy:
    """Parse the bytes of a policy file. Raises PolicyInvalid with file, line, column and a hint."""
    return replace(_Reader(name).read(_yaml(raw, name)), digest=hashlib.sha256(raw).hexdigest())


def _yaml(raw: bytes, name: str) -> Any:
    if len(raw) > MAX_BYTES:
        raise PolicyInvalid(f"{name}:1:1: larger than 1 MiB")
    try:
        text = raw.decode()
        if _depth(text) > MAX_DEPTH:
            raise PolicyInvalid(f"{name}:1:1: nested deeper than {MAX_DEPTH} levels")
        for event in YAML(typ="rt", pure=True).parse(StringIO(text)):
            if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
                mark = event.start_mark
                raise PolicyInvalid(
                    f"{name}:{mark.line + 1}:{mark.column + 1}: anchors and aliases are not allowed; repeat the value"
                )
        return YAML(typ="rt", pure=True).load(StringIO(text))
    except UnicodeDecodeError:
        raise PolicyInvalid(f"{name}:1:1: not UTF-8") from None
    except DuplicateKeyError as error:
        mark = error.problem_mark
        raise PolicyInvalid(f"{name}:{mark.line + 1}:{mark.column + 1}: the key stands twice; keep one") from None
    except MarkedYAMLError as error:
        found = error.problem_mark or error.context_mark
        where = f"{found.line + 1}:{found.column + 1}" if found else "1:1"
        raise PolicyInvalid(f"{name}:{where}: not YAML: {error.problem or error.context}") from None
    except (YAMLError, RecursionError) as error:
        raise PolicyInvalid(f"{name}:1:1: not YAML: {type(error).__name__}") from None


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


class _Reader:
    """Walks the parsed YAML; carries the file's name so that each refusal can say where."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, tree: Any) -> Policy:
        top = self._map(
            tree,
            None,
            "policy",
            required=("schema", "id", "prior", "bands", "rules", "outcomes"),
            optional=("description", "behavior_may_deny", "audit"),
        )
        if top["schema"] != 1:
            raise self._error(top, "schema", "this version reads schema: 1")
        bands = self._map(top["bands"], (top, "bands"), "bands", required=("keystroke",))
        keystroke = self._map(bands["keystroke"], (bands, "keystroke"), "bands.keystroke", required=("mismatch_from",))
        policy = Policy(
            id=self._text(top, "id"),
            description=self._text(top, "description") if "description" in top else "",
            prior=self._number(top, "prior", 0.0001, 0.5),
            mismatch_from=self._number(keystroke, "mismatch_from", -6.0, 6.0),
            rules=self._rules(top),
            outcomes=self._outcomes(top),
            audit_full=self._audit_full(top),
        )
        self._refuse_silent_deny(policy, top)
        return policy

    def _audit_full(self, top: CommentedMap) -> Literal["continue", "error"]:
        if "audit" not in top:
            return "error"
        audit = self._map(top["audit"], (top, "audit"), "audit", required=("full",))
        if audit["full"] not in ("continue", "error"):
            raise self._error(audit, "full", "must be continue or error")
        return "continue" if audit["full"] == "continue" else "error"

    def _rules(self, top: CommentedMap) -> tuple[Rule, ...]:
        rules = []
        seen: set[str] = set()
        for index, item in enumerate(self._list(top, "rules", allow_empty=True)):
            at = (top["rules"], index)
            body = self._map(item, at, "rule", required=("id", "when", "then"), optional=("description",))
            rule_id = self._text(body, "id")
            if rule_id in seen or "." in rule_id:
                raise self._error(body, "id", "rule ids are unique and hold no dot")
            seen.add(rule_id)
            description = self._text(body, "description") if "description" in body else ""
            rules.append(Rule(rule_id, description, self._condition(body, "when"), self._consequence(body, "then")))
        return tuple(rules)

    def _condition(self, parent: Any, key: Any) -> Condition:
        node = parent[key]
        if not isinstance(node, CommentedMap) or len(node) != 1 or next(iter(node)) not in ("all", "any", "not"):
            raise self._error(parent, key, "a condition is one of all:, any:, not: with a list of expressions")
        joint: Joint = next(iter(node))
        parts = tuple(
            self._leaf(node[joint], index) if isinstance(part, str) else self._condition(node[joint], index)
            for index, part in enumerate(self._list(node, joint))
        )
        if joint == "not" and len(parts) != 1:
            raise self._error(node, joint, "not: takes exactly one expression")
        return Condition(joint, parts)

    def _leaf(self, parent: CommentedSeq, index: int) -> Leaf:
        try:
            return compile_leaf(parent[index])
        except ExpressionInvalid as error:
            raise self._error(
                parent, index, f"{error} (at character {error.column} of the expression); {error.hint}"
            ) from None

    def _outcomes(self, top: CommentedMap) -> dict[str, Consequence]:
        body = self._map(
            top["outcomes"],
            (top, "outcomes"),
            "outcomes",
            required=("match", "mismatch", "insufficient", "unavailable", "error"),
        )
        found = {name: self._consequence(body, name) for name in ("match", "mismatch", "error")}
        details: tuple[tuple[str, Iterable[str]], ...] = (
            ("insufficient", INSUFFICIENT),
            ("unavailable", [str(cause) for cause in Cause]),
        )
        for name, wanted in details:
            entries = self._map(body[name], (body, name), f"outcomes.{name}", required=tuple(wanted))
            found |= {f"{name}.{entry}": self._consequence(entries, entry) for entry in entries}
        return found

    def _consequence(self, parent: CommentedMap, key: str) -> Consequence:
        node = parent[key]
        if isinstance(node, str):
            return Consequence(*self._step_up_defaults(self._action(parent, key, node), None, None))
        body = self._map(node, (parent, key), key, required=("action",), optional=("acr_values", "factor", "effects"))
        action = self._action(body, "action", body["action"])
        acr = self._text(body, "acr_values") if "acr_values" in body else None
        factor = self._text(body, "factor") if "factor" in body else None
        if action is not Action.STEP_UP and (acr or factor):
            raise self._error(body, "acr_values" if acr else "factor", "only step_up names an acr or a factor")
        effects = []
        if "effects" in body:
            for index, effect in enumerate(self._list(body, "effects")):
                if effect not in list(Effect):
                    raise self._error(body["effects"], index, f"effects are {', '.join(Effect)}")
                effects.append(Effect(effect))
        return Consequence(*self._step_up_defaults(action, acr, factor), tuple(effects))

    def _step_up_defaults(
        self, action: Action, acr: str | None, factor: str | None
    ) -> tuple[Action, str | None, str | None]:
        if action is Action.STEP_UP and acr is None and factor is None:
            factor = "second_factor"
        return action, acr, factor

    def _action(self, parent: Any, key: Any, value: Any) -> Action:
        if value not in list(Action):
            raise self._error(parent, key, f"{value!r} is no action; write {', '.join(Action)}")
        return Action(value)

    def _refuse_silent_deny(self, policy: Policy, top: CommentedMap) -> None:
        if "behavior_may_deny" in top and not isinstance(top["behavior_may_deny"], bool):
            raise self._error(top, "behavior_may_deny", "behavior_may_deny is true or false")
        if top.get("behavior_may_deny"):
            return
        consequences = {rule.id: rule.then for rule in policy.rules} | dict(policy.outcomes)
        denying = [name for name, then in consequences.items() if then.action is Action.DENY]
        if denying:
            raise self._error(
                top,
                "rules",
                f"{denying[0]} denies by behaviour; say behavior_may_deny: true in so many words, or step_up",
            )

    def _map(
        self,
        node: Any,
        at: tuple[Any, Any] | None,
        what: str,
        *,
        required: tuple[str, ...],
        optional: tuple[str, ...] = (),
    ) -> CommentedMap:
        if not isinstance(node, CommentedMap):
            parent, key = at or (None, None)
            raise self._error(parent, key, f"{what} must be a mapping")
        for key in node:
            if key not in required + optional:
                raise self._error(
                    node, key, f"unknown key {key!r} in {what}; it takes {', '.join(required + optional)}"
                )
        for key in required:
            if key not in node:
                parent, place = at or (node, None)
                raise self._error(parent, place, f"{what} needs {key!r}")
        return node

    def _list(self, parent: Any, key: Any, *, allow_empty: bool = False) -> CommentedSeq:
        node = parent[key]
        if not isinstance(node, CommentedSeq) or not (node or allow_empty):
            raise self._error(parent, key, f"{key} must be a list with at least one entry")
        return node

    def _text(self, parent: CommentedMap, key: str) -> str:
        value = parent[key]
        if not isinstance(value, str) or not 0 < len(value) <= 2000:
            raise self._error(parent, key, f"{key} must be a text")
        return value

    def _number(self, parent: CommentedMap, key: str, low: float, high: float) -> float:
        value = parent[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self._error(parent, key, f"{key} must be a number from {low} to {high}")
        return float(value)

    def _error(self, parent: Any, key: Any, message: str) -> PolicyInvalid:
        line = column = 0
        if isinstance(parent, CommentedMap) and key in parent:
            line, column = parent.lc.key(key)
        elif isinstance(parent, CommentedSeq) and isinstance(key, int):
            line, column = parent.lc.item(key)
        elif parent is not None:
            line, column = parent.lc.line, parent.lc.col
        return PolicyInvalid(f"{self._name}:{line + 1}:{column + 1}: {message}")
