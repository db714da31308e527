"""What the shipped scorer must reach on the public sets, in one place: ``evaluate keystroke --require`` holds it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sidecar.evaluation.keystroke.figures import Row
from sidecar.scoring import SHIPPED
from sidecar.scoring.scaled_manhattan import ScaledManhattan

AIMS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "km09": {"eer": 0.043, "geer": 0.055},
        "km09-practised": {"eer": 0.082, "geer": 0.095},
        "known-10": {"eer": 0.046, "geer": 0.060},
        "cold-10-confirmed": {"eer": 0.052, "geer": 0.058},
        "one-a-day": {"eer": 0.090, "geer": 0.130},
        "day-lagged": {"eer": 0.043, "geer": 0.050},
        "cohort": {"eer": 0.035, "geer": 0.042, "cllr": 0.17, "ece": 0.02},
        "cohort-practised": {"eer": 0.050, "geer": 0.060},
        "cohort-day-lagged": {"eer": 0.026, "geer": 0.031},
        "meu-10": {"eer": 0.080, "geer": 0.122},
    }
)
PUBLISHED = 0.0962  # scaled Manhattan on km09 (Killourhy & Maxion 2009): the check that the protocol is the known one


def missed(rows: Sequence[Row], settings: Sequence[str]) -> list[str]:
    """A sentence for each figure of these settings that is above its aim, or missing, and for a protocol gone astray."""
    found = []
    for setting in settings:
        ours = [row for row in rows if row["setting"] == setting and row["status"] == "measured"]
        if setting in AIMS and not any(row["detector"] == SHIPPED for row in ours):
            found.append(f"{setting}: not measured with {SHIPPED}")
        for row in ours:
            if row["detector"] == SHIPPED:
                found += _above(row, AIMS.get(setting, {}))
            elif row["detector"] == ScaledManhattan.name and setting == "km09":
                found += _astray(row)
    return found


def _above(row: Row, aims: Mapping[str, float]) -> list[str]:
    where = f"{row['set']} {row['setting']}"
    return [
        f"{where}: {name} {value:.4f} is above {aim:g}"
        for name, aim in aims.items()
        if isinstance(value := row[name], float) and not value <= aim
    ]


def _astray(row: Row) -> list[str]:
    eer = row["eer"]
    if isinstance(eer, float) and round(eer, 4) == PUBLISHED:
        return []
    return [f"{row['set']} km09: scaled Manhattan has EER {eer}, not {PUBLISHED} as published"]
