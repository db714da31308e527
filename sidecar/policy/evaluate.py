"""Decide: a policy, facts and a moment in, a verdict with its whole trace out. The same three give the same verdict.

Precedence, from first to last:

1. Enforced rules in the order of the file; the first that is true decides. If none is, ``outcomes`` decides.
2. A rule that met an error or a missing value before that sets a floor (``on_error``, ``on_missing``): the answer is at
   least that strict. An exception that cannot be decided counts as not granted.
3. The client's own floor: no answer is milder than it.

A rule in shadow changes nothing; the verdict says what each would have changed, had it alone been enforced.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sidecar.domain.decisions import (
    Action,
    Consequence,
    Facts,
    LeafTrace,
    Outcome,
    RuleTrace,
    ShadowVerdict,
    Truth,
    Verdict,
    strictness,
)
from sidecar.policy.expressions import Known, known
from sidecar.policy.language import ON_ERROR_OF_THE_FILE, Condition, Part, Policy, Rule, outcome_key

FLOORS = {
    "trust": Consequence(Action.ALLOW, trust=True),
    "allow": Consequence(Action.ALLOW),
    "step_up": Consequence(Action.STEP_UP, factor="second_factor"),
}
_NEGATED: dict[Truth, Truth] = {"true": "false", "false": "true", "missing": "missing", "error": "error"}


class Floor(NamedTuple):
    """The least that is asked because a rule could not be decided, and the name it goes by."""

    name: str
    consequence: Consequence


class _Looked(NamedTuple):
    """One rule as it came out: its trace, and the floors it set."""

    rule: Rule
    trace: RuleTrace
    floors: tuple[Floor, ...]


def decide(policy: Policy, facts: Facts, now: float) -> Verdict:
    """Evaluate enforced rules until one decides, else the named outcomes; then what each rule in shadow would change.

    ``now``: epoch seconds, for what expires. Never raises: facts that make no sense end as ``outcomes.error``.
    """
    seen = known(facts, now, policy.signals)
    key, enforced, shadows = _walk(policy, seen)
    floors = [floor for looked in enforced for floor in looked.floors]
    chosen = _settled(policy, key, enforced, floors, seen)
    return Verdict(
        policy_id=policy.id,
        rule_id=chosen.name,
        consequence=chosen.consequence,
        trace=tuple([looked.trace for looked in enforced]),
        errors=tuple([looked.trace.rule_id for looked in enforced if looked.trace.result == "error"]),
        shadow=tuple(
            [_shadow(policy, key, enforced[:index], enforced, looked, seen, chosen) for index, looked in shadows]
        )
        if shadows
        else (),
        policy_digest=policy.digest,
    )


def _walk(policy: Policy, seen: Known) -> tuple[str, list[_Looked], list[tuple[int, _Looked]]]:
    """Look at enforced rules up to the one that decides, and at all in shadow with how many enforced stood above them.

    The count is -1 ... len(enforced): a shadow below the deciding rule is looked at too, but was not reached.
    """
    enforced: list[_Looked] = []
    shadows: list[tuple[int, _Looked]] = []
    decided = False
    for rule in policy.rules:
        if rule.mode == "shadow":
            shadows.append((len(enforced), _look(policy, rule, seen)))
        elif not decided:
            enforced.append(_look(policy, rule, seen))
            decided = enforced[-1].trace.result == "true"
    key = _outcome(seen)
    return (key if key in policy.outcomes else "error"), enforced, shadows


def _settled(policy: Policy, key: str, looked: Sequence[_Looked], floors: Sequence[Floor], seen: Known) -> Floor:
    """Return what decides: the last rule if it was true, else the outcome, raised to the floors and the client's own."""
    if looked and looked[-1].trace.result == "true":
        chosen = Floor(looked[-1].rule.id, looked[-1].rule.then)
    else:
        chosen = Floor(f"outcome.{key}", policy.outcomes[key])
    for floor in floors:
        if strictness(floor.consequence) > strictness(chosen.consequence):
            chosen = floor
    own = _client_floor(seen)
    return own if strictness(own.consequence) > strictness(chosen.consequence) else chosen


