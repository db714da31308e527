"""One scale for risk: the prior's log-odds moved by log-likelihood ratios."""

import math
from typing import Literal

from sidecar.domain.decisions import Judgement, Outcome


def probability(llr: float | None, prior: float) -> float:
    """Return the posterior probability of an impostor; without evidence exactly the prior (SCO8)."""
    log_odds = math.log(prior / (1 - prior)) + (llr or 0.0)
    return 1 / (1 + math.exp(-log_odds))


def level(judgement: Judgement) -> Literal["low", "high", "unknown"]:
    """Return the coarse level that identity providers may see. It is no oracle: it follows the outcome only (SEC6)."""
    if judgement.outcome is Outcome.MATCH:
        return "low"
    return "high" if judgement.outcome is Outcome.MISMATCH else "unknown"
