"""What scoring costs: one login, one enrolment and one template, beside scikit-learn's own detectors in the same run.

``python -m benchmarks.scoring [--json]``. Generated typing of ten keys and Enter; medians of single calls in one
thread, of the quietest of five rounds.
"""

import argparse
import json
import pickle
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.svm import OneClassSVM
from threadpoolctl import threadpool_limits

from sidecar.domain.biometrics import Sample
from sidecar.evaluation.synthetic import probe_of, typist
from sidecar.features.keystroke import positions_kinds
from sidecar.scoring import CALIBRATED, DETECTORS, SHIPPED
from sidecar.scoring.calibration import to_llr
from sidecar.storage.arrays import pack_template

KEYS = 10
ROUNDS = 5
SAMPLES = 200
SCORE_MS, ENROLL_MS, BYTES = 0.1, 2.0, 4000  # what the shipped scorer may cost
Row = dict[str, float | int | str]


def main() -> None:
    """Print the table; exit code 1 where the shipped scorer costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args()
    with threadpool_limits(1):
        rows = measure()
    if chosen.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        sys.stdout.write(f"{'detector':<28}{'score, ms':>12}{'enroll, ms':>12}{'bytes':>10}\n")
        for row in rows:
            sys.stdout.write(
                f"{row['detector']:<28}{row['score_ms']:>12.4f}{row['enroll_ms']:>12.3f}{row['bytes']:>10}\n"
            )
    ours = next(row for row in rows if row["detector"] == SHIPPED)
    limits = {"score_ms": SCORE_MS, "enroll_ms": ENROLL_MS, "bytes": BYTES}
    over = [name for name, limit in limits.items() if float(ours[name]) > limit]
    if over:
        sys.stderr.write(f"{SHIPPED} costs more than it may: {', '.join(over)}\n")
        sys.exit(1)


def measure() -> list[Row]:
    """One row a detector, the two of scikit-learn last."""
    rng = np.random.default_rng(1)
    person = typist(1)
    rows = np.stack([probe_of(person.login(rng, KEYS)).values for _ in range(SAMPLES)])
    probe = probe_of(person.login(rng, KEYS)).values
    kinds = positions_kinds(KEYS)
    samples = [Sample(row, float(at)) for at, row in enumerate(rows)]
    found: list[Row] = []
    for name, detector in DETECTORS.items():
        template = detector.enroll(samples, kinds, "positions")
        size = len(pack_template(template))

        def score(detector=detector, template=template, name=name) -> None:  # type: ignore[no-untyped-def]
            distance = detector.distance(template, probe)
            if name in CALIBRATED:
                to_llr(distance, features=kinds.size, samples=SAMPLES, layout="positions", detector=name)

        enroll_ms = _ms(lambda detector=detector: detector.enroll(samples, kinds, "positions"), 10)  # type: ignore[misc]
        found.append({"detector": name, "score_ms": _ms(score, 200), "enroll_ms": enroll_ms, "bytes": size})
    for estimator in (OneClassSVM(nu=0.5, gamma=1 / rows.shape[1]), IsolationForest(random_state=0)):
        fitted = estimator.fit(rows)
        found.append(
            {
                "detector": f"scikit-learn {type(estimator).__name__}",
                "score_ms": _ms(lambda fitted=fitted: fitted.decision_function(probe[None, :]), 50),  # type: ignore[misc]
                "enroll_ms": _ms(lambda estimator=estimator: estimator.fit(rows), 5),  # type: ignore[misc]
                "bytes": len(pickle.dumps(fitted)),
            }
        )
    return found


def _ms(call: Callable[[], object], times: int) -> float:
    """Median time of single calls in the quietest of five rounds: other work on the machine only adds to it."""
    call()
    return min(_median_ms(call, max(1, times // ROUNDS)) for _ in range(ROUNDS))


def _median_ms(call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = perf_counter()
        call()
        taken.append((perf_counter() - began) * 1000.0)
    return median(taken)


if __name__ == "__main__":
    main()
