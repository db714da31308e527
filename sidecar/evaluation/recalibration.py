"""The ``evaluate calibration`` command: count labelled decisions from a growing file, and print the correction.

Fit for cron: each run goes on at the line where the last one stopped. Counts and place are written together and
atomically after every thousand lines, so that a run that is killed counts nothing twice and nothing is lost.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from sidecar.errors import BadRequest
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.scoring.recalibrate import FEWEST_OWN, FEWEST_STRANGE, Tally, correction

CHUNK = 1000


def run_recalibration(*, decisions: Path, state: Path) -> None:
    """Go on counting, and print. Raises BadRequest, DatasetInvalid."""
    tally = count(decisions, state)
    out = Console(highlight=False)
    own, strange = int(tally.own.sum()), int(tally.strange.sum())
    out.print(f"own logins: {own}, strangers' attempts: {strange}")
    try:
        found = correction(tally)
    except ValueError as wrong:
        raise BadRequest(f"{wrong}: look for a change of widget, keyboard layout or detector first") from None
    if found is None:
        out.print(f"too few to say anything: {FEWEST_OWN} own and {FEWEST_STRANGE} strange ones are needed")
        return
    out.print(f"scale {found.scale:.3f}, offset {found.offset:+.3f}")
    out.print(f"Cllr on these decisions: {found.cllr_before:.3f} as it is, {found.cllr_after:.3f} corrected")


def count(decisions: Path, state: Path) -> Tally:
    """Add every whole line that was not counted yet; the state is written after each thousand of them."""
    tally = _read(state)
    name = decisions.name
    try:
        size = decisions.stat().st_size
    except OSError as error:
        raise DatasetInvalid(f"{decisions}: {error}") from None
    begin = int(tally.seen.get(name, "0"))
    if begin > size:
        raise DatasetInvalid(f"{decisions}: shorter than when it was last read; start with a new state file")
    for number, (end, line) in enumerate(_lines(decisions, begin), start=1):
        llr, own = _decision(decisions, end, line)
        tally.add(llr, own=own)
        tally.seen[name] = f"{end:015d}"
        if number % CHUNK == 0:
            _write(state, tally)
    _write(state, tally)
    return tally


def _lines(file: Path, begin: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines from a byte on, with the byte after each; a last line that is still being written is left."""
    with file.open("rb") as stream:
        stream.seek(begin)
        at = begin
        for line in stream:
            if not line.endswith(b"\n"):
                return
            at += len(line)
            yield at, line


def _decision(file: Path, end: int, line: bytes) -> tuple[float, bool]:
    try:
        found = json.loads(line)
        llr, own = found["llr"], found["own"]
        if (
            isinstance(llr, bool)
            or not isinstance(llr, int | float)
            or not isinstance(own, bool)
            or not abs(llr) <= 1e6
        ):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise DatasetInvalid(f'{file}: line before byte {end} is not {{"llr": number, "own": true or false}}') from None
    return float(llr), own


def _read(state: Path) -> Tally:
    if not state.exists():
        return Tally()
    try:
        return Tally.of(json.loads(state.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DatasetInvalid(f"{state}: {error}") from None


def _write(state: Path, tally: Tally) -> None:
    beside = state.with_name(f"{state.name}.new")
    try:
        beside.write_text(json.dumps(tally.plain()) + "\n", encoding="utf-8")
        beside.replace(state)
    except OSError as error:
        raise BadRequest(f"{state}: {error}") from None
