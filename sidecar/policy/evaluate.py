"""Decide: a policy and facts in, a verdict with its whole trace out.

Precedence: rules in the order of the file, the first whose condition is true decides. If none is true, the outcome of
the behaviour decides by the file's ``outcomes``. A rule whose condition is unknown because a signal is missing does not
match; a rule that met an error never makes the result more permissive than ``outcomes.error``.
"""

from sidecar.domain.decisions import STRICTNESS, Facts, LeafTrace, Outcome, RuleTrace, Truth, Verdict
from sidecar.policy.expressions import Leaf
from sidecar.policy.language import Condition, Policy, Rule, outcome_key


def decide(policy: Policy, facts: Facts) -> Verdict:
    """Evaluate every rule until one decides, then fall back to the named outcomes."""
    trace: list[RuleTrace] = []
    for rule in policy.rules:
        trace.append(_trace(rule, facts))
        if trace[-1].result == "true":
            chosen, consequence = rule.id, rule.then
            break
    else:
        key = _outcome(facts)
        chosen, consequence = f"outcome.{key}", policy.outcomes[key]
    errors = tuple(entry.rule_id for entry in trace if entry.result == "error")
    on_error = policy.outcomes["error"]
    if errors and STRICTNESS[consequence.action] < STRICTNESS[on_error.action]:
        chosen, consequence = "outcome.error", on_error
    return Verdict(policy.id, chosen, consequence, tuple(trace), errors)


def _outcome(facts: Facts) -> str:
    outcome = Outcome(str(facts["keystroke.outcome"]))
    if outcome is Outcome.INSUFFICIENT:
        return outcome_key(outcome, str(facts["profile.state"]))
    if outcome is Outcome.UNAVAILABLE:
        return outcome_key(outcome, str(facts["keystroke.cause"]))
    return outcome_key(outcome)


def _trace(rule: Rule, facts: Facts) -> RuleTrace:
    leaves: list[LeafTrace] = []
    return RuleTrace(rule.id, _truth(rule.when, facts, leaves), tuple(leaves))


def _truth(part: Condition | Leaf, facts: Facts, leaves: list[LeafTrace]) -> Truth:
    if isinstance(part, Leaf):
        leaves.append(part.evaluate(facts))
        return leaves[-1].result
    truths = [_truth(child, facts, leaves) for child in part.parts]
    if part.joint == "not":
        return _negated(truths[0])
    return _joined(truths, decisive="false" if part.joint == "all" else "true")


def _negated(truth: Truth) -> Truth:
    flipped: dict[Truth, Truth] = {"true": "false", "false": "true"}
    return flipped.get(truth, truth)  # negation turns neither an error nor a missing value into a pass


def _joined(truths: list[Truth], *, decisive: Truth) -> Truth:
    """Kleene's three-valued logic; an error is an unknown that is also remembered."""
    if decisive in truths:
        return decisive
    unknowns: tuple[Truth, ...] = ("error", "missing")
    for unknown in unknowns:
        if unknown in truths:
            return unknown
    return _negated(decisive)
