"""How strangers usually score, for ``sidecar.scoring.strangers``: prints its table, or compares.

    python -m sidecar.evaluation.usual --data CMU            # ends with 1 where the committed table is another
    python -m sidecar.evaluation.usual --data CMU --print

To be run again whenever a detector or its calibration changes: the table is of log-likelihood ratios.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from sidecar.domain.biometrics import Floats, Sample
from sidecar.evaluation.datasets import KEYS, browser_view, load_cmu
from sidecar.features.keystroke import positions_kinds
from sidecar.scoring import CALIBRATED, DETECTORS
from sidecar.scoring.calibration import to_llr
from sidecar.scoring.strangers import QUANTILES, STRANGERS

TEMPLATES = ((1, 20), (61, 90), (101, 150))  # repetitions, both included
TRIES = (1, 5, 200)
ENOUGH = 0.05  # by which a quantile may differ: other versions of numpy and scikit-learn move the last digits


def usual_scores(data: dict[str, Floats], name: str) -> Floats:
    """Log-likelihood ratios of everybody's tries against everybody else's templates, by one detector."""
    detector, kinds = DETECTORS[name], positions_kinds(KEYS)
    people = [browser_view(block) for block in data.values()]
    tries = [rows[[each - 1 for each in TRIES]] for rows in people]
    found = []
    for number, own in enumerate(people):
        strange = np.concatenate([each for other, each in enumerate(tries) if other != number])
        for first, last in TEMPLATES:
            samples = [Sample(own[row], float(row)) for row in range(first - 1, last)]
            template = detector.enroll(samples, kinds, "positions")
            found += [
                to_llr(float(each), features=kinds.size, samples=len(samples), layout="positions", detector=name)
                for each in detector.distances(template, strange)
            ]
    return np.array(found)


def table(data: dict[str, Floats], name: str) -> list[float]:
    """Quantiles as the product keeps them."""
    return [round(float(each), 2) for each in np.quantile(usual_scores(data, name), QUANTILES)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the CMU set: its file or folder")
    parser.add_argument("--print", action="store_true", help="print the table instead of comparing")
    chosen = parser.parse_args()
    data = load_cmu(Path(chosen.data))
    strange = []
    for name in CALIBRATED:
        made = table(data, name)
        if chosen.print:
            sys.stdout.write(f'"{name}": {made},\n')
        elif name not in STRANGERS or np.abs(np.array(made) - STRANGERS[name]).max() > ENOUGH:
            strange.append(name)
    if strange:
        sys.exit(f"sidecar/scoring/strangers.py is not what this set gives: {', '.join(strange)}")


if __name__ == "__main__":
    main()
