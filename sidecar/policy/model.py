"""A policy as a value: conditions, rules, lists, outcomes. Read from a file by ``language``, decided over by ``evaluate``."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sidecar.domain.decisions import Action, Consequence, Outcome
from sidecar.policy.expressions import Leaf, Place
from sidecar.policy.membership import Listed, NamedList, OneOf
from sidecar.policy.registry import SIGNALS

SCHEMA = 1
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
# Classes of factors that providers know, the weakest first; second_factor is any of them. Equal ranks are told apart by nobody.
FACTORS = {
    "second_factor": 0, "email": 1, "sms": 1, "recovery_code": 1, "otp": 2, "totp": 2, "hotp": 2, "push": 2,
    "webauthn": 3, "passkey": 3, "hwk": 3,
}  # fmt: skip
# What every decision reads, whatever the rules say.
ALWAYS_READ = ("client.floor", "keystroke.cause", "keystroke.outcome", "profile.state")
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


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is odd and could be meant; ``lint`` warns of it. ``hint`` says what to write if it is not."""

    at: Place
    message: str
    hint: str


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A parsed and type-checked policy.

    ``mismatch_from``: LLR (nat) at and above which typing counts as a mismatch. ``prior``: probability of an impostor
    before any evidence. ``outcomes`` maps ``match``, ``mismatch``, ``insufficient.<state>``, ``unavailable.<cause>`` and
    ``error`` to their consequences. ``audit_full``: whether a decision goes on or is an error when the buffered audit
    queue is full. ``signals``: every signal that an evaluation reads. ``digest``: SHA-256 (hex) of the file's bytes.
    ``doubts``: what the reader found odd and took.
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
    behavior_may_deny: bool = False
    doubts: tuple[Doubt, ...] = ()


def outcome_key(outcome: Outcome, detail: str | None = None) -> str:
    """Name an entry of ``Policy.outcomes``."""
    return f"{outcome}.{detail}" if outcome in (Outcome.INSUFFICIENT, Outcome.UNAVAILABLE) else str(outcome)


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


def signals_read(rules: Iterable[Rule]) -> tuple[str, ...]:
    wanted = {name for rule in rules for name in reads(rule)} | set(ALWAYS_READ)
    return tuple(name for name in SIGNALS if name in wanted)


def readable_moment(at: float) -> str:
    """Return epoch seconds as a date, or a date and time in UTC."""
    found = datetime.fromtimestamp(math.floor(at), UTC)
    return f"{found:%Y-%m-%d}" if found.time() == found.time().min else f"{found:%Y-%m-%dT%H:%M:%SZ}"
