"""Decide: a policy, facts and a moment in, a verdict with its whole trace out. The same three give the same verdict.

Precedence, from first to last:

1. Enforced rules in the order of the file; the first that is true decides. If none is, ``outcomes`` decides.
2. A rule that met an error or a missing value before that sets a floor (``on_error``, ``on_missing``): the answer is at
   least that strict. An exception that cannot be decided counts as not granted. What is asked for by name, an acr or a
   factor, is never lost to what asks for less (``_strictest``).
3. The client's own floor: no answer is milder than it.

A rule in shadow changes nothing; the verdict says what each would have changed, had it alone been enforced.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sidecar.domain.decisions import (
    Action,
    Consequence,
    Facts,
    LeafTrace,
    Outcome,
    RuleTrace,
    ShadowVerdict,
    SignalValue,
    Truth,
    Verdict,
    strictness,
)
from sidecar.policy.expressions import Known, known
from sidecar.policy.model import FACTORS, ON_ERROR_OF_THE_FILE, Condition, Policy, Rule, outcome_key

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


class _InShadow(NamedTuple):
    """A rule in shadow as it came out. ``floors``: how many floors the enforced rules above it had set."""

    trace: RuleTrace
    rule: Rule
    reached: bool
    floors: int
    own: list[Floor]


def decide(policy: Policy, facts: Facts, now: float) -> Verdict:
    """Evaluate enforced rules until one decides, else the named outcomes; then what each rule in shadow would change.

    ``now``: epoch seconds, for what expires. Never raises: facts that make no sense end as ``outcomes.error``.
    """
    seen = known(facts, now, policy.signals)
    traces: list[RuleTrace] = []
    floors: list[Floor] = []
    shadows: list[_InShadow] = []
    decisive: Rule | None = None
    for rule in policy.rules:
        if rule.mode == "shadow":
            above, own = len(floors), list[Floor]()
            shadows.append(_InShadow(_look(policy, rule, seen, own), rule, decisive is None, above, own))
        elif decisive is None:
            trace = _look(policy, rule, seen, floors)
            traces.append(trace)
            if trace.result == "true":
                decisive = rule
    answer = _answer(policy, decisive, seen)
    chosen = _settled(answer, floors, seen)
    return Verdict(
        policy_id=policy.id,
        rule_id=chosen.name,
        consequence=chosen.consequence,
        trace=tuple(traces),
        errors=tuple([trace.rule_id for trace in traces if trace.result == "error"]),
        shadow=tuple([_would(found, answer, floors, seen, chosen) for found in shadows]),
        policy_digest=policy.digest,
    )


def _answer(policy: Policy, decisive: Rule | None, seen: Known) -> Floor:
    """Return what rules or outcomes say, before any floor."""
    if decisive is not None:
        return Floor(decisive.id, decisive.then)
    key = _outcome(seen)
    if key not in policy.outcomes:
        key = "error"
    return Floor(f"outcome.{key}", policy.outcomes[key])


def _settled(chosen: Floor, floors: Sequence[Floor], seen: Known) -> Floor:
    """Raise an answer to the floors that rules set, and to the client's own. ``floors``: in the order of the file."""
    found = _strictest([*floors, chosen]) if floors else chosen
    own = client_floor("unreadable" if "client.floor" in seen.broken else seen.values["client.floor"])
    if strictness(own.consequence) > strictness(found.consequence):
        found = own
    kept = chosen.consequence.effects
    if found is chosen or not kept:
        return found
    more = tuple(effect for effect in found.consequence.effects if effect not in kept)
    return Floor(found.name, replace(found.consequence, effects=(*kept, *more)))


def _strictest(found: Sequence[Floor]) -> Floor:
    """Return the strictest of several answers, the last of which was chosen and the others are floors above it.

    Of several that ask for a second factor, each that is named stands: the acr of one and the factor of another are both
    asked for, and of two the stronger: the greater number, or the class of higher rank in ``FACTORS``; where neither is
    known to be stronger the first in the file. Who asks for any factor is content with whatever is named.
    """
    most = max(strictness(one.consequence) for one in found)
    strictest = [one for one in found if strictness(one.consequence) == most]
    acr = max((one.consequence.acr_values for one in strictest), key=_rank_of_acr)
    factor = max((one.consequence.factor for one in strictest), key=_rank_of_factor)
    if acr is not None and _rank_of_factor(factor) == 0:
        factor = None

    def has_all(one: Floor) -> bool:
        return (one.consequence.acr_values, one.consequence.factor) == (acr, factor)

    chosen = strictest[-1] if strictest[-1] is found[-1] else strictest[0]
    if has_all(chosen):
        return chosen
    names = (one for one in strictest if has_all(one) or _names_a_part(one.consequence, acr, factor))
    first = next(names)
    return Floor(first.name, replace(first.consequence, acr_values=acr, factor=factor))


