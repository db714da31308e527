"""Write ``keystroke/halves.json`` from what the two fits printed, so that anybody can make it again.

    python -m sidecar.evaluation.fit_second --data CMU --touch MEU --json fit.json           # five minutes
    python -m sidecar.evaluation.fit_halves --fit fit.json
    python -m sidecar.evaluation.fit_aging --data CMU --touch MEU --json aging.json          # a minute
    python -m sidecar.evaluation.fit_halves --fit fit.json --aging aging.json

The aging is fitted on scores with the constants of the halves, hence the two steps. Without ``--out`` the file is
compared with what is committed, and the command ends with 1 where they differ.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from sidecar.evaluation.keystroke.halves import FILE

HALVES = ("even", "odd")
Plain = dict[str, Any]


def halves_of(fit: Plain, aging: Plain | None) -> Plain:
    """What ``halves.json`` holds. ``fit``: of ``fit_second``; ``aging``: of ``fit_aging``."""
    made: Plain = {}
    for half in HALVES:
        words = f"the {half} half of the CMU subjects, repetitions 1-200, and of the MEU subjects, repetitions 6-35"
        made[half] = _half(fit[half], f"{words} (halves.json)", aging[half] if aging else None)
    return {
        fit["digest"]: {"set": "CMU DSL-StrongPassword", **made},
        fit["touch digest"]: {"set": "MEU-Mobile KSD 2016", **made},
    }


def _half(found: Plain, provenance: str, aging: list[float] | None) -> Plain:
    made: Plain = json.loads(json.dumps(found))
    made["form"]["provenance"] = provenance
    for layout, constants in made["calibrations"].items():
        constants["provenance"] = provenance
        if aging and layout == "positions":
            constants["aging"] = aging
        else:
            constants.pop("aging", None)
    return made


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", required=True)
    parser.add_argument("--aging")
    parser.add_argument("--out", help="write it here instead of comparing")
    chosen = parser.parse_args()
    parts = [
        json.loads(Path(name).read_text(encoding="utf-8")) if name else None for name in (chosen.fit, chosen.aging)
    ]
    made = halves_of(parts[0] or {}, parts[1])
    if chosen.out:
        Path(chosen.out).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    elif made != json.loads(FILE.read_text(encoding="utf-8")):
        sys.exit("halves.json is not what these fits give")


if __name__ == "__main__":
    main()
