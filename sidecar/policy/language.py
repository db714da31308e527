"""The policy file: YAML 1.2, strictly read. Every refusal names file, line, column and what to write instead.

What no evidence (each cause), a profile that is still learning, and an error lead to is part of the file and required;
the code holds no default for them.
"""

import difflib
import hashlib
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import Action, Consequence, Effect
from sidecar.errors import PolicyInvalid
from sidecar.policy.cells import Space, TooComplex, meet
from sidecar.policy.expressions import ExpressionInvalid, Leaf, compile_leaf
from sidecar.policy.membership import Listed, NamedList
from sidecar.policy.model import (
    FACTORS,
    INSUFFICIENT,
    MODES,
    ON_ERROR_OF_THE_FILE,
    SCHEMA,
    SCOPES,
    SKIP,
    VERBS,
    AuditFull,
    Condition,
    Exemption,
    Joint,
    Mode,
    Part,
    Policy,
    Rule,
    outcome_key,
    readable_moment,
    reads,
    signals_read,
    walk,
)
from sidecar.policy.people import PeopleReader
from sidecar.policy.reading import MAX_BYTES, strict_yaml
from sidecar.policy.registry import SIGNALS
from sidecar.policy.senseless import doubts, refuse_senseless

__all__ = ["Policy", "load", "outcome_key", "parse", "read_bytes", "readable_moment"]

MAX_CONDITION_DEPTH = 16
# What other products call the verbs.
_ALSO = {
    "step_up": ("mfa", "2fa", "challenge", "ask", "second_factor", "stepup"),
    "deny": ("block", "reject", "refuse", "forbid", "no"),
    "allow": ("permit", "accept", "pass", "continue", "yes"),
}


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


