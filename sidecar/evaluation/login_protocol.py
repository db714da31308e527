"""The login protocol: ten samples enrolled, then frozen; ten genuine logins; every other subject tries once,
twice over.

    python -m sidecar.evaluation.login_protocol --data CMU [--json FILE]

prints the shares of docs/rehearsal.md: both scorers at the shipped threshold, scaled Manhattan at one chosen with the
same aim, and a password that was brand-new when it was enrolled.

``run`` with its defaults is the acceptance protocol (own 191-200, genuine 201-210, others' 1 and 400). With
an earlier ``Window`` it is the analogous protocol from which the shipped threshold was chosen without looking
past repetition 200.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sidecar.domain.biometrics import Floats, Sample
from sidecar.evaluation.datasets import KEYS, browser_view, load_cmu
from sidecar.features.keystroke import positions_kinds
from sidecar.scoring import DETECTORS, SHIPPED
from sidecar.scoring.calibration import CHALLENGE_LLR, Circumstances, to_llr
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.nearest_recent import NearestRecent
from sidecar.scoring.scaled_manhattan import ScaledManhattan

Result = dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Window:
    """Which repetitions (counted from 1) take part: template and genuine are first and last, both
    included. ``age``: sittings between them, as a login counts them; a rehearsal enrolls and tries within minutes.
    """

    template: tuple[int, int] = (191, 200)
    genuine: tuple[int, int] = (201, 210)
    first: int = 1
    practised: int = 400
    age: float = 0.0


ACCEPTANCE = Window()
FIRST_CHALLENGE_LLR = 0.9  # the threshold that was shipped with the first scorer
BRAND_NEW = tuple(
    Window((1, 10), own, 1, 400, age) for own, age in (((11, 20), 0.0), ((51, 60), 1.0), ((201, 210), 4.0))
)
CHOICE = (Window((91, 100), (101, 110), 1, 200), Window((141, 150), (151, 160), 1, 200))


@dataclass(frozen=True, slots=True)
class Trials:
    """Pooled scores: ``genuine``, ``first``, ``practised``, each of shape (number of decisions,)."""

    genuine: Floats
    first: Floats
    practised: Floats


def run(
    data: dict[str, Floats],
    detector: OneClassDetector,
    threshold: float,
    *,
    window: Window = ACCEPTANCE,
    scale: Literal["llr", "distance"] = "llr",
) -> Result:
    """Challenge where the score is at or above the one threshold; shares challenged, over all subjects
    pooled.

    ``data`` as from ``load_cmu``. ``scale``: ``llr`` for the calibrated detector, ``distance`` for any.
    """
    trials = score(data, detector, window=window, scale=scale)
    return {
        "detector": detector.name,
        "threshold": float(threshold),
        "genuine_challenged": float(np.mean(trials.genuine >= threshold)),
        "impostor_first_challenged": float(np.mean(trials.first >= threshold)),
        "impostor_practised_challenged": float(np.mean(trials.practised >= threshold)),
        "subjects": len(data),
        "decisions": int(trials.genuine.size + trials.first.size + trials.practised.size),
    }


def score(
    data: dict[str, Floats],
    detector: OneClassDetector,
    *,
    window: Window = ACCEPTANCE,
    scale: Literal["llr", "distance"] = "llr",
) -> Trials:
    """Scores of every decision of the protocol."""
    values = {subject: browser_view(block) for subject, block in data.items()}
    genuine, first, practised = [], [], []
    for subject, own in values.items():
        chosen = [Sample(own[i], float(i)) for i in range(window.template[0] - 1, window.template[1])]
        template = detector.enroll(chosen, positions_kinds(KEYS), "positions")
        others = [block for name, block in values.items() if name != subject]
        genuine.append(detector.distances(template, own[window.genuine[0] - 1 : window.genuine[1]]))
        first.append(detector.distances(template, np.stack([block[window.first - 1] for block in others])))
        practised.append(detector.distances(template, np.stack([block[window.practised - 1] for block in others])))
    samples = window.template[1] - window.template[0] + 1
    pooled = [np.concatenate(part) for part in (genuine, first, practised)]
    return Trials(*(_scaled(part, samples, window.age, scale, detector.name) for part in pooled))


def _scaled(distances: Floats, samples: int, age: float, scale: str, detector: str) -> Floats:
    if scale == "distance":
        return distances
    return np.array(
        [
            to_llr(
                float(distance),
                features=3 * KEYS,
                samples=samples,
                layout="positions",
                detector=detector,
                when=Circumstances(1, age),
            )
            for distance in distances
        ]
    )


def same_aim(data: dict[str, Floats], detector: OneClassDetector, share: float) -> float:
    """The distance from which this share of genuine attempts is challenged in the windows of ``CHOICE``."""
    genuine = np.concatenate([score(data, detector, window=window, scale="distance").genuine for window in CHOICE])
    return float(np.quantile(genuine, 1.0 - share, method="higher"))


def table(data: dict[str, Floats]) -> list[Result]:
    """Every row of the tables in docs/rehearsal.md that is not of a whole login."""
    shipped, first, plain = DETECTORS[SHIPPED], NearestRecent(), ScaledManhattan()
    chosen = np.concatenate([score(data, first, window=window).genuine for window in CHOICE])
    aim = float(np.mean(chosen >= FIRST_CHALLENGE_LLR))  # what the first threshold was chosen for
    rows: list[tuple[str, Result]] = [
        ("shipped threshold", run(data, shipped, CHALLENGE_LLR)),
        ("its own threshold", run(data, first, FIRST_CHALLENGE_LLR)),
        ("same aim", run(data, plain, same_aim(data, plain, aim), scale="distance")),
    ]
    for window in BRAND_NEW:
        words = "brand-new: own {}-{}, genuine {}-{}".format(*window.template, *window.genuine)
        rows.append((words, run(data, shipped, CHALLENGE_LLR, window=window)))
    return [{"what": words, **row} for words, row in rows]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the CMU set: its file or folder")
    parser.add_argument("--json", help="write the rows to this file")
    chosen = parser.parse_args()
    rows = table(load_cmu(chosen.data))
    for row in rows:
        shares = [row[f"{kind}_challenged"] for kind in ("genuine", "impostor_first", "impostor_practised")]
        words = f"{row['detector']:<18}{row['what']:<44}" + "".join(f"{share:>8.1%}" for share in shares)
        sys.stdout.write(words + "\n")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
