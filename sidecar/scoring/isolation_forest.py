"""``isolation-forest-1``: Liu, Ting & Zhou 2008, fifty trees, library defaults otherwise."""

import numpy as np

from sidecar.domain.biometrics import Floats, Parts
from sidecar.scoring.trained import SEED, Trained

TREES = 50


class IsolationForest(Trained):
    """Detector ``isolation-forest-1``: the anomaly score 2^(-mean path / usual path), between 0 and 1."""

    name = "isolation-forest-1"

    def train(self, rows: Floats) -> Parts:
        """See ``Trained.train``: all trees' nodes in one table; a leaf is its own child, and knows its path length."""
        from sklearn.ensemble import IsolationForest as Forest  # noqa: PLC0415 - loads slowly, only enrolling needs it

        fitted = Forest(n_estimators=TREES, random_state=SEED).fit(rows)
        roots, left, right, feature, threshold, path = [], [], [], [], [], []
        start = 0
        for estimator in fitted.estimators_:
            tree = estimator.tree_
            places = np.arange(tree.node_count) + start
            leaf = tree.children_left < 0
            roots.append(start)
            left.append(np.where(leaf, places, tree.children_left + start))
            right.append(np.where(leaf, places, tree.children_right + start))
            feature.append(np.where(leaf, 0, tree.feature))
            threshold.append(tree.threshold)
            path.append(_depths(tree.children_left, tree.children_right) + _usual_path(tree.n_node_samples))
            start += tree.node_count
        usual = TREES * _usual_path(np.array([fitted.max_samples_]))
        found = {
            "roots": np.array(roots),
            "left": np.concatenate(left),
            "right": np.concatenate(right),
            "feature": np.concatenate(feature),
        }
        return {
            **{name: part.astype(np.int32) for name, part in found.items()},
            "threshold": np.concatenate(threshold).astype(np.float64),
            "path": np.concatenate(path).astype(np.float64),
            "usual": usual.astype(np.float64),
        }

    def score(self, parts: Parts, rows: Floats) -> Floats:
        """See ``Trained.score``. Comparisons are made in single precision, as the library makes them."""
        single = rows.astype(np.float32).astype(np.float64)
        left, right, feature, threshold = (parts[key] for key in ("left", "right", "feature", "threshold"))
        at = np.tile(parts["roots"], (len(rows), 1))
        line = np.arange(len(rows))[:, None]
        while True:
            lower = single[line, feature[at]] <= threshold[at]
            following = np.where(lower, left[at], right[at])
            if (following == at).all():
                break
            at = following
        found: Floats = np.exp2(-parts["path"][at].sum(axis=1) / parts["usual"][0])
        return found


def _usual_path(samples: Floats) -> Floats:
    """Mean path of an unsuccessful search in a binary search tree of so many samples."""
    wide = np.asarray(samples, dtype=np.float64)
    many = np.maximum(wide, 3.0)
    found: Floats = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(wide <= 1, 0.0, np.where(wide <= 2, 1.0, found))


def _depths(left: Floats, right: Floats) -> Floats:
    depth = np.zeros(len(left))
    for node in range(len(left)):  # a parent comes before its children
        if left[node] >= 0:
            depth[left[node]] = depth[right[node]] = depth[node] + 1.0
    return depth
