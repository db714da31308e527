"""Say why a decision came out as it did, leaf by leaf with the values seen; and what one other value would have made of it."""

from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.domain.decisions import Facts, RuleTrace, SignalValue, Verdict
from sidecar.errors import BadRequest
from sidecar.policy.bands import rebanded
from sidecar.policy.compare import words
from sidecar.policy.evaluate import decide
from sidecar.policy.expressions import known
from sidecar.policy.model import Policy, readable_moment
from sidecar.policy.registry import SIGNALS

_SIGNS = {"true": "+", "false": "-", "missing": "?", "error": "!"}


def explained(policy: Policy, verdict: Verdict) -> Iterable[str]:
    """Yield the lines of an explanation: the answer, every rule looked at, its leaves with their values, and shadow."""
    yield f"{words(verdict.consequence)}, decided by {verdict.rule_id} ({verdict.policy_id})"
    for rule in verdict.trace:
        yield from _rule(rule)
    since = {rule.id: rule.since for rule in policy.rules}
    for entry in verdict.shadow:
        at = since.get(entry.rule_id)
        when = f" since {readable_moment(at)}" if at is not None else ""
        told = f"would have made it {words(entry.consequence)}" if entry.changed else "would have changed nothing"
        yield f"  in shadow{when}: {entry.rule_id} is {entry.result}, {told}"


def _rule(rule: RuleTrace) -> Iterable[str]:
    yield f"  {_SIGNS[rule.result]} {rule.rule_id}: {rule.result}"
    for leaf in rule.leaves:
        seen = ", ".join(f"{name} = {shown(value)}" for name, value in leaf.values.items())
        yield f"      {_SIGNS[leaf.result]} {leaf.expression}: {leaf.result}" + (f" ({seen})" if seen else "")


def shown(value: object) -> str:
    """Return a value as the policy language writes it; what is not known reads ``not known``."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(str(entry) for entry in value)}]"
    return str(value)


def read_facts(given: Any) -> dict[str, SignalValue]:
    """Check facts as they are kept with a decision. Raises BadRequest on what is no mapping or no signal's value."""
    if not isinstance(given, Mapping):
        raise BadRequest("facts must be a JSON object from a signal's name to its value")
    if strange := sorted(name for name in given if name not in SIGNALS):
        raise BadRequest(f"there is no signal {strange[0]!r}; see docs/policies.md")
    found: dict[str, SignalValue] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    if broken := sorted(known(found, 0.0).broken):
        raise BadRequest(f"{broken[0]} is of type {SIGNALS[broken[0]].type}, not {given[broken[0]]!r}")
    return found


def read_change(text: str) -> tuple[str, SignalValue]:
    """Read ``signal=value``; ``null`` is "not known". Raises BadRequest with what the signal takes."""
    name, equals, raw = text.partition("=")
    signal = SIGNALS.get(name.strip())
    if signal is None or not equals:
        raise BadRequest(f"{text!r} is not of the form signal=value with a signal of docs/policies.md")
    raw = raw.strip()
    if raw == "null":
        return signal.name, None
    value: SignalValue = raw
    try:
        if signal.type == "bool":
            value = {"true": True, "false": False}[raw]
        elif signal.type == "int":
            value = int(raw)
        elif signal.type == "double":
            value = float(raw)
        elif signal.type == "strings":
            value = tuple(part.strip() for part in raw.split(",") if part.strip())
    except (ValueError, KeyError):
        raise BadRequest(f"{signal.name} is of type {signal.type}; {raw!r} is not") from None
    if signal.values and value not in signal.values:
        raise BadRequest(f"{signal.name} is one of {', '.join(signal.values)}, or null")
    return signal.name, value


def what_if(policy: Policy, facts: Facts, changes: Mapping[str, SignalValue], now: float) -> tuple[Verdict, Verdict]:
    """Decide twice: over the facts as they were, and with some of them changed.

    A changed ``keystroke.llr`` is meant for the deciding field, too, and moves outcome and probability by the policy's
    bands; an outcome that is itself among the changes stands.
    """
    before = rebanded(facts, policy.mismatch_from, policy.prior)
    wanted = dict(changes)
    if "keystroke.llr" in wanted and facts.get("keystroke.deciding_llr") is not None:
        wanted.setdefault("keystroke.deciding_llr", wanted["keystroke.llr"])
    after = {**rebanded({**facts, **wanted}, policy.mismatch_from, policy.prior), **wanted}
    return decide(policy, before, now), decide(policy, after, now)
