"""Baselines of the literature, for comparison only: scikit-learn's, on standardised timings.

Nothing here runs at a login or is stored. Hyper-parameters are the ones of the named papers or the library's
defaults; none was searched for. A missing timing is replaced by the person's median.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.svm import OneClassSVM

from sidecar.domain.biometrics import Floats
from sidecar.evaluation.keystroke.models import SLOW, Fitted, Model, parted
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.scoring.explain import median_of

TREES = 100
HIDDEN = (20, 8, 20)
EPOCHS = 200
_NODE_BYTES = 20  # two children, a column, a threshold and a count in 4 bytes each
_FLAT = 1e-9  # ms

Learner = Callable[[Floats, int], tuple[Callable[[Floats], Floats], int]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A learner of standardised rows: gives a scoring function and its size in 4-byte numbers' bytes."""

    name: str
    learner: Learner
    constants: str
    cadence: int = 1
    calibrated: bool = False
    touch: bool = False

    def unseen(self, data: KeystrokeSet, user: int) -> Model:  # noqa: ARG002 - nothing here was fitted on anybody
        """See ``Model.unseen``."""
        return self

    def saw(self, data: KeystrokeSet, user: int) -> bool:  # noqa: ARG002 - see above
        """See ``Model.saw``."""
        return False

    def fit(self, rows: Floats, kinds: NDArray[np.uint8], seed: int) -> Fitted:  # noqa: ARG002 - times are times
        """See ``Model.fit``."""
        middle = median_of(list(rows))
        filled = np.nan_to_num(np.where(np.isfinite(rows), rows, middle))
        spread = filled.std(axis=0)
        spread = np.where(spread > _FLAT, spread, 1.0)
        mean = filled.mean(axis=0)
        score, size = self.learner((filled - mean) / spread, seed)
        return _Standardised(middle, mean, spread, score, size)


@dataclass(frozen=True, slots=True)
class _Standardised:
    middle: Floats
    mean: Floats
    spread: Floats
    score: Callable[[Floats], Floats]
    size: int

    def scores(self, probes: Floats) -> Floats:
        known = np.isfinite(probes) & np.isfinite(self.middle)
        filled = np.nan_to_num(np.where(known, probes, self.middle))
        return np.where(known.any(axis=1), self.score((filled - self.mean) / self.spread), np.nan)

    def aged(self, scores: Floats, sittings: int, ages: Floats) -> Floats:  # noqa: ARG002 - nothing is calibrated here
        return scores

    def stored_bytes(self) -> int:
        return self.size + 3 * 4 * self.mean.size


def _mahalanobis(rows: Floats, _seed: int) -> tuple[Callable[[Floats], Floats], int]:
    """Distance to the nearest own row under the own covariance (pseudo-inverse, as up-down follows from the rest)."""
    covariance = np.cov(rows, rowvar=False) if len(rows) > 1 else np.eye(rows.shape[1])
    inverse = np.linalg.pinv(np.atleast_2d(covariance), rcond=1e-10, hermitian=True)
    values, vectors = np.linalg.eigh(inverse)
    whiten = vectors * np.sqrt(np.maximum(values, 0.0))
    own = rows @ whiten

    def score(probes: Floats) -> Floats:
        return np.concatenate([_nearest(part @ whiten, own) for part in parted(probes, own.shape[0])])

    return score, 4 * (rows.size + inverse.size)


def _nearest(points: Floats, own: Floats) -> Floats:
    gaps = points[:, None, :] - own[None, :, :]
    found: Floats = np.sqrt((gaps**2).sum(axis=2).min(axis=1))
    return found


def _one_class_svm(rows: Floats, _seed: int) -> tuple[Callable[[Floats], Floats], int]:
    fitted = OneClassSVM(kernel="rbf", nu=0.5, gamma=1.0 / rows.shape[1]).fit(rows)
    return lambda probes: -fitted.decision_function(probes), 4 * (fitted.support_vectors_.size + fitted.dual_coef_.size)


def _isolation_forest(rows: Floats, seed: int) -> tuple[Callable[[Floats], Floats], int]:
    fitted = IsolationForest(n_estimators=TREES, random_state=seed).fit(rows)
    nodes = sum(tree.tree_.node_count for tree in fitted.estimators_)
    return lambda probes: -fitted.score_samples(probes), _NODE_BYTES * nodes


def _autoencoder(rows: Floats, seed: int) -> tuple[Callable[[Floats], Floats], int]:
    fitted = MLPRegressor(hidden_layer_sizes=HIDDEN, activation="tanh", max_iter=EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs, not a fixed loss
        fitted.fit(rows, rows if rows.shape[1] > 1 else rows.ravel())

    def score(probes: Floats) -> Floats:
        error: Floats = ((fitted.predict(probes).reshape(probes.shape) - probes) ** 2).mean(axis=1)
        return error

    return score, 4 * sum(part.size for part in (*fitted.coefs_, *fitted.intercepts_))


BASELINES: tuple[Model, ...] = (
    Baseline("nearest-mahalanobis", _mahalanobis, "none; as in Killourhy & Maxion 2009"),
    Baseline("one-class-svm", _one_class_svm, "nu .5 as in Killourhy & Maxion 2009; gamma 1/d"),
    Baseline("isolation-forest", _isolation_forest, f"{TREES} trees, library defaults", SLOW),
    Baseline("autoencoder", _autoencoder, f"{HIDDEN}, tanh, {EPOCHS} epochs, library defaults", SLOW),
)
