"""Whose typing the shipped constants were fitted on, known again by what was typed: not by names, order or layout.

A repetition is known by the hash of its first eight down-downs, and of its first eight holds, in steps of 10 ms. Half of
the steps lie where rounding to whole milliseconds changes nothing, so a copy that was rounded, renamed, sorted otherwise,
cut down or written as key events is still known. ``known.json`` has these hashes and nothing of the timings:

    python -m sidecar.evaluation.keystroke.known --data DIR          # compares; --out FILE writes
"""

import argparse
import hashlib
import json
import sys
from base64 import b64decode, b64encode
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.halves import digests
from sidecar.evaluation.keystroke.sets import Extra, KeystrokeSet

FILE = Path(__file__).with_name("known.json")
COLUMNS = 8  # timings in a hash: eight at 10 ms are some 30 bits, so that hardly two people share one by chance
STEP = 10.0  # ms
EDGE = 4.45  # ms; between what rounds down and what rounds up to a whole millisecond, of timings in steps of 0.1 ms
BYTES = 3
# The set that gave detectors other than the shipped one nothing but spreads of pressure and size.
TOUCH = "841820434f74b1e8f382668d9c81e7e35f86679f1f1c63ba3029543461b85a89"
FEWEST, SHARE = (
    2,
    0.25,
)  # repetitions in common from which, and share of the comparable ones at which, people are the same

Person = tuple[str, int]
"""A person of a fitted set: its digest, and their place in it."""

Table = tuple[dict[int, set[Person]], dict[int, set[Person]]]
_found: dict[str, tuple[Person | None, ...]] = {}  # by digest of the set


def recognised(data: KeystrokeSet) -> tuple[Person | None, ...]:
    """Who of the fitted people each person of a set is; None for those who are none of them."""
    if data.digest not in _found:
        _found[data.digest] = tuple(_who(hashes(data, number)) for number in range(len(data.people)))
    return _found[data.digest]


def hashes(data: KeystrokeSet, number: int) -> tuple[NDArray[np.uint32], ...]:
    """Hashes of a person's repetitions: by down-downs, and by holds; shape (n,) each, without those that lack a timing."""
    values = data.people[number].values
    times = data.extra == Extra.NONE
    return tuple(_hashed(values[:, times & (data.kinds == kind)]) for kind in (Kind.DOWN_DOWN, Kind.HOLD))


def _hashed(rows: Floats) -> NDArray[np.uint32]:
    if rows.shape[1] < COLUMNS:
        return np.empty(0, dtype=np.uint32)
    chosen = rows[:, :COLUMNS]
    chosen = chosen[np.isfinite(chosen).all(axis=1)]
    steps = np.clip(np.floor((chosen - EDGE) / STEP), -(2**31), 2**31 - 1).astype("<i4")
    made = [int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:BYTES], "little") for row in steps]
    return np.array(made, dtype=np.uint32)


def _who(found: tuple[NDArray[np.uint32], ...]) -> Person | None:
    for kind, own in enumerate(found):
        votes = Counter(person for each in own.tolist() for person in _table()[kind].get(each, ()))
        if votes:
            person, count = votes.most_common(1)[0]
            if count >= FEWEST and count >= SHARE * own.size:
                return person
    return None


def counts() -> dict[str, int]:
    """How many people of each fitted set are known."""
    return {digest: len(people) for digest, people in json.loads(FILE.read_text(encoding="utf-8")).items()}


@cache
def _table() -> Table:
    return table_of(json.loads(FILE.read_text(encoding="utf-8")))


def table_of(packed: dict[str, list[list[str]]]) -> Table:
    """Whose hash is whose, by kind of hash. ``packed``: as in the file, sets of people of hashes by kind."""
    tables: Table = ({}, {})
    for digest, people in packed.items():
        for number, kinds in enumerate(people):
            for table, text in zip(tables, kinds, strict=True):
                for each in _unpacked(text).tolist():
                    table.setdefault(each, set()).add((digest, number))
    return tables


def _packed(found: NDArray[np.uint32]) -> str:
    return b64encode(found.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :BYTES].tobytes()).decode()


def _unpacked(text: str) -> NDArray[np.uint32]:
    wide = np.zeros((len(raw := b64decode(text)) // BYTES, 4), dtype=np.uint8)
    wide[:, :BYTES] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, BYTES)
    return wide.reshape(-1).view("<u4").astype(np.uint32)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder with the sets that halves.json was fitted on")
    parser.add_argument("--out", help="write it here instead of comparing")
    chosen = parser.parse_args()
    sets = {each.digest: each for each in find_sets(Path(chosen.data)).sets}
    missing = [digest for digest in digests() if digest not in sets]
    if missing:
        sys.exit(f"no set of digest {', '.join(missing)} here")
    made = {
        digest: [[_packed(kind) for kind in hashes(sets[digest], number)] for number in range(len(sets[digest].people))]
        for digest in digests()
    }
    if chosen.out:
        Path(chosen.out).write_text(json.dumps(made, indent=0) + "\n", encoding="utf-8")
    elif made != json.loads(FILE.read_text(encoding="utf-8")):
        sys.exit("known.json is not of these sets")


if __name__ == "__main__":
    main()