def _names_a_part(consequence: Consequence, acr: str | None, factor: str | None) -> bool:
    return (acr is not None and consequence.acr_values == acr) or (factor is not None and consequence.factor == factor)


def _rank_of_acr(acr: str | None) -> int:
    """Rank acrs: a number by its size, as levels of assurance are written; any other name below them."""
    if acr is None:
        return -2
    return int(acr) if acr.isascii() and acr.isdecimal() else -1


def _rank_of_factor(factor: str | None) -> int:
    """Rank factors by class; one that is not known as the middle ones."""
    return -1 if factor is None else FACTORS.get(factor, 2)


def client_floor(told: SignalValue) -> Floor:
    """Return what a client takes at least: ``trust``, ``allow``, ``step_up``; not told means no trust, a riddle step_up.

    For answers that no policy evaluated (``outcomes.error`` of a degraded decision), too: nothing lowers a client's floor.
    """
    return Floor("floor.client", FLOORS.get(str(told if told is not None else "allow"), FLOORS["step_up"]))


def _would(found: _InShadow, answer: Floor, floors: Sequence[Floor], seen: Known, chosen: Floor) -> ShadowVerdict:
    """Say what would have come of it, had this rule alone been enforced at its place."""
    would = chosen
    if found.reached and found.trace.result == "true":
        would = _settled(Floor(found.rule.id, found.rule.then), [*floors[: found.floors], *found.own], seen)
    elif found.reached:
        would = _settled(answer, [*floors[: found.floors], *found.own, *floors[found.floors :]], seen)
    changed = would.consequence != chosen.consequence
    return ShadowVerdict(found.rule.id, found.trace.result, found.reached, would.consequence, changed)


def _look(policy: Policy, rule: Rule, seen: Known, floors: list[Floor]) -> RuleTrace:
    """Evaluate one rule: in scope, true, and nobody it leaves alone. Adds the floors that it sets."""
    leaves: list[LeafTrace] = []
    truth: Truth = "true" if rule.scope is None else _truth(rule.scope, seen, leaves)
    if truth != "false":
        met = _truth(rule.when, seen, leaves)
        truth = met if truth == "true" else _both(truth, met)
    if truth != "false" and rule.exceptions:
        truth = _excepted(rule, truth, seen, leaves, floors)
    if truth == "error" and rule.on_error is not None:
        whole = rule.on_error is ON_ERROR_OF_THE_FILE
        floors.append(
            Floor("outcome.error", policy.outcomes["error"]) if whole else Floor(f"{rule.id}.on_error", rule.on_error)
        )
    elif truth == "missing" and rule.on_missing is not None:
        floors.append(Floor(f"{rule.id}.on_missing", rule.on_missing))
    return RuleTrace(rule.id, truth, tuple(leaves))


def _excepted(rule: Rule, truth: Truth, seen: Known, leaves: list[LeafTrace], floors: list[Floor]) -> Truth:
    """Return what is left of a rule after its exceptions.

    An exception that cannot be decided is not granted: the answer is at least as strict as the rule's own, and a rule that
    loosens does not match.
    """
    excused = _any([_truth(found.who, seen, leaves) for found in rule.exceptions if seen.now < found.expires])
    if excused in ("missing", "error") and truth == "true":
        floors.append(Floor(f"{rule.id}.exceptions", rule.then))
    return _both(truth, _NEGATED[excused])


def _truth(condition: Condition, seen: Known, leaves: list[LeafTrace]) -> Truth:
    """Kleene's three-valued logic, an error being an unknown that is remembered; what cannot matter is not looked at."""
    decisive: Truth = "false" if condition.joint == "all" else "true"
    unknown: Truth | None = None
    for part in condition.parts:
        truth: Truth
        if part.__class__ is Condition:
            truth = _truth(part, seen, leaves)
        else:
            trace = part.evaluate(seen)  # type: ignore[union-attr] # as above
            leaves.append(trace)
            truth = trace.result
        if condition.joint == "not":
            return _NEGATED[truth]
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
