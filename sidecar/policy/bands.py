"""A policy's own figures applied to what was scored: outcome and probability follow ``bands`` and ``prior`` of the file.

At a login the judge applies them. Before recorded facts are decided under another policy they are applied anew, so that a
backtest of another threshold says what that threshold would have done.
"""

import math

from sidecar.domain.decisions import Facts, Outcome, SignalValue


def outcome_of(combined: float | None, own: float | None, absent: bool, mismatch_from: float) -> Outcome:
    """Return what typing says. ``combined``, ``own``: LLR (nat) of all scored fields, and of the deciding one.

    A user name typed well must not outvote a password typed by a stranger, so either LLR makes a mismatch; ``absent``: the
    deciding field has no evidence.
    """
    if any(llr is not None and llr >= mismatch_from for llr in (combined, own)):
        return Outcome.MISMATCH
    if absent:
        return Outcome.UNAVAILABLE
    return Outcome.INSUFFICIENT if own is None else Outcome.MATCH


def probability(llr: float | None, prior: float) -> float:
    """Return the posterior probability of an impostor; without evidence exactly the prior (SCO8)."""
    log_odds = math.log(prior / (1 - prior)) + (llr or 0.0)
    return 1 / (1 + math.exp(-log_odds))


def rebanded(facts: Facts, mismatch_from: float, prior: float) -> Facts:
    """Return recorded facts as a policy of other figures would have seen them.

    Facts without a score keep their outcome: it rests on no threshold. Where the deciding field's own part was not
    recorded, the LLR of all fields stands in for it.
    """
    combined = _number(facts.get("keystroke.llr"))
    changed: dict[str, SignalValue] = {}
    if combined is not None:
        absence = facts.get("keystroke.absence")
        told = "keystroke.deciding_llr" in facts or absence is not None
        own = _number(facts.get("keystroke.deciding_llr")) if told else combined
        outcome = outcome_of(combined, own, absence is not None, mismatch_from)
        changed["keystroke.outcome"] = str(outcome)
        changed["keystroke.cause"] = absence if outcome is Outcome.UNAVAILABLE else None
    if "risk.probability" in facts:
        changed["risk.probability"] = probability(combined, prior)
    return {**facts, **changed}


def _number(value: SignalValue) -> float | None:
    """Return a usable LLR: far above the 6 at which calibration stops, far below where an exponential overflows."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= 500.0 else None
