"""``one-class-svm-1``: Schoelkopf et al. 2001 with nu .5, as Killourhy & Maxion 2009 used it."""

import numpy as np

from sidecar.domain.biometrics import Floats, Parts
from sidecar.scoring.trained import Trained

NU = 0.5
_NONE = 1e-300


class OneClassSvm(Trained):
    """Detector ``one-class-svm-1``: root of the negative logarithm of the decision's kernel sum by its coefficients' sum.

    The order is that of the decision function. Without root and logarithm, which turn kernels back into distances, nearly
    all attempts lie between .9 and 1, and a calibration is too steep there to be right for anybody: Cllr .664 and .760
    instead of .601 and .636 (positions and summary; CMU repetitions 1-200, subjects out of fold).
    """

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
        near = gaps / rows.shape[1]
        least = near.min(axis=1, keepdims=True)  # taken out, so that far attempts differ beyond what a number can hold
        alike = np.exp(least - near) @ heft
        found: Floats = np.sqrt(np.maximum(least[:, 0] - np.log(np.maximum(alike, _NONE)), 0.0))
        return found
