"""What a terminal shows of measured rows: error rates, what they cost, where constants come from, and what failed."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidecar.evaluation.keystroke import literature
from sidecar.evaluation.keystroke.figures import Row

ABSENT = "not applicable"


def show(rows: Sequence[Row], out: Console) -> None:
    """Print everything: a section for each set and setting, and a line for each that has no figures."""
    papers = [row for row in rows if row["setting"] == literature.SETTING]
    rows = [row for row in rows if row["setting"] != literature.SETTING]
    measured = [row for row in rows if row["status"] == "measured"]
    if measured:
        out.print(_rates(measured))
        out.print(_costs(measured))
    for line in (*_absent(rows), *_origins(measured)):
        out.print(line, highlight=False, markup=False)
    _show_papers(papers, out)


def failures(rows: Iterable[Row]) -> list[str]:
    """A sentence for each row that should have figures and has none."""
    return [
        f"{row['set']} {row['setting']}, {row['detector']}: {row['status']}"
        for row in rows
        if str(row["status"]).startswith("failed")
    ]


def _sections(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for (data, setting), group in groupby(rows, key=lambda row: (row["set"], row["setting"])):
        yield f"{data} {setting}", list(group)


def _table(title: str, first: str, names: Sequence[str]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _rates(rows: Sequence[Row]) -> Table:
    names = ("EER", "95%", "gEER", "FAR@1%", "FAR@5%", "Cllr", "min Cllr", "ECE")
    table = _table("Error rates (lower is better)", "detector", names)
    shown = ("geer", "far_at_frr1", "far_at_frr5", "cllr", "min_cllr", "ece")
    for title, group in _sections(rows):
        table.add_row(Text(title, style="bold"), "", Text(f"{group[0]['subjects']} people"))
        for row in group:
            figures = [_short(row["eer"]), _interval(row["ci95"]), *(_short(row[name]) for name in shown)]
            table.add_row(f"  {row['detector']}", *figures)
    return table


def _costs(rows: Sequence[Row]) -> Table:
    """``left out``: people who could not be scored; ``failed``: attempts with no timing in common with the samples."""
    names = ("people over 10% FRR", "score, ms", "enroll, ms", "bytes", "left out", "failed")
    table = _table("People, costs, and what could not be compared", "detector", names)
    for title, group in _sections(rows):
        table.add_row(Text(title, style="bold"), Text(f"split {group[0]['split']}"))
        for row in group:
            worst = row["users_above_10_frr"]
            figures = (f"{worst:.0%}" if isinstance(worst, float) else "-", f"{row['score_ms']:.3f}")
            more = (f"{row['enroll_ms']:.1f}", str(row["template_bytes"]), str(row["left_out"]), str(row["failed"]))
            table.add_row(f"  {row['detector']}", *figures, *more)
    return table


def _absent(rows: Sequence[Row]) -> Iterator[str]:
    for title, group in _sections([row for row in rows if str(row["status"]).startswith(ABSENT)]):
        yield f"{title}: {group[0]['status']}"


def _origins(rows: Sequence[Row]) -> Iterator[str]:
    """Where the constants come from, once for each set, detector and wording; and who is scored by whom they know."""
    seen = set()
    for row in rows:
        key = (row["set"], row["detector"], row["constants"])
        if key in seen:
            continue
        seen.add(key)
        yield f"{row['set']}, {row['detector']}: constants: {row['constants']}"
        if row["constants_saw"]:
            yield f"{row['set']}, {row['detector']}: WARNING: {warned(row)}"


def warned(row: Row) -> str:
    """What is to be said where constants were fitted on the people who are scored with them."""
    return (
        f"its constants were fitted on {row['constants_saw']} of these {row['subjects']} people, whatever they are called"
        " here, so the figures flatter"
    )


def _show_papers(rows: Sequence[Row], out: Console) -> None:
    """The two-class classifiers: as papers count, and with impostors that they were not trained with."""
    if not rows:
        return
    title = f"As papers count: two classes (published: {literature.PUBLISHED_ACCURACY:.1%}, {literature.PUBLISHED_MS:.0f} ms)"
    names = ("accuracy", "precision", "recall", "F1", "ms", "new people in", "later own out")
    table = _table(title, "classifier", names)
    keys = ("accuracy", "precision", "recall", "f1", "inference_ms", "unseen_false_accepts", "unseen_false_rejects")
    for row in rows:
        table.add_row(f"{row['set']} {row['detector']}", *(_share(row.get(name), name) for name in keys))
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
