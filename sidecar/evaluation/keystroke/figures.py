"""From scores to figures: error rates, calibration, and intervals by resampling users."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.evaluation import metrics
from sidecar.evaluation.keystroke.play import Scores

RESAMPLES = 2000
GRID = 1500  # thresholds that intervals of pooled rates are computed on; the figures themselves use every score
WORST_FRR = 0.10
POLICY_FRR = 0.05

Row = dict[str, object]


@dataclass(frozen=True)
class Measured:
    """The scores of all users of one setting and detector; ``llr``: they are log-likelihood ratios."""

    users: Sequence[Scores]
    llr: bool

    @cached_property
    def genuine(self) -> Floats:
        """All genuine scores."""
        return np.concatenate([user.genuine for user in self.users])

    @cached_property
    def impostor(self) -> Floats:
        """All impostor scores."""
        return np.concatenate([user.impostor for user in self.users])

    @cached_property
    def eers(self) -> Floats:
        """Equal error rate by user."""
        return np.array([metrics.equal_error_rate(user.genuine, user.impostor) for user in self.users])

    def far(self, rate: float) -> Floats:
        """False accepts by user where ``rate`` of the user's genuine attempts are rejected."""
        return np.array([metrics.miss_at_false_alarm(user.genuine, user.impostor, rate) for user in self.users])

    @cached_property
    def above(self) -> Floats:
        """1 for a user who is rejected in more than 10% of the attempts where 5% of everybody's are."""
        threshold = np.quantile(self.genuine, 1.0 - POLICY_FRR, method="higher")
        return np.array([float(np.mean(user.genuine >= threshold) > WORST_FRR) for user in self.users])


def weights(users: int, seed: int) -> Floats:
    """How often each user is in each bootstrap resample, shape (2000, users)."""
    rng = np.random.default_rng([seed, 0xB007])
    return rng.multinomial(users, np.full(users, 1.0 / users), size=RESAMPLES).astype(np.float64)


def figures(measured: Measured, drawn: Floats, yardstick: Mapping[str, Floats] | None) -> tuple[Row, dict[str, Floats]]:
    """The figures of one row, and the resampled values that later rows are paired with.

    ``drawn``: as from ``weights``. ``yardstick``: resampled values of scaled Manhattan, None for itself.
    """
    far1, far5 = measured.far(0.01), measured.far(0.05)
    row: Row = {
        "eer": float(measured.eers.mean()),
        "geer": metrics.equal_error_rate(measured.genuine, measured.impostor),
        "far_at_frr1": float(far1.mean()),
        "far_at_frr5": float(far5.mean()),
        "gfar_at_frr1": metrics.miss_at_false_alarm(measured.genuine, measured.impostor, 0.01),
        "gfar_at_frr5": metrics.miss_at_false_alarm(measured.genuine, measured.impostor, 0.05),
        **_calibration(measured),
        "users_above_10_frr": float(measured.above.mean()),
        "subjects": len(measured.users),
        "genuine": int(measured.genuine.size),
        "impostor": int(measured.impostor.size),
    }
    per_user = {"eer": measured.eers, "far_at_frr1": far1, "far_at_frr5": far5, "users_above_10_frr": measured.above}
    resampled: dict[str, Floats] = {name: drawn @ values / drawn.sum(axis=1) for name, values in per_user.items()}
    resampled["geer"] = _pooled(measured, drawn)
    if measured.llr:
        resampled["cllr"] = _resampled_cllr(measured, drawn)
    row["ci95"] = {name: _interval(values) for name, values in resampled.items()}
    row["against_scaled_manhattan"] = (
        {name: _interval(resampled[name] - yardstick[name]) for name in ("eer", "geer", "far_at_frr1", "far_at_frr5")}
        if yardstick
        else None
    )
    return row, resampled


def _calibration(measured: Measured) -> Row:
    if not measured.llr:
        return {"cllr": None, "min_cllr": None, "ece": None}
    return {
        "cllr": metrics.cllr(measured.genuine, measured.impostor),
        "min_cllr": metrics.min_cllr(measured.genuine, measured.impostor),
        "ece": metrics.expected_calibration_error(measured.genuine, measured.impostor),
    }


def _interval(values: Floats) -> list[float]:
    return [float(edge) for edge in np.quantile(values, (0.025, 0.975))]


def _pooled(measured: Measured, drawn: Floats) -> Floats:
    """gEER of each resample, by interpolation between grid thresholds as in ``metrics.equal_error_rate``."""
    scores = np.unique(np.concatenate([measured.genuine, measured.impostor]))
    grid = np.append(scores[np.unique(np.linspace(0, scores.size - 1, GRID).round().astype(int))], np.inf)
    alarm = 1.0 - _weighted_below(drawn, [user.genuine for user in measured.users], grid)
    miss = _weighted_below(drawn, [user.impostor for user in measured.users], grid)
    difference = miss - alarm
    right = np.argmax(difference >= 0, axis=1)
    line = np.arange(drawn.shape[0])
    low, high = difference[line, right - 1], difference[line, right]
    part = -low / (high - low)
    found: Floats = miss[line, right - 1] + part * (miss[line, right] - miss[line, right - 1])
    return found


def _weighted_below(drawn: Floats, users: list[Floats], grid: Floats) -> Floats:
    """Share of the resample's scores below each threshold, shape (resamples, thresholds)."""
    below = np.stack([np.searchsorted(np.sort(scores), grid, side="left") for scores in users]).astype(np.float64)
    sizes = np.array([scores.size for scores in users], dtype=np.float64)
    shares: Floats = (drawn @ below) / (drawn @ sizes)[:, None]
    return shares


def _resampled_cllr(measured: Measured, drawn: Floats) -> Floats:
    def mean(cost: Callable[[Scores], Floats]) -> Floats:
        costs = [cost(user) for user in measured.users]
        sums, sizes = np.array([c.sum() for c in costs]), np.array([float(c.size) for c in costs])
        means: Floats = (drawn @ sums) / (drawn @ sizes)
        return means

    both = mean(lambda u: np.logaddexp(0.0, u.genuine)) + mean(lambda u: np.logaddexp(0.0, -u.impostor))
    found: Floats = both / (2.0 * np.log(2.0))
    return found
