"""``gaussian-mixture-1``: two diagonal Gaussians."""

import numpy as np

from sidecar.domain.biometrics import Floats, Parts
from sidecar.scoring.trained import SEED, Trained

COMPONENTS = 2
LEAST_VARIANCE = 0.25  # added to each; with few samples a feature may not look certain


class GaussianMixture(Trained):
    """Detector ``gaussian-mixture-1``: root of twice the negative log density by d, less its least."""

    name = "gaussian-mixture-1"

    def train(self, rows: Floats) -> Parts:
        """See ``Trained.train``: weights, means and standard deviations."""
        from sklearn.mixture import GaussianMixture as Mixture  # noqa: PLC0415 - only enrolling needs it

        fitted = Mixture(
            COMPONENTS, covariance_type="diag", reg_covar=LEAST_VARIANCE, random_state=SEED, max_iter=300, tol=1e-2
        ).fit(rows)
        return {
            "heft": fitted.weights_.astype(np.float64),
            "means": fitted.means_.astype(np.float64),
            "spread": np.sqrt(fitted.covariances_).astype(np.float64),
        }

    def score(self, parts: Parts, rows: Floats) -> Floats:
        """See ``Trained.score``."""
        spread = parts["spread"]
        highest = np.log(np.maximum(parts["heft"], 1e-300)) - np.log(spread).sum(axis=1)
        away = (((rows[:, None, :] - parts["means"]) / spread) ** 2).sum(axis=2)
        found: Floats = np.logaddexp.reduce(highest) - np.logaddexp.reduce(highest - away / 2.0, axis=1)
        root: Floats = np.sqrt(np.maximum(found, 0.0) * 2.0 / rows.shape[1])
        return root
