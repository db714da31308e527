"""The ``evaluate keystroke`` command: read, measure with a progress bar, print the table, write JSON and HTML."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sidecar.errors import BadRequest
from sidecar.evaluation.keystroke import literature
from sidecar.evaluation.keystroke.aims import missed
from sidecar.evaluation.keystroke.baselines import BASELINES
from sidecar.evaluation.keystroke.discovery import Found, find_sets
from sidecar.evaluation.keystroke.picture import det_picture
from sidecar.evaluation.keystroke.plans import SETTINGS
from sidecar.evaluation.keystroke.report import Facts, page
from sidecar.evaluation.keystroke.run import MODELS, YARDSTICK, Part, measure, planned
from sidecar.evaluation.keystroke.tables import failures, show

WIDTH = 120  # of the table where no terminal says how wide it is
INTERRUPTED = 130
BASELINE_CHOICES = ("standard", "literature", "none")
BASELINE_NAMES = frozenset(each.name for each in BASELINES)


@dataclass(frozen=True, slots=True)
class Files:
    """Where results are written, if anywhere."""

    json: Path | None = None
    html: Path | None = None
    det: Path | None = None

    def check(self) -> None:
        """Raise BadRequest where a folder is missing."""
        for path in (self.json, self.html, self.det):
            if path and not path.resolve().parent.is_dir():
                raise BadRequest(f"{path}: no such folder")


def run_evaluation(
    *,
    data: Path,
    setting: Sequence[str],
    detector: str,
    baselines: str,
    seed: int,
    jobs: int | None,
    files: Files,
    require: bool = False,
) -> int:
    """Measure and print. The exit code: 1 where a set was refused, nobody of a row could be scored, or, with ``require``,
    an aim was missed. Raises DatasetInvalid, BadRequest.
    """
    if baselines not in BASELINE_CHOICES:
        raise BadRequest(f"baselines are {', '.join(BASELINE_CHOICES)}")
    papers = baselines == "literature"
    if papers:
        literature.refuse_without_library()
    settings, models = _settings(setting), _models(detector, with_baselines=baselines != "none")
    files.check()
    console = Console(stderr=True)
    began = time.monotonic()
    sets, passed, refused = found = find_sets(data)
    _tell(found, console)
    parts: list[Part] = []
    interrupted = False
    with _interruptible(), _progress(console) as progress:
        bar = progress.add_task("people scored", total=None)
        try:
            for more in measure(
                planned(sets, settings, models, seed, papers=papers),
                jobs or os.cpu_count() or 1,
                lambda step: progress.advance(bar, step),
                lambda total: progress.update(bar, total=total),
            ):
                parts += more
                if files.json:  # after each set, so that what is measured is kept whatever comes
                    write_whole(files.json, json.dumps([part.row for part in parts], indent=1) + "\n")
        except KeyboardInterrupt:
            interrupted = True
    took = time.monotonic() - began
    show([part.row for part in parts], Console(width=None if sys.stdout.isatty() else WIDTH))
    console.print(f"{took:.0f} s")
    if files.det and not (interrupted and not parts):
        write_whole(files.det, det_picture(parts))
    if files.html:
        write_whole(files.html, page(parts, Facts.of(sets, seed, took, [*passed, *refused])))
    wrong = [*(f"refused: {each}" for each in refused), *failures(part.row for part in parts)]
    if require:
        wrong += [f"missed: {each}" for each in missed([part.row for part in parts], settings)]
    for sentence in wrong:
        console.print(sentence, style="bold", highlight=False, markup=False, soft_wrap=True)
    if interrupted:
        console.print("interrupted: only whole sets are shown and written", style="bold")
        return INTERRUPTED
    return 1 if wrong else 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: what was measured is written, and no process is left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def write_whole(path: Path, text: str) -> None:
    """Write a file at once: whoever reads it finds the old one or the new one, never a part. Raises BadRequest."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise BadRequest(f"{path}: {error.strerror}") from None


def _tell(found: Found, console: Console) -> None:
    """Say what was passed over, and what reading found worth saying."""
    notes = [f"{each.name}: {note}" for each in found.sets for note in each.notes]
    for sentence in (*(f"passed over: {each}" for each in found.passed), *notes):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _settings(names: Sequence[str]) -> list[str]:
    """The chosen settings, in the order of the documentation."""
    for name in names:
        if name != "all" and name not in SETTINGS:
            raise BadRequest(f"no setting {name!r}; there are {', '.join(SETTINGS)} and all")
    return [name for name in SETTINGS if name in names or "all" in names]


def _models(name: str, *, with_baselines: bool) -> list[str]:
    """The chosen detectors; scaled Manhattan always, as everything is paired with it."""
    if name == "all":
        return list(MODELS)
    if name not in MODELS:
        raise BadRequest(f"no detector {name!r}; there are {', '.join(MODELS)} and all")
    kept = {name, YARDSTICK}
    if with_baselines:
        kept |= {each for each in MODELS if each in BASELINE_NAMES}
    return [each for each in MODELS if each in kept]


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)
