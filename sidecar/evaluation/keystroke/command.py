"""The ``evaluate keystroke`` command: read, measure with a progress bar, print the table, write JSON and HTML."""

import json
import os
import sys
import time
from itertools import groupby
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sidecar.errors import BadRequest
from sidecar.evaluation.keystroke import literature
from sidecar.evaluation.keystroke.baselines import BASELINES
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.figures import Row
from sidecar.evaluation.keystroke.picture import det_picture
from sidecar.evaluation.keystroke.plans import SETTINGS
from sidecar.evaluation.keystroke.report import Facts, page
from sidecar.evaluation.keystroke.run import MODELS, YARDSTICK, Part, measure, planned

WIDTH = 120  # of the table where no terminal says how wide it is
BASELINE_CHOICES = ("standard", "literature", "none")
BASELINE_NAMES = frozenset(each.name for each in BASELINES)


def run_evaluation(
    *,
    data: Path,
    setting: str,
    detector: str,
    baselines: str,
    seed: int,
    jobs: int | None,
    json_path: Path | None,
    html_path: Path | None,
    det_path: Path | None = None,
) -> None:
    """Measure and print. Raises DatasetInvalid, BadRequest."""
    if baselines not in BASELINE_CHOICES:
        raise BadRequest(f"baselines are {', '.join(BASELINE_CHOICES)}")
    papers = baselines == "literature"
    if papers:
        literature.refuse_without_library()
    settings, models = _settings(setting), _models(detector, with_baselines=baselines != "none")
    for path in (json_path, html_path, det_path):
        if path and not path.resolve().parent.is_dir():
            raise BadRequest(f"{path}: no such folder")
    console = Console(stderr=True)
    began = time.monotonic()
    sets, passed = find_sets(data)
    for sentence in passed:
        console.print(f"passed over: {sentence}")
    with _progress(console) as progress:
        bar = progress.add_task("people scored", total=None)
        parts = measure(
            planned(sets, settings, models, seed, papers=papers),
            jobs or os.cpu_count() or 1,
            lambda step: progress.advance(bar, step),
            lambda total: progress.update(bar, total=total),
        )
    took = time.monotonic() - began
    out = Console(width=None if sys.stdout.isatty() else WIDTH)
    _print([part for part in parts if part.row["setting"] != literature.SETTING], out)
    _print_papers([part.row for part in parts if part.row["setting"] == literature.SETTING], out)
    console.print(f"{took:.0f} s")
    if json_path:
        json_path.write_text(json.dumps([part.row for part in parts], indent=1) + "\n", encoding="utf-8")
    if det_path:
        det_path.write_text(det_picture(parts), encoding="utf-8")
    if html_path:
        html_path.write_text(page(parts, Facts.of(sets, seed, took, passed)), encoding="utf-8")


def _settings(name: str) -> list[str]:
    if name == "all":
        return list(SETTINGS)
    if name not in SETTINGS:
        raise BadRequest(f"no setting {name!r}; there are {', '.join(SETTINGS)} and all")
    return [name]


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


def _print(parts: list[Part], out: Console) -> None:
    """A section for each set and setting, and a line for each that has no figures."""
    table = Table(title="Error rates (lower is better)", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("detector", no_wrap=True)
    for name in ("EER", "95%", "gEER", "FAR@1%", "FAR@5%", "Cllr", "ECE"):
        table.add_column(name, justify="right", no_wrap=True)
    absent = []
    for (data, setting), group in groupby(parts, key=lambda part: (part.row["set"], part.row["setting"])):
        rows = [part.row for part in group]
        if rows[0]["status"] != "measured":
            absent.append(f"{data} {setting}: {rows[0]['status']}")
            continue
        title, many = Text(f"{data} {setting}", style="bold"), Text(f"{rows[0]['subjects']} people")
        table.add_row(title, "", many)
        for row in rows:
            names = ("geer", "far_at_frr1", "far_at_frr5", "cllr", "ece")
            figures = [_short(row["eer"]), _interval(row["ci95"]), *(_short(row[name]) for name in names)]
            table.add_row(f"  {row['detector']}", *figures)
    if table.row_count:
        out.print(table)
    for line in absent:
        out.print(line, highlight=False, markup=False)


def _print_papers(rows: list[Row], out: Console) -> None:
    """The two-class classifiers: as papers count, and with impostors that they were not trained with."""
    if not rows:
        return
    title = f"As papers count: two classes (published: {literature.PUBLISHED_ACCURACY:.1%}, {literature.PUBLISHED_MS:.0f} ms)"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("classifier", no_wrap=True)
    for name in ("accuracy", "precision", "recall", "F1", "ms", "new people in", "later own out"):
        table.add_column(name, justify="right", no_wrap=True)
    names = ("accuracy", "precision", "recall", "f1", "inference_ms", "unseen_false_accepts", "unseen_false_rejects")
    for row in rows:
        table.add_row(f"{row['set']} {row['detector']}", *(_share(row.get(name), name) for name in names))
    out.print(table)
    out.print(literature.WHY, highlight=False, markup=False)


def _share(value: object, name: str) -> str:
    if not isinstance(value, float):
        return "-"
    return f"{value:.2f}" if name.endswith("_ms") else f"{value:.1%}"


def _short(value: object) -> str:
    return f"{value:.4f}".removeprefix("0") if isinstance(value, float) else "-"


def _interval(intervals: object) -> str:
    low, high = intervals["eer"] if isinstance(intervals, dict) else (0.0, 0.0)
    return f"{low:.3f}-{high:.3f}".replace("0.", ".")
