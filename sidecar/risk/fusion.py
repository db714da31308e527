"""One scale for risk: the prior's log-odds moved by log-likelihood ratios."""

from typing import Literal

from sidecar.domain.decisions import Judgement, Outcome
from sidecar.policy.bands import probability

__all__ = ["level", "probability"]


def level(judgement: Judgement) -> Literal["low", "high", "unknown"]:
    """Return the coarse level that identity providers may see. It is no oracle: it follows the outcome only (SEC6)."""
    if judgement.outcome is Outcome.MATCH:
        return "low"
    return "high" if judgement.outcome is Outcome.MISMATCH else "unknown"
