"""``local-outlier-factor-1``: Breunig et al. 2000, ten neighbours."""

import numpy as np

from sidecar.domain.biometrics import Floats, Parts
from sidecar.scoring.trained import Trained

NEIGHBOURS = 10


class LocalOutlierFactor(Trained):
    """Detector ``local-outlier-factor-1``: how much thinner the probe's neighbourhood is than its neighbours' own."""

    name = "local-outlier-factor-1"

    def train(self, rows: Floats) -> Parts:
        """See ``Trained.train``: the rows, how far their tenth neighbours are, and their local densities."""
        from sklearn.neighbors import LocalOutlierFactor as Factor  # noqa: PLC0415 - only enrolling needs it

        fitted = Factor(n_neighbors=NEIGHBOURS, novelty=True).fit(rows)
        return {
            "rows": rows,
            "reach": fitted._distances_fit_X_[:, -1].astype(np.float64),
            "density": fitted._lrd.astype(np.float64),
        }

    def score(self, parts: Parts, rows: Floats) -> Floats:
        """See ``Trained.score``."""
        far = np.sqrt(((rows[:, None, :] - parts["rows"]) ** 2).sum(axis=2))
        near = np.argsort(far, axis=1, kind="stable")[:, :NEIGHBOURS]
        reach = np.maximum(np.take_along_axis(far, near, axis=1), parts["reach"][near])
        density = 1.0 / (reach.mean(axis=1) + 1e-10)  # the library's own guard
        found: Floats = parts["density"][near].mean(axis=1) / density
        return found