def _client_floor(seen: Known) -> Floor:
    """Return what the client takes at least. Not told means no trust; told wrongly means a second factor."""
    told = seen.values["client.floor"]
    if told is None:
        told = "step_up" if "client.floor" in seen.broken else "allow"
    return Floor("floor.client", FLOORS.get(str(told), FLOORS["step_up"]))


def _shadow(
    policy: Policy,
    key: str,
    above: Sequence[_Looked],
    enforced: Sequence[_Looked],
    looked: _Looked,
    seen: Known,
    chosen: Floor,
) -> ShadowVerdict:
    """Say what would have come of it, had this rule alone been enforced at its place."""
    reached = not (above and above[-1].trace.result == "true")
    would = chosen
    if reached:
        true = looked.trace.result == "true"
        others = [*above, looked] if true else enforced
        floors = [floor for other in others for floor in other.floors]
        would = _settled(policy, key, others, floors if true else [*floors, *looked.floors], seen)
    return ShadowVerdict(
        looked.rule.id, looked.trace.result, reached, would.consequence, would.consequence != chosen.consequence
    )


def _look(policy: Policy, rule: Rule, seen: Known) -> _Looked:
    """Evaluate one rule: in scope, true, and nobody it leaves alone."""
    leaves: list[LeafTrace] = []
    truth: Truth = "true" if rule.scope is None else _truth(rule.scope, seen, leaves)
    if truth != "false":
        met = _truth(rule.when, seen, leaves)
        truth = _both(truth, met)
    floors: list[Floor] = []
    if truth != "false" and rule.exceptions:
        truth = _excepted(rule, truth, seen, leaves, floors)
    if truth == "error" and rule.on_error is not None:
        whole = rule.on_error is ON_ERROR_OF_THE_FILE
        floors.append(
            Floor("outcome.error", policy.outcomes["error"]) if whole else Floor(f"{rule.id}.on_error", rule.on_error)
        )
    elif truth == "missing" and rule.on_missing is not None:
        floors.append(Floor(f"{rule.id}.on_missing", rule.on_missing))
    return _Looked(rule, RuleTrace(rule.id, truth, tuple(leaves)), tuple(floors))


def _excepted(rule: Rule, truth: Truth, seen: Known, leaves: list[LeafTrace], floors: list[Floor]) -> Truth:
    """Return what is left of a rule after its exceptions.

    An exception that cannot be decided is not granted: the answer is at least as strict as the rule's own, and a rule that
    loosens does not match.
    """
    excused = _any([_truth(found.who, seen, leaves) for found in rule.exceptions if seen.now < found.expires])
    if excused in ("missing", "error") and truth == "true":
        floors.append(Floor(f"{rule.id}.exceptions", rule.then))
    return _both(truth, _NEGATED[excused])


def _truth(part: Part, seen: Known, leaves: list[LeafTrace]) -> Truth:
    """Kleene's three-valued logic, an error being an unknown that is remembered; what cannot matter is not looked at."""
    if not isinstance(part, Condition):
        trace = part.evaluate(seen)
        leaves.append(trace)
        return trace.result
    if part.joint == "not":
        return _NEGATED[_truth(part.parts[0], seen, leaves)]
    decisive: Truth = "false" if part.joint == "all" else "true"
    unknown: Truth | None = None
    for child in part.parts:
        truth = _truth(child, seen, leaves)
        if truth == decisive:
            return decisive
        if truth == "error" or (truth == "missing" and unknown is None):
            unknown = truth
    return unknown or _NEGATED[decisive]


def _both(left: Truth, right: Truth) -> Truth:
    found = (left, right)
    for truth in ("false", "error", "missing"):
        if truth in found:
            return truth
    return "true"


def _any(truths: Sequence[Truth]) -> Truth:
    for truth in ("true", "error", "missing"):
        if truth in truths:
            return truth
    return "false"


def _outcome(seen: Known) -> str:
    """Name the entry of ``outcomes`` that holds; facts without a readable outcome hold an error."""
    try:
        outcome = Outcome(str(seen.values["keystroke.outcome"]))
    except ValueError:
        return "error"
    detail = {Outcome.INSUFFICIENT: "profile.state", Outcome.UNAVAILABLE: "keystroke.cause"}.get(outcome)
    return outcome_key(outcome, str(seen.values[detail]) if detail else None)