class PolicyReader(PeopleReader):
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
        self._bodies: dict[str, CommentedMap] = {}
        no_lists: dict[str, NamedList] = {}
        lists = self.tried(lambda: self.named_lists(top), no_lists)
        no_rules: tuple[Rule, ...] = ()
        rules = self.tried(lambda: self._rules(top), no_rules)
        no_outcomes: dict[str, Consequence] = {}
        outcomes = self.tried(lambda: self._outcomes(top), no_outcomes)
        if not self._may_deny:
            self._refuse_spared_denies(rules)
        elif not any(then.action is Action.DENY for then in outcomes.values()) and not any(map(_denying, rules)):
            self.doubt(top, "behavior_may_deny", "behaviour may deny, and nothing does", "leave the line out")
        return Policy(
            id=self.tried(lambda: self.identifier(top, "id", "policy ids"), ""),
            description=self.tried(lambda: self.text(top, "description", prose=True), "")
            if "description" in top
            else "",
            prior=self.tried(lambda: self.number(top, "prior", 0.0001, 0.5), 0.5),
            mismatch_from=self.tried(lambda: self._mismatch_from(top), 0.0),
            rules=rules,
            outcomes=outcomes,
            lists=lists,
            audit_full=self.tried(lambda: self._audit(top), "error"),
            signals=signals_read(rules),
            digest=digest,
            behavior_may_deny=self._may_deny,
            doubts=tuple(self.doubts),
        )

    def _mismatch_from(self, top: CommentedMap) -> float:
        bands = self.map(top["bands"], (top, "bands"), "bands", required=("keystroke",))
        keystroke = self.map(bands["keystroke"], (bands, "keystroke"), "bands.keystroke", required=("mismatch_from",))
        found = self.number(keystroke, "mismatch_from", -6.0, 6.0)
        if abs(found) == 6.0:
            every = "every" if found < 0 else "no"
            raise self.error(
                keystroke, "mismatch_from", f"from {found:g} on {every} typing is a mismatch", "write one between"
            )
        return found

    def _audit(self, top: CommentedMap) -> AuditFull:
        if "audit" not in top:
            return "error"
        audit = self.map(top["audit"], (top, "audit"), "audit", required=("full",))
        return "continue" if self.one_of(audit, "full", ("continue", "error")) == "continue" else "error"

    def _rules(self, top: CommentedMap) -> tuple[Rule, ...]:
        rules: dict[str, Rule] = {}
        spelled: dict[str, str] = {}
        for index in range(len(self.list(top, "rules", allow_empty=True))):
            rule = self.tried(partial(self._rule, top["rules"], index), None)
            if rule is not None and rule.id in rules:
                self.tried(partial(self._twice, top["rules"][index], "rule"), None)
            elif rule is not None:
                alike = spelled.setdefault(rule.id.lower(), rule.id)
                if alike != rule.id:
                    message = f"{rule.id} and {alike} differ in capitals only"
                    self.doubt(top["rules"][index], "id", message, "choose another id")
                rules[rule.id] = rule
                self._bodies[rule.id] = top["rules"][index]
        return tuple(rules.values())

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
            id=self.tried(lambda: self.identifier(body, "id", "rule ids"), ""),
            description=self.tried(lambda: self.text(body, "description", prose=True), "")
            if "description" in body
            else "",
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
        return self.people(body, names)

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
        exception_id = self.identifier(entry, "id", "exception ids")
        who = self.people(entry, names)
        if "listed" in entry and (listed := self.listed(entry, "listed")):
            who = replace(who, parts=(*who.parts, listed))
        if not who.parts and "listed" not in entry:
            hint = f"add one of {', '.join((*names, 'networks', 'listed'))}"
            raise self.error(*at, "the exception says for nobody", hint)
        expires = self.moment(entry, "expires")
        reason = self.text(entry, "reason", prose=True) if "reason" in entry else ""
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
            return self.listed(part, "listed")
        return self._condition(parent, index, depth + 1)

    def _leaf(self, parent: CommentedSeq, index: int) -> Leaf:
        text = str(parent[index])
        try:
            leaf = compile_leaf(text, self.place(parent, index))
            refuse_senseless(leaf)
        except ExpressionInvalid as error:
            message = f"{error} (at character {error.column} of the expression)"
            raise self.error(parent, index, message, error.hint) from None
        # What stands above the expression is kept as lists, what stands behind it as a token.
        notes = parent.ca.items.get(index) or ()
        behind = "".join(note.value for note in notes if note is not None and not isinstance(note, list))
        if re.match(r"#[^\n]*(?:&&|\|\||[=!<>]=)", behind):
            self.doubt(
                parent,
                index,
                f"what follows # is a comment: {behind.splitlines()[0]}",
                "quote the expression if it is meant",
            )
        for odd, hint in doubts(leaf.node):
            self.doubt(parent, index, f"{odd}: {text}", hint)
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
        if found.trust and key != "match":
            raise self.error(
                parent, key, f"{key} cannot be trust", "only typing that matches may spare a second factor"
            )
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
        factor = self._factor(body) if "factor" in body else None
        if body["action"] != Action.STEP_UP and (acr or factor):
            hint = "leave it out, or write action: step_up"
            raise self.error(body, "acr_values" if acr else "factor", "only step_up names an acr or a factor", hint)
        if acr and factor:
            self.doubt(body, "factor", "both an acr and a factor are asked for", "name one, if the provider takes one")
        effects = self._effects(body) if "effects" in body else ()
        return self._made(body, "action", acr, factor, effects)

    def _factor(self, body: CommentedMap) -> str:
        factor = self.text(body, "factor")
        if len(factor.split()) > 1:
            raise self.error(
                body, "factor", f"{factor!r} is not one factor", f"write {', '.join(FACTORS)}, or the provider's name"
            )
        if factor not in FACTORS:
            near = difflib.get_close_matches(factor.lower(), FACTORS, n=1)
            known = f"did you mean {near[0]}?" if near else f"known are {', '.join(FACTORS)}"
            self.doubt(body, "factor", f"{factor} is no factor that is known here", known)
        return factor

    def _effects(self, body: CommentedMap) -> tuple[Effect, ...]:
        effects: list[Effect] = []
        for index in range(len(self.list(body, "effects"))):
            effect = Effect(self.one_of(body["effects"], index, Effect, "effects are a closed set; one"))
            if effect in effects:
                raise self.error(body["effects"], index, f"{effect} stands twice", "name each effect once")
            if effect is not Effect.NOTIFY and body["action"] in ("allow", "trust"):
                hint = "leave it out, or write action: step_up or deny"
                raise self.error(body["effects"], index, f"{effect} would end the session that is let in", hint)
            effects.append(effect)
        return tuple(effects)

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
            meant = near[0] if near else next((one for one, words in _ALSO.items() if str(verb).lower() in words), None)
            hint = " ".join(
                [*([f"did you mean {meant}?"] if meant else []), *([] if near else [f"write {', '.join(VERBS)}"])]
            )
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
        denying = _denying(rule)
        if not denying or self._may_deny:
            return
        kinds = {SIGNALS[name].kind for name in reads(rule)}
        if "behavior" in kinds or not ("context" in kinds or any(isinstance(part, Listed) for part in walk(rule.when))):
            raise self.error(body, denying[0], f"{rule.id} denies by behaviour", _SAY_DENY)

    def _refuse_spared_denies(self, rules: tuple[Rule, ...]) -> None:
        """POL5: no deny below an enforced rule that reads behaviour and can match the same login.

        There, typing alone would decide between the deny and that rule's answer. Above all such rules, whether a login is
        denied does not depend on behaviour at all.
        """
        denying = [(place, rule) for place, rule in enumerate(rules) if _denying(rule)]
        if not denying:
            return
        space = Space(rules)
        for place, rule in denying:
            reading = (above for above in rules[:place] if above.mode == "enforce" and _reads_behavior(above))
            spared = next((above for above in reading if _overlap(space, above, rule)), None)
            if spared is not None:
                self.tried(partial(self._say_spared, rule, spared), None)

    def _say_spared(self, rule: Rule, above: Rule) -> None:
        message = f"{rule.id} denies by behaviour: {above.id} above it reads behaviour and spares the deny"
        raise self.error(
            self._bodies[rule.id], _denying(rule)[0], message, f"move {rule.id} up, above it; or {_SAY_DENY}"
        )


def _denying(rule: Rule) -> list[str]:
    """Return the keys by which a rule may deny."""
    told = (("then", rule.then), ("on_error", rule.on_error), ("on_missing", rule.on_missing))
    return [key for key, found in told if found is not None and found.action is Action.DENY]


def _reads_behavior(rule: Rule) -> bool:
    return any(SIGNALS[name].kind == "behavior" for name in reads(rule))


def _overlap(space: Space, above: Rule, rule: Rule) -> bool:
    """Tell whether a login can match the one where the other is not plainly false."""
    try:
        return bool(meet([space.condition(above, "true"), space.condition(rule, "not false")]))
    except TooComplex:
        return True


_SAY_DENY = "write behavior_may_deny: true at the top, in so many words, or step_up here"
