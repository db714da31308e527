"""``one-class-svm-1``: Schoelkopf et al. 2001 with nu .5, as Killourhy & Maxion 2009 used it."""

import numpy as np

from sidecar.domain.biometrics import Floats, Parts
from sidecar.scoring.trained import Trained

NU = 0.5


class OneClassSvm(Trained):
    """Detector ``one-class-svm-1``: one less the decision's kernel sum by the sum of its coefficients."""

    name = "one-class-svm-1"

    def train(self, rows: Floats) -> Parts:
        """See ``Trained.train``: support vectors and their coefficients; gamma is 1 / d."""
        from sklearn.svm import OneClassSVM  # noqa: PLC0415 - loads slowly, and only enrolling needs it

        fitted = OneClassSVM(kernel="rbf", nu=NU, gamma=1.0 / rows.shape[1]).fit(rows)
        return {"vectors": fitted.support_vectors_.astype(np.float64), "heft": fitted.dual_coef_[0].astype(np.float64)}

    def score(self, parts: Parts, rows: Floats) -> Floats:
        """See ``Trained.score``."""
        gaps = ((rows[:, None, :] - parts["vectors"]) ** 2).sum(axis=2)
        heft = parts["heft"] / parts["heft"].sum()  # which grows with the number of samples
        found: Floats = np.maximum((1.0 - np.exp(-gaps / rows.shape[1])) @ heft, 0.0)
        return found
