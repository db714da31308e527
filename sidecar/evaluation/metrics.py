"""Error rates and calibration figures. Scores: higher = more impostor-like; flagged where score >= threshold.

Definitions follow the project's protocols (equal error rate as in Killourhy & Maxion's published evaluation).
"""

import numpy as np
from sklearn.isotonic import IsotonicRegression

from sidecar.domain.biometrics import Floats
from sidecar.scoring.distinguish import equal_error_rate

__all__ = ["cllr", "equal_error_rate", "expected_calibration_error", "min_cllr", "miss_at_false_alarm"]


def miss_at_false_alarm(genuine: Floats, impostor: Floats, rate: float) -> float:
    """Share of impostors accepted where ``rate`` of the genuine scores are flagged (threshold: the higher
    neighbour).

    Raises ValueError where either is empty or not finite, or the rate is outside 0..1.
    """
    _check(genuine, impostor)
    if not 0.0 <= rate <= 1.0:
        raise ValueError("rate must be in 0..1")
    threshold = np.quantile(genuine, 1.0 - rate, method="higher")
    return float(np.mean(impostor < threshold))


def cllr(genuine: Floats, impostor: Floats) -> float:
    """Cost of log-likelihood ratios in bits (natural-log LLRs, impostor positive): 0 perfect, 1 says
    nothing.
    """
    _check(genuine, impostor)
    return float((np.logaddexp(0.0, genuine).mean() + np.logaddexp(0.0, -impostor).mean()) / (2.0 * np.log(2.0)))


def min_cllr(genuine: Floats, impostor: Floats) -> float:
    """Cllr after the best monotone map (isotonic, classes weighted equally): what calibration cannot
    repair.
    """
    _check(genuine, impostor)
    scores, labels, weights = _stacked(genuine, impostor)
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, labels, sample_weight=weights)
    posterior = np.clip(fitted.predict(scores), 1e-12, 1.0 - 1e-12)
    llr = np.log(posterior) - np.log1p(-posterior)
    return cllr(llr[: genuine.size], llr[genuine.size :])


def expected_calibration_error(genuine: Floats, impostor: Floats, bins: int = 15) -> float:
    """Mean gap between the posterior at prior .5 and the share of impostors, over equal-count bins;
    classes equal.
    """
    _check(genuine, impostor)
    scores, labels, weights = _stacked(genuine, impostor)
    posterior = np.exp(-np.logaddexp(0.0, -scores))
    edges = np.quantile(posterior, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    bin_of = np.searchsorted(edges, posterior, side="left")  # equal scores share a bin
    gaps = np.bincount(bin_of, weights=weights * (posterior - labels))
    return float(np.abs(gaps).sum() / weights.sum())


def _stacked(genuine: Floats, impostor: Floats) -> tuple[Floats, Floats, Floats]:
    scores = np.concatenate([genuine, impostor])
    labels = np.concatenate([np.zeros(genuine.size), np.ones(impostor.size)])
    weights = np.concatenate([np.full(genuine.size, 0.5 / genuine.size), np.full(impostor.size, 0.5 / impostor.size)])
    return scores, labels, weights


def _check(genuine: Floats, impostor: Floats) -> None:
    for name, scores in (("genuine", genuine), ("impostor", impostor)):
        if scores.ndim != 1 or scores.size == 0 or not np.isfinite(scores).all():
            raise ValueError(f"{name} scores need shape (n,), n >= 1, all finite")
