"""Decisions as values: what was asked, what is known, what the policy said and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sidecar.domain.biometrics import Absence, Cause, Probe, ProfileState, Provenance, Score

SignalValue = bool | int | float | str | tuple[str, ...] | None
Facts = Mapping[str, SignalValue]


class Action(StrEnum):
    """The decision verbs, the same everywhere in the product. Order of strictness: allow, step_up, deny."""

    ALLOW = "allow"
    STEP_UP = "step_up"
    DENY = "deny"


STRICTNESS = {Action.ALLOW: 0, Action.STEP_UP: 1, Action.DENY: 2}


class Effect(StrEnum):
    """What a decision may set going besides its answer; delivered through the outbox."""

    REVOKE_SESSION = "revoke_session"
    REVOKE_ALL = "revoke_all"
    NOTIFY = "notify"


class Outcome(StrEnum):
    """What behaviour said. Four outcomes, each of which a policy must name."""

    MATCH = "match"
    MISMATCH = "mismatch"
    INSUFFICIENT = "insufficient"
    UNAVAILABLE = "unavailable"


class Source(StrEnum):
    """Whether a decision rests on an evaluated policy over loaded state, or was given because that failed."""

    SCORED = "scored"
    DEGRADED = "degraded"


class Evidence(StrEnum):
    """What confirmed that a sample is the person's own."""

    PASSWORD_ONLY = "password_only"  # noqa: S105 - an evidence class
    SECOND_FACTOR = "second_factor"
    UNLIKE = "second_factor_unlike"  # passed a second factor, but typed unlike the ready profile
    ENROLLMENT = "enrollment"  # typed where the account or the password was made
    ADMINISTRATOR = "administrator"  # an administrator vouched for it


Truth = Literal["true", "false", "missing", "error"]


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a rule or an outcome leads to.

    ``acr_values`` and ``factor`` belong to step_up only; ``trust`` (the provider may skip its own second factor) to
    allow only.
    """

    action: Action
    acr_values: str | None = None
    factor: str | None = None
    effects: tuple[Effect, ...] = ()
    trust: bool = False


def strictness(consequence: Consequence) -> int:
    """Return how much a consequence asks: 0 trust, 1 allow, 2 step_up, 3 deny."""
    return 0 if consequence.trust else STRICTNESS[consequence.action] + 1


# The traces are not frozen: a policy of 50 rules makes hundreds of them per login, and a frozen one takes three times
# as long to make. Nobody but the evaluation writes to them.
@dataclass(slots=True)
class LeafTrace:
    """One expression with the values it saw."""

    expression: str
    result: Truth
    values: Mapping[str, SignalValue]


@dataclass(slots=True)
class RuleTrace:
    """One rule as it was evaluated; ``leaves`` are those that were needed, in the order they were looked at."""

    rule_id: str
    result: Truth
    leaves: tuple[LeafTrace, ...]


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """What a rule in shadow would have done, had it alone been enforced.

    ``consequence``: what the login would have met then, the same as the enforced one where nothing would have changed.
    ``reached`` is false where an enforced rule above it decided; then ``result`` is still told.
    """

    rule_id: str
    result: Truth
    reached: bool
    consequence: Consequence
    changed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policy's word: consequence, the rule that decided, everything evaluated on the way, and errors met.

    ``shadow`` holds one entry per rule in shadow. ``policy_digest`` is the SHA-256 (hex) of the policy file's bytes.
    """

    policy_id: str
    rule_id: str
    consequence: Consequence
    trace: tuple[RuleTrace, ...]
    errors: tuple[str, ...] = ()
    shadow: tuple[ShadowVerdict, ...] = ()
    policy_digest: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What behaviour says about one login, before any policy looks at it. ``deciding``: the field whose word counts.

    ``muted``: scores that do not count, as typing tells nothing about this person; for watching only.
    """

    deciding: str
    outcome: Outcome
    cause: Cause | None
    state: ProfileState
    llr: float | None
    confidence: float
    scores: tuple[Score, ...]
    absences: tuple[Absence, ...]
    probes: tuple[Probe, ...]
    provenance: Mapping[str, Provenance | None]
    context: str
    muted: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class ToldConsent:
    """What the provider says of the user's consent: given or refused, to which text, when (epoch seconds)."""

    given: bool
    version: str | None = None
    recording: str | None = None
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login as the identity provider's server names it (verified; nothing here was chosen by the browser).

    ``attempt`` is the provider's own id of the login attempt, ``captures`` the hidden form field's text as forwarded,
    ``started_at`` (epoch seconds) the moment the provider began the attempt, where it says so. ``second_factor``: whether the
    user has one; None where the provider does not say. ``gpc``: the browser sent Global Privacy Control.
    ``without_second_factor``: what the provider wants a step-up to become for a user without one (``allow``, ``deny``).
    ``roles``, ``groups``: as the provider names them; None where it does not say. ``device``: the device cookie as the
    browser sent it; ``session_started_at`` (epoch seconds): of the running session, at a session check.
    """

    tenant: str
    issuer: str
    subject: str
    name: str | None
    action: str
    client: str
    attempt: str | None
    started_at: float | None
    captures: tuple[str, ...]
    sid: str | None
    ip: str | None
    user_agent: str | None
    consent: "ToldConsent | None" = None
    second_factor: bool | None = None
    without_second_factor: Literal["allow", "deny"] | None = None
    gpc: bool = False
    realm: str | None = None
    roles: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    device: str | None = None
    session_started_at: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceCookie:
    """What the provider sets in the browser as a first-party cookie. ``seconds``: for how long it is good."""

    value: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the identity provider is told. ``decision_id`` is None only for a degraded decision that left no row.

    ``unmet``: a second factor was wanted of somebody who has none.
    """

    decision_id: str | None
    consequence: Consequence
    source: Source
    risk_level: Literal["low", "high", "unknown"]
    rule_id: str
    reason: str
    trust: bool = False
    cookie: DeviceCookie | None = None
    unmet: bool = False
