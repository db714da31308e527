"""``autoencoder-1``: a small network (MLPRegressor) that gives its input back; error where it cannot."""

import numpy as np

from sidecar.domain.biometrics import Floats, Parts
from sidecar.scoring.trained import SEED, Trained

HIDDEN = (16, 6, 16)
EPOCHS = 120


class Autoencoder(Trained):
    """Detector ``autoencoder-1``: mean squared error of the reconstruction."""

    name = "autoencoder-1"

    def train(self, rows: Floats) -> Parts:
        """See ``Trained.train``: weights and offsets by layer. A fixed number of epochs, not a fixed loss."""
        from sklearn.neural_network import MLPRegressor  # noqa: PLC0415 - loads slowly, and only enrolling needs it

        model = MLPRegressor(hidden_layer_sizes=HIDDEN, activation="tanh", random_state=SEED, learning_rate_init=0.01)
        target = rows if rows.shape[1] > 1 else rows.ravel()  # of one number the library wants a row
        for _ in range(EPOCHS):
            model.partial_fit(rows, target)
        found: dict[str, Floats] = {}
        for number, (weights, offset) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
            found[f"weights {number}"] = weights.reshape(-1, offset.size).astype(np.float64)
            found[f"offset {number}"] = offset.astype(np.float64)
        return found

    def score(self, parts: Parts, rows: Floats) -> Floats:
        """See ``Trained.score``."""
        layer = rows
        last = len(parts) // 2 - 1
        for number in range(last + 1):
            layer = layer @ parts[f"weights {number}"] + parts[f"offset {number}"]
            layer = layer if number == last else np.tanh(layer)
        found: Floats = ((layer - rows) ** 2).mean(axis=1)
        return found
