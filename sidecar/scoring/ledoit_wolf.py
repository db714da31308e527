"""``ledoit-wolf-1``: Mahalanobis distance under a covariance shrunk by the rule of Ledoit and Wolf 2004."""

import numpy as np

from sidecar.domain.biometrics import Floats, Parts
from sidecar.scoring.trained import Trained


class LedoitWolf(Trained):
    """Detector ``ledoit-wolf-1``: root of the squared distance by the number of features."""

    name = "ledoit-wolf-1"

    def train(self, rows: Floats) -> Parts:
        """See ``Trained.train``: location and precision."""
        from sklearn.covariance import LedoitWolf as Covariance  # noqa: PLC0415 - only enrolling needs it

        fitted = Covariance().fit(rows)
        return {
            "location": fitted.location_.astype(np.float64),
            "precision": fitted.precision_.astype(np.float64),
        }

    def score(self, parts: Parts, rows: Floats) -> Floats:
        """See ``Trained.score``."""
        away = rows - parts["location"]
        squared = np.einsum("ij,jk,ik->i", away, parts["precision"], away)
        found: Floats = np.sqrt(np.maximum(squared, 0.0) / rows.shape[1])
        return found
